"""VGG-16 with one layer decomposed, then all of them, beside tensor trains, pruning and quantization.

One VGG-16 is trained. Then its second convolution (64 to 64 maps) and its ninth (512 to 512) are replaced by CP and
Tucker-2 decompositions of many ranks, one layer and one rank at a time, as in the study of T. M. Cao (2022); and at
last the whole network is compressed, by CP, Tucker-2 and tensor trains with ranks for one budget of operations, by
pruning single weights, and by fewer bits for each weight. For each case we record the parameters, the operations and
the latency beside those of the network as it was, the error of the weights, and the accuracy as compressed, with new
statistics of the batch normalization, and after fine-tuning the whole network.

Each finished case is added to a JSON file, and what is in it is not done again. On two cores it takes about an hour
for ``patterns``; CIFAR-10 wants a GPU. A longer study is one argument, such as the number of epochs::

    python benchmarks/vgg16_study.py
    python benchmarks/vgg16_study.py --epochs 40
    python benchmarks/vgg16_study.py --data cifar10 --device cuda
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import update_bn

from factorkit.compress import compress
from factorkit.compress.sizes import survey
from factorkit.data import load
from factorkit.decompositions import cp, tucker2
from factorkit.exchange import exchange_layers, weight_layers
from factorkit.inference import optimize_for_inference
from factorkit.latency import count_macs
from factorkit.models import vgg16_cifar
from factorkit.quantization import quantize_weights
from factorkit.records import StudyRecords
from factorkit.training import evaluate, fit, seed_everything

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "chapters" / "data" / "vgg16_study.json"
CHECKPOINTS = ROOT / "_build" / "vgg16_study"
STATISTICS_IMAGES = 1000
SETTINGS = ("epochs", "batch_size", "lr", "tuning_epochs", "tuning_images")
SINGLE = {"cp": cp, "tucker2": partial(tucker2, method="hooi")}
Amount = int | float | str


@dataclass(frozen=True)
class Plan:
    """How long a network is trained and tuned, and which cases there are.

    Parameters
    ----------
    epochs, tuning_epochs, tuning_images, test_images : int
        Fine-tuning and tests see the first images of their sets; 0 stands for all.
    ranks : mapping of (str, int) to tuple of int
        For a method and the number of a convolution, counted from 1: its ranks.
    whole : tuple of (str, int or float or str)
        A method for the whole network, and its policy of ranks, share of pruned weights or bits. The first convolution
        and the linear layer are not decomposed, unless the policy ends in ``everywhere``. With ``"share:0.25"`` each
        of the others gets the CP rank that keeps a quarter of its weights. Pruning nothing is the control: what does
        fine-tuning do to a network that is whole?
    build : callable
        Makes the network.
    batch_size, lr, tuning_lr, whole_lr
        Of training and fine-tuning; a network with one layer replaced needs smaller steps than one that was compressed
        as a whole.
    images : int
        Images of a batch whose latency is measured.
    rounds : int
        Of measuring.
    """

    epochs: int
    tuning_epochs: int
    tuning_images: int
    test_images: int
    ranks: Mapping[tuple[str, int], tuple[int, ...]]
    whole: tuple[tuple[str, Amount], ...]
    build: Callable[[], nn.Module] = vgg16_cifar
    batch_size: int = 64
    lr: float = 0.002
    tuning_lr: float = 0.00005
    whole_lr: float = 0.0002
    images: int = 16
    rounds: int = 5


EVERYWHERE = "everywhere"
RANKS = {  # of the study, with those at which the layer grows
    ("cp", 2): (20, 30, 50, 70, 100, 150, 200, 300, 400, 500),
    ("tucker2", 2): (10, 20, 30, 40, 50, 60),
    ("cp", 9): (100, 200, 300, 400, 500),
    ("tucker2", 9): (10, 50, 80, 100, 150, 200, 250, 300, 350),
}
WHOLE: tuple[tuple[str, Amount], ...] = (
    *(("tucker2", "vbmf"), ("tucker2", "macs:0.25"), ("tensor_train", "macs:0.25"), ("cp", "share:0.25")),
    *(
        ("pruning", 0.0),
        ("pruning", 0.75),
        ("pruning", 0.9),
        ("quantization", 8),
        ("quantization", 4),
        ("quantization", 2),
    ),
    *(("tucker2", "macs:0.1"), ("tensor_train", "macs:0.1"), ("cp", "share:0.1")),
    *(("tucker2", f"macs:0.25 {EVERYWHERE}"), ("tensor_train", f"macs:0.25 {EVERYWHERE}")),
)
SHORT = Plan(epochs=6, tuning_epochs=1, tuning_images=2000, test_images=1000, ranks=RANKS, whole=WHOLE)
LONG = replace(SHORT, epochs=60, tuning_epochs=5, tuning_images=0, test_images=0, batch_size=128)
PLANS = {"patterns": SHORT, "cifar10": LONG}


class HalfPrecision(nn.Module):
    """A network that computes in bfloat16 and keeps its weights in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.model(images).float()


