"""The figures of chapters and labs. Every function draws on ``ax`` (a new figure by default) and returns its Axes.

Series differ by marker and line style as well as by color, so that a figure can be read in print and by
everybody; the colors are those of Okabe and Ito.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from factorkit.checks import being_graded

__all__ = ["PALETTE", "plot_costs", "plot_history", "plot_images", "plot_kernels", "plot_tradeoff", "use_style"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
LABELS = {
    "accuracy": "test accuracy (%)",
    "macs": "MACs per image",
    "params": "parameters",
    "score": "MicroNet score",
    "seconds": "time (s)",
}


def use_style(*, draw_when_graded: bool = False) -> None:
    """Set matplotlib's defaults to the look of the course, for all figures that follow.

    While a grader runs the notebook, figures are made and closed as ever but not drawn: a line of text stands for each.
    In lab 01 drawing was a quarter of the time of grading, and its figures two thirds of a page of feedback.

    Parameters
    ----------
    draw_when_graded : bool, optional
        Draw them then, too: for a lab in which a person gives points for a figure.

    Examples
    --------
    >>> use_style()
    >>> plt.rcParams["axes.grid"]
    True
    """
    plt.rcParams.update(
        {
            "axes.grid": True,
            "axes.prop_cycle": plt.cycler(color=PALETTE),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.figsize": (6.0, 3.6),
            "font.size": 11,
            "grid.alpha": 0.3,
            "image.cmap": "RdBu_r",
            "legend.frameon": False,
            "savefig.dpi": 160,
        }
    )
    if being_graded():
        _show_figures_as({"png"} if draw_when_graded else set())


def _show_figures_as(formats: set[str]) -> None:
    """What ``%config InlineBackend.figure_formats = ...`` does; without any, a line of text stands for a figure."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        from matplotlib_inline.config import InlineBackend

        InlineBackend.instance(parent=shell).figure_formats = formats


def _new_axes(ax: Axes | None) -> Axes:
    return plt.subplots()[1] if ax is None else ax


