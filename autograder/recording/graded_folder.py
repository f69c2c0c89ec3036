"""The folder of one submission's graded notebooks, where the formgrader and the feedback read them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.errors import CourseError, StorageError

__all__ = ["note_receipt", "replace_folder", "sources_in", "sources_of"]


def replace_folder(
    folder: Path, graded: Mapping[str, NotebookNode], files: Mapping[str, Path], received: str | None
) -> None:
    """Put graded notebooks in the place of earlier ones, all at once.

    Parameters
    ----------
    folder : Path
        ``autograded/STUDENT/LAB``.
    graded : mapping
        Notebooks by name.
    files : mapping
        What lies beside them, by name.
    received : str or None
        The time of receipt, for nbgrader's ``timestamp.txt``.

    Raises
    ------
    CourseError
        If a file stands where a folder should be: the others' folders are not touched by that.
    StorageError
        If it cannot be written.
    """
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        for name, path in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, new / name)
        for name, notebook in graded.items():
            _write_durably(new / f"{name}.ipynb", nbformat.v4.writes(notebook) + "\n")
        (new / "timestamp.txt").write_text(received or "", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        named = Path(error.filename or folder)
        way = next((path for path in (named, *named.parents) if path.exists() and not path.is_dir()), named)
        raise CourseError(f"{way} is in the way of {folder}: {error.strerror}; move it, then grade again") from error
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}; mend that, then grade again") from error
    shutil.rmtree(old, ignore_errors=True)


def note_receipt(folder: Path, received: str | None) -> None:
    """Write the time of receipt beside what was handed in, as ``nbgrader collect`` does.

    The formgrader compares it with the graded one: without it, it calls the submission ungraded, and offers to run it
    without a sandbox. A file of that name that was handed in is replaced, it is never read. Where the folder cannot be
    written to, nothing is noted.

    Parameters
    ----------
    folder : Path
        ``submitted/STUDENT/LAB``.
    received : str or None
        The time of receipt in UTC, ISO 8601.
    """
    if received is None or folder.is_symlink() or folder.parent.is_symlink():
        return
    with contextlib.suppress(OSError):
        new = folder / ".timestamp.new"
        new.unlink(missing_ok=True)
        new.write_text(received, encoding="utf-8")
        new.replace(folder / "timestamp.txt")  # a link there is replaced, not followed


def sources_of(notebook: NotebookNode) -> list[str]:
    """The texts of its cells."""
    return [cell.source for cell in notebook.cells]


def sources_in(path: Path) -> list[str] | None:
    """The texts of the cells of a notebook file; None if it cannot be read."""
    try:
        return sources_of(nbformat.read(path, as_version=4))
    except (OSError, ValueError):
        return None


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
