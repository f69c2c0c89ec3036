"""The command: what it says, where it says it, and how it ends."""

from __future__ import annotations

import contextlib
import json
import sys
import zipfile

import pytest

from autograder import cli
from autograder.commands import console
from autograder.execute import Engine


@pytest.fixture
def autograder(monkeypatch, capsys, engine):
    """A function that runs the command and returns its exit status, standard output and standard error.

    Where the command would start servers in bubblewrap, it gets those of all tests, which are warm.
    """

    def warm_or_new(sandbox, *, same_process=False):
        is_usual = sandbox == "bubblewrap" and not same_process
        return contextlib.nullcontext(engine) if is_usual else Engine(sandbox, same_process=same_process)

    monkeypatch.setattr("autograder.engines.Engine", warm_or_new)
    monkeypatch.setattr(console.screen, "width", 110)
    monkeypatch.setattr(console.aside, "width", 110)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["autograder", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return ended.value.code or 0, captured.out, captured.err

    return run


COMMANDS = ("build", "lint", "collect", "due", "solution-check", "grade", "status", "show", "feedback", "leaderboard")
COMMANDS += ("site", "demo", "doctor")


def test_help_teaches_with_an_example(autograder):
    status, out, _ = autograder("--help")
    assert status == 0 and "autograder grade lab01_convolutions" in out
    for command in COMMANDS:
        status, out, _ = autograder(command, "--help")
        assert status == 0 and f"Example: autograder {command}" in out


@pytest.mark.parametrize(
    "command",
    ["build", "lint", "due", "solution-check", "grade", "status", "show", "feedback", "leaderboard"],
)
def test_an_unknown_lab_is_named_with_the_nearest(course, autograder, command):
    status, out, err = autograder(command, "tinny")
    assert (status, out) == (2, "")
    assert "unknown lab 'tinny'; did you mean 'tiny'? the labs are tiny" in err


@pytest.mark.parametrize(
    "arguments", [("grade",), ("grade", "tiny", "--jobs", "0"), ("nonsense",), ("grade", "--nonsense")]
)
def test_wrong_usage_ends_with_2(course, autograder, arguments):
    assert autograder(*arguments)[0] == 2


def test_outside_a_course(tmp_path, autograder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = autograder("status")
    assert status == 2 and "no course found" in err and "--course" in err


def test_build_says_what_it_wrote_and_one_bad_lab_stops_no_other(course, autograder):
    assert autograder("build") == (0, "tiny: wrote _build/source/tiny/tiny.ipynb, labs/tiny/tiny.ipynb\n", "")
    assert autograder("build", "tiny")[1] == "tiny: up to date\n"
    bad = course.solutions / "bad" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(course.source_file("tiny").read_text().replace('exercise="share"', 'exercise="double"'))
    status, out, err = autograder("build")
    assert status == 1 and "tiny: up to date" in out
    assert "bad.py:" in err and "id 'double' is taken" in err and "1 lab(s) not built" in err
    status, out, _ = autograder("lint")
    assert status == 1 and "bad.py:" in out


def test_lint_sees_a_lab_that_was_edited_by_hand(course, autograder):
    autograder("build")
    before = autograder("lint")[1]
    released = course.labs / "tiny" / "tiny.ipynb"
    released.write_text(released.read_text().replace("A tiny lab", "A tiny laboratory"))
    status, out, err = autograder("lint", "tiny")
    assert status == 1 and out.removeprefix(before).startswith("tiny: tiny.ipynb in labs/tiny differs from the source")


def test_a_round_on_the_screen(course, hand_in, right, autograder):
    hand_in("student-001", **right)
    hand_in("student-002").write_text("no JSON")
    (course.submitted / "student-003" / "tiny").mkdir(parents=True)
    moved = hand_in("student-004", **{**right, "double": "def double(x):\n    return 7"})
    moved.rename(moved.with_name("renamed.ipynb"))

    status, out, err = autograder("grade", "tiny", "--cell-timeout", "20")
    assert status == 0
    assert "Grading tiny · 4 submissions · " in err and "sandbox bubblewrap" in err
    for line in (
        "tiny · 4 submissions",
        "1 submission is flagged for a look (*):\n  renamed: student-004\n  autograder show tiny --flagged\n",
        "2 submissions have points that wait for a person",
        "1 double · 2 share · 3 why",
        "Gradebook: grading/gradebook.db",
    ):
        assert line in out
    assert [line.split() for line in out.splitlines() if line.startswith(" ok")] == [["ok", "2", "5.5", "/", "10"]]
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith(" student-")}
    assert rows["student-001"] == ["ok", "3", "4", "?", "7", "+3?", "/", "10"]
    assert rows["student-003"] == ["missing", "–", "–", "–", "–"]
    assert rows["student-004"][:2] == ["ok", "*"]

    status, out, _ = autograder("grade", "tiny", "--cell-timeout", "20", "--json")
    data = json.loads(out)
    results = {result["student"]: result for result in data["results"]}
    assert status == 0 and data["failures"] == []
    assert results["student-001"]["score"] == 7 and results["student-001"]["reused"]
    assert results["student-002"]["status"] == "invalid notebook"
    assert "renamed.ipynb: not JSON" not in results["student-002"]["message"]
    assert "tiny.ipynb: not JSON" in results["student-002"]["message"]
    assert "there is no tiny.ipynb" in results["student-003"]["message"]

    assert "invalid notebook" in autograder("status")[1]
    assert [result["student"] for result in json.loads(autograder("status", "tiny", "--json")[1])] == sorted(results)

    status, out, _ = autograder("show", "tiny", "student-004")
    assert status == 0 and "AssertionError: expected 4, got 7" in out and "renamed: renamed.ipynb" in out
    assert "student-001" not in autograder("show", "tiny", "--flagged")[1]
    status, _, err = autograder("show", "tiny", "student-04")
    assert status == 2 and "did you mean 'student-004'?" in err

    status, out, _ = autograder("feedback", "tiny")
    assert status == 0 and out.startswith("4 pages: ")
    status, out, _ = autograder("leaderboard", "tiny")
    assert status == 0 and "no entry: student-003: there is no tiny.ipynb" in out
    assert autograder("leaderboard")[1].startswith("No graded notebook displays a measurement")


def test_another_grading_folder(course, hand_in, right, autograder, tmp_path):
    hand_in("student-001", **right)
    (course.grading / "submitted").rename(tmp_path / "submitted")
    status, out, _ = autograder("grade", "tiny", "--grading", str(tmp_path))
    assert status == 0 and f"Gradebook: {tmp_path}/gradebook.db" in out
    (tmp_path / "gradebook.db").unlink()
    assert "1" in autograder("status", "--grading", str(tmp_path))[1]
    assert (tmp_path / "autograded" / "student-001" / "tiny" / "tiny.ipynb").is_file()
    assert not (course.grading / "autograded").exists()


def test_what_has_not_been_graded_is_said(course, autograder):
    assert "Nothing has been graded" in autograder("status")[1]
    status, _, err = autograder("feedback", "tiny")
    assert status == 1 and "run autograder grade tiny first" in err
    status, _, err = autograder("show", "tiny", "student-001")
    assert status == 2 and "run autograder grade tiny first" in err


def test_a_submission_that_could_not_be_recorded_is_named_and_ends_the_round_with_1(course, hand_in, right, autograder):
    for number in (1, 2):
        hand_in(f"student-00{number}", **right)
    course.autograded.mkdir(parents=True, exist_ok=True)
    (course.autograded / "student-001").write_text("in the way of the student's folder")
    status, out, err = autograder("grade", "tiny")
    assert status == 1 and "Grading tiny · 2 submissions · " in err
    shown = " ".join((out + err).split())
    assert "student-001 is in the way of" in shown and "move it, then grade again" in shown
    assert (course.autograded / "student-002" / "tiny" / "tiny.ipynb").is_file()


def test_a_dry_run_says_what_and_why_and_does_nothing(course, hand_in, right, autograder):
    hand_in("student-001", **right)
    hand_in("student-002").write_text("no JSON")
    status, out, _ = autograder("grade", "tiny", "--dry-run")
    assert status == 0 and "tiny · 2 submissions: 1 to run, nothing is changed now" in out
    assert "  run    student-001: it has not been graded yet\n" in out
    assert "  record student-002: tiny.ipynb: not JSON" in out
    data = json.loads(autograder("grade", "tiny", "--dry-run", "--json", "--student", "student-001")[1])
    assert data == {
        "lab": "tiny",
        "planned": [{"student": "student-001", "action": "run", "reason": "it has not been graded yet"}],
    }
    assert not course.events.exists()
    (course.root / "cluster.toml").write_text('[slurm]\nqueue = "cpu"\n')
    assert "#SBATCH -p cpu" in autograder("grade", "tiny", "--dry-run", "--slurm")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sandbox", "none"), "without a sandbox, submissions can read and change whatever you can"),
        (("--sandbox", "docker"), "unknown sandbox 'docker'"),
        (("--scheduler", "tcp://localhost:1", "--slurm"), "two places to grade on"),
        (("--same-process", "--slurm"), "--same-process runs on this machine alone"),
        (("--student", "student-9"), "'student-9' is not in the gradebook"),
    ],
)
def test_what_does_not_go_together_is_refused(course, hand_in, right, autograder, options, message):
    hand_in("student-001", **right)
    status, out, err = autograder("grade", "tiny", *options)
    assert (status, out) == (2, "") and message in err


