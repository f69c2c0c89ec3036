"""A class of fourteen on the lab ``tiny``, graded in a process of its own, and all that comes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.api import Gradebook

from autograder.authoring.release import release_notebook
from autograder.authoring.source import read_source, source_notebook
from autograder.course import Course
from autograder.late import set_due
from autograder.recording import events

from .conftest import RIGHT, ROOT, TINY, add_lab

STUDENTS = [f"student-{number:03}" for number in range(1, 15)]
RECEIVED = 1_780_000_000  # when all of it was handed in, in seconds since 1970


def hand_in(course: Course, student: str, answers: dict[str, str]) -> None:
    release = release_notebook(source_notebook(read_source(course.source_file("tiny"))))
    for cell in release.cells:
        cell.source = answers.get(cell.id, cell.source)
    path = course.submitted / student / "tiny" / "tiny.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(release, path)
    os.utime(path, (RECEIVED, RECEIVED))


def make_course(root: Path, empty_gradebook: Path, grading: Path | None = None, db_url: str | None = None) -> Course:
    """A course with fourteen submissions: right, wrong, blank, crashing, late, broken and missing ones."""
    add_lab(root, "tiny", TINY)
    text = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    text += '\nc.AssignLatePenalties.plugin_class = "autograder.late.LatePenalties"\n'
    text += 'c.LatePenalties.policy = "10 % a day, at most 50 %"\n'
    text += f"c.CourseDirectory.db_url = {db_url!r}\n" if db_url else ""
    (root / "nbgrader_config.py").write_text(text, encoding="utf-8")
    course = Course.find(root, grading)
    course.grading.mkdir()
    shutil.copy(empty_gradebook, course.grading)
    for number, student in enumerate(STUDENTS):
        wrong = {"double": f"def double(x):\n    return x + {number}"}
        crash = {"share": "import os\n\ndef share():\n    os._exit(3)"}
        part = {"share": f"def share():\n    return {number / 4}"}
        hand_in(course, student, {**RIGHT, **[{}, wrong, part, crash][number % 4]})
    (course.submitted / STUDENTS[4] / "tiny" / "tiny.ipynb").write_text("no notebook")
    (course.submitted / STUDENTS[9] / "tiny" / "tiny.ipynb").unlink()
    renew(course)
    return course


def renew(course: Course) -> None:
    """Set the due date, a day and a half before all of it was handed in: penalties follow."""
    set_due(course, "tiny", "2026-05-27T00:00Z")


def run(course: Course, *point: str) -> subprocess.CompletedProcess[str]:
    """Grade in another process, until it ends or is killed."""
    command = command_for(course, *point)
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)


def command_for(course: Course, *point: str) -> list[str]:
    return [sys.executable, "-m", "tests.autograder.interrupted", str(course.root), str(course.grading), *point]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def grade_by_hand(course: Course, student: str) -> None:
    """What a person does in the formgrader."""
    with Gradebook(course.db_url, "factorkit") as gradebook:
        grade = gradebook.find_grade("why", "tiny", "tiny", student)
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.find_comment("why", "tiny", "tiny", student).manual_comment = "Nearly."
        gradebook.db.commit()


def rows(course: Course) -> dict[str, Any]:
    """All of the gradebook that somebody enters or reads, in an order of its own."""
    found: dict[str, Any] = {}
    with Gradebook(course.db_url, "factorkit") as gradebook:
        for submission in gradebook.assignment_submissions("tiny"):
            [notebook] = submission.notebooks
            grades = {
                each.name: (each.auto_score, each.manual_score, each.extra_credit, each.needs_manual_grade, each.score)
                for each in notebook.grades
            }
            comments = {each.name: (each.auto_comment, each.manual_comment) for each in notebook.comments}
            received = str(submission.timestamp)
            found[submission.student.id] = (grades, comments, notebook.late_submission_penalty, received)
        found["students"] = sorted(student.id for student in gradebook.students)
    return found


def outcome(course: Course) -> dict[str, Any]:
    """The gradebook, the results and the graded notebooks, without what no two runs have in common: times."""
    results = {
        student: (result.status, result.message, result.score, result.waiting, result.penalty)
        for (_, student), result in events.latest(course, "tiny").items()
    }
    notebooks = {}
    for path in sorted(course.autograded.rglob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        shown = [[each.output_type for each in cell.get("outputs", [])] for cell in cells]
        notebooks[path.relative_to(course.autograded).as_posix()] = ([cell.source for cell in cells], shown)
    return {"rows": rows(course), "results": results, "notebooks": notebooks}


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Without what the log said of a score before a person changed it."""
    results = {student: result for student, result in found["results"].items() if student != STUDENTS[0]}
    return {**found, "results": results}


def nothing_is_left_over(course: Course) -> None:
    assert not list((course.grading / "finished").glob("*"))
    assert not list(course.autograded.glob("*/.*"))
    assert (course.grading / "lock").read_text() == ""


def noted(course: Course, event: str) -> Counter[str]:
    return Counter(each["student"] for each in events.read(course) if each.get("event") == event)


def run_until(course: Course, condition: Callable[[], bool], pause: float = 0.0) -> subprocess.Popen[str]:
    """Grade in another process until a condition holds, and a moment longer; the caller ends it."""
    process = subprocess.Popen(
        command_for(course), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    end = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(pause)
    if process.poll() is not None:
        raise AssertionError(f"it ended too early: {process.communicate()[0]}")
    return process
