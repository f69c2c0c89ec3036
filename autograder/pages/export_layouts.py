"""How other systems want grades to be laid out.

Canvas reads the gradebook that it exports itself (columns ``Student, ID, SIS User ID, SIS Login ID, Section``,
one ``NAME (NUMBER)`` for each assignment, and a row ``Points Possible``). Moodle reads an assignment's offline grading
worksheet (``Identifier``, ``Grade``, ``Last modified (grade)`` and ``Feedback comments``) and, for its gradebook, any
file whose columns one maps by hand. Gradescope reads a ``results.json`` for each submission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograder.commands.tables import amount
from autograder.course import Course
from autograder.feedback import graded_notebooks
from autograder.pages.exercises import Exercise, exercises
from autograder.pages.feedback_page import MEANINGS, verdict
from autograder.pages.student_view import student_view
from autograder.receiving.roster import Person
from autograder.results import SubmissionResult

__all__ = ["canvas_rows", "gradescope_results", "moodle_rows", "plain_rows"]


def plain_rows(results: Sequence[SubmissionResult]) -> list[list[Any]]:
    """Everything that is known of each submission, for a spreadsheet."""
    cells = list(max(results, key=lambda result: len(result.points)).points)
    titles = ["student", "status", "score", "maximum", "waiting", "late penalty", "received", "seconds", "findings"]
    rows: list[list[Any]] = [[*titles, *cells]]
    for result in results:
        findings = "; ".join(f"{finding.kind} ({finding.cell})" for finding in result.findings)
        points = [result.points[cell].score if cell in result.points else None for cell in cells]
        facts = [result.student, str(result.status), result.score, result.maximum, result.waiting, result.penalty]
        rows.append([*facts, result.received, result.seconds, findings, *points])
    return rows


def canvas_rows(results: Sequence[SubmissionResult], people: dict[str, Person], assignment: str) -> list[list[Any]]:
    """A gradebook with one assignment, as Canvas imports it."""
    titles = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]
    possible = ["    Points Possible", None, None, None, None, max((r.maximum for r in results), default=0.0)]
    rows: list[list[Any]] = [titles, possible]
    for result in results:
        person = people[result.student]
        ids = [person.canvas, person.sis_user, person.sis_login, person.section]
        rows.append([person.name or result.student, *ids, result.score])
    return rows


def moodle_rows(course: Course, results: Sequence[SubmissionResult], people: dict[str, Person]) -> list[list[Any]]:
    """An assignment's grading worksheet, as Moodle reads it back; its gradebook can import it too."""
    titles = ["Identifier", "Full name", "Email address", "Grade", "Maximum Grade", "Last modified (grade)"]
    rows: list[list[Any]] = [[*titles, "Feedback comments"]]
    for result in results:
        person = people[result.student]
        identifier = f"Participant {person.moodle}" if person.moodle else ""
        row = [identifier, person.name, person.email, result.score, result.maximum, "-", _summary(course, result)]
        rows.append(row)
    return rows


def _summary(course: Course, result: SubmissionResult) -> str:
    """A student's results in a few lines."""
    lines = [f"{assessed.title}: {said}" for assessed, said, _ in _verdicts(course, result)]
    head = "" if result.status == "ok" else f"{MEANINGS[result.status]} {result.message}".strip()
    return "\n".join(filter(None, [head, *lines]))


def gradescope_results(course: Course, result: SubmissionResult) -> dict[str, Any]:
    """One submission as ``results.json``; points that wait for a person are left to a person there."""
    tests = [
        {
            "name": assessed.title,
            "number": str(number),
            "score": result.points[assessed.key].score,
            "max_score": assessed.maximum,
            "status": "passed" if result.points[assessed.key].score == assessed.maximum else "failed",
            "output": message or said,
            "visibility": "visible",
        }
        for number, (assessed, said, message) in enumerate(_verdicts(course, result), 1)
        if result.points[assessed.key].score is not None
    ]
    return {
        "score": result.score,
        "execution_time": result.seconds,
        "output": " ".join(filter(None, [MEANINGS[result.status], result.message])),
        "output_format": "text",
        "visibility": "after_published",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {
            "student": result.student,
            "lab": result.lab,
            "status": str(result.status),
            "maximum": result.maximum,
            "waiting": result.waiting,
            "findings": [f"{finding.kind}: {finding.cell}: {finding.message}" for finding in result.findings],
        },
    }


def _verdicts(course: Course, result: SubmissionResult) -> list[tuple[Exercise, str, str]]:
    """Each exercise with what became of it, as its author may read it."""
    notebooks = graded_notebooks(course, result.lab, result.student) if result.status.was_run else {}
    cells = {
        (name, cell.metadata.get("nbgrader", {}).get("grade_id")): cell
        for name, notebook in notebooks.items()
        for cell in student_view(notebook).cells
    }
    found = []
    for each in exercises(notebooks):
        if (points := result.points.get(each.key)) is not None:
            said = verdict(each, points, cells.get((each.notebook, each.grade_id)))
            score = "" if points.score is None else f", {amount(points.score)} of {amount(points.maximum)}"
            found.append((each, f"{said.state}{score}", said.message))
    return found
