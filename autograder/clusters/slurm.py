"""A cluster of one's own on a machine with Slurm, through dask-jobqueue; its options stand in ``cluster.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.errors import CourseError

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

__all__ = ["SlurmOptions", "job_script", "read_options", "slurm_cluster"]

FILE = "cluster.toml"
EXAMPLE = """\
[slurm]
jobs = 4              # how many jobs are submitted
cores = 8             # of each job: as many notebooks run at a time in it
memory = "32GB"       # of each job
walltime = "04:00:00"
queue = "cpu"         # the partition
account = "teaching"
prologue = ["module load python"]  # lines before the worker starts
"""


@dataclass(frozen=True)
class SlurmOptions:
    """What each job asks Slurm for.

    Attributes
    ----------
    jobs, cores : int
        How many jobs; the processors of each.
    memory, walltime : str
        Of each job, as ``32GB`` and ``04:00:00``.
    queue, account : str or None
        The partition, and who pays.
    python : str or None
        The interpreter on the nodes; this one by default.
    interface : str or None
        The network between the nodes and this machine, as ``ib0``.
    prologue, directives : tuple of str
        Further lines of the job's script: commands, and what follows ``#SBATCH``.
    """

    jobs: int = 1
    cores: int = 4
    memory: str = "16GB"
    walltime: str = "02:00:00"
    queue: str | None = None
    account: str | None = None
    python: str | None = None
    interface: str | None = None
    prologue: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()


def read_options(root: Path) -> SlurmOptions:
    """The options in the course's ``cluster.toml``.

    Raises
    ------
    CourseError
        If there is none, or it holds something unknown.
    """
    path = root / FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} is missing: it says what to ask Slurm for, for example\n{EXAMPLE}") from None
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{path} is no TOML: {error}; for example\n{EXAMPLE}") from None
    values = content.get("slurm", {})
    known = {field.name: field.default for field in fields(SlurmOptions)}
    for name, value in values.items():
        if name not in known:
            raise CourseError(f"{path}: unknown option {name!r}; the options are {', '.join(known)}")
        if isinstance(known[name], int) and (type(value) is not int or value < 1):
            raise CourseError(f"{path}: {name} is a whole number from 1, got {value!r}")
        if isinstance(known[name], tuple) and not isinstance(value, list):
            raise CourseError(f"{path}: {name} is a list of lines, got {value!r}")
        if not isinstance(known[name], int | tuple) and not isinstance(value, str):
            raise CourseError(f"{path}: {name} is a text, got {value!r}")
    return SlurmOptions(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@contextmanager
def slurm_cluster(options: SlurmOptions) -> Iterator[SLURMCluster]:
    """A scheduler in this process, whose workers are Slurm jobs; none is submitted yet.

    One worker process runs in each job, with a thread for each of its processors: they share its warm servers.

    Raises
    ------
    CourseError
        If dask-jobqueue is not installed.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ModuleNotFoundError:
        raise CourseError("dask-jobqueue is not installed; install it: pip install 'factorkit[slurm]'") from None
    values: dict[str, Any] = {name: getattr(options, name) for name in ("queue", "account", "python", "interface")}
    given = {name: value for name, value in values.items() if value is not None}
    with SLURMCluster(
        cores=options.cores,
        processes=1,
        memory=options.memory,
        walltime=options.walltime,
        job_name="autograder",
        job_script_prologue=list(options.prologue),
        job_extra_directives=list(options.directives),
        scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        **given,
    ) as cluster:
        yield cluster


def job_script(options: SlurmOptions) -> str:
    """What is going to be submitted, for a look before it is."""
    with slurm_cluster(options) as cluster:
        return str(cluster.job_script())
