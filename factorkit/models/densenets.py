"""DenseNet: every layer reads the maps of all layers before it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.arguments import positive_integers
from factorkit.models.heads import pooled_classifier

__all__ = ["DenseLayer", "densenet_cifar", "small_densenet"]


class DenseLayer(nn.Module):
    """Compute ``growth`` new maps from all that are there and append them (Huang et al., 2017).

    The bottleneck form: batch normalization, ReLU, 1 x 1 convolution to ``4 * growth`` maps, batch normalization,
    ReLU, 3 x 3 convolution.

    Examples
    --------
    >>> DenseLayer(24, growth=12)(torch.zeros(1, 24, 8, 8)).shape
    torch.Size([1, 36, 8, 8])
    """

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv1(F.relu(self.bn1(images)))
        return torch.cat([images, self.conv2(F.relu(self.bn2(maps)))], dim=1)


def densenet_cifar(depth: int = 100, growth: int = 12, *, num_classes: int = 10) -> nn.Sequential:
    """DenseNet-BC for CIFAR (Huang et al., 2017): bottleneck layers, and transitions that halve the maps.

    A 3 x 3 convolution to ``2 * growth`` maps, three stages of (depth - 4) / 6 :class:`DenseLayer` with a transition
    (1 x 1 convolution, average of 2 x 2 pixels) between them, a global average and a linear layer. Depth 100 with
    growth 12 has 0.8 million parameters.

    Parameters
    ----------
    depth : int, optional
        Number of layers with weights: 10, 16, 22, ..., 100, ...
    growth : int, optional
        Maps that each layer adds.
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the depth is not 6 n + 4, or another argument is not positive.

    Examples
    --------
    >>> sum(p.numel() for p in densenet_cifar().parameters())
    769162
    """
    positive_integers(depth=depth, growth=growth, num_classes=num_classes)
    stage_layers, rest = divmod(depth - 4, 6)
    if stage_layers < 1 or rest:
        raise ValueError(f"depth={depth}: three stages of layers with two convolutions need 6 n + 4, for example 100.")
    channels = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
    for stage in range(3):
        if stage:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False)]
            layers.append(nn.AvgPool2d(2))
            channels //= 2
        for _ in range(stage_layers):
            layers.append(DenseLayer(channels, growth))
            channels += growth
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *pooled_classifier(channels, num_classes))


def small_densenet(num_classes: int = 10) -> nn.Sequential:
    """A DenseNet of 16 layers with growth 8 that trains on ``patterns`` in less than two minutes on two cores.

    Parameters
    ----------
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_densenet().parameters())
    20266
    """
    return densenet_cifar(16, 8, num_classes=num_classes)
