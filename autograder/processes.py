"""Ending everything that one submission has started.

A kernel runs in a session of its own, and what a student's code starts can leave that too. Two marks find it again:
the worker adopts orphans (Linux), and every process inherits an environment variable that names the job.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time

import psutil

__all__ = ["JOB_VARIABLE", "adopt_orphans", "kill_descendants", "kill_job"]

JOB_VARIABLE = "FACTORKIT_GRADING_JOB"
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends. Without effect except on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(pid: int) -> int:
    """Kill all processes below a process, again and again while new ones appear; return how many there were."""
    killed: set[int] = set()
    for _ in range(50):
        try:
            children = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            break
        alive = [child for child in children if _is_running(child)]
        if not alive:
            break
        for child in alive:
            killed.add(child.pid)
            _kill(child)
        time.sleep(0.02)
    return len(killed)


def kill_job(pid: int, job: str) -> int:
    """Kill a worker, all that descends from it, and all that carries its job's name; return how many there were."""
    killed = 0
    for process in _named(job):
        if process.pid == pid:
            with contextlib.suppress(psutil.Error):
                process.suspend()  # it must not start a kernel while its children are being killed
    killed += kill_descendants(pid)
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).kill()
    for _ in range(50):
        rest = [process for process in _named(job) if process.pid != pid and _is_running(process)]
        if not rest:
            break
        for process in rest:
            _kill(process)
        killed += len(rest)
        time.sleep(0.02)
    return killed


def _named(job: str) -> list[psutil.Process]:
    """Processes that inherited the job's variable; those of other users cannot be read and are left out."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(JOB_VARIABLE) == job:
                found.append(process)
    return found


def _is_running(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
