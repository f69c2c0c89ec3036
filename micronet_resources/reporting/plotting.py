"""Bar plots of where the cost of a network lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from factorkit.plots import PALETTE
from micronet_resources.reporting.columns import COLUMNS, NO_SCORE
from micronet_resources.reporting.layout import shorten

if TYPE_CHECKING:
    from micronet_resources.reporting.comparison import Comparison
    from micronet_resources.reporting.views import Views

__all__ = ["plot_comparison", "plot_layers"]

MOST_BARS = 24
MOST_PAIRS = 16
LONGEST_NAME = 32
OTHERS = "other layers"
LABELS = {"macs": "MACs per example", "params": "parameters", "score": "MicroNet score"}
Costs = Mapping[str, tuple[float, ...]]  # of each layer, one number for each network


def plot_layers(profile: Views, ax: Axes | None = None, by: str = "macs") -> Axes:
    """Draw one bar per layer that costs anything, in the order of running.

    Where these are too many for one figure, layers inside the same module share a bar; where that does not help, those
    that cost least do.

    Parameters
    ----------
    profile : ModelProfile
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
    _check(by, profile)
    layers = profile._layer_values(measured=False)
    names, [bars], what = _readable({layer["name"]: (layer[by],) for layer in layers}, by, MOST_BARS)
    ax = _axes(ax, len(names))
    drawn = ax.barh(range(len(names)), bars, color=PALETTE[0], height=0.75)
    if names[-1].endswith(OTHERS):
        drawn[-1].set(facecolor="gray", hatch="//", edgecolor="white")
    shares = [COLUMNS["share"].write(bar / sum(bars)) for bar in bars]
    ax.bar_label(drawn, shares, padding=3, fontsize=9)
    return _finish(ax, names, by, what)


def plot_comparison(comparison: Comparison, ax: Axes | None = None, by: str = "macs") -> Axes:
    """Draw a pair of bars for each layer of two profiles; else as :func:`plot_layers` does."""
    _check(by, comparison.before)
    _check(by, comparison.after)
    costs = {row.name: (row.before.get(by, 0), row.after.get(by, 0)) for row in comparison.rows}
    names, pairs, what = _readable(costs, by, MOST_PAIRS)
    ax = _axes(ax, 1.6 * len(names))
    looks = (("before", -0.2, PALETTE[0], ""), ("after", 0.2, PALETTE[4], "//"))
    for bars, (label, offset, color, hatch) in zip(pairs, looks, strict=True):
        places = [place + offset for place in range(len(names))]
        ax.barh(places, bars, height=0.38, label=label, color=color, hatch=hatch, edgecolor="white")
    ax.legend()
    return _finish(ax, names, by, what)


def _check(by: str, profile: Views) -> None:
    if by not in LABELS:
        raise ValueError(f"by={by!r}: draw by {', '.join(map(repr, LABELS))}.")
    if by == "score" and profile.layer_scores is None:
        raise ValueError(profile.measured_score or NO_SCORE)


def _readable(costs: Costs, by: str, most: int) -> tuple[list[str], list[list[float]], str]:
    """Return names, one list of bars for each network, and whether the bars are layers or modules."""
    costs = {name: values for name, values in costs.items() if any(values)}
    if not costs:
        raise ValueError(f"there is nothing to draw: all layers have 0 {COLUMNS[by].heading}.")
    what, drawn = "layer", costs
    for depth in range(max(name.count(".") for name in costs), 0, -1):
        if len(drawn) > most:
            what, drawn = "module", _gather(costs, {name: ".".join(name.split(".")[:depth]) for name in costs})
    if len(drawn) > most:
        what, largest = "layer", sorted(costs, key=lambda name: -max(costs[name]))[: most - 1]
        others = f"{len(costs) - len(largest)} {OTHERS}"
        names = [*(name for name in costs if name in largest), others]
        gathered = _gather(costs, {name: name if name in largest else others for name in costs})
        drawn = {name: gathered[name] for name in names}
    return list(drawn), [list(bars) for bars in zip(*drawn.values(), strict=True)], what


def _gather(costs: Costs, groups: Mapping[str, str]) -> Costs:
    sums: dict[str, tuple[float, ...]] = {}
    for name, values in costs.items():
        so_far = sums.get(groups[name], (0,) * len(values))
        sums[groups[name]] = tuple(a + b for a, b in zip(so_far, values, strict=True))
    return sums


def _axes(ax: Axes | None, bars: float) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 1 + 0.24 * max(bars, 4)), layout="constrained")[1]


def _finish(ax: Axes, names: list[str], by: str, what: str) -> Axes:
    labels = [shorten(name, LONGEST_NAME) for name in names]
    ax.set_yticks(range(len(names)), labels, fontsize=9, parse_math=False)  # a name may hold a dollar sign
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.margins(x=0.14)
    ax.grid(axis="x", alpha=0.3)
    ax.grid(axis="y", visible=False)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.locator_params(axis="x", nbins=6)
    if by != "score":
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set(xlabel=LABELS[by], ylabel=what)
    return ax
