"""Ranks that make a network so many times as fast as it was, found by measuring."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from factorkit.compress.candidates import Candidate
from factorkit.compress.policies import LEAST_ERROR, RANK_ONE, Choice, at_error
from factorkit.exchange import exchange_layers
from factorkit.inference import optimize_for_inference
from factorkit.latency import OptimizedModel

__all__ = ["Speed", "choose_for_speed", "smallest_error", "speed_of_one_example"]

Speed = Callable[[nn.Module, nn.Module], OptimizedModel]
STEPS = 8  # of bisection: between two errors that differ by 3 %
MARGIN = 1.05


def speed_of_one_example(input_shape: tuple[int, ...], rounds: int = 7) -> Speed:
    """How fast a network runs one example beside the original, both in their fastest forms, measured in turn.

    Examples
    --------
    >>> dense, small = nn.Sequential(nn.Conv2d(8, 8, 3)), nn.Sequential(nn.Conv2d(8, 1, 3))
    >>> speed_of_one_example((8, 16, 16), rounds=1)(dense, small).operations_ratio
    8.0
    """

    def measure(original: nn.Module, compressed: nn.Module) -> OptimizedModel:
        first = next(original.parameters())
        example = torch.zeros(1, *input_shape, dtype=first.dtype, device=first.device)
        return optimize_for_inference(compressed, example, original=original, rounds=rounds)

    return measure


def choose_for_speed(
    model: nn.Module, candidates: Mapping[str, Candidate], goal: float, speed: Speed
) -> tuple[dict[str, Choice], str]:
    """Ranks with one relative error for all layers, at which the network runs as fast as wanted, and what was measured.

    Only sizes decide how fast layers are. So what is measured has the layers of the decompositions with weights of
    zero, and nothing is decomposed.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    candidates : mapping of str to Candidate
    goal : float
        How many times as fast as now, above 1.
    speed : callable
        Takes the network and a compressed one, and measures both.

    Raises
    ------
    ValueError
        If the network does not run as fast even with ranks of 1.
    """
    found: dict[float, tuple[dict[str, Choice], OptimizedModel]] = {}

    def speedup(error: float) -> float:
        choices = at_error(candidates, error)
        found[error] = choices, speed(model, _with_stand_ins(model, candidates, choices))
        return found[error][1].speedup

    choices, measured = found[smallest_error(speedup, goal)]
    device, threads = next(model.parameters()).device, torch.get_num_threads()
    images = f"{measured.batch} image{'s' * (measured.batch != 1)}"
    return choices, f"{measured.summary}; {images}, {device}, {threads} thread{'s' * (threads != 1)}"


def smallest_error(speedup: Callable[[float], float], goal: float) -> float:
    """The smallest relative error at which a measured speed-up reaches a goal.

    Measurements are noisy, and a speed-up need not rise everywhere with the error. Bisection on the logarithm of the
    error finds where it passes the goal. Then the error is measured again, and raised by 5 % as long as that falls
    short, so the last measurement with the error that is returned has reached the goal.

    Parameters
    ----------
    speedup : callable
        Measures at a relative error.
    goal : float

    Raises
    ------
    ValueError
        If the goal is not reached at the largest error.

    Examples
    --------
    >>> error = smallest_error(lambda error: 1 + 5 * error, goal=2)
    >>> 0.2 <= error < 0.2 * 1.05
    True
    """
    fastest = speedup(RANK_ONE)
    if fastest < goal:
        raise ValueError(
            f"ranks='latency:{goal:g}x': even ranks of 1 ran only {fastest:.3g} times as fast as the network. Ask for "
            "less, skip fewer layers, or measure a larger batch (speed=...): small layers wait for their calls, not "
            "for their operations."
        )
    too_small, enough = LEAST_ERROR, 1.0  # rank 1 loses less than the whole weight
    for _ in range(STEPS):
        middle = math.sqrt(too_small * enough)
        if speedup(middle) >= goal:
            enough = middle
        else:
            too_small = middle
    while enough < RANK_ONE and speedup(enough) < goal:
        enough *= MARGIN
    return min(enough, RANK_ONE)


def _with_stand_ins(model: nn.Module, candidates: Mapping[str, Candidate], choices: Mapping[str, Choice]) -> nn.Module:
    """A copy of the network with layers of the sizes that were chosen."""
    small = copy.deepcopy(model)
    exchanged = {
        small.get_submodule(name): candidates[name].stand_in(_as_tuple(choice.rank))
        for name, choice in choices.items()
        if not choice.refused
    }
    exchange_layers(small, exchanged)
    return small


def _as_tuple(rank: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return rank if isinstance(rank, tuple) else (rank,)
