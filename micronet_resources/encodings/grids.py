"""Uniform grids: tensors whose every value is a whole number times a scale, found from the values.

A row that is likely to be on no grid is tried first, so that a tensor of arbitrary numbers costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from micronet_resources.encodings.grid_search import search_scales

__all__ = ["MOST_STEPS", "Grid", "LevelCode", "find_grid"]

MOST_STEPS = 2**16 - 1  # of the largest magnitude: whole numbers of 16 bits and a sign
CHUNK = 1 << 21  # elements that are looked at together
CANDIDATES = 1 << 26  # in all: where a tensor has very many rows, wide grids are not looked for


@dataclass(frozen=True)
class LevelCode:
    """One way to write the whole numbers of a grid.

    Parameters
    ----------
    bits : int
        Width of a number.
    zero_point_bits : int
        Width of the number that stands for zero, one for each scale; 0 if zero is written as 0.
    """

    bits: int
    zero_point_bits: int


@dataclass(frozen=True, eq=False)
class Grid:
    """Scales that turn a tensor into whole numbers, one for each row, or one for all if there is one row.

    Parameters
    ----------
    scales : ndarray, shape (rows,)
        Each a float32, or a float64 for a tensor of that type; 0 for a row of zeros.
    divides : bool
        Whether a value is its number divided by the scale, as in ``round(127 * w) / 127``, not times the scale.
    lowest, highest : ndarray of int, shape (rows,)
        Range of each row's numbers, 0 included.
    """

    scales: np.ndarray
    divides: bool
    lowest: np.ndarray
    highest: np.ndarray

    @property
    def is_signs(self) -> bool:
        """Whether every value is zero or plus or minus its scale."""
        return bool(np.maximum(-self.lowest, self.highest).max() <= 1)

    @property
    def codes(self) -> tuple[LevelCode, ...]:
        """How the numbers can be written: without a zero point and, if that is narrower, with one.

        Without one they are signed (two's complement) or unsigned; a negative scale turns the range of a row around.
        """
        large = np.maximum(-self.lowest, self.highest)
        small = np.minimum(-self.lowest, self.highest)
        plain = 1 + max(_length(large.max() - 1), _length(small.max()))
        if small.max() == 0:
            plain = min(plain, _length(large.max()))
        shifted = _length((self.highest - self.lowest).max())
        codes = (LevelCode(plain, 0),)
        return codes if shifted >= plain else (*codes, LevelCode(shifted, shifted))

    def levels(self, rows: np.ndarray) -> np.ndarray:
        """Whole numbers of the values that the grid was found for, shape (rows, columns)."""
        return _levels(rows, self.scales, self.divides)

    def values(self, levels: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The values of whole numbers, rounded to a type: the inverse of :meth:`levels`."""
        numbers, scales = levels.astype(self.scales.dtype), self.scales[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = numbers / scales if self.divides else numbers * scales
        return np.where(scales == 0, 0, values).astype(dtype)


def _length(number: int) -> int:
    return int(number).bit_length()


def find_grid(rows: np.ndarray, most_steps: int = MOST_STEPS) -> Grid | None:
    """Find the coarsest grid of each row that holds all its values exactly.

    Parameters
    ----------
    rows : ndarray of float16, float32 or float64, shape (rows, columns)
        Finite.
    most_steps : int, optional
        Up to the largest magnitude of a row.

    Returns
    -------
    Grid or None
        None if a row is on no grid with at most so many steps.

    Examples
    --------
    >>> grid = find_grid(np.array([[-0.5, 0.25, 0.75], [3.0, 0.0, -3.0]], np.float32))
    >>> grid.scales.tolist(), grid.lowest.tolist(), grid.highest.tolist()
    ([0.25, 3.0], [-2, -1], [3, 1])
    >>> find_grid(np.sqrt(np.array([[1, 2, 3, 5, 7, 11]], np.float32))) is None
    True
    """
    used = np.flatnonzero(rows.any(axis=1))
    if not used.size:
        return None
    most_steps = min(most_steps, CANDIDATES // len(used))
    hardest = used[np.argmax(np.count_nonzero(rows[used], axis=1))]  # most likely to be on no grid
    first = _magnitudes(rows[hardest : hardest + 1])
    ways = []
    for divides in (False, True):
        scale, missed = search_scales(first, divides, most_steps)
        if scale[0]:
            ways.append((np.rint(first.max() * scale[0] if divides else first.max() / scale[0]), divides))
        if not missed:
            break  # no scale came close without being exact: dividing changes nothing
    for _, divides in sorted(ways):
        scales = np.zeros(len(rows), scale.dtype)
        for some in np.array_split(used, rows.size // CHUNK + 1):
            scales[some], _ = search_scales(_magnitudes(rows[some]), divides, most_steps)
            if not scales[some].all():
                break
        else:
            ends = np.stack([rows.min(axis=1).clip(max=0), rows.max(axis=1).clip(min=0)], axis=1)
            lowest, highest = _levels(ends, scales, divides).T
            return Grid(scales, divides, lowest, highest)
    return None


def _levels(rows: np.ndarray, scales: np.ndarray, divides: bool) -> np.ndarray:
    wide, factors = rows.astype(np.float64), scales.astype(np.float64)[:, None]
    factors = np.where(factors == 0, 1, factors)  # of rows of zeros
    return np.rint(wide * factors if divides else wide / factors).astype(np.int64)


def _magnitudes(rows: np.ndarray) -> np.ndarray:
    """The different magnitudes of each row, the largest first, with zeros behind them."""
    ordered = -np.sort(-np.abs(rows), axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = 0
    return -np.sort(-ordered, axis=1)[:, : np.count_nonzero(ordered, axis=1).max()]
