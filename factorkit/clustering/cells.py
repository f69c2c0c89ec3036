"""Numbers on a line, gathered into cells, and the partition of the cells that is exactly optimal.

What :func:`factorkit.clustering.kmeans_1d` is made of. A cell is a count and a mean of numbers that lie beside each
other; the best centroids of n numbers are found from a few thousand cells, whatever n is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Cells", "best_starts", "gather", "merge", "refine", "settle"]

FEWEST_CELLS, MOST_CELLS, CELLS_PER_CENTROID = 2**12, 2**16, 2**9
SCALE = 4  # mean distances of the companding
SAMPLED, AT_ONCE = 2**14, 2**17
PLACES = 5  # to each side of a border
ROUNDS = 1000  # both iterations stop by themselves long before


@dataclass(frozen=True, eq=False)
class Cells:
    """Numbers in ascending order, gathered: how many are in each cell, and their mean minus a common offset.

    Parameters
    ----------
    counts, means : ndarray of float64, shape (m,)
    offset : float
        Mean of all numbers; what is left is small, and so are the rounding errors of sums of squares.
    inner : float
        Sum of the squared distances of all numbers to the means of their cells.
    """

    counts: np.ndarray
    means: np.ndarray
    offset: float
    inner: float

    @cached_property
    def sums(self) -> np.ndarray:
        """How many numbers, their sum and the sum of their squares before each cell and after the last, 3 x (m + 1)."""
        moments = self.counts * np.stack([np.ones_like(self.means), self.means, self.means**2])
        return np.concatenate([np.zeros((3, 1)), np.cumsum(moments, 1)], 1)

    def spread(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Squared distances to their mean, summed, of the cells from ``starts`` up to ``ends``, which is left out."""
        return _spread(*(self.sums[:, ends] - self.sums[:, starts]))

    def centroids(self, starts: np.ndarray) -> np.ndarray:
        """Mean, offset included, of each part of a partition whose parts begin at ``starts``."""
        count, total, _ = np.diff(self.sums[:, np.append(starts, len(self.means))])
        return total / count + self.offset


