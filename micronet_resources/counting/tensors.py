"""What can be told about tensors and about the functions that make them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from micronet_resources.counting.operator_costs import words

__all__ = [
    "BUILDERS",
    "MAKERS",
    "META",
    "as_real",
    "have_equal_values",
    "is_random",
    "is_view",
    "storage_key",
    "tensors_in",
]

META = torch.device("meta")
# Within it, tensors are made and viewed without passing through the dispatch mode that counts: a microsecond each.
as_real = torch._C._DisableTorchDispatch
# Operators that give the same numbers again, in other places or of another type.
COPIES = frozenset(
    words("clone contiguous to _to_copy type half float double bfloat16 cuda cpu detach reshape flatten type_as")
)
# They use only the shape and type of their first argument, so what they make does not depend on the input.
MAKERS = frozenset(
    words(
        "zeros_like ones_like empty_like full_like new_zeros new_ones new_full new_empty new_tensor new_empty_strided"
    )
)
# They make a tensor of numbers that Python has.
BUILDERS = frozenset(words("tensor as_tensor asarray new_tensor scalar_tensor"))


def tensors_in(*values: Any) -> Iterator[Tensor]:
    """Every tensor among arguments, in lists, tuples and dictionaries too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(*value)
        elif isinstance(value, dict):
            yield from tensors_in(*value.values())


def storage_key(tensor: Tensor) -> int:
    """Identify the memory of a tensor."""
    return tensor.untyped_storage()._cdata


def is_view(source: Tensor, output: Tensor, operator: str) -> bool:
    """Whether the result of an operator is only another form of one of its inputs."""
    if operator in COPIES:
        return source.numel() == output.numel()
    if source.layout is not torch.strided or output.layout is not torch.strided:
        return False
    return source.numel() <= output.numel() and storage_key(source) == storage_key(output)


def have_equal_values(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same type, shape and values."""
    if first.is_meta or second.is_meta or first.dtype != second.dtype or first.layout != second.layout:
        return False
    with as_real():
        return first.shape == second.shape and bool((first == second).all())


@cache
def is_random(operator: str) -> bool:
    """Whether an operator, or a function of torch with this name, draws random numbers."""
    if "dropout" in operator or operator == "gumbel_softmax":
        return True
    packet = getattr(torch.ops.aten, operator, None)
    overloads = [getattr(packet, name) for name in packet.overloads()] if packet is not None else []
    return any(torch.Tag.nondeterministic_seeded in overload.tags for overload in overloads)
