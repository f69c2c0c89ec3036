"""Linear layers whose weight is a tensor train, which is never multiplied out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from factorkit.arguments import positive_integers

__all__ = ["TTLinear"]


class TTLinear(nn.Module):
    r"""A linear layer whose weight is a tensor train :cite:p:`novikov2015tensorizing`.

    .. math:: y_{i_1 \dots i_d} = \sum_{j_1 \dots j_d} G^{(1)}[i_1, j_1] \cdots G^{(d)}[i_d, j_d] \, x_{j_1 \dots j_d}

    where the indices of inputs and outputs are written in d digits each, and :math:`G^{(k)}[i, j]` is a matrix
    :math:`r_{k-1} \times r_k`. The cores are multiplied to the input one after another, from the end that costs less.

    Parameters
    ----------
    in_shape, out_shape : sequence of d int
        Their products are the numbers of features.
    ranks : int or sequence of d - 1 int
        Of the bonds, or of all of them.
    bias : bool, optional

    Attributes
    ----------
    cores : ParameterList
        Shapes r_(k-1) x out_k x in_k x r_k, as in TensorLy. They start at random, with the variance of ``nn.Linear`` in
        the weight that they stand for.
    bias : Parameter, shape (out_features,), or None
    weight : Tensor, shape (out_features, in_features)
        Multiplied out at each access, to look at.

    Raises
    ------
    ValueError
        If the shapes have not the same length, the ranks not one number for each bond, or a number is not positive.

    Notes
    -----
    Input (..., in_features), output (..., out_features), as for ``nn.Linear``.

    Examples
    --------
    >>> layer = TTLinear((4, 8, 8), (4, 4, 5), ranks=3)
    >>> layer(torch.zeros(2, 256)).shape, sum(core.numel() for core in layer.cores), 256 * 80
    (torch.Size([2, 80]), 456, 20480)
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], ranks: int | Sequence[int], *, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = checked_shapes(in_shape, out_shape)
        bonds = len(self.in_shape) - 1
        inner = (ranks,) * bonds if isinstance(ranks, int) else tuple(ranks)
        if len(inner) != bonds:
            raise ValueError(f"ranks={inner}: {bonds + 1} cores have {bonds} bonds; give one for each, or one for all.")
        positive_integers(**{f"ranks[{bond}]": rank for bond, rank in enumerate(inner)})
        self.in_features, self.out_features = math.prod(self.in_shape), math.prod(self.out_shape)
        # A weight is a sum over prod(inner) products of one number from each core.
        variance = 1 / (3 * self.in_features * math.prod(inner))
        std = variance ** (1 / (2 * len(self.in_shape)))
        shapes = zip((1, *inner), self.out_shape, self.in_shape, (*inner, 1), strict=True)
        self.cores = nn.ParameterList(nn.Parameter(std * torch.randn(shape)) for shape in shapes)
        bound = self.in_features**-0.5
        self.bias = nn.Parameter(torch.empty(self.out_features).uniform_(-bound, bound)) if bias else None

    @property
    def weight(self) -> torch.Tensor:
        return multiplied_out(tuple(self.cores))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        batch = features.shape[:-1]
        if features.shape[-1] != self.in_features:
            raise ValueError(f"features has shape {tuple(features.shape)}: the layer reads (..., {self.in_features}).")
        from_left, from_right = tt_linear_macs([tuple(core.shape) for core in self.cores])
        outputs = self._from_left(features) if from_left <= from_right else self._from_right(features)
        outputs = outputs.reshape(*batch, self.out_features)
        return outputs if self.bias is None else outputs + self.bias

    # Both ways keep the axes in such an order that each product is one of matrices, without a copy in between.

    def _from_left(self, features: torch.Tensor) -> torch.Tensor:
        rows = math.prod(features.shape[:-1])
        for core in self.cores:  # state: rows, out_1 ... out_(k-1) | r_(k-1), in_k | in_(k+1) ... in_d
            before, outputs, inputs, after = core.shape
            matrix = core.permute(1, 3, 0, 2).reshape(outputs * after, before * inputs)
            features = _times(matrix, features.reshape(rows, before * inputs, -1))
            rows *= outputs
        return features

    def _from_right(self, features: torch.Tensor) -> torch.Tensor:
        rows = math.prod(features.shape[:-1]) * self.in_features
        for core in reversed(self.cores):  # state: rows, in_1 ... in_(k-1) | in_k, r_k | out_(k+1) ... out_d
            before, outputs, inputs, after = core.shape
            rows //= inputs
            matrix = core.reshape(before * outputs, inputs * after)
            features = _times(matrix, features.reshape(rows, inputs * after, -1))
        return features

    def extra_repr(self) -> str:
        ranks = tuple(core.shape[0] for core in list(self.cores)[1:])
        return f"in_shape={self.in_shape}, out_shape={self.out_shape}, ranks={ranks}, bias={self.bias is not None}"


def _times(matrix: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """The matrix times each of many states, as one product where a state is a single column."""
    if states.shape[2] == 1:
        return states[..., 0] @ matrix.T
    return torch.bmm(matrix.expand(len(states), -1, -1), states)


def multiplied_out(cores: Sequence[torch.Tensor]) -> torch.Tensor:
    """The matrix, out_features x in_features, that cores r_(k-1) x out_k x in_k x r_k stand for."""
    outputs = inputs = 1
    whole = cores[0].new_ones(1, 1)  # outputs * inputs, rank
    for core in cores:
        product = torch.tensordot(whole.reshape(outputs, inputs, -1), core, dims=1)
        outputs, inputs = outputs * core.shape[1], inputs * core.shape[2]
        whole = product.transpose(1, 2).reshape(outputs * inputs, -1)
    return whole.reshape(outputs, inputs)


def tt_linear_macs(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Multiply-accumulates of one input with cores of these shapes, from the left and from the right."""
    left, right, done, to_do = 0, 0, 1, math.prod(shape[2] for shape in shapes)
    for before, outputs, inputs, after in shapes:
        to_do //= inputs  # inputs of the cores behind
        left += before * outputs * inputs * after * done * to_do
        done *= outputs
    inputs_before = 1
    for before, outputs, inputs, after in shapes:
        done //= outputs  # outputs of the cores behind
        right += before * outputs * inputs * after * inputs_before * done
        inputs_before *= inputs
    return left, right


def checked_shapes(in_shape: Sequence[int], out_shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return both as tuples, refusing different lengths and factors that are no positive integers."""
    in_shape, out_shape = tuple(in_shape), tuple(out_shape)
    if len(in_shape) != len(out_shape) or not in_shape:
        raise ValueError(f"in_shape={in_shape}, out_shape={out_shape}: give as many factors of inputs as of outputs.")
    for name, shape in (("in_shape", in_shape), ("out_shape", out_shape)):
        positive_integers(**{f"{name}[{k}]": size for k, size in enumerate(shape)})
    return in_shape, out_shape
