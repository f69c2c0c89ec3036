"""K-means of points in the plane, of images, of any vectors: Lloyd's algorithm to read, scikit-learn's to use."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch

from factorkit.arguments import positive_integers

__all__ = ["Clustering", "as_points", "kmeans", "lloyd"]


@dataclass(frozen=True, eq=False)
class Clustering:
    """K centroids and, for each of n points, the nearest of them.

    Parameters
    ----------
    centroids : Tensor, shape (k, d)
    labels : Tensor of int64, shape (n,)
        Number of the nearest centroid.
    error : float
        Mean squared distance of a point to its centroid, the objective of k-means divided by n.

    Examples
    --------
    >>> Clustering(torch.zeros(2, 3), torch.tensor([0, 1, 0, 0]), 0.25)
    Clustering: 4 points of 3 numbers around 2 centroids, mean squared distance 0.25
    """

    centroids: torch.Tensor
    labels: torch.Tensor
    error: float

    @property
    def k(self) -> int:
        """Number of centroids."""
        return len(self.centroids)

    def reconstruct(self) -> torch.Tensor:
        """Every point replaced by its centroid, n x d."""
        return self.centroids[self.labels]

    def __repr__(self) -> str:
        return (
            f"Clustering: {len(self.labels)} points of {self.centroids.shape[1]} numbers around {self.k} centroids, "
            f"mean squared distance {self.error:.4g}"
        )


def as_points(points: torch.Tensor, *counts: int) -> torch.Tensor:
    """Check that a tensor holds points, and enough of them for each number of clusters.

    Parameters
    ----------
    points : Tensor, shape (n, d)
        Of floating-point numbers, all finite.
    *counts : int
        Numbers of clusters.

    Returns
    -------
    Tensor
        The points, without their gradient; those of 16 bits become float32.

    Raises
    ------
    ValueError
        If the shape, the numbers or a number of clusters do not fit.

    Examples
    --------
    >>> as_points(torch.zeros(5, 2), 8)
    Traceback (most recent call last):
    ValueError: k=8: 5 points make at most 5 clusters.
    """
    if points.dim() != 2 or not points.numel() or not points.is_floating_point():
        raise ValueError(
            f"points has shape {tuple(points.shape)} and type {points.dtype}: give n x d floating-point numbers, "
            "as images.flatten(1).float()."
        )
    if not bool(torch.isfinite(points).all()):
        raise ValueError("points holds values that are NaN or infinite: they have no distance to a centroid.")
    for k in counts:
        positive_integers(k=k)
        if k > len(points):
            raise ValueError(f"k={k}: {len(points)} points make at most {len(points)} clusters.")
    return points.detach().float() if points.dtype.itemsize < 4 else points.detach()


def lloyd(points: torch.Tensor, k: int, *, generator: torch.Generator, iterations: int = 100) -> Clustering:
    r"""K-means as one would write it down: Lloyd's two steps in turn :cite:p:`lloyd1982least`.

    Label each point with its nearest centroid, move each centroid to the mean of its points; neither step can raise

    .. math:: E = \frac{1}{n} \sum_{i=1}^{n} \left\lVert x_i - \Omega_{q(x_i)} \right\rVert_2^2,

    so the labels stop changing after finitely many rounds, at a minimum that depends on the start. The start is that of
    k-means++ :cite:p:`arthur2007kmeans`: centroids are drawn from the points, one after the other, each with a
    probability proportional to the squared distance to the nearest centroid so far.

    Parameters
    ----------
    points : Tensor, shape (n, d)
    k : int
        Number of clusters, at most n.
    generator : torch.Generator
        Draws the start.
    iterations : int, optional
        At most this many rounds.

    Returns
    -------
    Clustering

    Raises
    ------
    ValueError
        If the points are no n x d finite numbers, or there are fewer than ``k``.

    Notes
    -----
    A centroid that lost all its points stays where it is.

    Examples
    --------
    >>> points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0], [9.0, 7.0]])
    >>> found = lloyd(points, 2, generator=torch.Generator().manual_seed(0))
    >>> found.centroids.sort(0).values.tolist(), found.error
    ([[0.0, 1.0], [9.0, 8.0]], 1.0)
    """
    points = as_points(points, k)
    positive_integers(iterations=iterations)
    centroids, labels = _spread_start(points, k, generator), None
    for _ in range(iterations):
        nearest = torch.cdist(points, centroids).argmin(1)
        if labels is not None and torch.equal(nearest, labels):
            break
        labels = nearest
        counts = torch.bincount(labels, minlength=k)[:, None]
        sums = torch.zeros_like(centroids).index_add_(0, labels, points)
        centroids = torch.where(counts > 0, sums / counts, centroids)
    distances, labels = torch.cdist(points, centroids).min(1)
    return Clustering(centroids, labels, float(distances.square().mean()))


def _spread_start(points: torch.Tensor, k: int, generator: torch.Generator) -> torch.Tensor:
    """The start of k-means++: k of the points, far from each other."""
    chosen = [int(torch.randint(len(points), (), generator=generator))]
    nearest = torch.full((len(points),), torch.inf, dtype=points.dtype)
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
        weights = nearest if bool(nearest.any()) else torch.ones_like(nearest)  # every point is a centroid already
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return points[chosen]


def kmeans(points: torch.Tensor, k: int, *, seed: int = 0) -> Clustering:
    """K-means by scikit-learn, for more than a few thousand points.

    Parameters
    ----------
    points : Tensor, shape (n, d)
    k : int
        Number of clusters, at most n.
    seed : int, optional
        Of the k-means++ start.

    Returns
    -------
    Clustering
        Its error is that of the centroids in the type of ``points``.

    Raises
    ------
    ValueError
        If the points are no n x d finite numbers, or there are fewer than ``k``.

    Notes
    -----
    Of fewer different points than clusters, some clusters stay without points.

    Examples
    --------
    >>> points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0], [9.0, 7.0]])
    >>> kmeans(points, 2).error
    1.0
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = as_points(points, k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different points than clusters
        found = KMeans(k, n_init=1, random_state=seed).fit(points.cpu().numpy())
    centroids = torch.from_numpy(found.cluster_centers_).to(points)
    labels = torch.from_numpy(found.labels_).long().to(points.device)
    return Clustering(centroids, labels, found.inertia_ / len(points))
