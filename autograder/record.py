"""The fourth stage of grading: the one writer of nbgrader's gradebook.

nbgrader's own steps read the points from the outputs, so late penalties, manual grades and the formgrader work as its
documentation says. One submission is one transaction, and recording it again changes nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.api import Grade, Gradebook, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.utils import parse_utc
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Executed
from autograder.recording.gradebook import (
    GradebookError,
    enrolled,
    gradebook_errors,
    graded_result,
    graded_results,
    open_gradebook,
)
from autograder.recording.graded_folder import note_receipt, replace_folder, sources_in, sources_of
from autograder.recording.lab_rows import LabRows, notebooks_of, submissions_of
from autograder.recording.registration import nbgrader_converter, register_lab
from autograder.recording.scoring import Scoring
from autograder.results import Points, SubmissionResult, graded_names
from autograder.submissions import Status

__all__ = [
    "GradebookError",
    "Points",
    "Recorder",
    "SubmissionResult",
    "enrolled",
    "graded_names",
    "graded_result",
    "graded_results",
    "nbgrader_converter",
    "open_recorder",
    "record",
    "register_lab",
]

_PAUSES = (0, 2, 8)  # seconds
_T = TypeVar("_T")


def record(course: Course, executed: Executed, order: Sequence[str] = ()) -> SubmissionResult:
    """Write one submission's points into the gradebook, which is opened for it alone; see `Recorder.record`."""
    with open_recorder(course, executed.submission.lab, order) as recorder:
        return recorder.record(executed)


@contextmanager
def open_recorder(
    course: Course, lab: str, order: Sequence[str] = (), files: Mapping[str, Path] | None = None
) -> Iterator[Recorder]:
    """Open the gradebook to record submissions of one lab that is registered in it.

    Parameters
    ----------
    course : Course
    lab : str
    order : sequence of str
        The names of the graded cells, as `graded_names` gives them: results list the points in this order, which the
        gradebook does not keep.
    files : mapping, optional
        The files that come with the lab, by name: they are put beside each graded notebook, as nbgrader does.
    """
    with open_gradebook(course) as gradebook:
        yield Recorder(course, gradebook, lab, order, files or {})


