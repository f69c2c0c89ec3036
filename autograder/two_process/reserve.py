"""A reserve for the tests, which goes on if the process that runs a test dies, or hangs where no signal reaches it.

Before the first test the process forks. The child runs the tests; the parent listens. If a test does not end in time,
or the child does, the parent goes through the cells after its own place again, leaves out the tests that the child has
done, counts the lost one as lost, and goes on behind it, with a new child. Where tests leave something behind that a
later cell uses, the child forks in its turn before the next one, so that its own reserve has it as well.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import Literal

__all__ = ["Finished", "Reserve"]

_BEGUN, _STARTED, _DONE, _RELEASED = b"bsdr"


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
        self._is_behind = False  # whether the reserve lacks what a test has left
        self._done = 0  # tests ahead of this process that a lost child has done
        self._lost: Literal["timeout", "ended"] | None = None

    def begin(self) -> Literal["run", "done", "timeout", "ended"]:
        """Before a test.

        Returns
        -------
        str
            ``run`` in the process that runs the test; in one that goes on after a loss, ``done`` if the lost process
            had sent its result, and why it was lost if this was its last test.

        Raises
        ------
        Finished
            In the first process, when all is done.
        """
        while True:
            if self._done:
                self._done -= 1
                return "done"
            if self._lost:
                lost, self._lost = self._lost, None
                return lost
            if (self._tell >= 0 and not self._is_behind) or self._fork():
                os.write(self._tell, bytes([_BEGUN]))
                return "run"

    def started(self) -> None:
        """Say that the time of the test begins now."""
        os.write(self._tell, bytes([_STARTED]))

    def done(self, *, leaves_something: bool) -> None:
        """Say that the test is over and its result sent, and whether a later cell uses what it leaves behind."""
        os.write(self._tell, bytes([_DONE]))
        self._is_behind |= leaves_something

    def finish(self) -> None:
        """After the last test: end the process, unless it is the first."""
        if os.getpid() != self._first:
            self._release()
            os._exit(0)

    def _fork(self) -> bool:
        """Whether this is the child; the parent comes back only if the child is lost."""
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(hear)
            if self._tell >= 0:
                os.close(self._tell)
            self._tell, self._is_behind = tell, False
            return True
        os.close(tell)
        self._release()
        if self._listen(hear):
            self._leave()
        os.close(hear)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _listen(self, hear: int) -> bool:
        """Wait until the child needs no reserve any more, or is lost; then it is known where."""
        deadline, is_begun, self._done = self._end, False, 0
        while True:
            readable, _, _ = select.select([hear], [], [], max(0.0, deadline - time.monotonic()))
            news = os.read(hear, 4096) if readable else b""
            for word in news:
                if word == _RELEASED:
                    return True
                is_begun = word != _DONE
                self._done += word == _DONE
                deadline = time.monotonic() + self._seconds if word == _STARTED else self._end
            if not news:
                # one that was lost between two tests has not spoiled the next
                self._lost = None if not is_begun else "ended" if readable else "timeout"
                return False

    def _leave(self) -> None:
        """This process is not needed any more."""
        if os.getpid() != self._first:
            os._exit(0)
        os.close(self._alive)
        while os.read(self._all_ended, 16):
            pass
        raise Finished

    def _release(self) -> None:
        if self._tell >= 0:
            os.write(self._tell, bytes([_RELEASED]))
            os.close(self._tell)
            self._tell = -1
