"""nbgrader's gradebook: opened once, its failures in plain words, and the points that it has now."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    GradeCell,
    InvalidEntry,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from nbgrader.api import Course as CourseRow
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from autograder.course import Course
from autograder.errors import CourseError, StorageError
from autograder.results import Points, SubmissionResult, graded_names
from autograder.submissions import Finding, Status

__all__ = ["GradebookError", "enrolled", "gradebook_errors", "graded_result", "graded_results", "open_gradebook"]


class GradebookError(StorageError):
    """The gradebook cannot be used now, its disk is full, its server does not answer."""


@contextmanager
def open_gradebook(course: Course) -> Iterator[Gradebook]:
    """Open the gradebook, made if there is none, for several operations in one thread.

    Raises
    ------
    GradebookError
        If it cannot be opened.
    """
    config = course.nbgrader_config().CourseDirectory
    with gradebook_errors(course), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _let_alembic_be_found()
        gradebook = Gradebook(config.db_url, course.course_id)
        if not course.course_id and gradebook.db.get(CourseRow, "") is None:
            # nbgrader makes no row for a course without a name, which PostgreSQL insists on
            gradebook.db.add(CourseRow(id=""))
            gradebook.db.commit()
    try:
        yield gradebook
    finally:
        gradebook.close()


def _let_alembic_be_found() -> None:
    """nbgrader starts `alembic` by name, also where the virtual environment is not activated."""
    scripts = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if scripts not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, path])


@contextmanager
def gradebook_errors(course: Course) -> Iterator[None]:
    """Turn a failure of the database into a message that says what to do."""
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise CourseError(f"the gradebook refuses a value: {_first_line(error)}") from error
    except (SQLAlchemyError, InvalidEntry) as error:
        raise GradebookError(_explained(course, _first_line(error))) from error


def _first_line(error: Exception) -> str:
    """What the database said, without the statement."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _explained(course: Course, reason: str) -> str:
    url = make_url(course.db_url)
    name = url.render_as_string(hide_password=True)
    if "is full" in reason or "No space left" in reason or "disk I/O error" in reason:
        remedy = "make room on that disk, then grade again"
    elif "locked" in reason:
        remedy = "another program is writing to it; end that, then grade again"
    elif "no such column" in reason or "no such table" in reason or "does not exist" in reason:
        remedy = "it may be of an older nbgrader: save a copy, then run `nbgrader db upgrade`"
    elif url.get_backend_name() == "sqlite":
        remedy = "see that the folder exists and can be written, then grade again"
    else:
        remedy = "see that the server runs and that address, user and password are right, then grade again"
    return f"the gradebook {name} cannot be used: {reason}; {remedy}. What has been run is kept"


def enrolled(course: Course) -> set[str]:
    """The students that the gradebook knows."""
    with open_gradebook(course) as gradebook, gradebook_errors(course):
        return {student.id for student in gradebook.students}


def graded_result(course: Course, result: SubmissionResult) -> SubmissionResult:
    """The result with the points that the gradebook has now, in the order of `result.points`."""
    return graded_results(course, [result])[0]


def graded_results(
    course: Course, results: Iterable[SubmissionResult], gradebook: Gradebook | None = None
) -> list[SubmissionResult]:
    """The results with the points that the gradebook has now; one query for each lab, however many they are.

    Parameters
    ----------
    course : Course
    results : iterable of SubmissionResult
    gradebook : Gradebook, optional
        One that is open already.
    """
    results = list(results)
    if not results:
        return []
    if gradebook is None:
        with open_gradebook(course) as opened:
            return graded_results(course, results, opened)
    with gradebook_errors(course), Session(gradebook.engine) as session:
        labs = {lab: _Lab(session, lab, results) for lab in {result.lab for result in results}}
    return [labs[result.lab].current(result) for result in results]


class _Lab:
    """What the gradebook has of one lab, for some of its students."""

    def __init__(self, session: Session, lab: str, results: list[SubmissionResult]) -> None:
        students = [result.student for result in results if result.lab == lab]
        chosen = SubmittedAssignment.student_id.in_(students) if len(students) <= 100 else True
        cell, grade, task = BaseCell.__table__, GradeCell.__table__, TaskCell.__table__
        cells = (
            select(Notebook.name, cell.c.name, func.coalesce(grade.c.max_score, task.c.max_score))
            .select_from(cell)
            .join(Notebook, Notebook.id == cell.c.notebook_id)
            .join(Assignment, Assignment.id == Notebook.assignment_id)
            .outerjoin(grade, grade.c.id == cell.c.id)
            .outerjoin(task, task.c.id == cell.c.id)
            .where(Assignment.name == lab, grade.c.id.is_not(None) | task.c.id.is_not(None))
            .order_by(Notebook.name, cell.c.name)
        )
        self._known = session.scalar(select(Assignment.id).where(Assignment.name == lab)) is not None
        self._maximum = {(notebook, name): float(most) for notebook, name, most in session.execute(cells)}
        self._names = dict(zip(self._maximum, graded_names(self._maximum), strict=True))
        submissions = (
            select(SubmittedAssignment.student_id, func.sum(SubmittedNotebook.late_submission_penalty))
            .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
            .outerjoin(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .where(Assignment.name == lab, chosen)
            .group_by(SubmittedAssignment.student_id)
        )
        self._penalties = {student: float(penalty or 0) for student, penalty in session.execute(submissions)}
        grades = (
            select(
                SubmittedAssignment.student_id,
                Notebook.name,
                BaseCell.name,
                (Grade.manual_score.is_not(None)) | (Grade.auto_score.is_not(None)),
                Grade.score,
            )
            .select_from(Grade)
            .join(BaseCell, BaseCell.id == Grade.cell_id)
            .join(SubmittedNotebook, SubmittedNotebook.id == Grade.notebook_id)
            .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
            .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
            .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
            .where(Assignment.name == lab, chosen)
        )
        self._grades: dict[str, dict[str, Points]] = {}
        for student, notebook, name, scored, score in session.execute(grades):
            points = Points(float(score) if scored else None, self._maximum[notebook, name])
            self._grades.setdefault(student, {})[self._names[notebook, name]] = points

    def current(self, result: SubmissionResult) -> SubmissionResult:
        """The result with today's points."""
        if not self._known:  # the gradebook was taken away
            return result
        maximum = sum(self._maximum.values(), 0.0)
        if result.student not in self._penalties:
            return replace(result, score=None, maximum=maximum, waiting=0.0, penalty=0.0, points={})
        order = {name: place for place, name in enumerate(result.points)}
        found = self._grades.get(result.student, {})
        points = {name: found[name] for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))}
        for name in points.keys() & result.points.keys():
            run = result.points[name]
            points[name] = replace(points[name], outcome=run.outcome, seconds=run.seconds)
        penalty = self._penalties[result.student]
        findings = result.findings
        if result.status is Status.MISSING and not findings:
            message = "the points are those of a submission that is no longer there"
            findings = (Finding("earlier", result.lab, message),)
        return replace(
            result,
            score=sum((each.score or 0.0 for each in points.values()), 0.0) - penalty,
            maximum=maximum,
            waiting=sum((each.maximum for each in points.values() if each.score is None), 0.0),
            penalty=penalty,
            points=points,
            findings=findings,
        )
