"""nbgrader's formgrader on a graded course, in a browser: what it shows, and a grade that is given in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from playwright.sync_api import Locator, Page, expect

from autograder.assignment import read_lab
from autograder.course import Course
from autograder.execute import Engine
from autograder.pipeline import grade
from autograder.results import SubmissionResult

from ..autograder.conftest import RIGHT, ROOT, TINY, add_lab
from ..autograder.pages import chromium, needs_browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), needs_browser]

WRONG = {**RIGHT, "double": "def double(x):\n    return x", "why": "I do not know."}
SECONDS = 120  # for anything that the server or the browser is waited for


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


@pytest.fixture(scope="module")
def course(tmp_path_factory, engine) -> Course:
    """A graded course of two students: student-001 has all automatic points, student-002 has none for exercise 1."""
    root = tmp_path_factory.mktemp("formgrader") / "course"
    add_lab(root, "tiny", TINY)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    made = Course.find(root)
    for student, answers in (("student-001", RIGHT), ("student-002", WRONG)):
        notebook = read_lab(made, "tiny").releases["tiny"]
        for cell in notebook.cells:
            cell.source = answers.get(cell.id, cell.source)
        path = made.submitted / student / "tiny" / "tiny.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    results = graded(made, engine)
    assert {student: (result.score, result.waiting) for student, result in results.items()} == {
        "student-001": (7, 3),
        "student-002": (4, 3),
    }
    return made


def graded(course: Course, engine: Engine, *again: str) -> dict[str, SubmissionResult]:
    """Grade the class, and in any case the students of `again`; the results by student."""
    finished = grade(course, "tiny", engine=engine, jobs=1, regrade=again)
    assert finished.failures == ()
    return {result.student: result for result in finished.results}


@pytest.fixture(scope="module")
def address(course, tmp_path_factory) -> Iterator[str]:
    """Where a Jupyter server has the course's formgrader: reached from this machine only, without a token."""
    home = tmp_path_factory.mktemp("jupyter")
    places = {"CONFIG": home / "config", "DATA": home / "data", "RUNTIME": home / "runtime"}
    places["CONFIG"].mkdir()
    extensions = ("formgrader", "validate_assignment", "course_list", "assignment_list")
    settings = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(course.root),
            "jpserver_extensions": {f"nbgrader.server_extensions.{name}": True for name in extensions},
        },
        "IdentityProvider": {"token": ""},
    }
    (places["CONFIG"] / "jupyter_server_config.json").write_text(json.dumps(settings))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {f"JUPYTER_{name}_DIR": str(path) for name, path in places.items()} | {"HOME": str(home)}
    log = home / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server"],
            cwd=course.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield address_of(server, places["RUNTIME"] / f"jpserver-{server.pid}.json", log)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(SECONDS)


def address_of(server: subprocess.Popen, note: Path, log: Path) -> str:
    """Wait until the server has noted where it listens."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        if note.is_file() and note.stat().st_size:
            return json.loads(note.read_text())["url"].rstrip("/")
        time.sleep(0.1)
    pytest.fail(f"the Jupyter server did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def page(address) -> Iterator[Page]:
    """A page of a browser that reaches nothing but the server."""
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(1000 * SECONDS)
        expect.set_options(timeout=1000 * SECONDS)
        opened.route(lambda url: not url.startswith((address, "data:")), lambda route: route.abort())
        yield opened
        expect.set_options()


def row_of(page: Page, address: str, student: str) -> Locator:
    """A student's row in the table of "Manual Grading"."""
    page.goto(f"{address}/formgrader/gradebook/tiny/tiny")
    return page.locator("tbody tr", has_text=student)


def open_submission(page: Page, address: str, student: str) -> None:
    """Open a student's notebook as an instructor does: by its link in the table."""
    link = row_of(page, address, student).locator("td.name a.name-hidden")
    link.wait_for()
    link.click()
    page.wait_for_function("window.formgrader?.grades?.loaded && window.formgrader.comments?.loaded")


@pytest.mark.parametrize(
    ("student", "total", "code"), [("student-001", "7 / 10", "7 / 7"), ("student-002", "4 / 10", "4 / 7")]
)
def test_the_table_of_submissions_shows_the_scores(page, address, student, total, code):
    row = row_of(page, address, student)
    expect(row.locator("td.score")).to_have_text(total)
    expect(row.locator("td.code-score")).to_have_text(code)
    expect(row.locator("td.written-score")).to_have_text("0 / 3")
    expect(row.locator("td.needs-manual-grade span")).to_be_visible()
    expect(row.locator("td.tests-failed span")).to_have_count(int(student == "student-002"))


def test_the_list_of_submissions_does_not_offer_to_grade_again_what_is_graded(page, address):
    page.goto(f"{address}/formgrader/manage_submissions/tiny")
    for student in ("student-001", "student-002"):
        row = page.locator("tbody tr", has_text=student)
        expect(row.locator("td.status")).to_have_text("needs manual grading")


def test_the_notebook_shows_answers_points_and_what_a_test_said(page, address):
    open_submission(page, address, "student-002")
    for grade_id, points in (("check_double", "0"), ("check_share", "4")):
        expect(page.locator(f"input#{grade_id}")).to_have_attribute("placeholder", points)
    expect(page.locator("#notebook-container").first).to_contain_text("AssertionError: expected 4, got 2")
    expect(page.locator("#notebook-container").first).to_contain_text("I do not know.")
    expect(page.locator("input#why")).to_have_class("score tabbable needs_manual_grade")


def test_a_grade_given_here_is_kept_by_a_regrade(page, address, course, engine):
    open_submission(page, address, "student-001")
    page.locator("input#why").fill("2.5")
    with page.expect_response(lambda response: "/api/grade/" in response.url and response.request.method == "PUT"):
        page.locator("input#why").press("Tab")
    page.locator("textarea#why-comment").fill("Say which two.")
    with page.expect_response(lambda response: "/api/comment/" in response.url and response.request.method == "PUT"):
        page.locator("textarea#why-comment").blur()

    results = graded(course, engine, "all")

    assert not any(result.reused for result in results.values())
    assert (results["student-001"].score, results["student-001"].waiting) == (9.5, 0)
    assert (results["student-002"].score, results["student-002"].waiting) == (4, 3)
    with Gradebook(course.db_url) as gradebook:
        assert gradebook.find_submission("tiny", "student-001").score == 9.5
    row = row_of(page, address, "student-001")
    expect(row.locator("td.score")).to_have_text("9.5 / 10")
    expect(row.locator("td.written-score")).to_have_text("2.5 / 3")
    expect(row.locator("td.needs-manual-grade span")).to_have_count(0)
    open_submission(page, address, "student-001")
    expect(page.locator("input#why")).to_have_value("2.5")
    expect(page.locator("textarea#why-comment")).to_have_value("Say which two.")
