"""The largest singular values of a matrix and their vectors, by the faster of two ways."""

from __future__ import annotations

import torch

__all__ = ["truncated_factors"]


def truncated_factors(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""The r largest singular values of one or of many matrices, and their vectors.

    A long float32 matrix is decomposed through the eigenvectors of its smaller Gram matrix, :math:`A A^\top` or
    :math:`A^\top A`, which is several times faster. That squares the singular values, so it is done in float64 and
    only if the smallest one kept is at least :math:`10^{-5}` of the largest.

    Parameters
    ----------
    matrix : Tensor, shape (..., m, n)
    rank : int
        At most min(m, n); not checked here.

    Returns
    -------
    left : Tensor, shape (..., m, r)
    singular_values : Tensor, shape (..., r)
    right : Tensor, shape (..., r, n)

    Examples
    --------
    >>> left, values, right = truncated_factors(torch.tensor([[0.0, 0.0, 2.0], [3.0, 0.0, 0.0]]), rank=1)
    >>> values
    tensor([3.])
    """
    short, long = sorted(matrix.shape[-2:])
    if matrix.dtype == torch.float32 and long >= 2 * short:
        found = _gram_factors(matrix if matrix.shape[-2] == short else matrix.mT, rank)
        if found is not None:
            left, values, right = found
            return found if matrix.shape[-2] == short else (right.mT, values, left.mT)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[..., :rank], values[..., :rank], right[..., :rank, :]


def _gram_factors(wide: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """The same for matrices with fewer rows than columns; None where the Gram matrix has lost too much."""
    double = wide.double()
    vectors = torch.linalg.eigh(double @ double.mT).eigenvectors
    left = vectors[..., -rank:].flip(-1)
    right = left.mT @ double
    values = torch.linalg.vector_norm(right, dim=-1)
    if not (values > 1e-5 * values[..., :1]).all():
        return None
    right = right / values[..., None]
    return left.to(wide.dtype), values.to(wide.dtype), right.to(wide.dtype)
