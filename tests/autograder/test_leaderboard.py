"""The leaderboard: only what the lab's own graded cells display counts, and the order is the challenge's."""

from __future__ import annotations

import json
import shutil

import nbformat
import pytest
from rich.console import Console

from autograder.cli import main
from autograder.commands.rounds import print_leaderboard, print_round
from autograder.commands.site import publish_leaderboard
from autograder.errors import UsageError
from autograder.feedback import feedback
from autograder.intake import Status
from autograder.leaderboard import MEASUREMENT, Entry, Leaderboard, leaderboard, write_leaderboards
from autograder.pages.leaderboard_page import leaderboard_html, read_pseudonyms, write_page
from autograder.pages.leaderboard_plot import describe, pareto_front, plot_leaderboard
from autograder.pipeline import Round
from autograder.recording import events
from autograder.results import SubmissionResult
from micronet_resources.challenge import MIME_TYPE
from micronet_resources.rules import rule_set

from .conftest import ROOT
from .graded import grade_class
from .pages import chromium, needs_browser, opened

MEASURING = f"""
import json
from IPython.display import display

with open("entry.onnx") as file:
    measured = json.load(file)
### BEGIN HIDDEN TESTS
display({{"{MEASUREMENT}": measured, "text/plain": "a table"}}, raw=True)
### END HIDDEN TESTS
"""
NEEDED = rule_set("course2025").task("patterns").needed(2_000)


@pytest.fixture
def enter(course):
    """A function that puts a graded notebook with some measurement in its place."""

    def make(student, correct=None, score=0.05, *, graded=True, status=Status.OK, message="", **changes):
        events.append(course, SubmissionResult(student, "tiny", status, message))
        costs = {"params": 10, "stored_bits": 80, "macs": 20, "live_macs": 15, "score": score}
        numbers = {"correct": correct, "total": 2_000, **costs}
        data = {**numbers, "accuracy": (correct or 0) / 2_000, "rules": "course2025", "task": "patterns", **changes}
        output = nbformat.v4.new_output("display_data", {MEASUREMENT: data, "text/plain": "a table"})
        nbgrader = {"grade_id": "check_entry", "grade": graded, "solution": False, "locked": graded, "points": 12}
        cell = nbformat.v4.new_code_cell("measure()", metadata={"nbgrader": nbgrader})
        cell.outputs = [] if correct is None else [output]
        path = course.autograded / student / "tiny" / "tiny.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)

    return make


def test_the_measurement_is_the_one_that_the_challenge_displays():
    assert MEASUREMENT == MIME_TYPE


def test_valid_entries_come_first_by_score_then_the_others_by_accuracy(course, enter):
    enter("large", NEEDED + 100, 0.04)
    enter("small", NEEDED, 0.01)
    enter("nearly", NEEDED - 1, 0.001)
    enter("far", NEEDED - 500, 0.0001)
    board = leaderboard(course, "tiny")
    assert [entry.student for entry in board.entries] == ["small", "large", "nearly", "far"]
    assert [entry.qualified for entry in board.entries] == [True, True, False, False]


def test_entries_with_the_same_score_and_as_many_correct_answers_share_a_place(course, enter):
    enter("a", NEEDED, 0.02)
    enter("b", NEEDED, 0.02)
    enter("c", NEEDED + 1, 0.02)
    enter("d", NEEDED, 0.03)
    enter("e", NEEDED - 1, 0.01)
    enter("f", NEEDED - 1, 0.01)
    [board] = write_leaderboards(course)
    assert [entry.student for entry in board.entries] == ["c", "a", "b", "d", "e", "f"]
    assert board.places == (1, 2, 2, 4, None, None)
    [written] = json.loads((course.grading / "leaderboard.json").read_text())
    assert [(entry["place"], entry["student"]) for entry in written["entries"]][1:4] == [(2, "a"), (2, "b"), (4, "d")]
    console = Console(width=100, record=True)
    print_leaderboard(console, board)
    rows = [line.split()[:2] for line in console.export_text().splitlines() if " 0.0" in line]
    assert rows == [["1", "c"], ["2", "a"], ["2", "b"], ["4", "d"], ["–", "e"], ["–", "f"]]