@dataclass(frozen=True)
class Case:
    """One compression: of a convolution, counted from 1, or of the whole network (``layer`` is None)."""

    layer: int | None
    method: str
    amount: Amount


def cases(plan: Plan) -> list[Case]:
    """All of a plan."""
    single = [Case(layer, method, rank) for (method, layer), ranks in plan.ranks.items() for rank in ranks]
    return single + [Case(None, method, amount) for method, amount in plan.whole]


class Study:
    """A trained network and what its cases are measured with."""

    def __init__(self, data: Any, plan: Plan, seed: int = 0, device: str = "cpu", checkpoints: Path | None = None):
        self.data = data.subset(test=plan.test_images or None)
        self.plan, self.seed, self.device, self.checkpoints = plan, seed, device, checkpoints
        self.training = {"device": device, "channels_last": True}
        self._network: tuple[nn.Module, float] | None = None

    def key(self, case: Case) -> dict[str, Any]:
        """What makes records differ."""
        plan = self.plan
        return {
            "data": self.data.name,
            "train_images": len(self.data.train_labels),
            "test_images": len(self.data.test_labels),
            "seed": self.seed,
            **{name: getattr(plan, name) for name in SETTINGS},
            "tuning_lr": self._tuning_lr(case),
            "layer": case.layer or "all",
            "method": case.method,
            "amount": case.amount,
        }

    def _tuning_lr(self, case: Case) -> float:
        return self.plan.tuning_lr if case.layer else self.plan.whole_lr

    def network(self) -> tuple[nn.Module, float]:
        """The trained network, and its accuracy; from the checkpoint where there is one."""
        if self._network is None:
            seed_everything(self.seed)
            model, checkpoint = self.plan.build(), None
            if self.checkpoints is not None:
                self.checkpoints.mkdir(parents=True, exist_ok=True)
                checkpoint = self.checkpoints / f"{self.data.name}_{self.plan.epochs}_{self.seed}.pt"
            self._fit(model, self.data, self.plan.epochs, self.plan.lr, checkpoint)
            self._network = model.eval(), self._accuracy(model)  # whoever runs it leaves its statistics
        return self._network

    def _fit(self, model: nn.Module, data: Any, epochs: int, lr: float, checkpoint: Path | None = None) -> float:
        """Train a network in place; its accuracy at the end."""
        options = {"batch_size": self.plan.batch_size, "seed": self.seed, "progress": sys.stdout.isatty()}
        half = HalfPrecision(model)
        history = fit(half, data, epochs=epochs, lr=lr, checkpoint=checkpoint, **options, **self.training)
        return float(history["test_accuracy"].iloc[-1])

    def _accuracy(self, model: nn.Module) -> float:
        return evaluate(HalfPrecision(model), self.data, **self.training).accuracy

    def measure(self, case: Case) -> dict[str, Any]:
        """Compress a copy of the network, test and tune it."""
        original, accuracy = self.network()
        started = time.perf_counter()
        model = copy.deepcopy(original)
        found = self._single(model, case) if case.layer else self._whole(model, case)
        scores = {"base_accuracy": accuracy, "accuracy": self._accuracy(model)}
        self._renew_statistics(model)
        scores["accuracy_new_statistics"] = self._accuracy(model)
        images = self.data.subset(train=self.plan.tuning_images or None)
        scores["accuracy_tuned"] = self._fit(model, images, self.plan.tuning_epochs, self._tuning_lr(case))
        for layer in model.modules():
            if prune.is_pruned(layer) and hasattr(layer, "weight_mask"):
                prune.remove(layer, "weight")
        return {
            **found,
            **scores,
            **self._speed(model, original, case),
            "seconds": round(time.perf_counter() - started),
        }

    def _single(self, model: nn.Module, case: Case) -> dict[str, Any]:
        name, layer, _ = self._place(model, case)
        decomposed = SINGLE[case.method](layer.weight, case.amount)
        exchange_layers(model, {layer: decomposed.to_layers(layer)})
        return {
            "name": name,
            "shape": list(decomposed.shape),
            "relative_error": decomposed.relative_error,
            "params_before": layer.weight.numel(),
            "params": decomposed.params,
            "bits_before": 32 * layer.weight.numel(),
            "bits": 32 * decomposed.params,
        }

    def _place(self, model: nn.Module, case: Case) -> tuple[str, nn.Module, tuple[int, ...]]:
        """Name and layer of a case, and the size of the maps that it reads."""
        name, layer = list(convolutions(model).items())[case.layer - 1]
        ((size, _),) = survey(model, {name: layer}, self.data.input_shape).calls[name]
        return name, layer, size

    def _whole(self, model: nn.Module, case: Case) -> dict[str, Any]:
        before = {name: layer.weight.detach().clone() for name, layer in weight_layers(model, to="compress").items()}
        energy = {name: float(weight.square().sum()) for name, weight in before.items()}
        total = params = sum(p.numel() for p in model.parameters())
        weights = sum(map(torch.numel, before.values()))
        layers = None
        if case.method == "pruning":
            chosen = [(layer, "weight") for layer in weight_layers(model, to="prune").values()]
            model.to(memory_format=torch.contiguous_format)  # which prune asks for
            prune.global_unstructured(chosen, prune.L1Unstructured, amount=case.amount)
            errors = {name: _change(model.get_submodule(name).weight, weight) for name, weight in before.items()}
            kept = sum(int(layer.weight_mask.sum()) for layer, _ in chosen)
            params, bits = total - weights + kept, weights + 32 * (total - weights + kept)  # and a bit for each place
        elif case.method == "quantization":
            errors = {name.removesuffix(".weight"): e for name, e in quantize_weights(model, case.amount).items()}
            for name in before:
                model.get_submodule(name).weight.requires_grad_(False)  # stays on its grid
            scales = sum(len(weight) for weight in before.values())
            bits = case.amount * weights + 32 * (total - weights + scales)
        else:
            policy, _, where = case.amount.partition(" ")
            first, *inner, last = before
            ranks = policy
            if policy.startswith("share:"):
                share = float(policy.removeprefix("share:"))
                ranks = {n: max(int(share * before[n].numel() / sum(before[n].shape)), 1) for n in inner}
            skip = [] if where == EVERYWHERE else [first, last]
            report = compress(model, case.method, ranks, skip=skip, input_shape=self.data.input_shape)
            errors = {layer.name: layer.relative_error for layer in report.layers}
            layers = {layer.name: layer.refused or layer.rank for layer in report.layers}
            layers = {name: list(rank) if isinstance(rank, tuple) else rank for name, rank in layers.items()}
            params, bits = report.params_after, 32 * report.params_after
        lost = sum(energy[name] * error**2 for name, error in errors.items())
        return {
            "relative_error": (lost / sum(energy.values())) ** 0.5,
            "params_before": total,
            "params": params,
            "bits_before": 32 * total,
            "bits": bits,
            "ranks": layers,
        }

    def _renew_statistics(self, model: nn.Module) -> None:
        """Means and variances of the normalizations, from training images; no weight changes."""
        chosen = torch.randperm(len(self.data.train_images), generator=torch.Generator().manual_seed(self.seed))
        batches = self.data.train_images[chosen[:STATISTICS_IMAGES]].split(200)
        inputs = (self.data.normalize(batch.to(self.device)) for batch in batches)
        update_bn((batch.contiguous(memory_format=torch.channels_last) for batch in inputs), HalfPrecision(model))

    def _speed(self, model: nn.Module, original: nn.Module, case: Case) -> dict[str, Any]:
        """Latency and operations of a layer, or of the network, before and after, each in its fastest form."""
        size = self.data.input_shape
        if case.layer:
            name, dense, pixels = self._place(original, case)
            size = (dense.in_channels, *pixels)
            original, model = nn.Sequential(dense), model.get_submodule(name)
        example = torch.randn(self.plan.images, *size, generator=torch.Generator().manual_seed(0)).to(self.device)
        example = example.contiguous(memory_format=torch.channels_last)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            found = optimize_for_inference(model, example, original=original, rounds=self.plan.rounds)
        finally:
            torch.set_num_threads(threads)
        return {
            "images": self.plan.images,
            "macs_before": count_macs(original, example[:1]),
            "macs": count_macs(model, example[:1]),
            "ms_before": found.reference.milliseconds,
            "ms": found.chosen.milliseconds,
            "form_before": found.reference.form,
            "form": found.chosen.form,
        }


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """By name, in the order of the network."""
    layers = weight_layers(model, to="decompose")
    return {name: layer for name, layer in layers.items() if isinstance(layer, nn.Conv2d)}


