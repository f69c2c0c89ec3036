"""One writer at a time: a lock on the folder in which a round is graded.

The operating system gives the lock back when its holder ends, however it ends, so what a killed round leaves behind
never has to be removed by hand.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from autograder.course import Course
from autograder.errors import CourseError

__all__ = ["Holder", "grading_lock", "lock_holder"]

_TRIES = 10


@dataclass(frozen=True)
class Holder:
    """Who grades.

    Attributes
    ----------
    process : int
    user, host : str
    since : str
        In UTC, ISO 8601.
    doing : str
        What it does, as one would tell the `autograder` command.
    """

    process: int
    user: str
    host: str
    since: str
    doing: str


@contextmanager
def grading_lock(course: Course, doing: str) -> Iterator[None]:
    """Be the only one who writes grades into a course's grading folder.

    Parameters
    ----------
    course : Course
    doing : str
        What for, as one would tell the `autograder` command: another process is shown it.

    Raises
    ------
    CourseError
        If another process holds the lock, with who it is and how to end it; or if the folder cannot be locked.
    """
    path = course.grading / "lock"
    with contextlib.ExitStack() as stack:
        try:
            course.grading.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a+", encoding="utf-8"))
        except OSError as error:
            raise CourseError(f"{path} cannot be written: {error.strerror}; mend that, then try again") from None
        _lock(course, file)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(os.getpid(), _user(), socket.gethostname(), now, doing)
        with contextlib.suppress(OSError):  # on a full disk the lock holds, only its note is missing
            file.truncate(0)
            file.write(json.dumps(asdict(holder)))
            file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _lock(course: Course, file: TextIO) -> None:
    """Take the lock, or say who has it."""
    path = course.grading / "lock"
    for patience in range(_TRIES, 0, -1):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise CourseError(
                    f"{path} cannot be locked ({error.strerror}): its file system has no locks; "
                    "grade into a folder on another disk with --grading DIR"
                ) from None
        holder = _read(path)
        if holder.process or patience == 1:
            raise CourseError(_refusal(course, holder))
        time.sleep(0.1)  # it has only just got the lock, or only looks who has it


def lock_holder(course: Course) -> Holder | None:
    """Who grades in the course's grading folder now; None if nobody does."""
    path = course.grading / "lock"
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        return _read(path)
    return None


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # it has the lock and has not written its note yet
        return Holder(0, "unknown", "unknown", "unknown", "grade")


def _refusal(course: Course, holder: Holder) -> str:
    if holder.process == 0:
        return f"{course.grading} is being graded by another process; wait until it has ended, then try again"
    place = f"on {holder.host}" if holder.host != socket.gethostname() else "on this machine"
    return (
        f"{course.grading} is being graded by process {holder.process} of {holder.user} {place} since {holder.since} "
        f"(autograder {holder.doing}); wait for it, or end it there with: kill {holder.process}. "
        "What it has done is kept"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
