"""Generators of random numbers: their states as plain values."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch

from autograder.two_process.arrays import raw

__all__ = ["GENERATOR_TYPES", "SHARED", "get_state", "jump", "mark", "set_state"]

GENERATOR_TYPES = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
# What code draws from that names no generator.
SHARED: dict[str, Any] = {"torch": torch.default_generator, "numpy": np.random.mtrand._rand, "random": random._inst}


def get_state(generator: Any) -> Any:
    """The state, in values that cross."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state(legacy=False)


def set_state(generator: Any, state: Any) -> None:
    """Make the generator go on as the one that the state is from."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def mark(generator: Any) -> Any:
    """What is equal as long as nothing was drawn and no seed was set."""
    if isinstance(generator, torch.Generator):
        return raw(generator.get_state())
    if isinstance(generator, random.Random):
        return generator.getstate()
    return _flat(get_state(generator))


def jump(generator: Any) -> None:
    """Move on to other random numbers, which follow from the present state.

    A state is never taken from the student's process: one of few values, or one that repeats, would make the inputs of
    hidden tests predictable.
    """
    digest = hashlib.sha256(repr(mark(generator)).encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    elif isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    else:
        generator.seed(seed)


def _flat(state: Any) -> Any:
    if isinstance(state, dict):
        return tuple(_flat(value) for value in state.values())
    return state.tobytes() if isinstance(state, np.ndarray) else state
