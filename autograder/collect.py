"""Before grading: what a learning platform, or a student, handed over becomes ``submitted/STUDENT/LAB/``."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from autograder.course import Course
from autograder.errors import UsageError
from autograder.receiving import receipts
from autograder.receiving.archives import ArchiveError, Item, folder_items, zip_items
from autograder.receiving.filenames import refusal_of_student, same_name
from autograder.receiving.handed_in import digest_of
from autograder.receiving.layouts import Bundle, sort_items
from autograder.receiving.roster import Roster, read_roster
from autograder.receiving.unpacking import unpack
from autograder.submissions import Finding

__all__ = ["Collected", "collect"]

Outcome = Literal["new", "replaced", "unchanged", "refused"]


@dataclass(frozen=True)
class Collected:
    """What became of one student's submission.

    Attributes
    ----------
    student : str
        Empty for files of which it cannot be told whose they are.
    lab, origin : str
        The lab, and the archive or folder it came from.
    outcome : str
        ``new``; ``replaced``: an earlier one was put aside, into `earlier`; ``unchanged``: the same files were there
        already, and keep their time of receipt; ``refused``: nothing was changed, `message` says why.
    message : str
    files : tuple of str
        What now lies in the student's folder.
    received : str
        In UTC, ISO 8601.
    earlier : str
        Where the submission lies that was replaced.
    findings : tuple of Finding
        Files that were left out, and other remarks.
    """

    student: str
    lab: str
    origin: str
    outcome: Outcome
    message: str = ""
    files: tuple[str, ...] = ()
    received: str = ""
    earlier: str = ""
    findings: tuple[Finding, ...] = field(default=())


def collect(
    course: Course,
    lab: str,
    path: Path | str,
    *,
    roster: Roster | Path | str | None = None,
    received: datetime | None = None,
) -> list[Collected]:
    """Unpack submissions into the course, each into ``submitted/STUDENT/LAB/``.

    Parameters
    ----------
    course : Course
    lab : str
    path : path
        A zip archive, or a folder of archives, folders or files: Moodle's or Canvas's download of all submissions, or
        one archive or folder for each student. `autograder.receiving.layouts` describes them.
    roster : Roster or path of a CSV file, optional
        Who is in the class. Without it students are called as in the files' names.
    received : datetime, optional
        When the submissions were handed in, for penalties for lateness; now by default. The times in an archive are
        not used: whoever makes the archive can write any, and Canvas and Moodle write the time of the download.
        A submission that was collected before and has not changed keeps its first time.

    Returns
    -------
    list of Collected
        Sorted by student. What is refused stops nobody else's.

    Raises
    ------
    UsageError
        If there is no such lab, or nothing at `path`.
    """
    course.check_lab(lab)
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: there is nothing to collect; name a zip archive or a folder")
    if roster is not None and not isinstance(roster, Roster):
        roster = read_roster(roster)
    notebooks = [f"{notebook.stem}.ipynb" for notebook in course.source_notebooks(lab)]
    when = (received or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    course.submitted.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as opened:
        try:
            items, findings = _open(path, opened)
        except ArchiveError as error:
            # Whether it is a student's or a class's cannot be told: only a name that is known is taken for a student's.
            is_known = (course.submitted / path.stem).is_dir() or (roster and roster.find(student=path.stem))
            student = path.stem if is_known else ""
            return [_refused(course, lab, Bundle(student), path, when, f"{path.name}: {error}")]
        bundles = sort_items(items, lab, notebooks, None if path.is_dir() else path.stem, roster)
        if len(bundles) == 1 and bundles[0].student == path.stem:  # one student's own archive
            bundles[0].findings += findings
            findings = []
        collected = [_take(course, lab, bundle, notebooks, path, when) for bundle in bundles]
    if findings or not bundles:
        message = "" if findings else f"{path.name}: nothing in it can be used; name an archive with submissions"
        collected.append(Collected("", lab, path.name, "refused", message, findings=tuple(findings)))
    return sorted(collected, key=lambda each: each.student)


def _open(path: Path, opened: contextlib.ExitStack) -> tuple[Sequence[Item], list[Finding]]:
    if path.is_dir():
        return folder_items(path)
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ArchiveError("a link or no plain file; name the archive itself")
    return zip_items(opened.enter_context(path.open("rb")))


def _take(
    course: Course, lab: str, bundle: Bundle, notebooks: Sequence[str], origin: Path, when: datetime
) -> Collected:
    """Unpack one student's files beside the others' submissions, then put them in place."""
    bundle.student = unicodedata.normalize("NFC", bundle.student).strip()
    try:
        if bundle.refusal:
            raise ArchiveError(bundle.refusal)
        _check_student(course, bundle.student)
        with tempfile.TemporaryDirectory(prefix=".collect-", dir=course.submitted) as folder:
            files = unpack(bundle, notebooks, Path(folder))
            return _install(course, lab, bundle, Path(folder) / "files", files, origin, when)
    except (ArchiveError, OSError) as error:
        return _refused(course, lab, bundle, origin, when, str(error))


def _check_student(course: Course, student: str) -> None:
    if reason := refusal_of_student(student):
        raise ArchiveError(f"{student!r} cannot be the name of a student's folder: {reason}; name it in the roster")
    for other in course.submitted.iterdir():
        if other.name != student and same_name(other.name) == same_name(student):
            raise ArchiveError(
                f"the name {student!r} differs from the student {other.name!r} only in case or accents; if they are "
                "one, rename the file to that, otherwise tell them apart in the roster"
            )


def _install(
    course: Course, lab: str, bundle: Bundle, new: Path, files: tuple[str, ...], origin: Path, when: datetime
) -> Collected:
    """Put the new files in place; an earlier submission is moved aside, never overwritten."""
    home = course.submitted / bundle.student
    target, earlier, outcome = home / lab, "", "new"
    if home.is_symlink() or target.is_symlink():
        raise ArchiveError(f"{target} is a link to another place; remove the link and collect again")
    digest, before = digest_of(new), receipts.latest(course, lab).get(bundle.student)
    if target.is_dir():
        if digest_of(target) == digest:
            times = [before.received] if before and before.sha256 == digest else []
            kept = times[0] if times else _time_of(target, files)
            findings = tuple(bundle.findings)
            return Collected(bundle.student, lab, origin.name, "unchanged", "", files, kept, "", findings)
        aside = home / ".earlier" / lab / _stamp(when)
        number = 1
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{_stamp(when)}-{number}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        target.rename(aside)
        earlier, outcome = str(aside), "replaced"
    home.mkdir(exist_ok=True)
    for path in new.rglob("*"):
        os.utime(path, (when.timestamp(), when.timestamp()))
    new.rename(target)
    receipt = receipts.Receipt(bundle.student, lab, when.isoformat(), digest, "", _plain(bundle.findings))
    receipts.note(course, receipt)
    findings = tuple(bundle.findings)
    return Collected(bundle.student, lab, origin.name, outcome, "", files, receipt.received, earlier, findings)


def _refused(course: Course, lab: str, bundle: Bundle, origin: Path, when: datetime, message: str) -> Collected:
    student = bundle.student.encode("utf-8", "replace").decode()
    if student and refusal_of_student(student) is None:
        findings = _plain(bundle.findings)
        receipts.note(course, receipts.Receipt(student, lab, when.isoformat(), "", message, findings))
    return Collected(
        student, lab, origin.name, "refused", message, received=when.isoformat(), findings=tuple(bundle.findings)
    )


def _time_of(folder: Path, files: tuple[str, ...]) -> str:
    """The time of the newest file."""
    newest = max((folder / name).stat().st_mtime for name in files)
    return datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")


def _stamp(when: datetime) -> str:
    return when.strftime("%Y%m%dT%H%M%SZ")


def _plain(findings: Sequence[Finding]) -> tuple[tuple[str, str, str], ...]:
    return tuple((finding.kind, finding.cell, finding.message) for finding in findings)
