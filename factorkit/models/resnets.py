"""Residual networks for 32 x 32 images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.arguments import positive_integers
from factorkit.models.heads import pooled_classifier, residual_stages, stem

__all__ = ["BasicBlock", "PaddedShortcut", "resnet18_cifar", "resnet_cifar", "small_resnet"]


class PaddedShortcut(nn.Module):
    """A shortcut without parameters: leave pixels out, append maps of zeros (option A of He et al., 2016).

    Examples
    --------
    >>> PaddedShortcut(16, 32, stride=2)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, out_channels - in_channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., 2016).

    Parameters
    ----------
    in_channels, out_channels, stride : int
        The first convolution takes the stride.
    conv : callable, optional
        Builds both convolutions as ``conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)``.
    projection : bool, optional
        Whether a 1 x 1 convolution with batch normalization stands in the shortcut where shapes differ (option B of
        the paper) or :class:`PaddedShortcut` (option A).

    Examples
    --------
    >>> BasicBlock(16, 32, 2)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        conv: Callable[..., nn.Module] = nn.Conv2d,
        projection: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = PaddedShortcut(in_channels, out_channels, stride)
            if projection:
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
    positive_integers(num_classes=num_classes)
    first = stem(64)
    layers = residual_stages(64, (64, 128, 256, 512), 2, lambda _, *shape: BasicBlock(*shape))
    return nn.Sequential(*first, *layers, *pooled_classifier(512, num_classes))


def resnet_cifar(
    depth: int, *, num_classes: int = 10, width: int = 16, conv: Callable[..., nn.Module] = nn.Conv2d
) -> nn.Sequential:
    """The residual networks of depth 6 n + 2 for CIFAR (He et al., 2016, section 4.2).

    A 3 x 3 convolution, three stages of n :class:`BasicBlock` with ``width``, ``2 * width`` and ``4 * width`` maps and
    shortcuts without parameters, a global average and a linear layer.

    Parameters
    ----------
    depth : int
        Number of layers with weights: 8, 14, 20, 26, 32, ...
    num_classes : int, optional
    width : int, optional
        Maps of the first stage; 16 in the paper.
    conv : callable, optional
        Builds every convolution but the first as
        ``conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)``.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the depth is not 6 n + 2, or another argument is not positive.

    Examples
    --------
    >>> sum(p.numel() for p in resnet_cifar(20).parameters())
    269722
    """
    positive_integers(depth=depth, num_classes=num_classes, width=width)
    blocks, rest = divmod(depth - 2, 6)
    if blocks < 1 or rest:
        raise ValueError(f"depth={depth}: three stages of blocks of two layers need 6 n + 2, for example 20 or 56.")

    def block(_: int, in_channels: int, out_channels: int, stride: int) -> BasicBlock:
        return BasicBlock(in_channels, out_channels, stride, conv=conv, projection=False)

    first = stem(width)
    layers = residual_stages(width, (width, 2 * width, 4 * width), blocks, block)
    return nn.Sequential(*first, *layers, *pooled_classifier(4 * width, num_classes))


def small_resnet(num_classes: int = 10, *, width: int = 8, conv: Callable[..., nn.Module] = nn.Conv2d) -> nn.Sequential:
    """A residual network of 14 layers that trains on ``patterns`` in less than two minutes on two cores.

    Parameters
    ----------
    num_classes, width, conv : optional
        As in :func:`resnet_cifar`.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_resnet().parameters())
    43634
    """
    return resnet_cifar(14, num_classes=num_classes, width=width, conv=conv)
