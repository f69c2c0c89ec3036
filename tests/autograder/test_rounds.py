"""What a round says on the screen and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from autograder.collect import Collected
from autograder.commands import rounds
from autograder.commands.progress import RoundProgress
from autograder.commands.rounds import print_collected, print_progress, print_round, round_as_json
from autograder.course import Course
from autograder.pipeline import Failure, Round
from autograder.results import Points, SubmissionResult
from autograder.submissions import Finding, Status


@pytest.fixture
def console():
    """Not a terminal: what is printed is read back."""
    return Console(file=io.StringIO(), width=100, highlight=False)


def text(console):
    return console.file.getvalue()


def result(student, status=Status.OK, **values):
    given = {"score": 2.0, "maximum": 3.0, "points": {"check_area": Points(2.0, 3.0)}} | values
    return SubmissionResult(student, "tiny", status, **given)


def test_a_long_class_is_shown_as_counts_and_flagged_ones_by_name(console, tmp_path):
    flagged = result("student-007", findings=(Finding("tagged", "check_area", "the tags were removed"),))
    class_of_50 = tuple(result(f"student-{n:03d}") for n in range(100, 149))
    print_round(console, Course(tmp_path, tmp_path / "grading"), Round("tiny", (flagged, *class_of_50)))
    shown = text(console)
    assert "student-120" not in shown and "tiny · 50 submissions" in shown
    assert "1 submission is flagged for a look (*):\n  tagged: student-007\n" in shown


def test_what_ended_early_or_was_not_recorded_is_said(console, tmp_path):
    late = result("student-001", Status.MEMORY, message="after area: more than 100 MB of memory")
    finished = Round("tiny", (late,), (Failure("student-002", "OSError: no disk"),))
    print_round(console, Course(tmp_path, tmp_path / "grading"), finished)
    assert "A run that ended early keeps what was earned before it." in text(console)
    assert "not recorded student-002: OSError: no disk" in text(console)
    data = round_as_json(finished)
    assert data["failures"] == [{"student": "student-002", "reason": "OSError: no disk"}]
    [shown] = data["results"]
    assert (shown["student"], shown["status"], shown["score"], shown["maximum"], shown["findings"]) == (
        "student-001",
        "out of memory",
        2.0,
        3.0,
        [],
    )


def test_a_log_gets_a_line_now_and_then(console, monkeypatch):
    monkeypatch.setattr(rounds, "SECONDS_BETWEEN_LINES", -1.0)
    lines = rounds._Lines(console)
    lines.total = 3
    for _ in range(3):
        lines.advance()
    assert [line.partition(",")[0] for line in text(console).splitlines()] == ["1 of 3", "2 of 3", "3 of 3"]
    monkeypatch.setattr(rounds, "SECONDS_BETWEEN_LINES", 60.0)
    lines.advance()
    assert len(text(console).splitlines()) == 3


def test_a_running_round_says_how_far_it_is(console):
    print_progress(console, RoundProgress("tiny", 17, "2026-12-01T10:00:00+00:00", 214, 100, 125.0))
    assert "tiny is being graded by process 17 since" in text(console) and "100 of 214, about 3 min left" in text(
        console
    )


def test_collecting_says_what_was_refused_replaced_and_left_out(console):
    left_out = Finding("refused", "../x", "left out: it leads out of the folder")
    print_collected(
        console,
        [
            Collected("ada", "tiny", "all.zip", "new", findings=(left_out,)),
            Collected("bob", "tiny", "all.zip", "replaced", earlier="/course/bob/.earlier"),
            Collected("", "tiny", "all.zip", "refused", "it is damaged"),
        ],
    )
    for line in (
        "1 new, 1 refused, 1 replaced",
        "  refused ada: ../x: left out: it leads out of the folder",
        "  replaced bob: the earlier one is kept in /course/bob/.earlier",
        "  refused all.zip: it is damaged",
    ):
        assert line in text(console).splitlines()
