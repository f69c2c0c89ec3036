"""Dictionary learning beside scikit-learn's, at equal sparsity: ``python benchmarks/dictionary_learning.py``.

Everybody learns a dictionary from the same signals and codes them with the same number of atoms each, one after the
other in one process; the times are those of the processor, in one thread. The signals are scaled to mean square 1,
which scikit-learn's penalty refers to. Each setting of scikit-learn is held against ``learn_dictionary`` with as many
updates as make its error no higher, and with the 15 of its default. The program ends with status 1 if it is not ten
times as fast as every setting, or needs more than its default to be as good.

The kernels are random: 3 x 3 weights whose DCT coefficients fall off with frequency, as those of trained networks do.
The patches are cut, at random places, from the two photographs that come with scikit-learn.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from factorkit.dictionary import dct_dictionary, image_patches, learn_dictionary, omp, photograph

GOAL = 10
# Name, atoms, nonzeros of each signal.
CASES = [("kernels", 32, 3), ("patches", 128, 5)]
UPDATES = (1, 2, 4, 8, 15)


def kernels(generator: torch.Generator, number: int = 40_000) -> torch.Tensor:
    """Random 3 x 3 kernels, smooth ones more likely, number x 9."""
    frequency = torch.arange(3)
    spread = 1 / (1 + frequency[:, None] + frequency).flatten()
    return torch.randn(number, 9, generator=generator) * spread @ dct_dictionary(3, 3)


def patches(generator: torch.Generator, number: int = 9_800) -> torch.Tensor:
    """8 x 8 patches without their means, half of them from each photograph, number x 64."""
    parts = []
    for name in ("china", "flower"):
        found = image_patches(photograph(name, 427), size=8)
        parts.append(found[torch.randperm(len(found), generator=generator)[: number // 2]])
    cut = torch.cat(parts)
    return cut - cut.mean(dim=1, keepdim=True)


def relative_error(signals: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor) -> float:
    return (torch.linalg.norm(signals - codes @ dictionary) / torch.linalg.norm(signals)).item()


def scikit_learn(
    signals: torch.Tensor, atoms: int, nonzeros: int, solver: str, penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    learner = MiniBatchDictionaryLearning(
        atoms,
        alpha=penalty,
        max_iter=20,
        fit_algorithm=solver,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=nonzeros,
        random_state=0,
    )
    codes = learner.fit_transform(signals.numpy())
    return torch.from_numpy(codes), torch.from_numpy(learner.components_)


def seconds(run: Callable[[], object]) -> tuple[float, object]:
    started = time.process_time()
    result = run()
    return time.process_time() - started, result


def own_runs(
    signals: torch.Tensor, atoms: int, nonzeros: int, method: str, rounds: int
) -> dict[int, tuple[float, float]]:
    """Median seconds and relative error for each number of updates."""
    runs = {}
    for updates in UPDATES:
        learn = partial(learn_dictionary, signals, atoms, nonzeros, method=method, iterations=updates)
        timed = [seconds(learn) for _ in range(rounds)]
        runs[updates] = statistics.median(spent for spent, _ in timed), timed[0][1].relative_error
    return runs


def measure(signals: torch.Tensor, atoms: int, nonzeros: int, settings: list, rounds: int) -> pd.DataFrame:
    """A row for each setting of scikit-learn, with the runs of ours that are as good beside it."""
    own = {method: own_runs(signals, atoms, nonzeros, method, rounds) for method in ("mod", "ksvd")}
    for method, runs in own.items():
        shown = "; ".join(f"{updates}: {spent:.2f} s, {error:.4f}" for updates, (spent, error) in runs.items())
        print(f"learn_dictionary, {method}, updates: time, relative error: {shown}", flush=True)
    rows = []
    for solver, penalty in settings:
        spent, (codes, atoms_found) = seconds(partial(scikit_learn, signals, atoms, nonzeros, solver, penalty))
        error = relative_error(signals, codes, atoms_found)
        assert codes.count_nonzero(dim=1).max() <= nonzeros
        row = {"scikit-learn": f"{solver}, alpha={penalty:g}", "seconds": spent, "relative error": error}
        for method, runs in own.items():
            good = [updates for updates in UPDATES if runs[updates][1] <= error]
            row[f"{method}: updates"] = good[0] if good else None
            row[f"{method}: times as fast"] = spent / runs[good[0]][0] if good else float("nan")
            row[f"{method}: with 15"] = spent / runs[UPDATES[-1]][0]
        rows.append(row)
        print(f"{row['scikit-learn']}: {spent:.2f} s", flush=True)
    encode = partial(sparse_encode, algorithm="omp", n_nonzero_coefs=nonzeros)
    theirs, _ = seconds(partial(encode, signals.numpy(), atoms_found.numpy()))
    pursuit = statistics.median(seconds(partial(omp, signals, atoms_found, nonzeros))[0] for _ in range(rounds))
    print(f"coding alone: sparse_encode {theirs:.2f} s, omp {pursuit:.3f} s, {theirs / pursuit:.0f} times as fast")
    return pd.DataFrame(rows).set_index("scikit-learn")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of ours, of which the median counts")
    parser.add_argument("--solvers", nargs="+", default=["lars", "cd"], help="of scikit-learn; it runs once with each")
    parser.add_argument("--penalties", nargs="+", type=float, default=[0.1, 1], help="of scikit-learn, likewise")
    parser.add_argument("--cases", nargs="+", default=[name for name, *_ in CASES])
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of coordinate descent, thousands of them
    settings = list(itertools.product(given.solvers, given.penalties))
    met = True
    with threadpool_limits(1):
        for name, atoms, nonzeros in CASES:
            if name not in given.cases:
                continue
            signals = {"kernels": kernels, "patches": patches}[name](torch.Generator().manual_seed(0))
            signals /= signals.square().mean().sqrt()
            print(f"\n{len(signals)} {name} of {signals.shape[1]} numbers, {atoms} atoms, {nonzeros} for each signal")
            table = measure(signals, atoms, nonzeros, settings, given.rounds)
            print(table.round(4).to_string(), flush=True)
            met &= bool((table["mod: times as fast"] >= GOAL).all())
    print(f"\ngoals: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
