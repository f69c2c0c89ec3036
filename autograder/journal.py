"""What a worker noted down, put back into the notebook that was to be run."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_grade

from autograder.intake import Status

__all__ = ["merged", "read_journal"]

_NUMBER = re.compile(r"(?:np\.\w+\()?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\)?")


def read_journal(path: Path) -> list[dict]:
    """The journal's lines; a last one that was cut off is left out."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
    return records


def merged(
    notebook: NotebookNode, journal: list[dict], late_after: int | None = None
) -> tuple[NotebookNode, Status, str]:
    """Put a run's outputs into the notebook that was to be run.

    Parameters
    ----------
    notebook : NotebookNode
    journal : list of dict
        What the worker noted: cells with their outputs, and how the run ended.
    late_after : int, optional
        The seconds after which the worker was killed, if it was.

    Returns
    -------
    NotebookNode, Status, str
        A copy with outputs, in which every cell that was not run has an error; how the run ended; and what ended it
        early, where.
    """
    notebook = copy.deepcopy(notebook)
    cells = {record["index"]: record for record in journal if record["event"] == "cell"}
    end = next((record for record in journal if record["event"] == "end"), None)
    notes = [(index, record["note"]["message"]) for index, record in cells.items() if record["note"]]
    status, where, reason = Status.OK, 0, ""
    if end is None:
        status, where = Status.CRASHED, max(cells, default=-1) + 1
        reason = "the process that ran the notebook was killed"
        if late_after is not None:
            status, reason = Status.TIMEOUT, f"the notebook was stopped after {late_after} s"
    elif end["status"] != "ok":
        status, where, reason = Status(end["status"]), end["index"], end["message"]
    elif notes:
        status, (where, reason) = Status.TIMEOUT, notes[0]
    message = f"{_place(notebook, where)}: {reason}" if reason else ""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if index in cells:
            cell.outputs = [nbformat.from_dict(output) for output in cells[index]["outputs"]]
            cell.execution_count = cells[index]["count"]
        else:
            text = f"this cell was not run, because the run ended earlier ({message})"
            cell.outputs = [nbformat.v4.new_output("error", ename="NotRun", evalue=text, traceback=[f"NotRun: {text}"])]
        if is_grade(cell):
            cell.outputs = [_settled(output, float(cell.metadata.nbgrader.points)) for output in cell.outputs]
    return notebook, status, message


def _settled(output: NotebookNode, maximum: float) -> NotebookNode:
    """An output of a test cell such that nbgrader's rule gives the points that are meant.

    A warning must not cost the points, and a result counts as partial credit only if it is a number, at most the
    maximum; nbgrader gives full points to other results and fails on more than the maximum.
    """
    if output.output_type == "stream" and output.name == "stderr":
        return nbformat.v4.new_output("stream", name="stdout", text=output.text)
    if output.output_type != "execute_result":
        return output
    text = str(output.data.get("text/plain", ""))
    number = _NUMBER.fullmatch(text.strip())
    if number and math.isfinite(points := float(number.group(1))):
        output.data["text/plain"] = repr(min(max(points, 0.0), maximum))
        return output
    message = f"the points of this cell are not a number: {text[:60]}"
    return nbformat.v4.new_output("error", ename="ValueError", evalue=message, traceback=[f"ValueError: {message}"])


def _place(notebook: NotebookNode, index: int) -> str:
    """Where in the notebook a cell is, in words: its id, or that of the last cell before it that has one."""
    for step, cell in enumerate(reversed(notebook.cells[: index + 1])):
        if grade_id := cell.metadata.get("nbgrader", {}).get("grade_id"):
            return grade_id if step == 0 else f"after {grade_id}"
    return "at the beginning"
