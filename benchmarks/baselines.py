"""What the kit's own networks reach in the challenge on ``patterns``: accuracy against score.

The reference network comes with the kit. Narrower networks and MobileNets learn from scratch, and the reference is
decomposed by Tucker-2 and learns on with itself as a teacher. Each is handed in as an entry would be: exported,
measured from its file and asked the public test images, as it is and with weights and maps on grids of 8 and of 6
bits, without training on. Two seeds; each finished entry is added to a JSON file, and what is in it is not done again.
On one core it takes about eight minutes::

    python benchmarks/baselines.py
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import pandas as pd
import torch
from torch import nn

from factorkit.compress import compress
from factorkit.data import load
from factorkit.distillation import Distillation
from factorkit.exchange import exchange_layers, weight_layers
from factorkit.models import small_convnet, small_mobilenet_v1
from factorkit.quantization import ActivationQuantizer, calibrate, quantize_weights
from factorkit.records import StudyRecords
from factorkit.training import fit, seed_everything
from micronet_resources import challenge, entry
from micronet_resources.references import reference_path

RESULTS = Path(__file__).parent.parent / "book" / "chapters" / "data" / "baselines.json"
CLASSIFIER = "22"  # 640 of 9.9 million multiply-accumulates: rank 3 for ten classes would save nothing
BITS = (32, 8, 6)
EXAMPLES = 256  # training images that set the ranges of the maps


def reference() -> nn.Sequential:
    """The trained reference network of the task, read from its file."""
    network = small_convnet()
    stored = onnx.load(reference_path("patterns")).graph.initializer
    weights = {tensor.name: torch.tensor(onnx.numpy_helper.to_array(tensor)) for tensor in stored}
    network.load_state_dict(weights, strict=False)  # without the counters of batches
    return network.eval()


def tucker() -> nn.Sequential:
    """The reference network with a quarter of its multiply-accumulates, before it learns on."""
    network = reference()
    compress(network, "tucker2", "macs:0.25", skip=[CLASSIFIER])
    return network


@dataclass(frozen=True)
class Baseline:
    """A network and how it is trained.

    Parameters
    ----------
    name : str
    build : callable
        Returns the network, before training.
    epochs : int
        Zero for one that is trained already.
    lr : float
        The largest learning rate.
    taught : bool
        Whether the reference network is its teacher.
    seeds : int
    """

    name: str
    build: Callable[[], nn.Sequential]
    epochs: int = 7
    lr: float = 0.03
    taught: bool = False
    seeds: int = 2


BASELINES = (
    Baseline("reference", reference, epochs=0, seeds=1),
    Baseline("half the widths", lambda: small_convnet((8, 16, 32))),
    Baseline("Tucker-2", tucker, epochs=4, lr=0.01, taught=True),
    Baseline("MobileNet", small_mobilenet_v1),
    Baseline("MobileNet, half the widths", lambda: small_mobilenet_v1(width=0.5)),
)


def trained(baseline: Baseline, data: Any, seed: int) -> nn.Sequential:
    """The network of one seed."""
    seed_everything(seed)
    network = baseline.build()
    if baseline.epochs:
        loss = Distillation(reference()) if baseline.taught else None
        progress = sys.stdout.isatty()
        settings = {"epochs": baseline.epochs, "lr": baseline.lr, "loss": loss, "progress": progress}
        fit(network, data, seed=seed, channels_last=True, **settings)
    return network.eval()


def narrowed(network: nn.Module, bits: int, data: Any) -> nn.Module:
    """A copy with weights and maps on grids of so many bits, the ranges set by training images."""
    narrow = copy.deepcopy(network)
    if bits < 32:
        quantize_weights(narrow, bits, per_channel=False)
        found = weight_layers(narrow, to="put a quantizer in front of").values()
        exchange_layers(
            narrow, {layer: nn.Sequential(ActivationQuantizer(bits, signed=True), layer) for layer in found}
        )
        calibrate(narrow, [data.normalize(data.train_images[:EXAMPLES])])
    return narrow


def measured(network: nn.Module, bits: int, data: Any) -> dict[str, Any]:
    """What the network reaches and costs as an entry."""
    with TemporaryDirectory() as folder:
        file = entry.export(narrowed(network, bits, data), Path(folder, "entry.onnx"), task="patterns")
        found = challenge.measure(file, data)
    fields = ("correct", "total", "accuracy", "params", "stored_bits", "macs", "score")
    return {field: getattr(found, field) for field in fields}


def run(path: Path, data: Any, baselines: tuple[Baseline, ...] = BASELINES) -> Iterator[dict[str, Any]]:
    """Every record, of the file where it has them, and measured where it does not."""
    records = StudyRecords(path)
    networks: dict[tuple[str, int], nn.Sequential] = {}

    def measure(baseline: Baseline, seed: int, bits: int) -> dict[str, Any]:
        started = time.perf_counter()
        if (baseline.name, seed) not in networks:
            networks[baseline.name, seed] = trained(baseline, data, seed)
        found = measured(networks[baseline.name, seed], bits, data)
        return found | {"seconds": round(time.perf_counter() - started, 1)}

    for baseline in baselines:
        for seed in range(baseline.seeds):
            for bits in BITS:
                key = {"data": data.name, "network": baseline.name, "epochs": baseline.epochs, "seed": seed}
                key |= {"bits": bits}
                yield records.get(key, lambda at=(baseline, seed, bits): measure(*at))


def table(records: list[dict[str, Any]]) -> pd.DataFrame:
    """A row for each network and width: its costs, and its accuracy over the seeds, smallest and largest."""
    rows = pd.DataFrame(records).groupby(["network", "bits"], sort=False)
    accuracy = 100 * rows["accuracy"].agg(["min", "max"])
    costs = rows[["params", "macs"]].first()
    return costs.assign(score=rows["score"].mean(), lowest=accuracy["min"], highest=accuracy["max"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file of the records")
    given = parser.parse_args()
    records = []
    for record in run(given.output, load("patterns")):
        records.append(record)
        what = f"{record['network']}, seed {record['seed']}, {record['bits']} bits"
        print(
            f"{what}: {100 * record['accuracy']:.2f} % at {record['score']:.3f}, {record['seconds']:.0f} s", flush=True
        )
    print(table(records).round(3).to_string())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
