"""How fast decomposed layers of VGG-16 are, beside the dense layer and beside what their operations promise.

Layer 2 (64 to 64 maps of 32 x 32 pixels) and layer 9 (512 to 512 maps of 28 x 28), single images and batches. Every
network, the dense one too, runs in its fastest form (``optimize_for_inference``), on maps that come from the layer
before in the better of the two memory formats. All forms for one format are measured in turn. Speed does not depend on
the values of the weights, so they are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from factorkit.decompositions.cp import cp
from factorkit.decompositions.results import Decomposition
from factorkit.decompositions.separable import tai
from factorkit.decompositions.tucker import tucker2
from factorkit.inference import optimize_for_inference

# Layer: maps, height and width, images of the two batches.
LAYERS = {"layer 2": (64, 32, (1, 100)), "layer 9": (512, 28, (1, 16))}


def _cp(rank: int, merge_spatial: bool) -> Callable[[torch.Tensor], Decomposition]:
    return lambda weight: cp(weight, rank, merge_spatial=merge_spatial, iterations=2)


# Method, how to decompose, and the speed-up that the study of CP and Tucker layers reports, if it has one.
CASES: dict[str, list[tuple[str, Callable[[torch.Tensor], Decomposition], float | None]]] = {
    "layer 2": [
        ("CP, R = 20", _cp(20, False), 6.19),
        ("Tucker-2, R = 10", lambda weight: tucker2(weight, 10), 5.27),
        ("Tai, R = 16", lambda weight: tai(weight, 16), None),
    ],
    "layer 9": [
        ("CP, R = 100", _cp(100, False), 5.98),
        ("Tucker-2, R = 10", lambda weight: tucker2(weight, 10), 53.3),
        ("Tai, R = 96", lambda weight: tai(weight, 96), None),
    ],
}


def measure(layer: str, rounds: int) -> list[dict[str, object]]:
    """The rows of one layer."""
    channels, size, batches = LAYERS[layer]
    generator = torch.Generator().manual_seed(0)
    dense = nn.Conv2d(channels, channels, 3, padding=1)
    with torch.no_grad():
        dense.weight.copy_(torch.randn(dense.weight.shape, generator=generator) / 100)
    rows = []
    for method, decompose, reported in CASES[layer]:
        small = nn.Sequential(decompose(dense.weight).to_layers(dense))
        for batch in batches:
            example = torch.randn(batch, channels, size, size, generator=generator)
            formats = {"": example, " (maps too)": example.contiguous(memory_format=torch.channels_last)}
            found = {
                name: optimize_for_inference(small, maps, original=nn.Sequential(dense), rounds=rounds)
                for name, maps in formats.items()
            }
            name = min(found, key=lambda name: found[name].chosen.milliseconds)
            milliseconds = min(each.reference.milliseconds for each in found.values())
            speedup, operations = milliseconds / found[name].chosen.milliseconds, found[name].operations_ratio
            rows.append(
                {
                    "layer": layer,
                    "images": batch,
                    "method": method,
                    "form": found[name].chosen.form + name,
                    "dense ms": milliseconds,
                    "times as fast": speedup,
                    "fewer operations": operations,
                    "part reached": speedup / operations,
                    "reported": reported,
                }
            )
    return rows


def goals(table: pd.DataFrame) -> list[str]:
    """Whether one of the two batches reaches the speed-up that was reported."""
    lines = []
    for (layer, method), rows in table.dropna(subset="reported").groupby(["layer", "method"], sort=False):
        best, reported = rows["times as fast"].max(), rows["reported"].iloc[0]
        verdict = "goal met:" if best >= reported else "GOAL MISSED:"
        lines.append(f"{layer}, {method}: {best:.2f} times as fast as dense ({verdict} {reported})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layer", choices=tuple(LAYERS), action="append", help="only this one")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    table = pd.DataFrame([row for layer in given.layer or LAYERS for row in measure(layer, given.rounds)])
    print(table.to_string(index=False, float_format="{:.2f}".format, na_rep=""))
    print("\n".join(goals(table)))


if __name__ == "__main__":
    main()
