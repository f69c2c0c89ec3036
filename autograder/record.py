"""The fourth stage of grading: the one writer of nbgrader's gradebook.

nbgrader's own converter reads the executed notebook and gives the points, so late penalties, manual grades and the
formgrader work as its documentation says; it is configured not to execute anything.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Executed
from autograder.intake import Finding, Status

__all__ = ["Points", "SubmissionResult", "enrolled", "graded_result", "nbgrader_converter", "record", "register_lab"]


@dataclass(frozen=True)
class Points:
    """The points of one graded cell; `score` is None while a person has to give it."""

    score: float | None
    maximum: float


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
    points : dict
        `Points` by grade_id.
    findings : tuple of Finding
    received : str or None
    seconds : float
        How long the notebook ran.
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
    points: dict[str, Points] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    received: str | None = None
    seconds: float = 0.0
    sha256: str = ""
    reused: bool = False


def register_lab(course: Course, lab: str, source_nb: NotebookNode) -> None:
    """Make the lab known to the gradebook, or bring what the gradebook knows of it up to date.

    Raises
    ------
    CourseError
        If graded cells came or went while the gradebook holds submissions: nbgrader refuses that.
    """
    with tempfile.TemporaryDirectory(prefix="factorkit-") as folder:
        notebook = Path(folder) / "source" / lab / f"{lab}.ipynb"
        notebook.parent.mkdir(parents=True)
        nbformat.write(source_nb, notebook)
        config = course.nbgrader_config()
        config.CourseDirectory.source_directory = str(notebook.parents[1])
        config.CourseDirectory.release_directory = f"{folder}/release"
        with nbgrader_converter(GenerateAssignment, config, lab) as converter:
            try:
                converter.start()
            except (NbGraderException, SystemExit):
                raise CourseError(_registration_failure(course, lab, converter)) from None


def _registration_failure(course: Course, lab: str, converter: BaseConverter) -> str:
    reason = "\n".join(converter.log.handlers[0].messages)
    if "Cannot add or remove cells" in reason:
        return (
            f"the graded cells of {lab} are no longer those that {course.db_url} has grades for; grade into another "
            f"folder with --grading DIR, or remove the old grades with: nbgrader db assignment remove {lab} --force"
        )
    return (
        f"nbgrader could not register {lab}: {reason.strip().splitlines()[-1] if reason.strip() else 'no reason given'}"
    )


def record(course: Course, executed: Executed, order: Sequence[str] = ()) -> SubmissionResult:
    """Write one submission's points into the gradebook.

    A submission that was not run scores 0; one that was not handed in only makes the student known. Grades given by
    hand stay as they are. The result lists the points by `order`, grade_ids, which the gradebook does not keep.

    Raises
    ------
    CourseError
        If nbgrader cannot record the submission.
    """
    submission = executed.submission
    student, lab = submission.student, submission.lab
    if executed.notebook is not None:
        _autograde(course, executed)
    else:
        shutil.rmtree(course.autograded / student / lab, ignore_errors=True)
        with _gradebook(course) as gradebook:
            gradebook.update_or_create_student(student)
            if executed.status is not Status.MISSING:
                _give_nothing(gradebook, lab, student)
    return graded_result(
        course,
        SubmissionResult(
            student,
            lab,
            executed.status,
            executed.message,
            points={grade_id: Points(None, 0.0) for grade_id in order},
            findings=executed.findings,
            received=submission.received,
            seconds=executed.seconds,
        ),
    )


def graded_result(course: Course, result: SubmissionResult) -> SubmissionResult:
    """The result with the points that the gradebook has now, in the order of `result.points`."""
    with _gradebook(course) as gradebook:
        try:
            maximum = float(gradebook.find_assignment(result.lab).max_score)
        except MissingEntry:  # the gradebook was taken away
            return result
        try:
            submitted = gradebook.find_submission(result.lab, result.student)
        except MissingEntry:
            return replace(result, score=None, maximum=maximum, waiting=0.0, points={})
        grades = [grade for notebook in submitted.notebooks for grade in notebook.grades]
        order = {name: place for place, name in enumerate(result.points)}
        grades.sort(key=lambda grade: (order.get(grade.name, len(order)), grade.name))
        points = {grade.name: _points(grade) for grade in grades}
        penalty = sum(notebook.late_submission_penalty or 0.0 for notebook in submitted.notebooks)
        score = sum(each.score or 0.0 for each in points.values()) - penalty
        waiting = sum((each.maximum for each in points.values() if each.score is None), 0.0)
    if result.status is Status.MISSING and not result.findings:
        finding = Finding("earlier", result.lab, "the points are those of a submission that is no longer there")
        result = replace(result, findings=(finding,))
    return replace(result, score=score, maximum=maximum, waiting=waiting, points=points)


def _points(grade: Any) -> Points:
    waits = grade.manual_score is None and grade.auto_score is None
    return Points(None if waits else float(grade.score), float(grade.max_score))


def enrolled(course: Course) -> set[str]:
    """The students that the gradebook knows."""
    with _gradebook(course) as gradebook:
        return {student.id for student in gradebook.students}


def _autograde(course: Course, executed: Executed) -> None:
    """Let nbgrader read the points from the outputs."""
    submission = executed.submission
    if re.search(r"[*?\[]", submission.student):
        raise CourseError(f"nbgrader takes no student named {submission.student!r}: rename the folder, without * ? [")
    with tempfile.TemporaryDirectory(prefix="factorkit-") as folder:
        notebook = Path(folder) / submission.student / submission.lab / f"{submission.lab}.ipynb"
        notebook.parent.mkdir(parents=True)
        nbformat.write(executed.notebook, notebook)
        notebook.with_name("timestamp.txt").write_text(submission.received or "", encoding="utf-8")
        config = course.nbgrader_config()
        config.CourseDirectory.submitted_directory = folder
        config.Execute.enabled = False
        config.ClearOutput.enabled = False
        with nbgrader_converter(Autograde, config, submission.lab, submission.student) as converter:
            converter.force = True
            try:
                converter.start()
            except (NbGraderException, SystemExit):
                lines = "\n".join(converter.log.handlers[0].messages).strip().splitlines()
                reason = next((line for line in lines if "Error: " in line), "no reason given")
                message = f"nbgrader could not record {submission.student}'s {submission.lab}: {reason}"
                raise CourseError(message) from None


def _give_nothing(gradebook: Gradebook, lab: str, student: str) -> None:
    """Record a submission that could not be run; what a person has given stays."""
    submitted = gradebook.update_or_create_submission(lab, student)
    for notebook in submitted.notebooks:
        for grade in notebook.grades:
            grade.auto_score, grade.needs_manual_grade = 0.0, False
    gradebook.db.commit()


class _Messages(logging.Handler):
    """Keeps nbgrader's errors for a message of our own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def nbgrader_converter(
    kind: type[BaseConverter], config: Config, lab: str, student: str | None = None
) -> Iterator[BaseConverter]:
    """One of nbgrader's converters, set to one lab and student, that writes its log nowhere.

    Its ``log.handlers[0].messages`` holds the errors. Warnings of nbgrader's dependencies are not shown.
    """
    log = logging.Logger("nbgrader")
    log.addHandler(_Messages())
    directories = CourseDirectory(config=config, log=log)
    directories.assignment_id = lab
    if student is not None:
        directories.student_id = student
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield kind(coursedir=directories, config=config, log=log)


@contextmanager
def _gradebook(course: Course) -> Iterator[Gradebook]:
    config = course.nbgrader_config().CourseDirectory
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Gradebook(config.db_url, config.get("course_id", "")) as gradebook:
            yield gradebook
