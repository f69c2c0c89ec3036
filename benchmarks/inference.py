"""How fast decomposed layers of VGG-16 are, beside the dense layer and beside what their operations promise.

Layer 2 (64 to 64 maps of 32 x 32 pixels) and layer 9 (512 to 512 maps of 28 x 28), one image and a batch of 100. Every
network, the dense one too, runs in all its forms (``inference_forms``) on maps that come from the layer before in both
memory formats, all in turn; the fastest of each are compared. The dense layer as torch runs it by default, with the
channels in separate planes, is compared as well: mostly it is slower. Speed does not depend on the values of the
weights, so they are random. The process keeps freed memory (``keep_freed_memory``): otherwise three quarters of the
time of the smallest layers go into fresh pages for their 160 MB of maps.

A 1 x 1 convolution reads and writes the same maps with 9 times fewer operations. No chain that begins and ends with
layers of this kind can be expected to reach its part of the operations if that layer does not reach its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from factorkit.decompositions.cp import cp
from factorkit.decompositions.separable import tai
from factorkit.decompositions.tucker import tucker2
from factorkit.inference import inference_forms
from factorkit.latency import count_macs, keep_freed_memory, measure_latency

LAYERS = {"layer 2": (64, 32), "layer 9": (512, 28)}  # maps, height and width
BATCHES = (1, 100)
Build = Callable[[nn.Conv2d], nn.Module]


def _cp(rank: int) -> Build:
    return lambda dense: cp(dense.weight, rank, iterations=2).to_layers(dense)


def _tucker(rank: int) -> Build:
    return lambda dense: tucker2(dense.weight, rank).to_layers(dense)


def _tai(rank: int) -> Build:
    return lambda dense: tai(dense.weight, rank).to_layers(dense)


def _pointwise(dense: nn.Conv2d) -> nn.Module:
    return nn.Sequential(nn.Conv2d(dense.in_channels, dense.out_channels, 1))


# Method, what it makes of a layer, and the speed-up that the study of CP and Tucker layers reports, if it has one.
CASES: dict[str, list[tuple[str, Build, float | None]]] = {
    "layer 2": [
        ("CP, R = 20", _cp(20), 6.19),
        ("Tucker-2, R = 10", _tucker(10), 5.27),
        ("Tai, R = 16", _tai(16), None),
        ("one 1 x 1 layer", _pointwise, None),
    ],
    "layer 9": [
        ("CP, R = 100", _cp(100), 5.98),
        ("Tucker-2, R = 10", _tucker(10), 53.3),
        ("Tai, R = 96", _tai(96), None),
        ("one 1 x 1 layer", _pointwise, None),
    ],
}
DENSE, DEFAULT = "dense", ("as given", "planes")


def measure(layer: str, batch: int, rounds: int) -> list[dict[str, object]]:
    """The rows of one layer and batch."""
    channels, size = LAYERS[layer]
    generator = torch.Generator().manual_seed(0)
    dense = nn.Conv2d(channels, channels, 3, padding=1)
    with torch.no_grad():
        dense.weight.copy_(torch.randn(dense.weight.shape, generator=generator) / 100)
    networks = {DENSE: nn.Sequential(dense)} | {method: build(dense) for method, build, _ in CASES[layer]}
    forms = {
        (name, form): made for name, network in networks.items() for form, made in inference_forms(network).items()
    }
    maps = torch.randn(batch, channels, size, size, generator=generator)
    formats = {"planes": maps, "channels last": maps.contiguous(memory_format=torch.channels_last)}
    times: dict[str, dict[tuple[str, str], float]] = {name: {} for name in networks}
    for given, example in formats.items():
        for (name, form), seconds in measure_latency(forms, example, rounds=rounds).items():
            times[name][form, given] = seconds
    macs = {name: count_macs(network, maps[:1]) for name, network in networks.items()}
    return [{"layer": layer, "images": batch, **row} for row in rows(times, macs, layer)]


def rows(times: dict[str, dict[tuple[str, str], float]], macs: dict[str, int], layer: str) -> list[dict[str, object]]:
    """Seconds of all forms on both formats of maps, summed up for each method of a layer."""
    found = []
    fastest = {name: min(seconds, key=seconds.get) for name, seconds in times.items()}
    dense = times[DENSE][fastest[DENSE]]
    for method, _, reported in CASES[layer]:
        form, given = fastest[method]
        seconds, operations = times[method][form, given], macs[DENSE] / macs[method]
        found.append(
            {
                "method": method,
                "form": f"{form} (maps: {given})",
                "ms": 1000 * seconds,
                "dense ms": 1000 * dense,
                "times as fast": dense / seconds,
                "fewer operations": operations,
                "part reached": dense / seconds / operations,
                "than default dense": times[DENSE][DEFAULT] / seconds,
                "reported": reported,
            }
        )
    return found


def goals(table: pd.DataFrame) -> list[str]:
    """Whether one of the two batches reaches the speed-up that was reported."""
    lines = []
    for (layer, method), of_method in table.dropna(subset="reported").groupby(["layer", "method"], sort=False):
        best = of_method.loc[of_method["times as fast"].idxmax()]
        verdict = "goal met:" if best["times as fast"] >= best["reported"] else "GOAL MISSED:"
        default = of_method["than default dense"].max()
        lines.append(
            f"{layer}, {method}: {best['times as fast']:.2f} times as fast as dense at its fastest ({verdict} "
            f"{best['reported']}), {100 * best['part reached']:.0f} % of its operations; {default:.2f} times as fast "
            "as dense by default"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="for one image; a third of them for batches")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layer", choices=tuple(LAYERS), action="append", help="only this one")
    parser.add_argument("--batch", type=int, action="append", help="images; 1 and 100 by default")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    found = []
    for layer in given.layer or LAYERS:
        for batch in given.batch or BATCHES:
            found += measure(layer, batch, given.rounds if batch == 1 else max(given.rounds // 3, 1))
    table = pd.DataFrame(found)
    print(table.to_string(index=False, float_format="{:.2f}".format, na_rep=""))
    print("\n".join(goals(table)))


if __name__ == "__main__":
    main()
