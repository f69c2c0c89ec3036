"""A child of a warm server, from its fork to the function that it runs.

There are three processes. The first enters the namespaces and ends. The second, the first process of the new process
namespace, mounts the folder, reads the job, starts the third and reports how that ended; when it ends, the kernel ends
all processes of the namespace. The third has no privileges left and runs the function, and with it foreign code.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import random
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from autograder.sandbox import namespaces
from autograder.sandbox.bubblewrap import FOLDER
from autograder.sandbox.limits import Limits, limit_resources
from autograder.sandbox.messages import INTERRUPT, KILL, read_exactly, read_job, write_message
from autograder.sandbox.seccomp import forbid_system_calls

__all__ = ["TARGETS", "start"]

TARGETS = {
    "student": ("autograder.sandbox.notebook:run",),
    "tests": ("autograder.two_process.checks:run",),
}
"""The functions that a child of a server may be asked to run, by the server's role."""

_PR_SET_CHILD_SUBREAPER = 36
_ROOM = 1 << 20  # of the private folder, beside the files


def start(channel: socket.socket, control: socket.socket, role: str, isolated: bool) -> int:
    """Fork; the parent gets the id of a process that ends at once."""
    first = os.fork()
    if first:
        channel.close()
        return first
    status = 1
    try:
        control.close()
        os.setsid()
        if isolated:
            namespaces.allow_inspection()  # else its own files in /proc, which it must write to, are not its own
            namespaces.enter_namespaces()
            namespaces.forbid_inspection()
        if os.fork() == 0:
            _supervise(channel, role, isolated)
        status = 0
    except BaseException as error:
        _report(channel, error)
    finally:
        os._exit(status)


def _report(channel: socket.socket, error: BaseException) -> None:
    with contextlib.suppress(OSError):
        write_message(channel, {"failed": f"{type(error).__name__}: {error}"})


def _supervise(channel: socket.socket, role: str, isolated: bool) -> NoReturn:
    """The second process: prepare, start the third, wait for it or for orders, end."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.setsid()
        write_message(channel, {"ready": True, "pid": os.getpid()})
        job, descriptors = read_job(channel)
        if job.target not in TARGETS[role]:
            raise ValueError(f"{job.target!r} is none of this server's functions: {', '.join(TARGETS[role])}")
        if isolated:
            size = (job.limits.file_mb << 20) + sum(size for _, size in job.files) + _ROOM
            namespaces.mount_own(Path(FOLDER), size, {"tmp": "/tmp", "shm": "/dev/shm"})
            root = Path(FOLDER)
        else:
            root = Path(job.folder)
            (root / "tmp").mkdir()
        work = root / "work"
        work.mkdir()
        for name, size in job.files:
            _store(channel, work, name, size)
        if isolated:
            namespaces.drop_privileges()
        else:
            _adopt_orphans()
        write_message(channel, {"started": True})
        third = os.fork()
        if third == 0:
            _run(channel, root, job, descriptors, isolated)
        for descriptor in descriptors:
            os.close(descriptor)
        _watch(channel, third)
        if not isolated:  # orphans are this process's until the grader has found them
            while channel.recv(1):
                pass
    except BaseException as error:
        _report(channel, error)
    finally:
        os._exit(0)


def _store(channel: socket.socket, folder: Path, name: str, size: int) -> None:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"the file name {name!r} leads out of the folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while size:
            part = read_exactly(channel, min(size, 1 << 20))
            file.write(part)
            size -= len(part)


def _watch(channel: socket.socket, third: int) -> None:
    """Pass orders on until the third process has ended, then say how; collect orphans meanwhile."""
    wake, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
    poll = select.poll()
    for descriptor in (channel.fileno(), wake):
        poll.register(descriptor, select.POLLIN)
    while True:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.wait3(os.WNOHANG))[0]:
                if ended[0] == third:
                    code, usage = os.waitstatus_to_exitcode(ended[1]), ended[2]
                    return write_message(channel, {"ended": code, "cpu": round(usage.ru_utime + usage.ru_stime, 3)})
        readable = [descriptor for descriptor, _ in poll.poll(1000)]
        if wake in readable:
            os.read(wake, 4096)
        if channel.fileno() in readable:
            order = channel.recv(1)
            if not order:
                return None
            with contextlib.suppress(ProcessLookupError):
                os.kill(third, {INTERRUPT: signal.SIGINT, KILL: signal.SIGKILL}[order])


def _run(channel: socket.socket, root: Path, job: Any, descriptors: Sequence[int], isolated: bool) -> NoReturn:
    """The third process: give up what is left, then run the function."""
    status = 1
    try:
        channel.close()
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _standard_streams(root)
        os.chdir(root / "work")
        _set_environment(root, job.limits, job.threads)
        if isolated:
            namespaces.allow_inspection()
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")  # it, not its supervisor
        limit_resources(job.limits)
        if isolated:
            forbid_system_calls()
        _reseed()
        if any(name.endswith(".py") for name, _ in job.files) and "" not in sys.path:
            sys.path.append(str(root / "work"))  # last: a module in it hides no other
        module, _, name = job.target.partition(":")
        _with_room_for_frames(getattr(importlib.import_module(module), name), job.payload, descriptors)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _with_room_for_frames(function: Callable[..., Any], *args: Any) -> None:
    function(*args)


# Python takes memory for the frames of its functions in pieces of 16 KB from the kernel, and gives a piece back as soon
# as it is empty: a loop whose calls cross the end of a piece asks the kernel twice in each turn. The frame of this
# function claims a million bytes, which it never touches, so it gets a piece of two, and all calls below fit into it.
_with_room_for_frames.__code__ = _with_room_for_frames.__code__.replace(co_stacksize=140_000)


def _standard_streams(root: Path) -> None:
    """No input; what is printed past Python goes into files without names, from which the notebook's process reads."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    for number in (1, 2):
        path = root / f"printed{number}"
        printed = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        path.unlink()
        os.dup2(printed, number)
        os.close(printed)


def _set_environment(root: Path, limits: Limits, threads: int) -> None:
    os.environ.update(HOME=str(root), TMPDIR=str(root / "tmp"), OMP_NUM_THREADS=str(threads))
    os.environ.update(NBGRADER_EXECUTION="autograde", MPLCONFIGDIR=str(root / "matplotlib"))


def _reseed() -> None:
    """Random numbers as in a process of its own; those of the server would be the same for all."""
    random.seed()
    seed = int.from_bytes(os.urandom(4), sys.byteorder)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _adopt_orphans() -> None:
    """Without namespaces: become the parent of every descendant whose own parent ends, to find it again (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
