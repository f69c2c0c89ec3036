"""Weights of linear layers as tensor trains."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from factorkit.arguments import positive_integers
from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.tensor_train_linear import TTLinear, checked_shapes, multiplied_out, tt_linear_macs
from factorkit.decompositions.trains import tt_svd
from factorkit.decompositions.weights import checked_weight, shape_text

__all__ = ["TTMatrix", "balanced_shape", "tensor_train_matrix", "tt_linear"]


@dataclass(frozen=True, repr=False, eq=False)
class TTMatrix(Decomposition):
    """The weight of a linear layer as a tensor train, which becomes a :class:`TTLinear`.

    Attributes
    ----------
    cores : tuple of Tensor
        Shapes r_(k-1) x out_k x in_k x r_k. All have the same norm.
    """

    cores: tuple[torch.Tensor, ...]

    @property
    def rank(self) -> tuple[int, ...]:
        """Ranks of the bonds."""
        return tuple(core.shape[0] for core in self.cores[1:])

    def steps(self) -> tuple[Step, ...]:
        """The cores as matrices: each is applied to one digit of the input's index."""
        return tuple(
            Step(f"core{k}", core.reshape(core.shape[0] * core.shape[1], -1)) for k, core in enumerate(self.cores)
        )

    def reconstruct(self) -> torch.Tensor:
        return multiplied_out(self.cores)

    def macs(self, output_size: int | tuple[int, ...] = 1, *, input_size: int | tuple[int, ...] | None = None) -> int:
        """Multiply-accumulates for one example, from the end that costs less; ``output_size`` vectors each."""
        (vectors,) = output_size if isinstance(output_size, tuple | list) else (output_size,)
        positive_integers(output_size=vectors)
        return vectors * min(tt_linear_macs([tuple(core.shape) for core in self.cores]))

    def to_layers(self, layer: nn.Module) -> nn.Sequential:
        """A :class:`TTLinear` with the cores, and the bias, dtype, device and training mode of a linear layer."""
        self._check(layer)
        made = TTLinear(
            [core.shape[2] for core in self.cores],
            [core.shape[1] for core in self.cores],
            self.rank,
            bias=layer.bias is not None,
        ).to(layer.weight)
        with torch.no_grad():
            for parameter, core in zip(made.cores, self.cores, strict=True):
                parameter.copy_(core).requires_grad_(layer.weight.requires_grad)
            if layer.bias is not None:
                made.bias.copy_(layer.bias).requires_grad_(layer.bias.requires_grad)
        return nn.Sequential(OrderedDict(tensor_train=made)).train(layer.training)


def tensor_train_matrix(
    weight: torch.Tensor, in_shape: Sequence[int], out_shape: Sequence[int], ranks: int | Sequence[int]
) -> TTMatrix:
    """Decompose the weight of a linear layer into a tensor train :cite:p:`novikov2015tensorizing`.

    Rows and columns are written in d digits each and the k-th digits of both put together, which gives a tensor with
    axes of size out_k in_k for :func:`tt_svd`.

    Parameters
    ----------
    weight : Tensor, shape (out_features, in_features)
    in_shape, out_shape : sequence of d int
        d >= 2 factors of the features; see :func:`balanced_shape`.
    ranks : int or sequence of d - 1 int
        At most so large.

    Returns
    -------
    TTMatrix

    Raises
    ------
    ValueError
        If the shapes do not multiply to that of the weight or have not the same length, or the ranks do not fit.

    Examples
    --------
    >>> rows, columns = torch.arange(6.0), torch.arange(8.0)
    >>> found = tensor_train_matrix(rows[:, None] + columns, (2, 4), (2, 3), ranks=2)
    >>> found.rank, found.params, round(found.relative_error, 5)
    ((2,), 32, 0.0)
    """
    weight = checked_weight(weight, (2,))
    in_shape, out_shape = checked_shapes(in_shape, out_shape)
    if len(in_shape) < 2 or (math.prod(out_shape), math.prod(in_shape)) != tuple(weight.shape):
        raise ValueError(
            f"out_shape={out_shape} and in_shape={in_shape} do not make {shape_text(weight.shape)} weights: give two "
            "or more factors of each of these numbers."
        )
    digits = len(in_shape)
    pairs = [axis for k in range(digits) for axis in (k, digits + k)]
    tensor = weight.reshape(*out_shape, *in_shape).permute(pairs)
    cores = tt_svd(tensor.reshape([a * b for a, b in zip(out_shape, in_shape, strict=True)]), ranks)
    sizes = zip(cores, out_shape, in_shape, strict=True)
    return TTMatrix(weight, tuple(core.reshape(len(core), a, b, -1) for core, a, b in sizes))


def tt_linear(
    linear: nn.Linear, in_shape: Sequence[int], out_shape: Sequence[int], ranks: int | Sequence[int]
) -> TTLinear:
    """The :class:`TTLinear` that is nearest to a linear layer, by :func:`tensor_train_matrix`.

    Parameters
    ----------
    linear : nn.Linear
        Left as it is. It gives bias, dtype, device and training mode.
    in_shape, out_shape, ranks
        As in :func:`tensor_train_matrix`.

    Returns
    -------
    TTLinear

    Raises
    ------
    ValueError
        As :func:`tensor_train_matrix`.

    Examples
    --------
    >>> [tuple(core.shape) for core in tt_linear(nn.Linear(12, 10), (3, 4), (5, 2), ranks=4).cores]
    [(1, 5, 3, 4), (4, 2, 4, 1)]
    """
    return tensor_train_matrix(linear.weight, in_shape, out_shape, ranks).to_layers(linear)[0]


def balanced_shape(features: int, digits: int) -> tuple[int, ...]:
    """Write a number as a product of factors that are as equal as its prime factors easily allow.

    Each prime factor, largest first, goes to the factor that is smallest so far.

    Parameters
    ----------
    features : int
    digits : int
        How many factors.

    Returns
    -------
    tuple of int
        Largest first. Ones where there are fewer prime factors.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> balanced_shape(25_088, 4), balanced_shape(4096, 4), balanced_shape(10, 3)
    ((16, 14, 14, 8), (8, 8, 8, 8), (5, 2, 1))
    """
    positive_integers(features=features, digits=digits)
    factors, prime, left = [], 2, features
    while left > 1:
        if left % prime:
            prime += 1
        else:
            factors.append(prime)
            left //= prime
    shape = [1] * digits
    for factor in reversed(factors):
        shape[shape.index(min(shape))] *= factor
    return tuple(sorted(shape, reverse=True))
