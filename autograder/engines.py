"""What runs the notebooks of a round: this machine, a dask cluster, or Slurm jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autograder.course import Course
from autograder.errors import UsageError
from autograder.execute import Engine
from autograder.pipeline import cores
from autograder.sandbox.client import Sandbox

if TYPE_CHECKING:
    from distributed import Client

    from autograder.clusters.cluster import ClusterEngine

__all__ = ["Place", "open_engine"]

_SECONDS_FOR_A_QUEUE = 24 * 3600.0


@dataclass(frozen=True)
class Place:
    """Where notebooks run, and how they are held back.

    Attributes
    ----------
    sandbox : str
        ``bubblewrap`` or ``none``.
    trusted : bool
        Whether the instructor vouches for the submissions; needed without a sandbox.
    same_process : bool
        Whether tests run beside the student's code.
    scheduler : str or None
        The address of a dask scheduler.
    slurm : bool
        Whether to submit Slurm jobs.
    """

    sandbox: Sandbox = "bubblewrap"
    trusted: bool = False
    same_process: bool = False
    scheduler: str | None = None
    slurm: bool = False

    def check(self) -> None:
        """Refuse what does not go together.

        Raises
        ------
        UsageError
            With the rule and what to do.
        """
        if self.sandbox not in ("bubblewrap", "none"):
            raise UsageError(f"unknown sandbox {self.sandbox!r}: write --sandbox bubblewrap, or --sandbox none")
        if self.sandbox == "none" and not self.trusted:
            raise UsageError(
                "without a sandbox, submissions can read and change whatever you can, the gradebook too; if you would "
                "run them on your own account, add --trusted; else install bubblewrap, see: autograder doctor"
            )
        if self.scheduler and self.slurm:
            raise UsageError("--scheduler and --slurm are two places to grade on; give one of them")
        if self.same_process and (self.scheduler or self.slurm):
            raise UsageError(
                "--same-process runs on this machine alone; leave --scheduler and --slurm away for this lab"
            )

    def describe(self, jobs: int) -> str:
        """In a few words."""
        held = f"sandbox {self.sandbox}" if self.sandbox != "none" else "no sandbox"
        beside = " · tests beside the student's code" if self.same_process else ""
        return f"{jobs} {'worker' if jobs == 1 else 'workers'} · {held}{beside}"


@contextmanager
def open_engine(course: Course, place: Place, jobs: int | None) -> Iterator[tuple[Engine | ClusterEngine, int]]:
    """What runs notebooks, and how many at a time; closed at the end.

    Raises
    ------
    UsageError, CourseError
        If it cannot be had.
    """
    place.check()
    if place.scheduler:
        from autograder.clusters.cluster import connect

        with connect(place.scheduler) as client:
            yield from _on_cluster(course, place, client, jobs, 300.0, 0)
    elif place.slurm:
        from distributed import Client

        from autograder.clusters.slurm import read_options, slurm_cluster

        options = read_options(course.root)
        with slurm_cluster(options) as cluster, Client(cluster, set_as_default=False) as client:
            cluster.scale(jobs=options.jobs)
            yield from _on_cluster(course, place, client, jobs, _SECONDS_FOR_A_QUEUE, options.jobs * options.cores)
    else:
        with Engine(place.sandbox, same_process=place.same_process) as engine:
            yield engine, jobs or cores()


def _on_cluster(
    course: Course, place: Place, client: Client, jobs: int | None, patience: float, expected: int
) -> Iterator[tuple[Engine | ClusterEngine, int]]:
    from autograder.clusters.cluster import ClusterEngine

    with ClusterEngine(client, str(course.grading), sandbox=place.sandbox, patience=patience) as engine:
        yield engine, jobs or max(expected, engine.count(), 1)
