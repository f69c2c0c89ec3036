"""From a lab source to what students get, by nbgrader's own preprocessors."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

from nbformat.notebooknode import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
    NbGraderPreprocessor,
    SaveCells,
)
from traitlets import Bool

from autograder.authoring.regions import SOLUTION, find_regions
from autograder.authoring.source import notebook_text, read_source, source_notebook
from autograder.course import Course
from autograder.errors import CourseError

__all__ = [
    "RELEASE_PREPROCESSORS",
    "TEXT_STUB",
    "ClearMarkSchemes",
    "StubSolutions",
    "WrittenFile",
    "drift",
    "release_notebook",
    "write_labs",
]

TEXT_STUB = "*Your answer here.*"


class StubSolutions(ClearSolutions):
    """nbgrader's ClearSolutions, with each region's own stub.

    ``### BEGIN SOLUTION stub="Exercise 1: ..."`` becomes ``raise NotImplementedError("Exercise 1: ...")``,
    a written answer becomes `TEXT_STUB`.
    """

    def _replace_solution_region(self, cell: NotebookNode, language: str) -> bool:
        regions = [region for region in find_regions(cell.source) if region.label == SOLUTION]
        for region in reversed(regions):
            stub = f"raise NotImplementedError({region.stub or ''})" if cell.cell_type == "code" else TEXT_STUB
            cell.source = region.replaced(cell.source, stub)
        return bool(regions)


class ClearMarkSchemes(ClearMarkScheme):
    """nbgrader's ClearMarkScheme for written questions, which nbgrader itself allows in task cells only."""

    enforce_metadata = Bool(False).tag(config=True)


# Mark schemes go before the checksums are computed: nbgrader then sees that an answer cell was left as it was
# released, and gives it 0 points without asking a person. Hidden tests go after SaveCells has stored them.
RELEASE_PREPROCESSORS: list[type[NbGraderPreprocessor]] = [
    LockCells,
    StubSolutions,
    ClearMarkSchemes,
    ClearOutput,
    CheckCellMetadata,
    ComputeChecksums,
    SaveCells,
    ClearHiddenTests,
    ComputeChecksums,
    CheckCellMetadata,
]


@dataclass(frozen=True)
class WrittenFile:
    """A generated file, and whether its bytes are other than before."""

    path: Path
    changed: bool


def release_notebook(source_nb: NotebookNode) -> NotebookNode:
    """Make the students' notebook of a source notebook, which is left as it is.

    Raises
    ------
    CourseError
        If a mark is malformed, or an answer, a hidden test or a mark scheme would remain in it.
    """
    notebook, resources = copy.deepcopy(source_nb), {}
    for preprocessor in RELEASE_PREPROCESSORS:
        if preprocessor is not SaveCells:  # writes to the gradebook, changes no notebook
            notebook, resources = preprocessor()(notebook, resources)
    _require_clean(source_nb, notebook)
    return notebook


def write_labs(course: Course, lab: str | None = None) -> list[WrittenFile]:
    """Write the source notebook and the students' notebook of one lab, or of all.

    Files in ``solutions/LAB/files/`` are copied beside both. A file is written only if its bytes change.
    """
    written = []
    for name in [course.check_lab(lab)] if lab else course.lab_names():
        source = source_notebook(read_source(course.source_file(name)))
        for folder, notebook in ((course.source, source), (course.labs, release_notebook(source))):
            for path, content in _contents(course, name, notebook).items():
                written.append(_write(folder / name / path, content))
    return written


def drift(course: Course) -> list[str]:
    """Say, a line for each lab, where the checked-in labs are not what the sources give.

    An empty list means that ``autograder build`` would change nothing.
    """
    messages = []
    for name in course.lab_names():
        folder = course.labs / name
        expected = _contents(course, name, release_notebook(source_notebook(read_source(course.source_file(name)))))
        if not folder.is_dir():
            messages.append(f"{name}: labs/{name} is missing; run `autograder build`")
            continue
        if stale := [path for path, content in expected.items() if _bytes(folder / path) != content]:
            files = ", ".join(map(str, stale))
            messages.append(f"{name}: {files} in labs/{name} differs from the source; run `autograder build`")
        found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        if extra := sorted(path for path in found - expected.keys() if not _is_hidden(path)):
            files = ", ".join(map(str, extra))
            messages.append(f"{name}: {files} in labs/{name} comes from no source; delete it, then `autograder build`")
    if course.labs.is_dir():
        for folder in sorted(path for path in course.labs.iterdir() if path.is_dir() and not _is_hidden(path)):
            if folder.name not in course.lab_names():
                messages.append(
                    f"{folder.name}: labs/{folder.name} has no source solutions/{folder.name}/{folder.name}.py; "
                    "write the source or delete the folder, then run `autograder build`"
                )
    return messages


def _contents(course: Course, name: str, notebook: NotebookNode) -> dict[Path, bytes]:
    """Every file of a lab's folder: the notebook, and what lies in ``solutions/LAB/files``."""
    contents = {Path(f"{name}.ipynb"): notebook_text(notebook).encode()}
    files = course.solutions / name / "files"
    for path in sorted(files.rglob("*")):
        if path.is_file() and not _is_hidden(path.relative_to(files)):
            contents[path.relative_to(files)] = path.read_bytes()
    return contents


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _write(path: Path, content: bytes) -> WrittenFile:
    changed = _bytes(path) != content
    if changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return WrittenFile(path, changed)


def _require_clean(source_nb: NotebookNode, released: NotebookNode) -> None:
    """Raise if the release shows what only the source may."""
    for before, after in zip(source_nb.cells, released.cells, strict=True):
        for region in find_regions(before.source):
            secret = "\n".join(region.lines).strip()
            if secret and secret in after.source and secret not in region.replaced(before.source, ""):
                raise CourseError(
                    f"the {region.label} of cell {before.id!r} would remain in the release; say less in its stub"
                )
