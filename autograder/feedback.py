"""Feedback pages for students: what each exercise earned and why, without the hidden tests.

nbgrader's own pages show hidden tests, load a script from elsewhere and pass on what a notebook's outputs contain.
These are single files without scripts, for ordinary nbgrader courses too, under the names that nbgrader gives them.
"""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.assignment import read_lab
from autograder.course import Course
from autograder.pages.exercises import exercises
from autograder.pages.feedback_page import Feedback, feedback_page
from autograder.pages.student_view import hidden_lines, student_view
from autograder.recording import events
from autograder.recording.gradebook import graded_results, open_gradebook

__all__ = ["FeedbackPage", "feedback", "graded_notebooks", "hidden_lines", "student_view"]

_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}
_LARGEST_PICTURE = 1_000_000


@dataclass(frozen=True)
class FeedbackPage:
    """A page that was written."""

    student: str
    path: Path


def feedback(course: Course, lab: str) -> list[FeedbackPage]:
    """Write the feedback pages of every student who has a result for the lab, one for each notebook.

    Returns
    -------
    list of FeedbackPage
        Sorted by student; empty if the lab has not been graded.

    Raises
    ------
    GradebookError
        If the gradebook cannot be read.
    """
    recorded = [result for _, result in sorted(events.latest(course, lab).items())]
    if not recorded:
        return []
    comments, pictures = _comments(course, lab), _pictures(course, lab)
    pages = []
    for result in graded_results(course, recorded):
        notebooks = graded_notebooks(course, lab, result.student) if result.status.was_run else {}
        found = exercises(notebooks)
        folder = course.feedback / result.student / lab
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, notebook in notebooks.items():
            own = [exercise for exercise in found if exercise.notebook == name]
            view = student_view(notebook, {exercise.grade_id: exercise.title for exercise in own})
            remarks = comments.get((result.student, name), {})
            page = feedback_page(Feedback(result, _title(notebook, name), own, view, remarks, pictures))
            pages.append(_write(folder / f"{name}.html", page, result.student))
        if not notebooks:
            page = feedback_page(Feedback(result, lab))
            for name in [path.stem for path in course.source_notebooks(lab)] or [lab]:
                pages.append(_write(folder / f"{name}.html", page, result.student))
    return pages


def graded_notebooks(course: Course, lab: str, student: str) -> dict[str, NotebookNode]:
    """A student's graded notebooks by name, in the order of their names."""
    folder = course.autograded / student / lab
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("[!.]*.ipynb"))}


def _write(path: Path, page: str, student: str) -> FeedbackPage:
    path.write_text(page, encoding="utf-8", errors="replace")
    return FeedbackPage(student, path)


def _title(notebook: NotebookNode, name: str) -> str:
    """The first heading of the lab's own text, or the notebook's name."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not cell.id.startswith("student-"):
            heading = re.search(r"^# +(.+?)\s*#*$", cell.source, re.MULTILINE)
            return re.sub(r"[*`]", "", heading[1]) if heading else name
    return name


def _comments(course: Course, lab: str) -> Mapping[tuple[str, str], dict[str, str]]:
    """What a person has written in the formgrader: by student and notebook the comments by grade_id."""
    comments: dict[tuple[str, str], dict[str, str]] = {}
    with open_gradebook(course) as gradebook:
        for submission in gradebook.assignment_submissions(lab):
            for notebook in submission.notebooks:
                found = {
                    comment.name: comment.manual_comment for comment in notebook.comments if comment.manual_comment
                }
                comments[submission.student.id, notebook.name] = found
    return comments


def _pictures(course: Course, lab: str) -> dict[str, str]:
    """The pictures that come with a lab, as data addresses: a page has no folder to load them from."""
    if lab not in course.lab_names():
        return {}
    files = {name: path for name, path in read_lab(course, lab).files.items() if path.suffix.lower() in _PICTURES}
    return {
        name: f"data:image/{_PICTURES[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode()}"
        for name, path in files.items()
        if path.stat().st_size <= _LARGEST_PICTURE
    }
