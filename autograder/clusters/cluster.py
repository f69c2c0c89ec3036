"""Grading on a cluster: notebooks go to the workers of a dask scheduler, and only this process writes grades.

Each notebook is sent to one worker process by name and to no other. So when that process ends it is known which
notebooks it was running: each is run once more, alone in its process, and one that ends two processes is set aside.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError
from pathlib import Path

import dask
from distributed import Client, Future, KilledWorker
from distributed.comm import CommClosedError

from autograder.clusters.places import Place, Places
from autograder.clusters.workers import GradingPlugin, run_notebook
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.jobs import Job, JobResult, TestResult
from autograder.plain import from_plain, to_plain
from autograder.sandbox.client import Sandbox
from autograder.sandbox.environment import data_cache
from autograder.sandbox.results import error_output

__all__ = ["ClusterEngine", "connect"]

_SECONDS_TO_CONNECT = 30
_PATIENCE = 300.0
_TRIES = 2
_GRACE = 120.0  # seconds after a notebook's limit until a worker counts as lost although it is there


def connect(address: str) -> Client:
    """A client of the scheduler at an address such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    CourseError
        If nothing answers there.
    """
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})  # files travel with their task
    try:
        return Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CourseError(
            f"no scheduler answers at {address} ({error}); start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, then give that address"
        ) from None


class ClusterEngine:
    """Runs notebooks as `autograder.execute.Engine` does, on a cluster's workers; a context manager.

    Parameters
    ----------
    client : Client
        Stays open at the end.
    course : str
        What names the grader among others on the cluster: two rounds of one name are never graded at a time.
    sandbox : str
        ``bubblewrap`` or ``none``, on the workers.
    patience : float
        After how many seconds without a worker the round is ended.

    Raises
    ------
    CourseError
        If a worker has other packages than this machine, or cannot start its servers.

    Attributes
    ----------
    same_process : bool
        Always false: on a cluster tests run in a process of their own.
    cache : Path
        Of data sets on this machine, on which the few notebooks run that need a real kernel.
    """

    same_process = False

    def __init__(
        self, client: Client, course: str, *, sandbox: Sandbox = "bubblewrap", patience: float = _PATIENCE
    ) -> None:
        self.sandbox: Sandbox = sandbox
        self.cache: Path = data_cache()
        self._client = client
        name = hashlib.sha256(f"{socket.gethostname()}\0{course}".encode()).hexdigest()[:12]
        self._plugin = f"factorkit-{name}"
        self._places = Places(client, patience)
        try:
            self._require_same_packages()
            client.register_plugin(GradingPlugin(self._plugin, sandbox))
        except BaseException:
            self._places.close()
            raise

    def __enter__(self) -> ClusterEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._places.close()
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # the scheduler may have ended, and its workers
            self._client.unregister_worker_plugin(self._plugin)

    def count(self) -> int:
        """How many notebooks can run at a time now."""
        return self._places.count()

    def warm_up(self, job: Job | None = None) -> None:
        """Nothing here: workers have begun to start their servers."""

    def provide_data(self, text: str) -> None:
        """Nothing here: workers make their own data sets."""

    def run(
        self,
        job: Job,
        limits: Limits,
        files: Mapping[str, bytes | Path],
        test_files: Mapping[str, bytes | Path],
        cancelled: threading.Event | None = None,
    ) -> JobResult:
        """Run a notebook and its tests on a worker.

        Raises
        ------
        ClusterLost
            If there are no workers any more.
        CourseError
            If the worker's servers do not start.
        """
        cancelled = cancelled or threading.Event()
        contents: dict[str, bytes] = {}
        values = {"job": to_plain(job), "limits": to_plain(limits)}
        for kind, mapping in (("files", files), ("test_files", test_files)):
            values[kind] = {name: _take_in(content, contents) for name, content in mapping.items()}
        task = json.dumps(values).encode()
        digest = hashlib.sha256(task).hexdigest()
        for number in range(_TRIES):
            alone = number > 0
            place = self._places.take(alone=alone, cancelled=cancelled)
            if place is None:
                return _not_run(job, "timeout", "cancelled")
            try:
                key = f"{self._plugin}-{digest}-{place.id}"
                result = self._run_there(place, key, task, contents, limits, cancelled)
            finally:
                self._places.give_back(place, alone=alone)
            if result is not None:
                return from_plain(JobResult, json.loads(result))
            if cancelled.is_set():
                return _not_run(job, "timeout", "cancelled")
        message = f"{_TRIES} worker processes ended while they ran this notebook: it is set aside"
        return _not_run(job, "crashed", message)

    def _run_there(
        self,
        place: Place,
        key: str,
        task: bytes,
        contents: dict[str, bytes],
        limits: Limits,
        cancelled: threading.Event,
    ) -> bytes | None:
        """Run a task in one worker process; None if that process has ended, or it is cancelled."""
        future: Future = self._client.submit(
            run_notebook,
            *(task, contents, place.id, self._plugin),
            key=key,
            workers=[place.address],
            retries=0,
            pure=False,
        )
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        waited = 0.0
        try:
            while not ended.wait(0.5):
                waited += 0.5
                if cancelled.is_set() or not self._places.holds(place) or waited > limits.notebook_seconds + _GRACE:
                    return None
            result: bytes | None = future.result(timeout=_SECONDS_TO_CONNECT)
        except (KilledWorker, CancelledError, CommClosedError, OSError, TimeoutError):
            return None
        finally:
            if not ended.is_set():
                future.cancel(force=True)
        if result is None:
            self._places.forget(place)
        return result

    def _require_same_packages(self) -> None:
        if self._places.refused:
            lines = [f"  {address}: {', '.join(what)}" for address, what in sorted(self._places.refused.items())]
            raise CourseError(
                "workers must have the same packages as this machine, or results could differ:\n"
                + "\n".join(lines)
                + "\nInstall the same versions there (pip install --constraint constraints.txt ...), start the workers "
                "again, and grade again"
            )


def _take_in(content: bytes | Path, contents: dict[str, bytes]) -> str:
    """Add a file's content, once, and say what it is called."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    name = hashlib.sha256(data).hexdigest()
    contents[name] = data
    return name


def _not_run(job: Job, status: str, message: str) -> JobResult:
    shown = (error_output("NotRun", message),)
    tests: tuple[TestResult, ...] = tuple(
        TestResult(cell.index, cell.name, 0.0, cell.points, "not run", message, 0.0, shown) for cell in job.tests
    )
    return JobResult(status, message, (), tests)
