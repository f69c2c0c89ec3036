"""What low rank costs a small VGG: methods and rank policies, before and after fine-tuning, and training from scratch.

A network is trained for each seed. Copies of it are compressed to a part of its multiply-accumulates (or by another
policy), tested as they are, fine-tuned and tested again; the main ones with the uncompressed network as a teacher too.
Beside them the network itself is trained for as many epochs more, and networks of the same sizes learn from scratch.
The main rows have three seeds, the others one. Each finished test is added to a JSON file, and what is in it is not
done again. On one core it takes about half an hour::

    python benchmarks/compress_study.py
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from factorkit.compress import build_low_rank, compress
from factorkit.data import load
from factorkit.distillation import Distillation
from factorkit.models import small_vgg
from factorkit.records import StudyRecords
from factorkit.training import evaluate, fit, seed_everything

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "chapters" / "data" / "compress_study.json"
CHECKPOINTS = ROOT / "_build" / "compress_study"
EPOCHS = 10
DENSE = "dense"
CLASSIFIER = "22"  # 640 of 9.9 million multiply-accumulates: rank 3 for ten classes would save nothing
IMAGES = 200  # whose responses are fitted
LR, TUNING_LR = 0.02, 0.01


@dataclass(frozen=True)
class Case:
    """One way to compress: how, how far, and how it is trained afterwards.

    Parameters
    ----------
    method, ranks : str
        As for :func:`factorkit.compress.compress`, or the network itself, which is only trained as long as the others.
    training : {"none", "tuned", "distilled", "from scratch"}
    epochs : int
        Of that training.
    seeds : int
    """

    method: str
    ranks: str
    training: str = "none"
    epochs: int = 0
    seeds: int = 3


def plan() -> list[Case]:
    """All cases, the most telling ones first."""
    quarter = "macs:0.25"
    main = [Case("tucker2", quarter), *(Case("tucker2", quarter, how, 6) for how in ("distilled", "tuned"))]
    others = [Case(method, quarter, "distilled", 6, 1) for method in ("tai", "svd", "cp", "tensor_train")]
    policies = [Case("tucker2", ranks, "distilled", 3, 1) for ranks in ("vbmf", "energy:0.9", "macs:0.5", "macs:0.125")]
    others.append(Case("response", quarter, seeds=1))
    beside = [Case(DENSE, "all", "tuned", 6), Case("tai", quarter, "from scratch", 10)]
    return main + others + beside + policies


def trained(seed: int, data: Any, epochs: int) -> nn.Module:
    """The network of one seed, from its checkpoint where there is one."""
    seed_everything(seed)
    model = small_vgg()
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    fit(model, data, epochs=epochs, checkpoint=CHECKPOINTS / f"{data.name}_{epochs}_{seed}.pt", **options(seed, LR))
    return model


def options(seed: int, lr: float) -> dict[str, Any]:
    """Of every training."""
    return {"batch_size": 64, "lr": lr, "seed": seed, "channels_last": True, "progress": sys.stdout.isatty()}


def test(dense: nn.Module, case: Case, data: Any, seed: int) -> dict[str, Any]:
    """Compress a copy, train it as the case says, and return what that costs."""
    started = time.perf_counter()
    fresh = case.training == "from scratch"
    seed_everything(seed)
    model = small_vgg() if fresh else copy.deepcopy(dense)
    sizes = {"ranks_by_layer": {}, "relative_errors": [], "params_ratio": 1.0, "macs_ratio": 1.0}
    if case.method != DENSE:
        sizes = compressed(model, case, data)
    at_once = None if fresh else evaluate(model, data, channels_last=True).accuracy
    loss = Distillation(dense) if case.training == "distilled" else None
    history = None
    if case.epochs:
        lr = LR if fresh else TUNING_LR
        history = fit(model, data, epochs=case.epochs, loss=loss, **options(seed, lr))["test_accuracy"].tolist()
    return sizes | {
        "accuracy_at_once": at_once,
        "accuracy": history[-1] if history else at_once,
        "accuracy_by_epoch": history,
        "seconds": round(time.perf_counter() - started, 1),
    }


def compressed(model: nn.Module, case: Case, data: Any) -> dict[str, Any]:
    """Compress a network as a case says, in place, and return its new sizes."""
    fresh = case.training == "from scratch"
    seen = {"inputs": data.normalize(data.train_images[:IMAGES])} if case.method == "response" else {}
    report = (build_low_rank if fresh else compress)(model, case.method, case.ranks, skip=[CLASSIFIER], **seen)
    return {
        "ranks_by_layer": report.ranks_by_layer,
        "relative_errors": [] if fresh else [round(layer.relative_error, 4) for layer in report.layers],
        "params_ratio": report.params_ratio,
        "macs_ratio": report.macs_ratio,
    }


def run(path: Path, data: Any, cases: list[Case], epochs: int) -> Iterator[dict[str, Any]]:
    """Every record of the study, of the file where it has them, and measured where it does not."""
    records = StudyRecords(path)
    networks: dict[int, tuple[nn.Module, float]] = {}

    def measure(case: Case, seed: int) -> dict[str, Any]:
        if seed not in networks:
            model = trained(seed, data, epochs)
            networks[seed] = model, evaluate(model, data, channels_last=True).accuracy
        dense, accuracy = networks[seed]
        return {"dense_accuracy": accuracy, **test(dense, case, data, seed)}

    for case in cases:
        for seed in range(case.seeds):
            key = {"data": data.name, "seed": seed, "dense_epochs": epochs, **asdict(case)}
            del key["seeds"]
            yield records.get(key, partial(measure, case, seed))


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each case: what is saved, and what it costs in points of accuracy, over the seeds."""
    frame = pd.DataFrame(records)
    frame["lost"] = 100 * (frame["dense_accuracy"] - frame["accuracy"])
    frame["lost at once"] = 100 * (frame["dense_accuracy"] - frame["accuracy_at_once"].astype(float))
    rows = frame.groupby(["method", "ranks", "training", "epochs"], sort=False)
    return pd.DataFrame(
        {
            "seeds": rows.size(),
            "times fewer MACs": rows["macs_ratio"].mean().round(2),
            "times fewer parameters": rows["params_ratio"].mean().round(2),
            "accuracy (%)": (100 * rows["accuracy"].mean()).round(2),
            "lost at once": rows["lost at once"].mean().round(2),
            "points lost": rows["lost"].mean().round(2),
            "std": rows["lost"].std().round(2),
            "most": rows["lost"].max().round(2),
        }
    )