def plot_history(histories: Mapping[str, pd.DataFrame], column: str = "test_accuracy", ax: Axes | None = None) -> Axes:
    """Draw one column of training histories over the epochs.

    Parameters
    ----------
    histories : mapping of str to DataFrame
        Label and the result of :func:`factorkit.training.fit`.
    column : str, optional
        Fractions (``..._accuracy``) are drawn in percent.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a history has no such column.
    """
    ax = _new_axes(ax)
    percent = column.endswith("accuracy")
    for (label, history), color, marker, line in zip(
        histories.items(), cycle(PALETTE), cycle(MARKERS), cycle(LINES), strict=False
    ):
        if column not in history:
            raise ValueError(f"column={column!r}: the history {label!r} has {', '.join(map(repr, history.columns))}.")
        values = history[column] * (100 if percent else 1)
        ax.plot(history["epoch"], values, color=color, marker=marker, linestyle=line, label=label)
    ax.set(xlabel="epoch", ylabel=column.replace("_", " ") + (" (%)" if percent else ""))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def plot_tradeoff(
    points: pd.DataFrame | Mapping[str, Mapping[str, float]],
    x: str = "macs",
    y: str = "accuracy",
    *,
    baseline: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw networks as labeled points: what they cost against what they reach.

    Parameters
    ----------
    points : DataFrame or mapping
        One row (or inner mapping) per network, labeled by the index (or key). A column ``<y>_std`` is drawn as
        error bars. A column named ``accuracy`` holds fractions and is drawn in percent.
    x, y : str, optional
        Column names. ``x`` is drawn on a logarithmic axis.
    baseline : str, optional
        Label of the network that the others are compared with: gets a dotted line at its height.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing, or ``x`` holds a value that is not positive.

    Examples
    --------
    >>> ax = plot_tradeoff({"dense": {"macs": 9.9e6, "accuracy": 0.95}, "separable": {"macs": 2e6, "accuracy": 0.93}})
    >>> ax.get_xlabel()
    'MACs per image'
    """
    frame = points if isinstance(points, pd.DataFrame) else pd.DataFrame(points).T
    for column in (x, y):
        if column not in frame:
            raise ValueError(f"no column {column!r} to draw: there are {', '.join(map(repr, frame.columns))}.")
    if not (frame[x] > 0).all():
        raise ValueError(f"column {x!r} is drawn on a logarithmic axis and must be positive: {frame[x].tolist()}.")
    ax = _new_axes(ax)
    scale = 100 if y == "accuracy" else 1
    for (label, row), color, marker in zip(frame.iterrows(), cycle(PALETTE), cycle(MARKERS), strict=False):
        spread = row[f"{y}_std"] * scale if f"{y}_std" in frame else None
        ax.errorbar(row[x], row[y] * scale, yerr=spread, color=color, marker=marker, markersize=8, capsize=4, ls="none")
        ax.annotate(str(label), (row[x], row[y] * scale), xytext=(8, 6), textcoords="offset points", color=color)
    if baseline is not None:
        ax.axhline(frame.loc[baseline, y] * scale, color="gray", linestyle=":", linewidth=1)
    ax.set_xscale("log")
    ax.margins(x=0.25, y=0.2)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(y, y))
    return ax


def plot_costs(costs: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Draw parameters and MACs of several layers or networks as pairs of bars, relative to the first.

    Parameters
    ----------
    costs : mapping of str to ConvCost or ModelProfile
        Anything with integer attributes ``params`` and ``macs``.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not costs:
        raise ValueError("costs={}: give at least one layer, the first is the one that the others are compared with.")
    ax = _new_axes(ax)
    labels, values = list(costs), list(costs.values())
    positions = np.arange(len(labels))
    for offset, name, title, hatch, color in (
        (-0.2, "params", "parameters", "", PALETTE[0]),
        (0.2, "macs", "MACs", "//", PALETTE[4]),
    ):
        ratios = [100 * getattr(cost, name) / getattr(values[0], name) for cost in values]
        bars = ax.barh(
            positions + offset, ratios, height=0.38, label=title, color=color, hatch=hatch, edgecolor="white"
        )
        ax.bar_label(bars, [f"{getattr(cost, name):,}" for cost in values], padding=4, fontsize=9)
    ax.set_yticks(positions, labels)
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=f"share of {labels[0]} (%)")
    ax.legend()
    return ax


def plot_kernels(
    weights: torch.Tensor | np.ndarray | Mapping[str, torch.Tensor | np.ndarray],
    *,
    columns: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Draw two-dimensional kernels as images on one common color scale, zero in white.

    Parameters
    ----------
    weights : array of shape N x k_h x k_w, or mapping of str to k_h x k_w
        The mapping's keys are written above its kernels.
    columns : int, optional
        Kernels in one row of the figure.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the kernels are not two-dimensional or differ in shape.
    """
    labels = list(weights) if isinstance(weights, Mapping) else None
    kernels = [np.asarray(torch.as_tensor(k).detach(), dtype=float) for k in _values(weights)]
    if not kernels or any(k.ndim != 2 or k.shape != kernels[0].shape for k in kernels):
        raise ValueError(f"kernels must all be k_h x k_w alike: got shapes {sorted({k.shape for k in kernels})}.")
    limit = max(np.abs(k).max() for k in kernels) or 1.0
    ax = _draw_tiles(kernels, labels, columns, ax, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.figure.colorbar(ax.images[0], ax=ax, label="weight", shrink=0.8)
    return ax


def plot_images(
    images: torch.Tensor,
    labels: Sequence[int] | torch.Tensor | None = None,
    classes: Sequence[str] | None = None,
    *,
    columns: int = 8,
    ax: Axes | None = None,
) -> Axes:
    """Draw images with the names of their classes.

    Parameters
    ----------
    images : uint8 tensor of shape N x C x H x W
        With 1 or 3 channels.
    labels : sequence of int, optional
        One per image.
    classes : sequence of str, optional
        Names by label.
    columns : int, optional
        Images in one row of the figure.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the images do not have this shape or the labels another number.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images of shape {tuple(images.shape)}: expected N x C x H x W with 1 or 3 channels.")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels for {len(images)} images: give one label per image.")
    names = None if labels is None else [str(classes[int(i)]) if classes else str(int(i)) for i in labels]
    tiles = [image.permute(1, 2, 0).squeeze(-1).numpy() for image in images]
    return _draw_tiles(tiles, names, columns, ax, cmap="gray", vmin=0, vmax=255)


def _values(weights: Any) -> list[Any]:
    return list(weights.values()) if isinstance(weights, Mapping) else list(weights)


def _draw_tiles(
    tiles: Sequence[np.ndarray], labels: Sequence[str] | None, columns: int, ax: Axes | None, **imshow: Any
) -> Axes:
    """Draw tiles side by side in one Axes, each over the unit square of its row and column."""
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    head = 0.28 if labels else 0.08
    if ax is None:
        _, ax = plt.subplots(figsize=(1.15 * columns + 0.6, (1 + head) * 1.15 * rows))
    for index, tile in enumerate(tiles):
        left, top = index % columns, (index // columns) * (1 + head)
        ax.imshow(tile, extent=(left + 0.04, left + 0.96, top + 0.96, top + 0.04), interpolation="nearest", **imshow)
        if labels:
            ax.text(left + 0.5, top, labels[index], ha="center", va="bottom", fontsize=9)
    ax.set(xlim=(0, columns), ylim=(rows * (1 + head), -head), aspect="equal")
    ax.set_axis_off()
    return ax
