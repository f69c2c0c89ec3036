"""Statistics of the channels of images, by exact counting."""

from __future__ import annotations

import math

import torch

__all__ = ["channel_statistics"]


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, on a scale of 0 to 1.

    The sums are exact integers, so the result does not depend on any order of summation.

    Parameters
    ----------
    images : uint8 tensor, N x C x H x W

    Returns
    -------
    mean, std : tuple of float, length C

    Examples
    --------
    >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    channels = images.shape[1]
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for some in images.split(1000):  # counting widens its input to 8 bytes a value
        for channel in range(channels):
            counts[channel] += torch.bincount(some[:, channel].reshape(-1), minlength=256)
    mean, std = [], []
    for histogram in counts.tolist():
        total = sum(histogram)
        first = sum(value * count for value, count in enumerate(histogram))
        second = sum(value * value * count for value, count in enumerate(histogram))
        mean.append(first / (255 * total))
        std.append(math.sqrt((second * total - first * first) / (255 * total) ** 2))
    return tuple(mean), tuple(std)
