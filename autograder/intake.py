"""The first stage of grading: look at what was handed in, and trust none of it.

Nothing that a student can put into a folder raises an exception here: what cannot be graded becomes a `Problem` with a
status and a message, and the other submissions do not notice.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from autograder.course import Course
from autograder.receiving import receipts
from autograder.receiving.filenames import refusal_of_student
from autograder.receiving.handed_in import digest_of, usable_files
from autograder.receiving.student_notebook import InvalidNotebook, read_notebook
from autograder.submissions import Finding, Problem, Status, Submission

__all__ = ["Finding", "Problem", "Status", "Submission", "intake", "match_notebooks", "students"]

MAX_NOTEBOOK_BYTES = 50_000_000


def intake(course: Course, lab: str, enrolled: Iterable[str] = ()) -> list[Submission]:
    """List the submissions of a lab, one for every student.

    Parameters
    ----------
    course : Course
        Its ``submitted`` folder holds ``STUDENT/LAB/`` with the lab's notebooks.
    lab : str
        The lab's name.
    enrolled : iterable of str, optional
        Students that are known from elsewhere, the gradebook say. Those who have not handed in count as missing,
        and so does everyone with a folder in ``submitted`` but without this lab in it.

    Returns
    -------
    list of Submission
        Sorted by student.
    """
    submissions = []
    noted = receipts.latest(course, lab)
    wanted = [path.stem for path in course.source_notebooks(lab)]
    for student in sorted(students(course) | set(enrolled) | set(noted)):
        folder = course.submitted / student / lab
        try:
            submission = _look(folder, student, lab, wanted)
        except OSError as error:
            problem = Problem(Status.INVALID, f"cannot be read: {error.strerror} ({error.filename})")
            submission = Submission(student, lab, str(folder), problem=problem)
        submissions.append(_with_receipt(submission, noted.get(student)))
    return submissions


def _with_receipt(submission: Submission, receipt: receipts.Receipt | None) -> Submission:
    """Add what was noted when the submission was collected."""
    if receipt is None:
        return submission
    findings = tuple(Finding(*finding) for finding in receipt.findings)
    if receipt.refusal and submission.problem and submission.problem.status is Status.MISSING:
        problem = Problem(Status.INVALID, f"refused when it was collected: {receipt.refusal}")
        return replace(submission, problem=problem, received=receipt.received, findings=findings)
    if receipt.refusal:
        refused = Finding(
            "refused", submission.lab, f"an earlier one was graded, the last was refused: {receipt.refusal}"
        )
        return replace(submission, findings=(*submission.findings, refused))
    if submission.sha256 == receipt.sha256:
        return replace(submission, received=receipt.received, findings=(*findings, *submission.findings))
    return submission


def students(course: Course) -> set[str]:
    """The students that have a folder in ``submitted``."""
    if not course.submitted.is_dir():
        return set()
    return {entry.name for entry in course.submitted.iterdir() if not entry.name.startswith(".") and entry.is_dir()}


def match_notebooks(wanted: Iterable[str], files: Sequence[str]) -> dict[str, str]:
    """Tell which file is which notebook of the lab.

    A file may have got an ending such as ``(1)`` or ``-1`` when it was downloaded or handed in again; a single file of
    another name is the single notebook that is not there under its own.

    Parameters
    ----------
    wanted : iterable of str
        The names of the lab's notebooks, without suffix.
    files : sequence of str
        The file names of the notebooks handed in.

    Returns
    -------
    dict
        From the name of a notebook to a file; without those that are missing.

    Examples
    --------
    >>> match_notebooks(["part1", "part2"], ["part2 (1).ipynb", "part1.ipynb"])
    {'part1': 'part1.ipynb', 'part2': 'part2 (1).ipynb'}
    """
    wanted = list(wanted)
    found = {name: f"{name}.ipynb" for name in wanted if f"{name}.ipynb" in files}
    for name in wanted:
        pattern = re.compile(re.escape(name) + r"( ?\(\d+\)|-\d+)\.ipynb")
        again = [file for file in files if pattern.fullmatch(file) and file not in found.values()]
        if name not in found and len(again) == 1:
            found[name] = again[0]
    missing = [name for name in wanted if name not in found]
    others = [file for file in files if file not in found.values()]
    if len(missing) == len(others) == 1:
        found[missing[0]] = others[0]
    return {name: found[name] for name in wanted if name in found}


def _look(folder: Path, student: str, lab: str, wanted: Sequence[str]) -> Submission:
    """Take in one folder."""

    def failed(status: Status, message: str) -> Submission:
        return Submission(student, lab, str(folder), problem=Problem(status, message))

    if reason := refusal_of_student(student):
        return failed(Status.INVALID, f"{student!r} cannot be a student's name: {reason}; rename the folder")
    if folder.is_symlink() or folder.parent.is_symlink():
        return failed(Status.INVALID, "the folder handed in is a link to another place; hand in the files themselves")
    if not folder.is_dir():
        return failed(Status.MISSING, "nothing was handed in")
    present = sorted(path.name for path in folder.glob("[!.]*.ipynb"))
    files = match_notebooks(wanted, present)
    if not files:
        names = " and ".join(f"{name}.ipynb" for name in wanted)
        found = f"the folder holds {', '.join(present)}" if present else "the folder holds no notebook"
        return failed(Status.MISSING, f"there is no {names}: {found}; hand in the notebook under that name")
    findings: list[Finding] = []
    problems: dict[str, str] = {}
    for name in wanted:
        file = files.get(name)
        if file is None:
            findings.append(Finding("missing notebook", f"{name}.ipynb", "not handed in; graded as left blank"))
        elif problem := _problem_of(folder / file):
            problems[file] = problem
            findings.append(Finding("invalid notebook", file, f"{problem}; graded as left blank"))
        elif file != f"{name}.ipynb":
            findings.append(Finding("renamed", file, f"graded as {name}.ipynb"))
    if len(problems) == len(files):
        return failed(Status.INVALID, "; ".join(problems.values()))
    notebooks = tuple(files.values())
    others, more = usable_files(folder, notebooks)
    received = max((folder / file).stat().st_mtime for file in notebooks if file not in problems)
    return Submission(
        student,
        lab,
        str(folder),
        notebooks,
        others,
        datetime.fromtimestamp(received, UTC).isoformat(timespec="seconds"),
        digest_of(folder, [file for file in notebooks if _is_plain(folder / file)] + list(others)),
        None,
        (*findings, *more),
    )


def _problem_of(path: Path) -> str | None:
    """Why a notebook cannot be graded."""
    if not _is_plain(path):
        return f"{path.name} is a link or no plain file; hand in the notebook itself"
    if (size := path.stat().st_size) > MAX_NOTEBOOK_BYTES:
        limit = MAX_NOTEBOOK_BYTES // 1_000_000
        return f"{path.name} has {size / 1e6:.0f} MB, the limit is {limit} MB; clear its outputs, save, hand in again"
    try:
        read_notebook(path)
    except InvalidNotebook as error:
        return f"{path.name}: {error}"
    return None


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)
