"""What this machine can do for grading, and what to do about what it cannot."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autograder.errors import CourseError
from autograder.pipeline import cores
from autograder.sandbox.bubblewrap import require_bubblewrap
from autograder.sandbox.limits import mechanism

__all__ = ["Check", "examine"]

_MEMORY_GB = 2.0  # for the two servers, and a notebook in each


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    level : str
        ``good``; ``missing``: something that is only sometimes needed; ``bad``: grading needs it.
    found : str
    remedy : str
        What to do; empty if all is well.
    """

    name: str
    level: Literal["good", "missing", "bad"]
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """Look at everything."""
    looks: tuple[Callable[[], Check], ...] = (_python, _sandbox, _limits, _processors, _memory)
    return [look() for look in looks] + [_package(*each) for each in _PACKAGES] + [_slurm()]


_PACKAGES = (
    ("PostgreSQL", "psycopg", "a gradebook in PostgreSQL", "pip install 'factorkit[postgres]'"),
    ("dask", "distributed", "grading on a cluster: --scheduler ADDRESS", "pip install 'factorkit[grade]'"),
    ("dask-jobqueue", "dask_jobqueue", "grading in Slurm jobs: --slurm", "pip install 'factorkit[slurm]'"),
)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "good", version)
    return Check("Python", "bad", version, "use Python 3.11, 3.12 or 3.13")


def _sandbox() -> Check:
    try:
        program = require_bubblewrap()
    except CourseError as error:
        reason, _, remedy = str(error).partition("; ")
        return Check("sandbox", "bad", reason, remedy)
    return Check("sandbox", "good", f"{program} makes user, process, network and mount namespaces")


def _limits() -> Check:
    name = mechanism()
    if name != "watchdog":
        return Check("limits", "good", f"memory and processes are limited by {name}")
    return Check(
        "limits",
        "missing",
        "memory and processes are watched from outside, and limited for each process by itself",
        "for a limit that holds at every moment, run as a user who may make control groups (systemd: Delegate=yes)",
    )


def _processors() -> Check:
    return Check("processors", "good", f"{cores()}: as many notebooks run at a time, unless --jobs says otherwise")


def _memory() -> Check:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    except (OSError, StopIteration):
        return Check("memory", "missing", "this system does not say how much is free", "have 2 GB free, and more")
    if free >= _MEMORY_GB:
        return Check("memory", "good", f"{free:.1f} GB free")
    remedy = f"have {_MEMORY_GB:g} GB free: end other programs, or use --jobs 1 --memory 1024"
    return Check("memory", "bad", f"{free:.1f} GB free", remedy)


def _package(name: str, module: str, purpose: str, remedy: str) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(name, "missing", f"not installed; needed for {purpose}", remedy)
    return Check(name, "good", purpose)


def _slurm() -> Check:
    program = shutil.which("sbatch")
    if program is None:
        return Check("Slurm", "missing", "no sbatch here; needed for --slurm", "grade on a login node of the cluster")
    return Check("Slurm", "good", program)
