"""Exports: the layouts that Canvas, Moodle and Gradescope read, without formulas and without hidden tests."""

from __future__ import annotations

import csv
import json

import pytest

from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError, UsageError
from autograder.exports import export, gradebook_rows, guarded, write_gradebook
from autograder.intake import Status
from autograder.recording import events
from autograder.results import SubmissionResult

from .graded import grade_class

CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (4711)
    Points Possible,,,,,10
"Lovelace, Ada",101,s-1,ada,Monday,
"Turing, Alan",102,s-2,alan,Tuesday,
"Hopper, Grace",103,s-3,grace,Tuesday,
"""
MOODLE = """\
Identifier,Full name,Username,Email address,Status,Grade,Maximum Grade,Last modified (grade),Feedback comments
Participant 7,Ada Lovelace,ada,Ada@example.org,,,10.00,-,
Participant 8,Alan Turing,alan,alan@example.org,,,10.00,-,
"""


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def graded(course: Course, engine, hand_in, right) -> Course:
    """Ada has all that is graded by tests, Alan fails a hidden test, Grace has handed in nothing."""
    hand_in("ada", **right)
    hand_in("alan", **{**right, "double": "def double(x):\n    return 4"})
    (course.submitted / "grace").mkdir(parents=True)
    grade_class(course, engine)
    return course


def test_the_layouts(graded, tmp_path):
    """One class, graded once, in every layout."""
    done = export(graded, "tiny", "csv", tmp_path / "a" / "plain.csv")
    assert (done.students, done.left_out) == (("ada", "alan"), ("grace",))
    titles, ada, alan, grace = rows_of(done.path)
    assert titles[:4] == ["student", "status", "score", "maximum"] and titles[-3:] == [
        "check_double",
        "check_share",
        "why",
    ]
    assert ada[:5] == ["ada", "ok", "7", "10", "3"] and ada[-3:] == ["3", "4", ""]
    assert alan[2] == "4" and grace[:3] == ["grace", "missing", ""]

    (tmp_path / "canvas.csv").write_text(CANVAS)
    done = export(
        graded, "tiny", "canvas", tmp_path / "c.csv", roster=tmp_path / "canvas.csv", assignment="Lab 1 (4711)"
    )
    assert rows_of(done.path) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 1 (4711)"],
        ["    Points Possible", "", "", "", "", "10"],
        ["Lovelace, Ada", "101", "s-1", "ada", "Monday", "7"],
        ["Turing, Alan", "102", "s-2", "alan", "Tuesday", "4"],
    ]

    (tmp_path / "moodle.csv").write_text(MOODLE)
    done = export(graded, "tiny", "moodle", tmp_path / "m.csv", roster=tmp_path / "moodle.csv")
    titles, ada, alan = rows_of(done.path)
    assert {"Identifier", "Grade", "Last modified (grade)", "Feedback comments"} <= set(titles)
    assert ada[:5] == ["Participant 7", "Ada Lovelace", "Ada@example.org", "7", "10"]
    assert "Exercise 1: double: a hidden test failed, 0 of 3" in alan[-1].split("\n")
    assert "Question 3: why?: waits for a person" in alan[-1].split("\n")

    done = export(graded, "tiny", "gradescope", tmp_path / "gradescope")
    assert sorted(path.name for path in done.path.iterdir()) == ["ada", "alan"]
    data = json.loads((done.path / "alan" / "results.json").read_text())
    assert data["score"] == 4 and data["stdout_visibility"] == "hidden"
    assert [(test["name"], test["score"], test["max_score"]) for test in data["tests"]] == [
        ("Exercise 1: double", 0, 3),
        ("Exercise 2: share", 4, 4),
    ]
    assert "a hidden test did not pass" in data["tests"][0]["output"]
    for path in tmp_path.rglob("*"):
        if path.is_file() and graded.root not in path.parents:
            assert "secret" not in path.read_text() and "hidden_limit" not in path.read_text()


def test_students_whom_the_roster_does_not_know_are_named(graded, tmp_path):
    roster = tmp_path / "canvas.csv"
    with pytest.raises(UsageError, match="Canvas has its own numbers for students.*--roster FILE"):
        export(graded, "tiny", "canvas", tmp_path / "out.csv")
    roster.write_text("".join(line for line in CANVAS.splitlines(keepends=True) if "alan" not in line))
    with pytest.raises(UsageError, match="does not know 1 of 2 students: alan; add rows"):
        export(graded, "tiny", "canvas", tmp_path / "out.csv", roster=roster)
    roster.write_text("student,name\nada,Ada\nalan,Alan\n")
    with pytest.raises(UsageError, match="has no Canvas number for 2 of 2 students: ada, alan"):
        export(graded, "tiny", "canvas", tmp_path / "out.csv", roster=roster)
    assert not (tmp_path / "out.csv").exists()
    with pytest.raises(UsageError, match="unknown format 'excel'; the formats are csv, canvas, moodle, gradescope"):
        export(graded, "tiny", "excel", tmp_path / "out.csv")


def test_a_lab_that_was_not_graded_cannot_be_exported(course, tmp_path):
    with pytest.raises(CourseError, match="tiny has not been graded"):
        export(course, "tiny", "csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "=cmd|' /C calc'!A0"]
)
def test_no_cell_is_a_formula(value):
    assert guarded(value) == "'" + value


@pytest.mark.parametrize(
    ("value", "cell"), [("ada", "ada"), ("", ""), ("-", "-"), (None, ""), (-0.5, "-0.5"), (1 / 3, "0.33")]
)
def test_other_cells_stay_as_they_are(value, cell):
    assert guarded(value) == cell


def test_what_a_student_named_cannot_become_a_formula(course, tmp_path):
    for student in ("=HYPERLINK(1)", 'a,b"c'):
        result = SubmissionResult(student, "tiny", Status.INVALID, score=0.0, maximum=10)
        events.append(course, result)
    path = write_gradebook(course, ["tiny"], tmp_path / "all.csv")
    assert [row[0] for row in rows_of(path)[2:]] == ["'=HYPERLINK(1)", 'a,b"c']


def test_all_labs_in_one_table(graded):
    assert gradebook_rows(graded, ["tiny"]) == [
        ["student", "tiny", "sum"],
        ["maximum", 10.0, 10.0],
        ["ada", 7.0, 7.0],
        ["alan", 4.0, 4.0],
        ["grace", None, 0.0],
    ]


def test_the_command_says_what_it_wrote_and_who_is_missing(graded, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["autograder", "export", "tiny", "--out", str(tmp_path / "grades.csv")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().out.replace("\n", " ")
    assert not ended.value.code and "2 students" in said and "Nothing handed in: grace" in said
    assert len(rows_of(tmp_path / "grades.csv")) == 4
    monkeypatch.setattr("sys.argv", ["autograder", "export", "--format", "canvas"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "name the lab to export" in capsys.readouterr().err.replace("\n", " ")
