"""What sharing weights costs: the accuracy of a small VGG with 2 to 256 values for each layer, before and after tuning.

A network is trained for each seed. Then its weights are shared with 1 to 8 bits, with each start of k-means, with one
table for the network and with widths that differ from layer to layer, and tested as it is; and once more after the
statistics of its batch normalization were estimated again from 2,000 training images, which trains nothing. With few
values it is also tested after training its values (and biases and normalization) for some more epochs. Each finished
test is added to a JSON file, and what is in it is not done again. On one core it takes about 20 minutes::

    python benchmarks/weight_sharing_study.py
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from factorkit.clustering import choose_bits, share_weights
from factorkit.data import load
from factorkit.models import small_vgg
from factorkit.records import StudyRecords
from factorkit.training import evaluate, fit, seed_everything

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "chapters" / "data" / "weight_sharing_study.json"
CHECKPOINTS = ROOT / "_build" / "weight_sharing_study"
EPOCHS, TUNING_EPOCHS = 10, 4
STATISTICS_IMAGES = 2000
# Method: scope, start and whether the widths differ.
METHODS = {
    "optimal": ("layer", "optimal", False),
    "linear": ("layer", "linear", False),
    "density": ("layer", "density", False),
    "one table": ("network", "optimal", False),
    "mixed bits": ("layer", "optimal", True),
}
FEW = (2, 3, 4, 5)  # bits of the other methods
TUNED = (("optimal", 2), ("linear", 2), ("optimal", 1))


def plan() -> list[tuple[str, int, bool]]:
    """Method, bits and whether the values are trained, of all tests of one seed."""
    alone = [("optimal", bits, False) for bits in range(1, 9)]
    others = [(method, bits, False) for method in METHODS if method != "optimal" for bits in FEW]
    return alone + [(*TUNED[0], True)] + others + [(*each, True) for each in TUNED[1:]]


def trained(seed: int, data: Any, epochs: int) -> nn.Module:
    """The network of one seed, from its checkpoint where there is one."""
    seed_everything(seed)
    model = small_vgg()
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    checkpoint = CHECKPOINTS / f"{data.name}_{epochs}_{seed}.pt"
    options = {"batch_size": 64, "lr": 0.02, "channels_last": True, "progress": sys.stdout.isatty()}
    fit(model, data, epochs=epochs, seed=seed, checkpoint=checkpoint, **options)
    return model


def test(model: nn.Module, method: str, bits: int, tune: bool, data: Any, seed: int, epochs: int) -> dict[str, Any]:
    """Share the weights of a copy, train its values if wanted, and return what it costs."""
    started = time.perf_counter()
    scope, init, mixed = METHODS[method]
    model = copy.deepcopy(model)
    widths = choose_bits(model, report_of(model, bits).mean_bits) if mixed else bits
    report = share_weights(model, widths, scope=scope, init=init)
    if tune:
        options = {"batch_size": 64, "lr": 0.03, "weight_decay": 0.0, "progress": sys.stdout.isatty()}
        fit(model, data, epochs=epochs, seed=seed, channels_last=True, **options)
    accuracy = evaluate(model, data, channels_last=True).accuracy
    return {
        "method": method,
        "scope": scope,
        "init": init,
        "bits": bits,
        "layer_bits": [layer.bits for layer in report.layers],
        "fine_tuned": tune,
        "accuracy": accuracy,
        "accuracy_new_statistics": None if tune else with_new_statistics(model, data),
        "relative_error": report.relative_error,
        "stored_bits": report.stored_bits,
        "compression_factor": report.compression_factor,
        "seconds": round(time.perf_counter() - started, 1),
    }


def with_new_statistics(model: nn.Module, data: Any) -> float:
    """Accuracy after the statistics of the normalization were estimated again, in place."""
    chosen = torch.randperm(len(data.train_images), generator=torch.Generator().manual_seed(0))[:STATISTICS_IMAGES]
    batches = data.train_images[chosen].split(200)
    update_bn((data.normalize(batch).contiguous(memory_format=torch.channels_last) for batch in batches), model)
    return evaluate(model, data, channels_last=True).accuracy


def report_of(model: nn.Module, bits: int) -> Any:
    """The report of sharing with one width: mixed widths get the same storage."""
    return share_weights(copy.deepcopy(model), bits)


def run(path: Path, data: Any, seeds: int, epochs: int, tuning_epochs: int) -> Iterator[dict[str, Any]]:
    """Every record of the study, of the file where it has them, and measured where it does not."""
    records = StudyRecords(path)
    networks: dict[int, tuple[nn.Module, float]] = {}

    def measure(method: str, bits: int, tune: bool, seed: int) -> dict[str, Any]:
        if seed not in networks:
            model = trained(seed, data, epochs)
            networks[seed] = model, evaluate(model, data, channels_last=True).accuracy
        model, accuracy = networks[seed]
        found = test(model, method, bits, tune, data, seed, tuning_epochs)
        return {"float_accuracy": accuracy, "weights": weights(model), **found}

    for method, bits, tune in plan():
        for seed in range(seeds):
            key = {
                "data": data.name,
                "seed": seed,
                "epochs": epochs,
                "method": method,
                "bits": bits,
                "fine_tuned": tune,
            }
            if tune:
                key["tuning_epochs"] = tuning_epochs
            yield records.get(key, partial(measure, method, bits, tune, seed))


def weights(model: nn.Module) -> int:
    """Number of weights that can be shared."""
    return sum(p.numel() for p in model.parameters() if p.dim() > 1)


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each method and width: what the sharing costs, in points of accuracy, over the seeds."""
    frame = pd.DataFrame(records)
    frame["lost"] = 100 * (frame["float_accuracy"] - frame["accuracy"])
    rows = frame.groupby(["fine_tuned", "method", "bits"], sort=False)
    lost = rows["lost"].agg(["mean", "std", "min", "max"]).round(2)
    return pd.DataFrame(
        {
            "times less storage": rows["compression_factor"].mean().round(1),
            "relative error": rows["relative_error"].mean().round(4),
            "accuracy (%)": (100 * rows["accuracy"].mean()).round(2),
            "new statistics (%)": (100 * rows["accuracy_new_statistics"].mean()).round(2),
            "points lost": lost["mean"],
            "std": lost["std"],
            "least": lost["min"],
            "most": lost["max"],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--tuning-epochs", type=int, default=TUNING_EPOCHS)
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file of the records")
    given = parser.parse_args()
    records = []
    for record in run(given.output, load("patterns"), given.seeds, given.epochs, given.tuning_epochs):
        records.append(record)
        tuned = ", tuned" if record["fine_tuned"] else ""
        print(
            f"seed {record['seed']}, {record['method']}, {record['bits']} bits{tuned}: "
            f"{100 * record['accuracy']:.2f} % of {100 * record['float_accuracy']:.2f} %, {record['seconds']:.0f} s",
            flush=True,
        )
    print(table(records).to_string())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
