"""The instructor's notebooks of a lab, in the three forms that grading needs.

A lab that is authored as ``solutions/LAB/LAB.py`` gives one notebook. In any other nbgrader course a lab is a folder of
notebooks in nbgrader's own format, and nbgrader's own preprocessors, in the order and with the settings that the
course configures, say what students got of them.
"""

from __future__ import annotations

import copy
import fnmatch
import hashlib
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import nbformat.reader
from nbformat.notebooknode import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, SaveCells
from nbgrader.utils import is_grade, is_task
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from autograder.authoring.release import release_notebook
from autograder.authoring.source import notebook_text, read_source, source_notebook
from autograder.course import Course
from autograder.errors import CourseError

__all__ = ["LabNotebooks", "read_lab"]

_IDS_SINCE = 5  # nbformat 4.5
_PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}


@dataclass(frozen=True)
class LabNotebooks:
    """The instructor's notebooks of one lab, by name without suffix, in the order of their names.

    Attributes
    ----------
    lab : str
    authored : dict
        What nbgrader is given to generate the assignment from.
    sources : dict
        With answers and hidden tests; cell for cell the same as in `releases`.
    releases : dict
        What students got.
    files : dict
        The files that come with the lab, by their path in its folder: notebooks are not among them.
    """

    lab: str
    authored: dict[str, NotebookNode]
    sources: dict[str, NotebookNode]
    releases: dict[str, NotebookNode]
    files: dict[str, Path]

    @property
    def graded(self) -> list[tuple[str, str]]:
        """Notebook and grade_id of each graded cell, in order."""
        return [
            (name, cell.metadata.nbgrader.grade_id)
            for name, notebook in self.sources.items()
            for cell in notebook.cells
            if is_grade(cell) or is_task(cell)
        ]

    @property
    def text(self) -> str:
        """All of the lab that a result depends on."""
        lines = [notebook_text(notebook) for notebook in self.sources.values()]
        for name, path in self.files.items():
            with path.open("rb") as file:
                lines.append(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
        return "\n".join(lines)

    def copy_files(self, folder: Path) -> Path:
        """Copy the files into a folder, which is made, and return it."""
        folder.mkdir()
        for name, path in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return folder


def read_lab(course: Course, lab: str) -> LabNotebooks:
    """Read a lab's notebooks and make what students got of them.

    Parameters
    ----------
    course : Course
    lab : str

    Raises
    ------
    UsageError
        If there is no such lab.
    CourseError
        If a source is wrong, or a preprocessor of the course's configuration fails.
    """
    course.check_lab(lab)
    if course.has_lab_sources:
        source = source_notebook(read_source(course.source_file(lab)))
        files = _files(course.solutions / lab / "files", ())
        return LabNotebooks(lab, {lab: source}, {lab: source}, {lab: release_notebook(source)}, files)
    config = course.nbgrader_config()
    directories = CourseDirectory(config=config)
    authored, sources, releases = {}, {}, {}
    for path in course.source_notebooks(lab):
        name = path.stem
        authored[name] = _read_authored(path)
        sources[name], releases[name] = _stages(path, authored[name], config, lab)
    return LabNotebooks(lab, authored, sources, releases, _files(course.source / lab, directories.ignore))


def _read_authored(path: Path) -> NotebookNode:
    """An instructor's notebook in today's format of notebooks and of nbgrader's metadata."""
    try:
        notebook = nbformat.reader.reads(path.read_text(encoding="utf-8-sig"))
        if notebook.nbformat < 4:
            notebook = nbformat.convert(notebook, 4)
            for cell in notebook.cells:
                cell.pop("id", None)  # a random one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            MetadataValidator().upgrade_notebook_metadata(notebook)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CourseError(f"{path}: no notebook that can be read ({type(error).__name__}: {error})") from None
    kernel = notebook.metadata.setdefault("kernelspec", nbformat.from_dict(_PYTHON))
    if kernel.get("name", "python") == "python":  # what older programs wrote
        notebook.metadata.kernelspec = nbformat.from_dict({**_PYTHON, **kernel, "name": "python3"})
    _give_ids(notebook)
    return notebook


def _give_ids(notebook: NotebookNode) -> None:
    """An id for each cell that has none of its own; the same notebook gets the same ids."""
    if notebook.get("nbformat_minor", 0) < _IDS_SINCE:
        notebook.nbformat_minor = _IDS_SINCE
        for cell in notebook.cells:
            cell.pop("id", None)
    seen: set[str] = set()
    for index, cell in enumerate(notebook.cells):
        if cell.get("id") in seen or not cell.get("id"):
            cell.id = f"cell-{index:04d}"
        seen.add(cell.id)


def _stages(path: Path, authored: NotebookNode, config: Config, lab: str) -> tuple[NotebookNode, NotebookNode]:
    """The notebook as it is before answers are taken out, and as students got it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config).preprocessors
    kinds = [import_item(kind) if isinstance(kind, str) else kind for kind in chosen]
    clearing = [issubclass(kind, ClearSolutions | SaveCells | ClearHiddenTests) for kind in kinds]
    first = clearing.index(True) if True in clearing else len(kinds)
    resources: dict[str, Any] = {
        "nbgrader": {"student": ".", "assignment": lab, "notebook": path.stem, "db_url": ""},
        "metadata": {"path": str(path.parent)},
        "unique_key": path.stem,
    }
    notebook = copy.deepcopy(authored)
    source = notebook
    log = logging.Logger("nbgrader")
    log.addHandler(logging.NullHandler())
    for position, kind in enumerate(kinds):
        if position == first:
            _give_ids(notebook)
            source = copy.deepcopy(notebook)
        if issubclass(kind, SaveCells):  # writes to the gradebook, changes no notebook
            continue
        try:
            notebook, resources = kind(config=config, log=log)(notebook, resources)
        except Exception as error:
            raise CourseError(f"{path}: {kind.__name__} failed: {type(error).__name__}: {error}") from error
    if [cell.id for cell in source.cells] != [cell.id for cell in notebook.cells]:
        raise CourseError(
            f"{path}: the course's preprocessors add, remove or move cells after answers have been cleared; "
            "put those that do so before ClearSolutions in GenerateAssignment.preprocessors"
        )
    return source, notebook


def _files(folder: Path, ignored: tuple[str, ...] | list[str]) -> dict[str, Path]:
    """The files below a folder, without notebooks and without what is hidden or ignored."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        left_out = any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in ignored)
        if path.is_file() and path.suffix != ".ipynb" and not hidden and not left_out:
            found[path.relative_to(folder).as_posix()] = path
    return found
