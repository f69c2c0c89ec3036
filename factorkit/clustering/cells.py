"""Numbers on a line, gathered into cells.

A cell is a count and a mean of numbers that lie beside each other; the best centroids of n numbers are found from a few
thousand cells, whatever n is: :mod:`factorkit.clustering.partition` parts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["Cells", "gather", "settle", "sum_of_squares"]

FEWEST_CELLS, MOST_CELLS, CELLS_PER_CENTROID = 2**12, 2**16, 2**9
SCALE = 4  # mean distances of the companding
SAMPLED, AT_ONCE = 2**14, 2**17
ROUNDS = 1000  # Lloyd's algorithm stops by itself long before


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
        return sum_of_squares(*(self.sums[:, ends] - self.sums[:, starts]))

    def centroids(self, starts: np.ndarray) -> np.ndarray:
        """Mean, offset included, of each part of a partition whose parts begin at ``starts``."""
        count, total, _ = np.diff(self.sums[:, np.append(starts, len(self.means))])
        return total / count + self.offset


def sum_of_squares(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Squared distances to their mean, summed, of so many numbers with such a sum and sum of squares."""
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
