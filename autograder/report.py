"""A lab's results as an instructor looks at them: what was hard, what went wrong, what deserves a second look."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from nbgrader.utils import is_solution

from autograder.assignment import LabNotebooks, read_lab
from autograder.course import Course
from autograder.errors import CourseError
from autograder.feedback import graded_notebooks
from autograder.pages.exercises import Exercise, exercises
from autograder.recording import events
from autograder.recording.gradebook import graded_results
from autograder.results import Points, SubmissionResult
from autograder.similarity import SimilarPair, similar_pairs
from autograder.submissions import Status

__all__ = ["Answers", "Report", "Spread", "TestSummary", "make_report", "write_report"]

BINS = 10
_MOST_ANSWER = 40_000  # characters of one cell: more than that, nobody has written


@dataclass(frozen=True)
class Spread:
    """The middle and the ends of some numbers."""

    least: float
    median: float
    mean: float
    most: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread | None:
        """None if there are none."""
        found = sorted(numbers)
        return cls(found[0], median(found), fmean(found), found[-1]) if found else None


@dataclass(frozen=True)
class TestSummary:
    """How a class did in one exercise.

    Attributes
    ----------
    exercise : Exercise
    outcomes : dict
        How many of those that were run ended how: ``passed``, ``partial``, ``failed``, ``timeout``, ``crashed``,
        ``not run``, ``waiting``.
    share : float or None
        The mean share of the points, from 0 to 1; None if nobody has any yet.
    seconds : Spread or None
    """

    __test__ = False  # not a test class of pytest's

    exercise: Exercise
    outcomes: dict[str, int]
    share: float | None
    seconds: Spread | None


@dataclass(frozen=True)
class Answers:
    """What a class has written: for each student the text of each answer cell.

    Attributes
    ----------
    texts : dict
        By student, then by cell.
    given : dict
        What they got in these cells.
    prose : frozenset of str
        The cells that hold text.
    """

    texts: dict[str, dict[str, str]]
    given: dict[str, str]
    prose: frozenset[str]


@dataclass(frozen=True)
class Report:
    """All that a report page shows."""

    lab: str
    results: tuple[SubmissionResult, ...]
    tests: tuple[TestSummary, ...]
    pairs: tuple[SimilarPair, ...]
    answers: Answers

    @property
    def maximum(self) -> float:
        """The points of the lab."""
        return max((result.maximum for result in self.results), default=0.0)

    @property
    def scores(self) -> list[float]:
        """The scores of those who have handed in something."""
        return [result.score for result in self.results if result.score is not None]

    @property
    def histogram(self) -> list[int]:
        """How many scores lie in each tenth of the points; a full score in the last."""
        bins = [0] * BINS
        for score in self.scores:
            share = score / self.maximum if self.maximum else 0.0
            bins[min(BINS - 1, max(0, int(share * BINS + 1e-9)))] += 1
        return bins

    @property
    def statuses(self) -> dict[str, int]:
        """How many submissions ended how, in the order of `Status`."""
        counts = Counter(result.status for result in self.results)
        return {str(status): counts[status] for status in Status if counts[status]}

    @property
    def flagged(self) -> list[SubmissionResult]:
        """Those with findings."""
        return [result for result in self.results if result.findings]

    @property
    def seconds(self) -> Spread | None:
        """How long the notebooks ran."""
        return Spread.of([result.seconds for result in self.results if result.status.was_run])

    @property
    def memory_mb(self) -> Spread | None:
        """What the notebooks needed at most, where that was measured."""
        return Spread.of([result.peak_memory_mb for result in self.results if result.peak_memory_mb])

    def to_dict(self) -> dict[str, Any]:
        """Everything but the answers, as dictionaries and lists."""
        return {
            "lab": self.lab,
            "submissions": len(self.results),
            "maximum": self.maximum,
            "scores": _as_dict(Spread.of(self.scores)),
            "histogram": self.histogram,
            "statuses": self.statuses,
            "seconds": _as_dict(self.seconds),
            "memory_mb": _as_dict(self.memory_mb),
            "tests": [_test_as_dict(test) for test in self.tests],
            "flagged": [
                {"student": result.student, "findings": [asdict(finding) for finding in result.findings]}
                for result in self.flagged
            ],
            "similar": [asdict(pair) for pair in self.pairs],
        }


def make_report(course: Course, lab: str) -> Report:
    """Look through a lab's results and answers.

    Raises
    ------
    CourseError
        If the lab has not been graded.
    """
    recorded = [result for _, result in sorted(events.latest(course, lab).items())]
    if not recorded:
        raise CourseError(f"{lab} has not been graded in {course.grading}; run autograder grade {lab} first")
    results = tuple(graded_results(course, recorded))
    notebooks = read_lab(course, lab)
    answers = _answers(course, notebooks, results)
    pairs = similar_pairs(answers.texts, answers.given, prose=answers.prose)
    tests = tuple(_summary(exercise, results) for exercise in exercises(notebooks.sources))
    return Report(lab, results, tests, tuple(pairs), answers)


def write_report(course: Course, lab: str) -> Path:
    """Write a lab's report as a page and as JSON, ``grading/report/LAB.html`` and ``.json``; return the page's path."""
    from autograder.pages.report_page import report_page

    report = make_report(course, lab)
    folder = course.grading / "report"
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"
    (folder / f"{lab}.json").write_text(data, encoding="utf-8", errors="replace")
    page = folder / f"{lab}.html"
    page.write_text(report_page(course, report, folder), encoding="utf-8", errors="replace")
    return page


def _summary(exercise: Exercise, results: Sequence[SubmissionResult]) -> TestSummary:
    found = [
        result.points[exercise.key] for result in results if result.status.was_run and exercise.key in result.points
    ]
    outcomes = Counter(_outcome(points) for points in found)
    scores = [points.score / points.maximum for points in found if points.score is not None and points.maximum]
    seconds = [points.seconds for points in found if points.seconds]
    return TestSummary(exercise, dict(outcomes), fmean(scores) if scores else None, Spread.of(seconds))


def _outcome(points: Points) -> str:
    """How a test ended; where that is not known, as its points say."""
    if points.score is None:
        return "waiting"
    by_points = "passed" if points.score >= points.maximum else "partial" if points.score > 0 else "failed"
    return points.outcome if points.outcome and by_points == "failed" else by_points


def _answers(course: Course, notebooks: LabNotebooks, results: Sequence[SubmissionResult]) -> Answers:
    several = len(notebooks.releases) > 1

    def of(notebooks_of_one: Mapping[str, Any]) -> dict[str, Any]:
        return {
            f"{name}: {cell.metadata.nbgrader.grade_id}" if several else cell.metadata.nbgrader.grade_id: cell
            for name, notebook in notebooks_of_one.items()
            for cell in notebook.cells
            if is_solution(cell)
        }

    given = of(notebooks.releases)
    texts = {}
    for result in results:
        if result.status.was_run:
            cells = of(graded_notebooks(course, notebooks.lab, result.student))
            texts[result.student] = {name: cell.source[:_MOST_ANSWER] for name, cell in cells.items()}
    prose = frozenset(name for name, cell in given.items() if cell.cell_type != "code")
    return Answers(texts, {name: cell.source for name, cell in given.items()}, prose)


def _as_dict(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else {name: round(value, 3) for name, value in asdict(spread).items()}


def _test_as_dict(test: TestSummary) -> dict[str, Any]:
    each = test.exercise
    return {
        "test": each.key,
        "title": each.title,
        "maximum": each.maximum,
        "hidden": each.hidden,
        "by_hand": each.by_hand,
        "outcomes": test.outcomes,
        "share": None if test.share is None else round(test.share, 4),
        "seconds": _as_dict(test.seconds),
    }
