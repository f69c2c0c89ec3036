"""What fixed DCT kernels and an L1 penalty cost a small network in network, and how many weights become zero.

A small network in network (NiN), all of whose kernels are trained, is compared with its double-sparsity form, whose
kernels of more than one pixel are fixed DCT atoms: with the ReLU that the report leaves between atoms and coefficients
and without it, and with L1 penalties of several strengths. All are trained alike, by proximal gradient descent, so that
what is zero is exactly zero.

Each finished training is added to a JSON file, and what is in it is not trained again. One training on ``patterns``
takes about half a minute on one core; the same study with the networks of full size on CIFAR-10 or SVHN wants a GPU::

    python benchmarks/double_sparsity_study.py
    python benchmarks/double_sparsity_study.py --data cifar10 --device cuda
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from factorkit.data import ImageData, load
from factorkit.layers import DCTConv2d, effective_kernels
from factorkit.models import double_sparsity_nin, nin, small_double_sparsity_nin, small_nin
from factorkit.records import StudyRecords
from factorkit.shrinkage import ProximalSGD, SparsityHistory, sparsity_of
from factorkit.training import fit, seed_everything
from micronet_resources.profile import profile_model

SHAPE = (3, 32, 32)
RESULTS = Path(__file__).parent.parent / "book" / "chapters" / "data"


@dataclass(frozen=True)
class Plan:
    """How networks are trained on one data set, and which networks and penalties are compared."""

    full_size: bool
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    penalties: tuple[float, ...]


PLANS = {
    "patterns": Plan(False, epochs=4, batch_size=32, lr=0.2, weight_decay=5e-4, penalties=(3e-4, 1e-3, 3e-3)),
    "cifar10": Plan(True, epochs=100, batch_size=128, lr=0.05, weight_decay=1e-4, penalties=(1e-6, 1e-5, 1e-4)),
    "svhn": Plan(True, epochs=30, batch_size=128, lr=0.05, weight_decay=1e-4, penalties=(1e-6, 1e-5, 1e-4)),
}


@dataclass(frozen=True)
class Method:
    """One network of the comparison and the L1 penalty that it is trained with."""

    name: str
    build: Callable[[], nn.Module]
    l1: float


def methods(plan: Plan) -> list[Method]:
    """The trained network, the one with fixed atoms at every penalty, and that without a ReLU behind the atoms."""
    trained, fixed = (nin, double_sparsity_nin) if plan.full_size else (small_nin, small_double_sparsity_nin)
    return [
        Method("NiN", trained, 0.0),
        *(Method("double sparsity", fixed, l1) for l1 in (0.0, *plan.penalties)),
        Method("double sparsity, no ReLU", partial(fixed, relu_after_dct=False), 0.0),
    ]


def in_two_passes(model: nn.Sequential) -> nn.Sequential:
    """The same network with every DCT layer as two one-dimensional convolutions."""
    return nn.Sequential(*(layer.separable() if isinstance(layer, DCTConv2d) else layer for layer in model))


def train(method: Method, seed: int, data: ImageData, plan: Plan, device: str) -> dict[str, Any]:
    """Train one network and return its record."""
    started = time.process_time()
    seed_everything(seed)
    model = method.build()
    history = SparsityHistory(every=max(1, len(data.loader("train", plan.batch_size)) // 2))
    epochs = fit(
        model,
        data,
        epochs=plan.epochs,
        lr=plan.lr,
        batch_size=plan.batch_size,
        weight_decay=plan.weight_decay,
        optimizer=partial(ProximalSGD, l1=method.l1, spare_vectors=True),
        seed=seed,
        device=device,
        channels_last=True,
        schedules=[history],
        progress=sys.stdout.isatty(),
    )
    model = model.cpu().eval()
    profile, counts = profile_model(model, SHAPE), sparsity_of(model)
    record = {
        "method": method.name,
        "l1": method.l1,
        "seed": seed,
        "params": profile.params,
        "fixed": sum(layer.weight.numel() for layer in model if isinstance(layer, DCTConv2d)),
        "macs": profile.macs,
        "macs_in_two_passes": profile_model(in_two_passes(model), SHAPE).macs,
        "accuracy": float(epochs["test_accuracy"].iloc[-1]),
        "accuracies": epochs["test_accuracy"].tolist(),
        "sparsity": int(counts["zeros"].sum()) / int(counts["weights"].sum()),
        "nonzero": profile.params - int(counts["zeros"].sum()),
        "layers": {name: round(value, 4) for name, value in counts["sparsity"].items()},
        "history": {str(batches): round(value, 4) for batches, value in _total(history, counts).items()},
        "seconds": round(time.process_time() - started, 1),
    }
    if seed == 0 and isinstance(model[0], DCTConv2d):
        record["first_kernels"] = _first_kernels(model)
    return record


def _first_kernels(model: nn.Sequential) -> list[Any]:
    """What the atoms and their coefficients apply to the colors: O x I x k x k."""
    pointwise = next(layer for layer in model if isinstance(layer, nn.Conv2d))
    normalization = model[1] if isinstance(model[1], nn.BatchNorm2d) else None
    kernels = effective_kernels(model[0], pointwise, normalization=normalization)
    return kernels.double().numpy().round(3).tolist()


def _total(history: SparsityHistory, counts: pd.DataFrame) -> pd.Series:
    """The fraction of zeros among the weights of all layers, by the number of batches."""
    return history.frame @ (counts["weights"] / counts["weights"].sum())


def run(path: Path, data: ImageData, plan: Plan, seeds: int, device: str) -> Iterator[dict[str, Any]]:
    """Every record of the study, of the file where it has them, and trained where it does not."""
    records = StudyRecords(path)
    for seed in range(seeds):
        for method in methods(plan):
            key = {"data": data.name, "epochs": plan.epochs, "method": method.name, "l1": method.l1, "seed": seed}
            yield records.get(key, partial(train, method, seed, data, plan, device))


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each network and penalty: counts, sparsity, mean and spread of the accuracy over the seeds."""
    rows = pd.DataFrame(records).groupby(["method", "l1"], sort=False)
    percent = 100 * rows["accuracy"].agg(["mean", "std", "min", "max"])
    return pd.DataFrame(
        {
            "trained": rows["params"].first(),
            "fixed": rows["fixed"].first(),
            "not zero": rows["nonzero"].mean().round(0).astype(int),
            "sparsity (%)": (100 * rows["sparsity"].mean()).round(1),
            "MACs (M)": (rows["macs"].first() / 1e6).round(2),
            "in two passes": (rows["macs_in_two_passes"].first() / 1e6).round(2),
            "accuracy (%)": percent["mean"].round(2),
            "std": percent["std"].round(2),
            "lowest": percent["min"].round(2),
            "highest": percent["max"].round(2),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(PLANS), default="patterns")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of those of the plan")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="JSON file of the records")
    given = parser.parse_args()
    plan = PLANS[given.data]
    plan = replace(plan, epochs=given.epochs or plan.epochs)
    name = "double_sparsity_study.json" if given.data == "patterns" else f"double_sparsity_study_{given.data}.json"
    records = []
    for record in run(given.output or RESULTS / name, load(given.data), plan, given.seeds, given.device):
        records.append(record)
        print(
            f"{len(records)}/{len(methods(plan)) * given.seeds} {record['method']}, l1 {record['l1']:g}, seed "
            f"{record['seed']}: {100 * record['accuracy']:.2f} %, {100 * record['sparsity']:.1f} % zeros, "
            f"{record['seconds']:.0f} s",
            flush=True,
        )
    print(table(records).to_string())


if __name__ == "__main__":
    main()
