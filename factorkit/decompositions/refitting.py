"""Weights of a given rank and given columns that come nearest to the responses of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from factorkit.decompositions.response import relu_step
from factorkit.decompositions.weights import relative_error

__all__ = ["Refit", "refit"]

PENALTIES = (0.1,) * 10 + (1.0,) * 10
RIDGE = 1e-8


@dataclass(frozen=True)
class Refit:
    """Responses ``outer @ inner @ patch + sparse @ patch[columns] + bias`` and their relative error.

    Shapes O x R, R x D, O x S and O.
    """

    outer: torch.Tensor
    inner: torch.Tensor
    sparse: torch.Tensor
    bias: torch.Tensor
    error: float


def refit(
    patches: torch.Tensor,
    targets: torch.Tensor,
    predicted: torch.Tensor,
    columns: torch.Tensor,
    rank: int,
    *,
    relu: bool,
) -> Refit:
    r"""Fit a matrix of rank R, some columns of their own and a bias to responses.

    Without the ReLU this has a closed form. The columns and the bias can follow any weight on what they read, so only
    what is left of the other columns :math:`X_N` when these are projected out matters for the low-rank part: with the
    matrices :math:`G` of their products and :math:`C` of those with the targets, a regression of reduced rank,

    .. math:: B_N = U U^\top C G^{-1}, \qquad U = \text{the R leading eigenvectors of } C G^{-1} C^\top.

    With the ReLU, regressions and :func:`relu_step` take turns, and the best fit that was met is returned.

    Parameters
    ----------
    patches : Tensor, shape (samples, D)
    targets : Tensor, shape (samples, O)
        Rectified for the ReLU.
    predicted : Tensor, shape (samples, O)
        Where the turns start: responses before the ReLU.
    columns : Tensor of int64, shape (S,)
    rank : int
    relu : bool

    Returns
    -------
    Refit
    """
    free = torch.ones(patches.shape[1], dtype=torch.bool, device=patches.device)
    free[columns] = False
    others = patches[:, free]
    known = torch.cat([patches[:, columns], torch.ones_like(patches[:, :1])], dim=1)
    ridge = RIDGE * max(float(patches.square().sum(dim=0).mean()), 1e-30)  # of all: what is left below may be zero
    known_factor = _factor(known.T @ known, ridge)
    cross = known.T @ others
    explained = torch.cholesky_solve(cross, known_factor)  # regression of the others on what is known
    factor = _factor(others.T @ others - cross.T @ explained, ridge)

    def regression(aims: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with_known = aims.T @ known
        left = aims.T @ others - with_known @ explained
        slopes = torch.cholesky_solve(left.T, factor).T
        outer = torch.linalg.eigh(slopes @ left.T).eigenvectors[:, -rank:].flip(1)
        inner = outer.T @ slopes
        mixing = torch.cholesky_solve((with_known - outer @ (inner @ cross.T)).T, known_factor).T
        return outer, inner, mixing, others @ inner.T @ outer.T + known @ mixing.T

    best, error = None, float("inf")
    for penalty in PENALTIES if relu else (0.0,):
        aims = relu_step(targets, predicted, penalty) if relu else targets
        *found, predicted = regression(aims)
        new = relative_error(targets, predicted.relu() if relu else predicted)
        if best is None or new < error:
            best, error = found, new
    outer, inner, mixing = best
    sizes = torch.linalg.vector_norm(inner, dim=1).sqrt()  # both factors of a component get the same norm
    sizes = torch.where(sizes > 0, sizes, 1.0)
    rows = torch.zeros(rank, len(free), dtype=inner.dtype, device=inner.device)
    rows[:, free] = inner / sizes[:, None]
    return Refit(outer * sizes, rows, mixing[:, :-1], mixing[:, -1], error)


def _factor(gram: torch.Tensor, ridge: float) -> torch.Tensor:
    """Cholesky factor of a Gram matrix, with a ridge for directions in which the samples do not vary."""
    return torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
