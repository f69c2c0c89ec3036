"""The cheapest way to store a tensor exactly, found from its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from micronet_resources.encodings.grids import MOST_STEPS, Grid, find_grid

__all__ = ["Encoding", "cheapest", "find_encodings", "has_only_signs", "operand_bits"]

# What a grid needs, so that it is neither a coincidence nor a way to move the multiplications into its scales.
FEWEST_VALUES = 4  # that are not zero, for each scale
CHANCE_BITS = 16  # that it saves, counted in signs and mantissas


@dataclass(frozen=True)
class Encoding:
    """One way to store a tensor without changing a single value.

    Parameters
    ----------
    values : str
        ``"dense"`` (numbers as they are), ``"codebook"`` (indices into a table of values), ``"grid"`` (whole numbers
        times a scale) or ``"zero"`` (nothing to store).
    bits : int
        Width of one stored value.
    stored : int
        How many values are stored: all, or the non-zero ones.
    overhead : int
        Bits of the table or of the scales.
    masked : int
        Elements of the bit mask that says where the stored values go; 0 if all are stored.
    operand_bits : int
        Width of a value in a multiplication: that of the numbers in the table for a codebook, that of the whole
        numbers, zero included, for a grid.

    Examples
    --------
    >>> Encoding("grid", bits=4, stored=100, overhead=32, masked=1000, operand_bits=4).total_bits()
    1432
    """

    values: str
    bits: int
    stored: int
    overhead: int
    masked: int
    operand_bits: int

    def total_bits(self, mask_bits: int = 1) -> int:
        """Storage in bits, where the mask costs ``mask_bits`` for each element that it covers."""
        return self.bits * self.stored + self.overhead + mask_bits * self.masked


def cheapest(encodings: Iterable[Encoding], mask_bits: int = 1) -> Encoding:
    """Return the encoding of fewest bits; of two equal ones the first.

    Parameters
    ----------
    encodings : iterable of Encoding
        At least one, as :func:`find_encodings` returns.
    mask_bits : int, optional
        Price of an element of the mask: 0 under rules that do not count it.

    Examples
    --------
    >>> ternary = np.array([0.5, -0.5, 0.0, 0.5] * 25, np.float32)
    >>> cheapest(find_encodings(ternary)).total_bits(), cheapest(find_encodings(ternary), mask_bits=0).total_bits(0)
    (207, 107)
    """
    return min(encodings, key=lambda encoding: encoding.total_bits(mask_bits))


def operand_bits(encodings: Iterable[Encoding]) -> int:
    """Width of a tensor's values in a multiplication: the least of its exact encodings, and at least 1.

    Examples
    --------
    >>> operand_bits(find_encodings(np.array([3.0, -4.0, 0.0, 1.0, 2.0] * 4)))
    3
    """
    return max(min(encoding.operand_bits for encoding in encodings), 1)


def has_only_signs(encodings: Iterable[Encoding]) -> bool:
    """Whether every value that is not zero is plus or minus one scale, or one scale for each index of the axis.

    Examples
    --------
    >>> ternary = np.array([0.3, -0.3, 0.0, 0.3] * 4)
    >>> has_only_signs(find_encodings(ternary)), has_only_signs(find_encodings(ternary + 0.3))
    (True, False)
    """
    return any(encoding.values == "grid" and encoding.bits == 1 for encoding in encodings)


def find_encodings(values: np.ndarray, *, axis: int | None = 0, live: np.ndarray | None = None) -> tuple[Encoding, ...]:
    """Find the exact encodings of a tensor: each gives back every value, so that none changes what a network computes.

    Numbers are dense at the width that they really have: 16 bits if all survive float16 or bfloat16. A table holds
    each different value once, at that width, if the indices are narrower by a quarter. A grid holds whole numbers times
    one scale of 32 bits, or one for each index of an axis. Each stores all elements, or those that are not zero and a
    mask. What is no smaller than the plain numbers is left out, and so are grids that are hardly more than their
    scales: each needs four values that are not zero, for two or three arbitrary numbers can share a scale by chance.

    Parameters
    ----------
    values : ndarray of floating-point numbers, integers or bool
        -0.0 counts as 0. Numbers that are not finite are only stored as they are.
    axis : int or None, optional
        Along which a grid may have a scale for each index. It has to be the axis of the outputs, for only then can the
        scales be left out of the products. None if there is no such axis.
    live : ndarray of bool, optional
        Elements that are stored at all, in the shape of ``values``; by default all.

    Returns
    -------
    tuple of Encoding
        Never empty; a single one that costs nothing if there is nothing but zeros.

    Raises
    ------
    ValueError
        If the values are not real numbers, the mask does not fit, or the axis does not exist.

    Examples
    --------
    >>> for encoding in find_encodings(np.array([[3, 0, -1, 2], [0, 0, 7, -8]] * 50, np.float32) / 8):
    ...     print(encoding.values, encoding.bits, encoding.stored, encoding.masked, encoding.total_bits())
    dense 16 400 0 6400
    dense 16 250 400 4400
    codebook 3 400 0 1296
    codebook 3 250 400 1230
    grid 4 400 0 1632
    grid 4 250 400 1432
    """
    rows, kept = _split(np.asarray(values), axis, live)
    sizes = (kept.size, int(np.count_nonzero(kept)))
    if not sizes[1]:
        return (Encoding("zero", 0, 0, 0, 0, 0),)
    ordered = np.sort(kept, axis=None)
    if not np.isfinite(ordered[[0, -1]]).all():
        return tuple(_dense(8 * rows.itemsize, sizes))
    distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    if rows.dtype.kind != "f":
        bits = 1 if rows.dtype.kind == "b" else 8 * rows.itemsize
        found = [*_whole_numbers(distinct, sizes), *_codebooks(distinct, bits, sizes)]
    else:
        kind, bits, significant = _precision(distinct)
        found = [*_codebooks(distinct, bits, sizes)]
        steps = min(2 ** (significant - 1) - 1, MOST_STEPS)  # of more, the numbers are no narrower than the values
        if len(distinct) <= 2 * steps + 1:
            found += _grids(find_grid(distinct.astype(kind)[None], steps), 1, sizes, significant)
        if len(rows) > 1 and sizes[1] >= FEWEST_VALUES * np.count_nonzero(rows.any(axis=1)):
            narrow = min((x.bits for x in found if x.values == "grid"), default=bits)
            live_rows = (
                len(rows) if live is None else np.count_nonzero(np.moveaxis(live, axis, 0).reshape(rows.shape).any(1))
            )
            channels = _grids(find_grid(rows.astype(kind, copy=False), steps), live_rows, sizes, significant)
            found += (x for x in channels if x.bits < narrow)
    return (*_dense(bits, sizes), *(x for x in found if x.total_bits(0) < bits * x.stored))


def _split(values: np.ndarray, axis: int | None, live: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The tensor as rows along an axis, zero where it is not live, and its live elements."""
    if values.dtype.name == "bfloat16":  # of another package; float32 holds it
        values = values.astype(np.float32)
    if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
        raise ValueError(f"values of type {values.dtype}: only real numbers of at most 64 bits have an encoding here.")
    kept = values
    if live is not None:
        if live.shape != values.shape or live.dtype != bool:
            raise ValueError(
                f"live has shape {live.shape} and type {live.dtype}: it says for each of the values, of shape "
                f"{values.shape}, whether it is needed, as bool."
            )
        kept, values = values[live], np.where(live, values, np.zeros((), values.dtype))
    if axis is None or not values.ndim:
        return values.reshape(1, -1), kept
    rows = np.moveaxis(values, axis, 0)
    return rows.reshape(len(rows), -1 if rows.size else 0), kept


