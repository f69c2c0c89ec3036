"""Kernels as tensor trains: chains of a 1 x 1, a vertical, a horizontal and another 1 x 1 convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.trains import tt_svd, tt_to_tensor
from factorkit.decompositions.weights import checked_weight

__all__ = ["TensorTrain", "tensor_train", "tensor_train_ranks"]

AXES = {1: ("spatial",), 2: ("vertical", "horizontal"), 3: ("depth", "vertical", "horizontal")}


@dataclass(frozen=True, repr=False, eq=False)
class TensorTrain(Decomposition):
    r"""A kernel as a tensor train over input channels, spatial axes and output channels.

    .. math:: W_{o,i,y,x} \approx \sum_{a,b,c} G^{(1)}_{i,a} \, G^{(2)}_{a,y,b} \, G^{(3)}_{b,x,c} \, G^{(4)}_{c,o}

    In this order the sums are convolutions: 1 x 1 to :math:`r_1` maps, vertical to :math:`r_2`, horizontal to
    :math:`r_3`, and 1 x 1 to the outputs. Axes of size 1 have no core.

    Attributes
    ----------
    cores : tuple of Tensor
        Shapes 1 x I x r_1, r_1 x k_h x r_2, r_2 x k_w x r_3, r_3 x O x 1, as TensorLy has them. All have the same norm.
    """

    cores: tuple[torch.Tensor, ...]

    @property
    def rank(self) -> tuple[int, ...]:
        """Ranks of the bonds: the numbers of maps between the steps."""
        return tuple(core.shape[0] for core in self.cores[1:])

    def steps(self) -> tuple[Step, ...]:
        first, *spatial, last = self.cores
        names, points = AXES[len(self.shape) - 2], (1,) * (len(self.shape) - 2)
        steps = [Step("inputs", first[0].T.reshape(-1, self.shape[1], *points))]
        for axis, core in zip(_long_axes(self.shape), spatial, strict=True):
            kernel = (*points[: axis - 2], self.shape[axis], *points[axis - 1 :])
            steps.append(Step(names[axis - 2], core.permute(2, 0, 1).reshape(core.shape[2], core.shape[0], *kernel)))
        return *steps, Step("outputs", last[..., 0].T.reshape(self.shape[0], -1, *points))

    def reconstruct(self) -> torch.Tensor:
        return tt_to_tensor(self.cores).movedim(-1, 0).reshape(self.shape)


def tensor_train(weight: torch.Tensor, ranks: int | Sequence[int], *, sweeps: int = 2) -> TensorTrain:
    """Decompose a kernel into a tensor train, a chain of convolutions :cite:p:`oseledets2011tensor`.

    Parameters
    ----------
    weight : Tensor, shape (O, I, k_1, ..., k_n) with one to three spatial axes
    ranks : int or sequence of int
        At most so many maps between the steps, one number for each bond or one for all. A bond gets no more than its
        neighbors can use; an integer that is larger than every bond needs gives the exact train.
    sweeps : int, optional
        Of least squares after the splits, as in :func:`tt_svd`.

    Returns
    -------
    TensorTrain

    Raises
    ------
    ValueError
        If the weight is no kernel of a convolution, or a sequence has not one rank for each bond or one above the
        largest possible.

    Examples
    --------
    >>> train = tensor_train(torch.randn(32, 16, 3, 3), (8, 12, 8))
    >>> train.rank, train.params
    ((8, 12, 8), 960)
    >>> train.to_layers(torch.nn.Conv2d(16, 32, 3, padding=1))
    Sequential(
      (inputs): Conv2d(16, 8, kernel_size=(1, 1), stride=(1, 1), bias=False)
      (vertical): Conv2d(8, 12, kernel_size=(3, 1), stride=(1, 1), padding=(1, 0), bias=False)
      (horizontal): Conv2d(12, 8, kernel_size=(1, 3), stride=(1, 1), padding=(0, 1), bias=False)
      (outputs): Conv2d(8, 32, kernel_size=(1, 1), stride=(1, 1))
    )
    """
    weight = checked_weight(weight, (3, 4, 5))
    return TensorTrain(weight, tt_svd(_chain(weight), ranks, sweeps=sweeps))


def tensor_train_ranks(weight: torch.Tensor, fraction: float = 0.9) -> tuple[int, ...]:
    r"""Ranks of a tensor train that keeps a fraction of the squared norm of a kernel.

    A share :math:`(1 - \text{fraction}) / (d - 1)` of the squared norm may be cut at each of the d - 1 bonds, which
    keeps the sum of what is cut within the whole :cite:p:`oseledets2011tensor`.

    Parameters
    ----------
    weight : Tensor, shape (O, I, k_1, ..., k_n)
    fraction : float, optional
        Above 0, at most 1.

    Returns
    -------
    tuple of int
        For :func:`tensor_train`, whose relative error is then at most :math:`\sqrt{1 - \text{fraction}}`.

    Raises
    ------
    ValueError
        If the weight is no kernel of a convolution or the fraction outside its range.

    Examples
    --------
    >>> tensor_train_ranks(torch.ones(8, 4, 3, 3))
    (1, 1, 1)
    """
    weight = checked_weight(weight, (3, 4, 5))
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction={fraction!r}: give the part of the squared norm to keep, above 0 and at most 1.")
    chain = _chain(weight)
    ranks = []
    for bond in range(1, chain.dim()):
        matrix = chain.reshape(math.prod(chain.shape[:bond]), -1).double()
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        energies = torch.linalg.eigvalsh(gram).clamp(min=0)  # smallest first
        cut = energies.cumsum(0) <= (1 - fraction) / (chain.dim() - 1) * energies.sum()
        ranks.append(max(len(energies) - int(cut.sum()), 1))
    return tuple(ranks)


def _chain(weight: torch.Tensor) -> torch.Tensor:
    """The kernel with its axes in the order of the train."""
    return weight.movedim(0, -1).reshape(weight.shape[1], *(weight.shape[a] for a in _long_axes(weight.shape)), -1)


def _long_axes(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis for axis in range(2, len(shape)) if shape[axis] > 1)
