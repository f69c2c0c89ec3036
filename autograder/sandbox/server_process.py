"""One process of a warm server, seen by the grader: its start, its forks, its end."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from autograder.errors import CourseError
from autograder.sandbox.bubblewrap import bubblewrap_command
from autograder.sandbox.children import Child, ServerLost
from autograder.sandbox.environment import font_lists, server_environment
from autograder.sandbox.limits import Limits
from autograder.sandbox.messages import MessageReader, send_job

__all__ = ["Role", "Sandbox", "ServerProcess"]

Role = Literal["student", "tests"]
Sandbox = Literal["bubblewrap", "none"]

_SECONDS_TO_START = 180.0
_SECONDS_TO_ANSWER = 60.0
_FONTS = "/run/fonts"
_CREDENTIALS = struct.Struct("3i")


class ServerProcess:
    """One process of a server. It ends when it was retired and the last who held it released it."""

    def __init__(self, role: Role, sandbox: Sandbox, cache: Path | None, families: Collection[str]) -> None:
        self.isolated, self.forks, self.is_retired = sandbox == "bubblewrap", 0, False
        self._role, self._families, self._holders = role, sorted(families), 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._folder = tempfile.mkdtemp(prefix="factorkit-")
        self._control, theirs = socket.socketpair()
        started = threading.Event()
        # the kernel ends bubblewrap with the thread that started it, so that thread stays as long
        thread = threading.Thread(target=self._run, args=(theirs, cache, started), daemon=True)
        thread.start()
        started.wait()
        theirs.close()
        self._control.settimeout(_SECONDS_TO_START)
        try:
            ready, late = self._control.recv(1), False
        except OSError as error:
            ready, late = b"", isinstance(error, TimeoutError)
        if not ready:
            self.end()
            reason = f"no answer within {_SECONDS_TO_START:g} s; is this machine busy?" if late else self._reason
            raise CourseError(f"the {role} server did not start: {reason}")
        self._control.settimeout(_SECONDS_TO_ANSWER)

    def _run(self, theirs: socket.socket, cache: Path | None, started: threading.Event) -> None:
        fonts = Path(self._folder, "fonts")
        try:
            fonts.mkdir()
            for path in font_lists():
                shutil.copy(path, fonts)
            environment = server_environment(cache, self._folder, isolated=self.isolated)
            command = [sys.executable, "-P", "-m", "autograder.sandbox.server", self._role, str(theirs.fileno())]
            if self.isolated:
                readable = {fonts: _FONTS} | ({cache: str(cache)} if cache is not None else {})
                command = [
                    *bubblewrap_command(environment, readable=readable, may_prepare=True),
                    *command,
                    "--isolated",
                ]
            command += ["--fonts", _FONTS if self.isolated else str(fonts), "--families", *self._families]
            with tempfile.TemporaryFile() as errors:
                with subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    cwd="/" if self.isolated else self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                ) as self._popen:
                    started.set()
                    status = self._popen.wait()
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
            self._reason = last[0] if last else f"it ended with status {status}"
        except Exception as error:
            self._reason = str(error)
        finally:
            self._over.set()
            started.set()
            shutil.rmtree(self._folder, ignore_errors=True)

    def fork(
        self,
        target: str,
        payload: bytes,
        files: Mapping[str, bytes | Path],
        descriptors: Sequence[int],
        limits: Limits,
        threads: int,
    ) -> Child:
        channel, theirs = socket.socketpair()
        child = folder = None
        try:
            channel.settimeout(_SECONDS_TO_ANSWER)
            if sys.platform == "linux":
                channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            with self._lock, theirs:
                socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                self.forks += 1
            pid = self._supervisor(channel)
            folder = None if self.isolated else tempfile.mkdtemp(prefix="factorkit-")
            child = Child(self, channel, pid, limits, folder)
            send_job(channel, target, payload, files, limits, threads, folder or "", descriptors)
            return child
        except BaseException:
            if child is not None:
                self.hold()  # the child's end releases the process, and so does the caller
                child.kill()
            channel.close()
            raise

    def _supervisor(self, channel: socket.socket) -> int:
        """The first message tells who sent it: the kernel translates the id from the server's process namespace."""
        reader = MessageReader(channel.fileno(), 1 << 16, 1 << 16)
        if not hasattr(socket, "SCM_CREDENTIALS"):
            return int(next(reader.read())["pid"])
        data, ancillary, _, _ = channel.recvmsg(1 << 16, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not data:
            raise ServerLost("it ended")
        if b'"failed"' in data:
            raise CourseError(f"a sandboxed process could not be prepared: {data[8:].decode()}")
        [(_, _, credentials)] = ancillary
        return _CREDENTIALS.unpack(credentials)[0]

    def hold(self) -> None:
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            last = self.is_retired and self._holders == 0
        if last:
            self.end()

    def retire(self) -> None:
        """Fork no more, and end with the last child."""
        with self._lock:
            self.is_retired = True
            last = self._holders == 0
        if last:
            self.end()

    def has_ended(self) -> bool:
        return self._over.wait(0.2) if self._socket_closed() else False

    def _socket_closed(self) -> bool:
        try:
            poll = select.poll()
            poll.register(self._control, select.POLLIN)
            return bool(poll.poll(0))  # a server that has started says nothing: there is only its end to read
        except ValueError:  # closed here
            return True

    def end(self) -> None:
        self.is_retired = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        if not self._over.wait(5.0):
            with contextlib.suppress(OSError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._over.wait(5.0)