def test_without_a_sandbox_but_trusted(course, hand_in, right, autograder):
    hand_in("student-001", **right)
    status, out, err = autograder("grade", "tiny", "--sandbox", "none", "--trusted", "--json")
    assert status == 0 and "without a sandbox" in err
    [result] = json.loads(out)["results"]
    assert (result["student"], result["status"], result["score"], result["maximum"]) == ("student-001", "ok", 7, 10)
    assert result["findings"] == []


def test_tests_beside_the_students_code_are_flagged(course, hand_in, right, autograder):
    hand_in("student-001", **right)
    status, out, err = autograder("grade", "tiny", "--same-process", "--json")
    assert status == 0, err
    [result] = json.loads(out)["results"]
    assert (result["status"], result["score"]) == ("ok", 7)
    assert [finding["kind"] for finding in result["findings"]] == ["same process"]


def test_the_solution_is_checked_and_what_it_loses_is_said(course, autograder):
    status, out, _ = autograder("solution-check", "tiny")
    assert status == 0 and "tiny: the solution gets all of 7 points in " in out
    assert "students' notebooks may take 60 s" in out
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace("return 2 * x + offset", "return 3 * x + offset"))
    status, out, err = autograder("solution-check", "tiny")
    assert (status, out) == (1, "") and "check_double: gives 0 of 3 points: AssertionError: expected 4, got 6" in err


