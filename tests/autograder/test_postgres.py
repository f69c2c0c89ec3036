"""A gradebook in PostgreSQL: a real server, which is killed while a class is graded into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Executed
from autograder.record import enrolled, open_recorder, record, register_lab
from autograder.recording.gradebook import GradebookError
from autograder.submissions import Status, Submission

from . import interrupted
from .postgres_server import PostgresServer
from .small_course import make_course as make_ordinary_course
from .small_course import source_notebook
from .whole_class import (
    STUDENTS,
    comparable,
    grade_by_hand,
    make_course,
    noted,
    nothing_is_left_over,
    outcome,
    run,
    run_until,
)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def course(tmp_path: Path, empty_gradebook: Path, server: PostgresServer) -> Course:
    """The whole class, with a gradebook in PostgreSQL."""
    return make_course(tmp_path / "course", empty_gradebook, db_url=server.url)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_that_is_killed_stops_the_round_which_then_goes_on(course, server, undisturbed):
    process = run_until(course, lambda: noted(course, "recorded").total() >= 6)  # the next ones are run
    server.kill()
    said, _ = process.communicate(timeout=180)
    assert process.returncode == interrupted.DISK_FULL and "see that the server runs" in said, said
    assert list((course.grading / "finished").glob("*.json")), "what has been run is kept"
    server.start()
    before = noted(course, "finished")
    grade_by_hand(course, STUDENTS[0])
    ended = run(course)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert comparable(outcome(course)) == comparable(undisturbed)
    nothing_is_left_over(course)
    assert before.total() > 5 and max(noted(course, "finished").values()) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_round_waits_for_a_server_that_is_started_again(course, server, undisturbed):
    process = run_until(course, lambda: noted(course, "recorded").total() >= 4)
    server.kill()
    server.start()
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    grade_by_hand(course, STUDENTS[0])
    ended = run(course)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert comparable(outcome(course)) == comparable(undisturbed)
    nothing_is_left_over(course)
    assert max(noted(course, "finished").values()) == 1


def executed(student: str) -> Executed:
    notebook = nbformat.from_dict(source_notebook())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    submission = Submission(student, "tiny", "/", received="2026-01-31T12:00:00+00:00")
    return Executed(submission, Status.OK, "", {"tiny": notebook})


@pytest.mark.parametrize("course_id", ["tiny-course", ""])
def test_an_ordinary_course_is_recorded_with_and_without_a_name(tmp_path, server, course_id):
    course = make_ordinary_course(tmp_path / "course")
    config = course.root / "nbgrader_config.py"
    text = config.read_text().replace('"tiny-course"', repr(course_id))
    config.write_text(text + f"c.CourseDirectory.db_url = {server.url!r}\n")
    register_lab(course, "tiny", {"tiny": source_notebook()})
    result = record(course, executed("müller 王"))
    assert (result.score, result.maximum, result.waiting) == (5, 7, 2)
    assert record(course, executed("müller 王")) == result
    with pytest.raises(CourseError, match="the gradebook refuses a value: .*too long"):
        record(course, executed("x" * 129))
    assert enrolled(course) == {"müller 王"}


def test_grades_are_read_once_more_from_a_server_that_was_started_again(tmp_path, server):
    """Between writing a submission and reading its points back, and between two rounds."""
    course = make_ordinary_course(tmp_path / "course")
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.CourseDirectory.db_url = {server.url!r}\n")
    register_lab(course, "tiny", {"tiny": source_notebook()})
    with open_recorder(course, "tiny") as recorder:
        result = recorder.record(executed("student-001"))
        server.kill()
        server.start()
        assert recorder.current([result]) == [result]


def test_a_server_that_does_not_answer_is_named_without_the_password(tmp_path):
    course = make_ordinary_course(tmp_path / "course")
    url = "postgresql+psycopg://grader:pa55word@127.0.0.1:1/gradebook"
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write(f"c.CourseDirectory.db_url = {url!r}\n")
    with pytest.raises(GradebookError) as failed:
        enrolled(course)
    assert "127.0.0.1:1/gradebook cannot be used" in str(failed.value) and "server runs" in str(failed.value)
    assert "pa55word" not in str(failed.value)
