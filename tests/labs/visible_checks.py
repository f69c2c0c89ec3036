"""Run the visible check of an exercise as a student does, with one answer exchanged."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import pytest

from autograder.authoring.regions import HIDDEN_TESTS, indented
from autograder.authoring.source import LabSource

__all__ = ["given_names", "run_check"]


def given_names(lab: LabSource) -> dict[str, object]:
    """The names that a lab's given cells define; none of these cells may use an answer."""
    namespace: dict[str, object] = {"__name__": "lab"}
    with pytest.MonkeyPatch.context() as patch, plt.rc_context():
        patch.setattr(plt, "show", lambda: plt.close("all"))
        for cell in lab.of_kind("given"):
            exec(compile(cell.text, cell.grade_id, "exec", dont_inherit=True), namespace)
    return namespace


def run_check(lab: LabSource, given: dict[str, object], exercise: str, answer: str | None = None) -> None:
    """Run the visible check of an exercise with one answer exchanged, and all other answers right."""
    namespace = dict(given)
    for cell in lab.of_kind("exercise"):
        text = cell.text
        if cell.name == exercise and answer is not None:
            text = cell.solution.replaced(text, "\n".join(indented(textwrap.dedent(answer), "")))
        exec(compile(text, cell.name, "exec", dont_inherit=True), namespace)
    check = lab.cell(f"check_{exercise}")
    text = check.text
    for region in reversed(check.regions(HIDDEN_TESTS)):
        text = region.replaced(text, "")
    exec(compile(text, check.grade_id, "exec", dont_inherit=True), namespace)
