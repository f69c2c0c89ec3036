"""A whole round on a small class: everyone gets what was earned, whatever the others did."""

from __future__ import annotations

import json
import threading

import pytest

from autograder.agenda import Settings, preview
from autograder.assignment import read_lab
from autograder.commands.progress import round_progress
from autograder.errors import CourseError, UsageError
from autograder.execute import Limits
from autograder.feedback import feedback
from autograder.intake import Status
from autograder.pipeline import grade
from autograder.recording import events
from autograder.solution import check_solution

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


def test_a_round(a_class, hand_in, right, engine):
    counts, told = [], []
    options = {"engine": engine, "limits": LIMITS, "jobs": 2}
    first = grade(a_class, "tiny", on_start=counts.append, on_result=told.append, **options)
    assert first.failures == () and [(start.submissions, start.to_run) for start in counts] == [(7, 5)]
    assert first.solution is not None and first.solution.points == 7
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
    second = grade(a_class, "tiny", **options)
    assert second.solution is not None and second.solution.reused
    again = {result.student: result for result in second.results}
    assert [student for student, result in again.items() if not result.reused] == [
        "student-002",
        "student-005",
        "student-006",
    ]
    assert again["student-002"].score == 7 and again["student-003"].score == 4
    lines = [json.loads(line)["event"] for line in a_class.events.read_text().splitlines()]
    assert lines.count("recorded") == 7 + 1  # what has not changed is not noted again
    assert lines.count("started") == lines.count("ended") == 2
    assert events.latest(a_class)["tiny", "student-002"].score == 7


def test_one_failure_of_the_grader_stops_nobody_else(course, hand_in, right, engine):
    for number in (1, 2, 3):
        hand_in(f"student-00{number}", **right)
    run, begun = engine.run, []

    def run_or_fail(job, *rest):
        begun.append(job.student)
        if job.student == "student-002":
            raise RuntimeError("the machine is out of sorts")
        return run(job, *rest)

    engine.run = run_or_fail
    try:
        finished = grade(course, "tiny", engine=engine, limits=LIMITS, jobs=1)
    finally:
        del engine.run
    assert [result.student for result in finished.results] == ["student-001", "student-003"]
    [failure] = finished.failures
    assert failure.student == "student-002" and failure.reason == "RuntimeError: the machine is out of sorts"
    assert ("tiny", "student-002") not in events.latest(course)
    assert grade(course, "tiny", engine=engine, limits=LIMITS).reused == 2


def test_a_file_in_the_way_of_one_submission_stops_nobody_else(course, hand_in, right, engine):
    for number in (1, 2):
        hand_in(f"student-00{number}", **right)
    course.autograded.mkdir(parents=True)
    way = course.autograded / "student-001"
    way.write_text("a file of somebody's")
    finished = grade(course, "tiny", engine=engine, limits=LIMITS)
    assert [result.student for result in finished.results] == ["student-002"]
    [failure] = finished.failures
    assert failure.student == "student-001" and f"{way} is in the way of" in failure.reason
    way.unlink()
    again = grade(course, "tiny", engine=engine, limits=LIMITS)
    assert {result.student: result.score for result in again.results} == {"student-001": 7, "student-002": 7}


def test_changed_limits_labs_and_wishes_run_again_and_a_preview_says_why(course, hand_in, right, engine):
    hand_in("student-001", **right)

    def outcome(limits=LIMITS, **options):
        [planned] = preview(course, read_lab(course, "tiny"), Settings(limits), **options)
        finished = grade(course, "tiny", engine=engine, limits=limits, **options)
        return planned.action, planned.reason, finished.reused

    assert outcome() == ("run", "it has not been graded yet", 0)
    assert outcome() == ("reuse", "nothing has changed since it was graded", 1)
    assert outcome(regrade=["all"]) == ("run", "it was asked for", 0)
    assert outcome(regrade=["student-001"]) == ("run", "it was asked for", 0)
    assert outcome(Limits(6, 60)) == ("run", "the limits have changed since it was graded", 0)
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace("expected 4, got", "expected four, got"))
    assert outcome() == ("run", "the lab and the limits have changed since it was graded", 0)
    hand_in("student-001", **{**right, "share": "share = lambda: 2"})
    assert outcome() == ("run", "its files have changed since it was graded", 0)
    (course.grading / "gradebook.db").unlink()
    assert outcome() == ("run", "the gradebook, or the folder of graded notebooks, no longer has it", 0)


