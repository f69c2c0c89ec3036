"""Takes stock of a model before it runs: its modules by name, and every tensor and container that they hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["ROOT", "Part", "dissect", "first_tensor", "leaves"]

ROOT = "(model)"
CONTAINERS = (list, tuple, set, frozenset, deque)
# Types that hold neither tensors nor modules.
PLAIN = frozenset([int, float, bool, str, type(None), torch.dtype, torch.device, torch.Size])
USUAL = frozenset([Tensor, nn.Parameter])
# What torch's own base class keeps in every module; most of it is empty nearly always.
STANDARD = frozenset(vars(nn.Module()))
BOOKKEEPING = tuple(
    key
    for key, value in vars(nn.Module()).items()
    if isinstance(value, (dict, set)) and key not in ("_parameters", "_buffers", "_modules")
)
_hooks = itemgetter(*BOOKKEEPING)
_own = itemgetter("_parameters", "_buffers", "_modules")
# Where torch's own layers keep numbers and names, and write nothing: everything else in a layer may be a user's.
TORCH_SEQUENCES = frozenset(
    [
        "kernel_size",
        "stride",
        "padding",
        "output_padding",
        "dilation",
        "normalized_shape",
        "output_size",
        "_reversed_padding_repeated_twice",
        "_all_weights",
        "_flat_weights_names",
    ]
)


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


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor of a module's arguments or output, wherever it is nested."""
    if isinstance(value, Tensor):
        return value
    return next((leaf for leaf in leaves(value) if isinstance(leaf, Tensor)), None)


@dataclass(slots=True, eq=False)
class Part:
    """One module of a model.

    Parameters
    ----------
    module : nn.Module
    name : str
    tensors : list of (str, Tensor)
        Its own parameters, buffers and tensors in plain attributes.
    parameters : list of Parameter
        Those of its own tensors that are parameters, raw ones in lists and dictionaries too.
    filled, empty : list
        Names of attributes that are containers with something in them, and the containers that have nothing.
    has_others : bool
        Whether parameters stand in plain attributes too.
    """

    module: nn.Module
    name: str
    tensors: list[tuple[str, Tensor]]
    parameters: list[nn.Parameter]
    filled: list[str]
    empty: list[Any]
    has_others: bool = False


def dissect(model: nn.Module) -> dict[nn.Module, Part]:
    """Name every module once, depth first, those that are kept in plain lists, dictionaries or attributes too.

    Raises
    ------
    ValueError
        If a module is a TorchScript module or has no weights yet.
    """
    parts: dict[nn.Module, Part] = {}
    _dissect(model, "", parts, set())
    return parts


def _dissect(module: nn.Module, name: str, parts: dict[nn.Module, Part], settings: set[tuple[str | type, ...]]) -> None:
    """Take a module and those in it.

    ``settings`` are types of modules with names and types of their attributes, where these are settings only. Where the
    same are found again, nothing has to be looked at: a network has dozens of layers of a kind.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"{name or ROOT} is a TorchScript module, whose layers cannot be seen: give the Python module."
        )
    attributes = vars(module)
    prefix = f"{name}." if name else ""
    part = parts[module] = Part(module, name or ROOT, [], [], [], [])
    bookkeeping = _bookkeeping(attributes)
    if any(bookkeeping):
        part.filled += [key for key in BOOKKEEPING if attributes.get(key)]
        part.empty += [container for container in bookkeeping if not container]
    else:
        part.empty += bookkeeping
    children = _take_own(part, prefix, attributes)
    layout = (type(module), *attributes, *map(type, attributes.values()))
    if layout not in settings:
        found = _take_others(part, prefix, attributes)
        if found is None:
            settings.add(layout)
        else:
            children = {**children, **found}
    for _, tensor in part.tensors:
        if type(tensor) not in USUAL and is_lazy(tensor):
            raise ValueError(
                f"{part.name} ({type(module).__name__}) is lazy and has no weights yet: run one batch first."
            )
    for key, child in children.items():
        if child is not None and child not in parts:
            _dissect(child, prefix + key, parts, settings)


def _take_own(part: Part, prefix: str, attributes: dict[str, Any]) -> dict[str, nn.Module | None]:
    """Take the parameters and buffers that a module has registered; return the modules."""
    parameters, buffers, modules = _own(attributes)
    if parameters:
        part.filled.append("_parameters")
        for key, tensor in parameters.items():
            if tensor is not None:
                part.tensors.append((prefix + key, tensor))
                part.parameters.append(tensor)
    else:
        part.empty.append(parameters)
    if buffers:
        part.filled.append("_buffers")
        part.tensors += [(prefix + key, tensor) for key, tensor in buffers.items() if tensor is not None]
    else:
        part.empty.append(buffers)
    if modules:
        part.filled.append("_modules")
    else:
        part.empty.append(modules)
    return modules


def _take_others(part: Part, prefix: str, attributes: dict[str, Any]) -> dict[str, nn.Module] | None:
    """Take what stands in plain attributes and return the modules; None if all are settings, whatever their values."""
    children: dict[str, nn.Module] = {}
    are_settings = True
    is_torchs = type(part.module).__module__.startswith("torch.nn.modules.")
    for attribute, value in attributes.items():
        kind = type(value)
        if kind in PLAIN or attribute in STANDARD:
            continue
        is_sequence = kind in (list, tuple)
        if is_sequence and is_torchs and attribute in TORCH_SEQUENCES and PLAIN.issuperset(map(type, leaves(value))):
            continue
        are_settings = False
        if kind is tuple and PLAIN.issuperset(map(type, value)):
            continue
        if isinstance(value, (list, set, dict, deque)) and not value:
            part.empty.append(value)
        elif isinstance(value, (*CONTAINERS, dict, Tensor, nn.Module, np.ndarray)):
            part.filled.append(attribute)
            found = list(leaves(value))
            modules = [leaf for leaf in found if isinstance(leaf, nn.Module)]
            children |= {f"{attribute}[{i}]": child for i, child in enumerate(modules)}
            held = [leaf for leaf in found if isinstance(leaf, Tensor)]
            others = [tensor for tensor in held if isinstance(tensor, nn.Parameter)]
            part.parameters += others
            part.has_others |= bool(others)
            is_alone = isinstance(value, Tensor)
            part.tensors += [(prefix + attribute + ("" if is_alone else f"[{i}]"), t) for i, t in enumerate(held)]
    return None if are_settings else children


def _bookkeeping(attributes: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return _hooks(attributes)
    except KeyError:  # a module that an older torch has stored
        return tuple(attributes[key] for key in BOOKKEEPING if key in attributes)
