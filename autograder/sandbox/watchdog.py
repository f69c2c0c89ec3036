"""Limits on memory and processes by looking again and again, where there are no control groups to set them."""

from __future__ import annotations

import contextlib
import threading
import time

import psutil

__all__ = ["Watched"]

_SECONDS = 0.1


class Watched:
    """A process and all below it, looked at ten times a second; see `autograder.sandbox.limits.Group`.

    Memory is what the processes do not share with others plus their part of what they share (PSS), above what the first
    process had when it was added. When there is too much, the largest process is killed, as the kernel would do.
    """

    def __init__(self, memory_mb: int, processes: int) -> None:
        self._limit, self._processes = memory_mb, processes
        self._pid: int | None = None
        self._shared = self._peak = 0.0
        self._exceeded: str | None = None
        self._ended = threading.Event()

    def add(self, pid: int) -> None:
        """Look after a process and its descendants; it must be the one that adopts them."""
        self._pid = pid
        with contextlib.suppress(psutil.Error):
            self._shared = _memory_mb(psutil.Process(pid))
        threading.Thread(target=self._watch, daemon=True).start()

    def exceeded(self) -> str | None:
        return self._exceeded

    def peak_mb(self) -> float:
        return self._peak

    def close(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_SECONDS):
            try:
                below = psutil.Process(self._pid).children(recursive=True)
            except psutil.NoSuchProcess:
                return
            sizes: dict[psutil.Process, float] = {}
            threads = 1
            for process in below:
                with contextlib.suppress(psutil.Error):
                    threads += process.num_threads()
                    sizes[process] = _memory_mb(process)
            # what was shared with the server before the first fork is in the sum only in part: never count it twice
            used = max(0.0, sum(sizes.values()) - self._shared)
            self._peak = max(self._peak, used)
            if threads > self._processes:
                self._exceeded = self._exceeded or "processes"
            elif used > self._limit:
                self._exceeded = self._exceeded or "memory"
                with contextlib.suppress(psutil.Error):
                    max(sizes, key=lambda process: sizes[process]).kill()
                time.sleep(_SECONDS)


def _memory_mb(process: psutil.Process) -> float:
    """The process's proportional share of memory, or what it does not share where the kernel tells no more."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    info = process.memory_info()
    return (info.rss - getattr(info, "shared", 0)) / (1 << 20)
