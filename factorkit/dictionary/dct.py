"""The dictionary that needs no training: cosines of more frequencies than a patch has pixels."""

from __future__ import annotations

import torch

from factorkit.layers.dct import overcomplete_dct

__all__ = ["dct_dictionary"]


def dct_dictionary(size: int, atoms_per_axis: int) -> torch.Tensor:
    r"""Overcomplete, separable dictionary of the discrete cosine transform, after :cite:t:`elad2006denoising`.

    Every atom is the outer product of two of the one-dimensional cosines of
    :func:`factorkit.layers.dct.overcomplete_dct`, :math:`a_m` down and :math:`a_n` across, with
    :math:`a_m(t) \propto \cos\bigl(\pi m (t + \tfrac12) / M\bigr)` less its mean: unlike the orthonormal transform it
    has :math:`M` frequencies, more than pixels. All atoms but the first have mean 0.

    Parameters
    ----------
    size : int
        Height and width of the patches, in pixels.
    atoms_per_axis : int
        Frequencies along each axis, at least ``size``. With ``size`` of them the dictionary is an orthonormal basis.

    Returns
    -------
    Tensor, shape (atoms_per_axis**2, size**2)
        Rows are atoms of norm 1, row by row of the patch; atom ``m * atoms_per_axis + n`` has frequency ``m`` down and
        ``n`` across, the first one is constant.

    Raises
    ------
    ValueError
        If there are fewer frequencies than pixels: such a dictionary cannot represent every patch.

    Examples
    --------
    >>> atoms = dct_dictionary(8, 11)
    >>> atoms.shape, torch.allclose(atoms[0], torch.tensor(1 / 8))
    (torch.Size([121, 64]), True)
    >>> basis = dct_dictionary(4, 4)
    >>> torch.allclose(basis @ basis.T, torch.eye(16), atol=1e-6)
    True
    """
    waves = overcomplete_dct(size, atoms_per_axis)
    return torch.kron(waves, waves)
