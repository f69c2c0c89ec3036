"""Convolutions with the weights +1 and -1, the other road to small networks that shift attention is compared with."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.layers.settings import ConvolutionSettings, Size

__all__ = ["BinaryConv2d"]


class BinaryConv2d(ConvolutionSettings):
    r"""A convolution that computes with the signs of its weights: BinaryConnect :cite:p:`courbariaux2015binaryconnect`.

    The forward pass uses :math:`\mathrm{sign}(W)`. The backward pass takes the gradient with respect to the signs for
    that of the real weights (straight through), which are kept in [-1, 1]: beyond, they would grow without changing
    anything. As in the paper, the batch normalization behind the layer is what gives the outputs their scale.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output feature maps.
    kernel_size : int or (int, int)
    stride, padding, dilation : int or (int, int), optional
        As in ``nn.Conv2d``.
    bias : bool, optional

    Attributes
    ----------
    weight : Parameter, shape (O, I, k_h, k_w)
        Real numbers, needed for training only.

    Notes
    -----
    Input N x I x H x W, output N x O x H_out x W_out, exactly as ``nn.Conv2d``. A weight is stored in one bit; the
    operations remain, but multiply by +1 or -1.

    Examples
    --------
    >>> layer = BinaryConv2d(16, 32, padding=1, bias=False)
    >>> layer(torch.zeros(2, 16, 8, 8)).shape, layer.binary_weight.unique().tolist()
    (torch.Size([2, 32, 8, 8]), [-1.0, 1.0])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        *,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation)
        bound = 1 / math.sqrt(in_channels * math.prod(self.kernel_size))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    @property
    def binary_weight(self) -> torch.Tensor:
        """The signs of the weights, +1 for zero, O x I x k_h x k_w; gradients pass them unchanged."""
        weight = self.weight
        signs = torch.where(weight >= 0, 1.0, -1.0).to(weight)
        return weight + (signs - weight).detach() if weight.requires_grad and torch.is_grad_enabled() else signs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            with torch.no_grad():
                self.weight.clamp_(-1, 1)
        return F.conv2d(images, self.binary_weight, self.bias, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bias={self.bias is not None}"
