"""Recording: the gradebook gets nbgrader's points, once, and keeps what a person gave."""

from __future__ import annotations

from dataclasses import replace

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder import events
from autograder.errors import CourseError
from autograder.execute import Executed
from autograder.intake import Finding, Status, Submission
from autograder.normalise import normalise
from autograder.record import Points, enrolled, graded_result, record, register_lab
from autograder.source import read_source, source_notebook


def error():
    return nbformat.v4.new_output("error", ename="AssertionError", evalue="no", traceback=["no"])


def result(text):
    return nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1)


@pytest.fixture
def executed(course, source, hand_in, right):
    """A function that makes an executed notebook with given outputs of its tests; no kernel is involved."""
    register_lab(course, "tiny", source)

    def make(student="student-001", outputs=None, **answers):
        path = hand_in(student, **(answers or right))
        submission = Submission(student, "tiny", str(path.parent), path.name, received="2026-01-31T12:00:00+00:00")
        notebook = normalise(submission, source).notebook
        for cell in notebook.cells:
            if cell.id in (outputs or {}):
                cell.outputs = outputs[cell.id]
        return Executed(submission, Status.OK, "", notebook, seconds=1.5)

    return make


def gradebook(course):
    return Gradebook(course.db_url, "factorkit")


def test_points_follow_the_outputs(course, executed):
    recorded = record(
        course, executed(outputs={"check_share": [result("2.5")]}), ["check_double", "check_share", "why"]
    )
    assert recorded.points == {"check_double": Points(3, 3), "check_share": Points(2.5, 4), "why": Points(None, 3)}
    assert list(recorded.points) == ["check_double", "check_share", "why"]
    assert (recorded.score, recorded.maximum, recorded.waiting) == (5.5, 10, 3)
    assert (recorded.status, recorded.seconds, recorded.received) == (Status.OK, 1.5, "2026-01-31T12:00:00+00:00")
    assert (course.autograded / "student-001" / "tiny" / "tiny.ipynb").is_file()
    with gradebook(course) as found:
        assert str(found.find_submission("tiny", "student-001").timestamp) == "2026-01-31 12:00:00"


def test_an_error_costs_the_points_and_a_blank_answer_waits_for_nobody(course, executed, release):
    blank = {cell.id: cell.source for cell in release.cells}
    recorded = record(course, executed(outputs={"check_double": [error()], "check_share": [error()]}, **blank))
    assert (recorded.score, recorded.waiting) == (0, 0)


def test_recording_twice_changes_nothing(course, executed):
    first = record(course, executed())
    assert record(course, executed()) == first
    with gradebook(course) as found:
        assert len(found.assignment_submissions("tiny")) == 1


def test_a_grade_given_by_hand_is_kept(course, executed):
    record(course, executed())
    with gradebook(course) as found:
        found.find_grade("why", "tiny", "tiny", "student-001").manual_score = 2
        found.find_grade("check_double", "tiny", "tiny", "student-001").manual_score = 1
        found.db.commit()
    recorded = record(course, executed(outputs={"check_double": [error()]}))
    assert recorded.points == {"check_double": Points(1, 3), "check_share": Points(4, 4), "why": Points(2, 3)}
    assert (recorded.score, recorded.waiting) == (7, 0)


@pytest.mark.parametrize("status", [Status.INVALID, Status.TAMPERED])
def test_what_was_not_run_scores_nothing_and_leaves_no_old_notebook(course, executed, status):
    record(course, executed())
    again = Executed(Submission("student-001", "tiny", "/nowhere"), status, "why")
    recorded = record(course, again)
    assert (recorded.status, recorded.message, recorded.score, recorded.waiting) == (status, "why", 0, 0)
    assert not (course.autograded / "student-001" / "tiny").exists()


def test_a_missing_submission_makes_the_student_known(course, executed):
    recorded = record(course, Executed(Submission("student-007", "tiny", "/nowhere"), Status.MISSING, "nothing"))
    assert (recorded.score, recorded.maximum, recorded.points, recorded.findings) == (None, 10, {}, ())
    assert "student-007" in enrolled(course)


def test_a_submission_that_was_taken_back_keeps_its_points_and_is_flagged(course, executed):
    record(course, executed())
    recorded = record(course, Executed(Submission("student-001", "tiny", "/nowhere"), Status.MISSING, "nothing"))
    assert recorded.score == 7 and [finding.kind for finding in recorded.findings] == ["earlier"]


def test_one_students_record_does_not_touch_another(course, executed):
    first = record(course, executed("student-001"))
    record(course, executed("-müller+ 王", outputs={"check_double": [error()]}))
    with pytest.raises(CourseError, match="rename the folder"):
        record(course, executed("student-*"))
    record(course, Executed(Submission("student-003", "tiny", "/nowhere"), Status.INVALID, "no"))
    assert graded_result(course, first) == first


def test_what_nbgrader_cannot_record_is_named(course, executed):
    broken = executed()
    broken.notebook.cells[3].metadata.nbgrader["grade_id"] = "share"
    with pytest.raises(CourseError, match="nbgrader could not record student-001's tiny: .*Error: "):
        record(course, broken)
    assert record(course, executed("student-002")).score == 7


def test_registering_a_lab_again_is_no_change(course, source, executed):
    first = record(course, executed())
    register_lab(course, "tiny", source)
    assert graded_result(course, first) == first


def test_cells_cannot_come_or_go_under_recorded_grades(course, executed):
    record(course, executed())
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace('exercise="share"', 'exercise="part"').replace('"share" p', '"part" p'))
    with pytest.raises(CourseError, match="the graded cells of tiny are no longer those that .* --grading DIR"):
        register_lab(course, "tiny", source_notebook(read_source(path)))


def test_events_are_read_back_as_they_were_written(course, executed):
    assert events.latest(course) == {}
    finding = Finding("moved", "check_ü", "line\u2028separator \udc80")
    first = replace(record(course, executed()), sha256="1", findings=(finding,))
    events.append(course, replace(first, score=1.0))
    events.append(course, replace(first, lab="other"))
    events.append(course, first)
    assert events.latest(course, "tiny") == {("tiny", "student-001"): first}
    assert set(events.latest(course)) == {("tiny", "student-001"), ("other", "student-001")}
    assert len(course.events.read_text().splitlines()) == 3


def test_a_line_that_was_cut_off_costs_only_itself(course, executed):
    first = record(course, executed())
    events.append(course, first)
    events.append(course, replace(first, student="student-002"))
    course.events.write_bytes(course.events.read_bytes()[:-40])
    assert set(events.latest(course)) == {("tiny", "student-001")}
    events.append(course, replace(first, student="student-003"))
    assert set(events.latest(course)) == {("tiny", "student-001"), ("tiny", "student-003")}
