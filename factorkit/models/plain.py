"""Plain networks, one layer after the other: AlexNet, VGG and its small relatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from factorkit.arguments import one_of, positive_integers
from factorkit.models.heads import pooled_classifier

__all__ = ["alexnet", "small_convnet", "small_vgg", "vgg16_cifar"]

# Maps of the 13 convolutions of VGG-16 (Simonyan and Zisserman, 2015, configuration D), stage by stage.
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def alexnet(num_classes: int = 1000, *, groups: int = 1) -> nn.Sequential:
    """AlexNet (Krizhevsky et al., 2012), with the two groups of the paper or dense.

    In 2012 the network did not fit into one GPU. The second, fourth and fifth convolution therefore read only the maps
    that lay on the same one, which was the first use of grouped convolutions: 60,965,224 parameters with
    ``groups=2``, 62,378,344 without groups.

    Parameters
    ----------
    num_classes : int, optional
    groups : {1, 2}, optional
        Of the second, fourth and fifth convolution.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 227 x 227 images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the number of classes is not positive or ``groups`` is neither 1 nor 2.

    Notes
    -----
    The paper writes 224 x 224, from which its first convolution (11 x 11, stride 4, no padding) would not make the
    55 x 55 pixels that it goes on with; 227 x 227 does.

    Examples
    --------
    >>> import torch
    >>> with torch.device("meta"):  # no memory for the weights
    ...     network = alexnet(groups=2)
    >>> sum(p.numel() for p in network.parameters())
    60965224
    """
    positive_integers(num_classes=num_classes)
    one_of("groups", groups, (1, 2))
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), _normalize_responses(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=groups), nn.ReLU(), _normalize_responses()),
        *(nn.MaxPool2d(3, stride=2), nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=groups), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, stride=2), nn.Flatten()),
        *(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, num_classes)),
    )


def _normalize_responses() -> nn.Module:
    # Krizhevsky et al. do not divide alpha by the number of maps in the sum, torch does.
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def vgg16_cifar(num_classes: int = 10) -> nn.Sequential:
    """VGG-16 (Simonyan and Zisserman, 2015) for 32 x 32 images, with batch normalization.

    The 13 convolutions of the original, and one linear layer in place of its three, as the last map has a single
    pixel: 14,728,266 parameters with 10 classes.

    Parameters
    ----------
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in vgg16_cifar().parameters())
    14728266
    """
    positive_integers(num_classes=num_classes)
    layers: list[nn.Module] = []
    channels = 3
    for stage in VGG16:
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *pooled_classifier(channels, num_classes))


def small_vgg(num_classes: int = 10, *, conv: Callable[..., nn.Module] = nn.Conv2d) -> nn.Sequential:
    """:func:`small_convnet` with its default widths, under the name of its family.

    Parameters
    ----------
    num_classes, conv : optional
        As in :func:`small_convnet`.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_vgg().parameters())
    72954
    """
    return small_convnet(num_classes=num_classes, conv=conv)


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
    return nn.Sequential(*layers, *pooled_classifier(channels, num_classes))
