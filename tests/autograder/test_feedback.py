"""Feedback: students read what they need, and not one line of a hidden test."""

from __future__ import annotations

import html
import re

import nbformat
import pytest

from autograder import events
from autograder.execute import Executed, Limits, execute
from autograder.feedback import feedback, hidden_lines, student_view
from autograder.intake import Status, Submission, intake
from autograder.normalise import normalise
from autograder.record import record, register_lab

SECRETS = ("secret_number", "the secret message", "hidden_limit")


def squeezed(text):
    return re.sub(r"\s+", "", text)


def page_text(path):
    return squeezed(html.unescape(re.sub(r"<[^>]*>", "", path.read_text(encoding="utf-8"))))


@pytest.fixture
def graded(course, source, hand_in):
    """A function that hands in answers, runs, records, and returns the feedback page's path."""
    register_lab(course, "tiny", source)

    def make(student="student-001", notebook=None, **answers):
        hand_in(student, notebook, **answers)
        [submission] = [each for each in intake(course, "tiny") if each.student == student]
        executed = execute(normalise(submission, source), Limits(20, 60))
        events.append(course, record(course, executed))
        return {page.student: page.path for page in feedback(course, "tiny")}[student]

    return make


def test_hidden_lines_are_those_that_stand_only_there(source):
    assert hidden_lines(source) == {
        "forsecret_numberin(17,23):",
        'assertdouble(secret_number)==34+12*(secret_number==23),"thesecretmessage"',
        "hidden_limit=1000",
        "assertgot<hidden_limit",
    }


def test_a_failed_hidden_test_is_named_and_not_shown(graded, right):
    page = graded(**{**right, "double": "def double(x):\n    print('asked for', x)\n    return 4"})
    text = page_text(page)
    assert not any(squeezed(secret) in text for secret in SECRETS)
    assert "askedfor17" not in text and "askedfor2" not in text  # what a function prints would show the hidden values
    assert squeezed("HiddenTest: Exercise 1: double, 3 points: a hidden test did not pass.") in text
    assert squeezed("tiny (Score: 4.0 / 10.0)") in text
    assert squeezed("3 points wait for a person") in text


def test_an_error_in_a_hidden_test_says_its_name_only(graded, right):
    page = graded(
        **{**right, "share": "class Odd(int):\n    def __lt__(self, x):\n        return len(x)\nshare = lambda: Odd(3)"}
    )
    text = page_text(page)
    assert squeezed("a hidden test did not pass (it ended with TypeError)") in text
    assert not any(squeezed(secret) in text for secret in SECRETS)


def test_a_failed_visible_test_is_shown_without_its_hidden_neighbors(graded, right):
    text = page_text(graded(**{**right, "double": "def double(x):\n    return 5"}))
    assert squeezed("AssertionError: expected 4, got 5") in text
    assert not any(squeezed(secret) in text for secret in SECRETS)


def test_code_that_prints_the_hidden_tests_does_not_get_them_into_the_page(graded, answered, right):
    notebook = answered(**right)
    steal = "print(chr(10).join(In))\nfrom IPython.display import HTML\nHTML('<pre>' + chr(10).join(In) + '</pre>')"
    notebook.cells.append(nbformat.v4.new_code_cell(steal))
    text = page_text(graded(notebook=notebook))
    assert squeezed("def double(x)") in text
    for line in ("for secret_number in (17, 23):", "hidden_limit = 1000", "the secret message"):
        assert squeezed(line) not in text


def test_scripts_and_markup_of_students_are_not_run(graded, answered, right):
    notebook = answered(
        **{**right, "why": "because <script>alert(1)</script> <img src=x onerror=alert(2)> [x](javascript:alert(5))"}
    )
    steal = "from IPython.display import HTML\nHTML('<script>alert(3)</script><b onclick=\"alert(4)\">bold</b>')"
    notebook.cells.append(nbformat.v4.new_code_cell(steal))
    page = graded(notebook=notebook).read_text(encoding="utf-8")
    assert not re.search(r"<script>\s*alert|<[a-z]+ [^>]*on(error|click)=|href=\"javascript", page)
    assert "<b>bold</b>" in page


def test_the_view_leaves_the_graded_notebook_alone(source):
    before = nbformat.writes(source)
    view = student_view(source)
    assert nbformat.writes(source) == before
    assert "# Hidden tests: the same questions with other values." in [
        line for cell in view.cells for line in cell.source.split("\n")
    ]
    assert "HIDDEN TESTS" not in nbformat.writes(view)


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (Status.MISSING, "nothing was handed in", "ask your instructor"),
        (Status.INVALID, "tiny.ipynb: not JSON <b>", "hand in the file"),
        (Status.TAMPERED, "holds none of the answer cells", "a fresh copy of the lab"),
    ],
)
def test_who_could_not_be_graded_reads_why_and_what_to_do(course, source, status, message, advice):
    register_lab(course, "tiny", source)
    events.append(course, record(course, Executed(Submission("student-001", "tiny", "/nowhere"), status, message)))
    [page] = feedback(course, "tiny")
    text = page.path.read_text(encoding="utf-8")
    assert page.path == course.feedback / "student-001" / "tiny" / "tiny.html"
    assert html.escape(message)[1:] in text and advice in text
    assert ("0 of 10" in text) is (status is not Status.MISSING)


def test_a_lab_that_was_not_graded_has_no_feedback(course):
    assert feedback(course, "tiny") == []
