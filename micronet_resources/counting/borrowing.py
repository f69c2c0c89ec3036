"""Lends a model out and gives everything back as it was."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from micronet_resources.counting.anatomy import Part

__all__ = ["borrowed", "random_state_kept"]

COPIED = (Tensor, dict, list, tuple, set, frozenset, deque, np.ndarray)
FLAT = frozenset(["_parameters", "_buffers", "_modules"])


@contextmanager
def borrowed(
    parts: Iterable[Part], call: Callable[..., Any], *, copy_tensors: bool = False
) -> Iterator[dict[int, Tensor]]:
    """Put the modules into evaluation mode; ``call(module, *args)`` runs in place of each.

    Their containers are copies and their attributes are put back, so hooks added inside, buffers exchanged in the
    forward pass or lists appended to are gone afterwards. With ``copy_tensors`` their tensors are copies on the CPU
    too; without it, whoever runs the model must not write to them.

    Yields
    ------
    dict of int to Tensor
        The copy of each tensor, by the ``id`` of the original.
    """
    parts = list(parts)
    originals = [vars(part.module).copy() for part in parts]
    made: dict[int, Any] = {}
    copies = made if copy_tensors else None
    try:
        for part in parts:
            attributes = vars(part.module)
            for name in part.filled:
                value = attributes[name]
                is_flat = copies is None and name in FLAT
                attributes[name] = value.copy() if is_flat else _copied(value, made, copies)
            attributes["training"] = False
            attributes["_compiled_call_impl"] = partial(call, part.module)
        yield {key: value for key, value in made.items() if isinstance(value, Tensor)} if copy_tensors else {}
    finally:
        for part, original in zip(parts, originals, strict=True):
            attributes = vars(part.module)
            attributes.clear()
            attributes.update(original)
            if any(part.empty):
                for container in part.empty:
                    container.clear()


def _copied(value: Any, made: dict[int, Any], copies: dict[int, Any] | None) -> Any:
    if isinstance(value, Tensor):
        if copies is None:
            return value
        if id(value) not in copies:
            copies[id(value)] = _tensor_copy(value)
        return copies[id(value)]
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, dict):
        made[id(value)] = new = value.copy()
        for key, item in new.items():
            if isinstance(item, COPIED):
                new[key] = _copied(item, made, copies)
    elif type(value) is list:
        made[id(value)] = new = []
        new.extend(_copied(item, made, copies) for item in value)
    elif type(value) is deque:
        made[id(value)] = new = deque(maxlen=value.maxlen)
        new.extend(_copied(item, made, copies) for item in value)
    elif type(value) is np.ndarray:
        made[id(value)] = new = value.copy()
    elif type(value) in (tuple, set, frozenset):
        new = type(value)(_copied(item, made, copies) for item in value)
    else:
        new = value
    return new


def _tensor_copy(tensor: Tensor) -> Tensor:
    new = tensor.detach().to("cpu", copy=True)
    return nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give Python, NumPy and torch, on the CPU and on GPUs in use, back their random states afterwards."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)
