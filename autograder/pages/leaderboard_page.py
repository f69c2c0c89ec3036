"""The challenge's leaderboard as a page that stands alone, and as a part of the website."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from autograder.commands.site import publish_leaderboard
from autograder.course import Course
from autograder.errors import UsageError
from autograder.leaderboard import Entry, Leaderboard
from autograder.pages.html_page import html_page
from autograder.pages.leaderboard_plot import plot_leaderboard
from factorkit.interactive import Part
from micronet_resources.rules import rule_set

__all__ = ["interactive_html", "leaderboard_html", "read_pseudonyms", "write_page"]

STYLE = """
.leaderboard table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
.leaderboard th, .leaderboard td { padding: .35rem .6rem; border-bottom: 1px solid #d5d8dd; text-align: right; }
.leaderboard th:nth-child(2), .leaderboard td:nth-child(2) { text-align: left; }
.leaderboard tr.below td { opacity: .75; }
.leaderboard th, .leaderboard td { white-space: nowrap; }
.leaderboard caption { caption-side: top; text-align: left; }
.leaderboard legend { font-size: 1rem; font-weight: 600; margin: 0; }
.leaderboard fieldset { border: 0; margin: 1rem 0; padding: 0; }
.leaderboard label { display: inline-block; margin-right: 1rem; }
.leaderboard .sorted { display: none; overflow-x: auto; }
.leaderboard figure { margin: 1rem 0; }
.leaderboard figure svg { width: 100%; max-width: 48rem; height: auto; background: #fff; }
"""


@dataclass(frozen=True)
class _Order:
    """One way to sort the entries: its name, whose smallest value comes first."""

    name: str
    value: Callable[[Entry], float]


_ORDERS = (
    _Order("place", lambda entry: 0.0),
    _Order("accuracy", lambda entry: -entry.accuracy),
    _Order("score", lambda entry: entry.score),
    _Order("parameters", lambda entry: entry.params),
    _Order("MACs", lambda entry: entry.live_macs),
)


def leaderboard_html(board: Leaderboard, *, level: int = 2) -> str:
    """The entries as a table that can be sorted without a script, and the plot.

    Parameters
    ----------
    board : Leaderboard
    level : int
        Of the headings.
    """
    if not board.entries:
        return f'<div class="leaderboard"><p>{escape(board.lab)} has no measured entry yet.</p></div>'
    first = board.entries[0]
    task = f"Rules {escape(first.rules)}, task {escape(first.task)}: at least {first.threshold_percent} % accuracy."
    count = f"{sum(entry.qualified for entry in board.entries)} of {len(board.entries)} entries reach it."
    name = f"order-{_word(board.lab)}"
    buttons = "".join(
        f'<label><input type="radio" name="{name}" id="{name}-{place}"{" checked" * (not place)}> {order.name}</label>'
        for place, order in enumerate(_ORDERS)
    )
    # Each order is a table of its own; the chosen one is shown. So the sorting needs no script.
    rules = "".join(
        f".leaderboard:has(#{name}-{place}:checked) .{name}-{place} {{ display: block; }}"
        for place in range(len(_ORDERS))
    )
    tables = "".join(
        f'<div class="sorted {name}-{place}">{_table(board, order)}</div>' for place, order in enumerate(_ORDERS)
    )
    figure = f"<figure>{plot_leaderboard(board)}</figure>"
    return (
        f'<div class="leaderboard"><style>{rules}</style>\n<p>{task} {count} A lower score is better; entries below '
        f"the threshold have no place.</p>\n<fieldset><legend>Sorted by</legend>{buttons}</fieldset>\n{tables}\n"
        f"<h{level}>Accuracy against score</h{level}>\n{figure}</div>"
    )


def interactive_html(boards: Sequence[Leaderboard], fallback: str) -> str:
    """The leaderboards as an interactive part of the website: sorted, filtered and drawn by a script.

    Parameters
    ----------
    boards : sequence of Leaderboard
    fallback : str
        HTML that is shown where no script runs.
    """
    groups = []
    for board in boards:
        rows = board.to_dict()["entries"]
        for rules, task in dict.fromkeys((entry.rules, entry.task) for entry in board.entries):
            same = [row for row in rows if (row["rules"], row["task"]) == (rules, task)]
            needed = rule_set(rules).task(task).threshold_percent
            groups.append({"lab": board.lab, "rules": rules, "task": task, "threshold": needed, "entries": same})
    if not groups:
        return fallback
    return Part("leaderboard", "Leaderboard", {"groups": groups}, fallback, root="../").to_html()


def write_page(
    course: Course,
    boards: Sequence[Leaderboard],
    *,
    publish: bool = False,
) -> tuple[Path, Path | None]:
    """Write the leaderboards as one page, ``grading/leaderboard.html``.

    Parameters
    ----------
    course : Course
    boards : sequence of Leaderboard
    publish : bool
        Also put them into the website.

    Returns
    -------
    tuple of Path and Path or None
        The page, and the page of the website if there is one now.
    """
    body = "\n".join(
        f"<section><h2>{escape(board.lab)}</h2>\n{leaderboard_html(board, level=3)}</section>" for board in boards
    )
    path = course.grading / "leaderboard.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html_page("Leaderboard", f"<h1>Leaderboard</h1>\n<main>{body}</main>", STYLE), encoding="utf-8")
    if not publish:
        return path, None
    return path, publish_leaderboard(course, interactive_html(boards, f"<style>{STYLE}</style>\n{body}"))


def read_pseudonyms(path: Path) -> dict[str, str]:
    """Read a CSV file with the columns ``student`` and ``pseudonym``.

    Raises
    ------
    UsageError
        If it cannot be read, has other columns, or gives two students the same pseudonym.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    if not rows or not {"student", "pseudonym"} <= set(rows[0]):
        found = ", ".join(map(str, rows[0])) if rows else "no row"
        raise UsageError(f"{path}: expected the columns student and pseudonym, found {found}")
    names = {row["student"].strip(): row["pseudonym"].strip() for row in rows if row["student"] and row["pseudonym"]}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise UsageError(f"{path}: the pseudonym {twice[0]!r} stands for several students; give each their own")
    return names


def _table(board: Leaderboard, order: _Order) -> str:
    """The entries in one order; those of the same value stay in the order of their places."""
    places = dict(zip(map(id, board.entries), board.places, strict=True))
    rows = "".join(_row(entry, places[id(entry)]) for entry in sorted(board.entries, key=order.value))
    heads = ("place", "student", "accuracy", "score", "parameters", "bits each", "MACs")
    cells = "".join(f'<th scope="col"{_sorted(order, head)}>{head}</th>' for head in heads)
    return (
        f"<table><caption>Sorted by {order.name}</caption><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _sorted(order: _Order, head: str) -> str:
    if order.name != head:
        return ""
    return f' aria-sort="{"descending" if head == "accuracy" else "ascending"}"'


def _row(entry: Entry, place: int | None) -> str:
    values: list[Any] = [
        place or "–",
        escape(entry.student),
        f"{100 * entry.accuracy:.2f} %",
        f"{entry.score:.4f}",
        f"{entry.params:,}",
        f"{entry.stored_bits / max(entry.params, 1):.1f}",
        f"{entry.live_macs:,}",
    ]
    kind = "" if entry.qualified else f' class="below" title="below {entry.threshold_percent} % accuracy"'
    return f"<tr{kind}>{''.join(f'<td>{value}</td>' for value in values)}</tr>"


def _word(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)
