"""What layers that stand for a convolution have in common: their settings, checked, and how they print them."""

from __future__ import annotations

from torch import nn

from factorkit.arguments import positive_integers

__all__ = ["ConvolutionSettings", "Size"]

Size = int | tuple[int, int]


class ConvolutionSettings(nn.Module):
    """Base of layers with the arguments of ``nn.Conv2d``, kept as pairs where they have a height and a width.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int or (int, int)

    Raises
    ------
    ValueError
        If a count or size is not positive, or a padding negative.

    Examples
    --------
    >>> ConvolutionSettings(16, 32, 3, stride=(2, 1), padding=1, dilation=1)
    ConvolutionSettings(16, 32, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1), dilation=(1, 1))
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, *, stride: Size, padding: Size, dilation: Size
    ) -> None:
        super().__init__()
        positive_integers(in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = _checked_pair("kernel_size", kernel_size, least=1)
        self.stride = _checked_pair("stride", stride, least=1)
        self.padding = _checked_pair("padding", padding, least=0)
        self.dilation = _checked_pair("dilation", dilation, least=1)

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding", "dilation")
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"{self.in_channels}, {self.out_channels}, {settings}"


def _checked_pair(name: str, value: Size, *, least: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2 or not all(type(size) is int and size >= least for size in pair):
        raise ValueError(f"{name}={value!r}: give one integer of at least {least}, or two for height and width.")
    return pair
