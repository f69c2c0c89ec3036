"""What the instructor sees: results as tables."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median

from rich import box
from rich.table import Table
from rich.text import Text

from autograder.intake import Status
from autograder.leaderboard import Leaderboard
from autograder.record import Points, SubmissionResult

__all__ = ["amount", "grades_legend", "grades_table", "leaderboard_table", "names", "points_table", "status_table"]

_STYLES = {
    Status.OK: "green",
    Status.TIMEOUT: "yellow",
    Status.CRASHED: "yellow",
    Status.MEMORY: "yellow",
    Status.OUTPUT: "yellow",
    Status.TAMPERED: "red",
    Status.INVALID: "red",
    Status.MISSING: "dim",
}


def amount(points: float) -> str:
    """Points with at most two decimals.

    Examples
    --------
    >>> amount(12.7468), amount(3.0)
    ('12.75', '3')
    """
    return f"{round(points, 2):g}"


def status_table(results: Sequence[SubmissionResult]) -> Table:
    """How many submissions ended how, their median score, and the names of those that did not end well."""
    table = _table()
    table.add_column("status")
    table.add_column("submissions", justify="right")
    table.add_column("median score", justify="right")
    table.add_column("")
    for status in Status:
        found = [result for result in results if result.status is status]
        if not found:
            continue
        scores = [result.score for result in found if result.score is not None]
        middle = f"{amount(median(scores))} / {amount(found[0].maximum)}" if scores and status.was_run else "–"
        who = "" if status is Status.OK else names([result.student for result in found])
        table.add_row(Text(status, _STYLES[status]), str(len(found)), middle, Text(who, "dim"))
    return table


def names(students: Sequence[str], at_most: int = 4) -> str:
    """Names in a row, the first few.

    Examples
    --------
    >>> names(["a", "b", "c"], at_most=2)
    'a, b and 1 more'
    """
    shown = ", ".join(students[:at_most])
    return shown if len(students) <= at_most else f"{shown} and {len(students) - at_most} more"


def grades_table(results: Sequence[SubmissionResult]) -> Table:
    """Every student's points, exercise by exercise."""
    columns = _in_order(results)
    table = _table()
    table.add_column("student")
    table.add_column("status")
    for number, name in enumerate(columns, 1):
        maximum = max(result.points[name].maximum for result in results if name in result.points)
        table.add_column(f"{number}\n/{amount(maximum)}", justify="right")
    table.add_column("score", justify="right")
    for result in results:
        cells = [_cell(result.points.get(name)) for name in columns]
        status = Text.assemble((result.status, _STYLES[result.status]), (" *" if result.findings else "", "yellow"))
        table.add_row(result.student, status, *cells, _score(result))
    return table


def grades_legend(results: Sequence[SubmissionResult]) -> str:
    """What the numbers above the columns of `grades_table` stand for, in lines that break between two of them."""
    items = [f"{number}\u00a0{name.removeprefix('check_')}" for number, name in enumerate(_in_order(results), 1)]
    legend = textwrap.wrap(" · ".join(items).replace(" ·", "\u00a0·"), 100)
    return "\n".join([*legend, "? waits for a person, – was not run, * is flagged for a look"]).replace("\u00a0", " ")


def _in_order(results: Sequence[SubmissionResult]) -> list[str]:
    """The graded cells, in the order of the fullest result."""
    fullest = max(results, key=lambda result: len(result.points), default=None)
    return list(fullest.points) if fullest else []


def _cell(points: Points | None) -> Text:
    if points is None:
        return Text("–", "dim")
    if points.score is None:
        return Text("?", "cyan")
    style = "green" if points.score >= points.maximum else "yellow" if points.score > 0 else "red"
    return Text(amount(points.score), style)


def _score(result: SubmissionResult) -> Text:
    if result.score is None:
        return Text("–", "dim")
    waiting = f" +{amount(result.waiting)}?" if result.waiting else ""
    return Text(f"{amount(result.score)}{waiting} / {amount(result.maximum)}", "bold")


def points_table(result: SubmissionResult, messages: dict[str, str]) -> Table:
    """One student's points, with what each failed test said."""
    table = _table()
    table.add_column("exercise")
    table.add_column("points", justify="right")
    table.add_column("")
    for name, points in result.points.items():
        text = "waits for a person" if points.score is None else messages.get(name, "")
        score = Text.assemble(_cell(points), f" / {amount(points.maximum)}")
        table.add_row(name.removeprefix("check_"), score, Text(text))
    return table


def leaderboard_table(board: Leaderboard) -> Table:
    """The entries of the challenge, best first, and below them who has none and why."""
    table = _table()
    for title in ("place", "student"):
        table.add_column(title, justify="right" if title == "place" else "left")
    for title in ("accuracy", "score", "parameters", "bits each", "live MACs"):
        table.add_column(title, justify="right")
    table.add_column("")
    for place, entry in zip(board.places, board.entries, strict=True):
        remark = "" if entry.qualified else f"below {entry.threshold_percent} %"
        bits = entry.stored_bits / max(entry.params, 1)
        costs = (f"{entry.score:.4f}", f"{entry.params:,}", f"{bits:.1f}", f"{entry.live_macs:,}")
        table.add_row(str(place or "–"), entry.student, f"{100 * entry.accuracy:.2f} %", *costs, Text(remark, "yellow"))
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
