"""Joins in the graph of automatic differentiation where a value has crossed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["join"]


class _Bridge(torch.autograd.Function):
    """A tensor whose graph the other side keeps; its backward pass asks there."""

    @staticmethod
    def forward(ctx: Any, ask: Callable[[Any], Any], box: list[torch.Tensor], root: Any, *inputs: Any) -> torch.Tensor:
        ctx.ask, ctx.count = ask, len(inputs)
        return box[0]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise TypeError(
                "the student's process gives first derivatives only, so create_graph=True is not possible: "
                "use f = trusted_copy(function, example) and differentiate that"
            )
        found = ctx.ask(gradient)
        tensors = type(found) is list and all(item is None or isinstance(item, torch.Tensor) for item in found)
        if not tensors or len(found) != ctx.count:
            raise TypeError(f"expected {ctx.count} gradients from the student's side")
        return (None, None, None, *found)


def join(tensor: torch.Tensor, ask: Callable[[Any], Any], inputs: list[torch.Tensor]) -> torch.Tensor:
    """Make the tensor depend on the inputs through the other side.

    Parameters
    ----------
    tensor : Tensor
        The values of the result.
    ask : callable
        From the gradient of the result to the gradients of the inputs, None where there is none.
    inputs : list of Tensor
    """
    root = torch.zeros((), requires_grad=True)  # so that the result takes a gradient even without inputs
    return _Bridge.apply(ask, [tensor], root, *inputs)
