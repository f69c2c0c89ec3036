"""The gradebook's rows that all submissions of a lab refer to, and those of one submission."""

from __future__ import annotations

from nbgrader.api import (
    Assignment,
    BaseCell,
    Comment,
    Grade,
    Notebook,
    SolutionCell,
    SourceCell,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from autograder.errors import CourseError
from autograder.results import graded_names

__all__ = ["LabRows", "notebooks_of", "submissions_of"]


class LabRows:
    """The rows of a lab that all submissions refer to.

    Attributes
    ----------
    assignment : str
        The lab's id.
    notebooks : dict
        Names by id.
    names : dict
        grade_ids by the ids of cells.
    graded, noted : dict
        By the id of a notebook the ids of cells that get points, and of those that get comments.
    checksums : dict
        By the id of a notebook the checksums of its cells as they were released, by grade_id.
    labels : dict
        What graded cells are called in results, by notebook and grade_id.
    """

    def __init__(self, session: Session, lab: str) -> None:
        assignment = session.scalar(select(Assignment.id).where(Assignment.name == lab))
        if assignment is None:
            raise CourseError(f"the gradebook does not know {lab}; run autograder grade {lab}, which makes it known")
        self.assignment = assignment
        rows = select(Notebook.id, Notebook.name).where(Notebook.assignment_id == assignment).order_by(Notebook.name)
        self.notebooks: dict[str, str] = {row.id: row.name for row in session.execute(rows)}
        self.names: dict[str, str] = {}
        self.graded: dict[str, list[str]] = {notebook: [] for notebook in self.notebooks}
        self.noted: dict[str, list[str]] = {notebook: [] for notebook in self.notebooks}
        self.checksums: dict[str, dict[str, str]] = {notebook: {} for notebook in self.notebooks}
        for cell in session.scalars(select(BaseCell).where(BaseCell.notebook_id.in_(self.notebooks))):
            self.names[cell.id] = cell.name
            if not isinstance(cell, SolutionCell):
                self.graded[cell.notebook_id].append(cell.id)
            if cell.type in ("SolutionCell", "TaskCell"):
                self.noted[cell.notebook_id].append(cell.id)
        for cell in session.scalars(select(SourceCell).where(SourceCell.notebook_id.in_(self.notebooks))):
            self.checksums[cell.notebook_id][cell.name] = cell.checksum
        graded = [(name, self.names[cell]) for key, name in self.notebooks.items() for cell in self.graded[key]]
        self.labels = dict(zip(graded, graded_names(graded), strict=True))

    def add_submission(self, session: Session, student: str) -> SubmittedAssignment:
        """A student's row, and those of all cells, without points."""
        submitted = SubmittedAssignment(assignment_id=self.assignment, student_id=student)
        session.add(submitted)
        session.flush()
        for notebook in self.notebooks:
            row = SubmittedNotebook(notebook_id=notebook, assignment_id=submitted.id)
            session.add(row)
            session.flush()
            session.add_all(Grade(cell_id=cell, notebook_id=row.id) for cell in self.graded[notebook])
            session.add_all(Comment(cell_id=cell, notebook_id=row.id) for cell in self.noted[notebook])
        return submitted


def submissions_of(lab: str) -> Select[tuple[SubmittedAssignment]]:
    """A query for all submissions of a lab."""
    return (
        select(SubmittedAssignment)
        .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
        .where(Assignment.name == lab)
    )


def notebooks_of(submitted: SubmittedAssignment) -> Select[tuple[SubmittedNotebook]]:
    """A query for the notebooks of a submission."""
    return select(SubmittedNotebook).where(SubmittedNotebook.assignment_id == submitted.id)
