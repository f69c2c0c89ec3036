"""Network in network, and its form with fixed DCT kernels (double sparsity)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from factorkit.arguments import positive_integers

__all__ = ["double_sparsity_nin", "nin", "small_double_sparsity_nin", "small_nin"]

# Three modules for CIFAR-10: the size of the kernels that look at pixels, and the maps after them and after each of the
# two 1 x 1 convolutions that follow. The last one gives the scores.
FULL = ((5, 192, 160, 96), (5, 192, 192, 192), (3, 192, 192, None))
SMALL = ((5, 24, 16, 16), (5, 32, 24, 24), (3, 32, 32, None))


def nin(num_classes: int = 10) -> nn.Sequential:
    """Network in network (Lin et al., 2014) for 32 x 32 images: 966,986 parameters with 10 classes.

    Each of its three modules is a convolution of k x k pixels and two of 1 x 1, with a ReLU behind each of them; the
    average of a map over all pixels is the score of a class.

    Parameters
    ----------
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the number of classes is not positive.

    Notes
    -----
    The authors' code has a ReLU behind the last convolution as well. Without it scores can be negative.

    Examples
    --------
    >>> sum(p.numel() for p in nin().parameters())
    966986
    """
    return _network(FULL, num_classes, _trained)


def double_sparsity_nin(num_classes: int = 10, *, relu_after_dct: bool = True) -> nn.Sequential:
    """:func:`nin` with fixed DCT kernels (Hoffer, 2015): 160,010 trained parameters with 10 classes.

    Every convolution of more than one pixel is a :class:`factorkit.layers.DCTConv2d`, of which only the bias is
    trained. 158,592 weights of the 1 x 1 convolutions, their 842 biases and the 576 biases of the DCT layers are left;
    806,976 coefficients of the DCT are not trained, but applied.

    Parameters
    ----------
    num_classes : int, optional
    relu_after_dct : bool, optional
        Whether a ReLU stands between the DCT and the first 1 x 1 convolution, as in the report. Without it both
        together are one convolution with the kernels of :func:`factorkit.layers.effective_kernels`.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the number of classes is not positive.

    Examples
    --------
    >>> sum(p.numel() for p in double_sparsity_nin().parameters())
    160010
    """
    return _network(FULL, num_classes, _fixed, relu_after_spatial=relu_after_dct)


def small_nin(num_classes: int = 10) -> nn.Sequential:
    """A narrow network in network with batch normalization that trains on ``patterns`` in a minute on two cores.

    Parameters
    ----------
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_nin().parameters())
    25450
    """
    return _network(SMALL, num_classes, _trained, normalized=True)


def small_double_sparsity_nin(num_classes: int = 10, *, relu_after_dct: bool = True) -> nn.Sequential:
    """:func:`small_nin` with fixed DCT kernels.

    Parameters
    ----------
    num_classes, relu_after_dct : optional
        As in :func:`double_sparsity_nin`. A batch normalization stands behind the DCT in any case:
        ``effective_kernels(network[0], network[3], normalization=network[1])`` takes it into account (``network[2]``
        without the ReLU).

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_double_sparsity_nin().parameters())
    3938
    """
    return _network(SMALL, num_classes, _fixed, normalized=True, relu_after_spatial=relu_after_dct)


def _network(
    modules: Sequence[tuple[int, int, int, int | None]],
    num_classes: int,
    spatial: Callable[[int, int, int], nn.Module],
    *,
    normalized: bool = False,
    relu_after_spatial: bool = True,
) -> nn.Sequential:
    positive_integers(num_classes=num_classes)
    layers: list[nn.Module] = []
    channels = 3
    for place, (kernel_size, *widths) in enumerate(modules):
        if place:
            pool = nn.MaxPool2d if place == 1 else nn.AvgPool2d
            layers += [pool(3, stride=2, ceil_mode=True), *(() if normalized else (nn.Dropout(0.5),))]
        for step, width in enumerate(widths):
            layers.append(
                nn.Conv2d(channels, width or num_classes, 1) if step else spatial(channels, kernel_size, width)
            )
            channels = width
            if width and normalized:
                layers.append(nn.BatchNorm2d(width))
            if width and (step or relu_after_spatial):
                layers.append(nn.ReLU())
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return network


def _trained(in_channels: int, kernel_size: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


def _fixed(in_channels: int, kernel_size: int, out_channels: int) -> nn.Module:
    from factorkit.layers import DCTConv2d

    return DCTConv2d(in_channels, kernel_size, out_channels, padding=kernel_size // 2)
