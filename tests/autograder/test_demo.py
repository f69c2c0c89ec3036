"""The demo's parts: a sample class for any lab, entries made by running the notebook, a picture without a request."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from rich.console import Console

from autograder.cli import main
from autograder.commands import demo, site
from autograder.commands.demo import run_demo
from autograder.commands.entries import EntryPlan, make_entry
from autograder.commands.sample_class import hand_in, sample_class
from autograder.commands.site import build_site, site_is_current
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.pipeline import grade
from autograder.proofs import Lab

ROOT = Path(__file__).resolve().parents[2]

PROOFS = """\
from autograder.proofs import Lab

LAB = Lab("tiny")
LAB.mutant("share", loses=4, why="nothing", answer="return None")
LAB.variant("double", why="a sum", answer="return x + x")
ENTRIES = {"as it is": {}, "half": {"share": "return 2"}}
"""
# The site is built while the class is graded: what appears in grading/ meanwhile must be no page of it.
CONFIG = """\
title: Tiny
only_build_toc_files: true
exclude_patterns: [_build, grading]
execute: {execute_notebooks: 'off'}
"""


@pytest.fixture
def proofs(course):
    """The tiny lab with proofs, in the place where the demo looks for them."""
    path = course.root / "tests" / "labs" / "proofs" / "tiny.py"
    path.parent.mkdir(parents=True)
    path.write_text(PROOFS)
    lab = Lab("tiny")
    lab.mutant("share", loses=4, why="nothing", answer="return None")
    lab.variant("double", why="a sum", answer="return x + x")
    return lab


def test_the_sample_class_is_graded_as_it_is_meant(course, proofs):
    samples = sample_class(proofs)
    assert hand_in(course, "tiny", samples) == 11
    assert hand_in(course, "tiny", samples) == 0
    finished = grade(course, "tiny", limits=Limits(5, 60))
    assert [(r.status, r.score, r.waiting) for r in finished.results] == [
        ("ok", 7, 3),  # full marks
        ("ok", 3, 3),  # three quarters
        ("ok", 0, 0),  # a third of two exercises is none
        ("ok", 0, 0),  # blank
        ("ok", 7, 3),  # differently written
        ("ok", 3, 3),  # plausibly wrong
        ("timeout", 4, 3),
        ("crashed", 3, 3),
        ("invalid notebook", 0, 0),
        ("missing", None, 0),
        ("ok", 0, 0),  # answers that equal anything
        ("ok", 4, 3),  # looks for the gradebook
    ]
    flagged = {r.student: {finding.kind for finding in r.findings} for r in finished.results if r.findings}
    assert flagged == {"student-002": {"duplicated"}, "student-006": {"tagged"}}


def with_training(course):
    """The tiny lab with a free cell that writes an entry."""
    path = course.source_file("tiny")
    train = 'import os\nif not os.environ.get("NBGRADER_EXECUTION"):\n    open("entry.onnx", "w").write(str(share()))'
    path.write_text(path.read_text().replace('print("a cell to play with")', "pass") + f"\n# %%\n{train}\n")


def test_an_entry_is_made_once_by_running_the_notebook(course, proofs):
    with_training(course)
    plan = EntryPlan("student-001", "half", {"share": "return 2"})
    shares = []
    sample, reused = make_entry(course, proofs, plan, shares.append)
    assert not reused and shares
    assert sample.files["entry.onnx"].read_text() == "2"
    handed_in = nbformat.reads(sample.content.decode(), 4)
    assert not any("HIDDEN TESTS" in cell.source for cell in handed_in.cells)
    assert any(cell.get("outputs") for cell in handed_in.cells)
    again, reused = make_entry(course, proofs, plan, shares.append)
    assert reused and again == sample


def test_an_entry_without_a_file_is_an_error(course, proofs):
    with pytest.raises(CourseError, match="the entry of student-001 was not trained: ok, no entry written"):
        make_entry(course, proofs, EntryPlan("student-001", "none", {}), lambda share: None)


def test_a_site_is_current_until_something_changes(course):
    (course.root / "book").mkdir()
    (course.root / "book" / "_config.yml").write_text(CONFIG)
    (course.root / "book" / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    page = course.root / "book" / "index.md"
    page.write_text("# Tiny\n")
    assert site_is_current(course) is None
    index = build_site(course)
    assert index == site_is_current(course) == course.root / "_build" / "html" / "index.html"
    page.write_text("# Tiny\n\n[nowhere](nowhere.md)\n")
    assert site_is_current(course) is None
    with pytest.raises(CourseError, match="the site was not built; from (?s:.*)WARNING: .*nowhere"):
        build_site(course)


def test_a_build_that_waited_for_another_takes_its_site(course, monkeypatch):
    (course.root / "book").mkdir()
    (course.root / "book" / "_config.yml").write_text(CONFIG)
    (course.root / "book" / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (course.root / "book" / "index.md").write_text("# Tiny\n")
    built = []
    monkeypatch.setattr(site, "_build", lambda course, build=site._build: built.append(1) or build(course))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(build_site, [course, course])
    assert first == second == site_is_current(course) and built == [1]
    build_site(course)
    assert built == [1, 1], "alone, it always builds"


def test_the_whole_demo_on_a_small_course(course, proofs, monkeypatch, tmp_path, capsys):
    with_training(course)
    book = course.root / "book"
    book.mkdir()
    (book / "_config.yml").write_text(CONFIG)
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (book / "index.md").write_text("# Tiny\n")
    monkeypatch.setattr(demo, "CLASS_LAB", "tiny")
    monkeypatch.setattr(demo, "CHALLENGE_LAB", "tiny")
    monkeypatch.setattr(demo, "LIMITS", Limits(5, 60))
    picture = tmp_path / "class.svg"
    screen = Console(width=100, highlight=False, record=True)
    outcome = run_demo(course, screen, Console(stderr=True), svg=picture)
    text = screen.export_text()
    for line in (
        "Labs: 2 files written.",
        "Challenge entries: 2 trained, 0 reused",
        "tiny · 12 submissions",
        "Done in ",
        outcome["site"],
    ):
        assert line in text
    assert json.dumps(outcome) and (course.root / "grading" / "demo" / "gradebook.db").is_file()
    drawing = picture.read_text()
    assert "student-012" in drawing and not re.search(r"https?://(?!www\.w3\.org|www\.textualize\.io)", drawing)

    screen = Console(width=100, highlight=False, record=True)
    run_demo(course, screen, Console(stderr=True))
    text = screen.export_text()
    for line in ("Labs: up to date.", "Site: up to date, reused.", "Challenge entries: 0 trained, 2 reused"):
        assert line in text
    assert "10 unchanged since they were graded before: reused." in text


def test_a_demo_without_proofs_says_what_is_missing(course, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["autograder", "demo", "--json"])
    monkeypatch.setattr(site, "_INPUTS", ())
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert ended.value.code == 1 and captured.out == ""
    assert "micronet_challenge.py" in captured.err and "no proof file" in captured.err
