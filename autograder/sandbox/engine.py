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
from autograder.two_process.plan import checked_text

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
        self._families: dict[str, tuple[frozenset[str], frozenset[str]]] = {}  # of both servers, by a notebook's text

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._student.close()
        self._tests.close()

    def warm_up(self, job: Job | None = None) -> None:
        """Start both servers, which takes seconds; done by `run` otherwise.

        Parameters
        ----------
        job : Job, optional
            A notebook to come: each server imports what the instructor's own text of its side's cells names.

        Raises
        ------
        CourseError
            If one does not start.
        """
        text = job.instructors_text() if job is not None else ""
        with self._lock:
            if job is not None and text not in self._families:
                self._families[text] = families_of(text), families_of(checked_text(job.cells))
            wanted = zip((self._student, self._tests), self._families.get(text, (frozenset(),) * 2), strict=True)
            cold = [(server, families) for server, families in wanted if not server.is_warm(families)]
            if cold:
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(lambda pair: pair[0].warm_up(pair[1]), cold))

    def provide_data(self, text: str) -> None:
        """Make the data set that a notebook with this text would make, which each would do again otherwise."""
        if "factorkit" in text:
            with self._lock:
                if not self._has_data:
                    from factorkit.data.patterns import load_patterns

                    load_patterns(progress=True)
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
        self.warm_up(job)
        return run_job(self._student, self._tests, job, limits, files, test_files, cancelled)
