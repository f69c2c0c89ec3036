"""The lab that a test file is about: it says so with ``LAB = "lab01_convolutions"``."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from autograder.authoring.source import LabSource, read_source

from .visible_checks import given_names

SOLUTIONS = Path(__file__).parents[2] / "solutions"


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> LabSource:
    name = request.module.LAB
    return read_source(SOLUTIONS / name / f"{name}.py")


@pytest.fixture(scope="module")
def given(lab: LabSource) -> dict[str, object]:
    return given_names(lab)


@pytest.fixture(scope="module")
def solved(lab: LabSource) -> dict[str, object]:
    """The names of the given cells and the answers, which see each other."""
    namespace: dict[str, object] = {"__name__": "lab"}
    with pytest.MonkeyPatch.context() as patch, plt.rc_context():
        patch.setattr(plt, "show", lambda: plt.close("all"))
        for cell in lab.cells:
            if cell.kind in ("given", "exercise"):
                exec(compile(cell.text, cell.grade_id, "exec", dont_inherit=True), namespace)
    return namespace
