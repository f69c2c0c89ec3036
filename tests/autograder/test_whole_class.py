"""The whole class of bad submissions: everyone gets what was earned, and nobody reaches what is not theirs."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
from nbgrader.api import Gradebook

from autograder.assignment import read_lab
from autograder.collect import collect
from autograder.course import Course
from autograder.execute import Limits
from autograder.feedback import feedback
from autograder.pipeline import grade
from autograder.record import SubmissionResult

from .bad_submissions import CLASS, BadSubmission
from .small_course import HIDDEN, LAB, LEFTOVER, SECRET, make_course
from .spoiling import Surroundings

LIMITS = Limits(cell_seconds=6, notebook_seconds=60, memory_mb=1500, processes=64, file_mb=64, output_mb=2)

pytestmark = pytest.mark.slow


@dataclass
class Graded:
    """What is left after the round."""

    course: Course
    results: dict[str, SubmissionResult]
    failures: tuple
    files_before: dict[Path, bytes]
    callers: list[str] = field(default_factory=list)


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """A socket of this machine that notes who calls."""
    callers: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        stopped = threading.Event()

        def answer() -> None:
            while not stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, address = server.accept()
                    callers.append(str(address))
                    connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1], callers
        finally:
            stopped.set()
            thread.join()


def contents(course: Course) -> dict[Path, bytes]:
    """All files that no submission may change, and those beside the course; not the times of receipt, noted by us."""
    places = [course.root / "source", course.root / "submitted", course.root / "nbgrader_config.py"]
    paths = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    paths += list(course.root.parent.glob("*.txt"))
    kept = (path for path in paths if path.is_file() and path.name != "timestamp.txt")
    return {path: path.read_bytes() for path in kept if path.stat().st_size < 10**7}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    course = make_course(tmp_path_factory.mktemp("whole") / "course")
    release = read_lab(course, LAB).releases[LAB]
    with listening() as (port, callers):
        around = Surroundings(course.root, port)
        for archive in filter(None, [bad.write(course, release, around) for bad in CLASS]):
            collect(course, LAB, archive)
        for bad in CLASS:
            (course.submitted / bad.name).mkdir(parents=True, exist_ok=True)  # who handed in nothing is known as well
        before = contents(course)
        finished = grade(course, LAB, limits=LIMITS, jobs=2)
        feedback(course, LAB)
        yield Graded(course, {each.student: each for each in finished.results}, finished.failures, before, callers)


def test_everyone_has_a_result_and_the_grader_has_not_failed(graded):
    assert graded.failures == ()
    assert set(graded.results) == {bad.name for bad in CLASS}


@pytest.mark.parametrize("bad", CLASS, ids=lambda bad: bad.name)
def test_it_ends_in_its_status_with_what_it_earned(bad: BadSubmission, graded):
    result = graded.results[bad.name]
    points = {name: result.points[name].score for name in bad.points} if bad.points and result.points else result.points
    assert (result.status in bad.statuses, points) == (True, bad.points or {}), (result.status, result.message)
    assert bad.findings <= {finding.kind for finding in result.findings}
    assert result.maximum == 7


def test_the_gradebook_says_the_same(graded):
    with Gradebook(graded.course.db_url, "tiny-course") as gradebook:
        for bad in CLASS:
            if bad.points is None:
                continue
            submission = gradebook.find_submission(LAB, bad.name)
            found = {grade.name: grade.score for grade in submission.notebooks[0].grades if grade.name in bad.points}
            assert found == dict(bad.points), bad.name
            assert all(grade.manual_score is None for grade in submission.notebooks[0].grades), bad.name


def test_no_submission_reached_the_network(graded):
    assert graded.callers == []


def test_no_submission_changed_or_added_a_file(graded):
    assert contents(graded.course) == graded.files_before
    escaped = [*graded.course.root.parent.rglob("escaped.txt"), *graded.course.root.parent.rglob("stolen.txt")]
    assert escaped == [] and not Path("/tmp/escaped.txt").exists()


def test_no_process_is_left(graded):
    sleeping = [each for each in psutil.process_iter(["cmdline"]) if LEFTOVER in (each.info["cmdline"] or ())]
    assert sleeping == []


def test_nobody_is_shown_a_hidden_test_or_a_secret(graded):
    pages = list(graded.course.feedback.rglob("*.html"))
    assert len(pages) == len(CLASS)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert HIDDEN not in text, page
        assert SECRET not in text, page


def test_what_students_code_printed_holds_no_secret(graded):
    """Not even in the instructor's copy: it would mean that their processes could read it."""
    for path in graded.course.autograded.rglob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if not cell["metadata"].get("nbgrader", {}).get("grade"):
                shown = json.dumps(cell.get("outputs", []))
                assert SECRET not in shown and f"{HIDDEN} in" not in shown and f"{HIDDEN}_values" not in shown, path


class ActiveContent(HTMLParser):
    """Notes what a browser would run: the text of scripts, and the attributes of all elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.found += [value or "" for _, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.found.append(data)


def test_feedback_holds_no_script_of_a_students(graded):
    for page in graded.course.feedback.rglob("*.html"):
        assert not any("xss" in text for text in ActiveContent(page.read_text(encoding="utf-8")).found), page


def test_a_second_round_changes_nothing(graded):
    again = grade(graded.course, LAB, limits=LIMITS, jobs=2)
    for result in again.results:
        first = graded.results[result.student]
        assert (result.status, result.points, result.findings) == (first.status, first.points, first.findings)
