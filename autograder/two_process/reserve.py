"""A reserve for each test, which goes on if the process that runs the test dies, or hangs where no signal reaches it.

Before each test the process forks. The child runs the test and what follows; the parent waits until the test is over
and ends. If the test does not end in time, or the child does, the parent takes the child's place after the test.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import Literal

__all__ = ["Finished", "Reserve"]

_STARTED, _DONE = b"s", b"d"


class Finished(Exception):
    """In the first process: the others have done everything."""


class Reserve:
    """The line of processes of one notebook's tests.

    Parameters
    ----------
    seconds : float
        How long a test may take, from when it says that it has started.
    end : float
        A time of `time.monotonic` by when every test has started.
    """

    def __init__(self, seconds: float, end: float) -> None:
        self._seconds = seconds
        self._end = end
        self._first = os.getpid()
        self._all_ended, self._alive = os.pipe()
        self._tell = -1

    def begin(self) -> Literal["run", "timeout", "ended"]:
        """Fork before a test.

        Returns
        -------
        str
            ``run`` in the process that runs the test; otherwise why that process was lost, in the one that goes on.

        Raises
        ------
        Finished
            In the first process, when all is done.
        """
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(hear)
            self._close_tell()
            self._tell = tell
            return "run"
        os.close(tell)
        lost = self._listen(hear)
        os.close(hear)
        if lost is None:
            self._leave()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return lost

    def started(self) -> None:
        """Say that the time of the test begins now."""
        os.write(self._tell, _STARTED)

    def done(self) -> None:
        """Say that the test is over and its result sent."""
        os.write(self._tell, _DONE)
        self._close_tell()

    def finish(self) -> None:
        """After the last test: end the process, unless it is the first."""
        if os.getpid() != self._first:
            os._exit(0)

    def _listen(self, hear: int) -> Literal["timeout", "ended"] | None:
        """Why the child is lost; None if it has done the test."""
        deadline = self._end
        while True:
            readable, _, _ = select.select([hear], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                return "timeout"
            heard = os.read(hear, 16)
            if not heard:
                return "ended"
            if heard.endswith(_DONE):
                return None
            deadline = time.monotonic() + self._seconds

    def _leave(self) -> None:
        """This process is not needed any more."""
        if os.getpid() != self._first:
            os._exit(0)
        os.close(self._alive)
        while os.read(self._all_ended, 16):
            pass
        raise Finished

    def _close_tell(self) -> None:
        if self._tell >= 0:
            os.close(self._tell)
            self._tell = -1
