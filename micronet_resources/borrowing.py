"""Runs a model with stand-ins for its tensors and gives everything back as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["borrowed", "first_tensor", "leaves", "random_state_kept"]

CONTAINERS = (list, tuple, set, frozenset)


def leaves(value: Any) -> Iterator[Any]:
    """Everything inside nested lists, tuples, sets and dictionaries."""
    pending, seen = [value], set()
    while pending:
        item = pending.pop()
        if not isinstance(item, (*CONTAINERS, dict)):
            yield item
        elif id(item) not in seen:
            seen.add(id(item))
            pending.extend(reversed(list(item.values() if isinstance(item, dict) else item)))


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the first tensor of a module's arguments or output, wherever it is nested."""
    return next((leaf for leaf in leaves(value) if isinstance(leaf, torch.Tensor)), None)


@contextmanager
def borrowed(modules: Iterable[nn.Module], device: str) -> Iterator[None]:
    """Put the modules into evaluation mode, every tensor of theirs replaced by a stand-in.

    Stand-ins on ``"meta"`` have shape and type but no values and no memory; on ``"cpu"`` they are copies. Their
    attributes are copies too, so hooks added inside, buffers updated in the forward pass or lists appended to
    are gone afterwards, and the original tensors have not been touched.
    """
    originals = {module: dict(vars(module)) for module in modules}
    stand_ins: dict[int, Any] = {}
    try:
        for module, attributes in originals.items():
            vars(module).update({name: _stand_in(value, device, stand_ins) for name, value in attributes.items()})
            vars(module)["training"] = False
            vars(module)["_compiled_call_impl"] = None  # a compiled call would not show its operators
        yield
    finally:
        for module, attributes in originals.items():
            vars(module).clear()
            vars(module).update(attributes)


def _stand_in(value: Any, device: str, made: dict[int, Any]) -> Any:
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, torch.Tensor):
        made[id(value)] = new = _tensor_stand_in(value, device)
    elif isinstance(value, dict):
        made[id(value)] = new = copy.copy(value)
        for key in new:
            new[key] = _stand_in(new[key], device, made)
    elif type(value) is list:
        made[id(value)] = new = []
        new.extend(_stand_in(item, device, made) for item in value)
    elif type(value) in CONTAINERS:
        new = type(value)(_stand_in(item, device, made) for item in value)
    else:
        new = value
    return new


def _tensor_stand_in(tensor: torch.Tensor, device: str) -> torch.Tensor:
    plain = tensor.detach()
    new = torch.empty_like(plain, device="meta") if device == "meta" else plain.to(device, copy=True)
    return nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give Python, NumPy and torch (CPU) back their random states afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
