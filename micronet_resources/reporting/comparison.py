"""Two profiles side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from micronet_resources.reporting.alignment import align
from micronet_resources.reporting.columns import COLUMNS
from micronet_resources.reporting.layout import Table
from micronet_resources.reporting.views import Views

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Comparison", "ComparisonRow", "compare"]


@dataclass(frozen=True)
class ComparisonRow:
    """What one layer costs before and after.

    Parameters
    ----------
    name : str
    before, after : mapping of str to object
        ``kind``, ``params``, ``macs`` and, with rules, ``score``; empty if the network has no such layer.
    """

    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def ratio(self, cost: str) -> float | None:
        """What is left of a cost: after / before. None if there was none, or the layer is in one network only."""
        if not self.before.get(cost) or cost not in self.after:
            return None
        return self.after[cost] / self.before[cost]


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two profiles side by side, layer by layer. :func:`compare` makes it.

    Parameters
    ----------
    before, after : ModelProfile
    """

    before: Views
    after: Views

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the costs that are compared: the score is one if both profiles have rules."""
        scored = self.before.layer_scores is not None and self.after.layer_scores is not None
        return ("params", "macs", "score") if scored else ("params", "macs")

    @cached_property
    def rows(self) -> tuple[ComparisonRow, ...]:
        """One row for each layer of either network, in the order of the first.

        Layers are matched by name, or by their order and kind where they are only numbered and not as many. A layer
        that the other network has replaced by a module with layers inside is compared with their sum.
        """
        before = {layer["name"]: layer for layer in self.before._layer_values(measured=False)}
        after = {layer["name"]: layer for layer in self.after._layer_values(measured=False)}
        names = align(before, after)
        after = {names[name]: layer for name, layer in after.items()}
        before, after = _gathered(before, after), _gathered(after, before)
        moved = {
            key: f"{key} → {name}" for name, key in names.items() if key in before and key in after and key != name
        }
        return tuple(
            ComparisonRow(moved.get(name, name), self._costs_of(before.get(name)), self._costs_of(after.get(name)))
            for name in _merged(list(before), list(after))
        )

    @property
    def total(self) -> ComparisonRow:
        """The costs of the whole networks."""
        sides = []
        for profile in (self.before, self.after):
            sides.append({"kind": profile.model, "params": profile.params, "macs": profile.macs})
            if "score" in self.costs:
                sides[-1]["score"] = sum(profile.layer_scores)
        return ComparisonRow("total", *sides)

    def _costs_of(self, layer: Mapping[str, Any] | None) -> dict[str, Any]:
        return {} if layer is None else {name: layer[name] for name in ("kind", *self.costs)}

    def table(self) -> Table:
        """Return the layers that differ as a table, those that are alike summed in one row."""
        headings = ["layer", "kind"]
        for cost in self.costs:
            headings += [COLUMNS[cost].heading, "after", "ratio"]
        differing = [row for row in self.rows if row.before != row.after]
        alike = [row for row in self.rows if row.before == row.after]
        rows = [self._cells(row) for row in differing]
        if alike:
            sums = {cost: sum(row.before[cost] for row in alike) for cost in self.costs}
            kind = {"kind": _layers(len(alike))}
            rows.append(self._cells(ComparisonRow("unchanged", kind | sums, kind | sums)))
        total = self._cells(self.total)
        total = (total[0], "", *total[2:])
        optional = {1: "kind"} | {4 + 3 * i: f"ratio of {headings[2 + 3 * i]}" for i in range(len(self.costs))}
        return Table(self._title(), [tuple(headings), *rows, total], "ll" + "rrr" * len(self.costs), {}, optional)

    def _cells(self, row: ComparisonRow) -> tuple[str, ...]:
        kinds = [side["kind"] for side in (row.before, row.after) if "kind" in side]
        cells = [row.name, " → ".join(dict.fromkeys(kinds))]
        for cost in self.costs:
            write, ratio = COLUMNS[cost].write, row.ratio(cost)
            cells += [write(side[cost]) if cost in side else "" for side in (row.before, row.after)]
            cells.append("" if ratio is None else _percent(ratio))
        return tuple(cells)

    def _title(self) -> str:
        total = self.total
        ratios = {COLUMNS[cost].heading: total.ratio(cost) for cost in self.costs}
        parts = [f"{name} {_percent(ratio)}" for name, ratio in ratios.items() if ratio is not None]
        ending = f"; after / before: {', '.join(parts)}" if parts else ""
        return f"{self.before.model} before, {self.after.model} after{ending}"

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_frame(self) -> pd.DataFrame:
        """Return all layers as a DataFrame: kind and costs before and after, and ``_ratio`` = after / before."""
        import pandas as pd

        frame = pd.DataFrame([_record(row, self.costs) for row in self.rows])
        counts = [f"{cost}_{side}" for cost in ("params", "macs") for side in ("before", "after")]
        return frame.astype(dict.fromkeys(counts, "Int64"))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, texts, lists and dictionaries, for JSON."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "layers": [_record(row, self.costs) for row in self.rows],
            "total": _record(self.total, self.costs),
        }

    def to_json(self, indent: int | None = 2) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def plot(self, ax: Axes | None = None, by: str = "macs") -> Axes:
        """Draw a pair of bars per layer; the arguments are those of :meth:`ModelProfile.plot`."""
        from micronet_resources.reporting.plotting import plot_comparison

        return plot_comparison(self, ax, by)


def compare(before: Views, after: Views) -> Comparison:
    """Put two profiles side by side.

    Layers are matched by name; where ``nn.Sequential`` only numbers them and one network has more, by their order and
    kind, and a row ``3 → 5`` has the names in both. A layer that became a module with layers inside, such as a
    convolution that was replaced by its factors, is compared with their sum.

    Parameters
    ----------
    before, after : ModelProfile
        Or profiles of entries.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If one of them is no profile, or both have rules and these differ.

    Examples
    --------
    >>> from torch import nn
    >>> from micronet_resources.profile import profile_model
    >>> dense = nn.Sequential(nn.Conv2d(8, 16, 3, bias=False), nn.Flatten(), nn.Linear(400, 10))
    >>> separable = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.Conv2d(8, 16, 1, bias=False))
    >>> twin = nn.Sequential(separable, nn.Flatten(), nn.Linear(400, 10))
    >>> compare(profile_model(dense, (8, 7, 7)), profile_model(twin, (8, 7, 7)))
    Sequential before, Sequential after; after / before: params 81.6 %, MACs 27.4 %
      layer      kind               params  after    ratio    MACs  after    ratio
      ----------------------------------------------------------------------------
      0          Conv2d → 2 layers   1,152    200   17.4 %  28,800  5,000   17.4 %
      unchanged  2 layers            4,010  4,010  100.0 %   4,000  4,000  100.0 %
      ----------------------------------------------------------------------------
      total                          5,162  4,210   81.6 %  32,800  9,000   27.4 %
    """
    for name, profile in (("before", before), ("after", after)):
        if not isinstance(profile, Views):
            raise ValueError(f"{name} is a {type(profile).__name__}: give a profile, as profile_model returns it.")
    scales = [(profile.rules, profile.task) for profile in (before, after) if profile.rules is not None]
    if len(set(scales)) > 1:
        raise ValueError(
            f"the scores are on two scales, {scales[0]} and {scales[1]}: profile both under the same rules."
        )
    return Comparison(before, after)


def _gathered(layers: dict[str, dict[str, Any]], other: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Sum the layers inside a module that is a single layer of the other network."""
    other = set(other)
    gathered: dict[str, dict[str, Any]] = {}
    for name, layer in layers.items():
        parents = [name[:i] for i, letter in enumerate(name) if letter == "." and name[:i] not in layers]
        key = next((parent for parent in parents if parent in other), name) if name not in other else name
        if key == name:
            gathered[key] = dict(layer)
            continue
        so_far = gathered.setdefault(key, {"name": key, "inside": 0})
        so_far["inside"] += 1
        so_far["kind"] = _layers(so_far["inside"])
        for cost in ("params", "macs", "score"):
            if cost in layer:
                so_far[cost] = so_far.get(cost, 0) + layer[cost]
    return gathered


def _merged(first: list[str], second: list[str]) -> list[str]:
    """All names, each of the second's own ones behind the name that it follows there."""
    names = list(first)
    place = 0
    for name in second:
        if name in names:
            place = names.index(name) + 1
        else:
            names.insert(place, name)
            place += 1
    return names


def _record(row: ComparisonRow, costs: Iterable[str]) -> dict[str, Any]:
    record = {"name": row.name, "kind_before": row.before.get("kind"), "kind_after": row.after.get("kind")}
    for cost in costs:
        record |= {f"{cost}_before": row.before.get(cost), f"{cost}_after": row.after.get(cost)}
        record[f"{cost}_ratio"] = row.ratio(cost)
    return record


def _layers(number: int) -> str:
    return f"{number:,} layer{'s' if number != 1 else ''}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %" if ratio < 10 else f"{ratio:,.0f} x"
