"""What runs on a cluster's workers: warm servers, once for each worker process, and one notebook at a time on them.

A task gets bytes and returns JSON data. It knows nothing of the course, the gradebook or other submissions.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from autograder.execute import Engine, Limits
from autograder.jobs import Job
from autograder.plain import from_plain, to_plain
from autograder.versions import versions

__all__ = ["GradingPlugin", "describe", "run_notebook"]


class GradingPlugin(WorkerPlugin):
    """Starts the servers of its worker process, and ends them with it.

    Parameters
    ----------
    name : str
        Of the grader that uses it: another one of the same name replaces it.
    sandbox : str
        ``bubblewrap`` or ``none``.
    """

    idempotent = False

    def __init__(self, name: str, sandbox: str) -> None:
        self.name = name
        self._sandbox = sandbox

    def setup(self, worker: Worker) -> None:
        """Begin to start the servers, so that the first notebook need not wait as long."""
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._failure: Exception | None = None
        threading.Thread(target=self._start, daemon=True).start()

    def teardown(self, worker: Worker) -> None:
        """End the servers."""
        with self._lock:
            if self._engine is not None:
                self._engine.__exit__()

    def engine(self) -> Engine:
        """The servers of this worker process.

        Raises
        ------
        CourseError
            If they do not start here.
        """
        self._start()
        if self._engine is None:
            assert self._failure is not None
            raise self._failure
        return self._engine

    def _start(self) -> None:
        with self._lock:
            if self._engine is None:
                try:
                    engine = Engine(self._sandbox)  # type: ignore[arg-type]
                    engine.warm_up()
                    self._engine = engine
                except Exception as error:
                    self._failure = error


def describe(dask_worker: Worker) -> dict[str, Any]:
    """Who a worker is, and what is installed there."""
    return {"id": dask_worker.id, "threads": dask_worker.state.nthreads, "versions": versions()}


def run_notebook(task: bytes, contents: dict[str, bytes], worker: str, plugin: str) -> bytes | None:
    """Run one notebook and its tests.

    Parameters
    ----------
    task : bytes
        JSON: the `Job`, the `Limits`, and for the files of both processes which of `contents` they are.
    contents : dict of bytes
    worker : str
        The worker process that this was meant for.
    plugin : str
        The name of the `GradingPlugin`.

    Returns
    -------
    bytes or None
        The `JobResult` as JSON; None if this is another worker process than the one meant, which has ended then.
    """
    here = get_worker()
    if here.id != worker:
        return None
    values = json.loads(task)
    job, limits = from_plain(Job, values["job"]), from_plain(Limits, values["limits"])
    files, test_files = (
        {name: contents[key] for name, key in values[kind].items()} for kind in ("files", "test_files")
    )
    engine = here.plugins[plugin].engine()
    engine.provide_data("\n".join(cell.source for cell in job.cells))
    return json.dumps(to_plain(engine.run(job, limits, files, test_files))).encode()