class Recorder:
    """The writer of one lab's grades; made by `open_recorder`, used by one thread."""

    def __init__(
        self, course: Course, gradebook: Gradebook, lab: str, order: Sequence[str], files: Mapping[str, Path]
    ) -> None:
        self.course, self.gradebook, self.lab = course, gradebook, lab
        self._order, self._files = order, files
        self._scoring = Scoring(course, lab)
        with gradebook_errors(course), self._session() as session:
            self._rows = LabRows(session, lab)

    def record(self, executed: Executed) -> SubmissionResult:
        """Write one submission's points into the gradebook, and its graded notebooks into their folder.

        A submission that was not run scores 0, and so does a notebook that is not there; one that was not handed in
        only makes the student known. Grades, comments and extra credit given by hand stay as they are.

        Raises
        ------
        CourseError
            If nbgrader cannot record this submission.
        GradebookError
            If the gradebook cannot be used at all.
        """
        submission = executed.submission
        graded = _patiently(lambda: self._write(executed))
        folder = self.course.autograded / submission.student / self.lab
        if graded:
            replace_folder(folder, graded, self._files, submission.received)
            note_receipt(self.course.submitted / submission.student / self.lab, submission.received)
            self._scoring.converter.set_permissions(self.lab, submission.student)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        result = SubmissionResult(
            submission.student,
            self.lab,
            executed.status,
            executed.message,
            points={name: Points(None, 0.0) for name in self._order} | _tests_of(executed, self._rows.labels),
            findings=executed.findings,
            received=submission.received,
            seconds=executed.seconds,
            peak_memory_mb=max(
                (_noted(each).get("peak_memory_mb", 0.0) for each in executed.notebooks.values()), default=0.0
            ),
        )
        return self.current([result])[0]

    def current(self, results: Iterable[SubmissionResult]) -> list[SubmissionResult]:
        """The results with the points that the gradebook has now."""
        results = list(results)
        return _patiently(lambda: graded_results(self.course, results, self.gradebook))

    def renew_penalties(self) -> None:
        """Apply today's due date and policy to what was recorded before."""
        with gradebook_errors(self.course), self._session() as session:
            for submitted in session.scalars(submissions_of(self.lab)).all():
                for row in session.scalars(notebooks_of(submitted)).all():
                    self._scoring.penalise(session, row)
            session.commit()

    def _session(self) -> Session:
        return Session(self.gradebook.engine, expire_on_commit=False)

    def _write(self, executed: Executed) -> dict[str, NotebookNode]:
        """Bring the gradebook up to date, in one transaction; the answer is the graded notebooks."""
        submission, graded = executed.submission, {}
        with gradebook_errors(self.course), self._session() as session:
            if session.get(Student, submission.student) is None:
                session.add(Student(id=submission.student))
            if executed.status is not Status.MISSING:
                mine = submissions_of(self.lab).where(SubmittedAssignment.student_id == submission.student)
                submitted = session.scalar(mine) or self._rows.add_submission(session, submission.student)
                if submission.received is not None:
                    submitted.timestamp = parse_utc(submission.received)
                for row in session.scalars(notebooks_of(submitted)).all():
                    name = self._rows.notebooks[row.notebook_id]
                    if name in executed.notebooks:
                        graded[name] = self._score(session, row, name, executed.notebooks[name])
                    else:
                        self._scoring.give_nothing(session, row)
            session.commit()
        return graded

    def _score(self, session: Session, row: SubmittedNotebook, name: str, notebook: NotebookNode) -> NotebookNode:
        """Give a notebook its points; what a person decided needs another look only if its reasons have changed."""
        student = row.assignment.student_id
        by_hand = select(Grade).where(Grade.notebook_id == row.id, Grade.manual_score.is_not(None))
        before = [(grade, grade.auto_score, grade.needs_manual_grade) for grade in session.scalars(by_hand)]
        known = bool(before) and sources_of(notebook) == sources_in(
            self.course.autograded / student / self.lab / f"{name}.ipynb"
        )
        notebook = nbformat.from_dict(notebook)
        for cell in notebook.cells:
            settings = cell.metadata.get("nbgrader", {})
            if settings.get("grade_id") in self._rows.checksums[row.notebook_id]:
                settings["checksum"] = self._rows.checksums[row.notebook_id][settings["grade_id"]]
        try:
            notebook = self._scoring.score(session, row, name, notebook, self._rows.names)
        except (CourseError, SQLAlchemyError):
            raise
        except Exception as error:  # a step of nbgrader's, or of the course's own
            reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            raise CourseError(f"nbgrader could not record {student}'s {self.lab}: {reason}") from error
        for grade, auto_score, needed in before:
            if known and grade.auto_score == auto_score:
                grade.needs_manual_grade = needed
        return notebook


def _patiently(use: Callable[[], _T]) -> _T:
    """Use the gradebook, again after a while if that fails: a server that is started anew is back within seconds."""
    for pause in _PAUSES:
        try:
            return use()
        except GradebookError:
            time.sleep(pause)
    return use()


def _tests_of(executed: Executed, labels: Mapping[tuple[str, str], str]) -> dict[str, Points]:
    """How each test ended and how long it took, as the run has noted it in the notebooks."""
    found = {}
    for name, notebook in executed.notebooks.items():
        for cell in notebook.cells:
            label = labels.get((name, cell.metadata.get("nbgrader", {}).get("grade_id", "")))
            if label is not None and (noted := _noted(cell)):
                outcome, seconds = str(noted.get("outcome", "")), float(noted.get("seconds", 0.0))
                found[label] = Points(None, 0.0, outcome, seconds)
    return found


def _noted(part: NotebookNode) -> NotebookNode:
    """What the run has noted in a notebook or a cell; nothing there is a student's."""
    return part.metadata.get("autograder", {})
