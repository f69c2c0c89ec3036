"""The search for scales: which steps of its largest magnitude hold all values of a row.

Every number of steps is a candidate; a few values of the row rule out nearly all of them. What is left must give back
every value bit for bit.
"""

from __future__ import annotations

import numpy as np

__all__ = ["search_scales"]

BANDS = ((1, 256), (256, 4096), (4096, 1 << 16))  # few steps are tried first: most grids have few
PROBES = (2, 3, 4, 5, 8, 13, 21, 34)  # ranks among the different magnitudes of a row, the largest first
CACHED = 1 << 16  # candidates that are looked at together
TRIES = 16  # candidates of one row that pass the probes and fail on the rest


def search_scales(magnitudes: np.ndarray, divides: bool, most_steps: int) -> tuple[np.ndarray, bool]:
    """Find the coarsest scale of each row that gives back all its values.

    Parameters
    ----------
    magnitudes : ndarray of float16, float32 or float64, shape (rows, columns)
        The different magnitudes of each row, the largest first, not zero; zeros behind them.
    divides : bool
        Whether a value is a whole number divided by the scale, not times the scale.
    most_steps : int
        Up to the largest magnitude of a row.

    Returns
    -------
    scales : ndarray of float32, or of float64 for such magnitudes, shape (rows,)
        0 where none is exact; if one is 0, others may not have been looked for.
    missed : bool
        Whether a candidate came close without being exact.
    """
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        # Near the ends of double precision numbers overflow or vanish on the way; what comes of it is not exact.
        return _search(magnitudes, divides, most_steps)


def _search(magnitudes: np.ndarray, divides: bool, most_steps: int) -> tuple[np.ndarray, bool]:
    exact = _Rows(magnitudes, divides)
    scales, missed = np.zeros(len(magnitudes), exact.kind), False
    probes = [place for place in PROBES if place < magnitudes.shape[1]]
    for first, end in BANDS:
        left = np.flatnonzero(scales == 0)
        if first > most_steps or not left.size:
            break
        if first > 1 and len(magnitudes) > 1 and not _search(magnitudes[left[:1]], divides, most_steps)[0].all():
            break  # one row that is on no grid is enough
        some_steps = np.arange(first, min(end, most_steps + 1), dtype=np.float64)
        for some in np.array_split(left, len(left) * len(some_steps) // CACHED + 1):
            row, steps = exact.candidates(some, some_steps, magnitudes[:, min(1, magnitudes.shape[1] - 1)])
            for place in probes:
                row, steps = exact.filter(row, steps, magnitudes[:, place])
            for _ in range(TRIES):
                if not row.size:
                    break
                tried, index = np.unique(row, return_index=True)
                scales[tried], worst, close = exact.fit(tried, steps[index])
                missed |= bool((close & (scales[tried] == 0)).any())
                # The value that a candidate missed is a probe for the row's next ones.
                keep = scales[row] == 0
                keep[index] = False
                probe = np.zeros(len(magnitudes), magnitudes.dtype)
                probe[tried] = magnitudes[tried, worst]
                row, steps = exact.filter(row[keep], steps[keep], probe)
    return scales, missed


class _Rows:
    """Tests of candidate scales on rows of magnitudes."""

    def __init__(self, magnitudes: np.ndarray, divides: bool) -> None:
        self.magnitudes, self.divides = magnitudes, divides
        self.kind = np.float64 if magnitudes.dtype == np.float64 else np.float32
        self.tops, self.top_errors = _with_error(magnitudes[:, 0])

    def candidates(self, rows: np.ndarray, steps: np.ndarray, probe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Combine rows with steps, as far as each row's probe is close to a whole number of steps."""
        ratio, slack = self._probe(probe)
        off = ratio[rows, None] * steps
        off -= np.rint(off)
        place, step = np.nonzero(np.abs(off, out=off) <= slack[rows, None] * steps)
        return rows[place], steps[step]

    def filter(self, row: np.ndarray, steps: np.ndarray, probe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep the candidates under which each row's probe is close to a whole number of steps."""
        ratio, slack = self._probe(probe)
        numbers = ratio[row] * steps
        keep = np.abs(numbers - np.rint(numbers)) <= slack[row] * steps
        return row[keep], steps[keep]

    def _probe(self, probe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each row's probe: its part of the largest magnitude, and how far rounding can have moved that part."""
        value, error = _with_error(probe)
        with np.errstate(over="ignore"):
            ratio = value / self.tops
            return ratio, 2 * (error + ratio * self.top_errors) / self.tops

    def fit(self, row: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exact scales of rows at given steps or 0, the column that is farthest off, and whether that one is close."""
        values, errors = _with_error(self.magnitudes[row])
        rough = (self.tops[row] / steps)[:, None]
        levels = np.rint(values / rough)
        off = np.abs(values - levels * rough) - 2 * (errors + levels / steps[:, None] * self.top_errors[row][:, None])
        worst = np.argmax(off, axis=1)
        is_close = off.max(axis=1) <= 0
        scales = np.zeros(len(row), self.kind)
        near = np.flatnonzero(is_close)
        if near.size:
            scales[near] = self._refine(self.magnitudes[row[near]], values[near], errors[near], levels[near])
        return scales, worst, is_close

    def _refine(self, exact: np.ndarray, values: np.ndarray, errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """The scale whose products round to the exact values, one for each row; 0 where there is none."""
        counted = levels > 0
        whole = np.where(counted, levels, 1)
        # Every value allows an interval of scales. If a number of the scale's type lies in all of them, then the one
        # nearest to the middle does; its neighbours make up for the rounding of this very computation.
        scales = np.zeros(len(values), self.kind)
        with np.errstate(all="ignore"):  # a scale may overflow or vanish: it is refused for what it gives
            low = np.where(counted, (values - errors) / whole, 0).max(axis=1)
            high = np.where(counted, (values + errors) / whole, np.inf).min(axis=1)
            middle = low + (high - low) / 2
            guess = (1 / middle if self.divides else middle).astype(self.kind)
            for scale in (guess, np.nextafter(guess, self.kind(0)), np.nextafter(guess, self.kind(np.inf))):
                left = np.flatnonzero(scales == 0)
                numbers, factor = levels[left].astype(self.kind), scale[left, None]
                products = (numbers / factor if self.divides else numbers * factor).astype(exact.dtype)
                is_exact = (products == exact[left]).all(axis=1) & np.isfinite(scale[left])
                scales[left[is_exact]] = scale[left[is_exact]]
        return scales


def _with_error(magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes in double precision, and by how much rounding to their type can have moved them (of zeros: any)."""
    wide, kind = magnitudes.astype(np.float64), np.finfo(magnitudes.dtype)
    exponents = np.maximum(np.frexp(wide)[1] - 1, kind.minexp)
    return wide, np.ldexp(0.5, exponents - kind.nmant)
