"""Makes the rows of a profile from what was booked to each module."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from micronet_resources.counting.anatomy import Part, first_tensor, leaves
from micronet_resources.counting.ledger import Ledger, Tally
from micronet_resources.report import LayerProfile

__all__ = ["elements", "layer_profiles", "registered_modules"]

Shape = tuple[int, ...]
NOTHING = Tally()  # of a module that did not run


def registered_modules(model: nn.Module) -> set[nn.Module]:
    """What ``model.modules()`` gives."""
    found, pending = {model}, [model]
    for module in pending:
        for child in module._modules.values():
            if child is not None and child not in found:
                found.add(child)
                pending.append(child)
    return found


def elements(tensors: Iterable[Tensor | None]) -> int:
    """Elements of tensors, those of one that comes again once."""
    return sum({id(tensor): tensor.numel() for tensor in tensors if tensor is not None}.values())


def layer_profiles(parts: list[Part], ledger: Ledger) -> tuple[LayerProfile, ...]:
    """One row for each module that owns parameters, computes by itself or is a leaf that ran, in order of running."""
    tallies = ledger.tallies
    order = {module: position for position, module in enumerate(tallies)}
    last = len(order)
    layers, seen = [], set[int]()
    for part in sorted(parts, key=lambda part: order.get(part.module, last)):
        tally = tallies.get(part.module) or NOTHING
        own = 0
        for parameter in (*part.parameters, *tally.foreign) if tally.foreign else part.parameters:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                own += parameter.numel()
        if own or tally.operations or not (tally.calls_modules or tally is NOTHING):
            kind, operations = type(part.module).__name__, tuple(tally.operations)
            shapes = _input_shape(tally), _output_shape(tally.output)
            layers.append(LayerProfile(part.name, kind, *shapes, own, operations))
    return tuple(layers)


def _input_shape(tally: Tally) -> Shape | tuple[Shape, ...] | None:
    if len(tally.given) == 1 and isinstance(tally.given[0], Tensor):
        return tuple(tally.given[0].shape[1:])
    shapes = tuple(tuple(leaf.shape[1:]) for leaf in leaves(tally.given) if isinstance(leaf, Tensor))
    return (shapes if len(shapes) > 1 else shapes[0]) if shapes else None


def _output_shape(value: Any) -> Shape | None:
    tensor = first_tensor(value)
    return None if tensor is None else tuple(tensor.shape[1:])
