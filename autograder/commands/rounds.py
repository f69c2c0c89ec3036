"""A round on the instructor's screen."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy import make_url

from autograder.agenda import Settings, preview
from autograder.assignment import read_lab
from autograder.commands.console import print_json
from autograder.commands.progress import RoundProgress, duration
from autograder.commands.tables import (
    amount,
    grades_legend,
    grades_table,
    leaderboard_table,
    names,
    points_table,
    status_table,
)
from autograder.course import Course
from autograder.engines import Place, open_engine
from autograder.execute import Limits
from autograder.intake import Status
from autograder.leaderboard import Leaderboard
from autograder.pipeline import Round, RoundStart, grade
from autograder.recording import events
from autograder.recording.gradebook import graded_results
from autograder.results import SubmissionResult

if TYPE_CHECKING:
    from autograder.collect import Collected

__all__ = [
    "current_results",
    "grade_with_progress",
    "print_collected",
    "print_leaderboard",
    "print_plan",
    "print_progress",
    "print_round",
    "print_submission",
    "round_as_json",
]

WARNING = (
    "Students' code runs with your own rights: with limits, but without a sandbox. Grade in an account that has "
    "nothing to lose."
)
_MESSAGE_AT_MOST = 600
GRADES_AT_MOST = 40  # a longer class is shown as counts only
SECONDS_BETWEEN_LINES = 60.0  # where there is no terminal to draw a bar on


def grade_with_progress(
    course: Course, lab: str, console: Console, place: Place, *, jobs: int | None = None, **options: Any
) -> Round:
    """Grade a lab with a progress bar on `console`, or with a line now and then where that is no terminal.

    The options are those of `autograder.pipeline.grade`.
    """
    if place.sandbox == "none":
        console.print(f"[yellow]{WARNING}[/]", soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"Preparing {lab}", total=None)
        lines = _Lines(console)
        with open_engine(course, place, jobs) as (engine, workers):

            def begin(start: RoundStart) -> None:
                progress.update(bar, description=f"Grading the solution of {lab}" if start.to_run else lab)
                count = f"{start.submissions} submission{'' if start.submissions == 1 else 's'}"
                console.print(f"Grading {lab} · {count} · {place.describe(workers)}")
                lines.total = start.submissions
                progress.update(bar, total=start.submissions)

            def advance(student: str) -> None:
                progress.update(bar, advance=1, description=f"Grading {lab}")
                lines.advance()

            return grade(course, lab, engine=engine, jobs=workers, on_start=begin, on_result=advance, **options)


class _Lines:
    """How far a round is, a line each minute: for a log."""

    def __init__(self, console: Console) -> None:
        self.total = 0
        self._console, self._done = console, 0
        self._began = self._last = time.monotonic()

    def advance(self) -> None:
        self._done += 1
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last > SECONDS_BETWEEN_LINES:
            self._last = now
            left = (now - self._began) / self._done * (self.total - self._done)
            self._console.print(f"{self._done} of {self.total}, about {duration(left)} left")


def print_plan(
    console: Console,
    course: Course,
    lab: str,
    place: Place,
    limits: Limits,
    budget: bool,
    students: Collection[str],
    regrade: Collection[str],
    as_data: bool,
) -> None:
    """Print what a round would do, and why; for Slurm also the job that would be submitted."""
    planned = preview(course, read_lab(course, lab), Settings(limits, budget, place.same_process), students, regrade)
    if as_data:
        data = [{"student": p.submission.student, "action": p.action, "reason": p.reason} for p in planned]
        print_json({"lab": lab, "planned": data})
        return
    groups: dict[tuple[str, str], list[str]] = {}
    for each in planned:
        groups.setdefault((each.action, each.reason), []).append(each.submission.student)
    counts = Counter(each.action for each in planned)
    console.print(f"{lab} · {len(planned)} submissions: {counts['run']} to run, nothing is changed now")
    for (action, reason), who in sorted(groups.items()):
        console.print(f"  {action:<6} {names(who)}: {reason}", markup=False, soft_wrap=True)
    if place.slurm:
        from autograder.clusters.slurm import job_script, read_options

        console.print(f"\nEach Slurm job:\n\n{job_script(read_options(course.root))}", markup=False, soft_wrap=True)


def print_progress(console: Console, progress: RoundProgress) -> None:
    """Print how far the round is that is being graded now."""
    left = "" if progress.seconds_left is None else f", about {duration(progress.seconds_left)} left"
    console.print(
        f"{progress.lab} is being graded by process {progress.process} since {progress.since}: "
        f"{progress.done} of {progress.submissions}{left}",
        soft_wrap=True,
    )


def print_collected(console: Console, collected: Sequence[Collected]) -> None:
    """Print what became of each student's submission."""
    counts = Counter(each.outcome for each in collected)
    console.print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing")
    for each in collected:
        if each.outcome == "refused":
            console.print(f"  refused {each.student or each.origin}: {each.message}", markup=False, soft_wrap=True)
        elif each.earlier:
            console.print(f"  replaced {each.student}: the earlier one is kept in {each.earlier}", soft_wrap=True)
        for finding in each.findings:
            text = f"  {finding.kind} {each.student}: {finding.cell}: {finding.message}"
            console.print(text, markup=False, soft_wrap=True)


