"""Every way to look at a profile: table, tree, DataFrame, JSON, HTML and plot."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from micronet_resources.operations import KINDS, Operation
from micronet_resources.reporting.columns import COLUMNS, choose_columns
from micronet_resources.reporting.layout import Table, shapes_text, text_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from micronet_resources.inventory import Inventory
    from micronet_resources.report import LayerProfile
    from micronet_resources.scoring import Score

__all__ = ["Views"]

OPTIONAL = ("products", "input_shape", "bits", "kind")  # of all columns, those that a narrow terminal can do without


class Views:
    """What the profiles of models and of entries have in common: sums over their layers, and the ways to show them.

    A class that has these attributes gets the rest from here.

    Attributes
    ----------
    model : str
        Name of the network.
    input_shape : tuple of int, or tuple of such tuples
    params, params_used : int
    layers : tuple of LayerProfile
    inventory : Inventory
        Its operations are those of the layers, in the same order.
    notes : tuple of str
    rules, task : str or None
    """

    model: str
    input_shape: Any
    params: int
    params_used: int
    layers: tuple[LayerProfile, ...]
    inventory: Inventory
    notes: tuple[str, ...]
    rules: str | None
    task: str | None

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Operations of all layers, in the order of the layers."""
        return tuple(operation for layer in self.layers for operation in layer.operations)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions, linear maps, matrix products, recurrent layers and attention."""
        return sum(layer.macs for layer in self.layers)

    @property
    def multiplications(self) -> int:
        """Multiplications of all kinds of operations."""
        return sum(layer.multiplications for layer in self.layers)

    @property
    def additions(self) -> int:
        """Additions of all kinds of operations."""
        return sum(layer.additions for layer in self.layers)

    @property
    def products(self) -> int:
        """Products of two feature maps, element by element; not among ``macs``."""
        return sum(layer.products for layer in self.layers)

    @property
    def kinds(self) -> dict[str, tuple[int, int]]:
        """Multiplications and additions of each kind of operation that the network has."""
        sums = {kind: (0, 0) for kind in KINDS}
        for operation in self.operations:
            multiplications, additions = sums[operation.kind]
            sums[operation.kind] = (multiplications + operation.multiplications, additions + operation.additions)
        return {kind: arithmetic for kind, arithmetic in sums.items() if any(arithmetic)}

    def table(self, columns: str | Sequence[str] | None = None) -> Table:
        """Return the layers as a table that shows itself as text and as HTML.

        Parameters
        ----------
        columns : str or sequence of str, optional
            ``"all"`` (in a terminal, as many as have room), or names from ``name, kind, input_shape, output_shape,
            params, macs, multiplications, additions, products, bits, score, share``; by default the few that tell
            most. ``share`` is that of the score if the profile has rules, else that of the MACs; ``bits`` are the
            widths of the weights and of the activations that are multiplied, measured on their values.

        Returns
        -------
        Table

        Raises
        ------
        ValueError
            If there is no such column, or a score is asked for without rules.
        """
        names = choose_columns(columns, has_score=self.layer_scores is not None)
        chosen = [COLUMNS[name] for name in names]
        layers = self._layer_values(measured=any(column.is_measured for column in chosen))
        headings = ["of score" if name == "share" and self.layer_scores else COLUMNS[name].heading for name in names]
        rows = [tuple(COLUMNS[name].write(layer[name]) for name in names) for layer in layers]
        sums = {name: sum(layer[name] for layer in layers) for name in names if COLUMNS[name].is_sum}
        total = tuple(COLUMNS[name].write(sums[name]) if name in sums else "" for name in names)
        if names[0] == "name":
            total = ("total", *total[1:])
        shares = [layer["share"] for layer in layers]
        longest = max(shares, default=0) or 1
        bars = {i: [share / longest for share in shares] for i, name in enumerate(names) if name == "share"}
        align = "".join(column.align for column in chosen)
        optional = {names.index(name): COLUMNS[name].heading for name in OPTIONAL} if columns == "all" else {}
        return Table(self._title(), [tuple(headings), *rows, total], align, bars, optional)

    def to_frame(self, bits: bool = False) -> pd.DataFrame:
        """Return the layers as a DataFrame, one row each; columns are named as in :meth:`table`.

        Parameters
        ----------
        bits : bool, optional
            Whether ``weight_bits`` and ``input_bits`` are measured. With rules they always are.
        """
        import pandas as pd

        values = self._layer_values(measured=bits or self.layer_scores is not None)
        frame = pd.DataFrame([_without_pairs(layer) for layer in values])
        return frame.astype({name: "Int64" for name in ("weight_bits", "input_bits") if name in frame})

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, texts, lists and dictionaries, for JSON."""
        names = ("model", "input_shape", "params", "params_used", "macs", "multiplications", "additions", "products")
        record = {name: _plain(getattr(self, name)) for name in names}
        record["kinds"] = {kind: {"multiplications": m, "additions": a} for kind, (m, a) in self.kinds.items()}
        record |= {"rules": self.rules, "task": self.task}
        refused = isinstance(self.measured_score, str)
        record["score"] = None if refused or self.measured_score is None else self.measured_score.to_dict()
        record["layers"] = [
            {name: _plain(value) for name, value in _without_pairs(layer).items()}
            for layer in self._layer_values(measured=self.layer_scores is not None)
        ]
        record["notes"] = [*self.notes, self.measured_score] if refused else list(self.notes)
        return record

    def to_json(self, indent: int | None = 2) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def tree(self, depth: int | None = None) -> str:
        """Return nested modules with the sums of what they contain; ``depth`` says how deep to unfold them."""
        from micronet_resources.reporting.tree import draw_tree

        return draw_tree(self, depth)

    def plot(self, ax: Axes | None = None, by: str = "macs") -> Axes:
        """Draw where the cost lies, one bar per layer.

        Parameters
        ----------
        ax : Axes, optional
            A new figure by default.
        by : {"macs", "params", "score"}, optional

        Returns
        -------
        Axes

        Raises
        ------
        ValueError
            If ``by`` is none of these, a score is asked for without rules, or nothing costs anything.
        """
        from micronet_resources.reporting.plotting import plot_layers

        return plot_layers(self, ax, by)

    def _title(self) -> str:
        several = self.input_shape and not isinstance(self.input_shape[0], int)
        shapes = f"input{'s' if several else ''} {shapes_text(self.input_shape)}"
        return f"{self.model}, {shapes}: {self.params:,} parameters, {self.macs:,} MACs per example"

    @cached_property
    def measured_score(self) -> Score | str | None:
        """The score; why there is none; None without rules."""
        if self.rules is None:
            return None
        from micronet_resources.scoring import score

        try:
            return score(self, self.rules, self.task)
        except ValueError as error:
            return f"No score: {error}"

    @cached_property
    def layer_scores(self) -> tuple[float, ...] | None:
        """What each layer adds to the score; None if there is no score."""
        if self.measured_score is None or isinstance(self.measured_score, str):
            return None
        from micronet_resources.reporting.attribution import layer_scores

        return layer_scores(self)

    def _layer_values(self, *, measured: bool) -> list[dict[str, Any]]:
        """One dictionary per layer, with the names of :data:`COLUMNS`."""
        names = ("name", "kind", "input_shape", "output_shape", "params", "macs")
        names += ("multiplications", "additions", "products")
        records = [{name: getattr(layer, name) for name in names} for layer in self.layers]
        if measured:
            from micronet_resources.reporting.attribution import layer_bits

            for record, (weight_bits, input_bits) in zip(records, layer_bits(self), strict=True):
                record |= {"weight_bits": weight_bits, "input_bits": input_bits, "bits": (weight_bits, input_bits)}
        if self.layer_scores:
            for record, value in zip(records, self.layer_scores, strict=True):
                record["score"] = value
        basis = "score" if self.layer_scores else "macs"
        total = sum(record[basis] for record in records)
        for record in records:
            record["share"] = record[basis] / total if total else 0.0
        return records

    def _kinds_table(self) -> Table:
        rows = [(kind, f"{m:,}", f"{a:,}") for kind, (m, a) in self.kinds.items()]
        total = ("total", f"{self.multiplications:,}", f"{self.additions:,}")
        return Table("Arithmetic by kind", [("arithmetic", "multiplications", "additions"), *rows, total], "lrr")

    def __repr__(self) -> str:
        kinds = self._kinds_table()
        parts = [repr(self.table()), "", text_table(kinds.rows, kinds.align)]
        if self.measured_score is not None:
            parts += ["", str(self.measured_score)]
        return "\n".join([*parts, *(f"Note: {note}." for note in self.notes)])

    def _repr_html_(self) -> str:
        scored = self.measured_score
        if scored is None or isinstance(scored, str):
            ending = f"<p>{html.escape(scored)}</p>" if scored else ""
        else:
            ending = scored._repr_html_()
        notes = "".join(f"<p>Note: {html.escape(note)}.</p>" for note in self.notes)
        return f"<div>{self.table()._repr_html_()}{self._kinds_table()._repr_html_()}{ending}{notes}</div>"


def _without_pairs(layer: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is written in one cell of a table but has two columns of its own elsewhere."""
    return {name: value for name, value in layer.items() if name != "bits"}


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
