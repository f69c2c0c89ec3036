"""Run a whole notebook in two ordinary child processes, without a sandbox: for labs of one's own and for tests."""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import linecache
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from autograder.jobs import CellOutputs, Job, JobResult, TestResult
from autograder.two_process import checks
from autograder.two_process.environment import plain_shell
from autograder.two_process.plan import written_steps
from autograder.two_process.source import plain_source
from autograder.two_process.student import serve
from autograder.two_process.wire import Fault, receive, send

__all__ = ["run_job"]

_GRACE = 10.0


def run_job(job: Job, folder: str | Path | None = None, files: Mapping[str, Path] | None = None) -> JobResult:
    """Run the cells and tests of a notebook, each side in a child process with a folder of its own.

    The student's side executes the cells as plain Python, magics left out.

    Parameters
    ----------
    job : Job
    folder : str or Path, optional
        Where the working folders are made; a temporary one by default.
    files : dict, optional
        What lies beside the notebook: a relative name, and the file to copy, for both sides.

    Returns
    -------
    JobResult
        With one result for each test, whatever happened.

    Examples
    --------
    >>> from autograder.jobs import JobCell
    >>> answer = JobCell(0, "answer", "solution", "def area(r): return 3 * r", reference="def area(r): return 3 * r")
    >>> test = JobCell(1, "test", "test", "assert area(2) == 6", points=1)
    >>> [result.score for result in run_job(Job("student", "lab", "lab", (answer, test))).tests]
    [1]
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        folders = [Path(place) / side for side in ("student", "checks")]
        for path in folders:
            path.mkdir()
            for name, file in (files or {}).items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, path / name)
        cells, results = _run(job, *folders)
    tests = tuple(
        results.get(cell.index)
        or TestResult(cell.index, cell.name, 0.0, cell.points, "not run", "the checking process ended before")
        for cell in job.tests
    )
    return JobResult("ok", "", cells, tests, round(time.monotonic() - started, 3))


def _run(job: Job, student_folder: Path, checks_folder: Path) -> tuple[tuple[CellOutputs, ...], dict[int, TestResult]]:
    context = multiprocessing.get_context("forkserver")  # this process may have threads, which no fork survives
    context.set_forkserver_preload(["autograder.authoring._proof_preload"])
    pairs = [socket.socketpair() for _ in job.tests]
    news, tells = socket.socketpair()
    shown, shows = socket.socketpair()
    sides: list[BaseProcess] = [
        context.Process(target=_student, args=(job.without_tests(), student_folder, [a for a, _ in pairs], shows)),
        context.Process(target=_checks, args=(job, checks_folder, [b for _, b in pairs], tells)),
    ]
    results: dict[int, TestResult] = {}
    cells: list[CellOutputs] = []
    try:
        for side in sides:
            side.start()
        for end in (*itertools.chain(*pairs), tells, shows):
            end.close()
        deadline = time.monotonic() + job.notebook_seconds + _GRACE
        with contextlib.suppress(Fault):
            while len(results) < len(job.tests):
                values, _ = receive(news, deadline)
                results[values["index"]] = TestResult(**{**values, "outputs": tuple(values["outputs"])})
        with contextlib.suppress(Fault):
            while True:
                values, _ = receive(shown, deadline)
                with contextlib.suppress(KeyError, TypeError):  # the student's code may write there too
                    cells.append(CellOutputs(**{**values, "outputs": tuple(values["outputs"])}))
    finally:
        for side in sides:
            if side.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(side.pid, signal.SIGKILL)
                side.kill()
                side.join()
        news.close()
        shown.close()
    return tuple(cells), results


def _checks(job: Job, folder: Path, tests: list[socket.socket], results: socket.socket) -> None:
    os.setpgid(0, 0)
    os.chdir(folder)
    checks.run(written_steps(job), [results.detach(), *(end.detach() for end in tests)])


def _student(job: Job, folder: Path, tests: list[socket.socket], shows: socket.socket) -> None:
    """Run the student's cells; at each test's place leave a snapshot behind."""
    os.setpgid(0, 0)
    os.chdir(folder)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace = vars(main)
    namespace.update(plain_shell())
    waiting = list(tests)
    children = []
    for count, cell in enumerate(job.cells, start=1):
        if cell.kind == "test":
            sock = waiting.pop(0)
            child = os.fork()
            if child == 0:
                for other in (*waiting, shows):
                    other.close()
                try:
                    serve(namespace, sock)
                finally:
                    os._exit(0)
            sock.close()
            children.append(child)
            continue
        printed, began, shown = io.StringIO(), time.monotonic(), []
        filename = f"<student {count}>"
        linecache.cache[filename] = (len(cell.source), None, cell.source.splitlines(True), filename)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                tree = ast.parse(plain_source(cell.source))
                exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
        except Exception as error:
            lines = traceback.format_exception(error)
            shown = [{"output_type": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": lines}]
        if printed.getvalue():
            shown.insert(0, {"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
        seconds = round(time.monotonic() - began, 3)
        send(shows, {"index": cell.index, "count": count, "outputs": shown, "seconds": seconds})
    shows.close()
    for child in children:
        os.waitpid(child, 0)
