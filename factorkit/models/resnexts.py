"""ResNeXt: residual networks whose blocks are aggregated from groups."""

from __future__ import annotations

from torch import nn

from factorkit.arguments import positive_integers
from factorkit.models.heads import pooled_classifier, residual_stages, stem

__all__ = ["resnext_cifar", "small_resnext"]


def resnext_cifar(
    depth: int = 29, *, groups: int = 8, width_per_group: int = 64, num_classes: int = 10
) -> nn.Sequential:
    """The ResNeXt of depth 9 n + 2 for CIFAR (Xie et al., 2017, section 5.3).

    A 3 x 3 convolution, three stages of n :class:`~factorkit.layers.ResNeXtBlock` with 256, 512 and 1024 output maps,
    a global average and a linear layer. The width of a group doubles from stage to stage. ResNeXt-29, 8 x 64d has
    34.4 million parameters.

    Parameters
    ----------
    depth : int, optional
        Number of layers with weights on the longest path: 11, 20, 29, ...
    groups : int, optional
        The cardinality of each block.
    width_per_group : int, optional
        Maps of a group in the first stage.
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the depth is not 9 n + 2, or another argument is not positive.

    Examples
    --------
    >>> import torch
    >>> with torch.device("meta"):  # no memory for the weights
    ...     network = resnext_cifar()
    >>> sum(p.numel() for p in network.parameters())
    34426698
    """
    positive_integers(depth=depth, groups=groups, width_per_group=width_per_group, num_classes=num_classes)
    blocks, rest = divmod(depth - 2, 9)
    if blocks < 1 or rest:
        raise ValueError(f"depth={depth}: three stages of blocks of three layers need 9 n + 2, for example 20 or 29.")
    return _resnext((64, 256, 512, 1024), blocks, groups, width_per_group, num_classes)


def small_resnext(num_classes: int = 10) -> nn.Sequential:
    """A ResNeXt of 11 layers that trains on ``patterns`` in less than two minutes on two cores.

    Its blocks have 4 groups and 32, 64 and 128 output maps.

    Parameters
    ----------
    num_classes : int, optional

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> sum(p.numel() for p in small_resnext().parameters())
    42074
    """
    positive_integers(num_classes=num_classes)
    return _resnext((16, 32, 64, 128), 1, 4, 4, num_classes)


def _resnext(
    channels: tuple[int, ...], blocks: int, groups: int, width_per_group: int, num_classes: int
) -> nn.Sequential:
    from factorkit.layers import ResNeXtBlock

    def block(stage: int, in_channels: int, out_channels: int, stride: int) -> ResNeXtBlock:
        width = width_per_group * 2**stage
        return ResNeXtBlock(in_channels, out_channels, groups=groups, width_per_group=width, stride=stride)

    first = stem(channels[0])
    layers = residual_stages(channels[0], channels[1:], blocks, block)
    return nn.Sequential(*first, *layers, *pooled_classifier(channels[-1], num_classes))
