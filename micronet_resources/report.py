"""The tables that a profile shows in a terminal and in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass

import pandas as pd

__all__ = ["LayerProfile", "ModelProfile", "html_table", "text_table"]

COLUMNS = ("layer", "kind", "output", "params", "MACs")


@dataclass(frozen=True)
class LayerProfile:
    """What one module costs by itself, without its children.

    Parameters
    ----------
    name : str
        Path in the model, as in ``named_modules``; ``"(model)"`` for the model itself.
    kind : str
        Class name.
    output_shape : tuple of int or None
        Of the last output, without the batch dimension; None if the module did not run.
    params : int
        Elements of the parameters that this module owns and no earlier one.
    macs : int
        Multiply-accumulates per example, of all calls together.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    params: int
    macs: int


@dataclass(frozen=True, repr=False)
class ModelProfile:
    """What a network costs for one example.

    Parameters
    ----------
    model : str
        Class name of the network.
    input_shape : tuple of int
        Of one example.
    params : int
        Elements of all parameters; one that several modules share counts once.
    macs : int
        Multiply-accumulates of convolutions, linear maps, matrix products, recurrent layers and attention.
    layers : tuple of LayerProfile
        Each with its own costs; they add up to ``params`` and ``macs``.
    buffers : int
        Elements of all registered buffers, such as running statistics; not among ``params``.
    products : int
        Multiplications and divisions of two tensors element by element; not among ``macs``.
    notes : tuple of str
        What to know about this count.
    """

    model: str
    input_shape: tuple[int, ...]
    params: int
    macs: int
    layers: tuple[LayerProfile, ...]
    buffers: int = 0
    products: int = 0
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the layers as a table with columns ``name, kind, output_shape, params, macs``."""
        columns = ["name", "kind", "output_shape", "params", "macs"]
        return pd.DataFrame([[getattr(layer, c) for c in columns] for layer in self.layers], columns=columns)

    def _title(self) -> str:
        shape = _by(self.input_shape)
        return f"{self.model}, input {shape}: {self.params:,} parameters, {self.macs:,} MACs per example"

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [(x.name, x.kind, _by(x.output_shape), f"{x.params:,}", f"{x.macs:,}") for x in self.layers]
        return [*rows, ("total", "", "", f"{self.params:,}", f"{self.macs:,}")]

    def __repr__(self) -> str:
        table = text_table([COLUMNS, *self._rows()], "lllrr")
        return "\n".join([self._title(), table, *(f"Note: {note}." for note in self.notes)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>Note: {html.escape(note)}.</p>" for note in self.notes)
        return html_table([COLUMNS, *self._rows()], "lllrr", caption=self._title()) + notes


def _by(shape: tuple[int, ...] | None) -> str:
    return "did not run" if shape is None else " x ".join(map(str, shape)) or "scalar"


def text_table(rows: list[tuple[str, ...]], align: str) -> str:
    """Lay out a heading, rows and a total for a terminal; ``align`` has one ``l`` or ``r`` per column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.rjust(w) if a == "r" else c.ljust(w) for c, w, a in zip(row, widths, align, strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    rule = "  " + "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def html_table(rows: list[tuple[str, ...]], align: str, caption: str) -> str:
    """Lay out a heading, rows and a total for a notebook; every text is escaped."""
    sides = ["right" if a == "r" else "left" for a in align]

    def line(cells: tuple[str, ...], tag: str) -> str:
        pairs = zip(cells, sides, strict=True)
        inner = "".join(f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>' for cell, side in pairs)
        return f"<tr>{inner}</tr>"

    head, *body, total = rows
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead>{line(head, 'th')}</thead>"
        f"<tbody>{''.join(line(row, 'td') for row in body)}</tbody><tfoot>{line(total, 'th')}</tfoot></table>"
    )
