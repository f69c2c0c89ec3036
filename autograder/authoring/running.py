"""Run a lab quickly: a forked process for each run, plain execution of the cells, nbgrader's scores.

For labs of one's own, to prove their tests. It is no sandbox: submissions go through `autograder.execute`.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat.notebooknode import NotebookNode

from autograder.authoring._proof_worker import CellCode, CellError, Outcome, execute
from autograder.authoring.answers import answered

__all__ = ["CellError", "RunResult", "run_lab"]

GRACE = 5.0  # seconds after the limit of a cell until its process is killed


@dataclass(frozen=True)
class RunResult:
    """What one run of a lab came to.

    Attributes
    ----------
    scores : dict
        Points by grade_id, for each check that was to run; 0 for those that were not reached.
    errors : dict
        `CellError` by cell id, for each cell that failed; ``Crashed`` or ``TimedOut`` where the process ended.
    seconds : float
        Wall time.
    """

    scores: dict[str, float]
    errors: dict[str, CellError]
    seconds: float

    @property
    def total(self) -> float:
        """Points of all checks."""
        return sum(self.scores.values())


def run_lab(
    source_nb: NotebookNode,
    answers: Mapping[str, str] | None = None,
    *,
    default: str = "solution",
    appended: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    files: Mapping[str, Path] | None = None,
    seconds: float = 60.0,
) -> RunResult:
    """Run a lab with some answers and score its checks.

    Parameters
    ----------
    source_nb : NotebookNode
        The source notebook, see `autograder.authoring.source.source_notebook`.
    answers : dict, optional
        For each exercise what stands between its BEGIN SOLUTION and END SOLUTION.
    default : {"solution", "blank"}
        What the other exercises contain: the lab's solution, or the students' stub.
    appended : dict, optional
        For each exercise code that is added below its cell.
    only : collection of str, optional
        The grade_ids of the checks to run. Other checks and free cells are then left out, and the run ends
        after the last of them. Default: every cell.
    files : dict, optional
        What lies beside the notebook: a name, or a relative path with ``/``, and the file to copy.
    seconds : float, optional
        Time limit for each cell.

    Raises
    ------
    ValueError
        If an exercise is unknown or `default` is neither.

    Examples
    --------
    >>> from autograder.authoring.source import read_source, source_notebook
    >>> notebook = source_notebook(read_source("tests/autograder/data/lab_tiny/lab_tiny.py"))
    >>> run_lab(notebook, {"area": "return height + width"}).scores
    {'check_area': 0.0, 'check_areas': 3.0}
    """
    cells = _cells(answered(source_nb, answers or {}, default=default), appended or {}, only)
    scores = {cell.name: 0.0 for cell in cells if cell.points is not None}
    errors: dict[str, CellError] = {}
    started = time.monotonic()
    for outcome in _run_forked(cells, files or {}, seconds):
        if outcome.score is not None:
            scores[outcome.cell] = outcome.score
        if outcome.error is not None:
            errors[outcome.cell] = outcome.error
    return RunResult(scores, errors, time.monotonic() - started)


def _cells(notebook: NotebookNode, appended: Mapping[str, str], only: Collection[str] | None) -> list[CellCode]:
    cells = []
    for cell in notebook.cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or (only is not None and not nbgrader):
            continue
        points = float(nbgrader["points"]) if nbgrader.get("grade") else None
        if points is not None and only is not None and cell.id not in only:
            continue
        text = f"{cell.source}\n\n{appended[cell.id]}" if cell.id in appended else cell.source
        cells.append(CellCode(cell.id, text, points))
    while only is not None and cells and cells[-1].points is None:
        cells.pop()
    return cells


def _run_forked(cells: list[CellCode], files: Mapping[str, Path], seconds: float) -> list[Outcome]:
    """Execute the cells in a new process; when it crashes or hangs, the rest is missing and the last one says why."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["autograder.authoring._proof_preload"])
    receiver, sender = context.Pipe(duplex=False)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="lab-run-") as folder, receiver:
        for name, path in files.items():
            copy = Path(folder, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        process = context.Process(target=execute, args=(cells, folder, seconds, sender), daemon=True)
        process.start()
        sender.close()
        for cell in cells:
            try:
                if not receiver.poll(seconds + GRACE):
                    process.kill()
                    outcomes.append(_ended(cell, "TimedOut", f"did not stop after {seconds:g} s"))
                    break
                outcomes.append(receiver.recv())
            except EOFError:
                process.join()
                outcomes.append(_ended(cell, "Crashed", f"the process ended with status {process.exitcode}"))
                break
        process.join()
        process.close()
    return outcomes


def _ended(cell: CellCode, name: str, message: str) -> Outcome:
    return Outcome(cell.name, None if cell.points is None else 0.0, CellError(name, message))
