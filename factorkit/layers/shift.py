"""Convolutions of which one weight, or a few, are left in each slice: shifts of the input and weighted sums of them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.layers.settings import ConvolutionSettings, Size

__all__ = ["ShiftConv2d"]

# Shifted copies that are made at a time: what fits the second cache of a core.
ELEMENTS_AT_ONCE = 2**19
MOST_POSITIONS = 2**8


class SurvivorSettings(ConvolutionSettings):
    """Base of layers of whose slices some weights survive: the settings of a convolution, and how many survive."""

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        weights_per_kernel: int,
        shared: bool,
        **sizes: Size,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **sizes)
        self.weights_per_kernel, self.shared = weights_per_kernel, shared
        height, width = self.kernel_size
        if not 1 <= weights_per_kernel <= height * width:
            raise ValueError(
                f"weights_per_kernel={weights_per_kernel}: a slice of {height} x {width} keeps from 1 to "
                f"{height * width} of its weights."
            )
        if height * width > MOST_POSITIONS:
            raise ValueError(
                f"kernel_size={self.kernel_size}: an index has 8 bits, a slice at most {MOST_POSITIONS} positions."
            )

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, bias={self.bias is not None}, weights_per_kernel={self.weights_per_kernel}, "
            f"shared={self.shared}"
        )


class ShiftConv2d(SurvivorSettings):
    r"""A convolution that stores a weight and a position for each survivor of a slice, and computes nothing else.

    With one survivor for each pair of an output :math:`d` and an input map :math:`c`, at the position :math:`k_{d,c}`
    of the kernel, the sum over the window has a single term, the input shifted by that position:

    .. math:: Y_d = b_d + \sum_c w_{d,c} \, \mathrm{shift}_{k_{d,c}}(X_c)

    which takes :math:`O I H W` multiply-accumulates where the dense kernel takes :math:`k_h k_w` times as many
    :cite:p:`hacene2019sal`. If all outputs share the positions, it is the shift layer of :cite:t:`wu2018shift`: a
    shift of each input map and a 1 x 1 convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output feature maps.
    kernel_size : int or (int, int)
        Height and width of the kernel whose weights survive.
    stride, padding, dilation : int or (int, int), optional
        As in ``nn.Conv2d``.
    bias : bool, optional
    weights_per_kernel : int, optional
        Survivors of each slice.
    shared : bool, optional
        Whether all outputs read the same positions.

    Attributes
    ----------
    weight : Parameter, shape (O, I, weights_per_kernel)
    index : Tensor of uint8, shape (O, I, weights_per_kernel), or (1, I, weights_per_kernel) if shared
        Row by row, position 0 is the upper left one. A new layer has them spread evenly, as in Wu et al.

    Raises
    ------
    ValueError
        If a slice cannot have so many survivors.

    Notes
    -----
    Input N x I x H x W, output N x O x H_out x W_out, exactly as ``nn.Conv2d``. The index of a 3 x 3 kernel needs 4
    bits for each survivor: 36 bits where a dense slice of 32-bit numbers has 288.

    Shifts are copies: no arithmetic, but time. For all its nine times fewer operations the layer was a third to a half
    as fast as the dense convolution with 16 or 32 maps on a CPU and about as fast from 64 on; with shared positions up
    to 1.5 times as fast. ``benchmarks/shift_speed.py`` measures it.

    Examples
    --------
    >>> layer = ShiftConv2d(16, 32, 3, padding=1, bias=False)
    >>> layer(torch.zeros(2, 16, 10, 10)).shape, layer.weight.shape, int(layer.index.max())
    (torch.Size([2, 32, 10, 10]), torch.Size([32, 16, 1]), 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        *,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
        weights_per_kernel: int = 1,
        shared: bool = False,
    ) -> None:
        sizes = {"stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(
            in_channels, out_channels, kernel_size, weights_per_kernel=weights_per_kernel, shared=shared, **sizes
        )
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, weights_per_kernel))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        if bias:
            bound = 1 / math.sqrt(in_channels * weights_per_kernel)
            nn.init.uniform_(self.bias, -bound, bound)
        outputs = torch.arange(1 if shared else out_channels)[:, None, None]
        turns = torch.arange(in_channels * weights_per_kernel).reshape(1, in_channels, weights_per_kernel)
        self.register_buffer("index", ((outputs + turns) % math.prod(self.kernel_size)).to(torch.uint8))

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for an input of this size.

        Raises
        ------
        ValueError
            If the kernel is larger than the padded input.
        """
        sizes = []
        for size, kernel, stride, padding, dilation in zip(
            (height, width), self.kernel_size, self.stride, self.padding, self.dilation, strict=True
        ):
            reach = dilation * (kernel - 1) + 1
            if size + 2 * padding < reach:
                raise ValueError(
                    f"the input has {height} x {width} pixels and padding {self.padding}: a kernel of "
                    f"{self.kernel_size} with dilation {self.dilation} does not fit; use a larger padding."
                )
            sizes.append((size + 2 * padding - reach) // stride + 1)
        return sizes[0], sizes[1]

    def dense_weight(self) -> torch.Tensor:
        """The kernel of the equal ``nn.Conv2d``, O x I x k_h x k_w, zero where no weight survived."""
        shape = (self.out_channels, self.in_channels, math.prod(self.kernel_size))
        index = self.index.long().expand_as(self.weight)
        return self.weight.new_zeros(shape).scatter(2, index, self.weight).unflatten(2, self.kernel_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"the input has shape {tuple(images.shape)}: this layer reads N x {self.in_channels} x height x width."
            )
        height, width = self.output_size(*images.shape[-2:])
        if torch.compiler.is_exporting():  # for any number of images
            maps = self._sum(images, height, width)
        else:
            copies = self.in_channels * math.prod(self.kernel_size) * height * width
            parts = images.split(max(ELEMENTS_AT_ONCE // copies, 1))
            maps = torch.cat([self._sum(part, height, width) for part in parts])
        return maps if self.bias is None else maps + self.bias[:, None, None]

    def _sum(self, images: torch.Tensor, height: int, width: int) -> torch.Tensor:
        shifted = self._shift(images, height, width)
        positions = math.prod(self.kernel_size)
        first = torch.arange(0, self.in_channels * positions, positions, device=images.device)
        rows = self.index.long() + first[:, None]  # of the shifted copies
        if self.shared:
            maps = self.weight.flatten(1) @ shifted.index_select(0, rows.flatten())
        elif torch.compiler.is_exporting():  # ONNX has no sums of bags
            chosen = shifted.index_select(0, rows.flatten()).unflatten(0, (self.out_channels, -1))
            maps = self.weight.flatten(1)[:, None] @ chosen
        else:
            # Row d of the result is the sum of the rows that index[d] names, each times its weight.
            maps = F.embedding_bag(rows.flatten(1), shifted, mode="sum", per_sample_weights=self.weight.flatten(1))
        return maps.reshape(self.out_channels, -1, height, width).transpose(0, 1)

    def _shift(self, images: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Every input map at every position of the kernel, (I k_h k_w) x (N H_out W_out)."""
        (rows, columns), (down, right) = self.padding, self.stride
        windows = F.pad(images, (columns, columns, rows, rows)).transpose(0, 1)
        windows = windows.unfold(2, down * (height - 1) + 1, self.dilation[0])[:, :, : self.kernel_size[0], :, ::down]
        windows = windows.unfold(3, right * (width - 1) + 1, self.dilation[1])
        windows = windows[:, :, :, : self.kernel_size[1], :, ::right]  # I, N, k_h, k_w, H_out, W_out
        return windows.permute(0, 2, 3, 1, 4, 5).reshape(self.in_channels * math.prod(self.kernel_size), -1)
