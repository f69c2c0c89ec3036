"""The third stage of grading: run a notebook in a process of its own, and always come back with a status.

The student's code gets a private folder with the files that were handed in, a reduced environment and two time limits.
What comes back is taken only as outputs for the cells that this process already holds. A cell that was not run gets an
error as its output: nbgrader gives full points to a test cell without one.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.errors import CourseError
from autograder.intake import Finding, Status, Submission
from autograder.journal import merged, read_journal
from autograder.normalise import Normalised
from autograder.processes import JOB_VARIABLE, kill_job

__all__ = ["Executed", "Limits", "execute"]

_GRACE = 30  # seconds after which a worker that should have ended by itself is killed
_PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "FACTORKIT_CACHE")


@dataclass(frozen=True)
class Limits:
    """How long the cells of a submission may take, in seconds.

    Examples
    --------
    >>> Limits(cell_timeout=0)
    Traceback (most recent call last):
        ...
    ValueError: cell_timeout must be at least 1 second, got 0
    """

    cell_timeout: int = 60
    notebook_timeout: int = 600

    def __post_init__(self) -> None:
        for name in ("cell_timeout", "notebook_timeout"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 second, got {getattr(self, name)}")


@dataclass(frozen=True)
class Executed:
    """A notebook with the outputs of its run, complete or not.

    Attributes
    ----------
    submission : Submission
    status : Status
    message : str
        What ended the run early and where; empty if all went well.
    notebook : NotebookNode or None
        None if there was nothing to run.
    findings : tuple of Finding
    seconds : float
        Wall time of the run.
    """

    submission: Submission
    status: Status
    message: str = ""
    notebook: NotebookNode | None = None
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


def execute(
    normalised: Normalised,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    lab_files: Path | None = None,
    threads: int = 1,
    cancelled: threading.Event | None = None,
) -> Executed:
    """Run a notebook in a worker process.

    Parameters
    ----------
    normalised : Normalised
        If it carries a problem, nothing is run and the problem's status returned.
    limits : Limits
    lab_files : Path, optional
        A folder of files that come with the lab; they replace those of the same name that were handed in.
    threads : int
        How many threads numerical libraries may use.
    cancelled : threading.Event, optional
        When set, the run ends at once.

    Raises
    ------
    CourseError
        If the kernel could not be started: that is no fault of the student's.
    """
    submission, problem = normalised.submission, normalised.problem
    if problem is not None:
        return Executed(submission, problem.status, problem.message, None, normalised.findings)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="factorkit-"))
    try:
        late = _run_worker(normalised, folder, limits, lab_files, threads, cancelled)
        journal = read_journal(folder / "journal")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not any(record["event"] == "kernel" for record in journal) and not late:
        failure = next((record["message"] for record in journal if record["event"] == "failed"), "no reason is known")
        raise CourseError(f"the kernel for {submission.student}'s {submission.lab} did not start: {failure}")
    notebook, status, message = merged(normalised.notebook, journal, limits.notebook_timeout if late else None)
    seconds = round(time.monotonic() - began, 1)
    return Executed(submission, status, message, notebook, normalised.findings, seconds)


def _run_worker(
    normalised: Normalised,
    folder: Path,
    limits: Limits,
    lab_files: Path | None,
    threads: int,
    cancelled: threading.Event | None,
) -> bool:
    """Run the worker until it ends, is late (then the answer is True) or is cancelled; leave no process behind."""
    submission, job = normalised.submission, uuid.uuid4().hex
    work, home = folder / "work", folder / "home"
    for path in (work, folder / "tmp", home / "matplotlib"):
        path.mkdir(parents=True)
    for path in _font_lists():
        shutil.copy(path, home / "matplotlib")
    for name in submission.files:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(submission.folder) / name, work / name, follow_symlinks=False)
    if lab_files is not None and lab_files.is_dir():  # last: these are not the student's to change
        shutil.copytree(lab_files, work, dirs_exist_ok=True)
    (folder / "notebook.ipynb").write_text(nbformat.writes(normalised.notebook, version=4), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "autograder.worker", "notebook.ipynb", str(folder / "journal"), str(work)]
    command += ["--cell-timeout", str(limits.cell_timeout), "--notebook-timeout", str(limits.notebook_timeout)]
    end = time.monotonic() + limits.notebook_timeout + _GRACE
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(home, folder / "tmp", job, threads),
        stdin=null,
        stdout=null,
        stderr=null,
        start_new_session=True,
    )
    try:
        while time.monotonic() < end and not (cancelled and cancelled.is_set()):
            try:
                process.wait(timeout=0.5)
                return False
            except subprocess.TimeoutExpired:
                pass
        return True
    finally:
        kill_job(process.pid, job)
        process.wait()


def _environment(home: Path, temporary: Path, job: str, threads: int) -> dict[str, str]:
    """All that a kernel gets to see of this process's environment, and what tells it that it is being graded."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if "FACTORKIT_CACHE" not in passed:  # otherwise each submission would make its data set anew
        passed["FACTORKIT_CACHE"] = str(_data_cache())
    return {
        **passed,
        JOB_VARIABLE: job,
        "HOME": str(home),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "TMPDIR": str(temporary),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures stay in the notebook, for the feedback
        "NBGRADER_EXECUTION": "autograde",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUTF8": "1",
    }


def _data_cache() -> Path:
    from factorkit.data.cache import cache_folder  # loads torch

    return cache_folder()


@functools.cache
def _font_lists() -> tuple[Path, ...]:
    """matplotlib's lists of fonts, which each new home folder would have to wait for."""
    import matplotlib.font_manager  # makes the list if there is none

    return tuple(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))
