"""Limits on memory and processes by control groups, of either version."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Hierarchy", "find", "find_v1", "find_v2"]

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_PREFIX = "factorkit-"
_SECONDS_TO_REMOVE = 5.0
_numbers = itertools.count()
_lock = threading.Lock()


@dataclass(frozen=True)
class Hierarchy:
    """Folders below which groups can be made: one (version 2), or one for each resource (version 1)."""

    name: str
    memory: Path
    pids: Path

    def new_group(self, memory_mb: int, processes: int) -> _Group:
        """Make a group with these limits."""
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        return _Group(self.name == "cgroup v2", self.memory / name, self.pids / name, memory_mb, processes)


class _Group:
    """One control group; see `autograder.sandbox.limits.Group`."""

    def __init__(self, second: bool, memory: Path, pids: Path, memory_mb: int, processes: int) -> None:
        self._second, self._memory, self._pids = second, memory, pids
        for folder in {memory, pids}:
            folder.mkdir()
        limit = str(memory_mb << 20)
        if second:
            _write(memory / "memory.max", limit)
            _write(memory / "memory.swap.max", "0", optional=True)
        else:
            _write(memory / "memory.limit_in_bytes", limit)
            _write(memory / "memory.memsw.limit_in_bytes", limit, optional=True)
        _write(pids / "pids.max", str(processes))

    def add(self, pid: int) -> None:
        for folder in {self._memory, self._pids}:
            _write(folder / "cgroup.procs", str(pid))

    def exceeded(self) -> str | None:
        events = self._memory / ("memory.events" if self._second else "memory.oom_control")
        if _counter(events, "oom_kill"):
            return "memory"
        return "processes" if _counter(self._pids / "pids.events", "max") else None

    def peak_mb(self) -> float:
        name = "memory.peak" if self._second else "memory.max_usage_in_bytes"
        with contextlib.suppress(OSError, ValueError):
            return int((self._memory / name).read_text()) / (1 << 20)
        return 0.0

    def close(self) -> None:
        end = time.monotonic() + _SECONDS_TO_REMOVE
        for folder in {self._memory, self._pids}:
            while not _removed(folder) and time.monotonic() < end:
                time.sleep(0.02)  # its last processes are still ending


@cache
def find() -> Hierarchy | None:
    """The control groups of this machine in which this process may make others; None if there are none."""
    with _lock:
        found = find_v2(_ROOT, _OWN) or find_v2(_ROOT / "unified", _OWN) or find_v1(_ROOT, _OWN)
        if found is not None:
            _sweep({found.memory, found.pids})
        return found


def find_v2(root: Path, own: Path) -> Hierarchy | None:
    """Our own group of version 2, if it was delegated to us with its memory and pids controllers.

    Parameters
    ----------
    root : Path
        Where the hierarchy is mounted.
    own : Path
        The file that tells which group this process is in.
    """
    path = next((line[3:] for line in _lines(own) if line.startswith("0::")), None)
    if path is None:
        return None
    folder = root / path.lstrip("/")
    if not {"memory", "pids"} <= set(_words(folder / "cgroup.controllers")):
        return None
    if not {"memory", "pids"} <= set(_words(folder / "cgroup.subtree_control")) and not _delegate(folder):
        return None
    return _usable(Hierarchy("cgroup v2", folder, folder))


def _delegate(folder: Path) -> bool:
    """Hand the controllers down; a group that does so may hold no process itself, so ours move into one below."""
    try:
        inside = [int(pid) for pid in _words(folder / "cgroup.procs")]
        if inside and inside != [os.getpid()]:
            return False  # others than us: not ours to move
        if inside:
            (folder / f"{_PREFIX}main").mkdir(exist_ok=True)
            _write(folder / f"{_PREFIX}main" / "cgroup.procs", str(os.getpid()))
        _write(folder / "cgroup.subtree_control", "+memory +pids")
    except OSError:
        return False
    return True


def find_v1(root: Path, own: Path) -> Hierarchy | None:
    """Our own groups of version 1, if we may write to both; arguments as for `find_v2`."""
    paths: dict[str, str] = {}
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    if not {"memory", "pids"} <= set(paths):
        return None
    folders = []
    for controller in ("memory", "pids"):
        folder = root / controller / paths[controller].lstrip("/")
        # in a container the path may be that of the host, and its own group is then mounted at the root
        folders.append(folder if folder.is_dir() else root / controller)
    return _usable(Hierarchy("cgroup v1", *folders))


def _usable(found: Hierarchy) -> Hierarchy | None:
    """Whether a group can really be made there."""
    try:
        found.new_group(64, 8).close()
    except OSError:
        return None
    return found


def _sweep(folders: set[Path]) -> None:
    """Remove groups that a grader left behind which was killed."""
    for folder in folders:
        for left in folder.glob(f"{_PREFIX}*-*"):
            pid = left.name[len(_PREFIX) :].partition("-")[0]
            if pid.isdigit() and not Path("/proc", pid).exists():
                _removed(left)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _counter(file: Path, name: str) -> int:
    return next((int(words[1]) for words in map(str.split, _lines(file)) if words[:1] == [name]), 0)


def _lines(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return file.read_text().splitlines()
    return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _write(file: Path, text: str, *, optional: bool = False) -> None:
    with contextlib.suppress(FileNotFoundError if optional else ()):
        descriptor = os.open(file, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
