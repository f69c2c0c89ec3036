"""The instructor's report: what was hard, who is flagged, which submissions are alike, on a page that stands alone."""

from __future__ import annotations

import json

import pytest

from autograder.errors import CourseError
from autograder.feedback import feedback
from autograder.report import Spread, make_report, write_report

from .graded import grade_class
from .pages import chromium, needs_browser, opened
from .scripts import SCRIPTS

LONG = '''
def share():
    """A share that is found in a way of its own."""
    found, limit = [], 12
    for number in range(limit):
        if number % 3 == 0 and number not in found:
            found.append(number)
        elif number > 7 or len(found) == 5:
            break
    while found and found[-1] > 4:
        found = found[:-1]
    return min(4, sum(value * 2 for value in found))
'''
COPIED = LONG.replace("found", "liste").replace("number", "n").replace("limit", "top").replace("12", "13")
TITLE = '<img src=x onerror="window.hacked=1">'


@pytest.fixture
def graded(course, engine, hand_in, answered, right):
    """Six students: two alike, one with a hidden test failed, one flagged, one that loops, one without a notebook."""
    hand_in("ada", **{**right, "share": LONG})
    hand_in("bob", **{**right, "share": COPIED + "\n# " + TITLE, "double": "def double(y):\n    return y * 2"})
    hand_in("cleo", **{**right, "double": "def double(x):\n    return 4"})
    notebook = answered(**right)
    next(cell for cell in notebook.cells if cell.id == "check_share").metadata["tags"] = ["skip-execution"]
    hand_in("dan", notebook)
    hand_in("eve", **{**right, "share": "def share():\n    while True:\n        pass"})
    hand_in("fay").write_text("no JSON " + SCRIPTS[0])
    grade_class(course, engine)
    return course


def test_the_report_counts_what_happened(graded):
    report = make_report(graded, "tiny")
    assert report.statuses["invalid notebook"] == 1 and sum(report.statuses.values()) == 6
    assert report.scores == [7, 7, 4, 7, 3, 0] and report.maximum == 10
    assert report.histogram == [1, 0, 0, 1, 1, 0, 0, 3, 0, 0]
    double, share, why = report.tests
    assert (double.exercise.title, double.exercise.hidden) == ("Exercise 1: double", True)
    assert double.outcomes == {"passed": 4, "failed": 1} and double.share == pytest.approx(0.8)
    assert share.outcomes == {"passed": 4, "timeout": 1} and share.seconds.most > 4
    assert why.outcomes == {"waiting": 5} and why.share is None and why.exercise.by_hand
    assert {result.student for result in report.flagged} == {"dan"}
    [pair] = report.pairs
    assert (pair.first, pair.second) == ("ada", "bob") and "share" in pair.cells and pair.similarity > 0.8
    assert report.memory_mb is not None and 1 < report.memory_mb.median < 4096


def test_the_json_beside_the_page_says_the_same(graded):
    page = write_report(graded, "tiny")
    data = json.loads(page.with_suffix(".json").read_text())
    assert page == graded.grading / "report" / "tiny.html"
    assert data["submissions"] == 6 and data["tests"][0]["outcomes"] == {"passed": 4, "failed": 1}
    assert [(pair["first"], pair["second"]) for pair in data["similar"]] == [("ada", "bob")]
    assert data["flagged"][0]["student"] == "dan"


@needs_browser
@pytest.mark.browser
def test_the_page_stands_alone_and_can_be_read(graded):
    feedback(graded, "tiny")
    page = write_report(graded, "tiny")
    with chromium() as browser, opened(browser, page) as seen:
        assert seen.leaves == [] and seen.console == [] and seen.page.evaluate("window.hacked") is None
        assert seen.page.locator("script, main img, iframe").count() == 0
        text = seen.page.inner_text("main")
        for said in (
            "Exercise 1: double *",
            "Similarity is no proof of copying.",
            "ada and bob",
            "fay, invalid notebook: tiny.ipynb: not JSON",
            TITLE,  # in the code that is compared
        ):
            assert said in text
        assert seen.page.locator("tr.alike").count() > 5
        bars = seen.page.locator('[role="img"]').all()
        assert [bar.get_attribute("aria-label") for bar in bars][0] == "4 passed, 1 failed"
        address = seen.page.locator("a", has_text="dan").first.get_attribute("href")
        assert (page.parent / address).resolve() == graded.feedback / "dan" / "tiny" / "tiny.html"
        assert seen.cut_off_when_narrow() == []


def test_a_lab_that_was_not_graded_has_no_report(course):
    with pytest.raises(CourseError, match="tiny has not been graded"):
        make_report(course, "tiny")


def test_a_spread_of_nothing_is_none():
    assert Spread.of([]) is None
    assert Spread.of([3, 1, 2]) == Spread(1, 2, 2.0, 3)
