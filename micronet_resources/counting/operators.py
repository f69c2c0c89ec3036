"""Counts at the level of torch's operator library, to which every function of torch comes down in the end.

What has no shape rule is counted here: :class:`OperatorMode` sees each operator with its stand-ins and books it, or
notes that nobody has written down what it costs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from micronet_resources.counting.arithmetic import book_reduction
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import (
    ACTIVATIONS,
    ELEMENTWISE,
    FREE,
    INTERPOLATIONS,
    REDUCTIONS,
    is_uncounted,
)
from micronet_resources.counting.operator_rules import OPERATOR_RULES, knows_complex
from micronet_resources.counting.tensors import tensors_in

__all__ = ["OperatorMode"]


class OperatorMode(TorchDispatchMode):
    """Books every operator that works on something from the input; notes what is computed from static tensors alone."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ledger = self.ledger
        inputs = list(tensors_in(args, kwargs))
        static = [ledger.is_static(tensor) for tensor in inputs]
        if len({tensor.is_meta for tensor in inputs}) > 1:  # a weight beside a stand-in, in code that torch runs itself
            args, kwargs = ledger.stand_ins(args), ledger.stand_ins(kwargs)
            inputs = list(tensors_in(args, kwargs))
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if all(static):
            ledger.inherit(inputs, tensors_in(out))
            return out
        name = name.rstrip("_")
        # The norms of an embedding's rows depend on the rows alone, whichever of them the input asks for.
        writes = torch.Tag.inplace in func.tags and static[0] and name != "embedding_renorm"
        reads = writes and name not in FREE
        if reads:
            book_operator(ledger, func, name, inputs, out, args, kwargs)
        if writes:
            ledger.write(inputs[0])
            ledger.statics.pop(id(inputs[0]), None)
        ledger.maps.update((id(tensor), tensor) for tensor in tensors_in(out) if not tensor.is_meta)
        if not reads:
            book_operator(ledger, func, name, inputs, out, args, kwargs)
        return out


def book_operator(
    ledger: Ledger, func: Any, name: str, inputs: list[Tensor], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Book one operator that depends on the input."""
    result = next(tensors_in(out), None)
    size = 0 if result is None else result.numel()
    rule = OPERATOR_RULES.get(name)
    if func.namespace != "aten":
        rule = None
    is_moved = name in FREE or func.is_view or torch.Tag.inplace_view in func.tags
    if not (is_moved or knows_complex(rule)) and any(tensor.is_complex() for tensor in inputs):
        ledger.uncounted[f"{func.overloadpacket} on complex numbers"] = None
    if rule is not None:
        rule(ledger, name, out, *args, **{key: value for key, value in kwargs.items() if key != "out"})
        return
    for tensor in inputs:
        ledger.use(tensor)
    operator = str(func.overloadpacket)
    if is_uncounted(operator):
        ledger.uncounted[operator] = None
    elif name in ACTIVATIONS:
        multiplications, additions = ACTIVATIONS[name]
        ledger.book(name, "activation", size, multiplications * size, additions * size)
    elif name in ELEMENTWISE or name in INTERPOLATIONS:
        multiplications, additions = ELEMENTWISE.get(name) or INTERPOLATIONS[name]
        ledger.book(name, "elementwise", size, multiplications * size, additions * size)
    elif name in REDUCTIONS:
        book_reduction(ledger, name, inputs[0].numel(), size, REDUCTIONS[name])
    elif torch.Tag.pointwise in func.tags and name not in FREE:
        ledger.book(name, "elementwise", size, size, 0)
    elif not (result is None or is_moved):
        ledger.uncounted[operator] = None
