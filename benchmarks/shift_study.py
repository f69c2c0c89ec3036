"""Which small network is best at one memory: shift attention beside other roads, as in figure 7 of its paper.

Eight kinds of networks are made as wide as the memory of a small residual network allows, trained alike and compared:
the residual network itself; the same with shift attention (SAL), with two survivors per slice (SAL2), with learned
shifts that all outputs share, with shifts that are dealt out and never learned, and with binary weights
(BinaryConnect); MobileNet v2 and SqueezeNet. Memory is measured on the trained tensors: weights at the width that they
need, indices, batch normalization, everything.

Each finished training is added to a JSON file, and what is in it is not trained again. One training on ``patterns``
takes about a minute on one core; the same study on CIFAR-10 wants a GPU::

    python benchmarks/shift_study.py
    python benchmarks/shift_study.py --data cifar10 --device cuda
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from factorkit.data import load
from factorkit.layers.binary import BinaryConv2d
from factorkit.layers.shift import ShiftConv2d
from factorkit.layers.shift_attention import ShiftAttentionConv2d, shift_layers
from factorkit.models import resnet_cifar, small_mobilenet_v2, small_squeezenet
from factorkit.records import StudyRecords
from factorkit.schedules import TemperatureSchedule
from factorkit.training import evaluate, fit, seed_everything
from micronet_resources.profile import ModelProfile, profile_model, score

SHAPE = (3, 32, 32)
RESULTS = Path(__file__).parent.parent / "book" / "chapters" / "data"
SHIFTS: dict[str, Callable[..., nn.Module]] = {
    "SAL": ShiftAttentionConv2d,
    "SAL2": partial(ShiftAttentionConv2d, weights_per_kernel=2),
    "SAL (shared)": partial(ShiftAttentionConv2d, shared=True),
}


@dataclass(frozen=True)
class Plan:
    """What is trained on one data set: the residual networks' depth, the baseline's width, and for how long."""

    depth: int
    width: int
    epochs: int
    batch_size: int


PLANS = {
    "patterns": Plan(depth=14, width=3, epochs=4, batch_size=32),
    "cifar10": Plan(depth=20, width=16, epochs=100, batch_size=128),
}


def builders(plan: Plan) -> dict[str, Callable[[int], nn.Module]]:
    """For each method the function that builds its network, of a whole number that says how wide it is."""
    residual = partial(resnet_cifar, plan.depth)
    shift = partial(ShiftConv2d, shared=True)
    convolutions = {"ResNet": nn.Conv2d, **SHIFTS, "shift": shift, "BinaryConnect": BinaryConv2d}
    return {
        **{name: lambda width, conv=conv: residual(width=width, conv=conv) for name, conv in convolutions.items()},
        "MobileNetV2": lambda twentieths: small_mobilenet_v2(width=twentieths / 20),
        "SqueezeNet": lambda width: small_squeezenet(width=width),
    }


def as_stored(model: nn.Module, method: str) -> nn.Module:
    """The network that is left after training."""
    return shift_layers(model) if method in SHIFTS else model


def measure(model: nn.Module) -> tuple[ModelProfile, int]:
    """Profile of a network and its memory in bits, as the rules of ``course2025`` measure it."""
    profile = profile_model(model, SHAPE)
    result = score(profile, "course2025", "cifar10")  # the task only says in which units
    storage = next(term for term in result.terms if term.name == "storage")
    return profile, round(32 * storage.value * result.task.reference_params)


def expected_bits(model: nn.Module, method: str) -> int:
    """Memory after training: biases and scales are no longer all 0 and all 1, which would hardly take any."""
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    return measure(as_stored(model, method))[1]


def match_width(build: Callable[[int], nn.Module], method: str, bits: int) -> int:
    """The width whose network is nearest to a memory, by the ratio of the two."""

    @cache
    def size(width: int) -> int:
        return expected_bits(build(width), method)

    low, high = 1, 2
    while size(high) <= bits:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= bits else (low, middle)
    return min((low, high), key=lambda width: abs(math.log(size(width) / bits)))


def train(method: str, build: Callable[[int], nn.Module], width: int, seed: int, data: Any, plan: Plan, device: str):
    """Train one network and return its record."""
    started = time.perf_counter()
    seed_everything(seed)
    model = build(width)
    fit(
        model,
        data,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        seed=seed,
        device=device,
        schedules=[TemperatureSchedule()] if method in SHIFTS else [],
        progress=sys.stdout.isatty(),
    )
    soft = evaluate(model, data, device=device).accuracy
    model = as_stored(model, method)
    accuracy = evaluate(model, data, device=device).accuracy
    profile, bits = measure(model.cpu().eval())
    return {
        "params": profile.params,
        "bits": bits,
        "macs": profile.macs,
        "accuracy": accuracy,
        "accuracy_before_hardening": soft,
        "seconds": round(time.perf_counter() - started, 1),
    }


def run(path: Path, data: Any, plan: Plan, seeds: int, device: str) -> Iterator[dict[str, Any]]:
    """Every record of the study, of the file where it has them, and trained where it does not."""
    records = StudyRecords(path)
    networks = builders(plan)
    bits = expected_bits(networks["ResNet"](plan.width), "ResNet")
    widths = {method: match_width(build, method, bits) for method, build in networks.items()}
    for seed in range(seeds):
        for method, build in networks.items():
            key = {"data": data.name, "method": method, "width": widths[method], "seed": seed, "epochs": plan.epochs}
            yield records.get(key, partial(train, method, build, widths[method], seed, data, plan, device))


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each method: memory, operations, mean and spread of the accuracy over the seeds."""
    rows = pd.DataFrame(records).groupby("method", sort=False)
    percent = 100 * rows["accuracy"].agg(["mean", "std", "min", "max"])
    return pd.DataFrame(
        {
            "width": rows["width"].first(),
            "memory (kbit)": (rows["bits"].mean() / 1000).round(1),
            "parameters": rows["params"].first(),
            "MACs (M)": (rows["macs"].first() / 1e6).round(2),
            "accuracy (%)": percent["mean"].round(2),
            "std": percent["std"].round(2),
            "lowest": percent["min"].round(2),
            "highest": percent["max"].round(2),
            "seconds": rows["seconds"].mean().round(0),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(PLANS), default="patterns")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of those of the plan")
    parser.add_argument("--width", type=int, help="of the baseline, which sets the memory of all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="JSON file of the records")
    given = parser.parse_args()
    plan = PLANS[given.data]
    plan = replace(plan, width=given.width or plan.width, epochs=given.epochs or plan.epochs)
    name = "shift_study.json" if given.data == "patterns" else f"shift_study_{given.data}.json"
    records = []
    for record in run(given.output or RESULTS / name, load(given.data), plan, given.seeds, given.device):
        records.append(record)
        print(
            f"{len(records)}/{len(builders(plan)) * given.seeds} {record['method']}, seed {record['seed']}: "
            f"{100 * record['accuracy']:.2f} %, {record['bits']:,} bits, {record['seconds']:.0f} s",
            flush=True,
        )
    print(table(records).to_string())


if __name__ == "__main__":
    main()
