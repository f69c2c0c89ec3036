"""Notebooks as a few texts, and what came of them."""

from __future__ import annotations

import json

from autograder.jobs import Job, JobCell, JobResult
from autograder.sandbox.limits import Limits

QUICK = Limits(cell_seconds=6, notebook_seconds=60, memory_mb=400, processes=64, file_mb=64)
DOUBLE = "def double(x):\n    return 2 * x"
RIGHT = "assert double(2) == 4"


def job_of(*cells: str, limits: Limits = QUICK) -> Job:
    """A notebook of answers, and of tests where a text begins with ``assert``."""
    made = [
        JobCell(index, f"cell{index}", "test", text, "", 1.0)
        if text.startswith("assert")
        else JobCell(index, f"cell{index}", "solution", text, text)
        for index, text in enumerate(cells)
    ]
    return Job("student-001", "tiny", "tiny", tuple(made), limits.cell_seconds, limits.notebook_seconds)


def printed(result: JobResult, index: int) -> str:
    """What a cell has printed."""
    [cell] = [cell for cell in result.cells if cell.index == index]
    return "".join(output.get("text", "") for output in cell.outputs)


def told(result: JobResult, index: int = 0) -> object:
    """What a cell has printed as JSON."""
    return json.loads(printed(result, index))


def errors(result: JobResult, index: int) -> list[str]:
    """The names of a cell's errors."""
    [cell] = [cell for cell in result.cells if cell.index == index]
    return [output["ename"] for output in cell.outputs if output["output_type"] == "error"]


def scores(result: JobResult) -> list[float]:
    """The points of the tests, in order."""
    return [test.score for test in result.tests]
