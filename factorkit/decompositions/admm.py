"""The alternating direction method of multipliers for a low-rank plus a column-sparse weight."""

from __future__ import annotations

import torch

from factorkit.decompositions.response import relu_step

__all__ = ["shrink_columns", "shrink_singular_values"]

START = 0.2  # step of the multipliers, as a part of the mean eigenvalue of the patches' Gram matrix
TOLERANCE = 1e-4


def shrink_columns(matrix: torch.Tensor, threshold: float) -> torch.Tensor:
    r"""Move every column towards zero by the threshold, and to exactly zero those that are shorter.

    .. math:: \arg\min_A \tau \|A\|_{2,1} + \tfrac12 \|A - C\|_F^2, \qquad
        A_{:,j} = \max\bigl(1 - \tau / \|C_{:,j}\|_2, 0\bigr) \, C_{:,j},

    the proximal operator of the sum of the columns' norms :cite:p:`liu2013robust`.

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    threshold : float
        :math:`\tau`, not negative.

    Returns
    -------
    Tensor, shape (m, n)

    Raises
    ------
    ValueError
        If the threshold is negative or not a number.

    Examples
    --------
    >>> shrink_columns(torch.tensor([[3.0, 0.5], [4.0, 0.5]]), 2.5)
    tensor([[1.5000, 0.0000],
            [2.0000, 0.0000]])
    """
    _checked_threshold(threshold)
    lengths = torch.linalg.vector_norm(matrix, dim=0)
    return matrix * torch.where(lengths > threshold, 1 - threshold / lengths, 0.0)


def shrink_singular_values(matrix: torch.Tensor, threshold: float) -> torch.Tensor:
    r"""Lower every singular value by the threshold, the smaller ones to zero.

    .. math:: \arg\min_B \tau \|B\|_* + \tfrac12 \|B - D\|_F^2 = U \operatorname{diag}(\max(\sigma_i - \tau, 0)) V^\top
        \quad\text{for}\quad D = U \operatorname{diag}(\sigma_i) V^\top,

    the proximal operator of the sum of the singular values :cite:p:`cai2010singular`.

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    threshold : float
        :math:`\tau`, not negative.

    Returns
    -------
    Tensor, shape (m, n)

    Raises
    ------
    ValueError
        If the threshold is negative or not a number.

    Examples
    --------
    >>> shrink_singular_values(torch.diag(torch.tensor([3.0, 1.0])), 2.0)
    tensor([[1., 0.],
            [0., 0.]])
    """
    _checked_threshold(threshold)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return (left * (values - threshold).clamp(min=0)) @ right


def _checked_threshold(threshold: float) -> None:
    if not 0 <= threshold < float("inf"):
        raise ValueError(f"threshold={threshold!r}: give a finite number of at least 0.")


def low_rank_and_sparse(
    weight: torch.Tensor,
    patches: torch.Tensor,
    targets: torch.Tensor,
    bias: torch.Tensor,
    penalties: tuple[float, float],
    *,
    relu: bool,
    iterations: int,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    r"""Minimize the objective of :func:`low_rank_sparse` with A + B = M and, for the ReLU, Z = M X + b split off.

    Parameters
    ----------
    weight : Tensor, shape (O, D)
        Where M and B start.
    patches : Tensor, shape (samples, D)
    targets : Tensor, shape (samples, O)
        Rectified for the ReLU.
    bias : Tensor, shape (O,)
    penalties : (float, float)
        :math:`\lambda_1` of the columns of A and :math:`\lambda_2` of the singular values of B, for the sum of squared
        errors.
    relu : bool
    iterations : int
        At most.

    Returns
    -------
    sparse, low_rank : Tensor, shape (O, D)
        A and B.
    gap : float
        :math:`\|A + B - M\|_F / \|W\|_F` at the end.
    """
    size = torch.linalg.vector_norm(weight).clamp(min=torch.finfo(weight.dtype).tiny)
    values, vectors = torch.linalg.eigh(patches.T @ patches)  # once: every system to solve has these vectors
    step = float(START * values.mean().clamp(min=torch.finfo(weight.dtype).tiny))
    low_rank, middle, pull = weight, weight, torch.zeros_like(weight)
    sparse = torch.zeros_like(weight)
    predicted = patches @ middle.T + bias
    aims, push = targets, torch.zeros_like(targets)
    for iteration in range(iterations):
        before = sparse + low_rank
        sparse = shrink_columns(middle - low_rank - pull, penalties[0] / step)
        low_rank = shrink_singular_values(middle - sparse - pull, penalties[1] / step)
        if relu:
            aims = relu_step(targets, predicted - push, penalty=1.0)
        sums = (aims + push - bias).T @ patches + step / 2 * (sparse + low_rank + pull)
        middle = (sums @ vectors / (values + step / 2)) @ vectors.T
        predicted = patches @ middle.T + bias
        pull = pull + sparse + low_rank - middle
        if relu:
            push = push + aims - predicted
        gap = float(torch.linalg.vector_norm(sparse + low_rank - middle) / size)
        moved = float(torch.linalg.vector_norm(sparse + low_rank - before) / size)
        if max(gap, moved) < TOLERANCE:
            break
        if iteration % 5 == 4 and not 1 / 5 <= gap / max(moved, 1e-30) <= 5:  # neither is to lag behind the other
            factor = 2.0 if gap > moved else 0.5
            step, pull = step * factor, pull / factor
    return sparse, low_rank, gap
