"""An ordinary nbgrader course with one small lab, ``tiny``.

``sq-test`` (2 points, with a hidden part) tests the function ``sq``, ``sq-partial`` (3 points, partly earned) tests
``sq_all``, ``explain`` (2 points) is graded by a person.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.course import Course

LAB = "tiny"
HIDDEN = "hidden_canary"
"""Stands in the hidden tests and nowhere else: no student may ever get to see it."""
SECRET = "canary-in-a-file-that-is-none-of-your-business"
"""Stands in the canary files beside the course."""
LEFTOVER = "98765"
"""How long the processes sleep that a submission leaves behind."""

CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "tiny-course"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
"""

SQ = "def sq(x):\n    return x * x"
SQ_ALL = "def sq_all(values):\n    return [x * x for x in values]"
WRONG_SQ = "def sq(x):\n    return x + x"
WRONG_SQ_ALL = "def sq_all(values):\n    return None"
EXPLANATION = "Because the product of a number with itself is its square."


def nbgrader_metadata(grade_id: str, points: float | None = None, **kinds: bool) -> dict:
    """A cell's metadata as nbgrader writes it."""
    flags = {"grade": False, "solution": False, "locked": False, "task": False, **kinds}
    values = {"schema_version": 3, "grade_id": grade_id, **flags}
    return {"nbgrader": values if points is None else {**values, "points": points}}


def source_notebook() -> NotebookNode:
    """The instructor's notebook, in nbgrader's own format."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        text("# Squares", id="title"),
        code("import math\n\nlimit = 1000", id="setup", metadata=nbgrader_metadata("setup", locked=True)),
        code(
            "def sq(x):\n    ### BEGIN SOLUTION\n    return x * x\n    ### END SOLUTION",
            id="sq",
            metadata=nbgrader_metadata("sq", solution=True),
        ),
        code(
            "got = sq(2)\nassert got == 4, f'expected 4, got {got}'\n"
            "### BEGIN HIDDEN TESTS\n"
            f"for {HIDDEN} in (3, 7, -11):\n"
            f"    assert sq({HIDDEN}) == {HIDDEN} ** 2, '{HIDDEN} is squared wrongly'\n"
            "### END HIDDEN TESTS",
            id="sq-test",
            metadata=nbgrader_metadata("sq-test", 2, grade=True, locked=True),
        ),
        code(
            "def sq_all(values):\n    ### BEGIN SOLUTION\n    return [x * x for x in values]\n    ### END SOLUTION",
            id="sq-all",
            metadata=nbgrader_metadata("sq-all", solution=True),
        ),
        code(
            "credit = 0.0\nif sq_all([1, 2, 3]) == [1, 4, 9]:\n    credit += 1\n"
            "### BEGIN HIDDEN TESTS\n"
            f"{HIDDEN}_values = [5, -6]\n"
            f"if sq_all({HIDDEN}_values) == [25, 36]:\n    credit += 1\n"
            "if sq_all([]) == []:\n    credit += 1\n"
            "### END HIDDEN TESTS\n"
            "float(credit)",
            id="sq-partial",
            metadata=nbgrader_metadata("sq-partial", 3, grade=True, locked=True),
        ),
        text("Because ...", id="explain", metadata=nbgrader_metadata("explain", 2, grade=True, solution=True)),
        code("print('room to play')", id="play"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def make_course(root: Path) -> Course:
    """Write the course, and canary files beside it."""
    (root / "source" / LAB).mkdir(parents=True)
    (root / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    nbformat.write(source_notebook(), root / "source" / LAB / f"{LAB}.ipynb")
    for path in (root / "source" / "canary.txt", root.parent / "canary.txt"):
        path.write_text(SECRET, encoding="utf-8")
    return Course.find(root)


def cell_of(notebook: NotebookNode, name: str) -> NotebookNode:
    """The cell with a grade_id."""
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)
