"""A whole round on a small class: everyone gets what was earned, whatever the others did."""

from __future__ import annotations

import json

import pytest

from autograder import events, pipeline
from autograder.errors import CourseError, UsageError
from autograder.execute import Limits
from autograder.feedback import feedback
from autograder.intake import Status
from autograder.pipeline import grade

LIMITS = Limits(5, 60)


@pytest.fixture
def a_class(course, hand_in, right):
    """Seven students, of whom one is right, one loops, one crashes and one hands in no notebook."""
    hand_in("student-001", **right)
    hand_in("student-002")
    hand_in("student-003", **{**right, "double": "def double(x):\n    while True:\n        pass"})
    hand_in("student-004", **{**right, "share": "import os\n\ndef share():\n    os._exit(3)"})
    hand_in("student-005").write_text('{"cells": [')
    (course.submitted / "student-006").mkdir()
    hand_in("student-007", **{**right, "share": "share = lambda: 1.5"})
    return course


def test_a_round(a_class, hand_in, right):
    counts, told = [], []
    first = grade(a_class, "tiny", limits=LIMITS, jobs=2, on_start=counts.append, on_result=told.append)
    assert first.failures == () and counts == [7]
    assert sorted(told) == [result.student for result in first.results]
    assert {result.student: (result.status, result.score, result.waiting) for result in first.results} == {
        "student-001": (Status.OK, 7, 3),
        "student-002": (Status.OK, 0, 0),
        "student-003": (Status.TIMEOUT, 4, 3),
        "student-004": (Status.CRASHED, 3, 3),
        "student-005": (Status.INVALID, 0, 0),
        "student-006": (Status.MISSING, None, 0),
        "student-007": (Status.OK, 4.5, 3),
    }
    assert len(feedback(a_class, "tiny")) == 7

    hand_in("student-002", **right)
    second = grade(a_class, "tiny", limits=LIMITS, jobs=2)
    again = {result.student: result for result in second.results}
    assert [student for student, result in again.items() if not result.reused] == [
        "student-002",
        "student-005",
        "student-006",
    ]
    assert again["student-002"].score == 7 and again["student-003"].score == 4
    lines = [json.loads(line) for line in a_class.events.read_text().splitlines()]
    assert len(lines) == 7 + 1  # what has not changed is not noted again
    assert events.latest(a_class)["tiny", "student-002"].score == 7


def test_one_failure_of_the_grader_stops_nobody_else(course, hand_in, right, monkeypatch):
    hand_in("student-001", **right)
    hand_in("student-[2]", **right)
    hand_in("student-003", **right)
    finished = grade(course, "tiny", limits=LIMITS, jobs=1)
    assert [result.student for result in finished.results] == ["student-001", "student-003"]
    [failure] = finished.failures
    assert failure.student == "student-[2]" and "rename the folder" in failure.reason
    assert ("tiny", "student-[2]") not in events.latest(course)


def test_changed_limits_labs_and_wishes_run_again(course, hand_in, right):
    hand_in("student-001", **right)

    def reused(**options):
        return grade(course, "tiny", **{"limits": LIMITS, **options}).reused

    assert [reused(), reused(), reused(regrade=True), reused(limits=Limits(6, 60))] == [0, 1, 0, 0]
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace("expected 4, got", "expected four, got"))
    assert [reused(), reused()] == [0, 1]
    (course.grading / "gradebook.db").unlink()
    assert reused() == 0


def test_a_bad_lab_does_not_stop_another(course, hand_in, right):
    bad = course.solutions / "bad" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(course.source_file("tiny").read_text().replace('given="setup"', 'exercise="double"'))
    hand_in("student-001", **right)
    assert grade(course, "tiny", limits=LIMITS).results[0].score == 7
    with pytest.raises(CourseError, match="bad.py:"):
        grade(course, "bad")


def test_an_unknown_lab_is_a_usage_error(course):
    with pytest.raises(UsageError, match="unknown lab 'tinny'; did you mean 'tiny'"):
        grade(course, "tinny")


def test_a_kernel_that_is_not_installed_is_named(course):
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace("name: python3}", "name: julia-9}"))
    with pytest.raises(CourseError, match="kernel 'julia-9', which is not installed here"):
        grade(course, "tiny")


def test_an_interrupted_round_goes_on_where_it_was(a_class, monkeypatch):
    record = pipeline.record
    recorded = []

    def interrupt(*arguments):
        if len(recorded) == 2:
            raise KeyboardInterrupt
        recorded.append(arguments[1].submission.student)
        return record(*arguments)

    monkeypatch.setattr(pipeline, "record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        grade(a_class, "tiny", limits=LIMITS, jobs=2)
    monkeypatch.setattr(pipeline, "record", record)
    assert {student for _, student in events.latest(a_class)} == set(recorded)
    finished = grade(a_class, "tiny", limits=LIMITS, jobs=2)
    assert len(finished.results) == 7 and finished.failures == ()