def current_results(course: Course, lab: str) -> list[SubmissionResult]:
    """The class's results for a lab, with the points that the gradebook has now, sorted by student."""
    return graded_results(course, [result for _, result in sorted(events.latest(course, lab).items())])


def print_round(console: Console, course: Course, finished: Round) -> None:
    """Print a class's grades, and where the rest is to be found."""
    results = finished.results
    console.print(f"[bold]{finished.lab}[/] · {len(results)} submissions\n")
    console.print(status_table(results))
    console.print()
    if len(results) <= GRADES_AT_MOST:
        console.print(grades_table(results))
        console.print(grades_legend(results), style="dim", soft_wrap=True)
    console.print()
    if any(result.status.was_run and result.status is not Status.OK for result in results):
        console.print("A run that ended early keeps what was earned before it.")
    if finished.reused:
        console.print(f"{finished.reused} unchanged since they were graded before: reused.")
    flagged: dict[str, list[str]] = {}
    for result in results:
        for kind in sorted({finding.kind for finding in result.findings}):
            flagged.setdefault(kind, []).append(result.student)
    if count := sum(bool(result.findings) for result in results):
        console.print(f"{'1 submission is' if count == 1 else f'{count} submissions are'} flagged for a look (*):")
        for kind, students in sorted(flagged.items()):
            console.print(f"  {kind}: {names(students)}", markup=False, soft_wrap=True)
        console.print(f"  autograder show {finished.lab} --flagged", soft_wrap=True)
    if waiting := sum(result.waiting > 0 for result in results):
        console.print(f"{waiting} submissions have points that wait for a person: open them in nbgrader's formgrader.")
    for failure in finished.failures:
        console.print(f"[red]not recorded[/] {failure.student}: {failure.reason}", soft_wrap=True)
    console.print(f"Gradebook: {_gradebook(course)}   Notebooks: {_short(course, course.autograded)}/", soft_wrap=True)
    console.print(f"Next: autograder feedback {finished.lab}", soft_wrap=True)


def round_as_json(finished: Round) -> dict[str, Any]:
    """A round as plain JSON data."""
    return {
        "lab": finished.lab,
        "results": [{**events.as_json(result), "reused": result.reused} for result in finished.results],
        "failures": [asdict(failure) for failure in finished.failures],
    }


def print_submission(console: Console, course: Course, result: SubmissionResult) -> None:
    """Print one student's points, messages and findings."""
    score = "–" if result.score is None else f"{amount(result.score)} / {amount(result.maximum)}"
    console.print(f"[bold]{result.student}[/] · {result.lab} · {result.status} · {score}", soft_wrap=True)
    if result.message:
        console.print(result.message, markup=False, soft_wrap=True)
    if result.points:
        console.print(points_table(result, _messages(course, result)))
    for finding in result.findings:
        console.print(f"{finding.kind}: {finding.cell}: {finding.message}", markup=False, soft_wrap=True)
    console.print()


def print_leaderboard(console: Console, board: Leaderboard) -> None:
    """Print the challenge's ranking, and who is not in it."""
    rules = f" · rules {board.entries[0].rules}, {board.entries[0].task}" if board.entries else ""
    console.print(f"[bold]Leaderboard of {board.lab}[/]{rules}")
    console.print(leaderboard_table(board))
    reasons: dict[str, list[str]] = {}
    for absent in board.absent:
        reasons.setdefault(absent.reason, []).append(absent.student)
    for reason, students in reasons.items():
        console.print(f"no entry: {names(students)}: {reason}", markup=False, soft_wrap=True)


def _messages(course: Course, result: SubmissionResult) -> dict[str, str]:
    """What the failed tests said, by grade_id, and by notebook and grade_id as results of several notebooks have it."""
    messages = {}
    for path in sorted((course.autograded / result.student / result.lab).glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            for output in cell.get("outputs", []) if name else ():
                if output.output_type == "error":
                    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{output.ename}: {output.evalue}")
                    messages[name] = messages[f"{path.stem}/{name}"] = text.strip()[:_MESSAGE_AT_MOST]
    return messages


def _gradebook(course: Course) -> str:
    """Where the gradebook is: a file as one would type it in the course's root, a server without its password."""
    url = make_url(course.db_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return _short(course, Path(url.database))
    return url.render_as_string(hide_password=True)


def _short(course: Course, path: Path) -> str:
    """A path as one would type it in the course's root."""
    return str(path.relative_to(course.root) if path.is_relative_to(course.root) else path)
