"""Before a class is graded: the instructor's own solution, through the same processes and limits.

If it does not get full points, no student can: then a test asks for something that it cannot have where the student's
code is not, or the lab is wrong. The time that it takes says how long a student's notebook may take.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbformat.notebooknode import NotebookNode
from nbgrader.utils import determine_grade, is_grade, is_solution

from autograder.assignment import LabNotebooks
from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Executed, Limits, execute
from autograder.normalise import Normalised
from autograder.submissions import Status, Submission
from autograder.versions import versions

__all__ = ["SolutionCheck", "check_solution", "seconds_for_students", "solution_submission"]

_STUDENT = "the instructor's solution"
_LEAST_SECONDS = 60
_TIMES = 3


@dataclass(frozen=True)
class SolutionCheck:
    """How the instructor's solution did.

    Attributes
    ----------
    lab : str
    sha256 : str
        Of all that it depends on: the lab, the files handed in with it, the limits, packages and code.
    seconds : float
        How long its notebooks ran, all together.
    points : float
        What its tests give, which is all that they can give.
    reused : bool
        Whether it was checked in an earlier round.
    """

    lab: str
    sha256: str
    seconds: float
    points: float
    reused: bool = False


def seconds_for_students(check: SolutionCheck) -> int:
    """How many seconds a student's notebook may take.

    Examples
    --------
    >>> seconds_for_students(SolutionCheck("lab", "", 4.2, 10))
    60
    >>> seconds_for_students(SolutionCheck("lab", "", 41.2, 10))
    130
    """
    return max(_LEAST_SECONDS, 10 * math.ceil(_TIMES * check.seconds / 10))


def solution_submission(course: Course, lab: str) -> Submission:
    """What the instructor hands in: the notebooks of the source and, where labs are authored, the files beside it."""
    folder = course.solutions / lab if course.has_lab_sources else course.source / lab
    files: tuple[str, ...] = ()
    if course.has_lab_sources:
        beside = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        files = tuple(name for name in beside if name != course.source_file(lab).name)
    return Submission(_STUDENT, lab, str(folder), files=files)


def check_solution(
    course: Course,
    notebooks: LabNotebooks,
    engine: Any,
    limits: Limits,
    *,
    fresh: bool = False,
) -> SolutionCheck:
    """Grade the instructor's solution, or take the result from the last time if nothing has changed since.

    Parameters
    ----------
    course : Course
        The result is kept in ``solutions/LAB.json`` in its grading folder.
    notebooks : LabNotebooks
    engine : Engine or ClusterEngine
        What the class is going to be graded with.
    limits : Limits
    fresh : bool
        Run it even if nothing has changed.

    Raises
    ------
    CourseError
        If a test does not give all its points; the message names the test, what happened and what to do.
    """
    submission = solution_submission(course, notebooks.lab)
    key = _key(submission, notebooks, engine, limits)
    path = course.grading / "solutions" / f"{notebooks.lab}.json"
    if not fresh and (kept := _read(path)) is not None and kept.sha256 == key:
        return replace(kept, reused=True)
    executed = _run(submission, notebooks, engine, limits)
    tests = [cell for notebook in executed.notebooks.values() for cell in notebook.cells if _is_test(cell)]
    lost = [f"{cell.metadata.nbgrader.grade_id}: {reason}" for cell in tests if (reason := _loss(cell))]
    if lost or executed.status is not Status.OK:
        raise CourseError(_explained(notebooks.lab, executed, lost, engine.same_process))
    points = sum(float(cell.metadata.nbgrader.points) for cell in tests)
    check = SolutionCheck(notebooks.lab, key, executed.seconds, points)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(check), indent=1) + "\n", encoding="utf-8")
    return check


def _key(submission: Submission, notebooks: LabNotebooks, engine: Any, limits: Limits) -> str:
    digest = hashlib.sha256(notebooks.text.encode())
    for name in submission.files:
        digest.update(name.encode() + (Path(submission.folder) / name).read_bytes())
    digest.update(json.dumps([limits.to_dict(), engine.sandbox, engine.same_process, versions()]).encode())
    return digest.hexdigest()


def _read(path: Path) -> SolutionCheck | None:
    try:
        return SolutionCheck(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _run(submission: Submission, notebooks: LabNotebooks, engine: Any, limits: Limits) -> Executed:
    filled = copy.deepcopy(notebooks.sources)
    for notebook in filled.values():
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    normalised = Normalised(submission, filled, None, (), dict(notebooks.sources))
    with tempfile.TemporaryDirectory(prefix="factorkit-") as folder:
        files = notebooks.copy_files(Path(folder) / "files")
        return execute(normalised, limits, engine=engine, lab_files=files)


def _is_test(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and is_grade(cell) and not is_solution(cell)


def _loss(cell: NotebookNode) -> str:
    """Why a test did not give all its points; empty if it did."""
    score, maximum = determine_grade(cell)
    if score is not None and score >= maximum:
        return ""
    said = [f"{output.ename}: {output.evalue}" for output in cell.outputs if output.output_type == "error"]
    what = f"gives {score or 0:g} of {maximum:g} points"
    # all of its lines: the last one may say what to write instead
    return f"{what}: {' '.join(said[-1].split())[:500]}" if said and said[-1].strip() else what


def _explained(lab: str, executed: Executed, lost: list[str], same_process: bool) -> str:
    """What went wrong, a line for each test, and the remedy."""
    lines = [f"the instructor's own solution of {lab} does not get full points, so nobody could:"]
    if executed.status is not Status.OK:
        lines.append(f"  the run ended early ({executed.status}): {executed.message}")
    if executed.status is Status.TIMEOUT:
        lines.append("  a longer time for it: --cell-timeout S, --notebook-timeout S")
    lines += [f"  {each}" for each in lost]
    if same_process:
        lines.append(f"Mend the cells, then check them with: autograder solution-check {lab} --same-process")
    else:
        lines.append(
            "Tests run in another process than the answers. Mend the cells as their messages say: a test calls what "
            "the student wrote and compares plain data, or takes a network through factorkit.checks.trusted_copy. "
            f"Check them with: autograder solution-check {lab}. Where a test cannot be rewritten, grade this lab "
            "with --same-process: then tests run beside the student's code, which can make them pass"
        )
    return "\n".join(lines)
