"""How fast and how good ``kmeans_1d`` is beside scikit-learn, kmeans1d, ckwrap and faiss, on weights of a network.

Two tensors with heavy tails, as large as a 64 x 64 x 3 x 3 and a 512 x 512 x 3 x 3 kernel, and 16 and 256 values each.
One thread, one process, in turn for several rounds; times are CPU time, and those of scikit-learn, kmeans1d, ckwrap and
faiss include the labels, so ours are given with and without. The error is relative to the optimum, which ckwrap finds;
for 256 values of the large tensor, where that would take an hour and 10 GB, on cells of 3e-6: some hundred
for each cluster, so that what the cells change is below 1e-4 of the error.

Slow peers are measured once, and left out where they take minutes; there MiniBatchKMeans stands in for KMeans. With
``--quick`` everything is measured once and only scikit-learn's k-means++ beside ours on the large tensor.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits

from factorkit.clustering import kmeans_1d

SMALL, LARGE = 64 * 64 * 9, 512 * 512 * 9
CASES = [(SMALL, 16), (SMALL, 256), (LARGE, 16), (LARGE, 256)]
CELL = 3e-6
WORST_ERROR = 1.001
LEAST_SPEED = {(LARGE, 16): 300, (SMALL, 16): 15, (SMALL, 256): 15}
OURS, LABELED, SKLEARN = "kmeans_1d", "kmeans_1d and labels", "scikit-learn, k-means++"


def weights(count: int) -> np.ndarray:
    """Student's t with 4 degrees of freedom, 0.02 wide."""
    return (0.02 * np.random.default_rng(0).standard_t(4, count)).astype(np.float32)


def _minibatch(values: np.ndarray, k: int) -> np.ndarray:
    return MiniBatchKMeans(k, n_init=1, random_state=0).fit(values[:, None]).cluster_centers_


def _sklearn(values: np.ndarray, k: int) -> np.ndarray:
    return KMeans(k, n_init=1, random_state=0).fit(values[:, None]).cluster_centers_


def _sklearn_linear(values: np.ndarray, k: int) -> np.ndarray:
    start = np.linspace(values.min(), values.max(), k)[:, None]
    return KMeans(k, init=start, n_init=1).fit(values[:, None]).cluster_centers_


def _faiss(values: np.ndarray, k: int) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(1)
    clustering = faiss.Kmeans(1, k, niter=25, seed=0, max_points_per_centroid=len(values))
    clustering.train(values[:, None])
    clustering.index.search(values[:, None], 1)
    return clustering.centroids


def _kmeans1d(values: np.ndarray, k: int) -> np.ndarray:
    import kmeans1d

    return np.array(kmeans1d.cluster(values, k).centroids)


def _ckwrap(values: np.ndarray, k: int) -> np.ndarray:
    import ckwrap

    return ckwrap.ckmeans(values.astype(np.float64), k).centers


def _ours(values: np.ndarray, k: int) -> np.ndarray:
    return kmeans_1d(torch.from_numpy(values), k).centroids.numpy()


def _ours_labeled(values: np.ndarray, k: int) -> np.ndarray:
    codebook = kmeans_1d(torch.from_numpy(values), k)
    codebook.assign(torch.from_numpy(values))
    return codebook.centroids.numpy()


def methods(count: int, k: int, quick: bool = False) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """What is measured in a case, ours first."""
    ours = {OURS: _ours, LABELED: _ours_labeled}
    if (count, k) == (LARGE, 256):
        return {**ours, "scikit-learn, MiniBatchKMeans": _minibatch}
    if quick and count == LARGE:
        return {**ours, SKLEARN: _sklearn}
    peers = {SKLEARN: _sklearn, "scikit-learn, linear start": _sklearn_linear, "ckwrap": _ckwrap}
    return {**ours, **peers, "kmeans1d": _kmeans1d, "faiss, 25 rounds": _faiss}


