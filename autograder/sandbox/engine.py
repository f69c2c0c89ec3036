"""The two warm servers of a grader, for as many notebooks at a time as it likes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autograder.jobs import Job, JobResult
from autograder.sandbox.bubblewrap import require_bubblewrap
from autograder.sandbox.client import Sandbox, WarmServer
from autograder.sandbox.environment import data_cache
from autograder.sandbox.families import families_of
from autograder.sandbox.jobs import run_job
from autograder.sandbox.limits import Limits

__all__ = ["Engine"]


class Engine:
    """Runs notebooks; a context manager. Any number of threads may use it at a time.

    Parameters
    ----------
    sandbox : str
        ``bubblewrap``, or ``none`` for submissions that one would run on one's own account.
    same_process : bool
        Run every notebook in one real kernel, tests included, as plain nbgrader does. Then no test can be trusted more
        than the code that it tests.
    forks : int
        After how many notebooks a server is replaced by a new one.

    Raises
    ------
    CourseError
        If bubblewrap is wanted and cannot be had.

    Attributes
    ----------
    cache : Path
        The folder of data sets, which notebooks may read.
    """

    def __init__(self, sandbox: Sandbox = "bubblewrap", *, same_process: bool = False, forks: int = 500) -> None:
        if sandbox == "bubblewrap":
            require_bubblewrap()
        self.sandbox: Sandbox = sandbox
        self.same_process = same_process
        self.cache: Path = data_cache()
        self._student = WarmServer("student", sandbox=sandbox, cache=self.cache, forks=forks)
        self._tests = WarmServer("tests", sandbox=sandbox, cache=self.cache, forks=forks)
        self._lock = threading.Lock()
        self._has_data = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._student.close()
        self._tests.close()

    def warm_up(self, text: str = "") -> None:
        """Start both servers, which takes seconds; done by the first job otherwise.

        Parameters
        ----------
        text : str, optional
            The instructor's own of a notebook to come: the servers import what it names.

        Raises
        ------
        CourseError
            If one does not start.
        """
        families = families_of(text)
        with self._lock:
            cold = [server for server in (self._student, self._tests) if not server.is_warm(families)]
            if cold:
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(lambda server: server.warm_up(families), cold))

    def provide_data(self, text: str) -> None:
        """Make the data set that a notebook with this text would make, which each would do again otherwise."""
        if "factorkit" in text:
            with self._lock:
                if not self._has_data:
                    from factorkit.data import load

                    load("patterns")
                    self._has_data = True

    def run(
        self,
        job: Job,
        limits: Limits,
        files: Mapping[str, bytes | Path],
        test_files: Mapping[str, bytes | Path],
        cancelled: threading.Event | None = None,
    ) -> JobResult:
        """Run a notebook and its tests; see `autograder.sandbox.jobs.run_job`."""
        self.warm_up(job.instructors_text())
        return run_job(self._student, self._tests, job, limits, files, test_files, cancelled)
