"""What happened to each submission: a file of JSON lines to which lines are only added.

It is what makes a round resumable: a submission whose files, lab and limits have not changed is not run again.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from autograder.course import Course
from autograder.intake import Finding, Status
from autograder.record import Points, SubmissionResult

__all__ = ["append", "as_json", "latest"]


def append(course: Course, result: SubmissionResult) -> None:
    """Add one line for a result."""
    course.events.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **as_json(result)})
    with course.events.open("a+b") as file:
        if file.tell() and _last_byte(file) != b"\n":  # an earlier line was cut off: leave it a line of its own
            file.write(b"\n")
        file.write(line.encode() + b"\n")


def _last_byte(file: Any) -> bytes:
    file.seek(-1, 2)
    return file.read(1)


def latest(course: Course, lab: str | None = None) -> dict[tuple[str, str], SubmissionResult]:
    """The last result of every submission, by lab and student.

    Lines that cannot be read, such as a last one that was cut off, are passed over.
    """
    results: dict[tuple[str, str], SubmissionResult] = {}
    if not course.events.exists():
        return results
    for line in course.events.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            result = _result(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue
        if lab is None or result.lab == lab:
            results[result.lab, result.student] = result
    return results


def as_json(result: SubmissionResult) -> dict[str, Any]:
    """A result as plain JSON data."""
    data = asdict(result)
    del data["reused"]
    return data


def _result(data: dict[str, Any]) -> SubmissionResult:
    del data["time"]
    data["status"] = Status(data["status"])
    data["points"] = {name: Points(**points) for name, points in data["points"].items()}
    data["findings"] = tuple(Finding(**finding) for finding in data["findings"])
    return SubmissionResult(**data)
