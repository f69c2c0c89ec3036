"""What holds in every numbered lab: its table of exercises, and visible checks that accept the solution."""

from __future__ import annotations

import re

import pytest

from autograder.authoring.source import read_source

from .conftest import SOLUTIONS
from .visible_checks import given_names, run_check

LABS = sorted(path.name for path in SOLUTIONS.glob("lab*"))


@pytest.mark.parametrize("name", LABS)
def test_visible_checks_accept_the_solution(name):
    lab = read_source(SOLUTIONS / name / f"{name}.py")
    given = given_names(lab)
    for cell in lab.of_kind("exercise"):
        run_check(lab, given, cell.name)


@pytest.mark.parametrize("name", LABS)
def test_the_table_of_exercises_agrees_with_the_headings(name):
    lab = read_source(SOLUTIONS / name / f"{name}.py")
    text = "\n".join(cell.text for cell in lab.of_kind("text"))
    headings = re.findall(r"^## Exercise (\d+): .* \((\d) points?, (\d+) minutes\)$", text, re.MULTILINE)
    table = re.findall(r"^\| (\d+) \| .* \| (\d) \| (\d+) \|$", text, re.MULTILINE)
    assert table == headings
    assert len(headings) == len(lab.of_kind("exercise")) + len(lab.of_kind("written"))
    assert sum(int(points) for _, points, _ in headings) == lab.points
