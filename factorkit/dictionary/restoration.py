"""Noise and holes in photographs, mended by what sparse sums of atoms can represent and they cannot."""

from __future__ import annotations

import math

import torch

from factorkit.dictionary.dct import dct_dictionary
from factorkit.dictionary.patches import from_patches, image_patches
from factorkit.dictionary.pursuit import omp

__all__ = ["denoise", "inpaint"]

# Patches whose codes are held at a time.
PATCHES_AT_ONCE = 8192
# How much of the noise's expected energy in a patch the residual may have: Elad and Aharon's 1.15, squared.
GAIN = 1.15**2
# Most atoms of a patch. Into holes the atoms only guess, so fewer do better there.
MOST_ATOMS, MOST_ATOMS_WITH_HOLES = 24, 12


def denoise(
    image: torch.Tensor,
    noise_std: float,
    *,
    dictionary: torch.Tensor | None = None,
    stride: int = 1,
) -> torch.Tensor:
    r"""Remove white noise after :cite:t:`elad2006denoising`.

    Each patch takes atoms until what is left of it is as large as the noise is,
    :math:`\|r\|^2 \le 1.15^2 \, d \, \sigma^2`: a photograph needs few atoms for that, noise none. Every pixel is the
    mean of all patches that cover it.

    Parameters
    ----------
    image : Tensor, shape (height, width)
    noise_std : float
        Standard deviation of the noise, on the scale of the image.
    dictionary : Tensor, shape (atoms, size**2), optional
        Atoms of norm 1 for patches without their mean; those of ``dct_dictionary(8, 16)`` if not given.
    stride : int, optional
        Pixels between patches: 1 gives the best result, 2 takes a quarter of the time.

    Returns
    -------
    Tensor, shape (height, width)

    Raises
    ------
    ValueError
        If the standard deviation is not positive, or the atoms are no square patches.

    Examples
    --------
    >>> from factorkit.dictionary import photograph, psnr
    >>> clean = photograph("china", 64)
    >>> noisy = clean + 0.1 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    >>> psnr(denoise(noisy, 0.1, stride=2), clean) > psnr(noisy, clean) + 5
    True
    """
    if not noise_std > 0:
        raise ValueError(f"noise_std={noise_std!r}: give the standard deviation of the noise, a positive number.")
    dictionary = dct_dictionary(8, 16).to(image) if dictionary is None else dictionary
    return _restore(image, None, GAIN * noise_std**2, dictionary, MOST_ATOMS, stride)


def inpaint(
    image: torch.Tensor,
    known: torch.Tensor,
    *,
    dictionary: torch.Tensor | None = None,
    stride: int = 2,
    noise_std: float = 0.01,
) -> torch.Tensor:
    r"""Fill in missing pixels: fit atoms to the known pixels of each patch and read off the others.

    With :math:`M` the mask of a patch, the code :math:`u` is that of the known pixels, :math:`M x \approx M V^\top u`;
    the atoms continue it into the holes, as in :cite:t:`mairal2008color`.

    Parameters
    ----------
    image : Tensor, shape (height, width)
        What it has where ``known`` is False is ignored.
    known : Tensor of bool, shape (height, width)
    dictionary : Tensor, shape (atoms, size**2), optional
        Atoms of norm 1 for patches without their mean; those of ``dct_dictionary(12, 16)`` if not given.
    stride : int, optional
        Pixels between patches.
    noise_std : float, optional
        A patch takes no further atoms once its known pixels are met this closely.

    Returns
    -------
    Tensor, shape (height, width)
        The known pixels unchanged.

    Raises
    ------
    ValueError
        If the mask does not fit, or a patch has no known pixel.

    Examples
    --------
    >>> from factorkit.dictionary import photograph, psnr
    >>> clean = photograph("china", 64)
    >>> known = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) < 0.5
    >>> psnr(inpaint(clean * known, known), clean) > 24
    True
    """
    if known.dtype != torch.bool or known.shape != image.shape:
        raise ValueError(
            f"known is {known.dtype} of shape {tuple(known.shape)}: give one bool for each pixel, {tuple(image.shape)}."
        )
    dictionary = dct_dictionary(12, 16).to(image) if dictionary is None else dictionary
    filled = _restore(torch.where(known, image, 0), known, noise_std**2, dictionary, MOST_ATOMS_WITH_HOLES, stride)
    return torch.where(known, image, filled)


def _restore(
    image: torch.Tensor, known: torch.Tensor | None, variance: float, dictionary: torch.Tensor, most: int, stride: int
) -> torch.Tensor:
    """Code every patch until the mean square of its residual is the variance, and average the patches."""
    pixels = dictionary.shape[-1]
    size = math.isqrt(pixels)
    if size * size != pixels:
        raise ValueError(f"atoms of {pixels} entries are no square patches; give size * size of them, such as 64.")
    patches = image_patches(image, size, stride)
    mask = torch.ones_like(image, dtype=torch.bool) if known is None else known
    masks = image_patches(mask, size, stride)
    counts = masks.sum(dim=1, keepdim=True)
    if not counts.all():
        raise ValueError(
            f"{int((counts == 0).sum())} patches of {size} x {size} pixels have no known pixel, and nothing continues "
            "into them; give a dictionary of larger patches."
        )
    means = (patches * masks).sum(dim=1, keepdim=True) / counts
    restored = torch.empty_like(patches)
    for start in range(0, len(patches), PATCHES_AT_ONCE):
        part = slice(start, start + PATCHES_AT_ONCE)
        codes = omp(
            patches[part] - means[part],
            dictionary,
            min(most, *dictionary.shape),
            tolerance=variance,
            known=None if known is None else masks[part],
        )
        restored[part] = codes @ dictionary + means[part]
    return from_patches(restored, tuple(image.shape), stride)
