"""Lateness: a policy in plain words, due dates with a time zone, and penalties that follow both."""

from __future__ import annotations

from datetime import UTC, datetime

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.errors import CourseError, UsageError
from autograder.execute import Executed
from autograder.late import LatePolicy, due, set_due
from autograder.record import graded_result, record, register_lab
from autograder.recording.locking import grading_lock
from autograder.submissions import Status, Submission

MINUTE, HOUR, DAY = 60, 3600, 86400
CONFIG = """
c.AssignLatePenalties.plugin_class = "autograder.late.LatePenalties"
c.LatePenalties.policy = "10 % a day, at most 50 %, 15 minutes grace"
"""


@pytest.mark.parametrize(
    ("policy", "late", "lost"),
    [
        ("none", 100 * DAY, 0),
        ("10 % a day", 1, 2),
        ("10 % a day", 1 * DAY, 2),
        ("10 % a day", 1 * DAY + 1, 4),
        ("10 % a day", 100 * DAY, 20),
        ("10% per day, at most 50%", 9 * DAY, 10),
        ("2.5 % an hour", 2 * HOUR, 1),
        ("50 % each week", 8 * DAY, 20),
        ("10 % a day, 15 minutes grace", 15 * MINUTE, 0),
        ("10 % a day, 15 minutes grace", 15 * MINUTE + 1, 2),
        ("10 % a day, 1.5 hours grace", 90 * MINUTE, 0),
        ("nothing after 7 days", 7 * DAY, 0),
        ("nothing after 7 days", 7 * DAY + 1, 20),
        ("At most 50 %,  10 % A DAY, nothing after 2 weeks", 14 * DAY, 10),
        ("At most 50 %,  10 % A DAY, nothing after 2 weeks", 15 * DAY, 20),
    ],
)
def test_a_policy_costs_what_it_says(policy, late, lost):
    assert LatePolicy.parse(policy).penalty(20, late) == pytest.approx(lost)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("ten percent", "cannot read 'ten percent'; write \"none\", or some of these"),
        ("", "cannot read ''"),
        ("none, 10 % a day", "cannot read 'none'"),
        ("10 % a fortnight", "cannot read '10 % a fortnight'"),
        ("10 % a day, 5 % an hour", "'5 % an hour' says for the second time"),
        ("120 % a day", "120 % is more than all"),
        ("at most 50 %", '"at most" needs a rate to limit'),
        ("10 % a day, 8 days grace, nothing after 7 days", "the grace is longer"),
        ("-10 % a day", "cannot read '-10 % a day'"),
    ],
)
def test_a_policy_that_cannot_be_read_is_named(policy, reason):
    with pytest.raises(ValueError) as refused:
        LatePolicy.parse(policy)
    assert reason in str(refused.value) and repr(policy) in str(refused.value)


@pytest.mark.parametrize(
    ("when", "reason"),
    [("tomorrow", "'tomorrow' is no time"), ("2026-12-01T23:59", "does not say in which time zone")],
)
def test_a_due_date_needs_a_time_and_its_zone(course, when, reason):
    with pytest.raises(UsageError, match=reason):
        set_due(course, "tiny", when)
    with pytest.raises(UsageError, match="unknown lab 'tinny'"):
        set_due(course, "tinny", "2026-12-01T23:59Z")


def test_a_due_date_is_set_before_anything_is_graded_and_taken_back(course, source):
    assert due(course, "tiny") is None
    moment = datetime(2026, 12, 1, 22, 59, tzinfo=UTC)
    assert set_due(course, "tiny", "2026-12-01T23:59+01:00") == moment == due(course, "tiny")
    register_lab(course, "tiny", {"tiny": source})
    assert due(course, "tiny") == moment
    assert set_due(course, "tiny", "none") is None is due(course, "tiny")


def test_a_due_date_is_not_changed_under_a_round(course):
    with grading_lock(course, "grade tiny"), pytest.raises(CourseError, match="is being graded by process"):
        set_due(course, "tiny", "2026-12-01T23:59Z")


@pytest.fixture
def handed_in(course, source):
    """A function that records a solution of the tiny lab, 7 of its 10 points, as received at a time."""
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text() + CONFIG)
    register_lab(course, "tiny", {"tiny": source})

    def make(received, student="student-001", status=Status.OK):
        notebook = nbformat.from_dict(source)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        notebooks = {"tiny": notebook} if status is Status.OK else {}
        return record(course, Executed(Submission(student, "tiny", "/", received=received), status, "", notebooks))

    return make


def test_the_penalty_follows_receipt_due_date_and_extension(course, handed_in):
    set_due(course, "tiny", "2026-12-01T12:00Z")
    in_time = handed_in("2026-12-01T12:15:00+00:00", "student-001")
    late = handed_in("2026-12-02T13:00:00+00:00", "student-002")
    assert (in_time.score, in_time.penalty) == (7, 0)
    assert (late.score, late.penalty) == (pytest.approx(7 * 0.8), pytest.approx(7 * 0.2))

    with Gradebook(course.db_url, "factorkit") as gradebook:
        gradebook.grant_extension("tiny", "student-002", days=1)
    extended = handed_in("2026-12-02T13:00:00+00:00", "student-002")
    assert extended.penalty == pytest.approx(7 * 0.1)

    set_due(course, "tiny", "2026-11-20T12:00Z")
    assert graded_result(course, in_time).penalty == pytest.approx(7 * 0.5)
    set_due(course, "tiny", "none")
    assert graded_result(course, in_time).penalty == graded_result(course, extended).penalty == 0


def test_nothing_is_taken_from_what_has_no_points(course, handed_in):
    set_due(course, "tiny", "2026-12-01T12:00Z")
    result = handed_in("2026-12-09T12:00:00+00:00", status=Status.INVALID)
    assert (result.score, result.penalty) == (0, 0)


def test_a_grade_given_by_hand_counts_before_the_penalty(course, handed_in):
    set_due(course, "tiny", "2026-12-01T12:00Z")
    handed_in("2026-12-01T13:00:00+00:00")
    with Gradebook(course.db_url, "factorkit") as gradebook:
        gradebook.find_grade("why", "tiny", "tiny", "student-001").manual_score = 3
        gradebook.db.commit()
    again = handed_in("2026-12-01T13:00:00+00:00")
    assert (again.score, again.penalty) == (pytest.approx(9), pytest.approx(1))


def test_nbgraders_own_plugin_works_as_configured(course, handed_in):
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text().replace(CONFIG, '\nc.LateSubmissionPlugin.penalty_method = "zero"\n'))
    set_due(course, "tiny", "2026-12-01T12:00Z")
    result = handed_in("2026-12-01T12:00:01+00:00")
    assert (result.score, result.penalty) == (0, 7)


def test_a_wrong_policy_stops_recording_and_names_the_file(course, handed_in):
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text().replace("10 % a day", "10 % a fortnight"))
    with pytest.raises(CourseError, match="nbgrader_config.py: .*cannot read '10 % a fortnight'"):
        handed_in("2026-12-01T12:00:01+00:00")
    config.write_text(config.read_text().replace("autograder.late.LatePenalties", "autograder.late.NoSuchThing"))
    with pytest.raises(CourseError, match="nbgrader_config.py: .*NoSuchThing"):
        handed_in("2026-12-01T12:00:01+00:00")
