"""Reading a notebook that a student handed in: only the parts that grading uses, and none of them trusted."""

from __future__ import annotations

import json
from pathlib import Path

from nbformat.notebooknode import NotebookNode

__all__ = ["InvalidNotebook", "read_notebook"]


class InvalidNotebook(Exception):
    """A file that is no notebook; the message says why, in words for the student."""


def read_notebook(path: Path) -> NotebookNode:
    """Read the parts of a student's notebook that grading uses: each cell's type, source, id, grade_id and tags.

    Outputs and all other metadata are not even kept, so a notebook with damaged outputs can still be graded.

    Raises
    ------
    InvalidNotebook
        If the file is not JSON, or has no list of cells.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InvalidNotebook(
            f"not JSON ({reason}); a notebook file is written by Jupyter: save it there and hand in that file"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise InvalidNotebook(
            "JSON, but not a notebook: it has no list of cells; open it in Jupyter, save it, hand it in again"
        )
    cells = [_cell(number, cell) for number, cell in enumerate(content["cells"], 1)]
    return NotebookNode(cells=cells)


def _cell(number: int, cell: object) -> NotebookNode:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise InvalidNotebook(f"JSON, but not a notebook: cell {number} is no code, markdown or raw cell")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise InvalidNotebook(f"JSON, but not a notebook: the source of cell {number} is no text")
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    nbgrader = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    tags = metadata.get("tags") if isinstance(metadata.get("tags"), list) else []
    return NotebookNode(
        cell_type=cell["cell_type"],
        source=source.encode("utf-8", "replace").decode(),  # a lone surrogate cannot be written to a file
        id=cell.get("id") if isinstance(cell.get("id"), str) else None,
        nbgrader=NotebookNode({key: value for key, value in nbgrader.items() if isinstance(value, str | int | float)}),
        tags=[tag for tag in tags if isinstance(tag, str)],
    )
