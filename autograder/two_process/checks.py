"""The checking process: runs the instructor's cells and the tests, sends each test's result as soon as it is known."""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from autograder.jobs import Job, TestResult
from autograder.two_process import displays, outputs
from autograder.two_process.advice import advice
from autograder.two_process.compiled import read_compiled
from autograder.two_process.environment import checking, time_limit
from autograder.two_process.files import SharedFiles
from autograder.two_process.lab_checks import connected_to
from autograder.two_process.names import Names
from autograder.two_process.plan import Step, read_steps
from autograder.two_process.reserve import Finished, Reserve
from autograder.two_process.session import Session
from autograder.two_process.tracebacks import format_error, message_of
from autograder.two_process.wire import Fault, write

__all__ = ["run"]

_GRACE = 0.5  # seconds after the deadline of a test until it is interrupted, should it not be waiting for an answer
_PATIENCE = 3.0  # seconds after which the reserve takes over
_NAMES = {"timeout": "TimeLimit", "ended": "InterpreterDied", "protocol": "InterpreterDied"}


def run(payload: bytes, fds: Sequence[int]) -> None:
    """Run the tests of one notebook.

    Parameters
    ----------
    payload : bytes
        A `Job` and its plan, as `autograder.two_process.plan.written_steps` makes it.
    fds : sequence of int
        Where results go (a frame without blobs for each test, the fields of `TestResult` as JSON), then a socket for
        each test, in order.
    """
    checks = _Checks(*read_steps(payload), fds[0], list(fds[1:]))
    first = os.getpid()
    try:
        with contextlib.suppress(Finished):
            checks.run()
    finally:
        if os.getpid() != first:  # an error of our own: the reserve goes on after this test
            os._exit(1)
    for descriptor in fds:
        with contextlib.suppress(OSError):
            os.close(descriptor)


