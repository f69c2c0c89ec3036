"""Reading a notebook that a student handed in: only the parts that grading uses, and none of them trusted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nbformat.notebooknode import NotebookNode

__all__ = ["InvalidNotebook", "read_notebook"]

MAX_VALUES = 1_000_000
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)  # possessive: never tries again, so it needs no memory


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
    data = path.read_bytes()
    _check_size(data)
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InvalidNotebook(
            f"not JSON ({reason}); a notebook file is written by Jupyter: save it there and hand in that file"
        ) from None
    cells = _cells_of(content)
    if cells is None:
        raise InvalidNotebook(
            "JSON, but not a notebook: it has no list of cells; open it in Jupyter, save it, hand it in again"
        )
    return NotebookNode(cells=[_cell(number, cell) for number, cell in enumerate(cells, 1)])


def _check_size(data: bytes) -> None:
    """Refuse a file of so many small values that reading it would fill the memory."""
    if _values(data) > MAX_VALUES and (count := _values(_TEXT.sub(b"", data))) > MAX_VALUES:
        raise InvalidNotebook(
            f"{count:,} values, the limit is {MAX_VALUES:,}; clear the outputs in Jupyter, save it, hand it in again"
        )


def _values(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _cells_of(content: Any) -> list[Any] | None:
    """The cells; those of the format before 2015 are put into today's."""
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("cells"), list):
        return content["cells"]
    sheets = content.get("worksheets")
    if not isinstance(sheets, list) or not all(isinstance(sheet, dict) for sheet in sheets):
        return None
    old = [cell for sheet in sheets if isinstance(sheet.get("cells"), list) for cell in sheet["cells"]]
    return [_modern(cell) for cell in old] or None


def _modern(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    if cell.get("cell_type") == "code":
        return {**cell, "source": cell.get("input", "")}
    return {**cell, "cell_type": "markdown"} if cell.get("cell_type") in ("heading", "html") else cell


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
