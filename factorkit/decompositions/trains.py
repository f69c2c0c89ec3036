"""The tensor train of any tensor: splits by singular value decompositions, then sweeps of least squares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from factorkit.arguments import positive_integers
from factorkit.decompositions.leading import leading_vectors
from factorkit.decompositions.weights import checked_rank, shape_text

__all__ = ["tt_svd", "tt_to_tensor"]


def tt_svd(tensor: torch.Tensor, ranks: int | Sequence[int], *, sweeps: int = 2) -> tuple[torch.Tensor, ...]:
    r"""Cores of a tensor train that approximates a tensor.

    .. math:: T_{i_1 \dots i_d} \approx G^{(1)}_{i_1} G^{(2)}_{i_2} \cdots G^{(d)}_{i_d}, \qquad
        G^{(k)}_{i_k} \in \mathbb{R}^{r_{k-1} \times r_k}, \quad r_0 = r_d = 1

    The axes are split off one after another, each time with the leading singular vectors of what is left
    :cite:p:`oseledets2011tensor`. That cuts each bond without regard to the later ones, so sweeps follow, backwards and
    forwards, in which each core in turn is the best one for the others. No sweep makes the error larger.

    Parameters
    ----------
    tensor : Tensor, shape (n_1, ..., n_d), d >= 2
    ranks : int or sequence of d - 1 int
        Largest rank of each bond, or of all. A bond gets no more than its neighbors can use; an integer that is larger
        than every bond needs gives the exact train.
    sweeps : int, optional
        At least 1.

    Returns
    -------
    tuple of Tensor
        Core k has the shape r_(k-1) x n_k x r_k, as in TensorLy. All have the same norm, so that training changes them
        at the same pace.

    Raises
    ------
    ValueError
        If a sequence has not d - 1 ranks or one above the largest possible, or a number is not positive.

    Notes
    -----
    The squared error is at most :math:`\sum_k \epsilon_k^2`, with :math:`\epsilon_k` the best error of
    the k-th unfolding at rank :math:`r_k`: at most :math:`\sqrt{d - 1}` times the error of the best train.

    Examples
    --------
    >>> cores = tt_svd(torch.randn(4, 5, 6), 3)
    >>> [tuple(core.shape) for core in cores]
    [(1, 4, 3), (3, 5, 3), (3, 6, 1)]
    """
    positive_integers(sweeps=sweeps)
    limits = _limits(tuple(tensor.shape), ranks)
    cores, rest = [], tensor[None]
    for size, limit in zip(tensor.shape, limits, strict=False):
        before = rest.shape[0]
        matrix = rest.reshape(before * size, -1)
        left = leading_vectors(matrix, min(limit, *matrix.shape))
        cores.append(left.reshape(before, size, -1))
        rest = left.T @ matrix
    cores.append(rest[..., None])
    for done in range(sweeps):
        cores = _swept_back(tensor if done % 2 == 0 else tensor.permute(*reversed(range(tensor.dim()))), cores)
        cores = _reversed(cores)
    return _balanced(cores if sweeps % 2 == 0 else _reversed(cores))


def tt_to_tensor(cores: Sequence[torch.Tensor]) -> torch.Tensor:
    """The tensor n_1 x ... x n_d that a train stands for: each core multiplied with the next.

    Examples
    --------
    >>> tt_to_tensor([torch.ones(1, 2, 3), torch.ones(3, 4, 1)])
    tensor([[3., 3., 3., 3.],
            [3., 3., 3., 3.]])
    """
    whole = cores[0]
    for core in cores[1:]:
        whole = torch.tensordot(whole, core, dims=1)
    return whole[0, ..., 0]


def _limits(shape: tuple[int, ...], ranks: int | Sequence[int]) -> list[int]:
    """The largest rank of each bond."""
    largest = [min(math.prod(shape[:bond]), math.prod(shape[bond:])) for bond in range(1, len(shape))]
    if isinstance(ranks, int):
        positive_integers(ranks=ranks)
        return [min(ranks, most) for most in largest]
    if len(ranks) != len(largest):
        raise ValueError(
            f"ranks={tuple(ranks)}: a train over axes of {shape_text(shape)} has {len(largest)} bonds; give a rank for "
            "each, or one integer for all."
        )
    bonds = enumerate(zip(ranks, largest, strict=True))
    train = f"the bond of a train over axes of {shape_text(shape)}"
    return [checked_rank(f"ranks[{bond}]", rank, most, train) for bond, (rank, most) in bonds]


def _swept_back(tensor: torch.Tensor, cores: list[torch.Tensor]) -> list[torch.Tensor]:
    """From the last core to the first, the best core for the others; all but the first become orthonormal rows.

    The columns of all cores but the last must be orthonormal: then the best core is the tensor projected on both sides.
    A bond with more rank than the cores after it can use loses the surplus.
    """
    heads = [tensor.reshape(1, -1)]  # the tensor seen through the cores before each one
    for core in cores[:-1]:
        columns = core.flatten(0, 1)
        heads.append(columns.T @ heads[-1].reshape(len(columns), -1))
    swept, tail = [], tensor.new_ones(1, 1)  # the cores after each one, as one matrix
    for core, head in zip(reversed(cores), reversed(heads), strict=True):
        before, size = core.shape[:2]
        best = head.reshape(before * size, -1) @ tail.T
        if core is not cores[0]:
            best = torch.linalg.qr(best.reshape(before, -1).T).Q.T
        swept.append(best.reshape(-1, size, len(tail)))
        tail = (swept[-1].flatten(0, 1) @ tail).reshape(len(swept[-1]), -1)
    return swept[::-1]


def _reversed(cores: list[torch.Tensor]) -> list[torch.Tensor]:
    """The train of the tensor with its axes in the opposite order."""
    return [core.permute(2, 1, 0) for core in reversed(cores)]


def _balanced(cores: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The same train with cores of equal norm."""
    norms = [float(torch.linalg.vector_norm(core, dtype=torch.float64)) for core in cores]
    if not all(norms):
        return tuple(cores)
    mean = math.exp(sum(map(math.log, norms)) / len(norms))
    return tuple((core * (mean / norm)).contiguous() for core, norm in zip(cores, norms, strict=True))
