"""K-means of numbers: on a line the optimum can be found, and fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from factorkit.arguments import positive_integers
from factorkit.clustering.cells import Cells, gather
from factorkit.clustering.partition import best_starts, merge, refine

__all__ = ["Codebook1D", "codebook_from", "kmeans_1d"]

EXACT, LEAST_PARTS, PARTS_PER_CENTROID = 1024, 256, 8
COARSE = 0.005  # share of the error that may come from the width of the cells
MANY, LOOK_UP_CELLS, LEAST_WIDTH = 2**14, 2**14, 1e-30


@dataclass(frozen=True, eq=False)
class Codebook1D:
    """A few numbers that stand for many.

    Parameters
    ----------
    centroids : Tensor, shape (k,)
        In ascending order.
    error : float
        Mean squared distance of the numbers to the nearest centroid; of many numbers to about a thousandth of it.

    Examples
    --------
    >>> codebook = Codebook1D(torch.tensor([-1.0, 0.0, 2.0]), error=0.1)
    >>> codebook
    Codebook1D: 3 values from -1 to 2, mean squared error 0.1
    >>> codebook.assign(torch.tensor([[0.4, 5.0], [-0.7, 0.9]]))
    tensor([[1, 2],
            [0, 1]])
    """

    centroids: torch.Tensor
    error: float

    def assign(self, values: torch.Tensor) -> torch.Tensor:
        """Number of the nearest centroid of each value, of int64, in the shape of the values."""
        middles = ((self.centroids[1:] + self.centroids[:-1]) / 2).to(values.device, values.dtype)
        values = values.detach().contiguous()
        return torch.bucketize(values, middles) if values.numel() < MANY else _look_up(values, middles)

    def __repr__(self) -> str:
        return (
            f"Codebook1D: {len(self.centroids)} values from {self.centroids[0].item():.4g} to "
            f"{self.centroids[-1].item():.4g}, mean squared error {self.error:.4g}"
        )


def kmeans_1d(values: torch.Tensor, k: int) -> Codebook1D:
    """The k numbers with the least mean squared distance to many numbers.

    On a line the clusters of an optimum are intervals, so dynamic programming finds it :cite:p:`wang2011ckmeans`. It is
    exact for up to 1,024 different values (8k, if that is more). Of more values, those that lie beside each other are
    first gathered into 256 cells or 8k; the program finds the best partition of the cells, and a second one then moves
    its borders, all at once, to the best places around them.

    Parameters
    ----------
    values : Tensor of floating-point numbers, any shape
    k : int
        Number of centroids.

    Returns
    -------
    Codebook1D
        With fewer centroids if there are fewer different values, and then without any error.

    Raises
    ------
    ValueError
        If ``k`` is not positive, or there is no value or one that is not finite.

    Notes
    -----
    Beside exact solvers, the mean squared error of 36,864 and of 2,359,296 weights was within 1.001 of the optimum
    with 16 and with 256 centroids; ``benchmarks/weight_sharing.py`` measures it.

    Examples
    --------
    >>> kmeans_1d(torch.tensor([0.0, 0.1, 0.2, 5.0, 5.2, 9.0]), 3).centroids
    tensor([0.1000, 5.1000, 9.0000])
    """
    positive_integers(k=k)
    cells, dtype = gathered(values, k)
    codebook = codebook_from(cells, _best(cells, k), dtype)
    if cells.inner > COARSE * codebook.error * cells.counts.sum():  # far outliers have made the cells too wide
        cells, dtype = gathered(values, k, exact=True)
        codebook = codebook_from(cells, _best(cells, k), dtype)
    return codebook


def _best(cells: Cells, k: int) -> np.ndarray:
    parts = max(LEAST_PARTS, PARTS_PER_CENTROID * k)
    if len(cells.means) <= k:
        return cells.means + cells.offset
    if len(cells.means) <= max(EXACT, parts):
        return cells.centroids(best_starts(cells, k))
    starts = merge(cells, parts)
    if len(starts) > k:
        counts, totals = np.add.reduceat(np.stack([cells.counts, cells.counts * cells.means]), starts, axis=1)
        merged = Cells(counts, totals / counts, cells.offset, 0.0)
        starts = starts[best_starts(merged, k)]
    return cells.centroids(refine(cells, starts))


def _look_up(values: torch.Tensor, middles: torch.Tensor) -> torch.Tensor:
    """``torch.bucketize`` for many values, several times as fast: cells of equal width say between which two middles.

    The cell of a number is computed in the same way for values and middles and never falls when the number grows, so
    only in a middle's own cell a comparison is needed.
    """
    width = (middles[-1] - middles[0]).item() if len(middles) else 0.0
    if values.dtype != torch.float32 or values.device.type != "cpu" or width < LEAST_WIDTH:
        return torch.bucketize(values, middles)
    low, scale = np.float32(middles[0].item()), np.float32((LOOK_UP_CELLS - 3) / width)

    def places(numbers: np.ndarray) -> np.ndarray:
        found = numbers - low
        with np.errstate(over="ignore"):  # the ends catch it
            found *= scale
        np.fmin(found, LOOK_UP_CELLS - 2, out=found)  # NaN comes last, as for torch
        np.fmax(found, -1, out=found)
        found += 1
        return found.astype(np.intp)

    borders = places(middles.numpy())
    counts = np.bincount(borders, minlength=LOOK_UP_CELLS)
    if counts.max() > 1:
        return torch.bucketize(values, middles)
    before = np.cumsum(counts) - counts
    limits = np.full(LOOK_UP_CELLS, np.inf, np.float32)
    limits[borders] = middles.numpy()
    flat = values.flatten().numpy()
    labels = np.empty(len(flat), np.int64)
    for start in range(0, len(flat), MANY):
        part = flat[start : start + MANY]
        cells = places(part)
        labels[start : start + MANY] = before[cells] + (part > limits[cells])
    return torch.from_numpy(labels).reshape(values.shape)


def gathered(values: torch.Tensor, k: int, *, exact: bool = False) -> tuple[Cells, torch.dtype]:
    """The cells of a tensor's numbers and the type of its centroids."""
    if not values.numel() or not values.is_floating_point():
        raise ValueError(
            f"values has shape {tuple(values.shape)} and type {values.dtype}: give at least one floating-point number."
        )
    flat = values.detach().flatten().cpu()
    numbers = (flat if flat.dtype == torch.float64 else flat.float()).numpy()
    if not (math.isfinite(numbers.min()) and math.isfinite(numbers.max())):
        raise ValueError("values holds NaN or infinity: no centroid is near to it.")
    return gather(numbers, k, exact=exact), values.dtype


def codebook_from(cells: Cells, centroids: np.ndarray, dtype: torch.dtype) -> Codebook1D:
    """The codebook of centroids in ascending order, with its error on the cells."""
    middles = (centroids[1:] + centroids[:-1]) / 2 - cells.offset
    ends = np.concatenate([[0], np.searchsorted(cells.means, middles), [len(cells.means)]])
    count, total, squares = np.diff(cells.sums[:, ends])
    shifted = centroids - cells.offset
    lost = np.maximum(squares - 2 * shifted * total + count * shifted**2, 0.0).sum() + cells.inner
    return Codebook1D(torch.from_numpy(centroids).to(dtype), float(lost / cells.counts.sum()))