def test_who_has_no_entry_is_told_why(course, enter):
    enter("student-001")
    enter("student-002", NEEDED, graded=False)
    enter("student-003", NEEDED, rules="no such rules")
    enter("student-004", NEEDED, params="many")
    enter("student-005", status=Status.TIMEOUT, message="check_entry: stopped after 60 s")
    events.append(course, SubmissionResult("student-006", "tiny", Status.MISSING, "nothing was handed in"))
    board = leaderboard(course, "tiny")
    assert board.entries == ()
    reasons = {absent.student: absent.reason for absent in board.absent}
    assert reasons["student-001"] == reasons["student-002"] == "its notebook displays no measurement"
    assert "no such rules" in reasons["student-003"] and "cannot be read" in reasons["student-004"]
    assert reasons["student-005"] == "check_entry: stopped after 60 s"
    assert reasons["student-006"] == "nothing was handed in"


def test_the_file_holds_every_lab_that_has_entries(course, enter):
    assert write_leaderboards(course) == []
    enter("student-001", NEEDED)
    [board] = write_leaderboards(course)
    [written] = json.loads((course.grading / "leaderboard.json").read_text())
    assert written["lab"] == board.lab == "tiny"
    assert written["entries"][0]["correct"] == NEEDED


def test_the_table_shows_what_was_measured(course, enter):
    enter("student-001", NEEDED, 0.0123)
    console = Console(width=100, record=True)
    print_leaderboard(console, leaderboard(course, "tiny"))
    text = console.export_text()
    assert "bits each" in text and "live MACs" in text
    [row] = [line.split() for line in text.splitlines() if "student-001" in line]
    assert row == ["1", "student-001", f"{100 * NEEDED / 2_000:.2f}", "%", "0.0123", "10", "8.0", "15"]


@pytest.fixture
def measuring_course(course):
    """The course, with a check that measures what is handed in as entry.onnx."""
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace("### END HIDDEN TESTS\nfloat(got)\n", f"### END HIDDEN TESTS{MEASURING}"))
    return course


def test_a_missing_or_refused_entry_is_flagged_for_the_instructor_and_the_student(
    measuring_course, engine, hand_in, right
):
    course = measuring_course
    hand_in("student-001", **right).with_name("entry.onnx").write_text('{"score": 0.05}')
    hand_in("student-002", **right).with_name("entry.onnx").write_text("no entry at all")
    hand_in("student-003", **{**right, "double": "def double(x):\n    return 7"})
    hand_in("student-004").write_text("no JSON")

    results = grade_class(course, engine)
    assert [(result.status, result.points["check_share"].score) for result in results[:3]] == [
        (Status.OK, 4),
        (Status.OK, 0),
        (Status.OK, 0),
    ]
    messages = {result.student: [finding.message for finding in result.findings] for result in results}
    refused = "the file was handed in, but not measured: the error stands at its check"
    missing = "the file was not handed in: there was nothing to measure"
    assert list(messages.values()) == [[], [refused], [missing], []]

    console = Console(width=100, record=True)
    print_round(console, course, Round("tiny", tuple(results)))
    text = console.export_text()
    assert "2 submissions are flagged for a look (*):\n  no entry: student-002, student-003\n" in text
    rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines() if line.startswith(" student-")}
    assert [rows[f"student-00{number}"] for number in (1, 2, 3)] == [["ok", "3"], ["ok", "*"], ["ok", "*"]]

    pages = [page.path.read_text() for page in feedback(course, "tiny")]
    assert [(refused in page, missing in page) for page in pages[:3]] == [(False, False), (True, False), (False, True)]
    reasons = {absent.student: absent.reason for absent in leaderboard(course, "tiny").absent}
    assert reasons["student-002"].startswith("check_share: JSONDecodeError")
    assert reasons["student-003"].startswith("check_share: FileNotFoundError")  # not what exercise 1 said


def board_of(*entries):
    """A leaderboard from names, correct answers and scores."""
    made = [
        Entry(
            name,
            correct,
            2_000,
            correct / 2_000,
            1_000 * place,
            8_000 * place,
            90,
            70 + place,
            score,
            "course2025",
            "patterns",
        )
        for place, (name, correct, score) in enumerate(entries, 1)
    ]
    return Leaderboard("tiny", tuple(made), ())


BOARD = board_of(
    ("Ada <b>Lovelace</b>", NEEDED + 60, 0.02),
    ("Bob", NEEDED + 10, 0.03),
    ("Cleo", NEEDED + 90, 0.05),
    ("Dan $x", 900, 0.01),
)


def test_the_pareto_front_is_what_no_other_entry_beats():
    assert [entry.student for entry in pareto_front(BOARD.entries)] == ["Dan $x", "Ada <b>Lovelace</b>", "Cleo"]