class _Checks:
    """The state of a run: the instructor's globals, and what cells were compiled as."""

    def __init__(self, job: Job, steps: Sequence[Step], results: int, sockets: list[int]) -> None:
        self.job = job
        self._steps = steps
        self._results = results
        self.end = time.monotonic() + job.notebook_seconds
        self.names = Names()
        self.texts: list[str] = []  # what the student wrote, until now
        self.cells: dict[str, tuple[int, str]] = {}
        self._sockets = sockets
        self._files = SharedFiles()
        self._reserve = Reserve(job.cell_seconds + _PATIENCE, self.end + _PATIENCE)

    def run(self) -> None:
        """Go through the cells; send a result for each test."""
        also_theirs: set[str] = set()
        for count, step in enumerate(self._steps, start=1):
            cell, filename = step.cell, step.filename
            self.cells[filename] = count, cell.source
            linecache.cache[filename] = (len(cell.source), None, cell.source.splitlines(True), filename)
            if cell.kind == "test":
                theirs, ours = step.theirs | also_theirs, step.ours - also_theirs
                self._send_result(replace(step, theirs=theirs, ours=ours, imports=()), count)
                continue
            self.names.enter(step, None)
            if cell.kind != "locked":
                self.texts.append(cell.source)
            if step.run:
                also_theirs = (also_theirs - step.ours) | self._run_locked(step)
            else:
                self._run_imports(step)
        self._reserve.finish()

    def _send_result(self, step: Step, count: int) -> None:
        """Have a test run in a process that may get lost."""
        cell, sock = step.cell, self._sockets.pop(0)
        role = self._reserve.begin()
        if role == "run":
            write(self._results, asdict(self._test(step, count, sock)))
            self._reserve.done(leaves_something=step.is_used_later)
            return
        os.close(sock)
        if role == "done":
            return
        why = "did not stop in time" if role == "timeout" else "ended, perhaps for want of memory"
        name, message = _NAMES[role], f"the process that ran the test {why}"
        shown = outputs.error_output(name, message, [f"{name}: {message}"])
        outcome: Any = "timeout" if role == "timeout" else "crashed"
        seconds = self.job.cell_seconds if role == "timeout" else 0.0
        result = TestResult(cell.index, cell.name, 0.0, cell.points, outcome, f"{name}: {message}", seconds, (shown,))
        write(self._results, asdict(result))

    # ---- the instructor's cells

    def _run_locked(self, step: Step) -> set[str]:
        """Run a locked cell; the answer are names that turn out to be the student's."""
        before = set(self.names)
        try:
            with checking(self.names, None, self.texts), time_limit(self.job.cell_seconds), _printing_nowhere():
                body, last, _ = read_compiled(step.compiled, step.cell.source, step.filename)
                exec(body, self.names)
                if last is not None:
                    eval(last, self.names)
        except NameError as error:
            if error.name in step.theirs:  # it needs the student's work in a way that its text does not show
                return step.ours - before
            self._break(step, error)
        except BaseException as error:
            self._break(step, error)
        return set()

    def _break(self, step: Step, error: BaseException) -> None:
        reason = f"the lab's cell {step.cell.name!r} failed in the checking process: {type(error).__name__}: {error}"
        self.names.broken.update({name: reason[:1000] for name in step.ours if not dict.__contains__(self.names, name)})

    def _run_imports(self, step: Step) -> None:
        for statement in step.imports:
            with contextlib.suppress(Exception), time_limit(self.job.cell_seconds), _printing_nowhere():
                exec(compile(statement, step.filename, "exec", dont_inherit=True), self.names)

    # ---- tests

    def _test(self, step: Step, count: int, descriptor: int) -> TestResult:
        cell = step.cell
        sock = socket.socket(fileno=descriptor)
        session = Session(sock, self.names.locked(), step.theirs, self.end)
        self.names.enter(step, session)
        printed = io.StringIO()
        error: BaseException | None = None
        points: float | None = None
        started = time.monotonic()
        reached = False
        try:
            with (
                contextlib.redirect_stdout(printed),
                checking(self.names, session, self.texts),
                connected_to(session),
            ):
                session.wait(self.end)
                reached, started = True, time.monotonic()
                self._reserve.started()
                displays.taken()  # what the lab's own cells have shown
                self._files.begin(session)
                limit = min(self.job.cell_seconds, max(self.end - started, 0.1))
                session.deadline = started + limit
                with time_limit(limit + _GRACE, session):
                    points = outputs.earned(self._evaluate(step), cell.points)
        except BaseException as caught:
            error = caught
        finally:
            self._files.end()
            self.names.session = None
            session.close()
        error = session.fault or error  # a fault is not forgiven, whatever the test has caught
        seconds = round(time.monotonic() - started, 3)
        shown = [outputs.stream_output(printed.getvalue())] if printed.getvalue() else []
        shown += displays.taken()
        if error is None:
            score = cell.points if points is None else points
            shown += [] if points is None else [outputs.number_output(points, count)]
            outcome = "passed" if score >= cell.points else "partial" if score > 0 else "failed"
            return TestResult(cell.index, cell.name, score, cell.points, outcome, "", seconds, tuple(shown))
        outcome, name, message = self._explain(error, reached)
        words = advice(cell.source, error, session.restructured) if outcome == "failed" else ""
        message = f"{message}\n({words}.)" if words and words not in message else message
        trace = format_error(error, name, message, self.cells, first=step.filename)
        shown.append(outputs.error_output(name, message, trace))
        last = f"{name}: {message}" if message else name
        return TestResult(cell.index, cell.name, 0.0, cell.points, outcome, last[:2000], seconds, tuple(shown))

    def _evaluate(self, step: Step) -> Any:
        """Run a test cell; its value, if it shows one."""
        body, last, is_shown = read_compiled(step.compiled, step.cell.source, step.filename)
        exec(body, self.names)
        value = None if last is None else eval(last, self.names)
        return value if is_shown else None

    def _explain(self, error: BaseException, reached: bool) -> tuple[Any, str, str]:
        """Outcome, name and message of what ended a test."""
        if not isinstance(error, Fault):
            return "failed", type(error).__name__, message_of(error)
        if not reached:
            return "not run", "NotRun", f"the notebook did not get this far ({error})"
        if error.kind == "timeout":
            return "timeout", _NAMES[error.kind], f"stopped after {self.job.cell_seconds:g} s"
        what = "broke off" if error.kind == "ended" else "gave an answer that is none"
        return "crashed", _NAMES[error.kind], f"the student's code {what}: {error}"


@contextlib.contextmanager
def _printing_nowhere() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
