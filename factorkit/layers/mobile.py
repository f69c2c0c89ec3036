"""The blocks of MobileNet v1 and v2."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from factorkit.arguments import one_of, positive_integers

__all__ = ["DepthwiseSeparableBlock", "InvertedResidual"]


class DepthwiseSeparableBlock(nn.Sequential):
    r"""Depthwise 3 x 3 convolution and pointwise convolution, each with batch normalization and ReLU.

    The block of MobileNet (Howard et al., 2017, figure 3). Per output pixel its convolutions take

    .. math:: 9 I + I O

    multiply-accumulates where a dense 3 x 3 convolution takes 9 I O.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output maps.
    stride : int, optional
        Of the depthwise convolution.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Notes
    -----
    Input N x in_channels x H x W, output N x out_channels x ceil(H / stride) x ceil(W / stride).

    Examples
    --------
    >>> block = DepthwiseSeparableBlock(32, 64, stride=2)
    >>> block(torch.zeros(1, 32, 32, 32)).shape
    torch.Size([1, 64, 16, 16])
    >>> sum(p.numel() for p in block.parameters())
    2528
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        positive_integers(in_channels=in_channels, out_channels=out_channels, stride=stride)
        super().__init__(
            OrderedDict(
                depthwise=_depthwise(in_channels, stride),
                bn1=nn.BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                pointwise=nn.Conv2d(in_channels, out_channels, 1, bias=False),
                bn2=nn.BatchNorm2d(out_channels),
                relu2=nn.ReLU(),
            )
        )


class InvertedResidual(nn.Module):
    r"""Expand the channels, filter each of them, project back without a non-linearity; a shortcut where shapes allow.

    The block of MobileNet v2 (Sandler et al., 2018). The narrow ends carry the shortcut and the wide middle the
    depthwise convolution, hence *inverted*. ReLU6 follows the first two steps and nothing the last: on few channels
    a ReLU would destroy information (the *linear bottleneck*). With t = ``expansion`` the convolutions have

    .. math:: t I \, (I + 9 + O)

    weights; with t = 1 the first step is left out, which leaves I (9 + O).

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output maps.
    stride : int, optional
        Of the depthwise convolution, 1 or 2.
    expansion : int, optional
        How many times more maps the middle has than the input.

    Raises
    ------
    ValueError
        If a number is not positive or the stride is neither 1 nor 2.

    Notes
    -----
    Input N x in_channels x H x W, output N x out_channels x ceil(H / stride) x ceil(W / stride). The shortcut is there
    if ``stride == 1`` and ``in_channels == out_channels``.

    Examples
    --------
    >>> block = InvertedResidual(24, 24)
    >>> block(torch.zeros(1, 24, 56, 56)).shape
    torch.Size([1, 24, 56, 56])
    >>> block.has_shortcut, sum(p.numel() for p in block.parameters())
    (True, 8832)
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, expansion: int = 6) -> None:
        positive_integers(in_channels=in_channels, out_channels=out_channels, expansion=expansion)
        one_of("stride", stride, (1, 2))
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        hidden = expansion * in_channels
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion != 1:
            layers["expand"] = nn.Conv2d(in_channels, hidden, 1, bias=False)
            layers["bn1"] = nn.BatchNorm2d(hidden)
            layers["relu1"] = nn.ReLU6()
        layers["depthwise"] = _depthwise(hidden, stride)
        layers["bn2"] = nn.BatchNorm2d(hidden)
        layers["relu2"] = nn.ReLU6()
        layers["project"] = nn.Conv2d(hidden, out_channels, 1, bias=False)
        layers["bn3"] = nn.BatchNorm2d(out_channels)
        self.layers = nn.Sequential(layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.layers(images)
        return maps + images if self.has_shortcut else maps


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
