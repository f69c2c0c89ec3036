"""Grading a small class with the engine, for the tests of what comes out of a round."""

from __future__ import annotations

from dataclasses import replace

from autograder.assignment import read_lab
from autograder.course import Course
from autograder.execute import Engine, execute
from autograder.intake import intake
from autograder.leaderboard import entry_findings
from autograder.normalise import normalise
from autograder.record import SubmissionResult, graded_names, record, register_lab
from autograder.recording import events
from autograder.sandbox.limits import Limits

LIMITS = Limits(cell_seconds=5, notebook_seconds=60)


def grade_class(course: Course, engine: Engine, lab: str = "tiny") -> list[SubmissionResult]:
    """Run and record all that was handed in for a lab, sorted by student."""
    notebooks = read_lab(course, lab)
    register_lab(course, lab, notebooks.authored)
    order = graded_names(notebooks.graded)
    results = []
    for submission in intake(course, lab):
        executed = execute(normalise(submission, notebooks.sources, notebooks.releases), LIMITS, engine=engine)
        executed = replace(executed, findings=(*executed.findings, *entry_findings(executed)))
        results.append(record(course, executed, order))
        events.append(course, results[-1])
    return results
