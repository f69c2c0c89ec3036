r"""The rank of a noisy matrix by variational Bayesian matrix factorization, in closed form.

A matrix of shape L x M, with :math:`L \le M` and :math:`\alpha = L / M`, is taken as a low-rank signal plus Gaussian
noise of variance :math:`\sigma^2`. The signal that minimizes the free energy keeps exactly the singular values
:math:`\gamma` with :math:`x = \gamma^2 / (M \sigma^2) > \underline x` :cite:p:`nakajima2013`, where

.. math::
    \underline x = (1 + \underline\tau) (1 + \alpha / \underline\tau), \qquad
    \log(1 + \underline\tau) + \alpha \log(1 + \underline\tau / \alpha) = \underline\tau .
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq, minimize_scalar

from factorkit.decompositions.leading import gram
from factorkit.decompositions.weights import checked_weight

__all__ = ["VBMF", "squared_singular_values", "vbmf_rank"]

GRID = 65


@dataclass(frozen=True)
class VBMF:
    """What variational Bayesian matrix factorization finds in a matrix.

    Parameters
    ----------
    rank : int
        Singular values above the threshold. 0 if all of them are what noise alone would give: the matrix has no
        low-rank part that could be told from noise, and no rank follows from this method.
    noise : float
        Variance of the noise, as given or as estimated.
    threshold : float
        Smallest singular value that is kept.
    singular_values : tuple of float
        Of the estimated signal: the ``rank`` kept ones, made smaller by what noise added to them.

    Examples
    --------
    >>> VBMF(rank=1, noise=0.01, threshold=2.5, singular_values=(7.9,))
    VBMF(rank=1, noise=0.01, threshold=2.5, singular_values=(7.9,))
    """

    rank: int
    noise: float
    threshold: float
    singular_values: tuple[float, ...]


def squared_singular_values(matrix: torch.Tensor) -> np.ndarray:
    """Squared singular values, largest first, from the smaller Gram matrix in float64.

    Parameters
    ----------
    matrix : Tensor, shape (n, m)

    Returns
    -------
    ndarray of float64, shape (min(n, m),)
        Values below about 1e-16 of the largest are rounding.

    Examples
    --------
    >>> squared_singular_values(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]]))
    array([16.,  9.])
    """
    matrix = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    values = torch.linalg.eigvalsh(gram(matrix.double())).flip(0).clamp_min(0)
    return values.cpu().numpy()


def vbmf_rank(matrix: torch.Tensor, *, noise: float | None = None) -> VBMF:
    r"""Rank of the signal in a noisy matrix, by empirical variational Bayesian matrix factorization.

    If the variance of the noise is not known, it is the one with the smallest free energy, up to constants

    .. math::
        \Omega(\sigma^2) = L \log \sigma^2 + \sum_h x_h + \sum_{x_h > \underline x}
        \left[ \log(1 + \tau_h) + \alpha \log(1 + \tau_h / \alpha) - \tau_h \right], \\
        \tau_h = \tfrac12 \left( x_h - 1 - \alpha + \sqrt{(x_h - 1 - \alpha)^2 - 4 \alpha} \right).

    :math:`\Omega` can have several minima. It is evaluated on a logarithmic grid that contains every variance at which
    the rank changes, and refined around each minimum of the grid; the smallest counts. Variances are relative to the
    mean squared entry, so that a multiple of the matrix has the same rank.

    Parameters
    ----------
    matrix : Tensor, shape (n, m)
        For example a weight unfolded along a mode. It is taken as it is; its mean is not subtracted.
    noise : float, optional
        Variance of the noise, if it is known.

    Returns
    -------
    VBMF
        With ``rank=0`` if nothing rises above the noise. A matrix of low rank without any noise gets the smallest
        variance that rounding allows, and so its numerical rank.

    Raises
    ------
    ValueError
        If the matrix is no finite floating-point matrix, or the variance is not positive.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> signal = torch.randn(50, 3, generator=generator) @ torch.randn(3, 80, generator=generator)
    >>> vbmf_rank(signal + 0.1 * torch.randn(50, 80, generator=generator)).rank
    3
    """
    matrix = checked_weight(matrix, (2,))
    if noise is not None and not 0 < noise < math.inf:
        raise ValueError(f"noise={noise!r}: give the variance of the noise, a positive number, or None to estimate it.")
    short, long = sorted(matrix.shape)
    largest = float(matrix.abs().max())
    if largest == 0:
        return VBMF(0, noise or 0.0, 0.0, ())
    squares = squared_singular_values(matrix.double() / largest)
    energy = _FreeEnergy(squares / long, short / long)
    variance = energy.minimum() if noise is None else noise / largest**2
    limit = variance * long * energy.limit
    kept = squares[squares > limit]
    spread = 1 - (short + long) * variance / kept
    shrunk = (
        np.sqrt(kept) / 2 * (spread + np.sqrt(np.maximum(spread**2 - 4 * short * long * (variance / kept) ** 2, 0)))
    )
    return VBMF(
        rank=len(kept),
        noise=noise or variance * largest**2,
        threshold=math.sqrt(limit) * largest,
        singular_values=tuple((shrunk * largest).tolist()),
    )


class _FreeEnergy:
    """Free energy as a function of the logarithm of the variance, given the squared singular values over M."""

    def __init__(self, levels: np.ndarray, alpha: float) -> None:
        self.levels, self.alpha = levels, alpha
        tau = brentq(lambda t: math.log1p(t) + alpha * math.log1p(t / alpha) - t, math.sqrt(alpha), 4)
        self.limit = (1 + tau) * (1 + alpha / tau)

    def __call__(self, log_variance: float) -> float:
        x = self.levels * math.exp(-log_variance)
        above = x[: np.searchsorted(-x, -self.limit)] - 1 - self.alpha
        tau = (above + np.sqrt(np.maximum(above**2 - 4 * self.alpha, 0))) / 2
        gain = np.log1p(tau) + self.alpha * np.log1p(tau / self.alpha) - tau
        return len(x) * log_variance + x.sum() + gain.sum()

    def minimum(self) -> float:
        """The variance of the smallest free energy."""
        levels, count = self.levels, len(self.levels)
        most = math.ceil(count / (1 + self.alpha)) - 1  # signals that can be told from noise
        rounding = count * np.finfo(np.float64).eps * levels[0]
        least = max(levels[most] / self.limit, levels[most:].mean(), rounding)
        greatest = max(levels.mean(), least)
        changes = levels[(levels > least * self.limit) & (levels < greatest * self.limit)] / self.limit
        grid = np.log(np.unique(np.concatenate([np.geomspace(least, greatest, GRID), changes])))
        values = np.array([self(point) for point in grid])
        padded = np.concatenate([[np.inf], values, [np.inf]])
        best, smallest = grid[values.argmin()], values.min()
        for place in np.flatnonzero((values <= padded[:-2]) & (values <= padded[2:])):
            around = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
            if around[0] == around[1]:
                continue
            found = minimize_scalar(self, bounds=around, method="bounded", options={"xatol": 1e-10})
            if found.fun < smallest:
                best, smallest = found.x, found.fun
        return math.exp(best)