def _change(weight: torch.Tensor, before: torch.Tensor) -> float:
    return float((weight.detach() - before).norm() / before.norm())


def run(path: Path, study: Study) -> Iterator[dict[str, Any]]:
    """Every record of the study, of the file where it has them, and measured where it does not."""
    records = StudyRecords(path)
    for case in cases(study.plan):
        yield records.get(study.key(case), partial(study.measure, case))


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each case: how many times smaller and as fast, and the accuracy in percent."""
    frame = pd.DataFrame(records)
    percent = {"accuracy": "compressed (%)", "accuracy_new_statistics": "statistics (%)", "accuracy_tuned": "tuned (%)"}
    return pd.DataFrame(
        {
            "layer": frame["layer"],
            "method": frame["method"],
            "amount": frame["amount"],
            "error": frame["relative_error"].round(3),
            "times smaller": (frame["bits_before"] / frame["bits"]).round(2),
            "fewer MACs": (frame["macs_before"] / frame["macs"]).round(2),
            "times as fast": (frame["ms_before"] / frame["ms"]).round(2),
            **{title: (100 * frame[name]).round(2) for name, title in percent.items()},
        }
    )


def ranks_given(text: str) -> tuple[tuple[str, int], tuple[int, ...]]:
    """Read ``cp:2=20,100``."""
    where, _, ranks = text.partition("=")
    method, _, layer = where.partition(":")
    if method not in SINGLE:
        raise argparse.ArgumentTypeError(f"{text!r}: give METHOD:LAYER=RANK,RANK with one of {', '.join(SINGLE)}")
    return (method, int(layer)), tuple(int(rank) for rank in ranks.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(PLANS), default="patterns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, help="of training the network")
    parser.add_argument("--tuning-epochs", type=int, help="of fine-tuning")
    parser.add_argument("--tuning-images", type=int, help="for fine-tuning; 0 for all")
    parser.add_argument("--ranks", type=ranks_given, nargs="*", help="only these, such as cp:2=20,100 tucker2:9=50")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file of the records")
    given = parser.parse_args()
    changed = {name: getattr(given, name) for name in ("epochs", "tuning_epochs", "tuning_images")}
    plan = replace(PLANS[given.data], **{name: value for name, value in changed.items() if value is not None})
    if given.ranks is not None:
        plan = replace(plan, ranks=dict(given.ranks))
    study = Study(load(given.data), plan, given.seed, given.device, CHECKPOINTS)
    records = []
    for record in run(given.output, study):
        records.append(record)
        scores = [100 * record[name] for name in ("base_accuracy", "accuracy", "accuracy_tuned")]
        print(
            f"{len(records)} of {len(cases(plan))}: layer {record['layer']}, {record['method']} {record['amount']}: "
            "{:.2f} %, compressed {:.2f} %, tuned {:.2f} %".format(*scores)
            + f", {record['seconds']} s",
            flush=True,
        )
    print(table(records).to_string(index=False))


if __name__ == "__main__":
    main()
