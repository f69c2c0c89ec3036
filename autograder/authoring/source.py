"""Read a lab source (``solutions/LAB/LAB.py``) and turn it into an nbgrader source notebook."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.nbgraderformat import MetadataValidator
from yaml import YAMLError

from autograder.authoring.headers import read_front_matter, read_header
from autograder.authoring.regions import HIDDEN_TESTS, MARK_SCHEME, SOLUTION, Region, RegionError, find_regions
from autograder.errors import CourseError

__all__ = ["Cell", "LabSource", "notebook_text", "read_source", "source_notebook"]

_LABELS = {"exercise": (SOLUTION,), "check": (HIDDEN_TESTS,), "written": (SOLUTION, MARK_SCHEME)}


@dataclass(frozen=True)
class Cell:
    """One cell of a lab source.

    Attributes
    ----------
    kind : str
        ``"text"``, ``"given"``, ``"exercise"``, ``"check"``, ``"written"`` or ``"free"``.
    text : str
        What stands in the cell, with its marked regions.
    line : int
        The line of its header in the file, counted from 1.
    name : str or None
        The name in the header; an exercise and its check share it.
    points : int, float or None
        Of a check or a written question.
    """

    kind: str
    text: str
    line: int
    name: str | None = None
    points: int | float | None = None

    @property
    def is_code(self) -> bool:
        """Whether it is a code cell."""
        return self.kind not in ("text", "written")

    @property
    def grade_id(self) -> str | None:
        """nbgrader's name of the cell; None for text and free cells."""
        prefix = {"given": "given_", "check": "check_"}.get(self.kind, "")
        return f"{prefix}{self.name}" if self.name else None

    def regions(self, label: str) -> tuple[Region, ...]:
        """The regions of a label, see `autograder.authoring.regions`."""
        return tuple(region for region in find_regions(self.text) if region.label == label)

    @property
    def solution(self) -> Region:
        """The one solution region of an exercise or a written question."""
        [region] = self.regions(SOLUTION)
        return region


@dataclass(frozen=True)
class LabSource:
    """A lab as its author wrote it: what the front matter says, and the cells."""

    name: str
    path: Path
    title: str
    minutes: int | float
    points: int | float
    not_imported: tuple[str, ...]
    kernelspec: dict[str, str]
    cells: tuple[Cell, ...]

    def of_kind(self, kind: str) -> tuple[Cell, ...]:
        """The cells of one kind, in order."""
        return tuple(cell for cell in self.cells if cell.kind == kind)

    def cell(self, grade_id: str) -> Cell:
        """The cell with a grade_id; KeyError naming those there are otherwise."""
        found = {cell.grade_id: cell for cell in self.cells if cell.grade_id}
        if grade_id not in found:
            raise KeyError(f"{self.name} has no cell {grade_id!r}; it has {', '.join(found)}")
        return found[grade_id]


def read_source(path: Path | str) -> LabSource:
    """Read and check a lab source.

    Parameters
    ----------
    path : path
        ``LAB/LAB.py``, in jupytext's percent format.

    Raises
    ------
    CourseError
        If the file cannot be read, a header or a mark is wrong, an id occurs twice, or a cell is not Python;
        the message begins with the file and the line.
    """
    path = Path(path)
    text = _read_text(path)
    if path.stem != path.parent.name or not re.fullmatch(r"[A-Za-z0-9_-]+", path.stem):
        raise CourseError(
            f"{path}: a lab's folder and file share one name of letters, digits, - and _: "
            f"expected {path.parent.name}/{path.parent.name}.py"
        )
    try:
        notebook = jupytext.reads(text, fmt="py:percent")
    except YAMLError as error:
        raise CourseError(f"{path}:1: the front matter is not YAML: {' '.join(str(error).split())}") from None
    front = read_front_matter(f"{path}:1", notebook.metadata)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"#\s?%%", line)]
    if len(lines) != len(notebook.cells):
        raise CourseError(
            f"{path}: {len(lines)} lines begin with '# %%' but they make {len(notebook.cells)} cells; "
            "put nothing between the front matter and the first '# %%', and begin no line of a string with '# %%'"
        )
    cells = tuple(_cell(path, line, cell) for line, cell in zip(lines, notebook.cells, strict=True))
    _check_names(path, cells)
    return LabSource(name=path.stem, path=path, cells=cells, **front)