def _precision(distinct: np.ndarray) -> tuple[np.dtype, int, int]:
    """The narrowest type that holds all values, its width, and how many of its bits are sign and mantissa."""
    if _survives(distinct, np.float16):
        return np.dtype(np.float16), 16, 12
    if not _survives(distinct, np.float32):
        return np.dtype(np.float64), 64, 54
    shortened = distinct.astype(np.float32, copy=False).view(np.uint32) & 0xFFFF
    return (np.dtype(np.float32), 32, 25) if shortened.any() else (np.dtype(np.float32), 16, 9)  # bfloat16


def _survives(distinct: np.ndarray, kind: type) -> bool:
    if distinct.dtype.itemsize <= np.dtype(kind).itemsize:
        return True
    few = distinct[:: len(distinct) // 256 + 1]
    with np.errstate(over="ignore", under="ignore"):
        return all(bool((some.astype(kind) == some).all()) for some in (few, distinct))


def _dense(bits: int, sizes: tuple[int, int]) -> Iterator[Encoding]:
    count, nonzero = sizes
    yield Encoding("dense", bits, count, 0, 0, bits)
    if nonzero < count:
        yield Encoding("dense", bits, nonzero, 0, count, bits)


def _codebooks(distinct: np.ndarray, bits: int, sizes: tuple[int, int]) -> Iterator[Encoding]:
    # A type of 16 bits has so few values that any large tensor repeats them: an index that is hardly narrower than the
    # numbers is no clustering, and would take from an unquantized network what rules grant it.
    count, nonzero = sizes
    entries, widest = len(distinct), 3 * bits // 4
    if _index_bits(entries) <= widest:
        yield Encoding("codebook", _index_bits(entries), count, entries * bits, 0, bits)
    if nonzero < count and _index_bits(entries - 1) <= widest:
        yield Encoding("codebook", _index_bits(entries - 1), nonzero, (entries - 1) * bits, count, bits)


def _index_bits(entries: int) -> int:
    return max((entries - 1).bit_length(), 1)  # under rules without masks, no bit at all would hide a tensor for free


def _grids(grid: Grid | None, rows: int, sizes: tuple[int, int], significant: int) -> Iterator[Encoding]:
    if grid is None:
        return
    count, nonzero = sizes
    scale_bits = 8 * grid.scales.itemsize
    for code in grid.codes:
        # A row of zeros needs no scale, but it needs a zero point to be recognized.
        scales = rows if code.zero_point_bits else np.count_nonzero(grid.scales)
        overhead = int(scales) * (scale_bits + code.zero_point_bits)
        saved = nonzero * (significant - code.bits) - overhead
        if saved < CHANCE_BITS or nonzero < FEWEST_VALUES * scales:
            continue
        bits = 1 if grid.is_signs and nonzero == count else code.bits
        yield Encoding("grid", bits, count, overhead, 0, bits)
        if nonzero < count:
            yield Encoding("grid", 1 if grid.is_signs else bits, nonzero, overhead, count, bits)


def _whole_numbers(distinct: np.ndarray, sizes: tuple[int, int]) -> Iterator[Encoding]:
    """Integers and truth values are on a grid without a scale."""
    lowest, highest = min(int(distinct[0]), 0), max(int(distinct[-1]), 0)
    signs = lowest >= -1 and highest <= 1
    width = highest.bit_length() if lowest == 0 else 1 + max((-lowest - 1).bit_length(), highest.bit_length())
    count, nonzero = sizes
    bits = 1 if signs and nonzero == count else width
    yield Encoding("grid", bits, count, 0, 0, bits)
    if nonzero < count:
        yield Encoding("grid", 1 if signs else bits, nonzero, 0, count, bits)
