"""The round of the demo on the real labs, as ``make demo`` runs it."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB, CHALLENGE = "lab01_convolutions", "micronet_challenge"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def demo(*options):
    """Run the command as a user does; return what it prints."""
    command = [sys.executable, "-m", "autograder", "demo", *options]
    environment = {**os.environ, "COLUMNS": "110"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def outcome():
    return json.loads(demo("--json"))


@pytest.fixture(scope="module")
def results(outcome):
    return {finished["lab"]: {r["student"]: r for r in finished["results"]} for finished in outcome["rounds"]}


def test_everyone_ends_with_a_status(results, outcome):
    assert {student: result["status"] for student, result in results[LAB].items()} == {
        **{f"student-{number:03d}": "ok" for number in range(1, 7)},
        "student-007": "timeout",
        "student-008": "crashed",
        "student-009": "invalid notebook",
        "student-010": "missing",
        "student-011": "ok",
        "student-012": "ok",
    }
    assert all(finished["failures"] == [] for finished in outcome["rounds"])


def test_the_points_are_those_that_were_earned(results):
    scores = {student: (result["score"], result["waiting"]) for student, result in results[LAB].items()}
    full, written = 18, 2
    assert scores["student-001"] == scores["student-005"] == (full, written)
    assert scores["student-004"] == scores["student-009"] == (0, 0)
    assert scores["student-010"] == (None, 0)
    for student in ("student-002", "student-003", "student-006", "student-007", "student-008"):
        assert 0 < scores[student][0] < full
    last_but_one = list(results[LAB]["student-007"]["points"])[-3]
    lost = results[LAB]["student-007"]["points"][last_but_one]
    assert scores["student-007"][0] == full - lost["maximum"] and last_but_one in results[LAB]["student-007"]["message"]
    assert results[LAB]["student-008"]["points"]["check_conv_params"]["score"] > 0


def test_the_entries_of_three_strengths_are_ranked(results, outcome):
    [board] = outcome["leaderboards"]
    entries = board["entries"]
    assert [entry["student"] for entry in entries] == ["student-001", "student-002", "student-003"]
    strong, medium, small = (results[CHALLENGE][entry["student"]] for entry in entries)
    assert strong["score"] > medium["score"] > small["score"] > 0
    assert entries[0]["score"] < entries[1]["score"] and entries[2]["accuracy"] < entries[1]["accuracy"]
    assert len(board["absent"]) == 9


@pytest.mark.parametrize("lab", [LAB, CHALLENGE])
def test_no_hidden_line_is_in_any_feedback(outcome, lab):
    source = nbformat.read(ROOT / "_build" / "source" / lab / f"{lab}.ipynb", as_version=4)
    visible = "".join(cell.source for cell in nbformat.read(ROOT / "labs" / lab / f"{lab}.ipynb", as_version=4).cells)
    regions = re.findall(
        r"### BEGIN HIDDEN TESTS\n(.*?)### END HIDDEN TESTS", "\n".join(c.source for c in source.cells), re.DOTALL
    )
    secrets = {re.sub(r"\s", "", line) for region in regions for line in region.splitlines() if len(line.strip()) >= 20}
    secrets -= {secret for secret in secrets if secret in re.sub(r"\s", "", visible)}
    assert len(secrets) > 20
    pages = sorted(Path(outcome["feedback"]).glob(f"*/{lab}/{lab}.html"))
    assert len(pages) == 12
    for page in pages:
        text = re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8"))))
        handed_in = page.parents[3] / "submitted" / page.parents[1].name / lab / f"{lab}.ipynb"
        own = re.sub(r"\s|\\n|\\", "", handed_in.read_text(encoding="utf-8")) if handed_in.is_file() else ""
        own = own.replace('","', "")  # a right answer may say what a hidden test says: that is no leak
        found = [secret for secret in secrets if secret in text and secret not in own]
        assert found == [], f"{page} shows {found}"


def test_the_site_is_there_and_holds_no_answer(outcome):
    index = Path(outcome["site"].removeprefix("file://"))
    assert index.is_file()
    assert not [
        page
        for page in index.parent.rglob("*")
        if page.is_file() and "contributors" not in page.parts and b"BEGIN HIDDEN TESTS" in page.read_bytes()
    ]


def test_a_second_demo_reuses_what_it_has(outcome, results):
    printed = demo()
    for line in ("Labs: up to date.", "Site: up to date, reused.", "Challenge entries: 0 trained, 3 reused"):
        assert line in printed
    assert "10 unchanged since they were graded before: reused." in printed
    assert "3 unchanged since they were graded before: reused." in printed
    assert "Leaderboard of micronet_challenge" in printed and outcome["site"] in printed
