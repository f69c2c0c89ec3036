"""Convolutions and linear layers whose weights are a few shared values."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.layers.settings import ConvolutionSettings

__all__ = ["SharedWeightConv2d", "SharedWeightLinear"]

MOST_VALUES = 256  # an index is one byte


class _LookUp(torch.autograd.Function):
    """Values by their indices; the gradient of a value is the sum over the weights that share it."""

    @staticmethod
    def forward(ctx: Any, centroids: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.size = len(centroids)
        return centroids[index]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (index,) = ctx.saved_tensors
        sums = torch.bincount(index.flatten(), gradient.flatten(), minlength=ctx.size)
        return sums.to(gradient.dtype), None


class _SharedWeight:
    """What the two layers have in common: a table of values, and for each weight its place in the table."""

    centroids: nn.Parameter
    index: torch.Tensor

    def _share(self, centroids: torch.Tensor, index: torch.Tensor) -> None:
        _check(centroids, index)
        self.centroids = centroids if isinstance(centroids, nn.Parameter) else nn.Parameter(centroids.detach().clone())
        self.register_buffer("index", index.to(torch.uint8))

    @property
    def weight(self) -> torch.Tensor:
        """The weights, in the shape of ``index``, made from the table at each call."""
        index = self.index.long()
        if torch.compiler.is_exporting():  # one standard operator, which the entry's measurement knows
            return self.centroids.index_select(0, index.flatten()).reshape(index.shape)
        return _LookUp.apply(self.centroids, index)


def _check(centroids: torch.Tensor, index: torch.Tensor) -> None:
    if centroids.dim() != 1 or not 1 <= len(centroids) <= MOST_VALUES:
        raise ValueError(
            f"centroids has shape {tuple(centroids.shape)}: give a list of 1 to {MOST_VALUES} values, as an index is "
            "stored in one byte."
        )
    if index.is_floating_point() or not index.numel() or not 0 <= int(index.min()) <= int(index.max()) < len(centroids):
        raise ValueError(
            f"index, of shape {tuple(index.shape)} and type {index.dtype}, does not point into the table of "
            f"{len(centroids)} values: give whole numbers from 0 to {len(centroids) - 1}."
        )


class SharedWeightConv2d(_SharedWeight, ConvolutionSettings):
    r"""A convolution whose weights are taken from a table of at most 256 values :cite:p:`han2016deep`.

    .. math:: W_{o,i,y,x} = \Omega_{q(o,i,y,x)}, \qquad
        \frac{\partial L}{\partial \Omega_k} = \sum_{q(o,i,y,x) = k} \frac{\partial L}{\partial W_{o,i,y,x}}

    Training changes the values in the table; which weight has which value stays.

    Parameters
    ----------
    dense : nn.Conv2d
        Gives every setting and its bias.
    centroids : Tensor, shape (k,)
        A ``Parameter`` is used as it is, so that several layers can share one table; anything else is copied.
    index : Tensor of integers, shape (O, I / groups, k_h, k_w)
        Place of each weight's value in the table.

    Attributes
    ----------
    centroids : Parameter, shape (k,)
    index : Tensor of uint8, shape (O, I / groups, k_h, k_w)
    weight : Tensor, shape (O, I / groups, k_h, k_w)
        Made from both at each call.

    Raises
    ------
    ValueError
        If an index does not point into the table, has another shape than the weight, or the convolution pads with
        something else than zeros.

    Notes
    -----
    Input N x I x H x W, output N x O x H_out x W_out, exactly as the convolution. Operations are the same, and so is
    the time: what is saved is storage, :math:`\lceil \log_2 k \rceil` bits a weight.

    Examples
    --------
    >>> dense = nn.Conv2d(3, 8, 3, padding=1)
    >>> layer = SharedWeightConv2d(dense, torch.tensor([-0.1, 0.1]), dense.weight > 0)
    >>> layer(torch.zeros(2, 3, 5, 5)).shape, layer.weight.unique().tolist()
    (torch.Size([2, 8, 5, 5]), [-0.10000000149011612, 0.10000000149011612])
    """

    def __init__(self, dense: nn.Conv2d, centroids: torch.Tensor, index: torch.Tensor) -> None:
        if dense.padding_mode != "zeros" or isinstance(dense.padding, str):
            raise ValueError(
                f"padding={dense.padding!r}, padding_mode={dense.padding_mode!r}: a convolution with shared weights "
                "pads with a given number of zeros."
            )
        super().__init__(
            dense.in_channels,
            dense.out_channels,
            dense.kernel_size,
            stride=dense.stride,
            padding=dense.padding,
            dilation=dense.dilation,
        )
        _check_shape(index, dense.weight)
        self.groups = dense.groups
        self._share(centroids, index)
        self.bias = dense.bias
        self.train(dense.training)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(images, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def to_dense(self) -> nn.Conv2d:
        """The convolution with the same weights, each a number of its own; the bias is shared with it."""
        dense = nn.utils.skip_init(
            nn.Conv2d,
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            bias=False,
        )
        return _dense(dense, self)

    def extra_repr(self) -> str:
        values = f"groups={self.groups}, bias={self.bias is not None}, values={len(self.centroids)}"
        return f"{super().extra_repr()}, {values}"


class SharedWeightLinear(_SharedWeight, nn.Module):
    """A linear layer whose weights are taken from a table of at most 256 values, as :class:`SharedWeightConv2d`.

    Parameters
    ----------
    dense : nn.Linear
        Gives the number of features and its bias.
    centroids : Tensor, shape (k,)
        A ``Parameter`` is used as it is, so that several layers can share one table; anything else is copied.
    index : Tensor of integers, shape (out_features, in_features)

    Raises
    ------
    ValueError
        If an index does not point into the table or has another shape than the weight.

    Examples
    --------
    >>> dense = nn.Linear(4, 2)
    >>> SharedWeightLinear(dense, torch.tensor([-0.5, 0.5]), dense.weight > 0)
    SharedWeightLinear(in_features=4, out_features=2, bias=True, values=2)
    """

    def __init__(self, dense: nn.Linear, centroids: torch.Tensor, index: torch.Tensor) -> None:
        super().__init__()
        _check_shape(index, dense.weight)
        self.in_features, self.out_features = dense.in_features, dense.out_features
        self._share(centroids, index)
        self.bias = dense.bias
        self.train(dense.training)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.linear(features, self.weight, self.bias)

    def to_dense(self) -> nn.Linear:
        """The linear layer with the same weights, each a number of its own; the bias is shared with it."""
        return _dense(nn.utils.skip_init(nn.Linear, self.in_features, self.out_features, bias=False), self)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"values={len(self.centroids)}"
        )


def _check_shape(index: torch.Tensor, weight: torch.Tensor) -> None:
    if index.shape != weight.shape:
        raise ValueError(
            f"index has shape {tuple(index.shape)}: the layer has weights of shape {tuple(weight.shape)}, and each "
            "needs one."
        )


def _dense(dense: nn.Module, shared: SharedWeightConv2d | SharedWeightLinear) -> Any:
    dense.weight = nn.Parameter(shared.weight.detach().clone())
    dense.bias = shared.bias
    return dense.train(shared.training)
