"""What was measured on a network, by layer: widths, and each layer's part of the score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from micronet_resources.inventory import MeasuredOperation
from micronet_resources.rules import rule_set
from micronet_resources.scoring import contributions

if TYPE_CHECKING:
    from micronet_resources.reporting.views import Views

__all__ = ["layer_bits", "layer_scores"]


def layer_bits(profile: Views) -> list[tuple[int | None, int | None]]:
    """Return the widths of the widest weight and of the widest feature map that each layer multiplies.

    Returns
    -------
    list of (int or None, int or None)
        One pair per layer; None where it has no such factor.
    """
    pairs = []
    for operations in _operations(profile, profile.inventory.operations):
        multiplied = [measured for measured in operations if measured.operation.multiplications]
        weights = [measured.weight_bits for measured in multiplied if measured.operation.weight is not None]
        inputs = [measured.input_bits for measured in multiplied]
        pairs.append((max(weights, default=None), max(inputs, default=None)))
    return pairs


def layer_scores(profile: Views) -> tuple[float, ...]:
    """Return what the tensors and the operations of each layer add to the score under the profile's rules."""
    rules = rule_set(profile.rules)
    tensors, operations = contributions(profile.inventory, rules, rules.task(profile.task))
    sums = [sum(values) for values in _operations(profile, operations)]
    owners = _owners(profile)
    for tensor, value in zip(profile.inventory.tensors, tensors, strict=True):
        sums[_owner(tensor.name, owners)] += value
    return tuple(sums)


def _operations(profile: Views, values: tuple) -> Iterator[list[MeasuredOperation] | list[float]]:
    """Divide what is known of all operations, in their order, among the layers."""
    remaining = iter(values)
    for layer in profile.layers:
        yield [next(remaining) for _ in layer.operations]


def _owners(profile: Views) -> dict[str, int]:
    """Places of the layers by name, and by the weights that they multiply and by the modules that hold these."""
    owners: dict[str, int] = {}
    for place, layer in enumerate(profile.layers):
        for operation in layer.operations:
            if operation.weight is not None:
                owners.setdefault(operation.weight, place)
                owners.setdefault(operation.weight.rpartition(".")[0], place)
    return owners | {layer.name: place for place, layer in enumerate(profile.layers)}


def _owner(tensor: str, owners: dict[str, int]) -> int:
    """Find the layer of a tensor by its name or that of the nearest module around it; else it is the model's own."""
    name = tensor
    while name not in owners and "." in name:
        name = name.rpartition(".")[0]
    return owners.get(name, owners.get("(model)", 0))
