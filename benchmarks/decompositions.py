"""How fast and how good the decompositions are beside TensorLy, TensorLy-Torch and the published VBMF procedure.

Kernels of 64 x 64 x 3 x 3 and 512 x 512 x 3 x 3 with three spectra: random (none decays), low rank (a sum of an eighth
as many components as channels, and a tenth of noise), decaying (channels by a power law, smooth windows: like trained
ones). One thread, one process; times are CPU time, medians of several calls; what takes long is called once.

A peer's decomposition gives the error to reach. For CP, "to the peer's error" stops there, "to the end" goes on until
the error stands still.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorly
import torch
from scipy.optimize import minimize_scalar
from tensorly.decomposition import parafac, partial_tucker
from tensorly.decomposition import tensor_train as peer_train
from tensorly.tenalg import multi_mode_dot, svd_interface
from threadpoolctl import threadpool_limits
from tltorch import FactorizedConv

from factorkit.decompositions.cp import cp
from factorkit.decompositions.separable import tai
from factorkit.decompositions.svd import channel_svd
from factorkit.decompositions.tensor_train import tensor_train
from factorkit.decompositions.tucker import tucker2
from factorkit.decompositions.vbmf import vbmf_rank

SMALL, LARGE = 64, 512
SPECTRA = ("random", "low rank", "decaying")
RANKS = {
    ("CP", SMALL): (20, 200),
    ("CP", LARGE): (100,),
    ("Tucker-2", SMALL): (10, 50),
    ("Tucker-2", LARGE): (10, 350),
    ("SVD", SMALL): (16,),
    ("SVD", LARGE): (96,),
    ("Tai", SMALL): (16,),
    ("Tai", LARGE): (96,),
    ("tensor train", SMALL): (16,),
    ("tensor train", LARGE): (96,),
    ("VBMF", SMALL): (None,),
    ("VBMF", LARGE): (None,),
}
TASKS = tuple(dict.fromkeys(task for task, _ in RANKS))
TO_ERROR, TO_END, HOSVD, HOOI = "to the peer's error", "to the end", "HOSVD", "HOOI"
GOALS = [  # task, method, size, how many times as fast at least, largest error relative to the peer's
    ("CP", TO_ERROR, LARGE, 50, 1.0),
    ("CP", TO_ERROR, SMALL, 4, 1.0),
    ("Tucker-2", HOSVD, LARGE, 12, 1.015),
    ("Tucker-2", HOSVD, SMALL, 12, 1.015),
    ("Tucker-2", HOOI, LARGE, 5, 1.001),
    ("Tucker-2", HOOI, SMALL, 5, 1.001),
    ("VBMF", "rank", LARGE, 50, None),
]
LARGEST_NORM = 5


@dataclass(frozen=True)
class Comparison:
    """One peer and our methods for the same; each of ours is told the error of the peer."""

    peer_name: str
    peer: Callable[[], object]
    ours: dict[str, Callable[[float], object]]


def kernel(spectrum: str, channels: int) -> torch.Tensor:
    """A kernel, channels x channels x 3 x 3."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight = normal(channels, channels, 3, 3)
    if spectrum == "low rank":
        sides = [normal(size, channels // 8) for size in (channels, channels, 3, 3)]
        signal = torch.einsum("or,ir,yr,xr->oiyx", *sides)
        weight = signal / signal.norm() + 0.1 * weight / weight.norm()
    elif spectrum == "decaying":
        line = torch.linspace(-1, 1, 3, dtype=torch.float64)
        waves = torch.stack([torch.exp(-(line**2)) * wave for wave in (line**0, line, 1 - 2 * line**2)])
        windows = torch.einsum("ay,bx->abyx", waves, waves).reshape(9, 9) / torch.arange(1.0, 10)[:, None]
        decay = torch.arange(1.0, channels + 1, dtype=torch.float64) ** -0.6
        outputs, inputs = (torch.linalg.qr(normal(channels, channels)).Q * decay for _ in range(2))
        mixed = torch.einsum("or,rsw->osw", outputs, (weight.flatten(2) @ windows))
        weight = torch.einsum("is,osw->oiw", inputs, mixed).view(weight.shape)
    return (0.05 * weight / weight.std()).float().contiguous()


def comparisons(task: str, weight: torch.Tensor, rank: int | None, iterations: int) -> Iterator[Comparison]:
    """What is measured for a task."""
    if task == "CP":
        ours = {TO_ERROR: lambda error: cp(weight, rank, target=error), TO_END: lambda error: cp(weight, rank)}

        def peer() -> torch.Tensor:
            return tensorly.cp_to_tensor(parafac(weight, rank, iterations, init="svd", random_state=0))

        yield Comparison(f"TensorLy, {iterations} iterations", peer, ours)
        if len(weight) == SMALL:
            yield Comparison("TensorLy-Torch", lambda: _tensorly_torch(weight, rank), ours)
    elif task == "Tucker-2":
        methods = {HOSVD: "hosvd", HOOI: "hooi"}
        ours = {
            name: lambda error, method=method: tucker2(weight, rank, method=method) for name, method in methods.items()
        }
        yield Comparison("TensorLy", lambda: _partial_tucker(weight, rank), ours)
    elif task == "SVD":
        matrix = weight.flatten(1)
        yield Comparison(
            "TensorLy", lambda: _svd(matrix, rank).view(weight.shape), {"SVD": lambda _: channel_svd(weight, rank)}
        )
    elif task == "Tai":
        matrix = weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)
        sizes = weight.permute(1, 2, 0, 3).shape

        def peer() -> torch.Tensor:
            return _svd(matrix, rank).view(sizes).permute(2, 0, 1, 3)

        yield Comparison("TensorLy", peer, {"Tai": lambda _: tai(weight, rank)})
    elif task == "tensor train":
        chain = weight.permute(1, 2, 3, 0)

        def peer() -> torch.Tensor:
            return tensorly.tt_to_tensor(peer_train(chain, [1, rank, rank, rank, 1])).permute(3, 0, 1, 2)

        yield Comparison("TensorLy", peer, {"tensor train": lambda _: tensor_train(weight, rank)})
    else:
        for matrix in (weight.flatten(1), weight.transpose(0, 1).flatten(1).contiguous()):
            numbers = matrix.numpy()
            yield Comparison(
                "published procedure",
                lambda y=numbers: published_vbmf(y),
                {"rank": lambda _, y=matrix: vbmf_rank(y).rank},
            )


def _tensorly_torch(weight: torch.Tensor, rank: int) -> torch.Tensor:
    dense = torch.nn.Conv2d(weight.shape[1], len(weight), weight.shape[2:], bias=False)
    dense.weight.data.copy_(weight)
    return FactorizedConv.from_conv(dense, rank=rank, factorization="cp").weight.to_tensor().detach()


def _partial_tucker(weight: torch.Tensor, rank: int) -> torch.Tensor:
    (core, factors), _ = partial_tucker(weight, rank=[rank, rank], modes=[0, 1], init="svd", tol=1e-4)
    return multi_mode_dot(core, factors, modes=[0, 1])


def _svd(matrix: torch.Tensor, rank: int) -> torch.Tensor:
    left, values, right = svd_interface(matrix, n_eigenvecs=rank)
    return (left * values) @ right


def published_vbmf(matrix: np.ndarray) -> int:
    """The published procedure: all singular vectors, and one bounded search for the variance of the noise."""
    rows, columns = matrix.shape
    squares, alpha = np.linalg.svd(matrix)[1].astype(np.float64) ** 2, rows / columns
    tau = 2.5129 * math.sqrt(alpha)
    edge = (1 + tau) * (1 + alpha / tau)
    last = math.ceil(rows / (1 + alpha)) - 1

    def energy(variance: float) -> float:
        x = squares / (columns * variance)
        above = x[x > edge]
        found = (above - 1 - alpha + np.sqrt((above - 1 - alpha) ** 2 - 4 * alpha)) / 2
        return float(np.sum(x - np.log(x)) + np.sum(np.log(found + 1) + alpha * np.log(found / alpha + 1) - found))

    bounds = (max(squares[last] / (columns * edge), squares[last:].mean() / columns), squares.sum() / matrix.size)
    variance = minimize_scalar(energy, bounds=bounds, method="bounded").x
    return int(np.sum(squares > columns * variance * edge))


def _timed(call: Callable[[], object], rounds: int, patience: float) -> tuple[float, object]:
    """Median CPU time of a call over rounds of a tenth of a second; one call if that takes ``patience`` seconds."""
    times = []
    while len(times) < rounds and (not times or times[0] < patience):
        calls, started = 0, time.process_time()
        while not calls or time.process_time() - started < 0.1:
            result = call()
            calls += 1
        times.append((time.process_time() - started) / calls)
    return statistics.median(times), result


def _error(weight: torch.Tensor, result: object) -> float:
    if isinstance(result, torch.Tensor):
        return float((weight - result).norm() / weight.norm())
    return getattr(result, "relative_error", math.nan)


def measure(task: str, spectrum: str, size: int, given: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of one task and kernel."""
    weight, rows = kernel(spectrum, size), []
    for rank in RANKS[task, size]:
        for compared in comparisons(task, weight, rank, given.iterations):
            common = {"task": task, "size": size, "spectrum": spectrum, "rank": rank, "peer": compared.peer_name}
            peer_time, result = _timed(compared.peer, given.rounds, given.patience)
            peer = {"method": compared.peer_name, "ms": 1000 * peer_time, "error": _error(weight, result)}
            rows.append({**common, **peer, "found rank": result if task == "VBMF" else None})
            for name, method in compared.ours.items():
                seconds, found = _timed(lambda run=method, to=peer["error"]: run(to), given.rounds, given.patience)
                ours = {"method": name, "ms": 1000 * seconds, "error": _error(weight, found)}
                ours |= {"times as fast": peer_time / seconds, "of its error": ours["error"] / peer["error"]}
                ours |= {"norm": getattr(found, "largest_norm", None), "found rank": found if task == "VBMF" else None}
                rows.append({**common, **ours})
    return rows


def goals(table: pd.DataFrame) -> Iterator[str]:
    """What was promised, and whether it was met in the worst case."""
    for task, method, size, least, most in GOALS:
        rows = table[(table["task"] == task) & (table["method"] == method) & (table["size"] == size)]
        for peer, against in rows.groupby("peer", sort=False):
            slowest, highest = against["times as fast"].min(), against["of its error"].max()
            met = slowest >= least and (most is None or highest <= most + 1e-6)
            error = "" if task == "VBMF" else f", with {highest:.5f} of its error at most"
            wanted = f"goal {least}" + ("" if most is None else f" and {most}")
            what = f"{task}, {method}, {size} channels: {slowest:.1f} times as fast as {peer}"
            yield f"{_verdict(met)} {what}{error} ({wanted})"
    if "norm" in table and table["norm"].notna().any():
        norm = table["norm"].max()
        verdict = _verdict(norm < LARGEST_NORM)
        yield f"{verdict} largest component: {norm:.2f} times the weight's norm (goal below {LARGEST_NORM})"


def _verdict(met: bool) -> str:
    return "met:   " if met else "MISSED:"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=TASKS, help="only some of the tasks")
    parser.add_argument("--size", action="append", type=int, choices=(SMALL, LARGE), help="only one of the sizes")
    parser.add_argument("--spectrum", action="append", choices=SPECTRA, help="only some of the spectra")
    parser.add_argument("--iterations", type=int, default=100, help="of TensorLy's CP: 100 take minutes a large kernel")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=2.0, help="slower methods are called once, in seconds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tensorly.set_backend("pytorch")
    cp(kernel("random", SMALL), 4, iterations=2)  # warms up
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():  # also the threads of numpy's library
        warnings.simplefilter("ignore")  # TensorLy's, where a mode is smaller than the rank
        for size in given.size or (SMALL, LARGE):
            for task in given.task or TASKS:
                for spectrum in given.spectrum or SPECTRA:
                    made = measure(task, spectrum, size, given)
                    rows += made
                    print(
                        pd.DataFrame(made).drop(columns="peer").round(4).to_string(index=False, na_rep=""), flush=True
                    )
    print("\n".join(goals(pd.DataFrame(rows))))


if __name__ == "__main__":
    main()
