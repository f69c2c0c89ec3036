"""Leading singular vectors of a matrix from the smaller of its two Gram matrices."""

from __future__ import annotations

import scipy.linalg
import torch

__all__ = ["gram", "gram_is_coarse", "improved_vectors", "leading_vectors"]

COARSE_BELOW = 3e-3
EXACT_BELOW = 1e-6
FEW = 8  # so many times fewer eigenvectors than there are, and they are taken on their own


def gram(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix times its transpose.

    Examples
    --------
    >>> gram(torch.tensor([[1.0, 2.0]]))
    tensor([[5.]])
    """
    if matrix.device.type != "cpu":
        return matrix @ matrix.T
    array = matrix.detach().numpy()
    return torch.from_numpy(array @ array.T)  # numpy sees the symmetry and computes half of it, torch does not


def leading_vectors(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    r"""Orthonormal basis of the subspace of the leading left singular vectors.

    The left singular vectors of X are the eigenvectors of :math:`X X^T`, and :math:`X z` for those z of :math:`X^T X`.
    For the unfolding of a 512 x 512 x 3 x 3 kernel this takes a tenth of the time of an SVD. Squaring halves the
    digits: directions whose singular values are below about 3e-4 of the largest, in float32, are lost in rounding.

    Parameters
    ----------
    matrix : Tensor, shape (n, m)
    rank : int
        From 1 to n. A rank above m is filled with directions that the matrix does not use.

    Returns
    -------
    Tensor, shape (n, rank)
        Orthonormal columns, largest singular value first; the identity if the rank is n, as any basis is then exact.

    Examples
    --------
    >>> leading_vectors(torch.tensor([[0.0, 0.0], [0.0, 5.0], [1.0, 0.0]]), 1).abs()
    tensor([[0.],
            [1.],
            [0.]])
    """
    rows, columns = matrix.shape
    if rank == rows:
        return torch.eye(rows, dtype=matrix.dtype, device=matrix.device)
    matrix = _scaled(matrix)
    if rank <= columns < rows:
        return torch.linalg.qr(matrix @ _eigenvectors(gram(matrix.T), rank)).Q
    return _eigenvectors(gram(matrix), rank)


def _eigenvectors(symmetric: torch.Tensor, number: int) -> torch.Tensor:
    """Those of the largest eigenvalues, largest first."""
    size = len(symmetric)
    if symmetric.device.type != "cpu" or FEW * number > size:
        return torch.linalg.eigh(symmetric).eigenvectors[:, -number:].flip(1)
    # torch takes all eigenvectors: for 10 of 512, three times as long
    wanted = size - number, size - 1
    _, vectors = scipy.linalg.eigh(symmetric.numpy(), subset_by_index=wanted, driver="evr", check_finite=False)
    return torch.from_numpy(vectors).flip(1)


def improved_vectors(matrix: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    r"""Orthonormal basis closer to the leading left singular vectors than the one given, by a subspace iteration.

    .. math:: V \leftarrow \operatorname{orth}(X X^T V)

    never lowers :math:`\|X^T V\|_F`, and costs two thin products where :func:`leading_vectors` takes all eigenvectors.

    Parameters
    ----------
    matrix : Tensor, shape (n, m)
    vectors : Tensor, shape (n, rank)
        With orthonormal columns.

    Examples
    --------
    >>> improved_vectors(torch.diag(torch.tensor([3.0, 1.0])), torch.tensor([[0.8], [0.6]])).abs()
    tensor([[0.9965],
            [0.0830]])
    """
    matrix = _scaled(matrix)
    return torch.linalg.qr(matrix @ (matrix.T @ vectors)).Q


def gram_is_coarse(weight: torch.Tensor, error: float) -> bool:
    """Whether an approximation is so good that a Gram matrix in the precision of the weight may have limited it.

    Parameters
    ----------
    weight : Tensor
    error : float
        Relative error of the approximation.

    Examples
    --------
    >>> gram_is_coarse(torch.ones(2), 0.5), gram_is_coarse(torch.ones(2), 3e-4)
    (False, True)
    """
    return weight.dtype == torch.float32 and EXACT_BELOW < error < COARSE_BELOW


def _scaled(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix, divided by its largest entry if a square could underflow or overflow."""
    low, high = torch.aminmax(matrix)
    largest = max(-float(low), float(high))
    return matrix if largest == 0 or 1e-6 < largest < 1e6 else matrix / largest
