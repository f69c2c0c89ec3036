"""Vector quantization: images or patches replaced by the nearest of a few, and what that really saves."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from factorkit.arguments import positive_integers
from factorkit.clustering.points import as_points, kmeans

__all__ = ["VectorQuantization", "quantize_vectors"]


@dataclass(frozen=True, eq=False)
class VectorQuantization:
    """Vectors stored as indices into a table of K vectors.

    Parameters
    ----------
    centroids : Tensor, shape (k, d)
        The table.
    labels : Tensor of int64, shape (n,)
    relative_error : float
        Frobenius norm of what is lost, divided by that of the vectors.
    bits : int
        Width of one number, in the vectors as in the table.
    index_bits : int
        Width of one index.

    Examples
    --------
    >>> VectorQuantization(torch.zeros(100, 784), torch.zeros(60_000, dtype=torch.int64), 0.5, bits=32, index_bits=7)
    VectorQuantization: 60000 vectors of 784 numbers by 100, 99.81 % less storage, relative error 0.5
    """

    centroids: torch.Tensor
    labels: torch.Tensor
    relative_error: float
    bits: int
    index_bits: int

    @property
    def k(self) -> int:
        """Number of vectors in the table."""
        return len(self.centroids)

    @property
    def dense_bits(self) -> int:
        """Storage of the vectors themselves, n d numbers."""
        return len(self.labels) * self.centroids.shape[1] * self.bits

    @property
    def stored_bits(self) -> int:
        """Storage of the table and of one index for each vector."""
        return self.centroids.numel() * self.bits + len(self.labels) * self.index_bits

    @property
    def compression_factor(self) -> float:
        r"""The share of the storage that is saved, indices counted: :math:`1 - (K d b + N b_i) / (N d b)`."""
        return 1 - self.stored_bits / self.dense_bits

    @property
    def slide_compression_factor(self) -> float:
        r"""The same without the indices, :math:`\kappa = 1 - K/N`: what is left when :math:`b_i \ll d b`."""
        return 1 - self.k / len(self.labels)

    def reconstruct(self) -> torch.Tensor:
        """Every vector replaced by its entry of the table, n x d."""
        return self.centroids[self.labels]

    def __repr__(self) -> str:
        return (
            f"VectorQuantization: {len(self.labels)} vectors of {self.centroids.shape[1]} numbers by {self.k}, "
            f"{100 * self.compression_factor:.2f} % less storage, relative error {self.relative_error:.4g}"
        )


def quantize_vectors(
    points: torch.Tensor, k: int, *, bits: int = 32, index_bits: int | None = None, seed: int = 0
) -> VectorQuantization:
    r"""Replace vectors by the nearest of K centroids, which k-means finds.

    Parameters
    ----------
    points : Tensor, shape (n, d)
        Such as images, ``images.flatten(1)``.
    k : int
        Entries of the table, at most n.
    bits : int, optional
        Width of one number.
    index_bits : int, optional
        Width of one index; by default :math:`\lceil \log_2 K \rceil`, the least that tells K entries apart.
    seed : int, optional

    Returns
    -------
    VectorQuantization

    Raises
    ------
    ValueError
        If the points are no n x d finite numbers, there are fewer than ``k``, or an index is too narrow.

    Examples
    --------
    >>> points = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    >>> found = quantize_vectors(points, 20)
    >>> found.index_bits, round(found.compression_factor, 4), found.slide_compression_factor
    (5, 0.9405, 0.96)
    """
    points = as_points(points, k)
    needed = (k - 1).bit_length()
    index_bits = needed if index_bits is None else index_bits
    positive_integers(bits=bits)
    if type(index_bits) is not int or index_bits < needed:
        raise ValueError(f"index_bits={index_bits!r}: {k} entries need at least {needed}.")
    found = kmeans(points, k, seed=seed)
    size = float(points.double().norm())
    lost = float((points - found.reconstruct()).double().norm())
    return VectorQuantization(found.centroids, found.labels, lost / size if size else 0.0, bits, index_bits)
