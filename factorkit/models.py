"""The networks that chapters and labs start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["resnet18_cifar", "small_convnet"]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., 2016)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(maps)) + self.shortcut(images))


def resnet18_cifar(num_classes: int = 10) -> nn.Sequential:
    """ResNet-18 for 32 x 32 images: the reference network of the course's MicroNet score.

    A 3 x 3 convolution, four stages of two :class:`BasicBlock` with 64, 128, 256 and 512 maps, a global average
    and a linear layer: 11,173,962 parameters and 555,422,720 MACs per 3 x 32 x 32 image with 10 classes.

    Parameters
    ----------
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in resnet18_cifar().parameters())
    11173962
    """
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    in_channels = 64
    for stage, channels in enumerate((64, 128, 256, 512)):
        layers.append(BasicBlock(in_channels, channels, stride=1 if stage == 0 else 2))
        layers.append(BasicBlock(channels, channels, stride=1))
        in_channels = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))


def small_convnet(
    widths: Sequence[int] = (16, 32, 64),
    *,
    in_channels: int = 3,
    num_classes: int = 10,
    conv: Callable[..., nn.Module] = nn.Conv2d,
) -> nn.Sequential:
    """A small network in the style of VGG that trains on ``patterns`` in a minute on two cores.

    For each width two 3 x 3 convolutions, each with batch normalization and ReLU; max-pooling between widths, a
    global average and a linear layer at the end.

    Parameters
    ----------
    widths : sequence of int, optional
        Number of feature maps of each stage.
    in_channels, num_classes : int, optional
    conv : callable, optional
        Builds each convolution but the first as ``conv(in_channels, out_channels, 3, padding=1, bias=False)``.
        The first sees the three colors of the image only, where a factorization has little to save.

    Returns
    -------
    nn.Sequential
        Maps N x in_channels x H x W images to N x num_classes scores, H and W at least ``2 ** (len(widths) - 1)``.

    Raises
    ------
    ValueError
        If ``widths`` is empty.

    Examples
    --------
    >>> from factorkit.layers import DepthwiseSeparableConv2d
    >>> dense, separable = small_convnet(), small_convnet(conv=DepthwiseSeparableConv2d)
    >>> [sum(p.numel() for p in net.parameters()) for net in (dense, separable)]
    [72954, 10906]
    """
    if not widths:
        raise ValueError("widths=(): give at least one stage, for example widths=(16, 32, 64).")
    layers: list[nn.Module] = []
    channels = in_channels
    for stage, width in enumerate(widths):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for _ in range(2):
            build = conv if layers else nn.Conv2d
            layers += [build(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
