"""Runs that are finished and not yet recorded, on disk: what a killed round need not run again.

Each is a file of its own in ``grading/finished``, whole or not there at all; it is removed when the gradebook has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Course
from autograder.errors import StorageError
from autograder.execute import Executed
from autograder.plain import from_plain, to_plain

__all__ = ["Kept", "drop", "keep", "kept_runs"]


@dataclass(frozen=True)
class Kept:
    """A run, and the hash of all that it depends on."""

    executed: Executed
    sha256: str


def keep(course: Course, kept: Kept) -> None:
    """Put a run on the disk; it survives whatever happens after this returns.

    Raises
    ------
    StorageError
        If it cannot be written; then nothing of it is left.
    """
    path = _path(course, kept.executed.submission.lab, kept.executed.submission.student)
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            file.write(json.dumps(to_plain(kept)).encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise StorageError(
            f"{path} cannot be written: {error.strerror}; make room on that disk, then grade again: "
            "what has been recorded is kept"
        ) from error


def kept_runs(course: Course, lab: str) -> Iterator[Kept]:
    """The runs of a lab that are not recorded; files that cannot be read are removed."""
    for path in sorted(_folder(course).glob("*.json")):
        try:
            kept = from_plain(Kept, json.loads(path.read_bytes()))
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                path.unlink()
            continue
        if kept.executed.submission.lab == lab:
            yield kept


def drop(course: Course, lab: str, student: str) -> None:
    """Forget a run."""
    _path(course, lab, student).unlink(missing_ok=True)


def _folder(course: Course) -> Path:
    return course.grading / "finished"


def _path(course: Course, lab: str, student: str) -> Path:
    name = hashlib.sha256(os.fsencode(f"{lab}\0{student}")).hexdigest()
    return _folder(course) / f"{name}.json"


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
