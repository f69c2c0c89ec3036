"""nbgrader's formgrader on a graded course, in a browser: what it shows, and a grade that is given in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from autograder.pipeline import grade

from ..autograder.conftest import (  # noqa: F401 - pytest finds fixtures by their names
    RIGHT,
    answered,
    course,
    empty_gradebook,
    engine,
    hand_in,
    release,
    source,
)
from ..autograder.pages import chromium, needs_browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), needs_browser]

EXTENSIONS = ("formgrader", "validate_assignment", "course_list", "assignment_list")
WRONG = {**RIGHT, "double": "def double(x):\n    return x", "why": "I do not know."}
SECONDS = 60


@pytest.fixture
def graded(course, hand_in, engine):  # noqa: F811
    """A course with two students: ada has all automatic points, bob not those of exercise 1."""
    hand_in("ada", **RIGHT)
    hand_in("bob", **WRONG)
    results = {result.student: result for result in grade(course, "tiny", engine=engine, jobs=1).results}
    assert {student: (result.score, result.waiting) for student, result in results.items()} == {
        "ada": (7, 3),
        "bob": (4, 3),
    }
    return course


@pytest.fixture
def address(graded, tmp_path) -> Iterator[str]:
    """Where a Jupyter server offers the course's formgrader: on this machine only, and without a token."""
    config, runtime = tmp_path / "jupyter" / "config", tmp_path / "jupyter" / "runtime"
    config.mkdir(parents=True)
    enabled = {f"nbgrader.server_extensions.{name}": True for name in EXTENSIONS}
    values = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(graded.root),
            "jpserver_extensions": enabled,
        },
        "IdentityProvider": {"token": ""},
    }
    (config / "jupyter_server_config.json").write_text(json.dumps(values))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")} | {
        "HOME": str(tmp_path / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter" / "data"),
        "IPYTHONDIR": str(tmp_path / "jupyter" / "ipython"),
    }
    log = tmp_path / "jupyter" / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server"],
            cwd=graded.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield url_of(server, runtime, log)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(SECONDS)


def url_of(server: subprocess.Popen, runtime: Path, log: Path) -> str:
    """Wait until the server has written where it listens."""
    notes = runtime / f"jpserver-{server.pid}.json"
    for _ in range(10 * SECONDS):
        assert server.poll() is None, log.read_text()
        if notes.is_file() and notes.stat().st_size:
            return json.loads(notes.read_text())["url"].rstrip("/")
        time.sleep(0.1)
    pytest.fail(log.read_text())


@pytest.fixture
def page(address) -> Iterator[Page]:
    """A page of a browser that reaches nothing but the server."""
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(1000 * SECONDS)
        opened.route(lambda url: not url.startswith((address, "data:")), lambda route: route.abort())
        yield opened


def scores_listed(page: Page, address: str) -> dict[str, tuple[str, ...]]:
    """What the list of all submissions says of each student."""
    page.goto(f"{address}/formgrader/manage_submissions/tiny")
    page.wait_for_selector("td.student-id")
    page.pause
    return page


def test_it(page, address):
    page.goto(f"{address}/formgrader/manage_submissions/tiny")
    page.wait_for_timeout(3000)
    Path("/tmp/guide/ms.html").write_text(page.content())
    page.screenshot(path="/tmp/guide/ms.png")
    page.goto(f"{address}/formgrader/gradebook/tiny/tiny")
    page.wait_for_timeout(3000)
    Path("/tmp/guide/gb.html").write_text(page.content())
    page.screenshot(path="/tmp/guide/gb.png")
    page.locator("tbody a").first.click()
    page.wait_for_timeout(3000)
    Path("/tmp/guide/fg.html").write_text(page.content())
    page.screenshot(path="/tmp/guide/fg.png", full_page=True)
