"""One notebook of one submission: both of its processes, started, watched and ended."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from autograder.jobs import Job, JobCell, JobResult
from autograder.sandbox import results
from autograder.sandbox.client import Child, ServerLost, WarmServer
from autograder.sandbox.limits import Limits
from autograder.sandbox.messages import MessageReader, TooMuch
from autograder.sandbox.verdict import Report, missing
from autograder.two_process.plan import written_steps

__all__ = ["run_job"]

_NOTEBOOK, _CHECKS = "autograder.sandbox.notebook:run", "autograder.two_process.checks:run"
_GRACE = 3.0  # seconds between an interruption and the end by force
_LARGEST = 8 << 20
_RESULTS_MB = 64


def run_job(
    student: WarmServer,
    tests: WarmServer,
    job: Job,
    limits: Limits,
    files: Mapping[str, bytes | Path],
    test_files: Mapping[str, bytes | Path],
    cancelled: threading.Event | None = None,
) -> JobResult:
    """Run a notebook and its tests.

    Parameters
    ----------
    student, tests : WarmServer
        For the process that runs the student's cells, and for the one that checks.
    job : Job
    limits : Limits
        For each of the two processes.
    files, test_files : mapping
        What lies in the working folder of each.
    cancelled : threading.Event, optional
        When set, the run ends at once.
    """
    for last in (False, True):
        try:
            with ExitStack() as stack:
                return _Run(stack, student, tests, job, limits, files, test_files).watch(cancelled)
        except ServerLost:
            if last:
                break
    failed = tuple(missing(cell, "crashed", "the server of its process ended twice") for cell in job.tests)
    return JobResult("crashed", "the server of the notebook's process ended twice", (), failed)


class _Run(Report):
    """Two processes, their sockets, and what they have reported."""

    def __init__(
        self,
        stack: ExitStack,
        student: WarmServer,
        tests: WarmServer,
        job: Job,
        limits: Limits,
        files: Mapping[str, bytes | Path],
        test_files: Mapping[str, bytes | Path],
    ) -> None:
        super().__init__(job, limits)
        self.interrupted = 0.0
        self._by_index = {cell.index: cell for cell in job.cells}
        outputs, outputs_theirs = self._pair(stack)
        found, found_theirs = self._pair(stack)
        pairs = [self._pair(stack) for _ in job.tests]
        self.outputs = MessageReader(outputs.fileno(), _LARGEST, (2 * limits.output_mb + 1) << 20)
        self.results = MessageReader(found.fileno(), _LARGEST, _RESULTS_MB << 20)
        payload = _payload(job, limits.output_mb)
        theirs = [outputs_theirs, *(pair[0] for pair in pairs)]
        self.student = self._start(stack, student, _NOTEBOOK, payload, files, theirs)
        theirs = [found_theirs, *(pair[1] for pair in pairs)]
        # kept here: a test is over for the student's process when its result has come, whoever else still holds the end
        self._tests_ends = {
            cell.index: stack.enter_context(pair[1].dup()) for cell, pair in zip(job.tests, pairs, strict=True)
        }
        self.checks = self._start(stack, tests, _CHECKS, written_steps(job), test_files, theirs) if job.tests else None

    @staticmethod
    def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(theirs)
        return ours, theirs

    def _start(
        self,
        stack: ExitStack,
        server: WarmServer,
        target: str,
        payload: bytes,
        files: Mapping[str, bytes | Path],
        sockets: list[socket.socket],
    ) -> Child:
        descriptors = [sock.fileno() for sock in sockets]
        child = server.start(target, payload, files, descriptors, self.limits, threads=self.job.threads)
        stack.callback(child.kill)
        for sock in sockets:
            sock.close()  # else nobody would see that the child has ended
        return child

    def watch(self, cancelled: threading.Event | None) -> JobResult:
        """Wait for both, pass limits on, and say what came of it."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.student, selectors.EVENT_READ, self._student_news)
            selector.register(self.outputs.descriptor, selectors.EVENT_READ, self._read_outputs)
            if self.checks is not None:
                selector.register(self.checks, selectors.EVENT_READ, self._checks_news)
                selector.register(self.results.descriptor, selectors.EVENT_READ, self._read_results)
            while selector.get_map():
                for key, _ in selector.select(0.1):
                    if key.data():
                        selector.unregister(key.fileobj)
                if self._is_over(cancelled is not None and cancelled.is_set()):
                    break
        if self.student_ended is None:
            self.student_ended = self.student.kill()
        if self.checks is not None and self.tests_ended is None:
            self.tests_ended = self.checks.kill()
        return self.result()

    # ---- news; each answers whether there will be no more

    def _student_news(self) -> bool:
        if self.student.has_ended():
            self.student_ended = self.student.kill()
        return self.student_ended is not None

    def _checks_news(self) -> bool:
        assert self.checks is not None
        if self.checks.has_ended():
            self.tests_ended = self.checks.kill()
            for index in self._tests_ends:
                self._end_test(index)
        return self.tests_ended is not None

    def _read_outputs(self) -> bool:
        try:
            for message in self.outputs.read():
                self._take(message)
        except TooMuch:
            self.end = self.end or ("output limit", f"more than {self.limits.output_mb} MB of output")
            self.student.stop()
            return True
        return self.outputs.ended

    def _take(self, message: Any) -> None:
        """A message of the student's process, which may be a lie; it decides about no points."""
        if not isinstance(message, dict):
            raise TooMuch("it sent what is no message")
        if isinstance(cell := self._by_index.get(_number(message.get("begin"))), JobCell):
            self.begun = cell, time.monotonic()
        elif (cell := self._by_index.get(_number(message.get("cell")))) and cell.kind != "test":
            self.cells[cell.index] = results.cell_outputs(message, self.cells.get(cell.index))
            if note := _note(message.get("note")):
                self.notes[cell.index] = note
            if self.begun is not None and self.begun[0] is cell:
                self.begun = None
        elif "end" in message:
            self.is_complete, self.begun = True, None
            self.end = self.end or _note(message["end"])

    def _read_results(self) -> bool:
        try:
            for message in self.results.read():
                cell = self._by_index.get(_number(message.get("index"))) if isinstance(message, dict) else None
                if cell is not None and cell.kind == "test" and (result := results.test_result(message, cell)):
                    self.tests[cell.index] = result
                    self._end_test(cell.index)
        except TooMuch:
            return True
        return self.results.ended

    def _end_test(self, index: int) -> None:
        with contextlib.suppress(OSError):
            self._tests_ends[index].shutdown(socket.SHUT_RDWR)

    # ---- limits

    def _is_over(self, is_cancelled: bool) -> bool:
        now = time.monotonic()
        if is_cancelled or now > self.began + self.limits.notebook_seconds + 2 * _GRACE:
            reason = "cancelled" if is_cancelled else f"the notebook was stopped after {self.limits.notebook_seconds} s"
            self.end = self.end or ("timeout", reason)
            return True
        for child in (self.student, self.checks):
            if child is not None and child.exceeded() == "processes":
                self.end = self.end or ("crashed", f"more than {self.limits.processes} processes and threads at a time")
                child.kill()
                return self._drain(child)
        if self.begun is not None and self.begun[0].kind != "test" and self.student_ended is None:
            self._limit_cell(now)
        return False

    def _drain(self, child: Child) -> bool:
        """A child was killed as a whole: nothing else can come of the run but what the other one has said already."""
        if child is self.student and self.checks is not None and self.tests_ended is None:
            self.tests_ended = self.checks.wait(_GRACE + self.limits.cell_seconds) or self.checks.kill()
        while self.checks is not None and not self.results.ended and not self._read_results():
            pass
        return True

    def _limit_cell(self, now: float) -> None:
        """Interrupt a cell that is late, again and again, then kill the process."""
        assert self.begun is not None
        cell, since = self.begun
        limit = min(self.limits.cell_seconds, self.began + self.limits.notebook_seconds - since)
        if now - since > limit + _GRACE:
            self.end = self.end or ("timeout", f"stopped after {limit:.0f} s, and did not react to that")
            self.student.stop()
        elif now - since > limit and now - self.interrupted > 1.0:
            self.interrupted = now
            self.student.interrupt()


def _number(value: Any) -> int:
    return value if type(value) is int else -1


def _note(value: Any) -> tuple[str, str] | None:
    """A note of the student's process: only of a closed set, since it becomes the submission's status."""
    if not isinstance(value, list) or len(value) != 2 or value[0] not in ("timeout", "output limit"):
        return None
    return value[0], str(value[1])[:500]


def _payload(job: Job, output_mb: int) -> bytes:
    """What the notebook's process takes: a job without its tests, and how much it may show."""
    return json.dumps({"job": job.without_tests().to_json().decode(), "output_mb": output_mb}).encode()
