"""How fast the factorized layers and blocks run, beside how many operations they save.

Each case is one shape of maps, each block replaces a dense 3 x 3 convolution between equally many maps. Batch
normalization is folded into the convolutions, as one would for inference. Variants:

- ``eager``: as torch runs it;
- ``channels_last``: eager, with the channels of one pixel beside each other in memory;
- ``compiled``: ``channels_last`` compiled by ``torch.compile`` with its weights frozen. Where there is no C++ compiler,
  what needs one is left out, with a note.

All blocks and variants run in one process on one thread, in turn, for several rounds. The table shows how many times
less processor time than the dense convolution each takes, as a ratio of the medians over the rounds. The 1 is the dense
convolution in the variant in which it is fastest; beside the operation ratio stands how much of it became time.

Torch is told that it has two threads and OpenMP starts one: told that it has one, torch gives 1 x 1 convolutions of
less than 16 images to another library, which is slower on some processors. With the usual settings of a machine with
several cores it does not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OMP_THREAD_LIMIT"] = "1"

import torch
from torch import nn

from factorkit.inference import fold_batch_norm, to_channels_last
from factorkit.layers import (
    DepthwiseSeparableBlock,
    DepthwiseSeparableConv2d,
    Fire,
    InvertedResidual,
    ResNeXtBlock,
    ShiftConv2d,
)
from micronet_resources.profile import profile_model

CASES = ("64@32x1", "64@32x100", "512@28x1", "512@28x16")
TURN = 0.05  # seconds that a turn lasts at least: as many calls as fit
DENSE = "dense convolution"
# Each for C input and C output maps.
BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    DENSE: lambda c: nn.Conv2d(c, c, 3, padding=1),
    "depthwise separable layer": lambda c: DepthwiseSeparableConv2d(c, c, 3, padding=1),
    "MobileNet block": lambda c: DepthwiseSeparableBlock(c, c),
    "inverted residual, t=6": lambda c: InvertedResidual(c, c),
    "Fire": lambda c: Fire(c, c // 8, c // 2, c // 2),
    "grouped convolution, g=8": lambda c: nn.Conv2d(c, c, 3, padding=1, groups=8),
    "ResNeXt block, g=8": lambda c: ResNeXtBlock(c, c, groups=8, width_per_group=c // 16),
    "the same, split": lambda c: ResNeXtBlock(c, c, groups=8, width_per_group=c // 16).split(),
    "shift layer": lambda c: ShiftConv2d(c, c, 3, padding=1, shared=True),
}
VARIANTS = ("eager", "channels_last", "compiled")


def shape_of(case: str) -> tuple[int, int, int]:
    """Channels, size in pixels and batch of a case such as ``64@32x100``."""
    found = re.fullmatch(r"(\d+)@(\d+)x(\d+)", case)
    if not found or not all(int(number) for number in found.groups()) or int(found[1]) % 16:
        raise ValueError(f"{case!r} is no case: write CHANNELS@SIZExBATCH, channels a multiple of 16: 64@32x100.")
    return int(found[1]), int(found[2]), int(found[3])


def prepare(block: nn.Module, images: torch.Tensor, variant: str) -> Callable[[], torch.Tensor]:
    """A call that runs the block on the images; checks that a variant computes what the block does."""
    block = fold_batch_norm(block)
    expected = block(images)
    if variant != "eager":
        block, images = to_channels_last(block), images.contiguous(memory_format=torch.channels_last)
    if variant == "compiled":
        torch._dynamo.reset()  # it compiles one block after the other, each afresh
        block = torch.compile(block, options={"freezing": True})
    torch.testing.assert_close(block(images), expected, atol=1e-3, rtol=1e-3)
    return lambda: block(images)


def time_of(call: Callable[[], torch.Tensor]) -> float:
    """Seconds of processor time of one call, which other programs on the machine disturb least."""
    call()  # warms up after the others' turn
    calls, start = 0, time.process_time()
    while calls == 0 or time.process_time() - start < TURN:
        call()
        calls += 1
    return (time.process_time() - start) / calls


@torch.no_grad()
def measure(case: str, blocks: list[str], variants: list[str], rounds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """One record for each block in each variant, and notes on what could not be measured."""
    channels, size, batch = shape_of(case)
    torch.manual_seed(0)
    images = torch.randn(batch, channels, size, size)
    macs, calls, notes = {}, {}, []
    for name in dict.fromkeys([DENSE, *blocks]):
        block = BLOCKS[name](channels)
        macs[name] = profile_model(block, (channels, size, size)).macs
        for variant in variants:
            try:
                calls[name, variant] = prepare(block, images, variant)
            except AssertionError:
                raise
            except Exception as error:
                if variant != "compiled":
                    raise
                reason = str(error).strip().partition("\n")[0]
                notes.append(f"{case}: {name} was not compiled ({type(error).__name__}: {reason})")
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            times[key].append(time_of(call))
    medians = {key: statistics.median(seconds) for key, seconds in times.items()}
    dense = min(seconds for (name, _), seconds in medians.items() if name == DENSE)
    records = []
    for (name, variant), seconds in medians.items():
        record = {"case": case, "block": name, "variant": variant, "milliseconds": 1000 * seconds}
        operations, speed_up = macs[DENSE] / macs[name], dense / seconds
        record |= {"operation_ratio": operations, "time_ratio": speed_up, "share": speed_up / operations}
        records.append(record)
    return records, notes


def table(records: list[dict[str, Any]], variants: list[str]) -> str:
    """A row for each block, a column for each variant."""
    case = records[0]["case"]
    channels, size, batch = shape_of(case)
    cells = {(record["block"], record["variant"]): record for record in records}
    dense = {variant: cells.get((DENSE, variant)) for variant in variants}
    shown = ", ".join(f"{variant} {record['milliseconds']:.2f} ms" for variant, record in dense.items() if record)
    lines = [f"{case}: {channels} maps of {size} x {size} pixels, batch of {batch}; {DENSE} {shown}"]
    lines.append(f"{'times less than dense':28}{'operations':>11}" + "".join(f"{name:>22}" for name in variants))
    for name in dict.fromkeys(record["block"] for record in records):
        ratio = next(record["operation_ratio"] for record in records if record["block"] == name)
        row = f"{name:28}{ratio:11.2f}"
        for variant in variants:
            cell = cells.get((name, variant))
            row += f"{cell['time_ratio']:13.2f} ({100 * cell['share']:4.0f} %)" if cell else f"{'-':>22}"
        lines.append(row)
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases_help = f"CHANNELS@SIZExBATCH (default: {' '.join(CASES)})"
    parser.add_argument("cases", nargs="*", metavar="CASE", default=list(CASES), help=cases_help)
    parser.add_argument("--blocks", nargs="+", choices=BLOCKS, default=list(BLOCKS), help="default: all")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each block and variant (default: 7)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    try:
        for case in options.cases:
            shape_of(case)
    except ValueError as error:
        parser.error(str(error))
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    torch.set_num_threads(2)  # of which OpenMP starts one
    warnings.simplefilter("ignore")
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    machine |= {"instructions": torch.backends.cpu.get_cpu_capability(), "threads": 1}
    records, notes = [], []
    for case in options.cases:
        found, missing = measure(case, options.blocks, options.variants, options.rounds)
        records, notes = records + found, notes + missing
        if not options.json:
            print(table(found, options.variants), *missing, sep="\n", end="\n\n", flush=True)
    if options.json:
        print(json.dumps({"machine": machine, "records": records, "notes": notes}, indent=2))
    else:
        print(f"1 is the {DENSE} where it is fastest; in parentheses, how much of the operation ratio became time.")


if __name__ == "__main__":
    main()
