"""Put answers into a lab's notebook: in the source for a run, in the release for a student's notebook."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_solution

from autograder.authoring.regions import SOLUTION, Region, find_regions, indented
from autograder.authoring.release import TEXT_STUB, release_notebook

__all__ = ["answered", "filled_notebook"]

_STUB = re.compile(rf"(?m)^(?P<indent>[ \t]*)(?:raise NotImplementedError\(.*\)|{re.escape(TEXT_STUB)})$")


def answered(source_nb: NotebookNode, answers: Mapping[str, str], *, default: str = "solution") -> NotebookNode:
    """The source notebook with answers in place of its solutions, hidden tests kept.

    Parameters
    ----------
    source_nb : NotebookNode
        The source notebook.
    answers : dict
        For each exercise what replaces its solution; the indentation is adapted.
    default : {"solution", "blank"}
        What the other exercises contain.

    Raises
    ------
    ValueError
        If the lab has no such exercise, or `default` is neither.
    """
    if default not in ("solution", "blank"):
        raise ValueError(f"unknown default {default!r}: write 'solution' or 'blank'")
    notebook = copy.deepcopy(source_nb)
    _check_known(notebook, answers)
    for cell in notebook.cells:
        regions = [region for region in find_regions(cell.source) if region.label == SOLUTION]
        for region in regions:
            body = answers.get(cell.id, region.text if default == "solution" else _stub(cell, region))
            cell.source = region.replaced(cell.source, body)
    return notebook


def filled_notebook(notebook: NotebookNode, answers: Mapping[str, str]) -> NotebookNode:
    """A student's notebook: the released one with answers in its solution cells.

    Parameters
    ----------
    notebook : NotebookNode
        The released notebook; a source notebook is released first.
    answers : dict
        For each exercise, and each written question, what replaces the stub. The others stay as released.

    Raises
    ------
    ValueError
        If the lab has no such exercise, or its stub is no longer there.
    """
    is_source = any(find_regions(cell.source) for cell in notebook.cells)
    notebook = release_notebook(notebook) if is_source else copy.deepcopy(notebook)
    _check_known(notebook, answers)
    for cell in notebook.cells:
        if cell.id not in answers:
            continue
        stubs = list(_STUB.finditer(cell.source))
        if len(stubs) != 1:
            raise ValueError(f"cell {cell.id!r} has {len(stubs)} stubs, expected one; give the notebook as released")
        [stub] = stubs
        body = "\n".join(indented(answers[cell.id], stub["indent"]))
        cell.source = cell.source[: stub.start()] + body + cell.source[stub.end() :]
    return notebook


def _stub(cell: NotebookNode, region: Region) -> str:
    return f"raise NotImplementedError({region.stub or ''})" if cell.cell_type == "code" else TEXT_STUB


def _check_known(notebook: NotebookNode, answers: Mapping[str, str]) -> None:
    known = [cell.id for cell in notebook.cells if is_solution(cell)]
    for name in answers:
        if name not in known:
            raise ValueError(f"unknown exercise {name!r}; the lab has {', '.join(known)}")
