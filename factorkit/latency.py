"""How long networks take for a batch, measured side by side, and never without what their operations promise."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from factorkit.arguments import positive_integers

__all__ = ["OptimizedModel", "Timing", "count_macs", "keep_freed_memory", "measure_latency"]

GIVEN, ORIGINAL = "given", "original"
LEAST_SECONDS = 0.002
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt, in malloc.h


@dataclass(frozen=True)
class Timing:
    """One form of a network.

    Parameters
    ----------
    network : {"given", "original"}
    form : str
        What was done to it.
    milliseconds : float
        Median time of a batch.
    macs : int
        Multiply-accumulates of the batch.
    """

    network: str
    form: str
    milliseconds: float
    macs: int


@dataclass(frozen=True, repr=False)
class OptimizedModel:
    """The fastest form of a network, and what all forms took.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode, without gradients.
    chosen : Timing
        Of this form.
    reference : Timing
        What it is compared with: the fastest form of the original, or the network as it was given.
    timings : tuple of Timing
    batch : int
        Images in the example.

    Examples
    --------
    >>> dense, small = Timing("original", "folded", 8.0, 9_000), Timing("given", "channels last", 2.0, 1_500)
    >>> OptimizedModel(nn.Identity(), small, dense, (dense, small), batch=16)
    OptimizedModel: channels last, 4 times as fast as the original (folded) with 6 times fewer operations (67 % of that)
     network          form   ms  times as fast  fewer operations
    original        folded 8.00           1.00              1.00
       given channels last 2.00           4.00              6.00
    """

    model: nn.Module
    chosen: Timing
    reference: Timing
    timings: tuple[Timing, ...]
    batch: int

    @property
    def speedup(self) -> float:
        """How many times as fast as the reference."""
        return self.reference.milliseconds / self.chosen.milliseconds

    @property
    def operations_ratio(self) -> float:
        """How many times fewer multiply-accumulates than the reference."""
        return self.reference.macs / self.chosen.macs

    def to_frame(self) -> pd.DataFrame:
        """One row for each form: latency and operations beside those of the reference."""
        frame = pd.DataFrame(
            {
                "network": [timing.network for timing in self.timings],
                "form": [timing.form for timing in self.timings],
                "ms": [timing.milliseconds for timing in self.timings],
            }
        )
        frame["times as fast"] = self.reference.milliseconds / frame["ms"]
        frame["fewer operations"] = [self.reference.macs / timing.macs for timing in self.timings]
        return frame

    @property
    def summary(self) -> str:
        """What is fastest, and how that compares with the reference, in one line."""
        reached = 100 * self.speedup / self.operations_ratio
        what = "the original" if self.reference.network == ORIGINAL else "the network"
        return (
            f"{self.chosen.form}, {self.speedup:.3g} times as fast as {what} ({self.reference.form}) with "
            f"{self.operations_ratio:.3g} times fewer operations ({reached:.0f} % of that)"
        )

    def __repr__(self) -> str:
        table = self.to_frame().to_string(index=False, float_format="{:.2f}".format)
        return f"OptimizedModel: {self.summary}\n{table}"

    def _repr_html_(self) -> str:
        return f"<p>{self.summary}</p>" + self.to_frame().to_html(index=False, float_format="{:.2f}".format)


def count_macs(model: nn.Module, example: torch.Tensor) -> int:
    """Multiply-accumulates of a batch, in convolutions and products of matrices.

    Examples
    --------
    >>> count_macs(nn.Linear(6, 5), torch.zeros(2, 6))
    60
    """
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(example)
    return counter.get_total_flops() // 2


def measure_latency(models: Mapping[Any, nn.Module], example: torch.Tensor, *, rounds: int = 15) -> dict[Any, float]:
    """Median seconds of a batch in each network, all in turn for several rounds, so that a busy machine slows all.

    Parameters
    ----------
    models : mapping of names to nn.Module
        In evaluation mode.
    example : Tensor
        The batch.
    rounds : int, optional
        After one that warms up. A network is run in each for at least two milliseconds.

    Raises
    ------
    ValueError
        If ``rounds`` is not positive.

    Examples
    --------
    >>> times = measure_latency({"small": nn.Linear(8, 8), "large": nn.Linear(8, 8000)}, torch.zeros(64, 8), rounds=3)
    >>> times["small"] < times["large"]
    True
    """
    positive_integers(rounds=rounds)
    times: dict[Any, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for name, model in models.items():
                times[name].append(_seconds(model, example))
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def _seconds(model: nn.Module, example: torch.Tensor) -> float:
    calls, started = 0, _now(example)
    while not calls or _now(example) - started < LEAST_SECONDS:
        model(example)
        calls += 1
    return (_now(example) - started) / calls


def _now(example: torch.Tensor) -> float:
    if example.is_cuda:
        torch.cuda.synchronize(example.device)
    return time.perf_counter()


def keep_freed_memory() -> bool:
    """Let this process keep the memory of tensors on the CPU that are no longer needed, for those to come.

    The C library of Linux (glibc) gives blocks of more than 32 MiB back to the system at once and asks for new ones,
    which the system fills with zeros page by page. A low-rank layer that writes 160 MB of maps spends most of its time
    on that. Then the process does not shrink before it ends.

    Returns
    -------
    bool
        Whether the C library was told; another one than glibc is left as it is.

    Examples
    --------
    At the start of a program that serves or measures large batches::

        keep_freed_memory()
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    return tell is not None and all([tell(M_MMAP_MAX, 0), tell(M_TRIM_THRESHOLD, 2**31 - 1)])
