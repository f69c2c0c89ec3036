"""What a run comes to: a status, a message that says where, and a result for each test whatever happened."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import Any

from autograder.jobs import CellOutputs, Job, JobCell, JobResult, TestResult
from autograder.sandbox import results
from autograder.sandbox.children import Ended
from autograder.sandbox.limits import Limits

__all__ = ["Report", "missing"]

_MEANINGS = {"SIGSEGV": "segmentation fault", "SIGKILL": "killed", "SIGABRT": "aborted", "SIGXCPU": "too much time"}


@dataclass
class Report:
    """What is known of a run, while it goes on and at its end.

    Attributes
    ----------
    job : Job
    limits : Limits
    cells, tests, notes : dict
        By the cell's index: what it showed, what a test came to, why a cell was stopped (a status and a message).
    end : tuple or None
        What ended the student's process early: a status and a message.
    begun : tuple or None
        The cell that runs, and since when.
    is_complete : bool
        Whether the student's process says that it went through all cells.
    student_ended, tests_ended : Ended or None
    began : float
        A time of `time.monotonic`.
    """

    job: Job
    limits: Limits
    cells: dict[int, CellOutputs] = field(default_factory=dict)
    tests: dict[int, TestResult] = field(default_factory=dict)
    notes: dict[int, tuple[str, str]] = field(default_factory=dict)
    end: tuple[str, str] | None = None
    begun: tuple[JobCell, float] | None = None
    is_complete: bool = False
    student_ended: Ended | None = None
    tests_ended: Ended | None = None
    began: float = field(default_factory=time.monotonic)

    def result(self) -> JobResult:
        """How the run ended, with one result for each test."""
        assert self.student_ended is not None
        where = self.begun[0].index if self.begun is not None else None
        cells = {cell.index: cell for cell in self.job.cells}
        if self.student_ended.exceeded == "memory" and (self.end is None or self.end[0] != "timeout"):
            self.end = "out of memory", f"more than {self.limits.memory_mb} MB of memory"
        elif self.student_ended.exceeded == "processes" and self.end is None:
            self.end = "crashed", f"more than {self.limits.processes} processes and threads at a time"
        elif not self.is_complete and self.end is None:
            self.end = "crashed", f"the Python interpreter {_cause_of_death(self.student_ended.code)}"
        status, message = self.end or ("ok", "")
        if self.end and where is not None and cells[where].kind != "test" and where not in self.cells:
            name = {"timeout": "TimeLimit", "out of memory": "OutOfMemory", "output limit": "OutputLimit"}
            shown = (results.error_output(name.get(status, "InterpreterDied"), message),)
            self.cells[where] = CellOutputs(where, None, shown)
        tests = tuple(self.tests.get(cell.index) or self._not_reported(cell) for cell in self.job.tests)
        if self.end is None:
            where, status, message = self._first_trouble(tests)
        place = f"{results.names(self.job.cells)[where]}: " if where is not None and message else ""
        ended = [each for each in (self.student_ended, self.tests_ended) if each is not None]
        return JobResult(
            status,
            place + message,
            tuple(self.cells[index] for index in sorted(self.cells)),
            tests,
            round(time.monotonic() - self.began, 3),
            round(max(each.peak_memory_mb for each in ended), 1),
        )

    def _not_reported(self, cell: JobCell) -> TestResult:
        if self.tests_ended is not None and self.tests_ended.exceeded is not None:
            reason = {"memory": f"{self.limits.memory_mb} MB", "processes": f"{self.limits.processes} processes"}
            return missing(cell, "crashed", f"the test needed more than {reason[self.tests_ended.exceeded]}")
        if self.end is not None:
            return missing(cell, "timeout" if self.end[0] == "timeout" else "not run", self.end[1])
        code = self.tests_ended.code if self.tests_ended is not None else None
        return missing(cell, "crashed", f"the checking process {_cause_of_death(code)}")

    def _first_trouble(self, tests: tuple[TestResult, ...]) -> tuple[int | None, str, str]:
        """The first cell or test that was stopped or has crashed, with a status and a message."""
        troubles = {index: (index, *note) for index, note in self.notes.items()}
        for test in tests:
            if test.outcome in ("timeout", "crashed"):
                name, _, message = test.message.partition(": ")
                troubles[test.index] = test.index, test.outcome, message or name
        if self.tests_ended is not None and self.tests_ended.exceeded == "memory":
            where = min((index for index in troubles), default=None)
            return where, "out of memory", f"a test needed more than {self.limits.memory_mb} MB of memory"
        return troubles[min(troubles)] if troubles else (None, "ok", "")


def missing(cell: JobCell, outcome: Any, message: str) -> TestResult:
    """The result of a test that nobody has reported."""
    shown = (results.error_output("NotRun" if outcome == "not run" else "NotPassed", message),)
    return TestResult(cell.index, cell.name, 0.0, cell.points, outcome, message, 0.0, shown)


def _cause_of_death(code: int | None) -> str:
    """What an exit status says."""
    if code is None or code >= 0:
        return f"ended itself (exit status {code})" if code is not None else "was killed"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"died of {name}" + (f" ({_MEANINGS[name]})" if name in _MEANINGS else "")
