"""The partition of cells on a line that is exactly optimal, and the fast way to one that is nearly so."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from factorkit.clustering.cells import Cells, sum_of_squares

__all__ = ["best_starts", "merge", "refine"]

PLACES = 5  # to each side of a border
LEAST_GAIN = 1e-4  # share of the error; the round after it would gain a small part of that


def merge(cells: Cells, parts: int) -> np.ndarray:
    """Where each of at most ``parts`` wider cells begins, in cells.

    A good quantizer has centroids as dense as the cube root of the density of the numbers (Panter and Dite, 1951), so
    the wider cells have equal shares of the integral of that cube root. A cell that alone has more than one share is
    left alone.
    """
    if len(cells.means) <= parts:
        return np.arange(len(cells.means))
    widths = np.diff(cells.means)
    widths = np.concatenate([widths[:1], (widths[1:] + widths[:-1]) / 2, widths[-1:]])
    shares = np.cbrt(cells.counts * widths**2)  # density ** (1/3) * width
    while shares.max() > 1.01 * shares.sum() / parts:
        shares = np.minimum(shares, shares.sum() / parts)
    groups = np.minimum((np.cumsum(shares) / shares.sum() * parts).astype(np.intp), parts - 1)
    return np.concatenate([[0], np.flatnonzero(np.diff(groups)) + 1])


def best_starts(cells: Cells, k: int) -> np.ndarray:
    """Where each part of the best partition of m cells into k parts begins, by dynamic programming.

    With :math:`D_j(e)` the least sum of squares of the first e cells in j parts, and :math:`C(s, e)` that of the cells
    from s up to e in one part, :math:`D_j(e) = \\min_s D_{j-1}(s) + C(s, e)` (Bellman, 1973), for all e at once and
    parts of at most r cells. The result says whether r was enough: :math:`D_j(m)` is convex in j, so if cutting any
    part of more than r cells in two saves at least :math:`D_{k-1}(m) - D_k(m)`, no partition with such parts is better.
    If not, r is doubled.

    Parameters
    ----------
    cells : Cells
    k : int
        At most the number of cells.

    Returns
    -------
    ndarray of int, shape (k,)

    Examples
    --------
    >>> from factorkit.clustering.cells import gather
    >>> best_starts(gather(np.array([0.0, 0.1, 5.0, 5.2, 9.0]), 3), 3)
    array([0, 2, 4])
    """
    size = len(cells.means)
    most = size - k + 1
    reach = min(-(-2 * size // k), most)
    while True:
        starts, saved = _shortest_path(cells, k, reach)
        if reach == most or _gain(cells, reach + 1) >= saved:
            return starts
        reach = min(2 * reach, most)


def _gain(cells: Cells, length: int) -> float:
    """What cutting a part of so many cells in the middle saves at least."""
    starts = np.arange(len(cells.means) - length + 1)
    middles, ends = starts + length // 2, starts + length
    return (cells.spread(starts, ends) - cells.spread(starts, middles) - cells.spread(middles, ends)).min()


def _shortest_path(cells: Cells, k: int, reach: int) -> tuple[np.ndarray, float]:
    """The best partition into k parts of at most ``reach`` cells, and how much worse the best one into k - 1 is."""
    size = len(cells.means)
    padding = np.full((3, reach - 1), [[-1.0], [0.0], [0.0]])
    before = sliding_window_view(np.concatenate([padding, cells.sums[:, :-1]], 1), size, axis=1)
    costs = sum_of_squares(
        *(cells.sums[:, None, 1:] - before)
    )  # column e: parts that begin reach, ..., 1 cells before e
    layers = np.full((k + 1, reach + size), np.inf)
    layers[0, reach - 1] = 0.0
    windows = sliding_window_view(layers[:-1, :-1], size, axis=1)
    candidates = np.empty_like(costs)
    for last, layer in zip(windows, layers[1:], strict=True):
        np.add(last, costs, out=candidates)
        np.minimum.reduce(candidates, 0, out=layer[reach:])
    starts, end = np.empty(k, np.intp), size
    for part in reversed(range(k)):
        end += int(np.argmin(layers[part, end - 1 : end + reach - 1] + costs[:, end - 1])) - reach
        starts[part] = end
    return starts, layers[k - 1, -1] - layers[k, -1]


def refine(cells: Cells, starts: np.ndarray) -> np.ndarray:
    """Move the borders of a partition to the best places near them, all at once, until that gains next to nothing.

    Each border may go to one of 11 places around it, and dynamic programming finds the best combination. The places
    reach an eighth of the way to the next border; where one in the middle is best, they lie closer together in the next
    round.

    Examples
    --------
    >>> from factorkit.clustering.cells import gather
    >>> cells = gather(np.array([0.0, 0.1, 0.2, 5.0, 5.2, 9.0]), 3)
    >>> refine(cells, np.array([0, 1, 5]))
    array([0, 3, 5])
    """
    size, steps = len(cells.means), np.arange(-PLACES, PLACES + 1)
    borders, error = np.append(starts, size), np.inf
    strides = np.maximum(np.minimum(np.diff(borders[:-1]), np.diff(borders[1:])) // (8 * PLACES), 1)
    ends = np.zeros((1, len(steps)), np.intp)
    while True:
        places = np.clip(borders[1:-1, None] + strides[:, None] * steps, 1, size - 1)
        places = np.concatenate([ends, places, ends + size])
        begin, end = places[:-1, :, None], places[1:, None, :]
        costs = np.where(begin < end, cells.spread(np.minimum(begin, end - 1), end), np.inf)
        totals, chosen = np.zeros(len(steps)), []
        for cost in costs:
            candidates = totals[:, None] + cost
            chosen.append(candidates.argmin(0))
            totals = candidates.min(0)
        taken = [0]
        for best in reversed(chosen):
            taken.append(int(best[taken[-1]]))
        taken = np.array(taken[-2:0:-1], np.intp)
        borders[1:-1] = places[1:-1][np.arange(len(taken)), taken]
        if error - totals[0] <= LEAST_GAIN * totals[0]:
            return borders[:-1]
        inside = np.abs(taken - PLACES) < PLACES
        strides, error = np.where(inside, np.maximum(strides // PLACES, 1), strides), totals[0]
