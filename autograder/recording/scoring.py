"""Points as nbgrader gives them: its own steps after the execution, on a gradebook that is open already.

nbgrader opens the gradebook anew for each step of each submission and commits after each cell, which costs more than
all the rest of recording. Here its steps are made once for a lab, and what they change is one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbformat.notebooknode import NotebookNode
from nbgrader.api import Comment, Grade, MissingEntry, SubmittedAssignment, SubmittedNotebook
from nbgrader.converters import Autograde
from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, Execute, SaveAutoGrades
from sqlalchemy import select
from sqlalchemy.orm import Session
from traitlets import TraitError
from traitlets.utils.importstring import import_item

from autograder.course import CONFIG_FILE, Course
from autograder.errors import CourseError
from autograder.recording.registration import nbgrader_converter

__all__ = ["Scoring"]


# The metadata are the lab's own, checked when it was registered; to check them again takes half of all the time.
_UNNEEDED = (Execute, CheckCellMetadata)


class Scoring:
    """nbgrader's steps for one lab, with the settings of the course.

    They are those of ``Autograde.autograde_preprocessors`` after the execution. What
    ``Autograde.sanitize_preprocessors`` do to a student's notebook has been done by `autograder.normalise`.

    Attributes
    ----------
    converter : Autograde
        nbgrader's own, for what it does beside giving points.
    """

    def __init__(self, course: Course, lab: str) -> None:
        self._course, self._lab = course, lab
        try:
            self.converter, self._steps = _made(course, lab)
        except (TraitError, ImportError) as error:
            raise CourseError(f"{course.root / CONFIG_FILE}: {error}") from error

    def score(
        self,
        session: Session,
        submitted: SubmittedNotebook,
        name: str,
        notebook: NotebookNode,
        names: Mapping[str, str],
    ) -> NotebookNode:
        """Give one notebook its points and comments.

        Parameters
        ----------
        session : Session
            Open on the gradebook; the caller commits.
        submitted : SubmittedNotebook
            The notebook's row.
        name : str
            The notebook's name.
        notebook : NotebookNode
            With outputs.
        names : mapping
            The lab's cells: grade_ids by the gradebook's own ids.

        Returns
        -------
        NotebookNode
            As nbgrader would write it to its folder of graded notebooks.
        """
        student = submitted.assignment.student_id
        database = self._course.db_url
        resources: dict[str, Any] = {
            "unique_key": name,
            "nbgrader": {"student": student, "assignment": self._lab, "notebook": name, "db_url": database},
        }
        for step in self._steps:
            if _is_own(step, SaveAutoGrades):
                step.gradebook = _Open(session, submitted, names)
                step.notebook_id, step.assignment_id, step.student_id = name, self._lab, student
                for index, cell in enumerate(notebook.cells):
                    notebook.cells[index], resources = step.preprocess_cell(cell, resources, index)
            elif _is_late_penalty(step):
                self._penalise(step, session, submitted)
            else:
                if not type(step).__module__.startswith(("nbgrader.", "nbconvert.")):
                    session.commit()  # a step of the course's own may open the gradebook itself
                notebook, resources = step(notebook, resources)
        return notebook

    def give_nothing(self, session: Session, submitted: SubmittedNotebook) -> None:
        """Score 0 for a notebook that was not handed in or could not be run; what a person has given stays."""
        for grade in session.scalars(select(Grade).where(Grade.notebook_id == submitted.id)):
            grade.auto_score, grade.needs_manual_grade = 0.0, False
        self.penalise(session, submitted)

    def penalise(self, session: Session, submitted: SubmittedNotebook) -> None:
        """Take off what the course's policy says for the time between the due date and the time of receipt."""
        for step in self._steps:
            if _is_late_penalty(step):
                self._penalise(step, session, submitted)

    def _penalise(self, step: AssignLatePenalties, session: Session, submitted: SubmittedNotebook) -> None:
        late = _seconds_late(submitted.assignment)
        penalty = None
        if late > 0:
            session.flush()
            session.refresh(submitted, ["score"])
            try:
                penalty = step.plugin_inst.late_submission_penalty(
                    submitted.assignment.student_id, submitted.score, late
                )
            except Exception as error:
                plugin = type(step.plugin_inst).__qualname__
                raise CourseError(
                    f"the late penalty plugin {plugin} of {self._course.root} failed on {late:.0f} s: "
                    f"{type(error).__name__}: {error}"
                ) from error
        submitted.late_submission_penalty = None if penalty is None else step._check_late_penalty(submitted, penalty)


def _made(course: Course, lab: str) -> tuple[Autograde, list[Any]]:
    """nbgrader's converter and its steps after the execution, as the course configures them."""
    config = course.nbgrader_config()
    with nbgrader_converter(Autograde, config, lab) as converter:
        kinds = [import_item(kind) if isinstance(kind, str) else kind for kind in converter.autograde_preprocessors]
        steps = [
            kind(config=config, log=converter.log) if isinstance(kind, type) else kind
            for kind in kinds
            if not (isinstance(kind, type) and issubclass(kind, _UNNEEDED))
        ]
        for step in steps:
            if _is_late_penalty(step):
                step.init_plugin()
    return converter, steps


def _is_own(step: Any, kind: type) -> bool:
    """Whether a step works as nbgrader's: a course's own version may read the gradebook in another way."""
    return isinstance(step, kind) and type(step).preprocess is kind.preprocess


def _is_late_penalty(step: Any) -> bool:
    return _is_own(step, AssignLatePenalties) and step.enabled


def _seconds_late(submitted: SubmittedAssignment) -> float:
    """nbgrader's number; it fails on an extension of no due date."""
    return submitted.total_seconds_late if submitted.assignment.duedate is not None else 0.0


class _Open:
    """The part of nbgrader's `Gradebook` that gives points: one submitted notebook in a session that is open."""

    def __init__(self, session: Session, submitted: SubmittedNotebook, names: Mapping[str, str]) -> None:
        self.db = self
        self._grades = {
            names[grade.cell_id]: grade
            for grade in session.scalars(select(Grade).where(Grade.notebook_id == submitted.id))
        }
        self._comments = {
            names[comment.cell_id]: comment
            for comment in session.scalars(select(Comment).where(Comment.notebook_id == submitted.id))
        }

    def find_grade(self, name: str, notebook: str, assignment: str, student: str) -> Grade:
        if name not in self._grades:
            raise MissingEntry(f"no such grade: {assignment}/{notebook}/{name} for {student}")
        return self._grades[name]

    def find_comment(self, name: str, notebook: str, assignment: str, student: str) -> Comment:
        if name not in self._comments:
            raise MissingEntry(f"no such comment: {assignment}/{notebook}/{name} for {student}")
        return self._comments[name]

    def commit(self) -> None:
        """Nothing: the caller commits all at once."""
