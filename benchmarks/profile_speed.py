"""How fast and how right the profiler is beside other counters of multiply-accumulates.

All counters look at the same networks in one process, in turn, for several rounds. A turn is one call to warm up and
then calls for a tenth of a second, or one that takes longer. The table shows medians of the time of a call over the
rounds, how many times longer each takes than ``profile_model``, and what each counts beside the true number:
convolutions, linear layers and attention, biases not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from factorkit.torchvision_import import import_torchvision
from micronet_resources.profile import profile_model

# Image size and true MACs.
NETWORKS = {
    "resnet18": (224, 1_814_073_344),
    "vgg16": (224, 15_470_264_320),
    "mobilenet_v2": (224, 300_774_272),
    "inception_v3": (299, 5_713_216_096),
    "vit_b_16": (224, 17_563_828_224),
}
OURS = "profile_model"
TURN = 0.1  # seconds that a counter's turn lasts at least: as many calls as fit


def by_profile_model(model: nn.Module, size: int) -> float:
    """The whole public call, with its records of layers and operations."""
    return profile_model(model, (3, size, size)).macs


def by_thop(model: nn.Module, size: int) -> float:
    """ultralytics-thop."""
    from thop import profile

    return profile(model, inputs=(torch.zeros(1, 3, size, size),), verbose=False)[0]


def by_fvcore(model: nn.Module, size: int) -> float:
    """Which calls MACs FLOPs."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, torch.zeros(1, 3, size, size))
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def by_ptflops(model: nn.Module, size: int) -> float:
    """With its default backend."""
    from ptflops import get_model_complexity_info

    return get_model_complexity_info(
        model, (3, size, size), as_strings=False, print_per_layer_stat=False, verbose=False
    )[0]


def by_torchinfo(model: nn.Module, size: int) -> float:
    """Without printing its table."""
    from torchinfo import summary

    return summary(model, (1, 3, size, size), verbose=0, device="cpu").total_mult_adds


def by_flop_counter(model: nn.Module, size: int) -> float:
    """Of torch itself, which counts two FLOPs for a MAC."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() / 2


COUNTERS: dict[str, Callable[[nn.Module, int], float]] = {
    OURS: by_profile_model,
    "thop": by_thop,
    "fvcore": by_fvcore,
    "ptflops": by_ptflops,
    "torchinfo": by_torchinfo,
    "FlopCounterMode": by_flop_counter,
}


def measure(networks: list[str], rounds: int) -> list[dict[str, object]]:
    """Time every counter on every network; one record for each pair."""
    models = import_torchvision().models
    records = []
    for name in networks:
        size, true = NETWORKS[name]
        options = {"init_weights": False} if name == "inception_v3" else {}
        model = models.get_model(name, weights=None, **options).eval()
        times: dict[str, list[float]] = {counter: [] for counter in COUNTERS}
        counted = {}
        for _ in range(rounds):
            for counter, count in COUNTERS.items():
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    counted[counter] = count(model, size)  # warms up after the others' turn
                    gc.collect()  # nobody pays for what another has left behind
                    calls, start = 0, time.perf_counter()
                    while calls == 0 or time.perf_counter() - start < TURN:
                        count(model, size)
                        calls += 1
                    times[counter].append((time.perf_counter() - start) / calls)
        ours = statistics.median(times[OURS])
        for counter in COUNTERS:
            median = statistics.median(times[counter])
            record = {"network": name, "counter": counter, "milliseconds": 1000 * median, "ratio": median / ours}
            records.append({**record, "macs": int(counted[counter]), "true_macs": true})
    return records


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"some of: {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each counter (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    unknown = [name for name in options.networks if name not in NETWORKS]
    if unknown or options.rounds < 1:
        parser.error(f"unknown network {unknown[0]}" if unknown else "--rounds must be at least 1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    records = measure(options.networks or list(NETWORKS), options.rounds)
    ratios = [record["ratio"] for record in records if record["counter"] != OURS]
    mean, least = statistics.geometric_mean(ratios), min(ratios)
    if options.json:
        print(json.dumps({"records": records, "geometric_mean": mean, "least_ratio": least}, indent=2))
        return
    print(f"{'network':14}{'counter':17}{'ms':>9}{'times':>8}{'million MACs':>15}{'error':>9}")
    for record in records:
        error = record["macs"] / record["true_macs"] - 1
        shown = "exact" if record["macs"] == record["true_macs"] else f"{100 * error:+.2f} %"
        print(
            f"{record['network']:14}{record['counter']:17}{record['milliseconds']:9.2f}{record['ratio']:8.1f}"
            f"{record['macs'] / 1e6:15.3f}{shown:>9}"
        )
    print(f"{OURS} is {mean:.0f} times faster as a geometric mean, {least:.1f} times in the worst case.")


if __name__ == "__main__":
    main()
