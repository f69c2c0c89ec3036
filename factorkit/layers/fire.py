"""The Fire module of SqueezeNet."""

from __future__ import annotations

import torch
from torch import nn

from factorkit.arguments import positive_integers

__all__ = ["Fire"]


class Fire(nn.Module):
    r"""Squeeze the channels with 1 x 1 kernels, then expand them with 1 x 1 and 3 x 3 kernels side by side.

    The module of SqueezeNet (Iandola et al., 2016). Few maps go into the expensive 3 x 3 kernels, and only some of
    the output maps get them at all; ReLU follows both steps. With I inputs, s squeezed and e_1 + e_3 expanded maps
    the convolutions have

    .. math:: I s + s e_1 + 9 s e_3

    weights where a dense 3 x 3 convolution has 9 I (e_1 + e_3).

    Parameters
    ----------
    in_channels : int
        Number of input maps.
    squeeze_channels : int
        Maps between the two steps.
    expand1x1_channels, expand3x3_channels : int
        Output maps of each kernel size; they are concatenated in this order.
    batch_norm : bool, optional
        Normalize before each ReLU, which SqueezeNet did not have, in place of the biases. Default: biases.

    Raises
    ------
    ValueError
        If a number of maps is not positive.

    Notes
    -----
    Input N x in_channels x H x W, output N x (expand1x1_channels + expand3x3_channels) x H x W.

    Examples
    --------
    >>> fire2 = Fire(96, 16, 64, 64)
    >>> fire2(torch.zeros(1, 96, 55, 55)).shape
    torch.Size([1, 128, 55, 55])
    >>> sum(p.numel() for p in fire2.parameters())
    11920
    """

    def __init__(
        self,
        in_channels: int,
        squeeze_channels: int,
        expand1x1_channels: int,
        expand3x3_channels: int,
        *,
        batch_norm: bool = False,
    ) -> None:
        positive_integers(
            in_channels=in_channels,
            squeeze_channels=squeeze_channels,
            expand1x1_channels=expand1x1_channels,
            expand3x3_channels=expand3x3_channels,
        )
        super().__init__()
        self.squeeze = _convolution(in_channels, squeeze_channels, 1, batch_norm)
        self.expand1x1 = _convolution(squeeze_channels, expand1x1_channels, 1, batch_norm)
        self.expand3x3 = _convolution(squeeze_channels, expand3x3_channels, 3, batch_norm)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        squeezed = self.squeeze(images)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)


def _convolution(in_channels: int, out_channels: int, kernel_size: int, batch_norm: bool) -> nn.Sequential:
    padding = kernel_size // 2
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=not batch_norm)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(out_channels))
    return nn.Sequential(*layers, nn.ReLU())
