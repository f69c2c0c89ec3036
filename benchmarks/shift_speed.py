"""How long a shift layer takes beside the dense convolution that it stands for, and beside what its operations promise.

All layers run in one process, in turn, for several rounds; the table shows the median time of the dense convolution
divided by that of each layer, so 1 is as fast and 2 twice as fast, and the same ratio of multiply-accumulates.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from factorkit.layers.shift import ShiftConv2d

# Maps in and out, height and width, images.
CASES = [(16, 32, 32), (32, 16, 32), (64, 32, 1), (64, 32, 8), (128, 16, 16), (128, 28, 4), (256, 8, 16)]


def layers(channels: int) -> dict[str, tuple[nn.Module, float]]:
    """Layers that map as many maps to as many, each with the dense layer's operations divided by its own."""
    shift = {
        "shift": (ShiftConv2d(channels, channels, padding=1, bias=False), 9.0),
        "two survivors": (ShiftConv2d(channels, channels, padding=1, bias=False, weights_per_kernel=2), 4.5),
        "shared": (ShiftConv2d(channels, channels, padding=1, bias=False, shared=True), 9.0),
    }
    for layer, _ in shift.values():
        layer.index.copy_(torch.rand(*layer.index.shape[:2], 9).topk(layer.index.shape[2]).indices.sort(-1).values)
    dense = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return {"dense": (dense, 1.0), **shift, "1 x 1": (nn.Conv2d(channels, channels, 1, bias=False), 9.0)}


def _seconds(run: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - started) / calls


def measure(channels: int, size: int, images: int, rounds: int) -> list[dict[str, object]]:
    """The rows of one case."""
    batch = torch.randn(images, channels, size, size)
    made = layers(channels)
    times: dict[str, list[float]] = {name: [] for name in made}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, (layer, _) in made.items():
                seconds = _seconds(lambda layer=layer: layer(batch), calls=3)
                if number:  # the first round warms up
                    times[name].append(seconds)
    dense = statistics.median(times["dense"])
    return [
        {
            "case": f"{images} x {channels} x {size} x {size}",
            "layer": name,
            "ms": 1000 * statistics.median(times[name]),
            "times as fast": dense / statistics.median(times[name]),
            "fewer operations": fewer,
        }
        for name, (_, fewer) in made.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = [row for case in CASES for row in measure(*case, given.rounds)]
    table = pd.DataFrame(rows).pivot(index="case", columns="layer", values="times as fast")
    names = list(layers(1))
    print(table[names].reindex(dict.fromkeys(row["case"] for row in rows)).round(2).to_string())


if __name__ == "__main__":
    main()
