"""Ways to spoil a right submission of the small lab."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode

from .small_course import LAB, WRONG_SQ, cell_of, nbgrader_metadata

TESTS = ("sq-test", "sq-partial")


@dataclass(frozen=True)
class Surroundings:
    """What a submission may try to reach: the course's folder, and a port of this machine on which someone listens."""

    root: Path
    port: int


Spoil = Callable[[NotebookNode, Path, Surroundings], None]
"""Changes the notebook, and may put files into the folder that is handed in."""


def append_to(name: str, text: str) -> Spoil:
    """Add text to an answer."""

    def spoil(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
        cell_of(notebook, name).source += "\n\n" + _filled(text, around)

    return spoil


def give_answer(name: str, text: str) -> Spoil:
    """Give another answer."""

    def spoil(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
        cell_of(notebook, name).source = _filled(text, around)

    return spoil


def first_cell(*texts: str) -> Spoil:
    """Cells of the student's before all others."""

    def spoil(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
        notebook.cells[:0] = [nbformat.v4.new_code_cell(_filled(text, around)) for text in texts]

    return spoil


def last_cell(text: str) -> Spoil:
    """A cell of the student's after all others."""

    def spoil(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
        notebook.cells.append(nbformat.v4.new_code_cell(_filled(text, around)))

    return spoil


def nothing(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
    """Leave it as it is."""


def _filled(text: str, around: Surroundings) -> str:
    return text.replace("ROOT", str(around.root)).replace("PORT", str(around.port))


def edited(change: Callable[[NotebookNode], None]) -> Spoil:
    """A change of the notebook that is not the student's to make."""
    return lambda notebook, folder, around: change(notebook)


def all_of(*steps: Spoil) -> Spoil:
    def spoil(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
        for step in steps:
            step(notebook, folder, around)

    return spoil


def delete_test(notebook: NotebookNode) -> None:
    notebook.cells.remove(cell_of(notebook, "sq-test"))


def strip_test(notebook: NotebookNode) -> None:
    cell_of(notebook, "sq-test").metadata.clear()


def edit_tests(notebook: NotebookNode) -> None:
    for name in TESTS:
        cell_of(notebook, name).source = "assert True"


def copy_of(name: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        again = copy.deepcopy(cell_of(notebook, name))
        again.id = f"{name}-again"
        notebook.cells.append(again)

    return change


def answer_again(notebook: NotebookNode) -> None:
    """A first try, left where it was, and the answer below it in a copy of the cell."""
    later = copy.deepcopy(cell_of(notebook, "sq"))
    later.id = "sq-later"
    cell_of(notebook, "sq").source = WRONG_SQ
    notebook.cells.insert(notebook.cells.index(cell_of(notebook, "sq")) + 1, later)


def move_tests(notebook: NotebookNode) -> None:
    notebook.cells.insert(0, notebook.cells.pop(notebook.cells.index(cell_of(notebook, "sq-test"))))


def tag_tests(notebook: NotebookNode) -> None:
    for name in TESTS:
        cell_of(notebook, name).metadata.tags = ["skip-execution"]


def mark_test_as_solution(notebook: NotebookNode) -> None:
    cell_of(notebook, "sq-test").metadata.nbgrader.solution = True


def raise_points(notebook: NotebookNode) -> None:
    for name in TESTS:
        cell_of(notebook, name).metadata.nbgrader.points = 100


def add_graded(notebook: NotebookNode) -> None:
    metadata = nbgrader_metadata("bonus", 100, grade=True, locked=True)
    notebook.cells.append(nbformat.v4.new_code_cell("assert True", metadata=metadata))


def other_kernel(notebook: NotebookNode) -> None:
    notebook.metadata.kernelspec = {"name": "no-such-kernel", "display_name": "none", "language": "python"}


def forge_outputs(notebook: NotebookNode) -> None:
    forged = nbformat.v4.new_output("execute_result", {"text/plain": "3.0"}, execution_count=1)
    for name in TESTS:
        cell_of(notebook, name).outputs = [forged]


def many_cells(notebook: NotebookNode) -> None:
    notebook.cells += [nbformat.v4.new_code_cell(f"value = {number}") for number in range(10_000)]


def script_in_outputs(notebook: NotebookNode) -> None:
    html = nbformat.v4.new_output("display_data", {"text/html": "<script>alert('xss')</script>"})
    notebook.cells.append(nbformat.v4.new_code_cell("1", outputs=[html]))
    notebook.cells.append(nbformat.v4.new_markdown_cell("<img src=x onerror=\"alert('xss')\">"))
    notebook.cells.append(
        nbformat.v4.new_code_cell("from IPython.display import HTML\n\nHTML(\"<script>alert('xss')</script>\")")
    )


def put_file(name: str, content: bytes) -> Spoil:
    def spoil(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(b"ROOT", os.fsencode(around.root)))

    return spoil


def put_links(notebook: NotebookNode, folder: Path, around: Surroundings) -> None:
    (folder / "host.txt").symlink_to("/etc/hostname")
    (folder / "course").symlink_to(around.root)


def without_notebook(folder: Path, content: bytes) -> None:
    shutil.rmtree(folder)


def renamed(folder: Path, content: bytes) -> None:
    (folder / "my squares (1).ipynb").write_bytes(content)


def raw_bytes(data: bytes) -> Callable[[Path, bytes], None]:
    return lambda folder, content: (folder / f"{LAB}.ipynb").write_bytes(data) and None


def cut_off(folder: Path, content: bytes) -> None:
    (folder / f"{LAB}.ipynb").write_bytes(content[: len(content) // 2])


def huge(folder: Path, content: bytes) -> None:
    with (folder / f"{LAB}.ipynb").open("wb") as file:
        file.write(content)
        file.truncate(500_000_000)  # no byte of it is stored


def as_link(folder: Path, content: bytes) -> None:
    (folder / f"{LAB}.ipynb").symlink_to("/etc/passwd")


def as_pipe(folder: Path, content: bytes) -> None:
    os.mkfifo(folder / f"{LAB}.ipynb")


def as_version_3(folder: Path, content: bytes) -> None:
    """The notebook as programs wrote it before 2015."""
    cells = []
    for cell in json.loads(content)["cells"]:
        text = {"input" if cell["cell_type"] == "code" else "source": cell["source"].splitlines(keepends=True)}
        cells.append({"cell_type": cell["cell_type"], "metadata": cell["metadata"], **text})
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": LAB}, "worksheets": [{"cells": cells}]}
    (folder / f"{LAB}.ipynb").write_text(json.dumps(old))


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return packed.getvalue()


def plain_zip(content: bytes) -> bytes:
    return zipped({f"{LAB}.ipynb": content})


def no_zip(content: bytes) -> bytes:
    return content


def zip_bomb(content: bytes) -> bytes:
    return zipped({f"{LAB}.ipynb": content, "data.bin": bytes(60_000_000)})


def traversal(content: bytes) -> bytes:
    return zipped({f"{LAB}.ipynb": content, "../../escaped.txt": b"out", "/tmp/escaped.txt": b"out"})


def zipped_link(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{LAB}.ipynb", content)
        link = zipfile.ZipInfo("link.txt")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return packed.getvalue()
