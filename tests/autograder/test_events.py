"""The log of a course survives whatever cuts it off, and says what the last result of each submission is."""

from __future__ import annotations

import json
import resource

import nbformat
import pytest

from autograder.errors import StorageError
from autograder.execute import Executed
from autograder.recording import events
from autograder.recording.kept import Kept, drop, keep, kept_runs
from autograder.results import Points, SubmissionResult
from autograder.submissions import Finding, Problem, Status, Submission

RESULT = SubmissionResult(
    "student-001",
    "tiny",
    Status.OK,
    score=5.5,
    maximum=10,
    waiting=3,
    penalty=0.5,
    points={"check": Points(2.5, 4, "partial", 0.25), "why": Points(None, 3)},
    findings=(Finding("moved", "check_ü", "line\u2028separator \udc80"),),
    received="2026-01-31T12:00:00+00:00",
    seconds=1.5,
    peak_memory_mb=200.0,
    sha256="1",
)


def other(**changes) -> SubmissionResult:
    return SubmissionResult(**{**RESULT.__dict__, **changes})


@pytest.fixture
def small_files():
    """A function that lets no file of this process grow beyond a size, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_there_is_nothing_before_the_first_round(course):
    assert events.latest(course) == {} and list(events.read(course)) == []


def test_results_are_read_back_as_they_were_written(course):
    events.append(course, other(score=1.0))
    events.append(course, other(lab="other"))
    events.append(course, RESULT)
    assert events.latest(course, "tiny") == {("tiny", "student-001"): RESULT}
    assert set(events.latest(course)) == {("tiny", "student-001"), ("other", "student-001")}
    assert len(course.events.read_bytes().splitlines()) == 3


def test_results_of_an_older_version_are_read(course):
    old = {name: value for name, value in events.as_json(RESULT).items() if name not in ("penalty", "peak_memory_mb")}
    old["points"] = {"check": {"score": 2.5, "maximum": 4.0}}
    course.events.write_text(json.dumps({"time": "2026-01-01T00:00:00+00:00", **old}) + "\n")
    [found] = events.latest(course).values()
    assert found.points == {"check": Points(2.5, 4)} and found.penalty == 0


def test_other_events_are_no_results(course):
    events.note(course, "started", lab="tiny", submissions=3)
    events.append(course, RESULT)
    events.note(course, "finished", lab="tiny", student="student-002", status="ok")
    assert list(events.latest(course).values()) == [RESULT]
    assert [event["event"] for event in events.read(course)] == ["started", "recorded", "finished"]


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_line_that_was_cut_off_costs_only_itself(course, cut):
    events.append(course, RESULT)
    whole = course.events.read_bytes()
    events.append(course, other(student="student-002"))
    course.events.write_bytes(course.events.read_bytes()[:-cut])
    assert ("tiny", "student-002") in events.latest(course) or cut > 1
    events.append(course, other(student="student-003"))
    found = {student for _, student in events.latest(course)}
    assert {"student-001", "student-003"} <= found <= {"student-001", "student-002", "student-003"}
    assert course.events.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    "line", ["", "[]", "null", '{"time": 1}', '{"time": 1, "event": "recorded", "student": 3}', "\0"]
)
def test_lines_that_make_no_sense_are_passed_over(course, line):
    events.append(course, RESULT)
    with course.events.open("a") as file:
        file.write(line + "\n")
    events.append(course, other(student="student-002"))
    assert len(events.latest(course)) == 2


def test_a_full_disk_leaves_no_half_line(course, small_files):
    events.append(course, RESULT)
    before = course.events.read_bytes()
    small_files(len(before) + 100)
    with pytest.raises(StorageError, match="events cannot be written: .*; make room on that disk, then grade again"):
        events.append(course, other(student="student-002"))
    assert course.events.read_bytes() == before


@pytest.fixture
def run() -> Kept:
    """A run with all that a run can have."""
    cell = nbformat.v4.new_code_cell("x = 'é\udc80'", id="a", outputs=[nbformat.v4.new_output("stream", text="hello")])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    problem = Problem(Status.INVALID, "no")
    submission = Submission("student-ü/..", "tiny", "/nowhere", ("a.ipynb",), ("b.txt",), None, "2", problem)
    return Kept(Executed(submission, Status.TIMEOUT, "late", {"a": notebook}, (Finding("a", "b", "c"),), 2.5), "1")


def test_a_run_is_kept_and_read_back_until_it_is_dropped(course, run):
    keep(course, run)
    keep(course, run)
    [found] = kept_runs(course, "tiny")
    assert found == run and found.executed.notebooks["a"].cells[0].outputs[0].text == "hello"
    assert list(kept_runs(course, "other")) == []
    drop(course, "tiny", "student-ü/..")
    drop(course, "tiny", "student-ü/..")
    assert list(kept_runs(course, "tiny")) == []


def test_a_run_that_cannot_be_read_is_forgotten(course, run):
    keep(course, run)
    [path] = (course.grading / "finished").iterdir()
    (path.parent / "half.json").write_bytes(path.read_bytes()[:-20])
    (path.parent / "other.json").write_text('{"executed": {"status": "ok"}, "sha256": "1"}')
    assert list(kept_runs(course, "tiny")) == [run]
    assert list((course.grading / "finished").iterdir()) == [path]


def test_a_full_disk_keeps_no_half_run(course, run, small_files):
    small_files(100)
    with pytest.raises(StorageError, match="make room on that disk"):
        keep(course, run)
    assert list((course.grading / "finished").iterdir()) == []
