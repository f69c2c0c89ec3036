"""How far a round is, read from the event log by another process than the one that grades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from autograder.course import Course
from autograder.recording import events
from autograder.recording.locking import lock_holder

__all__ = ["RoundProgress", "duration", "round_progress"]


@dataclass(frozen=True)
class RoundProgress:
    """A round that is being graded.

    Attributes
    ----------
    lab : str
    process : int
    since : str
        In UTC, ISO 8601.
    submissions : int
    done : int
        How many have a result.
    seconds_left : float or None
        An estimate; None before the first result.
    """

    lab: str
    process: int
    since: str
    submissions: int
    done: int
    seconds_left: float | None


def round_progress(course: Course) -> RoundProgress | None:
    """The round that is being graded now; None if there is none."""
    holder = lock_holder(course)
    if holder is None:
        return None
    start, students = None, set[str]()
    for event in events.read(course):
        if event.get("event") == "started":
            start, students = event, set()
        elif event.get("event") == "recorded" and start is not None and event.get("lab") == start.get("lab"):
            students.add(str(event.get("student")))
    if start is None or start.get("process") != holder.process:
        return None  # it is still preparing
    unchanged = start["submissions"] - start["to_do"]
    left = None
    if students:
        elapsed = (datetime.now(UTC) - datetime.fromisoformat(start["time"])).total_seconds()
        left = elapsed / len(students) * max(0, start["to_do"] - len(students))
    done = min(unchanged + len(students), start["submissions"])
    return RoundProgress(start["lab"], holder.process, start["time"], start["submissions"], done, left)


def duration(seconds: float) -> str:
    """A time in words.

    Examples
    --------
    >>> duration(42), duration(150), duration(7260)
    ('42 s', '3 min', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = -(-int(seconds) // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
