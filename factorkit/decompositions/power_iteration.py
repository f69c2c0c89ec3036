"""Singular value decomposition by power iteration: slow, and short enough to see through."""

from __future__ import annotations

import torch

from factorkit.arguments import positive_integers
from factorkit.decompositions.svd import LowRank
from factorkit.decompositions.weights import checked_rank, checked_weight, shape_text

__all__ = ["power_iteration_svd"]


def power_iteration_svd(
    matrix: torch.Tensor,
    rank: int,
    *,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-8,
    iterations: int = 1000,
) -> LowRank:
    r"""The same by power iteration with deflation, one component after the other.

    From a random start, :math:`v \leftarrow A^\top A v / \| A^\top A v \|` turns towards the right singular vector of
    the largest singular value, by the factor :math:`(\sigma_2 / \sigma_1)^2` a step. Then :math:`\sigma = \| A v \|`
    and :math:`u = A v / \sigma` belong to this same v, and the search goes on in :math:`A - \sigma u v^\top`.

    Three points decide whether it works: v has length 1 whenever :math:`\sigma` is computed; u comes from v, because a
    separate search in :math:`A A^\top` may find :math:`-u`; and the start is random, because a fixed one can be
    orthogonal to what is sought.

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    rank : int
        From 1 to min(m, n).
    generator : torch.Generator, optional
        Draws the starts. Default: a new one with seed 0.
    tolerance : float, optional
        A component is found when a step moves v by less.
    iterations : int, optional
        Most steps for one component. Among nearly equal singular values more would be needed to tell their vectors
        apart; the approximation hardly depends on that.

    Returns
    -------
    LowRank
        With the steps taken in ``iterations``.

    Raises
    ------
    ValueError
        As :func:`truncated_svd`, and if ``iterations`` or ``tolerance`` is not positive.

    Examples
    --------
    >>> matrix = torch.tensor([[1.0, 2.0], [2.0, 3.0]], dtype=torch.float64)
    >>> found = power_iteration_svd(matrix, rank=2)
    >>> found.singular_values  # of a symmetric matrix: the sizes of its eigenvalues, 2 + 5 ** 0.5 and 2 - 5 ** 0.5
    tensor([4.2361, 0.2361], dtype=torch.float64)
    """
    matrix = checked_weight(matrix, (2,))
    rank = checked_rank("rank", rank, min(matrix.shape), f"a {shape_text(matrix.shape)} matrix")
    positive_integers(iterations=iterations)
    if not tolerance > 0:
        raise ValueError(f"tolerance={tolerance!r}: give a positive number, such as 1e-8.")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    rest = matrix.double()
    (rows, columns), precision = rest.shape, torch.finfo(rest.dtype).eps * torch.linalg.matrix_norm(rest)
    left, right, values, taken = rest.new_zeros(rows, 0), rest.new_zeros(columns, 0), [], []
    for _ in range(rank):
        v, count = _unit_vector(right, generator), 0
        while count < iterations:
            count += 1
            following = rest.T @ (rest @ v)
            if torch.linalg.vector_norm(following) <= precision**2:
                break  # nothing is left, and every v is as good
            following = _orthogonal(following, right)
            moved, v = torch.linalg.vector_norm(following - v), following
            if moved < tolerance:
                break
        u = rest @ v
        value = torch.linalg.vector_norm(u)
        u = u / value if value > max(rows, columns) * precision else _unit_vector(left, generator)
        rest = rest - value * torch.outer(u, v)
        left, right = torch.column_stack([left, u]), torch.column_stack([right, v])
        values.append(value)
        taken.append(count)
    order = torch.stack(values).argsort(descending=True, stable=True)
    left, found, right = left[:, order], torch.stack(values)[order], right.T[order]
    return LowRank(
        matrix, *(part.to(matrix.dtype) for part in (left, found, right)), tuple(taken[i] for i in order.tolist())
    )


def _orthogonal(vector: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The part of a vector that is orthogonal to the columns of ``others``, with length 1."""
    for _ in range(2):  # rounding leaves a little of them behind the first time
        vector = vector - others @ (others.T @ vector)
        vector = vector / torch.linalg.vector_norm(vector)
    return vector


def _unit_vector(others: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random direction orthogonal to the columns of ``others``."""
    drawn = torch.randn(len(others), generator=generator, dtype=others.dtype, device=generator.device)
    return _orthogonal(drawn.to(others.device), others)
