"""Leading singular vectors of a matrix from the smaller of its two Gram matrices."""

from __future__ import annotations

import scipy.linalg
import torch

__all__ = ["gram", "gram_is_coarse", "improved_vectors", "leading_pairs", "leading_vectors"]

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
    return leading_pairs(matrix, rank)[0]


def leading_pairs(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, float]:
    """What :func:`leading_vectors` gives, and the sum of the squares of their singular values.

    Examples
    --------
    >>> leading_pairs(torch.diag(torch.tensor([3.0, 1.0, 2.0])), 2)[1]
    13.0
    """
    rows, columns = matrix.shape
    if rank == rows:
        identity = torch.eye(rows, dtype=matrix.dtype, device=matrix.device)
        return identity, float(torch.linalg.vector_norm(matrix, dtype=torch.float64)) ** 2
    scale, matrix = _scaled(matrix)
    turned = rank <= columns < rows
    values, vectors = _eigenpairs(gram(matrix.T if turned else matrix), rank)
    if turned:
        vectors = torch.linalg.qr(matrix @ vectors).Q
    return vectors, float(values.sum(dtype=torch.float64)) * scale**2


def _eigenpairs(symmetric: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest eigenvalues, and their vectors, largest first."""
    size = len(symmetric)
    if symmetric.device.type != "cpu" or FEW * number > size:
        values, vectors = torch.linalg.eigh(symmetric)
        return values[-number:], vectors[:, -number:].flip(1)
    # torch takes all eigenvectors: for 10 of 512, three times as long
    wanted = size - number, size - 1
    values, vectors = scipy.linalg.eigh(symmetric.numpy(), subset_by_index=wanted, driver="evr", check_finite=False)
    return torch.from_numpy(values), torch.from_numpy(vectors).flip(1)


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
    matrix = _scaled(matrix)[1]
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


def _scaled(matrix: torch.Tensor) -> tuple[float, torch.Tensor]:
    """A number and the matrix divided by it: its largest entry if a square could underflow or overflow, else 1."""
    low, high = torch.aminmax(matrix)
    largest = max(-float(low), float(high))
    return (1.0, matrix) if largest == 0 or 1e-6 < largest < 1e6 else (largest, matrix / largest)
