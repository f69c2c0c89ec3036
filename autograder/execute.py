"""The third stage of grading: run a submission where it can do no harm, and always come back with a status.

Each notebook runs in two processes: one with the student's code, which never sees a test, and one with the tests, which
never holds the student's code. What comes back is taken only as outputs and points for the cells that this process
already holds; a test without a result has no points.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_grade, is_solution

from autograder.errors import CourseError
from autograder.intake import Finding, Status, Submission
from autograder.jobs import Job, JobCell
from autograder.journal import merged, read_journal
from autograder.normalise import Normalised
from autograder.receiving.matching import grade_id_of, is_free
from autograder.sandbox.engine import Engine
from autograder.sandbox.kernel import reason_for_kernel, run_in_kernel
from autograder.sandbox.limits import Limits
from autograder.sandbox.results import with_outputs

__all__ = ["Engine", "Executed", "Limits", "execute"]

_IMPORTABLE = {".py", ".pyc", ".pyo", ".pyw", ".pyd", ".so", ".dll", ".dylib", ".pth", ".egg"}


@dataclass(frozen=True)
class Executed:
    """Notebooks with the outputs of their runs, complete or not.

    Attributes
    ----------
    submission : Submission
    status : Status
    message : str
        What ended the run early and where; empty if all went well.
    notebooks : dict
        By name without suffix; empty if there was nothing to run.
    findings : tuple of Finding
    seconds : float
        Wall time of the run, without the first start of the servers on this machine.
    """

    submission: Submission
    status: Status
    message: str = ""
    notebooks: dict[str, NotebookNode] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


def execute(
    normalised: Normalised,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    engine: Engine,
    lab_files: Path | None = None,
    threads: int = 1,
    cancelled: threading.Event | None = None,
) -> Executed:
    """Run the notebooks of a submission.

    Parameters
    ----------
    normalised : Normalised
        If it carries a problem, nothing is run and the problem's status returned.
    limits : Limits
        For each notebook.
    engine : Engine
        What runs them.
    lab_files : Path, optional
        A folder of files that come with the lab; they replace those of the same name that were handed in.
    threads : int
        How many threads numerical libraries may use.
    cancelled : threading.Event, optional
        When set, the run ends at once.

    Raises
    ------
    CourseError
        If nothing could be started: that is no fault of the student's.
    """
    submission, problem = normalised.submission, normalised.problem
    if problem is not None:
        return Executed(submission, problem.status, problem.message, {}, normalised.findings)
    files = {name: Path(submission.folder) / name for name in submission.files}
    given = _files_below(lab_files)
    notebooks, findings, status, message, seconds = {}, list(normalised.findings), Status.OK, "", 0.0
    for name, notebook in normalised.notebooks.items():
        engine.provide_data("\n".join(cell.source for cell in notebook.cells))
        # The instructor's notebook decides, not the student's: in one kernel, no test is safe from the tested code.
        reason = "it was asked for" if engine.same_process else reason_for_kernel(normalised.references[name])
        job = job_of(submission, name, notebook, normalised.references[name], limits, threads)
        if reason is None:
            engine.warm_up(job)  # what servers take to start is nobody's time
        began = time.monotonic()
        if reason is None:
            data = {path: place for path, place in files.items() if PurePath(path).suffix.lower() not in _IMPORTABLE}
            result = engine.run(job, limits, files | given, data | given, cancelled)
            notebooks[name], ended, why = with_outputs(notebook, result), Status(result.status), result.message
        else:
            notebooks[name], ended, why = _run_in_one(
                submission, notebook, limits, engine, files | given, threads, cancelled
            )
            text = f"tests ran beside the student's code ({reason}): look at the notebook before you trust the points"
            findings.append(Finding("same process", name, text))
        seconds += time.monotonic() - began
        if status is Status.OK and ended is not Status.OK:
            status = ended
            message = f"{name}: {why}" if len(normalised.notebooks) > 1 else why
    return Executed(submission, status, message, notebooks, tuple(findings), round(seconds, 1))


def job_of(
    submission: Submission, name: str, notebook: NotebookNode, reference: NotebookNode, limits: Limits, threads: int = 1
) -> Job:
    """The code cells of a rebuilt notebook, each with its kind.

    Parameters
    ----------
    submission : Submission
    name : str
        The notebook's, without suffix.
    notebook, reference : NotebookNode
        The rebuilt one, and the instructor's own with the answers.
    limits : Limits
    threads : int
    """
    theirs = {cell.id: cell for cell in reference.cells}
    theirs |= {grade_id_of(cell): cell for cell in reference.cells if grade_id_of(cell)}
    cells = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        grade_id = grade_id_of(cell)
        original = theirs.get(grade_id or cell.id)
        kind, points, text = "locked", 0.0, ""
        if is_grade(cell) and not is_solution(cell):
            kind, points = "test", float(cell.metadata.nbgrader.points)
        elif original is None:
            kind = "extra"
        elif is_solution(cell) or is_free(cell):
            kind, text = "solution", original.source
        cells.append(JobCell(index, grade_id or cell.id, kind, cell.source, text, points))
    seconds = limits.cell_seconds, limits.notebook_seconds
    return Job(submission.student, submission.lab, name, tuple(cells), *seconds, threads)


def _files_below(folder: Path | None) -> dict[str, Path]:
    if folder is None or not folder.is_dir():
        return {}
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _run_in_one(
    submission: Submission,
    notebook: NotebookNode,
    limits: Limits,
    engine: Engine,
    files: Mapping[str, Path],
    threads: int,
    cancelled: threading.Event | None,
) -> tuple[NotebookNode, Status, str]:
    """Run a notebook with its tests in one kernel; the notebook with its outputs, how that ended, and why."""
    options = {"isolated": engine.sandbox == "bubblewrap", "cache": engine.cache, "threads": threads}
    with run_in_kernel(notebook, files, limits, cancelled=cancelled, **options) as run:
        journal = read_journal(run.journal)
    if not any(record["event"] == "kernel" for record in journal) and not run.is_late:
        failure = next((record["message"] for record in journal if record["event"] == "failed"), "no reason is known")
        raise CourseError(f"the kernel for {submission.student}'s {submission.lab} did not start: {failure}")
    shown, status, message = merged(notebook, journal, limits.notebook_seconds if run.is_late else None)
    if run.exceeded == "memory" and status is not Status.TIMEOUT:
        return shown, Status.MEMORY, f"more than {limits.memory_mb} MB of memory"
    if run.exceeded == "processes":
        return shown, Status.CRASHED, f"more than {limits.processes} processes and threads at a time"
    return shown, status, message
