"""Separable convolutions, drop-in replacements for ``nn.Conv2d``."""

from __future__ import annotations

from torch import nn

__all__ = ["DepthwiseSeparableConv2d", "SpatiallySeparableConv2d"]

Size = int | tuple[int, int]


def _pair(value: Size) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


class SpatiallySeparableConv2d(nn.Sequential):
    """A vertical convolution (k_h x 1) followed by a horizontal one (1 x k_w).

    The two steps together apply, from each input to each output map, a sum of ``mid_channels`` kernels of rank
    one. No non-linearity stands between them, so the pair is one linear layer of limited rank; the first step
    has no bias because the second would absorb it.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output feature maps.
    kernel_size : int or (int, int)
        Height and width of the kernel that the pair replaces.
    mid_channels : int, optional
        Number of maps between the two steps, the rank. Default ``out_channels``.
    stride, padding : int or (int, int), optional
        As in ``nn.Conv2d``; the vertical step takes the vertical part. ``padding`` may be ``"same"``.
    bias : bool, optional
        Whether the horizontal step has a bias.

    Notes
    -----
    Input N x I x H x W, output N x O x H_out x W_out, exactly as ``nn.Conv2d`` with the same arguments.

    Examples
    --------
    >>> import torch
    >>> layer = SpatiallySeparableConv2d(16, 32, 3, mid_channels=8, padding=1)
    >>> layer(torch.zeros(2, 16, 10, 10)).shape
    torch.Size([2, 32, 10, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        mid_channels: int | None = None,
        stride: Size = 1,
        padding: Size | str = 0,
        bias: bool = True,
    ) -> None:
        height, width = _pair(kernel_size)
        stride_height, stride_width = _pair(stride)
        vertical_padding, horizontal_padding = padding, padding
        if not isinstance(padding, str):
            pad_height, pad_width = _pair(padding)
            vertical_padding, horizontal_padding = (pad_height, 0), (0, pad_width)
        mid_channels = out_channels if mid_channels is None else mid_channels
        super().__init__()
        self.vertical = nn.Conv2d(
            in_channels, mid_channels, (height, 1), stride=(stride_height, 1), padding=vertical_padding, bias=False
        )
        self.horizontal = nn.Conv2d(
            mid_channels, out_channels, (1, width), stride=(1, stride_width), padding=horizontal_padding, bias=bias
        )


class DepthwiseSeparableConv2d(nn.Sequential):
    """One kernel per input channel (depthwise), then 1 x 1 kernels that mix the channels (pointwise).

    The factorization of MobileNet (Howard et al., 2017) without the batch normalization and the non-linearity
    that MobileNet puts between the two steps. The first step has no bias because the second would absorb it.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output feature maps.
    kernel_size : int or (int, int)
        Height and width of the depthwise kernels.
    stride, padding : int or (int, int), optional
        Of the depthwise step, as in ``nn.Conv2d``. ``padding`` may be ``"same"``.
    bias : bool, optional
        Whether the pointwise step has a bias.

    Notes
    -----
    Input N x I x H x W, output N x O x H_out x W_out, exactly as ``nn.Conv2d`` with the same arguments.

    Examples
    --------
    >>> import torch
    >>> layer = DepthwiseSeparableConv2d(3, 128, 3, bias=False)
    >>> layer(torch.zeros(1, 3, 7, 7)).shape
    torch.Size([1, 128, 5, 5])
    >>> sum(p.numel() for p in layer.parameters())
    411
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Size | str = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, stride=stride, padding=padding, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
