"""The first stage of grading: look at what was handed in, and trust none of it.

Nothing that a student can put into a folder raises an exception here: what cannot be graded becomes a `Problem` with a
status and a message, and the other submissions do not notice.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from autograder import receipts
from autograder.course import Course
from autograder.filenames import refusal_of_name, same_name, shadowing
from autograder.student_notebook import InvalidNotebook, read_notebook

__all__ = ["Finding", "Problem", "Status", "Submission", "digest_of", "intake", "students"]

MAX_NOTEBOOK_BYTES = 50_000_000
MAX_FILES_BYTES = 200_000_000
MAX_FILES = 500
_SKIPPED_FOLDERS = {"__pycache__", "feedback"}
_SKIPPED_FILES = {"timestamp.txt"}  # a student can write it; the time of receipt is the file system's


class Status(StrEnum):
    """How a submission ended: every submission ends in exactly one of these."""

    OK = "ok"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    MEMORY = "out of memory"
    OUTPUT = "output limit"
    TAMPERED = "tampered"
    INVALID = "invalid notebook"
    MISSING = "missing"

    @property
    def was_run(self) -> bool:
        """Whether the notebook was executed, wholly or in part."""
        return self in (Status.OK, Status.TIMEOUT, Status.CRASHED, Status.MEMORY, Status.OUTPUT)


@dataclass(frozen=True)
class Problem:
    """Why a submission cannot be graded, in words for the student."""

    status: Status
    message: str


@dataclass(frozen=True)
class Finding:
    """Something worth a look in a submission that did not keep it from being graded.

    Attributes
    ----------
    kind : str
        A short name: ``edited``, ``deleted``, ``duplicated``, ``moved``, ``tagged``, ``link``, ``shadows`` ...
    cell : str
        The id of the cell, or the name of the file.
    message : str
        What was found, and what the grader did about it.
    """

    kind: str
    cell: str
    message: str


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab.

    Attributes
    ----------
    student, lab : str
        Who, and for what.
    folder : str
        The absolute path of the folder handed in.
    notebook : str or None
        The notebook's file name in that folder.
    files : tuple of str
        The other files in it, as paths relative to `folder`.
    received : str or None
        When it was handed in, in UTC, ISO 8601: as noted when it was collected, or else the time of the file.
    sha256 : str
        A hash of the notebook and the files; empty where there is none.
    problem : Problem or None
        Why it cannot be graded.
    findings : tuple of Finding
        What else is odd about the files.
    """

    student: str
    lab: str
    folder: str
    notebook: str | None = None
    files: tuple[str, ...] = ()
    received: str | None = None
    sha256: str = ""
    problem: Problem | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def path(self) -> Path | None:
        """The notebook's absolute path."""
        return Path(self.folder) / self.notebook if self.notebook else None


def intake(course: Course, lab: str, enrolled: Iterable[str] = ()) -> list[Submission]:
    """List the submissions of a lab, one for every student.

    Parameters
    ----------
    course : Course
        Its ``submitted`` folder holds ``STUDENT/LAB/LAB.ipynb``.
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
    for student in sorted(students(course) | set(enrolled) | set(noted)):
        folder = course.submitted / student / lab
        try:
            submission = _look(folder, student, lab)
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


def _look(folder: Path, student: str, lab: str) -> Submission:
    """Take in one folder."""

    def failed(status: Status, message: str) -> Submission:
        return Submission(student, lab, str(folder), problem=Problem(status, message))

    if folder.is_symlink() or folder.parent.is_symlink():
        return failed(Status.INVALID, "the folder handed in is a link to another place; hand in the files themselves")
    if not folder.is_dir():
        return failed(Status.MISSING, "nothing was handed in")
    name, findings = _notebook_name(folder, lab)
    if name is None:
        others = sorted(path.name for path in folder.glob("*.ipynb"))
        found = f"the folder holds {', '.join(others)}" if others else "the folder holds no notebook"
        return failed(Status.MISSING, f"there is no {lab}.ipynb: {found}; hand in the notebook under that name")
    path = folder / name
    if not stat.S_ISREG(path.lstat().st_mode):
        return failed(Status.INVALID, f"{name} is a link or no plain file; hand in the notebook itself")
    if (size := path.stat().st_size) > MAX_NOTEBOOK_BYTES:
        limit = MAX_NOTEBOOK_BYTES // 1_000_000
        message = (
            f"{name} has {size / 1e6:.0f} MB, the limit is {limit} MB; clear its outputs, save it, hand it in again"
        )
        return failed(Status.INVALID, message)
    files, more = _files(folder, name)
    received = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    problem = None
    try:
        read_notebook(path)
    except InvalidNotebook as error:
        problem = Problem(Status.INVALID, f"{name}: {error}")
    digest = digest_of(folder, (name, *files))
    return Submission(student, lab, str(folder), name, files, received, digest, problem, (*findings, *more))


def _notebook_name(folder: Path, lab: str) -> tuple[str | None, tuple[Finding, ...]]:
    """The file to grade: the lab's own name, or the only notebook in the folder."""
    name = f"{lab}.ipynb"
    if os.path.lexists(folder / name):
        return name, ()
    others = [path.name for path in folder.glob("*.ipynb") if not path.name.startswith(".")]
    if len(others) == 1:
        return others[0], (Finding("renamed", others[0], f"graded as {name}: it is the only notebook handed in"),)
    return None, ()


def _files(folder: Path, notebook: str) -> tuple[tuple[str, ...], list[Finding]]:
    """The files beside the notebook that may be used, and why the others are left out."""
    files: list[str] = []
    findings: list[Finding] = []
    seen: dict[str, str] = {same_name(notebook): notebook}
    total = 0
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if name == notebook or name in _SKIPPED_FILES:
            continue
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            findings.append(Finding("link", _printable(name), "left out: a link or no plain file"))
        elif reason := refusal_of_name(name):
            findings.append(Finding("refused", _printable(name), f"left out: {reason}; rename it"))
        elif other := seen.get(same_name(name)):
            findings.append(
                Finding("refused", name, f"left out: it differs from {other!r} only in case or accents; rename one")
            )
        elif total + info.st_size > MAX_FILES_BYTES:
            limit = MAX_FILES_BYTES // 1_000_000
            findings.append(Finding("oversize", name, f"left out: with it the files have more than {limit} MB"))
        elif len(files) == MAX_FILES:
            findings.append(Finding("oversize", name, f"left out with all after it: more than {MAX_FILES} files"))
            break
        else:
            total += info.st_size
            files.append(name)
            seen[same_name(name)] = name
    for module, name in shadowing(files).items():
        message = f"would be imported instead of the installed module {module}; only the student's own code sees it"
        findings.append(Finding("shadows", name, message))
    return tuple(files), findings


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _walk(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, sorted, without entering links, hidden folders and caches."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _SKIPPED_FOLDERS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        else:
            yield entry


def digest_of(folder: Path, names: Iterable[str] | None = None) -> str:
    """A hash of files in a folder, by default of all that are handed in with a notebook, and of their names."""
    if names is None:
        names = [path.relative_to(folder).as_posix() for path in _walk(folder) if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(content.encode() + os.fsencode(name) + b"\n")
    return digest.hexdigest()
