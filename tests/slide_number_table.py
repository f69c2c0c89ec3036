"""The slides' numbers as tables of a page, one for each lecture, each number with the code that shows it."""

from __future__ import annotations

import ast
import html
import inspect
import math
from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby
from pathlib import Path

from .slide_number import SlideNumber
from .slide_numbers import LECTURES, SLIDE_NUMBERS

__all__ = ["derivation", "lecture_table", "rounded", "verdicts"]

COLUMNS = ("slide and quantity", "printed", "re-derived", "verdict", "why")
_ROOT = Path(__file__).parents[1]


def verdicts(numbers: Iterable[SlideNumber] = SLIDE_NUMBERS) -> dict[str, int]:
    """How many numbers have each verdict, most frequent first."""
    found = [number.verdict for number in numbers]
    return dict(sorted(((verdict, found.count(verdict)) for verdict in set(found)), key=lambda pair: -pair[1]))


def lecture_table(lecture: str) -> str:
    """The numbers of one lecture as an HTML table, the slides in their order.

    Raises
    ------
    KeyError
        If there is no such lecture.
    """
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = []
    for slide, numbers in groupby(LECTURES[lecture], key=lambda number: number.slide):
        rows.append(f'<tr><th scope="colgroup" colspan="{len(COLUMNS)}">{html.escape(slide)}</th></tr>')
        rows += [_row(number) for number in numbers]
    return f'<table class="slide-numbers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def rounded(number: SlideNumber) -> str:
    """The derived value with one digit more than the slide prints; empty where nothing can be derived."""
    if number.derive is None:
        return ""
    digit = max(min(number.digit, 1), 1e-3)  # exact numbers are printed as if they had three decimals
    return f"{float(number.derive()):,.{1 - math.floor(math.log10(digit))}f}".rstrip("0").rstrip(".")


def derivation(number: SlideNumber) -> str:
    """The expression that derives a value, with the values of the names that the record fixes.

    Raises
    ------
    ValueError
        If the record has no derivation.
    """
    if number.derive is None:
        raise ValueError(f"{number.slide}: {number.quantity}: was measured, no code derives it.")
    function = number.derive
    expression = _expression(function)
    fixed = dict(inspect.getclosurevars(function).nonlocals)
    fixed |= {name: value.default for name, value in inspect.signature(function).parameters.items()}
    given = ", ".join(f"{name} = {_shown(value)}" for name, value in fixed.items())
    return f"{expression}, {given}" if given else expression


def _row(number: SlideNumber) -> str:
    note = html.escape(number.note)
    if number.source:
        note += f' <a href="../bibliography.html">[{html.escape(number.source)}]</a>'
    if number.derive is not None:
        path, line = _place(number.derive)
        code = html.escape(derivation(number))
        note += f"<details><summary>{path}, line {line}</summary><code>{code}</code></details>"
    cells = (html.escape(number.quantity), html.escape(number.printed), rounded(number))
    plain = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr>{plain}<td><span class="verdict {number.verdict}">{number.verdict}</span></td><td>{note}</td></tr>'


def _place(function: Callable) -> tuple[str, int]:
    path = Path(inspect.getsourcefile(function)).relative_to(_ROOT)
    return path.as_posix(), function.__code__.co_firstlineno


def _expression(function: Callable) -> str:
    """What a lambda returns, on one line; the call of another function."""
    if function.__name__ != "<lambda>":
        return f"{function.__name__}()"
    code = function.__code__
    places = [place for place in code.co_positions() if None not in place]
    start = min((line, column) for line, _, column, end in places if column != end)
    bodies = _bodies(inspect.getsourcefile(function))
    body = max(
        (body for body in bodies if (body.lineno, body.col_offset) <= start), key=lambda b: (b.lineno, b.col_offset)
    )
    return ast.unparse(body)


@cache
def _bodies(path: str) -> list[ast.expr]:
    """What the lambdas of a file return."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return [node.body for node in ast.walk(tree) if isinstance(node, ast.Lambda)]


def _shown(value: object) -> str:
    if callable(value):
        return getattr(value, "__name__", repr(value))
    return repr(value)