def test_some_students_only(course, hand_in, right, engine):
    for number in (1, 2, 3):
        hand_in(f"student-00{number}", **right)
    finished = grade(course, "tiny", engine=engine, limits=LIMITS, students=["student-002"])
    assert [result.student for result in finished.results] == ["student-002"]
    assert {student for _, student in events.latest(course)} == {"student-002"}
    with pytest.raises(UsageError, match="'student-02' is not in the gradebook .* did you mean 'student-002'"):
        grade(course, "tiny", engine=engine, students=["student-02"])
    with pytest.raises(UsageError, match="'student-9x'"):
        grade(course, "tiny", engine=engine, regrade=["student-9x"])


def test_a_preview_changes_nothing(course, hand_in, right):
    hand_in("student-001", **right)
    (course.grading / "gradebook.db").unlink()
    before = sorted(path for path in course.root.rglob("*"))
    assert [planned.action for planned in preview(course, read_lab(course, "tiny"), Settings())] == ["run"]
    assert sorted(path for path in course.root.rglob("*")) == before


def test_a_solution_without_full_points_stops_the_round_and_names_the_test(course, hand_in, right, engine):
    hand_in("student-001", **right)
    path = course.source_file("tiny")
    text = path.read_text()
    path.write_text(text.replace("return 2 * x + offset", "return 3 * x + offset"))
    with pytest.raises(
        CourseError, match=r"(?s)solution of tiny does not get full points.*check_double: .*got 6.*"
    ) as e:
        grade(course, "tiny", engine=engine, limits=LIMITS)
    assert "check_share" not in str(e.value) and "autograder solution-check tiny" in str(e.value)
    assert events.latest(course) == {}
    finished = grade(course, "tiny", engine=engine, limits=LIMITS, with_solution=False)
    assert finished.results[0].score == 7 and finished.solution is None
    path.write_text(text.replace("return 4\n", "while True:\n        pass\n", 1))
    with pytest.raises(CourseError, match=r"(?s)check_share: .*2 s"):
        check_solution(course, read_lab(course, "tiny"), engine, Limits(2, 60))


def test_the_progress_of_a_running_round(course, hand_in, right, engine):
    for number in (1, 2, 3):
        hand_in(f"student-00{number}", **right)
    assert round_progress(course) is None
    seen = []
    grade(course, "tiny", engine=engine, limits=LIMITS, jobs=1, on_result=lambda _: seen.append(round_progress(course)))
    assert [(progress.lab, progress.done, progress.submissions) for progress in seen] == [
        ("tiny", 1, 3),
        ("tiny", 2, 3),
        ("tiny", 3, 3),
    ]
    assert seen[1].seconds_left > 0 and round_progress(course) is None


def test_a_large_class_is_not_held_in_memory(course, hand_in, right, engine):
    for number in range(12):
        hand_in(f"student-{number:03d}", **right)
    running, most, lock = set(), [], threading.Lock()
    run = engine.run

    def counted(job, *rest):
        with lock:
            running.add(job.student)
            most.append(len(running))
        return run(job, *rest)

    engine.run = counted
    try:
        grade(course, "tiny", engine=engine, limits=LIMITS, jobs=2, on_result=running.discard)
    finally:
        del engine.run
    assert max(most) <= 2 + 2 + 1  # those that run, two that wait, the one that is being recorded


def test_a_bad_lab_does_not_stop_another(course, hand_in, right, engine):
    bad = course.solutions / "bad" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(course.source_file("tiny").read_text().replace('given="setup"', 'exercise="double"'))
    hand_in("student-001", **right)
    assert grade(course, "tiny", engine=engine, limits=LIMITS).results[0].score == 7
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


def test_an_interrupted_round_goes_on_where_it_was(a_class, engine):
    told = []

    def interrupt(student):
        told.append(student)
        if len(told) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(a_class, "tiny", engine=engine, limits=LIMITS, jobs=2, on_result=interrupt)
    recorded = {student for _, student in events.latest(a_class)}
    assert recorded == set(told)
    finished = grade(a_class, "tiny", engine=engine, limits=LIMITS, jobs=2)
    assert len(finished.results) == 7 and finished.failures == ()
    again = {result.student for result in finished.results if result.reused}
    assert again == {result.student for result in finished.results if result.student in recorded and result.sha256}
