"""When what was received, and what was wrong with it: the grader's own notes, out of the students' reach."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from autograder.course import Course

__all__ = ["Receipt", "latest", "note"]


@dataclass(frozen=True)
class Receipt:
    """One student's submission of one lab, as it came in.

    Attributes
    ----------
    student, lab : str
    received : str
        In UTC, ISO 8601: when it was collected, or what the instructor said.
    sha256 : str
        The hash of the files that were unpacked; empty if it was refused.
    refusal : str
        Why nothing of it could be used, in words for the student.
    findings : tuple of (kind, cell, message)
    """

    student: str
    lab: str
    received: str
    sha256: str = ""
    refusal: str = ""
    findings: tuple[tuple[str, str, str], ...] = ()

    @property
    def time(self) -> datetime:
        """The time of receipt."""
        return datetime.fromisoformat(self.received).astimezone(UTC)


def note(course: Course, receipt: Receipt) -> None:
    """Add one line."""
    path = course.grading / "receipts"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(receipt)) + "\n")


def latest(course: Course, lab: str) -> dict[str, Receipt]:
    """The last receipt of each student; a line that was cut off is passed over."""
    found: dict[str, Receipt] = {}
    path = course.grading / "receipts"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        try:
            values = json.loads(line)
            receipt = Receipt(**{**values, "findings": tuple(map(tuple, values["findings"]))})
        except (ValueError, KeyError, TypeError):
            continue
        if receipt.lab == lab:
            found[receipt.student] = receipt
    return found
