"""Run a lab with its tests in another process than the answers, as submissions are graded.

See `autograder.authoring.running`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path

from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_grade, is_solution

from autograder.authoring._proof_worker import CellError
from autograder.authoring.answers import answered
from autograder.authoring.running import RunResult
from autograder.jobs import Job, JobCell, JobResult
from autograder.two_process.local import run_job

__all__ = ["run_lab_apart"]

_ENDED = {"TimeLimit": "TimedOut", "InterpreterDied": "Crashed"}


def run_lab_apart(
    source_nb: NotebookNode,
    answers: Mapping[str, str] | None = None,
    *,
    default: str = "solution",
    appended: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    files: Mapping[str, Path] | None = None,
    seconds: float = 60.0,
) -> RunResult:
    """Run a lab with some answers and score its checks, in two processes.

    Parameters and result are those of `autograder.authoring.running.run_lab`.

    Examples
    --------
    >>> from autograder.authoring.source import read_source, source_notebook
    >>> notebook = source_notebook(read_source("tests/autograder/data/lab_tiny/lab_tiny.py"))
    >>> run_lab_apart(notebook, {"area": "return height + width"}).scores
    {'check_area': 0.0, 'check_areas': 3.0}
    """
    notebook = answered(source_nb, answers or {}, default=default)
    cells = _cells(source_nb, notebook, appended or {}, only)
    job = Job("", "", "lab", cells, cell_seconds=seconds, notebook_seconds=10 * seconds)
    started = time.monotonic()
    result = run_job(job, files=files)
    scores = {test.name: float(test.score) for test in result.tests}
    errors = _errors(result, {cell.index: cell.name for cell in cells})
    return RunResult(scores, errors, time.monotonic() - started)


def _cells(
    source_nb: NotebookNode, notebook: NotebookNode, appended: Mapping[str, str], only: Collection[str] | None
) -> tuple[JobCell, ...]:
    cells: list[JobCell] = []
    for index, (source, cell) in enumerate(zip(source_nb.cells, notebook.cells, strict=True)):
        is_free = "nbgrader" not in cell.metadata
        if cell.cell_type != "code" or (only is not None and is_free):
            continue
        text = f"{cell.source}\n\n{appended[cell.id]}" if cell.id in appended else cell.source
        if is_grade(cell) and not is_solution(cell):
            if only is None or cell.id in only:
                cells.append(JobCell(index, cell.id, "test", text, points=float(cell.metadata.nbgrader.points)))
        elif is_solution(cell) or is_free:
            cells.append(JobCell(index, cell.id, "solution", text, reference=source.source))
        else:
            cells.append(JobCell(index, cell.id, "locked", text))
    while only is not None and cells and cells[-1].kind != "test":
        cells.pop()
    return tuple(cells)


def _errors(result: JobResult, names: Mapping[int, str]) -> dict[str, CellError]:
    errors = {}
    for cell in result.cells:
        for output in cell.outputs:
            if output["output_type"] == "error":
                trace = "\n".join(map(str, output["traceback"]))
                errors[names[cell.index]] = CellError(output["ename"], output["evalue"], trace)
    for test in result.tests:
        if test.message:
            name, _, message = test.message.partition(": ")
            errors[test.name] = CellError(_ENDED.get(name, name), message)
    return errors
