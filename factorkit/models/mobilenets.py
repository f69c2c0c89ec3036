"""MobileNet v1 and v2, with a width multiplier and for any resolution."""

from __future__ import annotations

from torch import nn

from factorkit.arguments import one_of, positive_integers
from factorkit.models.heads import FORMS, pooled_classifier, stem

__all__ = ["mobilenet_v1", "mobilenet_v2", "small_mobilenet_v1", "small_mobilenet_v2"]

# Output maps and stride of each block (Howard et al., 2017, table 1).
V1_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)),
    *((512, 2), *5 * ((512, 1),), (1024, 2), (1024, 1)),
)
# Expansion, output maps, repetitions and first stride (Sandler et al., 2018, table 2).
V2_BLOCKS = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def mobilenet_v1(num_classes: int = 1000, *, width: float = 1.0, form: str = "imagenet") -> nn.Sequential:
    """MobileNet (Howard et al., 2017): a convolution and 13 depthwise separable blocks.

    Width 1 with 1000 classes has 4.2 million parameters and takes 569 million MACs at 224 x 224 pixels. The second
    hyperparameter of the paper, the resolution, is the size of the images that are given: the global average takes
    any.

    Parameters
    ----------
    num_classes : int, optional
    width : float, optional
        The width multiplier: every number of maps is multiplied by it, and is at least 8.
    form : {"imagenet", "cifar"}, optional
        The second leaves out the first two of the five halvings of the resolution, so that 32 x 32 pixels end in
        4 x 4.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x H x W images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the number of classes or the width is not positive, or there is no such form.

    Examples
    --------
    >>> sum(p.numel() for p in mobilenet_v1().parameters())
    4231976
    >>> sum(p.numel() for p in mobilenet_v1(width=0.5).parameters())
    1331592
    """
    one_of("form", form, FORMS)
    blocks = V1_BLOCKS if form == "imagenet" else _without_first_halving(V1_BLOCKS)
    return _mobilenet_v1(32, blocks, num_classes, width, stride=2 if form == "imagenet" else 1)


def small_mobilenet_v1(num_classes: int = 10, *, width: float = 1.0) -> nn.Sequential:
    """A MobileNet that trains on ``patterns`` in less than two minutes on two cores.

    Parameters
    ----------
    num_classes : int, optional
    width : float, optional
        The width multiplier.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_mobilenet_v1().parameters())
    38602
    """
    blocks = ((32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
    return _mobilenet_v1(16, blocks, num_classes, width, stride=1)


def mobilenet_v2(num_classes: int = 1000, *, width: float = 1.0, form: str = "imagenet") -> nn.Sequential:
    """MobileNet v2 (Sandler et al., 2018): 17 inverted residuals between two convolutions.

    Width 1 with 1000 classes has 3.5 million parameters and takes 301 million MACs at 224 x 224 pixels.

    Parameters
    ----------
    num_classes : int, optional
    width : float, optional
        The width multiplier: every number of maps is multiplied by it and rounded to a multiple of 8. As in the
        paper, the last convolution does not become narrower than 1280 maps.
    form : {"imagenet", "cifar"}, optional
        The second leaves out the first two of the five halvings of the resolution, so that 32 x 32 pixels end in
        4 x 4.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x H x W images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the number of classes or the width is not positive, or there is no such form.

    Examples
    --------
    >>> sum(p.numel() for p in mobilenet_v2().parameters())
    3504872
    """
    one_of("form", form, FORMS)
    blocks = V2_BLOCKS if form == "imagenet" else _without_first_halving(V2_BLOCKS)
    last = round_to_eights(1280 * max(1.0, _positive(width)))
    return _mobilenet_v2(32, blocks, last, num_classes, width, stride=2 if form == "imagenet" else 1, dropout=0.2)


def small_mobilenet_v2(num_classes: int = 10, *, width: float = 1.0) -> nn.Sequential:
    """A MobileNet v2 that trains on ``patterns`` in less than two minutes on two cores.

    Parameters
    ----------
    num_classes : int, optional
    width : float, optional
        The width multiplier.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_mobilenet_v2().parameters())
    67594
    """
    blocks = ((1, 16, 1, 2), (4, 24, 2, 1), (4, 32, 2, 2), (4, 48, 2, 2))
    return _mobilenet_v2(16, blocks, round_to_eights(128 * _positive(width)), num_classes, width, stride=1, dropout=0)


def round_to_eights(channels: float) -> int:
    """The nearest multiple of 8, or the next one if that would take away more than a tenth.

    Examples
    --------
    >>> round_to_eights(24 * 0.75), round_to_eights(16 * 0.35), round_to_eights(1)
    (24, 8, 8)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _positive(width: float) -> float:
    if not 0 < width < float("inf"):
        raise ValueError(f"width={width!r}: the width multiplier must be positive, for example 0.5.")
    return width


def _without_first_halving(blocks: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    first = next(number for number, block in enumerate(blocks) if block[-1] == 2)
    return (*blocks[:first], (*blocks[first][:-1], 1), *blocks[first + 1 :])


def _mobilenet_v1(
    first: int, blocks: tuple[tuple[int, ...], ...], num_classes: int, width: float, *, stride: int
) -> nn.Sequential:
    from factorkit.layers import DepthwiseSeparableBlock

    positive_integers(num_classes=num_classes)
    channels = [max(8, int(maps * _positive(width))) for maps in (first, *(block[0] for block in blocks))]
    layers = stem(channels[0], stride=stride)
    for before, after, (_, block_stride) in zip(channels, channels[1:], blocks, strict=False):
        layers.append(DepthwiseSeparableBlock(before, after, stride=block_stride))
    return nn.Sequential(*layers, *pooled_classifier(channels[-1], num_classes))


def _mobilenet_v2(
    first: int,
    blocks: tuple[tuple[int, ...], ...],
    last: int,
    num_classes: int,
    width: float,
    *,
    stride: int,
    dropout: float,
) -> nn.Sequential:
    from factorkit.layers import InvertedResidual

    positive_integers(num_classes=num_classes)
    channels = round_to_eights(first * _positive(width))
    layers = stem(channels, stride=stride, activation=nn.ReLU6)
    for expansion, maps, repetitions, first_stride in blocks:
        for repetition in range(repetitions):
            after, block_stride = round_to_eights(maps * width), 1 if repetition else first_stride
            layers.append(InvertedResidual(channels, after, stride=block_stride, expansion=expansion))
            channels = after
    layers += [nn.Conv2d(channels, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU6()]
    average, flatten, linear = pooled_classifier(last, num_classes)
    return nn.Sequential(*layers, average, flatten, *([nn.Dropout(dropout)] if dropout else []), linear)
