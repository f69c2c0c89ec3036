"""What happened to each submission: a file of JSON lines to which lines are only added.

A round writes ``started``, for each submission ``finished`` as soon as its run is kept on disk
(`autograder.recording.kept`) and ``recorded`` when the gradebook has it, and ``ended``. It is what makes a round
resumable: a submission whose files, lab and limits have not changed since it was recorded is not run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from autograder.course import Course
from autograder.errors import StorageError
from autograder.plain import from_plain, to_plain
from autograder.results import SubmissionResult

__all__ = ["append", "as_json", "latest", "note", "read"]

_RECORDED = "recorded"


def append(course: Course, result: SubmissionResult) -> None:
    """Add the line of a result that the gradebook has; it is on the disk when this returns."""
    note(course, _RECORDED, durable=True, **as_json(result))


def note(course: Course, event: str, *, durable: bool = False, **values: Any) -> None:
    """Add one line.

    Parameters
    ----------
    course : Course
    event : str
    durable : bool
        Wait until the line is on the disk.
    **values
        What there is to say, as JSON data.

    Raises
    ------
    StorageError
        If the line cannot be written; then nothing of it is left.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, "event": event, **values}).encode() + b"\n"
    try:
        course.events.parent.mkdir(parents=True, exist_ok=True)
        with course.events.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":  # one was cut off: leave it a line of its own
                line = b"\n" + line
            try:
                if file.write(line) != len(line):
                    raise OSError(28, "No space left on device")
                if durable:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise StorageError(
            f"{course.events} cannot be written: {error.strerror}; make room on that disk, then grade again: "
            "what has been recorded is kept"
        ) from error


def read(course: Course) -> Iterator[dict[str, Any]]:
    """All events, the oldest first. Lines that cannot be read, such as a last one that was cut off, are passed over."""
    if not course.events.exists():
        return
    with course.events.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "time" in event:
                yield event


def latest(course: Course, lab: str | None = None) -> dict[tuple[str, str], SubmissionResult]:
    """The last result of every submission, by lab and student."""
    results: dict[tuple[str, str], SubmissionResult] = {}
    for event in read(course):
        if event.pop("event", _RECORDED) != _RECORDED or lab not in (None, event.get("lab")):
            continue
        del event["time"]
        try:
            result = from_plain(SubmissionResult, event)
        except ValueError:
            continue
        results[result.lab, result.student] = result
    return results


def as_json(result: SubmissionResult) -> dict[str, Any]:
    """A result as plain JSON data."""
    data = to_plain(result)
    del data["reused"]
    return data
