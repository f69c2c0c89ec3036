"""What a late submission costs: due dates in the gradebook, and a policy in plain words.

In the course's ``nbgrader_config.py``::

    c.AssignLatePenalties.plugin_class = "autograder.late.LatePenalties"
    c.LatePenalties.policy = "10 % a day, at most 50 %, 15 minutes grace"

nbgrader applies it wherever it records points; any other plugin of nbgrader's kind works as well. How late a
submission is follows from the time of its receipt, from the lab's due date and from the student's extension.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbgrader.plugins import BasePlugin
from traitlets import TraitError, Unicode, validate

from autograder.course import Course
from autograder.errors import UsageError
from autograder.record import open_recorder
from autograder.recording.gradebook import gradebook_errors, open_gradebook
from autograder.recording.locking import grading_lock

__all__ = ["LatePenalties", "LatePolicy", "due", "parse_moment", "set_due"]

_UNITS = {"minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_NUMBER = r"(\d+(?:\.\d+)?)"
_UNIT = r"(minute|hour|day|week)s?"
_CLAUSES = {
    "rate": re.compile(rf"{_NUMBER} ?% (?:an?|per|each) {_UNIT}"),
    "most": re.compile(rf"at most {_NUMBER} ?%"),
    "grace": re.compile(rf"{_NUMBER} {_UNIT} grace"),
    "closed": re.compile(rf"nothing after {_NUMBER} {_UNIT}"),
}
_GRAMMAR = (
    'write "none", or some of these with commas between them: "10 % a day", "at most 50 %", "15 minutes grace", '
    '"nothing after 7 days" (minutes, hours, days or weeks)'
)


@dataclass(frozen=True)
class LatePolicy:
    """Which share of the points earned is lost by being late.

    Attributes
    ----------
    share : float
        Of the points earned, for each `unit` that has begun; from 0 to 1.
    unit : float
        In seconds.
    most : float
        The largest share that is lost, while anything is accepted.
    grace : float
        Seconds that cost nothing; after them all of the time since the due date counts.
    closed : float
        Seconds after which everything is lost.

    Examples
    --------
    >>> policy = LatePolicy.parse("10 % a day, at most 50 %, 15 minutes grace")
    >>> policy.penalty(20, 10 * 60), policy.penalty(20, 16 * 60), policy.penalty(20, 9 * 86400)
    (0.0, 2.0, 10.0)
    """

    share: float = 0.0
    unit: float = 86400.0
    most: float = 1.0
    grace: float = 0.0
    closed: float = math.inf

    @classmethod
    def parse(cls, text: str) -> LatePolicy:
        """Read a policy.

        Raises
        ------
        ValueError
            If a part is not understood or stands twice, or a percentage is over 100.
        """
        found: dict[str, tuple[str, ...]] = {}
        for part in text.strip().lower().split(","):
            words = " ".join(part.split())
            if words == "none" and text.strip().lower() == "none":
                return cls()
            kind = next((kind for kind, clause in _CLAUSES.items() if clause.fullmatch(words)), None)
            if kind is None:
                raise ValueError(f"late policy {text!r}: cannot read {words!r}; {_GRAMMAR}")
            if kind in found:
                raise ValueError(f"late policy {text!r}: {words!r} says for the second time what {kind!r} is; keep one")
            found[kind] = _CLAUSES[kind].fullmatch(words).groups()
        values: dict[str, float] = {}
        for kind, name in (("rate", "share"), ("most", "most")):
            if kind in found:
                values[name] = float(found[kind][0]) / 100
                if values[name] > 1:
                    raise ValueError(f"late policy {text!r}: {found[kind][0]} % is more than all; at most 100 %")
        if "rate" in found:
            values["unit"] = _UNITS[found["rate"][1]]
        elif "most" in found:
            raise ValueError(f'late policy {text!r}: "at most" needs a rate to limit, as "10 % a day"')
        for kind in ("grace", "closed"):
            if kind in found:
                values[kind] = float(found[kind][0]) * _UNITS[found[kind][1]]
        if values.get("grace", 0.0) > values.get("closed", math.inf):
            raise ValueError(f"late policy {text!r}: the grace is longer than the time in which anything is accepted")
        return cls(**values)

    def penalty(self, score: float, seconds_late: float) -> float:
        """The points lost of a score."""
        if seconds_late <= self.grace:
            return 0.0
        if seconds_late > self.closed:
            return float(score)
        return score * min(self.most, self.share * math.ceil(seconds_late / self.unit))


class LatePenalties(BasePlugin):
    """nbgrader's plugin for a `LatePolicy`."""

    policy = Unicode("none", help=f"What a late submission costs: {_GRAMMAR}.").tag(config=True)

    @validate("policy")
    def _check_policy(self, proposal: dict[str, Any]) -> str:
        try:
            LatePolicy.parse(proposal["value"])
        except ValueError as error:
            raise TraitError(str(error)) from None
        return proposal["value"]

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        """The points that nbgrader takes off."""
        return LatePolicy.parse(self.policy).penalty(score, total_seconds_late)


def due(course: Course, lab: str) -> datetime | None:
    """When a lab is due, in UTC; None if it has no due date."""
    with open_gradebook(course) as gradebook, gradebook_errors(course):
        found = [assignment.duedate for assignment in gradebook.assignments if assignment.name == lab]
    return found[0].replace(tzinfo=UTC) if found and found[0] is not None else None


def set_due(course: Course, lab: str, when: str) -> datetime | None:
    """Set when a lab is due, and bring the penalties of what has been recorded up to date.

    Parameters
    ----------
    course : Course
    lab : str
    when : str
        ISO 8601 with the offset from UTC, as ``2026-12-01T23:59+01:00``; or ``none``.

    Returns
    -------
    datetime or None
        The due date in UTC.

    Raises
    ------
    UsageError
        If there is no such lab, or the time is not understood.
    CourseError
        If a round is being graded.
    """
    course.check_lab(lab)
    moment = None if when == "none" else parse_moment(when)
    with grading_lock(course, f"due {lab} {when}"):
        with open_gradebook(course) as gradebook, gradebook_errors(course):
            naive = None if moment is None else moment.replace(tzinfo=None)  # nbgrader's are in UTC, without saying so
            gradebook.update_or_create_assignment(lab, duedate=naive)
        with open_recorder(course, lab) as recorder:
            recorder.renew_penalties()
    return moment


def parse_moment(text: str) -> datetime:
    """A time with its time zone, in UTC.

    Raises
    ------
    UsageError
        If it is no ISO 8601, or names no offset from UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: write it as 2026-12-01T23:59+01:00, or none for no due date") from None
    if moment.tzinfo is None:
        raise UsageError(
            f"{text!r} does not say in which time zone: add its offset from UTC, as in {text}+01:00, or Z for UTC"
        )
    return moment.astimezone(UTC)
