"""The guarded process in which entries are read and run, seen from outside.

A file that somebody hands in meets code that parses and runs it. That happens in a process of its own, with limits on
time, memory and files and with nothing to find: no environment, no labels, no path. It answers in JSON, so whatever
an entry does there, the process that asked gets plain data or an :class:`EntryError`.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from micronet_resources.onnx_graph.errors import EntryError

__all__ = ["GuardedWorker", "read_entry"]

SCRIPT = Path(__file__).with_name("worker.py")
LONGEST_REPLY = 64 * 2**20  # bytes
WAITING_REPLIES = 4  # a process that floods its answers has to wait


def read_entry(entry: str | os.PathLike[str] | bytes, limit: int) -> bytes:
    """Read an entry's file, without following a link and without waiting for a device.

    Parameters
    ----------
    entry : path or bytes
    limit : int
        Most bytes that it may have.

    Returns
    -------
    bytes

    Raises
    ------
    EntryError
        If it is missing, a link, no regular file, empty or too large.
    """
    if isinstance(entry, bytes | bytearray | memoryview):
        data, name = bytes(entry), "the entry"
    else:
        path = Path(entry)
        data, name = _read_file(path, limit), path.name
    if not data:
        raise EntryError(f"{name} is empty: write it with entry.export(model, path).")
    if len(data) > limit:
        raise EntryError(f"{name} has more than {limit:,} bytes, which is the most that an entry may have.")
    return data


def _read_file(path: Path, limit: int) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path.is_symlink():
            raise EntryError(f"{path.name} is a link to another file: an entry is one regular file. Copy it.")
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise EntryError(f"{path.name} is missing: write it with entry.export(model, path).") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise EntryError(f"{path.name} cannot be opened: {reason}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EntryError(f"{path.name} is not a regular file: an entry is one ONNX file.")
    with open(descriptor, "rb") as file:
        return file.read(limit + 1)


class GuardedWorker:
    """A process that answers questions about entries, one after the other.

    Use it as a context manager; it is ended on the way out, and as soon as a question takes too long. Where the
    operating system knows no limits for a process (Windows), only the clock is watched.

    Parameters
    ----------
    memory : int
        Bytes of address space.
    processor_seconds : int
        Processor time for all questions together.
    """

    def __init__(self, *, memory: int, processor_seconds: int) -> None:
        self.memory, self.processor_seconds = memory, processor_seconds
        limits = json.dumps({"memory": memory, "processor_seconds": processor_seconds})
        # -I: neither the working directory nor PYTHON* variables choose what is imported. -B: it writes no file.
        command = [sys.executable, "-I", "-B", str(SCRIPT), limits]
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {name: "1" for name in threads} | {n: os.environ[n] for n in ("SYSTEMROOT",) if n in os.environ}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=Path(sys.executable).anchor,
            start_new_session=True,
        )
        self._replies: queue.Queue[bytes] = queue.Queue(WAITING_REPLIES)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> GuardedWorker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked (again)."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._process.stdin.close()
        while self._listener.is_alive():
            with suppress(queue.Empty):
                self._replies.get(timeout=0.01)

    def ask(
        self,
        question: Mapping[str, Any],
        blobs: Sequence[bytes | memoryview],
        *,
        seconds: float,
        started: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Any:
        """Put one question and wait for the answer.

        Parameters
        ----------
        question : mapping
            Plain data; ``question["do"]`` names what to do.
        blobs : sequence of bytes
            The entry and what else is large.
        seconds : float
            Time for the answer.
        started : float, optional
            Value of ``time.monotonic()`` from which the time counts, if not from now.
        progress : callable, optional
            Is called with what is done and the total while a long answer is computed.

        Returns
        -------
        Any
            Plain data.

        Raises
        ------
        EntryError
            If the entry was refused, or the process did not survive it or took too long.
        """
        header = json.dumps({**question, "sizes": [len(blob) for blob in blobs]}).encode() + b"\n"
        threading.Thread(target=self._send, args=(header, *blobs), daemon=True).start()
        deadline = (time.monotonic() if started is None else started) + seconds
        while True:
            reply = self._next_reply(deadline, seconds)
            if "result" in reply:
                return reply["result"]
            if "refused" in reply:
                raise EntryError(str(reply["refused"]))
            if progress is not None:
                progress(reply["done"], reply["total"])

    def _next_reply(self, deadline: float, seconds: float) -> dict[str, Any]:
        left = deadline - time.monotonic()
        try:
            line = self._replies.get(timeout=max(left, 0.0)) if left > 0 else None
        except queue.Empty:
            line = None
        if line is None:
            self.close()
            raise EntryError(
                f"the entry took longer than {seconds:g} seconds and was stopped: a valid one needs much less."
            )
        if not line:
            raise EntryError(self._obituary())
        with suppress(ValueError):
            reply = json.loads(line)
            if isinstance(reply, dict) and ({"result"}, {"refused"}, {"done", "total"}).count(set(reply)):
                return reply
        self.close()
        raise EntryError("the process that reads the entry answered nonsense and was stopped.")

    def _send(self, *parts: bytes | memoryview) -> None:
        with suppress(OSError, ValueError):  # it has ended already, which the reader of its replies notices
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.flush()

    def _listen(self) -> None:
        with self._process.stdout as stream:
            while line := stream.readline(LONGEST_REPLY):
                self._replies.put(line)
        self._replies.put(b"")

    def _obituary(self) -> str:
        """Why the process ended on its own."""
        code = self._process.wait()
        size = f"{self.memory / 2**30:g} GiB of memory"
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"the entry took more than {self.processor_seconds} seconds of processor time and was stopped."
        if code == -getattr(signal, "SIGKILL", 0):
            return f"the process that reads the entry was killed, most likely for want of memory; it may use {size}."
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the process that reads the entry crashed ({how}): the file is damaged, or it needs more than {size}."