def goals(found: pd.DataFrame) -> list[str]:
    """Whether a compression to a quarter of the operations loses less than a point."""
    rows = found[(found["times fewer MACs"] >= 4) & (found.index.get_level_values("training") != "none")]
    itself = found[found.index.get_level_values("method") == DENSE]
    if rows.empty:
        return []
    best = rows["points lost"].idxmin()
    lost, seeds = rows.loc[best, "points lost"], rows.loc[best, "seeds"]
    verdict = "goal met: less than 1" if lost < 1 else "GOAL MISSED: 1"
    what = "{}, {}, {}, {} epochs".format(*best)
    lines = [f"{what}: {lost:.2f} points lost at 4 times fewer MACs, {seeds} seeds ({verdict})"]
    for (*_, epochs), points in itself["points lost"].items():
        lines.append(f"the network itself, trained for {epochs} epochs more: {-points:.2f} points gained")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the uncompressed networks")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file of the records")
    given = parser.parse_args()
    records = []
    for record in run(given.output, load("patterns"), plan(), given.epochs):
        records.append(record)
        print(
            f"seed {record['seed']}, {record['method']}, {record['ranks']}, {record['training']}: "
            f"{100 * record['accuracy']:.2f} % of {100 * record['dense_accuracy']:.2f} %, {record['seconds']:.0f} s",
            flush=True,
        )
    found = table(records)
    print(found.to_string())
    print("\n".join(goals(found)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
