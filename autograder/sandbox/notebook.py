"""The student's process: runs the cells of a notebook in IPython, and leaves a snapshot at each test's place.

It is no Jupyter kernel: there is nothing to connect to. Its outputs are those that a kernel's client would have kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import time
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from autograder.jobs import Job, JobCell
from autograder.sandbox.capture import OutputLimit, Outputs
from autograder.sandbox.shell import make_shell
from autograder.two_process.student import serve
from autograder.two_process.wire import write

__all__ = ["run"]

_TIME_LIMIT = "TimeLimit"
_OUTPUT_LIMIT = "OutputLimit"
_TOLERANCE = 0.5  # seconds: an interruption that comes earlier than that was meant for the cell before
_SNAPSHOT_SECONDS = 10
_SECONDS_TO_END, _POLL_MS = 1.0, 5


def run(payload: bytes, descriptors: Sequence[int]) -> None:
    """Run a notebook.

    Parameters
    ----------
    payload : bytes
        As `autograder.sandbox.jobs` makes it: ``{"job": ..., "output_mb": ...}``.
    descriptors : sequence of int
        Where outputs go (frames), then a socket for each test, in order.

    Notes
    -----
    Frames are ``{"begin": index}`` before a cell, ``{"cell": index, "count": ..., "outputs": ..., "seconds": ...,
    "note": ...}`` after it (again if a later cell changes what it displays), and ``{"end": note}``. A note is null or a
    pair of a status and a message.
    """
    content = json.loads(payload)
    _Notebook(Job.from_json(content["job"]), content["output_mb"], descriptors).run()


class _Notebook:
    def __init__(self, job: Job, output_mb: int, descriptors: Sequence[int]) -> None:
        self._job = job
        self._results = descriptors[0]
        self._sockets = list(descriptors[1:])
        self._outputs = Outputs(output_mb << 20)
        self._limit = self._began = 0.0
        self._is_running, self._interrupted = False, 0.0
        self._end = time.monotonic() + job.notebook_seconds
        self._shell, self._streams = make_shell(self._outputs)

    def run(self) -> None:
        note = None
        for cell in self._job.cells:
            if cell.kind != "test" and not cell.source.strip():
                continue
            if time.monotonic() >= self._end:
                note = "timeout", "the notebook's time was used up"
                break
            write(self._results, {"begin": cell.index})
            if cell.kind == "test":
                self._leave_snapshot(self._sockets.pop(0))
            else:
                self._run_cell(cell)
        write(self._results, {"end": note})

    # ---- cells

    def _run_cell(self, cell: JobCell) -> None:
        self._outputs.begin(cell.index)
        count = self._shell.execution_count
        self._began, self._interrupted = time.monotonic(), 0.0
        self._limit = min(self._job.cell_seconds, self._end - self._began)
        with contextlib.suppress(ValueError, OSError):
            signal.signal(signal.SIGINT, self._interrupt)
        try:
            self._is_running = True
            try:
                self._shell.run_cell(cell.source, store_history=True)
            finally:
                self._is_running = False
        except KeyboardInterrupt:
            self._is_running = False
        for stream in self._streams:
            with contextlib.suppress(OutputLimit):
                stream.take_printed()
        seconds = round(time.monotonic() - self._began, 3)
        note = None
        if self._outputs.is_flooded:
            note = "output limit", f"stopped after printing {self._outputs.limit() / 1e6:.0f} MB"
            self._outputs.error(_OUTPUT_LIMIT, note[1], [f"{_OUTPUT_LIMIT}: {note[1]}"])
        elif self._interrupted:
            note = "timeout", f"stopped after {self._limit:.0f} s"
            self._outputs.error(_TIME_LIMIT, note[1], [f"{_TIME_LIMIT}: {note[1]}"])
        for index in sorted(self._outputs.changed, key=lambda index: index != cell.index):
            outputs = self._outputs.finish(index)
            own = {"count": count, "seconds": seconds, "note": note} if index == cell.index else {}
            write(self._results, {"cell": index, "outputs": outputs, **own})

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._is_running and now - self._began >= self._limit - _TOLERANCE and now - self._interrupted >= _TOLERANCE:
            self._interrupted = now
            raise KeyboardInterrupt

    # ---- tests

    def _leave_snapshot(self, descriptor: int) -> None:
        """Fork; the child answers the questions of one test, and this process waits until it has."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what threads do to a fork is for the student's code to bear
            child = os.fork()
        if child == 0:
            self._serve(descriptor)
        # the other end is closed when the test is over, and then a snapshot that still runs is of no use
        poll = select.poll()
        poll.register(descriptor, 0)
        over = None
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                if over is None and poll.poll(_POLL_MS):
                    over = time.monotonic()
                elif over is not None:
                    time.sleep(_POLL_MS / 1000)
                    if time.monotonic() - over > _SECONDS_TO_END:
                        os.kill(child, signal.SIGKILL)
        os.close(descriptor)

    def _serve(self, descriptor: int) -> NoReturn:
        try:
            os.close(self._results)
            for other in self._sockets:
                os.close(other)
            null = os.open(os.devnull, os.O_RDWR)
            for number in (1, 2):
                os.dup2(null, number)
            self._outputs.is_muted = True
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            seconds = int(self._job.cell_seconds) + _SNAPSHOT_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            serve(self._shell.user_ns, socket.socket(fileno=descriptor))
        finally:
            os._exit(0)