def _spread(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    return np.maximum(squares - total**2 / count, 0.0)


def gather(values: np.ndarray, k: int, *, exact: bool = False) -> Cells:
    """Gather numbers into cells: one for each different number, or of many numbers some hundred for each of k clusters.

    The cells of more than 512 k numbers (at least 4,096, at most 65,536) are equally wide after
    :math:`t \\mapsto t / (|t| + s)`, where t is the distance to the mean of a sample and s four times its mean absolute
    distance, so that they are narrow where weights of a network are and reach as far as the largest outlier.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (n,)
        Finite.
    k : int
    exact : bool, optional
        One cell for each different number, however many.

    Returns
    -------
    Cells

    Examples
    --------
    >>> cells = gather(np.array([3.0, 1.0, 3.0, 5.0]), 2)
    >>> cells.counts.tolist(), (cells.means + cells.offset).tolist()
    ([1.0, 2.0, 1.0], [1.0, 3.0, 5.0])
    """
    number = values.dtype.type
    sample = values[:: -(-len(values) // SAMPLED)]
    offset = sample.mean()
    scale = SCALE * np.abs(sample - offset).mean()
    size = min(max(CELLS_PER_CENTROID * k, FEWEST_CELLS), MOST_CELLS)
    if len(values) > size and scale > 0 and not exact:
        counts = np.zeros(size, np.intp)
        for start in range(0, len(values), AT_ONCE):
            centered = values[start : start + AT_ONCE] - offset
            places = np.abs(centered)
            places += scale
            np.divide(centered, places, out=places)
            places *= number(size / 2 * (1 - 1e-6))
            places += number(size / 2)
            counts += np.bincount(places.astype(np.int32), minlength=size)
        filled = np.flatnonzero(counts)
        if len(filled) > size // 16:  # else there are few different numbers, or most lie close together
            middles = ((filled + 0.5) * 2 / size - 1) / (1 - 1e-6)
            widths = np.float64(scale) * 2 / size / (1 - np.abs(middles)) ** 2
            counts = counts[filled].astype(np.float64)
            means = np.float64(scale) * middles / (1 - np.abs(middles))
            return Cells(counts, means, float(offset), float(counts @ widths**2) / 12)
    distinct, counts = np.unique(values, return_counts=True)
    return Cells(counts.astype(np.float64), distinct - np.float64(offset), float(offset), 0.0)


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
    >>> best_starts(gather(np.array([0.0, 0.1, 5.0, 5.2, 9.0]), 3), 3)
    array([0, 2, 4])
    """
    size = len(cells.means)
    most = size - k + 1
    known = merge(cells, k)
    guess = 4 * cells.spread(known, np.append(known[1:], size)).sum() / k  # one part more saves about half of this
    reach = min(max(_longest(cells, guess, most), -(-size // k)), most)
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


def _longest(cells: Cells, price: float, most: int) -> int:
    """About the most cells of a part for which cutting it need not save the price."""
    low = 1
    while low < most:
        middle = (low + most + 1) // 2
        low, most = (middle, most) if _gain(cells, middle) < price else (low, middle - 1)
    return low


def _shortest_path(cells: Cells, k: int, reach: int) -> tuple[np.ndarray, float]:
    """The best partition into k parts of at most ``reach`` cells, and how much worse the best one into k - 1 is."""
    size = len(cells.means)
    padding = np.full((3, reach - 1), [[-1.0], [0.0], [0.0]])
    before = sliding_window_view(np.concatenate([padding, cells.sums[:, :-1]], 1), size, axis=1)
    costs = _spread(*(cells.sums[:, None, 1:] - before))  # column e: parts that begin reach, ..., 1 cells before e
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
    """Move the borders of a partition to the best places near them, all at once, until none moves any more.

    Each border may go to one of 11 places around it, and dynamic programming finds the best combination. The places lie
    as far apart as they can without meeting those of the next border, and from round to round closer together.

    Examples
    --------
    >>> cells = gather(np.array([0.0, 0.1, 0.2, 5.0, 5.2, 9.0]), 3)
    >>> refine(cells, np.array([0, 1, 5]))
    array([0, 3, 5])
    """
    size, steps = len(cells.means), np.arange(-PLACES, PLACES + 1)
    borders = np.append(starts, size)
    strides = np.maximum(np.minimum(np.diff(borders[:-1]), np.diff(borders[1:])) // (2 * PLACES), 1)
    for _ in range(ROUNDS):
        places = np.clip(borders[1:-1, None] + strides[:, None] * steps, 1, size - 1)
        first, last = np.full((1, len(steps)), 0), np.full((1, len(steps)), size)
        places = np.concatenate([first, places, last])
        begin, end = places[:-1, :, None], places[1:, None, :]
        costs = np.where(begin < end, cells.spread(np.minimum(begin, end - 1), end), np.inf)
        totals, chosen = np.zeros(len(steps)), []
        for cost in costs:
            candidates = totals[:, None] + cost
            chosen.append(candidates.argmin(0))
            totals = np.minimum.reduce(candidates, 0)
        moved, place = borders.copy(), 0
        for part in reversed(range(len(costs))):
            place = chosen[part][place]
            moved[part] = places[part, place]
        if np.array_equal(moved, borders) and strides.max(initial=1) == 1:
            break
        borders, strides = moved, np.maximum(strides // PLACES, 1)
    return borders[:-1]


def settle(cells: Cells, centroids: np.ndarray) -> np.ndarray:
    """Lloyd's algorithm on cells, from given centroids in ascending order; a centroid without cells stays.

    Examples
    --------
    >>> settle(gather(np.array([0.0, 1.0, 5.0, 6.0]), 2), np.array([0.0, 1.0])).tolist()
    [0.5, 5.5]
    """
    ends = None
    for _ in range(ROUNDS):
        found = np.searchsorted(cells.means, (centroids[1:] + centroids[:-1]) / 2 - cells.offset)
        if ends is not None and np.array_equal(found, ends):
            break
        ends = found
        count, total, _ = np.diff(cells.sums[:, np.concatenate([[0], ends, [len(cells.means)]])])
        centroids = np.where(count > 0, total / np.maximum(count, 1) + cells.offset, centroids)
    return centroids