def source_notebook(lab: LabSource) -> NotebookNode:
    """Make the nbgrader source notebook of a lab, with answers and hidden tests in it.

    The same lab gives the same notebook, cell ids included.
    """
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": dict(lab.kernelspec),
            "language_info": {"name": "python"},
            "generated_from": f"solutions/{lab.name}/{lab.name}.py",
            "lab": {"title": lab.title, "minutes": lab.minutes, "points": lab.points},
        }
    )
    for index, cell in enumerate(lab.cells):
        new = nbformat.v4.new_code_cell if cell.is_code else nbformat.v4.new_markdown_cell
        metadata = _metadata(cell)
        notebook.cells.append(new(cell.text, id=cell.grade_id or f"{cell.kind}-{index:03d}", metadata=metadata))
    nbformat.validate(notebook)
    MetadataValidator().validate_nb(notebook)
    return notebook


def notebook_text(notebook: NotebookNode) -> str:
    """The notebook as it is written to a file, ending with a line break."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CourseError(f"{path}: no such lab source; write it, or name another lab") from None
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None


def _cell(path: Path, line: int, cell: NotebookNode) -> Cell:
    """Check one cell's header and text."""
    header = read_header(f"{path}:{line}", cell.cell_type, cell.metadata)
    result = Cell(header.kind, cell.source, line, header.name, header.points)
    _check_regions(path, result)
    if result.is_code:
        _check_python(path, result)
    return result


def _check_regions(path: Path, cell: Cell) -> None:
    try:
        regions = find_regions(cell.text)
    except RegionError as error:
        raise CourseError(f"{path}:{cell.line + 1 + error.line}: {error}") from None
    allowed = _LABELS.get(cell.kind, ())
    for region in regions:
        if region.label not in allowed:
            where = f"{path}:{cell.line + 1 + region.start}"
            raise CourseError(f"{where}: a {region.label} region cannot stand in a {cell.kind} cell")
    solutions = sum(region.label == SOLUTION for region in regions)
    if SOLUTION in allowed and solutions != 1:
        raise CourseError(
            f"{path}:{cell.line}: {cell.kind} {cell.name!r} has {solutions} SOLUTION regions, expected one"
        )


def _check_python(path: Path, cell: Cell) -> None:
    try:
        ast.parse(cell.text)
    except SyntaxError as error:
        line = cell.line + (error.lineno or 1)
        raise CourseError(f"{path}:{line}: not plain Python ({error.msg}); labs use no magics") from None


def _check_names(path: Path, cells: tuple[Cell, ...]) -> None:
    """Ids are unique, and every check has its exercise before it."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        if cell.grade_id is None:
            continue
        if cell.grade_id in seen:
            first = seen[cell.grade_id].line
            raise CourseError(f"{path}:{cell.line}: id {cell.grade_id!r} is taken by line {first}; rename one of them")
        if cell.kind == "check" and (cell.name not in seen or seen[cell.name].kind != "exercise"):
            exercises = ", ".join(repr(other.name) for other in cells if other.kind == "exercise") or "none"
            raise CourseError(
                f"{path}:{cell.line}: check {cell.name!r} has no exercise of that name before it; "
                f"the exercises are {exercises}"
            )
        seen[cell.grade_id] = cell


def _metadata(cell: Cell) -> dict[str, Any]:
    """A cell's notebook metadata: nbgrader's, or for text that it is read-only."""
    if cell.kind == "text":
        return {"deletable": False, "editable": False}
    if cell.grade_id is None:
        return {}
    nbgrader: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": cell.grade_id,
        "grade": cell.kind in ("check", "written"),
        "solution": cell.kind in ("exercise", "written"),
        "locked": cell.kind in ("given", "check"),
        "task": False,
    }
    if cell.points is not None:
        nbgrader["points"] = cell.points
    return {"nbgrader": nbgrader}
