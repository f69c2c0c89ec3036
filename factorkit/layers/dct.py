"""Convolutions with fixed kernels from the discrete cosine transform (DCT)."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from factorkit.arguments import positive_integers
from factorkit.layers.settings import ConvolutionSettings, Size

__all__ = ["DCTConv2d", "effective_kernels", "overcomplete_dct"]


def overcomplete_dct(size: int, atoms: int) -> Tensor:
    r"""Cosines of ``atoms`` evenly spaced frequencies on ``size`` samples.

    .. math:: a_p(x) \propto \cos\frac{\pi (2x + 1) p}{2 P} - m_p, \quad p = 0 \dots P - 1, \quad x = 0 \dots n - 1,

    where :math:`P` is the number of atoms, :math:`n` the size and :math:`m_p` the mean over :math:`x`, which only the
    constant atom :math:`a_0` keeps. With :math:`P = n` it is the orthonormal DCT-II, with more atoms an overcomplete
    dictionary.

    Parameters
    ----------
    size : int
        Samples of an atom.
    atoms : int
        Number of frequencies.

    Returns
    -------
    Tensor
        atoms x size; the rows have unit norm, the first is constant, all others sum to zero.

    Raises
    ------
    ValueError
        If a count is not positive, or there are fewer frequencies than samples, or several on a single sample.

    Examples
    --------
    >>> basis = overcomplete_dct(5, 5)
    >>> torch.allclose(basis @ basis.T, torch.eye(5), atol=1e-6)
    True
    >>> overcomplete_dct(5, 8).shape
    torch.Size([8, 5])
    """
    positive_integers(size=size, atoms=atoms)
    if atoms < size or (size == 1 and atoms > 1):
        needed = "exactly 1" if size == 1 else f"at least {size}"
        raise ValueError(f"atoms={atoms}: a complete or overcomplete DCT of size={size} has {needed}.")
    angles = math.pi * (torch.arange(size) + 0.5) / atoms
    cosines = torch.cos(torch.arange(atoms, dtype=torch.float64)[:, None] * angles)
    constant, waves = cosines[:1], cosines[1:]
    waves = waves - waves.mean(1, keepdim=True)
    return F.normalize(torch.cat([constant, waves]), dim=1).float()


class DCTConv2d(ConvolutionSettings):
    r"""A convolution whose kernels are fixed DCT atoms; only its bias is trained.

    The dictionary :math:`\Phi \in \mathbb{R}^{(I k_h k_w) \times C}` of a double-sparsity network: each of its
    :math:`C` atoms is the outer product of three cosines, over the input maps, the rows and the columns,

    .. math:: \Phi_c(i, y, x) = u_c(i)\, v_c(y)\, h_c(x),

    so that each of the :math:`C \cdot I` kernels is a two-dimensional DCT atom times a factor. A 1 x 1 convolution that
    follows mixes atoms into kernels: :func:`effective_kernels`.

    Parameters
    ----------
    in_channels : int
        Number of input maps :math:`I`. Over them the DCT is complete: for three colors its frequencies are brightness,
        the difference of first and last color, and the second color against both.
    kernel_size : int or (int, int)
        Height and width of the atoms. Over k > 1 pixels the DCT is overcomplete, with :math:`\lceil 3k/2 \rceil`
        frequencies.
    atoms : int
        Number of output maps :math:`C`. They go through the frequencies of the maps and, from low to high, through
        those of the pixels, at the same time: every frequency is used as often as every other one, give or take one.
    stride, padding : int or (int, int), optional
        As in ``nn.Conv2d``.
    bias : bool, optional
        Whether each output map has a trained bias.

    Attributes
    ----------
    weight : Tensor
        The atoms, C x I x k_h x k_w, of unit norm: a buffer that is not saved, because the shapes determine it.
    bias : nn.Parameter or None
        C numbers, zero at first.

    Raises
    ------
    ValueError
        If a count or size is not positive, or more atoms are wanted than there are combinations of frequencies.

    Notes
    -----
    Input N x I x H x W, output N x C x H_out x W_out. Fixed weights save training and memory, not arithmetic: the
    layer costs as many multiply-accumulates as a trained one, unless it is applied in two passes (:meth:`separable`).
    The report on double sparsity :cite:p:`hoffer2015sparse` fixes the shapes and the kind of atoms, but not which atom
    reads which map; the choice of this layer is ours.

    Examples
    --------
    >>> layer = DCTConv2d(3, 5, atoms=192, padding=2)
    >>> layer(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 192, 32, 32])
    >>> sum(p.numel() for p in layer.parameters())
    192
    """

    def __init__(
        self, in_channels: int, kernel_size: Size, atoms: int, *, stride: Size = 1, padding: Size = 0, bias: bool = True
    ) -> None:
        super().__init__(in_channels, atoms, kernel_size, stride=stride, padding=padding, dilation=1)
        self.register_buffer("weight", torch.einsum("ci,cy,cx->ciyx", *self._factors()), persistent=False)
        self.bias = nn.Parameter(torch.zeros(atoms)) if bias else None

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The cosines of all atoms over maps, rows and columns: C x I, C x k_h, C x k_w."""
        height, width = self.kernel_size
        tall, wide = _frequencies(height), _frequencies(width)
        atoms, maps, pixels = self.out_channels, self.in_channels, tall * wide
        if atoms > maps * pixels:
            raise ValueError(
                f"atoms={atoms}: {maps} input maps and {height} x {width} pixels have {maps} * {tall} * {wide} = "
                f"{maps * pixels} combinations of frequencies; ask for no more."
            )
        low_first = sorted(((y, x) for y in range(tall) for x in range(wide)), key=lambda at: (sum(at), at))
        round_trip = math.lcm(maps, pixels)  # after so many atoms both counters are at zero again: let one slip
        spatial = [low_first[(c + c // round_trip) % pixels] for c in range(atoms)]
        over_maps = overcomplete_dct(maps, maps)[[c % maps for c in range(atoms)]]
        over_rows = overcomplete_dct(height, tall)[[y for y, _ in spatial]]
        over_columns = overcomplete_dct(width, wide)[[x for _, x in spatial]]
        return over_maps, over_rows, over_columns

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight, self.bias, self.stride, self.padding)

    def separable(self) -> nn.Sequential:
        """The same function in two one-dimensional passes, which need about k times fewer multiply-accumulates.

        Returns
        -------
        nn.Sequential
            ``vertical`` (C x I x k_h x 1, without bias) and ``horizontal`` (C x 1 x 1 x k_w, one kernel for each map):
            plain convolutions with fixed weights; a copy of the bias, which is trained further, is in the second.

        Examples
        --------
        >>> layer, images = DCTConv2d(3, 5, atoms=24, padding=2), torch.rand(1, 3, 8, 8)
        >>> torch.allclose(layer.separable()(images), layer(images), atol=1e-5)
        True
        """
        over_maps, over_rows, over_columns = (factor.to(self.weight) for factor in self._factors())
        (height, width), (down, right), (top, left) = self.kernel_size, self.stride, self.padding
        atoms = self.out_channels
        vertical = nn.Conv2d(self.in_channels, atoms, (height, 1), stride=(down, 1), padding=(top, 0), bias=False)
        horizontal = nn.Conv2d(
            atoms, atoms, (1, width), stride=(1, right), padding=(0, left), groups=atoms, bias=self.bias is not None
        )
        vertical.weight = nn.Parameter(torch.einsum("ci,cy->ciy", over_maps, over_rows)[..., None], requires_grad=False)
        horizontal.weight = nn.Parameter(over_columns[:, None, None, :], requires_grad=False)
        if self.bias is not None:
            horizontal.bias = nn.Parameter(self.bias.detach().clone())
        return nn.Sequential(OrderedDict(vertical=vertical, horizontal=horizontal)).train(self.training)


def _frequencies(pixels: int) -> int:
    return 1 if pixels == 1 else math.ceil(3 * pixels / 2)


def effective_kernels(dct: DCTConv2d, pointwise: nn.Conv2d, *, normalization: nn.BatchNorm2d | None = None) -> Tensor:
    r"""The kernels that DCT atoms and the 1 x 1 convolution behind them apply together.

    .. math:: D = W^\top \Phi, \qquad D(o, i, y, x) = \sum_c W(o, c)\, \Phi_c(i, y, x).

    Parameters
    ----------
    dct : DCTConv2d
        C atoms of I x k_h x k_w.
    pointwise : nn.Conv2d
        O x C x 1 x 1, as it follows the atoms.
    normalization : nn.BatchNorm2d, optional
        If one stands between both: in evaluation mode it multiplies each of the C maps by a number, which then belongs
        to the coefficients W.

    Returns
    -------
    Tensor
        O x I x k_h x k_w.

    Raises
    ------
    ValueError
        If ``pointwise`` is no dense 1 x 1 convolution of the C maps, or the normalization is one of other maps.

    Notes
    -----
    Up to the biases, this is the function of both layers only where no ReLU stands between them. Behind one, as in the
    report's network, the two are no single convolution, and the kernels are a picture of the sum without it.

    Examples
    --------
    >>> dct, pointwise = DCTConv2d(3, 5, 24, bias=False), nn.Conv2d(24, 8, 1, bias=False)
    >>> kernels, images = effective_kernels(dct, pointwise), torch.rand(1, 3, 9, 9)
    >>> kernels.shape
    torch.Size([8, 3, 5, 5])
    >>> torch.allclose(F.conv2d(images, kernels), pointwise(dct(images)), atol=1e-5)
    True
    """
    expected = (pointwise.out_channels, dct.out_channels, 1, 1)
    if tuple(pointwise.weight.shape) != expected:
        raise ValueError(
            f"the layer behind {dct.out_channels} atoms has a weight of {tuple(pointwise.weight.shape)}: give the "
            f"1 x 1 convolution that reads them, {expected}."
        )
    coefficients = pointwise.weight.detach()[:, :, 0, 0]
    if normalization is not None:
        if normalization.num_features != dct.out_channels:
            raise ValueError(
                f"a normalization of {normalization.num_features} maps behind {dct.out_channels} atoms: give the one "
                "that stands between the two layers."
            )
        scale = normalization.weight.detach() * torch.rsqrt(normalization.running_var + normalization.eps)
        coefficients = coefficients * scale
    return torch.einsum("oc,ciyx->oiyx", coefficients, dct.weight)
