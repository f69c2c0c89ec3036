"""A round on the instructor's screen."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import nbformat
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from autograder import events
from autograder.course import Course
from autograder.intake import Status
from autograder.leaderboard import Leaderboard
from autograder.pipeline import Round, cores, grade
from autograder.record import SubmissionResult, graded_result
from autograder.tables import amount, grades_legend, grades_table, leaderboard_table, names, points_table, status_table

__all__ = [
    "current_results",
    "grade_with_progress",
    "print_leaderboard",
    "print_round",
    "print_submission",
    "round_as_json",
]

WARNING = (
    "Students' code runs with your own rights: in worker processes with time limits, but without a sandbox. "
    "Grade in an account that has nothing to lose."
)
GRADES_AT_MOST = 40  # a longer class is shown as counts only


def grade_with_progress(course: Course, lab: str, console: Console, **options: Any) -> Round:
    """Grade a lab with a progress bar on `console`; the options are those of `autograder.pipeline.grade`."""
    console.print(f"[yellow]{WARNING}[/]", soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"Preparing {lab}", total=None)
        workers = options.get("jobs") or cores()

        def begin(count: int) -> None:
            progress.update(bar, total=count, description=f"Grading {lab}")
            console.print(f"Grading {lab} · {count} submissions · {workers} workers · no sandbox")

        return grade(course, lab, on_start=begin, on_result=lambda student: progress.advance(bar), **options)


def current_results(course: Course, lab: str) -> list[SubmissionResult]:
    """The class's results for a lab, with the points that the gradebook has now, sorted by student."""
    return [graded_result(course, result) for _, result in sorted(events.latest(course, lab).items())]


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
    if any(result.status in (Status.TIMEOUT, Status.CRASHED) for result in results):
        console.print("A timeout or a crash keeps what was earned before it.")
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
    folder = _short(course)
    console.print(f"Gradebook: {folder}/gradebook.db   Notebooks: {folder}/autograded/", soft_wrap=True)


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
    """What the failed tests said, by grade_id."""
    path = course.autograded / result.student / result.lab / f"{result.lab}.ipynb"
    if not path.is_file():
        return {}
    messages = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                text = re.sub(r"\x1b\[[0-9;]*m", "", f"{output.ename}: {output.evalue}")
                messages[cell.metadata.get("nbgrader", {}).get("grade_id")] = text.strip().split("\n")[0][:300]
    return messages


def _short(course: Course) -> str:
    """The grading folder as one would type it in the course's root."""
    folder = course.grading
    return str(folder.relative_to(course.root) if folder.is_relative_to(course.root) else folder)
