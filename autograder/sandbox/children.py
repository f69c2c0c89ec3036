"""A process that a warm server has forked, with all that it starts, seen by the grader."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autograder.errors import CourseError
from autograder.processes import kill_descendants
from autograder.sandbox.limits import Limits, group
from autograder.sandbox.messages import INTERRUPT, KILL, MessageReader

if TYPE_CHECKING:
    from autograder.sandbox.server_process import ServerProcess

__all__ = ["Child", "Ended", "ServerLost"]


class ServerLost(Exception):
    """The server ended although it should not have: the job can be run on a new one."""


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes
    ----------
    code : int or None
        Its exit status, negative for a signal; None if it was killed from here, with all that it had started.
    exceeded : str or None
        ``memory`` or ``processes`` if it went over that limit.
    cpu_seconds, peak_memory_mb : float
    """

    code: int | None
    exceeded: str | None
    cpu_seconds: float
    peak_memory_mb: float


class Child:
    """A process that a server has forked, with all that it starts.

    Attributes
    ----------
    pid : int
        The id, here, of the process that supervises it.
    """

    def __init__(
        self, server: ServerProcess, channel: socket.socket, pid: int, limits: Limits, folder: str | None
    ) -> None:
        self.pid, self._server, self._channel, self._folder = pid, server, channel, folder
        self._messages = MessageReader(channel.fileno(), 1 << 16, 1 << 20)
        self._group = group(limits)
        self._group.add(pid)
        self._handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        self._code: int | None = None
        self._cpu = 0.0
        self._closed = False

    def fileno(self) -> int:
        """The descriptor that is readable when there is news of its end."""
        return self._channel.fileno()

    def interrupt(self) -> None:
        """Send the function's process the signal of Ctrl-C."""
        self._order(INTERRUPT)

    def stop(self) -> None:
        """Kill the function's process; the supervisor then reports its end."""
        self._order(KILL)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(order)

    def exceeded(self) -> str | None:
        """``memory`` or ``processes`` once it went over that limit."""
        return self._group.exceeded()

    def has_ended(self) -> bool:
        """Take in the news that there is; whether the function's process has ended.

        Raises
        ------
        ServerLost
            If it ended together with its server.
        """
        if not self._messages.ended and self._code is None:
            for message in self._messages.read():
                if "failed" in message:
                    raise CourseError(f"a sandboxed process could not be prepared: {message['failed']}")
                if "ended" in message:
                    self._code, self._cpu = message["ended"], message["cpu"]
        if self._messages.ended and self._code is None and not self.exceeded() and self._server.has_ended():
            raise ServerLost
        return self._messages.ended or self._code is not None

    def wait(self, seconds: float) -> Ended | None:
        """Wait for the end, at most so long; None if it did not come."""
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while not (selector.select(max(0.0, min(0.1, end - time.monotonic()))) and self.has_ended()):
                if self.exceeded() == "processes":
                    return self.kill()
                if time.monotonic() >= end:
                    return None
        return self.kill()

    def kill(self) -> Ended:
        """Make sure that nothing of it is left."""
        if not self._closed:
            self._closed = True
            exceeded = self._group.exceeded()
            if not self._server.isolated:
                with contextlib.suppress(OSError):
                    kill_descendants(self.pid)
            self._channel.close()  # an order to end, too
            self._kill_supervisor()
            self._ended = Ended(self._code, exceeded or self._group.exceeded(), self._cpu, self._group.peak_mb())
            self._group.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._server.release()
        return self._ended

    def _kill_supervisor(self) -> None:
        """The kernel ends all processes of its namespace with it."""
        if self._handle is None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            return
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        with selectors.DefaultSelector() as selector:
            selector.register(self._handle, selectors.EVENT_READ)
            selector.select(5.0)
        os.close(self._handle)