def error(values: np.ndarray, centroids: np.ndarray) -> float:
    """Mean squared distance to the nearest centroid."""
    centroids = np.sort(centroids.astype(np.float64).ravel())
    nearest = centroids[np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)]
    return float(np.square(values - nearest).mean())


def optimum(values: np.ndarray, k: int, quick: bool = False) -> float:
    """Mean squared error of the best k values."""
    import ckwrap

    if len(values) * k <= (SMALL * 256 if quick else LARGE * 16):
        return error(values, _ckwrap(values, k))
    _, places, counts = np.unique(np.round(values / CELL), return_inverse=True, return_counts=True)
    means = np.bincount(places, weights=values) / counts
    return error(values, ckwrap.ckmeans(means, k, weights=counts.astype(np.float64)).centers)


def _seconds(method: Callable[[np.ndarray, int], np.ndarray], values: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """Time of one call, the mean of as many as take a tenth of a second together."""
    calls, started = 0, time.process_time()
    while not calls or time.process_time() - started < 0.1:
        centroids = method(values, k)
        calls += 1
    return (time.process_time() - started) / calls, centroids


def measure(count: int, k: int, rounds: int, patience: float, *, quick: bool = False) -> list[dict[str, object]]:
    """The rows of one case: every round measures all methods that do not take longer than ``patience`` seconds."""
    values = weights(count)
    made = methods(count, k, quick)
    times: dict[str, list[float]] = {name: [] for name in made}
    errors = {}
    _ours_labeled(values, k)  # warms up
    for _ in range(rounds):
        for name, method in made.items():
            if not times[name] or times[name][0] < patience:
                seconds, centroids = _seconds(method, values, k)
                times[name].append(seconds)
                errors[name] = error(values, centroids)
    best, ours = optimum(values, k, quick), {name: statistics.median(times[name]) for name in (OURS, LABELED)}
    return [
        {
            "weights": count,
            "values": k,
            "method": name,
            "ms": 1000 * statistics.median(times[name]),
            "error / optimum": errors[name] / best,
            "time / ours": statistics.median(times[name]) / ours[OURS],
            "time / ours with labels": statistics.median(times[name]) / ours[LABELED],
        }
        for name in made
    ]


def goals(table: pd.DataFrame) -> list[str]:
    """What was promised, and whether it was met."""
    ours = table[table["method"] == OURS]
    worst = ours["error / optimum"].max()
    lines = [f"largest error of kmeans_1d: {worst:.6f} of the optimum ({_verdict(worst <= WORST_ERROR)} {WORST_ERROR})"]
    for (count, k), least in LEAST_SPEED.items():
        row = table[(table["weights"] == count) & (table["values"] == k) & (table["method"] == SKLEARN)]
        if len(row):
            ratio, labeled = row["time / ours"].item(), row["time / ours with labels"].item()
            lines.append(
                f"{count:,} weights, {k} values: {SKLEARN} takes {ratio:.1f} times as long ({_verdict(ratio >= least)} "
                f"{least}), and {labeled:.1f} times as long as ours with labels"
            )
    return lines


def _verdict(met: bool) -> str:
    return "goal met:" if met else "GOAL MISSED:"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=5.0, help="slower methods are measured once, in seconds")
    parser.add_argument("--case", type=int, action="append", choices=range(len(CASES)), help="only some of the cases")
    parser.add_argument("--quick", action="store_true", help="two minutes instead of ten or more")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, where fewer distinct clusters were found
        for case in given.case or range(len(CASES)):
            found = measure(*CASES[case], 1 if given.quick else given.rounds, given.patience, quick=given.quick)
            rows += found
            shown = pd.DataFrame(found).round(
                {"ms": 1, "error / optimum": 5, "time / ours": 1, "time / ours with labels": 1}
            )
            print(shown.to_string(index=False), flush=True)
    print("\n".join(goals(pd.DataFrame(rows))))


if __name__ == "__main__":
    main()
