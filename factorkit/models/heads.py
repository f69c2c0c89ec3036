"""What stands at the two ends of many networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

__all__ = ["FORMS", "pooled_classifier", "residual_stages", "stem"]

# The two sizes of images that a network comes for: about 224 x 224 and 32 x 32 pixels.
FORMS = ("imagenet", "cifar")


def stem(out_channels: int, *, stride: int = 1, activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """A 3 x 3 convolution that reads the colors, with batch normalization and a non-linearity."""
    convolution = nn.Conv2d(3, out_channels, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), activation()]


def residual_stages(
    in_channels: int, stages: Sequence[int], blocks: int, build: Callable[[int, int, int, int], nn.Module]
) -> list[nn.Module]:
    """The blocks ``build(stage, in_channels, out_channels, stride)`` of all stages; each but the first halves."""
    layers = []
    for stage, out_channels in enumerate(stages):
        for block in range(blocks):
            layers.append(build(stage, in_channels, out_channels, 2 if stage and not block else 1))
            in_channels = out_channels
    return layers


def pooled_classifier(in_channels: int, num_classes: int) -> list[nn.Module]:
    """The global average of each map, and a linear layer: N x in_channels x H x W to N x num_classes scores."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes)]
