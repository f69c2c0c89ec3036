"""Parameters and multiply-accumulates (MACs) of a convolution and of its factorized forms.

Every function is a formula: no tensor is made and nothing is measured. All costs are per example.
One multiply-accumulate (MAC) is one multiplication and the addition that collects it; adding a bias
is not counted as a MAC, its values are counted as parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ConvCost",
    "conv2d_cost",
    "conv2d_output_size",
    "depthwise_separable_cost",
    "grouped_cost",
    "spatially_separable_cost",
]

Size = int | tuple[int, int]
Padding = Size | Literal["same", "valid"]


@dataclass(frozen=True)
class ConvCost:
    """Parameters and multiply-accumulates (MACs) of one or more convolutions, per example.

    Costs add up: the cost of two layers in a row is the sum of their costs.

    Examples
    --------
    >>> ConvCost(params=27, macs=675) + ConvCost(params=384, macs=9600)
    ConvCost(params=411, macs=10275)
    >>> 2 * ConvCost(params=27, macs=675)
    ConvCost(params=54, macs=1350)
    """

    params: int
    macs: int

    def __add__(self, other: ConvCost) -> ConvCost:
        if not isinstance(other, ConvCost):
            return NotImplemented
        return ConvCost(self.params + other.params, self.macs + other.macs)

    def __mul__(self, times: int) -> ConvCost:
        if not isinstance(times, int):
            return NotImplemented
        return ConvCost(self.params * times, self.macs * times)

    __rmul__ = __mul__


def _pair(name: str, value: Size, minimum: int) -> tuple[int, int]:
    """Return ``value`` as (vertical, horizontal), refusing anything but integers of at least ``minimum``."""
    pair = value if isinstance(value, tuple | list) else (value, value)
    whole = len(pair) == 2 and all(isinstance(v, int) and not isinstance(v, bool) for v in pair)
    if not whole or min(pair) < minimum:
        raise ValueError(f"{name}={value!r}: give one integer or a pair (height, width), each at least {minimum}.")
    return int(pair[0]), int(pair[1])


def _channels(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: the number of channels must be an integer of at least 1.")
    return value


def conv2d_output_size(
    input_size: Size, kernel_size: Size, *, stride: Size = 1, padding: Padding = 0, dilation: Size = 1
) -> tuple[int, int]:
    r"""Height and width of the output feature map of a convolution.

    .. math:: H_\text{out} = \lfloor (H + 2 p - d (k - 1) - 1) / s \rfloor + 1

    Parameters
    ----------
    input_size : int or (int, int)
        Height and width of the input feature map, in pixels.
    kernel_size : int or (int, int)
        Height and width of the kernels, in pixels.
    stride, dilation : int or (int, int), optional
        Step between output pixels, and between the pixels that one kernel reads.
    padding : int, (int, int), "same" or "valid", optional
        Zeros on each side. ``"same"`` keeps the input size and needs ``stride=1``, as in torch.

    Returns
    -------
    (int, int)
        Height and width, in pixels.

    Raises
    ------
    ValueError
        If a size is not positive, or the kernel does not fit into the padded input.

    Examples
    --------
    >>> conv2d_output_size(32, 3, stride=2, padding=1)
    (16, 16)
    """
    sizes = _pair("input_size", input_size, 1)
    kernels = _pair("kernel_size", kernel_size, 1)
    strides = _pair("stride", stride, 1)
    dilations = _pair("dilation", dilation, 1)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"padding={padding!r}: give an integer, a pair, 'same' or 'valid'.")
        if padding == "same":
            if strides != (1, 1):
                raise ValueError(f"padding='same' needs stride=1, not stride={stride!r}: give the padding in pixels.")
            return sizes
        padding = 0
    paddings = _pair("padding", padding, 0)
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernels, strict=True)]
    padded = [n + 2 * p for n, p in zip(sizes, paddings, strict=True)]
    if spans[0] > padded[0] or spans[1] > padded[1]:
        raise ValueError(
            f"a {kernels[0]} x {kernels[1]} kernel with dilation {dilations} spans {spans[0]} x {spans[1]} pixels and "
            f"does not fit into the padded input of {padded[0]} x {padded[1]}: use a larger input or more padding."
        )
    height, width = ((n - span) // s + 1 for n, span, s in zip(padded, spans, strides, strict=True))
    return height, width


def conv2d_cost(
    input_size: Size,
    kernel_size: Size,
    in_channels: int,
    out_channels: int,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias: bool = False,
) -> ConvCost:
    r"""Cost of a two-dimensional convolution.

    .. math:: N_\text{MACs} = H_\text{out} W_\text{out} \, k_h k_w \, (D_\text{in} / g) \, D_\text{out}

    Parameters
    ----------
    input_size : int or (int, int)
        Height and width of the input feature map, in pixels.
    kernel_size : int or (int, int)
        Height and width of the kernels, in pixels.
    in_channels, out_channels : int
        Number of input and output feature maps.
    stride, padding, dilation
        As in :func:`conv2d_output_size`.
    groups : int, optional
        Number of groups; each output map reads ``in_channels / groups`` input maps.
    bias : bool, optional
        Whether each output map adds a bias (counted as a parameter, not as a MAC).

    Returns
    -------
    ConvCost

    Raises
    ------
    ValueError
        If a size is not positive, the kernel does not fit, or ``groups`` does not divide both channel counts.

    Examples
    --------
    The dense convolution of the slides: 3 x 3 kernels from 3 to 128 maps, 5 x 5 output pixels.

    >>> conv2d_cost(input_size=7, kernel_size=3, in_channels=3, out_channels=128)
    ConvCost(params=3456, macs=86400)
    """
    height, width = conv2d_output_size(input_size, kernel_size, stride=stride, padding=padding, dilation=dilation)
    kernel_height, kernel_width = _pair("kernel_size", kernel_size, 1)
    _channels("in_channels", in_channels)
    _channels("out_channels", out_channels)
    _channels("groups", groups)
    if in_channels % groups or out_channels % groups:
        common = [g for g in range(groups, 0, -1) if in_channels % g == 0 and out_channels % g == 0]
        raise ValueError(
            f"cannot group {in_channels} input channels into {groups} groups: groups must divide in_channels and "
            f"out_channels ({in_channels} and {out_channels} here); {common[0]} would."
        )
    weights = kernel_height * kernel_width * (in_channels // groups) * out_channels
    return ConvCost(params=weights + out_channels * bool(bias), macs=weights * height * width)


def grouped_cost(
    input_size: Size, kernel_size: Size, in_channels: int, out_channels: int, groups: int, **options
) -> ConvCost:
    """Cost of a grouped convolution: the dense cost divided by the number of groups.

    The same as :func:`conv2d_cost` with ``groups``, under the name that the chapters use.

    Parameters
    ----------
    input_size, kernel_size, in_channels, out_channels
        As in :func:`conv2d_cost`.
    groups : int
        Number of groups; must divide both channel counts.
    **options
        ``stride``, ``padding``, ``dilation`` and ``bias`` of :func:`conv2d_cost`.

    Returns
    -------
    ConvCost

    Raises
    ------
    ValueError
        As :func:`conv2d_cost`.

    Examples
    --------
    >>> grouped_cost(16, 3, 64, 64, groups=2, padding=1).macs * 2 == conv2d_cost(16, 3, 64, 64, padding=1).macs
    True
    """
    return conv2d_cost(input_size, kernel_size, in_channels, out_channels, groups=groups, **options)


def spatially_separable_cost(
    input_size: Size,
    kernel_size: Size,
    in_channels: int,
    out_channels: int,
    *,
    mid_channels: int | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    bias: bool = False,
) -> ConvCost:
    """Cost of a vertical convolution (k_h x 1) followed by a horizontal one (1 x k_w).

    The vertical step keeps the width of the input and so runs on a taller-than-needed map only where the
    stride is 1; with a stride it already skips rows, and the horizontal step skips columns.

    Parameters
    ----------
    input_size, kernel_size, in_channels, out_channels, stride, padding
        As in :func:`conv2d_cost`.
    mid_channels : int, optional
        Number of maps between the two steps: the rank of the factorization. Default ``out_channels``.
    bias : bool, optional
        Whether the second step adds a bias. The first has none: it would be absorbed by the second.

    Returns
    -------
    ConvCost

    Raises
    ------
    ValueError
        If a size is not positive or a kernel does not fit.

    Examples
    --------
    >>> spatially_separable_cost(32, 3, 16, 16, padding=1).macs / conv2d_cost(32, 3, 16, 16, padding=1).macs
    0.6666666666666666
    """
    kernel_height, kernel_width = _pair("kernel_size", kernel_size, 1)
    stride_height, stride_width = _pair("stride", stride, 1)
    same = isinstance(padding, str)
    pad_height, pad_width = (padding, padding) if same else _pair("padding", padding, 0)
    mid_channels = out_channels if mid_channels is None else _channels("mid_channels", mid_channels)
    vertical_padding = padding if same else (pad_height, 0)
    horizontal_padding = padding if same else (0, pad_width)
    middle = conv2d_output_size(input_size, (kernel_height, 1), stride=(stride_height, 1), padding=vertical_padding)
    vertical = conv2d_cost(
        input_size,
        (kernel_height, 1),
        in_channels,
        mid_channels,
        stride=(stride_height, 1),
        padding=vertical_padding,
    )
    horizontal = conv2d_cost(
        middle,
        (1, kernel_width),
        mid_channels,
        out_channels,
        stride=(1, stride_width),
        padding=horizontal_padding,
        bias=bias,
    )
    return vertical + horizontal


def depthwise_separable_cost(
    input_size: Size,
    kernel_size: Size,
    in_channels: int,
    out_channels: int,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    bias: bool = False,
) -> ConvCost:
    """Cost of a depthwise convolution followed by a pointwise one.

    One kernel per input channel filters, then 1 x 1 kernels mix the channels (Howard et al., 2017), so the
    cost is a sum where the dense convolution has a product.

    Parameters
    ----------
    input_size, kernel_size, in_channels, out_channels, stride, padding
        As in :func:`conv2d_cost`; stride and padding belong to the depthwise step.
    bias : bool, optional
        Whether the second step adds a bias. The first has none: it would be absorbed by the second.

    Returns
    -------
    ConvCost

    Raises
    ------
    ValueError
        If a size is not positive or the kernel does not fit.

    Examples
    --------
    >>> depthwise_separable_cost(input_size=7, kernel_size=3, in_channels=3, out_channels=128)
    ConvCost(params=411, macs=10275)
    """
    depthwise = conv2d_cost(
        input_size, kernel_size, in_channels, in_channels, stride=stride, padding=padding, groups=in_channels
    )
    middle = conv2d_output_size(input_size, kernel_size, stride=stride, padding=padding)
    return depthwise + conv2d_cost(middle, 1, in_channels, out_channels, bias=bias)