def test_the_plot_is_the_same_every_time_and_says_what_it_shows():
    plot = plot_leaderboard(BOARD)
    assert plot == plot_leaderboard(BOARD)
    assert plot.startswith("<svg") and 'role="img"' in plot and "<b>" not in plot
    assert "In the lead: Ada" in describe(BOARD) and "threshold of 90 %" in describe(BOARD)
    for said in ("Pareto front", "threshold, 90 %", "score (lower is better)", "accuracy (%)"):
        assert said in plot


@needs_browser
@pytest.mark.browser
def test_the_page_is_sorted_without_a_script(course):
    path, _ = write_page(course, [BOARD])
    assert "<script" not in path.read_text()
    with chromium() as browser, opened(browser, path) as seen:
        rows = seen.page.locator(".sorted:visible tbody tr td:nth-child(2)")
        assert rows.all_inner_texts() == ["Ada <b>Lovelace</b>", "Bob", "Cleo", "Dan $x"]
        assert seen.page.locator(".sorted:visible tbody tr td:nth-child(1)").all_inner_texts() == ["1", "2", "3", "–"]
        for order, names in {
            "accuracy": ["Cleo", "Ada <b>Lovelace</b>", "Bob", "Dan $x"],
            "score": ["Dan $x", "Ada <b>Lovelace</b>", "Bob", "Cleo"],
        }.items():
            seen.page.get_by_label(order, exact=True).check()
            assert rows.all_inner_texts() == names
            assert seen.page.locator(".sorted:visible th[aria-sort]").inner_text() == order
        plot = seen.page.get_by_role("img", name="Accuracy against score, tiny")
        assert plot.bounding_box()["width"] > 400
        assert seen.leaves == [] and seen.console == [] and seen.cut_off_when_narrow() == []


@needs_browser
@pytest.mark.browser
def test_the_page_of_the_site_is_interactive(course):
    site = course.root / "_build" / "html"
    (site / "book").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "_static" / "interactive", site / "_static" / "interactive")
    page = site / "book" / "leaderboard.html"
    page.write_text("<html lang=en><main><!-- leaderboard --><p>none</p><!-- end of leaderboard --></main></html>")
    write_page(course, [BOARD, Leaderboard("another", (), ())], publish=True)
    with chromium() as browser, opened(browser, page) as seen:
        assert seen.page.locator(".fk-fallback").is_hidden()
        rows = seen.page.locator(".fk-table tbody tr")
        assert rows.locator("td:nth-child(2)").all_inner_texts() == ["Ada <b>Lovelace</b>", "Bob", "Cleo", "Dan $x"]
        front = [row.inner_text().split("\t")[1] for row in rows.all() if row.inner_text().endswith("yes")]
        assert sorted(front) == sorted(entry.student for entry in pareto_front(BOARD.entries))
        assert seen.console == [] and all(url.startswith("file:") for url in seen.leaves)


def test_no_name_is_shown_where_there_are_pseudonyms(course, enter, monkeypatch, tmp_path, capsys):
    enter("ada.lovelace", NEEDED, 0.02)
    enter("alan.turing", NEEDED + 5, 0.03)
    enter("grace.hopper")
    names = tmp_path / "names.csv"
    names.write_text("student,pseudonym\nada.lovelace,Otter\n")
    site = course.root / "_build" / "html" / "book" / "leaderboard.html"
    site.parent.mkdir(parents=True)
    site.write_text("<p>before</p><!-- leaderboard --><p>none</p><!-- end of leaderboard --><p>after</p>")
    command = ["autograder", "leaderboard", "--pseudonyms", str(names), "--publish"]
    for options in (command, [*command, "--json"]):
        monkeypatch.setattr("sys.argv", options)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    written = [course.grading / "leaderboard.json", course.grading / "leaderboard.html", site]
    for text in (capsys.readouterr().out, *(path.read_text() for path in written)):
        assert "Otter" in text and "anonymous" in text
        assert not any(name in text for name in ("ada", "lovelace", "alan", "turing", "grace", "hopper"))
    assert site.read_text().startswith("<p>before</p>") and site.read_text().endswith("<p>after</p>")
    publish_leaderboard(course, "<p>a new one</p>")
    assert "a new one" in site.read_text() and "Otter" not in site.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,pseudonym\nada,x\n", "expected the columns student and pseudonym, found name, pseudonym"),
        ("", "expected the columns student and pseudonym, found no row"),
        ("student,pseudonym\na,x\nb,x\n", "'x' stands for several students"),
    ],
)
def test_a_file_of_pseudonyms_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_pseudonyms(tmp_path / "names.csv")


def test_a_lab_without_entries_says_so():
    assert "tiny has no measured entry yet" in leaderboard_html(Leaderboard("tiny", (), ()))