def test_due_dates_and_collecting(course, hand_in, right, autograder, tmp_path):
    assert autograder("due", "tiny")[1] == "tiny: no due date\n"
    assert autograder("due", "tiny", "2026-12-01T23:59+01:00")[1] == "tiny: due 2026-12-01T22:59+00:00\n"
    assert autograder("due", "tiny")[1] == "tiny: due 2026-12-01T22:59+00:00\n"
    status, _, err = autograder("due", "tiny", "tomorrow")
    assert status == 2 and "'tomorrow' is no time" in err
    notebook = hand_in("student-001", **right)
    archive = tmp_path / "student-007.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(notebook, "tiny.ipynb")
    assert autograder("collect", "tiny", str(archive)) == (0, "1 new\n", "")
    assert (course.submitted / "student-007" / "tiny" / "tiny.ipynb").is_file()
    archive.write_text("no archive")
    status, out, err = autograder("collect", "tiny", str(archive))
    assert status == 1 and "refused student-007: student-007.zip" in out and "1 refused" in err


def test_the_doctor_looks_at_this_machine(autograder):
    status, out, _ = autograder("doctor")
    assert status == 0 and "good    sandbox: " in out and "good    dask: " in out
    names = [check["name"] for check in json.loads(autograder("doctor", "--json")[1])]
    assert names[:5] == ["Python", "sandbox", "limits", "processors", "memory"]


def test_a_course_without_a_book_has_no_site(course, autograder):
    status, _, err = autograder("site")
    assert status == 1 and "no book to build" in err
