"""How to choose ranks: by energy, or by what can be told from noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from factorkit.decompositions.tucker_results import blocks, unfolded
from factorkit.decompositions.vbmf import VBMF, squared_singular_values, vbmf_rank
from factorkit.decompositions.weights import checked_weight

__all__ = ["VBMF", "Tucker2Ranks", "energy_rank", "tucker2_ranks", "vbmf_rank"]

MODES = ("output", "input")


def energy_rank(values: torch.Tensor, fraction: float = 0.9) -> int:
    r"""Smallest rank that keeps a fraction of the energy, the sum of the squared singular values.

    .. math:: \min \Big\{ R : \sum_{r \le R} \sigma_r^2 \ge f \sum_r \sigma_r^2 \Big\}

    The relative error of the truncation is at most :math:`\sqrt{1 - f}`: keeping 90 % of the energy leaves an error of
    up to 32 %.

    Parameters
    ----------
    values : Tensor, shape (k,) or (n, m)
        Singular values in any order, or the matrix itself.
    fraction : float, optional
        Above 0 and at most 1.

    Returns
    -------
    int
        At least 1. For 1 it is the numerical rank.

    Raises
    ------
    ValueError
        If a value is negative or not finite, or the fraction is out of range.

    Examples
    --------
    >>> energy_rank(torch.tensor([3.0, 2.0, 1.0]), 0.9)
    2
    """
    _check_fraction(fraction)
    values = checked_weight(values, (1, 2))
    if values.dim() == 1:
        if values.min() < 0:
            raise ValueError(f"a singular value is {float(values.min())}: singular values are never negative.")
        squares = np.sort(values.double().cpu().numpy() ** 2)[::-1]
    else:
        squares = squared_singular_values(values)
    return _energy_rank(squares, fraction)


def _check_fraction(fraction: float) -> None:
    if not isinstance(fraction, float | int) or not 0 < fraction <= 1:
        raise ValueError(f"fraction={fraction!r}: give the part of the energy to keep, above 0 and at most 1.")


def _energy_rank(squares: np.ndarray, fraction: float) -> int:
    kept = np.cumsum(squares)
    rounding = len(squares) * np.finfo(np.float64).eps
    return 1 + int(np.searchsorted(kept, min(fraction, 1 - rounding) * kept[-1]))


@dataclass(frozen=True)
class Tucker2Ranks:
    """Ranks for a Tucker-2 decomposition, and how they were found.

    Parameters
    ----------
    ranks : (int, int)
        R_o and R_i, for each group.
    policy : str
        As it was asked for.
    fallback : str
        Empty, or why a rank is not what the policy found.

    Examples
    --------
    >>> Tucker2Ranks((20, 12), "energy:0.9").ranks
    (20, 12)
    """

    ranks: tuple[int, int]
    policy: str
    fallback: str = ""


def tucker2_ranks(weight: torch.Tensor, policy: str = "vbmf", *, groups: int = 1) -> Tucker2Ranks:
    """Ranks R_o and R_i from the weight unfolded along its outputs and along its inputs.

    With the policy ``"vbmf"`` this is the first step of the one-shot compression of whole networks
    :cite:p:`kim2016compression`. Where the weight looks like noise, as before training, the method finds rank 0; then
    that mode keeps its full rank, and ``fallback`` says so.

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_1, ..., k_n)
    policy : str, optional
        ``"vbmf"``, or ``"energy:0.9"`` for that fraction of the energy of each unfolding.
    groups : int, optional
        Of the convolution; the ranks are the largest of its groups.

    Returns
    -------
    Tucker2Ranks

    Raises
    ------
    ValueError
        If the weight is not that of a convolution, or the policy is unknown.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> noise = torch.randn(32, 16, 3, 3, generator=generator)
    >>> tucker2_ranks(noise, "energy:0.5").ranks
    (10, 7)
    >>> tucker2_ranks(noise).ranks
    (32, 16)
    """
    weight = checked_weight(weight, (3, 4, 5), groups=groups)
    fraction = _fraction(policy)
    ranks, without = [], []
    for mode, name in enumerate(MODES):
        matrices = [unfolded(part.flatten(2), mode) for part in blocks(weight, groups)]
        if fraction is None:
            rank = max(vbmf_rank(matrix).rank for matrix in matrices)
        else:
            rank = max(energy_rank(matrix, fraction) for matrix in matrices)
        if rank == 0:
            rank = len(matrices[0])
            without.append(
                f"the {rank} {name} channels look like noise to VBMF (rank 0): their mode keeps its full rank"
            )
        ranks.append(rank)
    return Tucker2Ranks((ranks[0], ranks[1]), policy, "; ".join(without))


def _fraction(policy: str) -> float | None:
    """The fraction of the energy, or None for VBMF."""
    if policy == "vbmf":
        return None
    name, _, number = str(policy).partition(":")
    try:
        fraction = float(number) if name == "energy" else None
    except ValueError:
        fraction = None
    if fraction is None:
        raise ValueError(f"policy={policy!r}: choose 'vbmf', or the energy to keep as in 'energy:0.9'.")
    _check_fraction(fraction)
    return fraction
