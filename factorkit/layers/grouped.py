"""Grouped convolutions: the block of ResNeXt in both of its forms, and the channel shuffle."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.arguments import positive_integers

__all__ = ["ResNeXtBlock", "SplitResNeXtBlock", "channel_shuffle"]


class ResNeXtBlock(nn.Module):
    r"""A bottleneck whose 3 x 3 convolution works in groups, with a shortcut.

    The block of ResNeXt (Xie et al., 2017) in the form of its figure 3c. With g = ``groups`` of
    d = ``width_per_group`` maps the convolutions of the main path have

    .. math:: g \, (I d + 9 d^2 + d O)

    weights. A convolution (1 x 1, stride) with batch normalization stands in the shortcut where shapes differ.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output maps.
    groups : int, optional
        Number of groups, the *cardinality*.
    width_per_group : int, optional
        Maps of each group in the middle.
    stride : int, optional
        Of the 3 x 3 convolution.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Notes
    -----
    Input N x in_channels x H x W, output N x out_channels x ceil(H / stride) x ceil(W / stride).

    Examples
    --------
    >>> block = ResNeXtBlock(256, 256)
    >>> sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))
    70144
    >>> len(block.split().branches)
    32
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        groups: int = 32,
        width_per_group: int = 4,
        stride: int = 1,
    ) -> None:
        positive_integers(
            in_channels=in_channels,
            out_channels=out_channels,
            groups=groups,
            width_per_group=width_per_group,
            stride=stride,
        )
        super().__init__()
        width = groups * width_per_group
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        return F.relu(self.bn3(self.conv3(maps)) + self.shortcut(images))

    def split(self) -> SplitResNeXtBlock:
        """The same block as separate branches whose outputs are added: figure 3a of the paper.

        Returns
        -------
        SplitResNeXtBlock
            With copies of this block's weights and statistics, in the mode (training or evaluation) of this block.
        """
        return SplitResNeXtBlock(self)


class SplitResNeXtBlock(nn.Module):
    r"""A :class:`ResNeXtBlock` written as a sum of narrow bottlenecks over the same input.

    .. math:: y = \mathrm{ReLU}\Bigl(x + \mathrm{BN}\Bigl(\sum_{i=1}^{g} T_i(x)\Bigr)\Bigr)

    Group i of the grouped convolution reads only what rows i of the first convolution have written, and columns i of
    the last one only read what it writes; so the groups are branches that meet in a sum. Batch normalization works
    map by map and is cut in the same way.

    Parameters
    ----------
    block : ResNeXtBlock
        Left as it is; its weights are copied.

    Notes
    -----
    Shapes as in :class:`ResNeXtBlock`. Same function and same number of parameters, more and smaller operations.

    Examples
    --------
    >>> block = ResNeXtBlock(16, 32, groups=4, stride=2).eval()
    >>> images = torch.randn(2, 16, 8, 8)
    >>> torch.allclose(block(images), block.split()(images), atol=1e-5)
    True
    """

    def __init__(self, block: ResNeXtBlock) -> None:
        super().__init__()
        groups, source = block.conv2.groups, block.state_dict()
        width = block.conv2.out_channels // groups
        self.branches = nn.ModuleList()
        for group in range(groups):
            branch = _branch(block.conv1.in_channels, width, block.conv3.out_channels, block.conv2.stride)
            own = slice(group * width, (group + 1) * width)  # the maps of this group
            tensors = {name: source[name] for name in branch.state_dict()}
            cut = {name: tensor[own] if tensor.ndim else tensor for name, tensor in tensors.items()}
            cut["conv3.weight"] = source["conv3.weight"][:, own]
            branch.to(block.conv1.weight).load_state_dict(cut)
            self.branches.append(branch)
        self.bn3 = copy.deepcopy(block.bn3)
        self.shortcut = copy.deepcopy(block.shortcut)
        self.train(block.training)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        total = torch.stack([branch(images) for branch in self.branches]).sum(0)
        return F.relu(self.bn3(total) + self.shortcut(images))


def _branch(in_channels: int, width: int, out_channels: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, width, 1, bias=False),
            bn1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False),
            bn2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(width, out_channels, 1, bias=False),
        )
    )


def channel_shuffle(maps: torch.Tensor, groups: int) -> torch.Tensor:
    """Deal the channels of each group out to all groups, so that grouped convolutions in a row mix everything.

    The permutation of ShuffleNet (Zhang et al., 2018): write the channels as a groups x (C / groups) matrix, transpose
    it, and read it row by row.

    Parameters
    ----------
    maps : torch.Tensor
        N x C x H x W.
    groups : int
        Of the grouped convolution before; divides C.

    Returns
    -------
    torch.Tensor
        N x C x H x W, the same maps in another order.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels.

    Examples
    --------
    >>> channel_shuffle(torch.arange(6.0).reshape(1, 6, 1, 1), groups=2).flatten().tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """
    positive_integers(groups=groups)
    try:
        return maps.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)
    except RuntimeError as error:
        channels = maps.shape[1]
        best = max(divisor for divisor in range(1, groups) if channels % divisor == 0)
        raise ValueError(
            f"cannot shuffle {channels} channels in {groups} groups: groups must divide the channels; {best} would."
        ) from error
