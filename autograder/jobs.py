"""One notebook of one submission as plain data: what is to be run, and what came of it.

These records cross from the grader to its sandboxed processes, and to other machines, as JSON. Importing them loads
neither nbgrader nor torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["CellOutputs", "Job", "JobCell", "JobResult", "TestResult"]

Kind = Literal["locked", "solution", "extra", "test"]
Outcome = Literal["passed", "partial", "failed", "timeout", "crashed", "not run"]


@dataclass(frozen=True)
class JobCell:
    """One code cell.

    Attributes
    ----------
    index : int
        Its place among all cells of the notebook, from 0.
    name : str
        Its grade_id, or its cell id where it has none.
    kind : str
        ``locked``: the instructor's, run on both sides; ``solution``: the student's answer, or a free cell of the
        instructor's that students may edit; ``extra``: a cell that the student added; ``test``: graded, never shown to
        the student's process.
    source : str
        What is to be run.
    reference : str
        For a solution cell the instructor's own text, from which it is told which names are the student's.
    points : float
        What a test cell gives at most.
    """

    index: int
    name: str
    kind: Kind
    source: str
    reference: str = ""
    points: float = 0.0


@dataclass(frozen=True)
class Job:
    """The code cells of one notebook, in order, and how long each may take.

    Attributes
    ----------
    student, lab, notebook : str
        Whose, of which lab, and the notebook's name without suffix.
    cells : tuple of JobCell
    cell_seconds, notebook_seconds : float
        The limits for each cell, each test, and for all together.
    threads : int
        How many threads numerical libraries may use.
    """

    student: str
    lab: str
    notebook: str
    cells: tuple[JobCell, ...]
    cell_seconds: float = 60.0
    notebook_seconds: float = 600.0
    threads: int = 1

    @property
    def tests(self) -> tuple[JobCell, ...]:
        """The test cells, in order: each has a socket between the two processes."""
        return tuple(cell for cell in self.cells if cell.kind == "test")

    def instructors_text(self) -> str:
        """What the instructor has written of it; nothing in it is a student's."""
        cells = [cell for cell in self.cells if cell.kind != "extra"]
        return "\n".join(cell.reference if cell.kind == "solution" else cell.source for cell in cells)

    def to_json(self) -> bytes:
        """All of it, tests included."""
        return json.dumps(asdict(self)).encode()

    def without_tests(self) -> Job:
        """What the student's process may know: test cells have a place and nothing else, reference texts are gone."""
        cells = tuple(
            JobCell(cell.index, "", "test", "")
            if cell.kind == "test"
            else JobCell(cell.index, cell.name, cell.kind, cell.source)
            for cell in self.cells
        )
        return Job("", "", self.notebook, cells, self.cell_seconds, self.notebook_seconds, self.threads)

    @classmethod
    def from_json(cls, data: bytes) -> Job:
        """Read what `to_json` wrote."""
        return cls.from_values(json.loads(data))

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Job:
        """A job of the values that are in its JSON."""
        return cls(**{**values, "cells": tuple(JobCell(**cell) for cell in values["cells"])})


@dataclass(frozen=True)
class TestResult:
    """What a test cell came to.

    Attributes
    ----------
    index, name : int, str
        The cell's place and grade_id.
    score, maximum : float
    outcome : str
        ``passed``, ``partial``, ``failed`` (an assertion or another exception), ``timeout``, ``crashed`` (the student's
        process ended or broke the protocol), or ``not run``.
    message : str
        The last line of what went wrong; empty if nothing did.
    seconds : float
    outputs : tuple of dict
        nbformat outputs, written by the checking process: what was printed, a traceback, the number of partial credit.
    """

    __test__ = False  # not a test class of pytest's

    index: int
    name: str
    score: float
    maximum: float
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0
    outputs: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> bytes:
        """All of it, as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> TestResult:
        """Read what `to_json` wrote."""
        values = json.loads(data)
        return cls(**{**values, "outputs": tuple(values["outputs"])})


@dataclass(frozen=True)
class CellOutputs:
    """What a cell of the student's process showed: nbformat outputs, not trusted."""

    index: int
    count: int | None
    outputs: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class JobResult:
    """How one notebook's run ended.

    Attributes
    ----------
    status : str
        The value of an `autograder.intake.Status`: ``ok``, ``timeout``, ``crashed``, ``out of memory``,
        ``output limit``.
    message : str
        What ended the run early, and where; empty if it went to its end.
    cells : tuple of CellOutputs
    tests : tuple of TestResult
        One for each test cell of the job, whatever happened.
    seconds, peak_memory_mb : float
    """

    status: str
    message: str = ""
    cells: tuple[CellOutputs, ...] = ()
    tests: tuple[TestResult, ...] = field(default=())
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
