"""What two sandboxed processes report, checked and put into a notebook so that nbgrader's rule gives the same points.

nbgrader gives no points to a test cell with an error or anything on standard error, the number of its first result, and
full points otherwise: also to a cell that was never run.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.jobs import CellOutputs, JobCell, JobResult, TestResult

__all__ = ["cell_outputs", "error_output", "test_result", "with_outputs"]

_MOST_OUTPUTS = 1000
_MOST_TEXT = 8_000_000
_OUTCOMES = ("passed", "partial", "failed", "timeout", "crashed", "not run")


def error_output(name: str, message: str) -> dict[str, Any]:
    """An output that says what went wrong."""
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}


def cell_outputs(message: dict[str, Any], before: CellOutputs | None = None) -> CellOutputs:
    """What a student's process says that a cell has shown; whatever is no valid output is left out."""
    count, seconds = message.get("count"), message.get("seconds")
    return CellOutputs(
        message["cell"],
        count if isinstance(count, int) else before.count if before else None,
        tuple(_valid_outputs(message.get("outputs"))),
        float(seconds) if isinstance(seconds, int | float) else before.seconds if before else 0.0,
    )


def test_result(message: Any, cell: JobCell) -> TestResult | None:
    """The result of a test, from the process that checks; None if it is no result of this cell."""
    if not isinstance(message, dict) or message.get("outcome") not in _OUTCOMES:
        return None
    score, seconds = message.get("score"), message.get("seconds")
    if not isinstance(score, int | float) or not math.isfinite(score):
        return None
    return TestResult(
        cell.index,
        cell.name,
        min(max(float(score), 0.0), cell.points),
        cell.points,
        message["outcome"],
        str(message.get("message", ""))[:2000],
        float(seconds) if isinstance(seconds, int | float) else 0.0,
        tuple(_valid_outputs(message.get("outputs"))),
    )


def with_outputs(notebook: NotebookNode, result: JobResult) -> NotebookNode:
    """A copy of the notebook with the outputs of a run; a cell that was not run has an error."""
    notebook = copy.deepcopy(notebook)
    cells = {cell.index: cell for cell in result.cells}
    tests = {test.index: test for test in result.tests}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or (not cell.source.strip() and index not in tests):
            continue
        if index in tests:
            outputs: Iterable[dict[str, Any]] = _graded(tests[index])
            cell.metadata["autograder"] = {"outcome": tests[index].outcome, "seconds": tests[index].seconds}
        elif index in cells:
            cell.execution_count = cells[index].count
            outputs = cells[index].outputs
        else:
            outputs = [
                error_output("NotRun", f"this cell was not run, because the run ended earlier ({result.message})")
            ]
        cell.outputs = [nbformat.from_dict(output) for output in outputs]
    notebook.metadata["autograder"] = {"seconds": result.seconds, "peak_memory_mb": result.peak_memory_mb}
    return notebook


def _graded(test: TestResult) -> list[dict[str, Any]]:
    shown = [output for output in test.outputs if output["output_type"] in ("stream", "display_data")]
    shown = [{**output, "name": "stdout"} if output["output_type"] == "stream" else output for output in shown]
    if test.score >= test.maximum and test.outcome == "passed":
        return shown
    errors = [output for output in test.outputs if output["output_type"] == "error"]
    if test.score <= 0 and (errors or test.outcome != "partial"):
        return [*shown, *(errors or [error_output("NotPassed", test.message or test.outcome)])]
    points = {"data": {"text/plain": repr(test.score)}, "metadata": {}, "execution_count": None}
    return [*shown, {"output_type": "execute_result", **points}]


def _valid_outputs(outputs: Any) -> list[dict[str, Any]]:
    valid = []
    for output in outputs[:_MOST_OUTPUTS] if isinstance(outputs, list) else ():
        made = _valid_output(output) if isinstance(output, dict) else None
        if made is not None:
            valid.append(made)
    return valid


def _valid_output(output: dict[str, Any]) -> dict[str, Any] | None:
    """The output, made anew from parts of the right types."""
    kind = output.get("output_type")
    if kind == "stream" and output.get("name") in ("stdout", "stderr") and isinstance(output.get("text"), str):
        return {"output_type": kind, "name": output["name"], "text": output["text"][:_MOST_TEXT]}
    if kind == "error" and isinstance(output.get("traceback"), list):
        lines = [_text(line) for line in output["traceback"][:1000]]
        return {"output_type": kind, "ename": _text(output.get("ename")), "evalue": _text(output.get("evalue")),
                "traceback": lines}  # fmt: skip
    if kind not in ("display_data", "execute_result") or not isinstance(output.get("data"), dict):
        return None
    made = {"output_type": kind, "data": _bundle(output["data"]), "metadata": {}}
    if isinstance(output.get("metadata"), dict):
        made["metadata"] = {str(key)[:100]: value for key, value in output["metadata"].items()}
    if kind == "execute_result":
        count = output.get("execution_count")
        made["execution_count"] = count if isinstance(count, int) and not isinstance(count, bool) else None
    return made


def _bundle(data: dict[str, Any]) -> dict[str, Any]:
    """Data by type: text, or lines of text; anything else only for types of JSON."""
    made = {}
    for kind, value in list(data.items())[:20]:
        is_lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
        if isinstance(value, str) or is_lines or kind == "application/json" or kind.endswith("+json"):
            made[kind[:100]] = value
    return made


def _text(value: Any) -> str:
    return str(value)[:100_000] if value is not None else ""


def names(cells: Sequence[JobCell]) -> dict[int, str]:
    """Where each cell is, in words: its name, or that of the lab's cell before it."""
    found, last = {}, ""
    for cell in cells:
        if cell.kind != "extra":
            found[cell.index] = last = cell.name
        else:
            found[cell.index] = f"after {last}" if last else "at the beginning"
    return found
