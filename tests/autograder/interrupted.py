"""Grades the lab ``tiny`` in a process of its own that is killed, or whose disk is full, at a given point.

Run as ``python -m tests.autograder.interrupted COURSE GRADING [POINT]``: it kills itself, as if the machine had failed,
when it comes to the point for the second time; points with ``full`` let every write fail from then on.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from autograder import record
from autograder.course import Course
from autograder.errors import StorageError
from autograder.execute import Limits
from autograder.pipeline import grade
from autograder.record import Recorder
from autograder.recording import events, ledger

LIMITS = Limits(cell_seconds=30, notebook_seconds=120)
DISK_FULL = 3
"""The exit status when the round ended because nothing could be written."""


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill(bytes_left: int) -> Callable[..., None]:
    """Let no file of this process grow beyond a size."""
    return lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, resource.RLIM_INFINITY))


def second_time(strike: Callable[..., None]) -> Callable[..., None]:
    times = []

    def counted(*arguments: Any) -> None:
        times.append(1)
        if len(times) == 2:
            strike(*arguments)

    return counted


def before(owner: Any, name: str, strike: Callable[..., None]) -> None:
    """Let something happen before a function is called."""
    function = getattr(owner, name)

    def first_strike(*arguments: Any, **options: Any) -> Any:
        strike(*arguments)
        return function(*arguments, **options)

    setattr(owner, name, first_strike)


def in_statement(begins: str, strike: Callable[..., None]) -> None:
    """Let something happen before the database is told something."""

    @event.listens_for(Engine, "before_cursor_execute")
    def look(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(begins):
            strike()


def cut_line(course: Course) -> Callable[..., None]:
    """Write the first half of a line of the log, and die."""

    def strike(*_: Any) -> None:
        with course.events.open("ab") as file:
            file.write(b'{"time": "2026-01-01T00:00:00+00:00", "event": "recor')
        die()

    return strike


def half_kept(course: Course) -> Callable[..., None]:
    """Write the first half of a run that is to be kept, and die."""

    def strike(*_: Any) -> None:
        folder = course.grading / "finished"
        folder.mkdir(exist_ok=True)
        (folder / "half.json").write_text('{"executed": {"submission": ')
        die()

    return strike


def points(course: Course) -> dict[str, Callable[[], None]]:
    """What is to be set up for each point, in the order in which a submission comes to them."""
    return {
        "before a run is kept": lambda: before(ledger, "keep", second_time(die)),
        "while a run is kept": lambda: before(ledger, "keep", second_time(half_kept(course))),
        "disk full, nothing is kept": lambda: before(ledger, "keep", second_time(fill(0))),
        "after a run is kept": lambda: before(events, "note", second_time(die)),
        "disk full for the gradebook": lambda: before(Recorder, "record", second_time(fill(100_000))),
        "inside the transaction": lambda: in_statement("UPDATE grade ", second_time(die)),
        "before the commit": lambda: event.listen(Engine, "commit", second_time(die)),
        "between gradebook and folder": lambda: before(record, "replace_folder", second_time(die)),
        "between the folders": lambda: before(Path, "rename", second_time(die)),
        "before it is noted": lambda: before(events, "append", second_time(die)),
        "while it is noted": lambda: before(events, "append", second_time(cut_line(course))),
        "before the run is forgotten": lambda: before(ledger, "drop", second_time(die)),
    }


def main() -> None:
    course = Course.find(sys.argv[1], sys.argv[2])
    if len(sys.argv) > 3:
        points(course)[sys.argv[3]]()
    try:
        finished = grade(course, "tiny", limits=LIMITS, jobs=1, with_solution=False)
    except StorageError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(error)
        sys.exit(DISK_FULL)
    for failure in finished.failures:
        print(failure.student, failure.reason)
    sys.exit(1 if finished.failures else 0)


if __name__ == "__main__":
    main()
