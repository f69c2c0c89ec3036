"""What one notebook may use, and which mechanism of this machine holds it to that."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from autograder.sandbox import cgroups
from autograder.sandbox.watchdog import Watched

__all__ = ["Group", "Limits", "group", "limit_resources", "mechanism"]

_UNITS = {"seconds": "second", "mb": "megabyte", "processes": "process"}
_OPEN_FILES = 1024
_MAPPED_MB = 4096  # libraries map much that they never touch
_OTHER_PROCESSES = 4096  # older kernels count all of the user's together


@dataclass(frozen=True)
class Limits:
    """What one notebook may use.

    Attributes
    ----------
    cell_seconds, notebook_seconds : int
        The time for each cell, for each test, and for all together.
    memory_mb : int
        Memory beyond what the warm server shares with it, files in its folder included.
    processes : int
        Processes and threads at one time.
    file_mb : int
        The largest file, and all files together.
    output_mb : int
        What all cells together may show.

    Examples
    --------
    >>> Limits(cell_seconds=0)
    Traceback (most recent call last):
        ...
    ValueError: cell_seconds must be at least 1 second, got 0
    """

    cell_seconds: int = 60
    notebook_seconds: int = 600
    memory_mb: int = 4096
    processes: int = 256
    file_mb: int = 512
    output_mb: int = 16

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1 {_UNITS[name.rpartition('_')[2]]}, got {value}")

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


class Group(Protocol):
    """The processes of one child, counted together."""

    def add(self, pid: int) -> None:
        """Count a process and all that will descend from it."""

    def exceeded(self) -> str | None:
        """``memory`` or ``processes`` once the child went over that limit."""

    def peak_mb(self) -> float:
        """The most memory that the child has used so far."""

    def close(self) -> None:
        """Forget the processes; they have ended."""


def mechanism() -> str:
    """What limits memory and processes here: ``cgroup v2``, ``cgroup v1`` or ``watchdog``."""
    found = cgroups.find()
    return found.name if found else "watchdog"


def group(limits: Limits) -> Group:
    """A new group for one child, of the best kind that this machine has."""
    found = cgroups.find()
    if found is not None:
        return found.new_group(limits.memory_mb, limits.processes)
    return Watched(limits.memory_mb, limits.processes)


def limit_resources(limits: Limits) -> None:
    """Set this process's own limits, which all that it starts inherits.

    The one on address space is a second line behind the group's: torch alone maps gigabytes that it never touches.
    """
    seconds = limits.notebook_seconds + limits.cell_seconds
    megabyte = 1 << 20
    wanted = {
        resource.RLIMIT_AS: _address_space() + (2 * limits.memory_mb + _MAPPED_MB) * megabyte,
        resource.RLIMIT_FSIZE: limits.file_mb * megabyte,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_NPROC: limits.processes + _OTHER_PROCESSES,
        resource.RLIMIT_CPU: seconds,
    }
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _address_space() -> int:
    """What this process maps now, in bytes; nothing where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 8 << 30
