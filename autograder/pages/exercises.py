"""What the graded cells of a lab are called, and the hints that stand with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_grade, is_solution, is_task

from autograder.authoring.regions import HIDDEN_TESTS, Region, find_regions
from autograder.record import graded_names

__all__ = ["Exercise", "exercises", "hidden_regions"]

_HEADING = re.compile(r"^(#+) +(.*?)\s*#*$", re.MULTILINE)
_DETAILS = re.compile(r"^ *\d+ (point|minute|mark)s?\b.*$")
_NAMED = re.compile(r"\w+ \d|.*\(\d+ (point|minute|mark)s?\b")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HINT = re.compile(
    r"\*+Hints?:?\*+:?\s*(?P<said>.*?)(?=\n\s*\n|\Z)|"
    r"(?<!\*)\*(?!\*)Hint: (?P<slanted>[^*]*(?:\*\*[^*]*\*\*[^*]*)*)\*|"
    r"<details>\s*<summary>[^<]*\b(?:Hint|Next step)[^<]*</summary>(?P<folded>.*?)</details>",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Exercise:
    """One graded cell of a lab.

    Attributes
    ----------
    notebook, grade_id : str
        Where it is.
    key : str
        Its name among the points of a result.
    title : str
        The heading above it, or its grade_id where several cells share a heading or there is none.
    maximum : float
    by_hand : bool
        Whether a person grades it.
    hidden : bool
        Whether it has hidden tests.
    hints : tuple of str
        Markdown, from the texts between the heading and the cell.
    """

    notebook: str
    grade_id: str
    key: str
    title: str
    maximum: float
    by_hand: bool = False
    hidden: bool = False
    hints: tuple[str, ...] = ()


def exercises(notebooks: Mapping[str, NotebookNode]) -> list[Exercise]:
    """The graded cells of a lab's notebooks, or of a student's copy of them, in order.

    Parameters
    ----------
    notebooks : mapping
        By name without suffix. Cells that students have added (their id begins with ``student-``) say nothing.
    """
    found: list[tuple[str, NotebookNode, str, str]] = []
    for name, notebook in notebooks.items():
        heading, text, waiting = "", "", False  # waiting: for the graded cell of a heading that names an exercise
        for cell in notebook.cells:
            if cell.cell_type == "markdown" and not cell.id.startswith("student-") and not is_solution(cell):
                source = _FENCED.sub("", cell.source)
                for place, match in enumerate(headings := list(_HEADING.finditer(source))):
                    if not waiting or _NAMED.match(match[2]):
                        heading, text = _shortened(match[2]), ""
                        waiting = _NAMED.match(match[2]) is not None
                    end = headings[place + 1].start() if place + 1 < len(headings) else len(source)
                    text += source[match.end() : end]
                if not headings:
                    text += "\n\n" + source
            if is_grade(cell) or is_task(cell):
                found.append((name, cell, heading, text))
                waiting = False
    keys = graded_names((name, cell.metadata.nbgrader.grade_id) for name, cell, *_ in found)
    shared = Counter((name, heading) for name, _, heading, _ in found)
    return [
        Exercise(
            name,
            cell.metadata.nbgrader.grade_id,
            key,
            heading if heading and shared[name, heading] == 1 else _with_id(heading, cell.metadata.nbgrader.grade_id),
            float(cell.metadata.nbgrader.get("points", 0)),
            is_solution(cell) or is_task(cell),
            bool(hidden_regions(cell)),
            tuple(_hints(text)),
        )
        for key, (name, cell, heading, text) in zip(keys, found, strict=True)
    ]


def hidden_regions(cell: NotebookNode) -> list[Region]:
    """The hidden tests of a cell; those of a student's own cell are none, whatever marks it contains."""
    if not cell.metadata.get("nbgrader", {}).get("locked", False):
        return []
    return [region for region in find_regions(cell.source) if region.label == HIDDEN_TESTS]


def _shortened(heading: str) -> str:
    """A heading without the points and minutes in parentheses at its end, and without marks of emphasis."""
    inside = re.search(r"^(.*\S)\s*\(([^()]*)\)$", heading)
    return re.sub(r"[*`]", "", inside[1] if inside and _DETAILS.match(inside[2]) else heading)


def _with_id(heading: str, grade_id: str) -> str:
    return f"{heading}: {grade_id}" if heading else grade_id


def _hints(text: str) -> list[str]:
    hints = [next(filter(None, match.groups()), "").strip() for match in _HINT.finditer(text)]
    return [hint for hint in hints if hint]
