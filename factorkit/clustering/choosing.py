"""How many clusters: the elbow of the error, and the silhouette."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from factorkit.clustering.points import as_points, kmeans

__all__ = ["KChoice", "choose_k"]

COMPARED_POINTS = 2000  # the silhouette compares every point with every other


@dataclass(frozen=True)
class KChoice:
    """What each number of clusters costs, and the two numbers that the curves suggest.

    Parameters
    ----------
    candidates : tuple of int
        Numbers of clusters in ascending order.
    errors : tuple of float
        Mean squared distance to the nearest centroid; falls with K, whether or not there are clusters.
    silhouettes : tuple of float
        Mean silhouette, between -1 and 1; NaN for one cluster, which has no other to be compared with.
    elbow : int
        The candidate whose point on the error curve is farthest below the line between the curve's ends, both axes
        scaled to [0, 1].
    best_silhouette : int or None
        The candidate of largest silhouette; None if all are NaN.

    Examples
    --------
    >>> KChoice((1, 2, 3), (9.0, 2.0, 1.0), (float("nan"), 0.6, 0.4), elbow=2, best_silhouette=2)
    KChoice: elbow at K=2 (error 2), largest silhouette at K=2 (0.6)
    """

    candidates: tuple[int, ...]
    errors: tuple[float, ...]
    silhouettes: tuple[float, ...]
    elbow: int
    best_silhouette: int | None

    def __repr__(self) -> str:
        errors = dict(zip(self.candidates, self.errors, strict=True))
        text = f"KChoice: elbow at K={self.elbow} (error {errors[self.elbow]:.4g})"
        if self.best_silhouette is None:
            return text
        silhouettes = dict(zip(self.candidates, self.silhouettes, strict=True))
        largest = silhouettes[self.best_silhouette]
        return f"{text}, largest silhouette at K={self.best_silhouette} ({largest:.4g})"


def choose_k(points: torch.Tensor, candidates: Iterable[int], *, seed: int = 0) -> KChoice:
    r"""Cluster with several K and say which the elbow and the silhouette prefer.

    The silhouette of a point is :math:`(b - a) / \max(a, b)` with its mean distance :math:`a` to the other points of
    its cluster and :math:`b` to those of the nearest other cluster :cite:p:`rousseeuw1987silhouettes`.

    Parameters
    ----------
    points : Tensor, shape (n, d)
    candidates : iterable of int
        At least three different K, each at most n.
    seed : int, optional
        Of the clusterings, and of the 2,000 points that the silhouette compares if there are more.

    Returns
    -------
    KChoice

    Raises
    ------
    ValueError
        If there are fewer than three candidates, or one is not between 1 and n.

    Examples
    --------
    >>> corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    >>> points = corners.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> choice = choose_k(points, range(1, 9))
    >>> choice.elbow, choice.best_silhouette
    (4, 4)
    """
    from sklearn.metrics import silhouette_score

    candidates = tuple(sorted(set(candidates)))
    if len(candidates) < 3:
        raise ValueError(f"candidates={candidates}: an elbow needs at least three, for example range(1, 11).")
    points = as_points(points, *candidates).cpu()
    found = [kmeans(points, k, seed=seed) for k in candidates]
    sample = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:COMPARED_POINTS]
    silhouettes = []
    for clustering in found:
        labels = clustering.labels[sample]
        defined = 1 < len(labels.unique()) < len(labels)
        silhouettes.append(float(silhouette_score(points[sample], labels)) if defined else float("nan"))
    errors = [clustering.error for clustering in found]
    best = max((pair for pair in zip(silhouettes, candidates, strict=True) if pair[0] == pair[0]), default=None)
    return KChoice(candidates, tuple(errors), tuple(silhouettes), _elbow(candidates, errors), best and best[1])


def _elbow(candidates: tuple[int, ...], errors: list[float]) -> int:
    counts, heights = torch.tensor(candidates).double(), torch.tensor(errors).double()
    counts = (counts - counts[0]) / (counts[-1] - counts[0])
    fall = heights[0] - heights[-1]
    depth = 1 - counts - (heights - heights[-1]) / fall if fall > 0 else -counts
    return candidates[int(depth.argmax())]
