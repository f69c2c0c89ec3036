"""A whole notebook in one real Jupyter kernel in the sandbox, for notebooks that a process of ours cannot run.

Tests run beside the student's code then, as under plain nbgrader: the machine is safe from it, the points are not.
Inside, this module is the program that gives up what it can and then becomes the worker.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.processes import JOB_VARIABLE, kill_job
from autograder.sandbox import namespaces
from autograder.sandbox.bubblewrap import FOLDER, bubblewrap_command
from autograder.sandbox.environment import font_lists, server_environment
from autograder.sandbox.limits import Limits, group, limit_resources
from autograder.sandbox.seccomp import forbid_system_calls

__all__ = ["KernelRun", "reason_for_kernel", "run_in_kernel"]

_GRACE = 30  # seconds after which a worker that should have ended by itself is killed
_WIDGETS = re.compile(r"^\s*(?:import|from)\s+(ipywidgets|ipympl|ipyleaflet|bqplot)\b", re.MULTILINE)


class KernelRun:
    """What a worker left behind.

    Attributes
    ----------
    journal : Path
        Its notes, to be read with `autograder.journal.read_journal`; the folder is removed with this object's end.
    is_late : bool
        Whether it had to be killed.
    exceeded : str or None
        ``memory`` or ``processes`` if it went over that limit.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="factorkit-", ignore_cleanup_errors=True)
        self.root = Path(self._folder.name)
        self.journal = self.root / "journal"
        self.is_late = False
        self.exceeded: str | None = None

    def __enter__(self) -> KernelRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def reason_for_kernel(notebook: NotebookNode) -> str | None:
    """Why a notebook needs a real kernel; None if it does not."""
    kernel = notebook.metadata.get("kernelspec", {})
    language = kernel.get("language") or ("python" if kernel.get("name", "python3").startswith("python") else "another")
    if language.lower() != "python":
        return f"its kernel {kernel.get('name')!r} is not Python's"
    for cell in notebook.cells:
        if cell.cell_type == "code" and (found := _WIDGETS.search(cell.source)):
            return f"it uses {found.group(1)}"
    return None


def run_in_kernel(
    notebook: NotebookNode,
    files: Mapping[str, Path],
    limits: Limits,
    *,
    isolated: bool,
    cache: Path,
    threads: int = 1,
    cancelled: threading.Event | None = None,
) -> KernelRun:
    """Run all cells of a notebook in a kernel.

    Parameters
    ----------
    notebook : NotebookNode
    files : mapping
        What lies in the working folder.
    limits : Limits
    isolated : bool
        Whether to use bubblewrap.
    cache : Path
        The folder of data sets.
    threads : int
        How many threads numerical libraries may use.
    cancelled : threading.Event, optional
        When set, the run ends at once.
    """
    run, job = KernelRun(), uuid.uuid4().hex
    work = run.root / "work"
    for path in (work, run.root / "tmp", run.root / "matplotlib"):
        path.mkdir()
    for path in font_lists():
        shutil.copy(path, run.root / "matplotlib")
    for name, path in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, work / name, follow_symlinks=False)
    (run.root / "notebook.ipynb").write_text(nbformat.writes(notebook, version=4), encoding="utf-8")
    inside = FOLDER if isolated else str(run.root)
    environment = server_environment(cache, f"{inside}/tmp", isolated=False) | {
        "HOME": inside,
        "MPLCONFIGDIR": f"{inside}/matplotlib",
        "OMP_NUM_THREADS": str(threads),
        JOB_VARIABLE: job,
    }
    del environment["OMP_THREAD_LIMIT"]  # nothing is forked here
    command = [sys.executable, "-P", "-m", "autograder.sandbox.kernel", json.dumps([limits.to_dict(), isolated])]
    command += [f"{inside}/notebook.ipynb", f"{inside}/journal", f"{inside}/work"]
    command += ["--cell-timeout", str(limits.cell_seconds), "--notebook-timeout", str(limits.notebook_seconds)]
    if isolated:
        places = {"readable": {cache: str(cache)}, "writable": {run.root: FOLDER}}
        command = [*bubblewrap_command(environment, **places), *command]
    _wait(command, environment, job, run, limits, cancelled)
    return run


def _wait(
    command: list[str],
    environment: dict[str, str],
    job: str,
    run: KernelRun,
    limits: Limits,
    cancelled: threading.Event | None,
) -> None:
    """Run the command until it ends, is late, goes over a limit or is cancelled; leave no process behind."""
    counted = group(limits)
    null = subprocess.DEVNULL
    # it starts when it is counted, and all that it starts is counted then
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; exec "$@" </dev/null', "sh", *command],
        cwd=run.root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=null,
        stderr=null,
        start_new_session=True,
    )
    assert process.stdin is not None
    end = time.monotonic() + limits.notebook_seconds + _GRACE
    try:
        counted.add(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
        while not (cancelled and cancelled.is_set()) and time.monotonic() < end:
            if process.poll() is not None:
                return
            if counted.exceeded() == "processes":
                return
            time.sleep(0.1)
        run.is_late = True
    finally:
        kill_job(process.pid, job)
        process.wait()
        run.exceeded = counted.exceeded()
        counted.close()


def _become_worker() -> None:
    """Inside: lose privileges, take the limits on, run the worker with the other arguments."""
    values, isolated = json.loads(sys.argv.pop(1))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if isolated:
        namespaces.drop_privileges()
        forbid_system_calls()
    limit_resources(Limits(**values))
    sys.argv[0] = "autograder.worker"
    runpy.run_module("autograder.worker", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _become_worker()
