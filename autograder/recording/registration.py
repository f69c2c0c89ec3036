"""nbgrader is told of a lab: its cells, their points and their texts."""

from __future__ import annotations

import glob
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.course import Course
from autograder.errors import CourseError
from autograder.recording.gradebook import gradebook_errors, open_gradebook

__all__ = ["nbgrader_converter", "register_lab"]


def register_lab(course: Course, lab: str, notebooks: Mapping[str, NotebookNode]) -> None:
    """Make the lab known to the gradebook, or bring what the gradebook knows of it up to date.

    Parameters
    ----------
    course : Course
    lab : str
    notebooks : mapping
        The instructor's notebooks by name, as nbgrader would find them in its source folder.

    Raises
    ------
    CourseError
        If graded cells came or went while the gradebook holds submissions: nbgrader refuses that.
    GradebookError
        If the gradebook cannot be used.
    """
    with open_gradebook(course) as gradebook, gradebook_errors(course):
        gradebook.update_or_create_assignment(lab)
    with tempfile.TemporaryDirectory(prefix="factorkit-") as folder:
        source = Path(folder) / "source" / lab
        source.mkdir(parents=True)
        for name, notebook in notebooks.items():
            nbformat.write(notebook, source / f"{name}.ipynb")
        config = course.nbgrader_config()
        config.CourseDirectory.source_directory = str(source.parent)
        config.CourseDirectory.release_directory = f"{folder}/release"
        with nbgrader_converter(GenerateAssignment, config, lab) as converter:
            try:
                converter.start()
            except (NbGraderException, SystemExit):
                raise CourseError(_failure(course, lab, converter)) from None


def _failure(course: Course, lab: str, converter: BaseConverter) -> str:
    reason = "\n".join(converter.log.handlers[0].messages).strip()
    if "Cannot add or remove cells" in reason:
        return (
            f"the graded cells of {lab} are no longer those that {course.db_url} has grades for; grade into another "
            f"folder with --grading DIR, or remove the old grades with: nbgrader db assignment remove {lab} --force"
        )
    return f"nbgrader could not register {lab}: {reason.splitlines()[-1] if reason else 'no reason given'}"


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
        directories.student_id = glob.escape(student)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield kind(coursedir=directories, config=config, log=log)
