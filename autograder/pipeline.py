"""A round of grading: every submission of a lab through all stages, many at a time.

Students' code runs in processes of the engine, here or on a cluster; this process only waits for them and writes. What
goes wrong with one submission stays there. Whenever this process is killed, the next round goes on where it was.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from autograder.agenda import Planned, Settings, chosen, keys_of, plan
from autograder.assignment import LabNotebooks, read_lab
from autograder.course import Course
from autograder.errors import ClusterLost, CourseError, StorageError
from autograder.execute import Engine, Executed, Limits, execute
from autograder.intake import intake
from autograder.leaderboard import entry_findings
from autograder.normalise import normalise
from autograder.recording import events
from autograder.recording.ledger import Ledger, open_ledger
from autograder.results import SubmissionResult
from autograder.solution import SolutionCheck, check_solution, seconds_for_students

__all__ = ["Failure", "Round", "RoundStart", "cores", "grade"]

_WAITING = 2  # submissions beyond those that are running: no more are held in memory, however large the class


@dataclass(frozen=True)
class Failure:
    """A submission that the grader itself failed on: nothing is recorded, so the next round tries again."""

    student: str
    reason: str


@dataclass(frozen=True)
class Round:
    """The results of a lab for the whole class, sorted by student.

    Attributes
    ----------
    lab : str
    results : tuple of SubmissionResult
    failures : tuple of Failure
    solution : SolutionCheck or None
        How the instructor's solution did; None if nothing was run, or it was left out.
    """

    lab: str
    results: tuple[SubmissionResult, ...]
    failures: tuple[Failure, ...] = ()
    solution: SolutionCheck | None = None

    @property
    def reused(self) -> int:
        """How many results are those of an earlier round."""
        return sum(result.reused for result in self.results)


@dataclass(frozen=True)
class RoundStart:
    """What is known when a round begins.

    Attributes
    ----------
    lab : str
    submissions : int
    to_run : int
        How many of them are going to be run.
    """

    lab: str
    submissions: int
    to_run: int


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def grade(
    course: Course,
    lab: str,
    *,
    engine: Engine | None = None,
    limits: Limits = Limits(notebook_seconds=3600),  # noqa: B008 - frozen
    budget: bool = True,
    jobs: int | None = None,
    students: Collection[str] = (),
    regrade: Collection[str] = (),
    with_solution: bool = True,
    on_start: Callable[[RoundStart], None] = lambda start: None,
    on_solution: Callable[[SolutionCheck], None] = lambda check: None,
    on_result: Callable[[str], None] = lambda student: None,
) -> Round:
    """Grade the submissions of a lab and record them in the gradebook.

    Parameters
    ----------
    course : Course
    lab : str
    engine : Engine or ClusterEngine, optional
        What runs notebooks; warm servers on this machine, in bubblewrap, by default.
    limits : Limits
        For each notebook.
    budget : bool
        Take the time for a whole notebook from the instructor's solution; `limits` then says how long that may take.
    jobs : int, optional
        How many notebooks run at a time; as many as there are processors by default.
    students : collection of str
        Who is graded; everyone by default.
    regrade : collection of str
        Students whose submissions are run again although nothing has changed, or ``all``.
    with_solution : bool
        Grade the instructor's own solution first: it has to get full points. Without it `limits` hold for all.
    on_start, on_solution, on_result : callable
        Told how many submissions there are; how the solution did; and each student as soon as there is a result.

    Raises
    ------
    UsageError
        If there is no such lab, or no such student.
    CourseError
        If the lab's source is wrong, its own solution does not get full points, or nothing can be run or recorded.
        What has been recorded by then is kept.
    """
    settings = Settings(limits, budget and with_solution, engine is not None and engine.same_process)
    notebooks = read_lab(course, lab)
    for source in notebooks.sources.values():
        _require_kernel(lab, source.metadata.kernelspec.name)
    with open_ledger(course, notebooks) as ledger:
        agenda, results = _begin(course, notebooks, ledger, settings, students, regrade)
        to_run = [planned for planned in agenda if planned.action == "run"]
        on_start(RoundStart(lab, len(agenda), len(to_run)))
        waiting = [planned for planned in agenda if planned.submission.student not in results]
        counts = {"submissions": len(agenda), "to_do": len(waiting), "to_run": len(to_run)}
        events.note(course, "started", lab=lab, process=os.getpid(), **counts)
        for planned in agenda:
            if planned.submission.student in results:
                on_result(planned.submission.student)
        failures: list[Failure] = []
        check = None
        with ExitStack() as stack:
            if to_run:
                engine = engine or stack.enter_context(Engine())
                if with_solution:
                    check = check_solution(course, notebooks, engine, limits)
                    on_solution(check)
                    if budget:
                        limits = replace(limits, notebook_seconds=seconds_for_students(check))
            copies = stack.enter_context(tempfile.TemporaryDirectory(prefix="factorkit-"))
            files = notebooks.copy_files(Path(copies) / "files")
            ended = stack.enter_context(closing(_run_all(notebooks, waiting, engine, limits, files, jobs or cores())))
            for planned, future in ended:
                student = planned.submission.student
                try:
                    results[student] = ledger.record(future.result(), planned.key)
                except (ClusterLost, StorageError):
                    raise
                except Exception as error:  # whatever it is, it is this submission's alone
                    name = "" if isinstance(error, CourseError) else f"{type(error).__name__}: "
                    failures.append(Failure(student, f"{name}{error}"))
                on_result(student)
        events.note(course, "ended", lab=lab, results=len(results), failures=len(failures))
    ordered = tuple(result for _, result in sorted(results.items()))
    return Round(lab, ordered, tuple(sorted(failures, key=lambda failure: failure.student)), check)


def _begin(
    course: Course,
    notebooks: LabNotebooks,
    ledger: Ledger,
    settings: Settings,
    students: Collection[str],
    regrade: Collection[str],
) -> tuple[list[Planned], dict[str, SubmissionResult]]:
    """What is to be done, and the results that there are already: unchanged ones, and what a killed round had run."""
    everyone = intake(course, notebooks.lab, ledger.enrolled)
    submissions = chosen(everyone, students, regrade)
    keys = keys_of(everyone, notebooks, settings)
    earlier = {student: result for (_, student), result in events.latest(course, notebooks.lab).items()}
    resumed = {result.student: result for result in ledger.resume(keys)}
    agenda = plan(submissions, keys, earlier, ledger.reusable, regrade, resumed)
    results = {each.submission.student: each.result for each in agenda if each.result is not None}
    for each in agenda:
        if each.action == "record" and each.submission.student in resumed:
            results[each.submission.student] = resumed[each.submission.student]
    return agenda, results


def _run_all(
    notebooks: LabNotebooks,
    agenda: Sequence[Planned],
    engine: Engine | None,
    limits: Limits,
    files: Path,
    jobs: int,
) -> Iterator[tuple[Planned, Future[Executed]]]:
    """Run submissions, a few at a time, and give each as soon as it has ended; close the iterator to end early."""
    cancelled = threading.Event()

    def run(planned: Planned) -> Executed:
        normalised = normalise(planned.submission, notebooks.sources, notebooks.releases)
        executed = execute(normalised, limits, engine=engine, lab_files=files, cancelled=cancelled)
        return replace(executed, findings=(*executed.findings, *entry_findings(executed)))

    waiting, running = deque(agenda), dict[Future[Executed], Planned]()
    with ThreadPoolExecutor(max(1, min(jobs, len(waiting)))) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < jobs + _WAITING:
                    planned = waiting.popleft()
                    running[pool.submit(run, planned)] = planned
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future
        finally:
            cancelled.set()
            pool.shutdown(cancel_futures=True)


def _require_kernel(lab: str, name: str) -> None:
    manager = KernelSpecManager()
    try:
        manager.get_kernel_spec(name)
    except NoSuchKernel:
        known = ", ".join(sorted(manager.find_kernel_specs())) or "none"
        raise CourseError(
            f"{lab} asks for the Jupyter kernel {name!r}, which is not installed here (there are: {known}); "
            "install it, or name another one in the front matter of the lab's source"
        ) from None
