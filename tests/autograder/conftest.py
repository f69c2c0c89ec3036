"""A course with one small lab, for the tests of grading."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.notebooknode import NotebookNode
from nbgrader.api import Gradebook

from autograder.authoring.release import release_notebook
from autograder.authoring.source import read_source, source_notebook
from autograder.course import Course
from autograder.execute import Engine
from autograder.jobs import Job, JobCell

ROOT = Path(__file__).resolve().parents[2]

TINY = '''\
# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Tiny"
#     minutes: 5
#     points: 10
# ---
# %% [markdown]
# # A tiny lab

# %% given="setup"
offset = 0

# %% [markdown]
# ## Exercise 1: double (3 points, 2 minutes)

# %% exercise="double"
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION stub="Exercise 1: return twice the number"
    return 2 * x + offset
    ### END SOLUTION

# %% check="double" points=3
got = double(2)
assert got == 4, f"expected 4, got {got}"
### BEGIN HIDDEN TESTS
for secret_number in (17, 23):
    assert double(secret_number) == 34 + 12 * (secret_number == 23), "the secret message"
### END HIDDEN TESTS

# %%
print("a cell to play with")

# %% [markdown]
# ## Exercise 2: share (4 points, 2 minutes)

# %% exercise="share"
def share():
    ### BEGIN SOLUTION stub="Exercise 2: return a number from 0 to 4"
    return 4
    ### END SOLUTION

# %% check="share" points=4
got = share()
assert got is not None, "expected a number, got None"
### BEGIN HIDDEN TESTS
hidden_limit = 1000
assert got < hidden_limit
### END HIDDEN TESTS
float(got)

# %% [markdown]
# ## Question 3: why? (3 points, 1 minute)

# %% [markdown] written="why" points=3
# ### BEGIN SOLUTION
# Because of the two.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# - 3 points: names the two
# ### END MARK SCHEME
'''

RIGHT = {
    "double": "def double(x):\n    return x + x",
    "share": "def share():\n    return 4",
    "why": "Because twice is two times.",
}
"""Right answers to the tiny lab, by cell."""


@pytest.fixture
def right() -> dict[str, str]:
    """Right answers to the tiny lab, by cell."""
    return dict(RIGHT)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two warm servers in bubblewrap, which start with the first submission."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACTORKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("A_SECRET_TOKEN", "secret")
        with Engine() as made:
            made.warm_up(Job("", "", "", (JobCell(0, "setup", "locked", "import factorkit, sklearn, onnx"),)))
            yield made


@pytest.fixture(scope="session")
def empty_gradebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradebook without content: nbgrader takes seconds to make one."""
    root = tmp_path_factory.mktemp("gradebook")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    with Gradebook(Course.find(root).nbgrader_config().CourseDirectory.db_url, "factorkit"):
        return root / "grading" / "gradebook.db"


@pytest.fixture
def course(tmp_path: Path, empty_gradebook: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A course with the lab ``tiny``; its root is the current folder."""
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "course"
    add_lab(root, "tiny", TINY)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    (root / "grading").mkdir()
    shutil.copy(empty_gradebook, root / "grading")
    monkeypatch.chdir(root)
    return Course.find(root)


def add_lab(root: Path, name: str, text: str) -> Path:
    path = root / "solutions" / name / f"{name}.py"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def source(course: Course) -> NotebookNode:
    """The tiny lab's source notebook."""
    return source_notebook(read_source(course.source_file("tiny")))


@pytest.fixture
def release(source: NotebookNode) -> NotebookNode:
    """What students get of the tiny lab."""
    return release_notebook(source)


@pytest.fixture
def answered(release: NotebookNode) -> Callable[..., NotebookNode]:
    """A function that makes a student's notebook: ``answered(double="...", share="...")``."""

    def make(**answers: str) -> NotebookNode:
        notebook = copy.deepcopy(release)
        for cell in notebook.cells:
            cell.source = answers.get(cell.id, cell.source)
        return notebook

    return make


@pytest.fixture
def hand_in(course: Course, answered: Callable[..., NotebookNode]) -> Callable[..., Path]:
    """A function that hands in a notebook, or answers for one, and returns its path."""

    def make(student: str, notebook: NotebookNode | None = None, lab: str = "tiny", **answers: str) -> Path:
        path = course.submitted / student / lab / f"{lab}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook or answered(**answers), path)
        return path

    return make


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, empty_gradebook: Path) -> dict[str, Any]:
    """What a round of the whole class comes to when nothing happens to it."""
    from . import whole_class

    course = whole_class.make_course(tmp_path_factory.mktemp("undisturbed") / "course", empty_gradebook)
    ended = whole_class.run(course)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    whole_class.grade_by_hand(course, whole_class.STUDENTS[0])
    whole_class.renew(course)
    return whole_class.outcome(course)
