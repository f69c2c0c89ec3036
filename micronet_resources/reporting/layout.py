"""Tables for a terminal and for a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["WIDTH", "Table", "html_table", "shapes_text", "shorten", "text_table"]

WIDTH = 100  # columns of a terminal
NARROWEST = 10  # columns that a text keeps when it is shortened
Row = tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Table:
    """A heading, rows and a total that show themselves as text and as HTML.

    Parameters
    ----------
    title : str
    rows : sequence of tuple of str
        The heading first, the total last.
    align : str
        One letter per column: ``l`` for texts on the left, which are shortened where the table is too wide, ``L`` for
        texts that are never shortened, ``r`` for numbers on the right.
    bars : mapping of int to sequence of float
        Columns whose cells get a bar in HTML, and its length for each row between heading and total, from 0 to 1.
    optional : mapping of int to str
        Columns that a terminal can do without where the table is too wide for it, the first ones first, and what to
        call them then.

    Examples
    --------
    >>> Table("Fruit", [("kind", "price"), ("apple", "2"), ("pear", "13"), ("total", "15")], "lr")
    Fruit
      kind   price
      ------------
      apple      2
      pear      13
      ------------
      total     15
    """

    title: str
    rows: Sequence[Row]
    align: str
    bars: Mapping[int, Sequence[float]] = field(default_factory=dict)
    optional: Mapping[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        kept = list(range(len(self.align)))
        left_out = []
        for column, name in self.optional.items():
            if sum(self._least(i) + 2 for i in kept) > WIDTH:
                kept.remove(column)
                left_out.append(name)
        rows = [tuple(row[i] for i in kept) for row in self.rows]
        text = f"{self.title}\n{text_table(rows, ''.join(self.align[i] for i in kept))}"
        return f"{text}\n  Left out for want of width: {', '.join(left_out)}." if left_out else text

    def _least(self, column: int) -> int:
        """The room that a column needs when its texts are shortened."""
        widest = max(len(row[column]) for row in self.rows)
        return min(widest, NARROWEST) if self.align[column] == "l" else widest

    def _repr_html_(self) -> str:
        return html_table(self.rows, self.align, self.title, self.bars)


def text_table(rows: Sequence[Row], align: str) -> str:
    """Lay out a heading, rows and a total for a terminal.

    ``align`` has one letter per column: ``l``, ``L`` or ``r``, as in :class:`Table`. Where the table would be wider
    than :data:`WIDTH`, texts of columns ``l`` are shortened in their middle, the longest first.
    """
    widths = _fit([max(map(len, column)) for column in zip(*rows, strict=True)], align)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(room) if side == "r" else shorten(cell, room).ljust(room)
            for cell, room, side in zip(row, widths, align, strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    rule = "  " + "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _fit(widths: list[int], align: str) -> list[int]:
    fitted = list(widths)
    while sum(fitted) + 2 * len(fitted) > WIDTH:
        texts = [i for i, side in enumerate(align) if side == "l" and fitted[i] > NARROWEST]
        if not texts:
            break
        fitted[max(texts, key=lambda i: fitted[i])] -= 1
    return fitted


def shorten(text: str, room: int) -> str:
    """Keep both ends: the end of a layer's name tells more than its beginning."""
    if len(text) <= room:
        return text
    end = 2 * (room - 1) // 3
    return f"{text[: room - 1 - end]}…{text[len(text) - end :]}"


def html_table(rows: Sequence[Row], align: str, caption: str, bars: Mapping[int, Sequence[float]] | None = None) -> str:
    """Lay out a heading, rows and a total for a notebook; every text is escaped."""
    sides = ["right" if side == "r" else "left" for side in align]

    def line(cells: Row, heads: str, lengths: Mapping[int, float]) -> str:
        inner = ""
        for column, (cell, side) in enumerate(zip(cells, sides, strict=True)):
            scope = heads if heads == "col" or column == 0 else ""
            tag = f'th scope="{scope}"' if scope else "td"
            text = html.escape(cell)
            if column in lengths:
                text = f'{_bar(lengths[column])}<span style="display: inline-block; min-width: 4em">{text}</span>'
            inner += f'<{tag} style="text-align: {side}">{text}</{tag[:2]}>'
        return f"<tr>{inner}</tr>"

    head, *body, total = rows
    lengths = [{column: values[i] for column, values in (bars or {}).items()} for i in range(len(body))]
    middle = "".join(line(row, "row", bar) for row, bar in zip(body, lengths, strict=True))
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{line(head, 'col', {})}</thead>"
        f"<tbody>{middle}</tbody><tfoot>{line(total, 'row', {})}</tfoot></table>"
    )


def _bar(length: float) -> str:
    """A bar in the color of the text, so that it shows on a light and on a dark page; readers of screens skip it."""
    return (
        '<span aria-hidden="true" style="display: inline-block; width: 4em; margin-right: 0.5em; text-align: left">'
        '<span style="display: inline-block; height: 0.6em; background: currentColor; opacity: 0.5; '
        f'width: {100 * min(max(length, 0.0), 1.0):.1f}%"></span></span>'
    )


def shapes_text(shape: tuple | None) -> str:
    """Write one shape, or several.

    Examples
    --------
    >>> shapes_text((3, 32, 32)), shapes_text(((3, 32, 32), (10,))), shapes_text(())
    ('3 x 32 x 32', '3 x 32 x 32, 10', 'scalar')
    """
    if shape is None:
        return "did not run"
    if shape and not isinstance(shape[0], int):
        return ", ".join(map(shapes_text, shape))
    return " x ".join(map(str, shape)) or "scalar"
