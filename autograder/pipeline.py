"""A round of grading: every submission of a lab through all stages, many at a time.

Workers run in processes; this process only waits for them and writes. What goes wrong with one submission stays there.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_grade

from autograder import events
from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Executed, Limits, execute
from autograder.intake import Submission, intake
from autograder.leaderboard import entry_findings
from autograder.normalise import normalise
from autograder.record import SubmissionResult, enrolled, graded_result, record, register_lab
from autograder.release import release_notebook
from autograder.source import notebook_text, read_source, source_notebook

__all__ = ["Failure", "Round", "cores", "grade"]


@dataclass(frozen=True)
class Failure:
    """A submission that the grader itself failed on: nothing is recorded, so the next run tries again."""

    student: str
    reason: str


@dataclass(frozen=True)
class Round:
    """The results of a lab for the whole class, sorted by student."""

    lab: str
    results: tuple[SubmissionResult, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def reused(self) -> int:
        """How many results are those of an earlier run."""
        return sum(result.reused for result in self.results)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def grade(
    course: Course,
    lab: str,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    jobs: int | None = None,
    regrade: bool = False,
    on_start: Callable[[int], None] = lambda count: None,
    on_result: Callable[[str], None] = lambda student: None,
) -> Round:
    """Grade the submissions of a lab and record them in the gradebook.

    Parameters
    ----------
    course : Course
    lab : str
    limits : Limits
        For each cell and each notebook.
    jobs : int, optional
        How many notebooks run at a time; as many as there are processors by default.
    regrade : bool
        Run submissions again although neither they nor the lab nor the limits have changed.
    on_start, on_result : callable
        Told how many submissions there are, and each student as soon as there is a result.

    Raises
    ------
    UsageError
        If there is no such lab.
    CourseError
        If the lab's source is wrong, or the gradebook does not take it.
    """
    source = source_notebook(read_source(course.source_file(course.check_lab(lab))))
    _require_kernel(lab, source.metadata.kernelspec.name)
    release = release_notebook(source)
    lab_files = course.solutions / lab / "files"
    order = [cell.metadata.nbgrader.grade_id for cell in source.cells if is_grade(cell)]
    register_lab(course, lab, source)
    earlier = events.latest(course, lab)
    submissions = intake(course, lab, enrolled(course))
    on_start(len(submissions))
    results: list[SubmissionResult] = []
    failures: list[Failure] = []
    waiting: list[tuple[Submission, str]] = []
    for submission in submissions:
        key = _key(submission, source, limits)
        found = None if regrade else _reusable(course, earlier.get((lab, submission.student)), submission, key)
        if found is None:
            waiting.append((submission, key))
        else:
            results.append(found)
            on_result(submission.student)
    jobs = min(jobs or cores(), max(1, len(waiting)))
    cancelled = threading.Event()

    def run(submission: Submission) -> Executed:
        normalised = normalise(submission, source, release)
        threads = max(1, cores() // jobs)
        executed = execute(normalised, limits, lab_files=lab_files, threads=threads, cancelled=cancelled)
        return replace(executed, findings=(*executed.findings, *entry_findings(executed)))

    with ThreadPoolExecutor(jobs) as pool:
        futures: dict[Future[Executed], tuple[Submission, str]] = {
            pool.submit(run, submission): (submission, key) for submission, key in waiting
        }
        try:
            for future in as_completed(futures):
                submission, key = futures[future]
                try:
                    result = replace(record(course, future.result(), order), sha256=key)
                    if result != earlier.get((lab, submission.student)):
                        events.append(course, result)
                    results.append(result)
                except Exception as error:  # whatever it is, it is this submission's alone
                    name = "" if isinstance(error, CourseError) else f"{type(error).__name__}: "
                    failures.append(Failure(submission.student, f"{name}{error}"))
                on_result(submission.student)
        except BaseException:
            cancelled.set()
            pool.shutdown(cancel_futures=True)
            raise
    results.sort(key=lambda result: result.student)
    return Round(lab, tuple(results), tuple(sorted(failures, key=lambda failure: failure.student)))


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


def _key(submission: Submission, source: NotebookNode, limits: Limits) -> str:
    """A hash of all that a result depends on; empty where nothing is run."""
    if submission.problem is not None:
        return ""
    text = "\n".join([submission.sha256, notebook_text(source), repr(limits)])
    return hashlib.sha256(text.encode()).hexdigest()


def _reusable(
    course: Course, earlier: SubmissionResult | None, submission: Submission, key: str
) -> SubmissionResult | None:
    """The earlier result if nothing has changed since and the gradebook has it."""
    if earlier is None or not key or earlier.sha256 != key:
        return None
    if earlier.status.was_run and not (course.autograded / submission.student / submission.lab).is_dir():
        return None
    current = graded_result(course, earlier)
    return None if current.score is None else replace(current, reused=True)
