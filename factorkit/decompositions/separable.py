"""Convolutions of limited rank that are separable: a vertical one, then a horizontal one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.truncation import truncated_factors
from factorkit.decompositions.weights import checked_rank, checked_weight, shape_text

__all__ = ["Separable", "tai"]


@dataclass(frozen=True, repr=False, eq=False)
class Separable(Decomposition):
    """A vertical convolution (k_h x 1) to few maps, then a horizontal one (1 x k_w) to all output maps.

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_h, k_w)
        The weight that was decomposed; it is not kept.
    vertical : Tensor, shape (groups * r, I / groups, k_h, 1)
    horizontal : Tensor, shape (O, r, 1, k_w)
    groups : int, optional
    """

    vertical: torch.Tensor
    horizontal: torch.Tensor
    groups: int = 1

    @property
    def rank(self) -> int:
        """Maps in the middle, of each group."""
        return self.horizontal.shape[1]

    def steps(self) -> tuple[Step, ...]:
        """The vertical step, which strides over rows, and the horizontal one, which strides over columns."""
        return Step("vertical", self.vertical, self.groups), Step("horizontal", self.horizontal, self.groups)

    def reconstruct(self) -> torch.Tensor:
        """The weight O x I / groups x k_h x k_w that both steps together apply."""
        vertical = self.vertical[..., 0].unflatten(0, (self.groups, self.rank))
        horizontal = self.horizontal[:, :, 0].unflatten(0, (self.groups, -1))
        return torch.einsum("grih,gorw->goihw", vertical, horizontal).flatten(0, 1)


def tai(weight: torch.Tensor, rank: int, *, groups: int = 1) -> Separable:
    r"""The best separable approximation of a convolution, in closed form.

    From input map i to output map o, the two steps apply a sum of r kernels of rank one:

    .. math:: \hat W_{o,i} = \sum_{k=1}^{r} v_{k,i} \, h_{o,k}^\top

    with columns :math:`v_{k,i}` and rows :math:`h_{o,k}^\top`. Tai et al. (2016) find the nearest such weight: arranged
    as a matrix with one row for each input map and kernel row and one column for each output map and kernel column,
    :math:`I k_h \times O k_w`, it has rank r, so the truncated singular value decomposition is the answer.
    The cost falls if :math:`r < k_h k_w I O / (k_h I + k_w O)`.

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_h, k_w)
        Of a two-dimensional convolution.
    rank : int
        Maps between the steps, of each group; at most the smaller side of a group's matrix.
    groups : int, optional
        Of the convolution: each group is decomposed for itself.

    Returns
    -------
    Separable

    Raises
    ------
    ValueError
        If the weight is not one of a two-dimensional convolution, ``groups`` does not divide O, or the rank is out of
        range.

    Examples
    --------
    The Sobel kernel is separable: a column times a row, exactly.

    >>> sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    >>> found = tai(sobel[None, None], rank=1)
    >>> found.relative_error < 1e-6, found.params
    (True, 6)
    """
    weight = checked_weight(weight, (4,), groups=groups)
    grouped = weight.unflatten(0, (groups, -1))  # groups x O / groups x I / groups x k_h x k_w
    _, outputs, inputs, height, width = grouped.shape
    matrix = grouped.permute(0, 2, 3, 1, 4).reshape(groups, inputs * height, outputs * width)
    rank = checked_rank("rank", rank, min(matrix.shape[1:]), f"the {shape_text(matrix.shape[1:])} matrix of a group")
    left, values, right = truncated_factors(matrix, rank)
    root = values.sqrt()[..., None]
    vertical = (root * left.mT).reshape(groups * rank, inputs, height, 1)
    horizontal = (root * right).reshape(groups, rank, outputs, 1, width).transpose(1, 2).flatten(0, 1)
    return Separable(weight, vertical, horizontal, groups)
