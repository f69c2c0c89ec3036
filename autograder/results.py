"""What grading a submission came to, as plain records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from autograder.submissions import Finding, Status

__all__ = ["Points", "SubmissionResult", "graded_names"]


@dataclass(frozen=True)
class Points:
    """The points of one graded cell.

    Attributes
    ----------
    score : float or None
        None while a person has to give it.
    maximum : float
    outcome : str
        How the cell's test ended, an outcome of `autograder.jobs.TestResult`; empty for what is no test.
    seconds : float
        How long the test took.
    """

    score: float | None
    maximum: float
    outcome: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class SubmissionResult:
    """The recorded end of one submission.

    Attributes
    ----------
    student, lab : str
    status : Status
    message : str
        What went wrong and where; empty if nothing did.
    score : float or None
        The points so far, penalty for lateness subtracted; None if nothing was handed in.
    maximum : float
        The points of the lab.
    waiting : float
        How many of them wait for a person.
    penalty : float
        The points taken off because it came late.
    points : dict
        `Points` by the names that `graded_names` gives, in the lab's order.
    findings : tuple of Finding
    received : str or None
    seconds : float
        How long the notebooks ran.
    peak_memory_mb : float
        What they needed at most; 0 where that was not measured.
    sha256 : str
        A hash of all that the result depends on: the files, the lab, the limits.
    reused : bool
        Whether the result is that of an earlier run.
    """

    student: str
    lab: str
    status: Status
    message: str = ""
    score: float | None = None
    maximum: float = 0.0
    waiting: float = 0.0
    penalty: float = 0.0
    points: dict[str, Points] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    received: str | None = None
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    sha256: str = ""
    reused: bool = False


def graded_names(cells: Iterable[tuple[str, str]]) -> list[str]:
    """What graded cells are called: their grade_id, and where notebooks share one, the notebook's name before it.

    Parameters
    ----------
    cells : iterable of (notebook, grade_id)

    Examples
    --------
    >>> graded_names([("part1", "a"), ("part1", "b"), ("part2", "a")])
    ['part1/a', 'b', 'part2/a']
    """
    cells = list(cells)
    count = Counter(grade_id for _, grade_id in cells)
    return [f"{notebook}/{grade_id}" if count[grade_id] > 1 else grade_id for notebook, grade_id in cells]
