r"""Singular value decomposition: of a matrix, a linear layer, a convolution.

Every matrix is a sum of rank-one matrices, :math:`A = \sum_i \sigma_i u_i v_i^\top`, and no matrix of rank r is nearer
to it in the Frobenius norm than the sum of the r largest (Eckart and Young, 1936).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.truncation import truncated_factors
from factorkit.decompositions.weights import checked_rank, checked_weight, shape_text

__all__ = [
    "ChannelSVD",
    "LowRank",
    "channel_svd",
    "linear_svd",
    "truncated_svd",
]


@dataclass(frozen=True, repr=False, eq=False)
class LowRank(Decomposition):
    r"""A matrix of rank r, :math:`\hat A = U \Sigma V^\top`.

    Parameters
    ----------
    weight : Tensor, shape (m, n)
        The matrix that was decomposed; it is not kept.
    left : Tensor, shape (m, r)
        The columns :math:`u_i`.
    singular_values : Tensor, shape (r,)
        Largest first.
    right : Tensor, shape (r, n)
        The rows :math:`v_i^\top`.
    iterations : tuple of int, optional
        Steps that power iteration took for each component.
    """

    left: torch.Tensor
    singular_values: torch.Tensor
    right: torch.Tensor
    iterations: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """Number of components."""
        return len(self.singular_values)

    def steps(self) -> tuple[Step, ...]:
        """Two linear layers, n to r and r to m, each with the square roots of the singular values."""
        root = self.singular_values.sqrt()
        return Step("reduce", root[:, None] * self.right), Step("expand", self.left * root)

    def reconstruct(self) -> torch.Tensor:
        """The matrix of rank r, m x n."""
        return (self.left * self.singular_values) @ self.right


@dataclass(frozen=True, repr=False, eq=False)
class ChannelSVD(Decomposition):
    """A convolution to few maps, then a 1 x 1 convolution to all output maps.

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_1, ..., k_n)
        The weight that was decomposed; it is not kept.
    spatial : Tensor, shape (groups * r, I / groups, k_1, ..., k_n)
    pointwise : Tensor, shape (O, r, 1, ...)
    groups : int, optional
    """

    spatial: torch.Tensor
    pointwise: torch.Tensor
    groups: int = 1

    @property
    def rank(self) -> int:
        """Maps in the middle, of each group."""
        return self.pointwise.shape[1]

    def steps(self) -> tuple[Step, ...]:
        """The convolution with full kernels, which strides, and the pointwise one."""
        return Step("spatial", self.spatial, self.groups), Step("pointwise", self.pointwise, self.groups)

    def reconstruct(self) -> torch.Tensor:
        """The weight O x I / groups x k_1 ... x k_n that both steps together apply."""
        left = self.pointwise.reshape(self.groups, -1, self.rank)
        return (left @ self.spatial.reshape(self.groups, self.rank, -1)).reshape(
            len(self.pointwise), *self.spatial.shape[1:]
        )


def truncated_svd(matrix: torch.Tensor, rank: int) -> LowRank:
    r"""The best approximation of a matrix by one of rank r.

    .. math:: \hat A = \sum_{i=1}^{r} \sigma_i u_i v_i^\top, \qquad
              \| A - \hat A \|_F = \sqrt{\textstyle\sum_{i > r} \sigma_i^2}

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    rank : int
        From 1 to min(m, n), where the approximation is exact.

    Returns
    -------
    LowRank

    Raises
    ------
    ValueError
        If the matrix is no finite one of float32 or float64, or the rank is out of range.

    Examples
    --------
    Users (rows) rate movies (columns): two concepts explain over 99 % of the energy, so about 9 % of the norm is lost.

    >>> sci_fi, romance = [[1, 1, 1, 0, 0], [3, 3, 3, 0, 0], [4, 4, 4, 0, 0]], [[0, 2, 0, 4, 4], [0, 1, 0, 2, 2]]
    >>> ratings = torch.tensor([*sci_fi, [5, 5, 5, 0, 0], *romance, [0, 0, 0, 5, 5]], dtype=torch.float64)
    >>> truncated_svd(ratings, rank=2)
    LowRank(7 x 5, rank 2, relative error 0.0854, 24 parameters instead of 35: 1.46 times fewer)
    """
    matrix = checked_weight(matrix, (2,))
    rank = checked_rank("rank", rank, min(matrix.shape), f"a {shape_text(matrix.shape)} matrix")
    return LowRank(matrix, *truncated_factors(matrix, rank))


def linear_svd(linear_weight: torch.Tensor, rank: int) -> LowRank:
    """A linear layer as two: I x O weights become r (I + O), fewer if r is below I O / (I + O).

    Parameters
    ----------
    linear_weight : Tensor, shape (O, I)
        Weight of an ``nn.Linear``.
    rank : int
        Features between the two layers, from 1 to min(O, I).

    Returns
    -------
    LowRank
        ``to_layers`` gives the two layers.

    Raises
    ------
    ValueError
        As :func:`truncated_svd`.

    Examples
    --------
    >>> layer = torch.nn.Linear(784, 100)
    >>> linear_svd(layer.weight, rank=20).to_layers(layer)
    Sequential(
      (reduce): Linear(in_features=784, out_features=20, bias=False)
      (expand): Linear(in_features=20, out_features=100, bias=True)
    )
    """
    return truncated_svd(linear_weight, rank)


def channel_svd(weight: torch.Tensor, rank: int, *, groups: int = 1) -> ChannelSVD:
    r"""A convolution as one with r output maps, and a 1 x 1 convolution that mixes them.

    The weight is read as the matrix :math:`\mathbf{W}` of :math:`O \times I k_h k_w`: one row for each filter. Its r
    right singular vectors are the filters of the first step, and each old filter is a sum of them.

    .. math:: \mathbf{W} \approx (U \Sigma^{1/2}) (\Sigma^{1/2} V^\top)

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_1, ..., k_n)
        Of a convolution in one, two or three dimensions.
    rank : int
        Maps between the steps, of each group; at most the smaller side of a group's matrix.
    groups : int, optional
        Of the convolution: each group is decomposed for itself.

    Returns
    -------
    ChannelSVD

    Raises
    ------
    ValueError
        If the weight is not one of a convolution, ``groups`` does not divide O, or the rank is out of range.

    Examples
    --------
    >>> layer = torch.nn.Conv2d(16, 32, 3, stride=2, padding=1)
    >>> channel_svd(layer.weight, rank=8).to_layers(layer)
    Sequential(
      (spatial): Conv2d(16, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)
      (pointwise): Conv2d(8, 32, kernel_size=(1, 1), stride=(1, 1))
    )
    """
    weight = checked_weight(weight, (3, 4, 5), groups=groups)
    matrix = weight.reshape(groups, len(weight) // groups, -1)
    rank = checked_rank("rank", rank, min(matrix.shape[1:]), f"the {shape_text(matrix.shape[1:])} matrix of a group")
    left, values, right = truncated_factors(matrix, rank)
    root = values.sqrt()
    spatial = (root[..., None] * right).reshape(groups * rank, *weight.shape[1:])
    pointwise = (left * root[:, None]).reshape(len(weight), rank, *[1] * (weight.dim() - 2))
    return ChannelSVD(weight, spatial, pointwise, groups)
