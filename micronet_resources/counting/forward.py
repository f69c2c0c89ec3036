"""Follows one forward pass, operator by operator, without doing its arithmetic.

Functional code, raw parameters and fused attention are seen like any layer, because what is counted are the functions
and operators of torch that run, not the modules.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from micronet_resources.counting.anatomy import Part, first_tensor
from micronet_resources.counting.borrowing import borrowed, random_state_kept
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.modes import ShapeMode, ValueMode, outer_modes_off
from micronet_resources.counting.module_rules import module_rules
from micronet_resources.counting.operators import OperatorMode
from micronet_resources.counting.shape_rules import SHAPE_RULES
from micronet_resources.counting.tensors import META

__all__ = ["Count", "Example", "UncountedOperatorError", "count_forward"]

Shape = tuple[int, ...]


class UncountedOperatorError(ValueError):
    """The network computes with an operator whose arithmetic nobody has written down here."""


@dataclass(frozen=True)
class Example:
    """Shape and type of one input, without the batch dimension."""

    shape: Shape
    dtype: torch.dtype


@dataclass(frozen=True)
class Count:
    """What was seen in one forward pass; ``note`` is what the reader of the count should know about it."""

    ledger: Ledger
    note: str | None


@contextmanager
def _fused_attention_off() -> Iterator[None]:
    """Keep nn.MultiheadAttention from its fast path, one opaque operator that no rule can look into."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class _Run:
    """One attempt: on stand-ins, or with values on copies."""

    def __init__(self, parts: Mapping[nn.Module, Part], device: torch.device, *, for_real: bool) -> None:
        named: dict[int, tuple[str, Tensor]] = {}
        for part in parts.values():
            for name, tensor in part.tensors:
                named.setdefault(id(tensor), (name, tensor))
        self.parts, self.named, self.for_real = parts, named, for_real
        self.ledger = Ledger({} if for_real else named, torch.device("cpu") if for_real else device)
        if not (for_real or torch.nn.modules.module._has_any_global_hook()):
            self.ledger.shortcuts = module_rules(SHAPE_RULES)
        self.error: Exception | None = None

    def __call__(self, model: nn.Module, examples: Sequence[Example]) -> bool:
        mode = (ValueMode if self.for_real else ShapeMode)(self.ledger, SHAPE_RULES)
        try:
            with (
                outer_modes_off(),
                borrowed(self.parts.values(), self.ledger.call, copy_tensors=self.for_real) as copies,
                random_state_kept(),
                torch.no_grad(),
                _fused_attention_off(),
                torch.compiler.set_stance("force_eager"),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")  # about running the model, which is not what was asked
                if self.for_real:
                    self.ledger.hold({id(copies[key]): (name, copies[key]) for key, (name, _) in self.named.items()})
                inputs = [self._input(example) for example in examples]
                try:
                    with OperatorMode(self.ledger), mode:
                        model(*inputs)
                finally:
                    mode.restore()
        except Exception as error:
            self.error = error
        if mode.needs_values is not None:  # even if the model caught it: it took the way of the error
            self.error = mode.needs_values
        return self.error is None

    def _input(self, example: Example) -> Tensor:
        shape = (1, *example.shape)
        if not self.for_real:
            return torch.empty(shape, dtype=example.dtype, device=META)
        if example.dtype.is_floating_point:
            tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(example.dtype)
        else:
            tensor = torch.zeros(shape, dtype=example.dtype)
        self.ledger.maps[id(tensor)] = tensor
        return tensor

    def where(self) -> str:
        """Say which module was running, for an error."""
        if self.ledger.stopped is None or self.ledger.stopped[0] is not self.error:
            return "before any layer"
        _, module, given = self.ledger.stopped
        part, weight = self.parts.get(module), getattr(module, "weight", None)
        name = part.name if part else "a module made while running"
        has = f", whose weight has shape {tuple(weight.shape)}" if isinstance(weight, Tensor) else ""
        tensor = first_tensor(given)
        shape = None if tensor is None else tuple(tensor.shape)
        where = "the model" if name == "(model)" else name
        return f"in {where} ({type(module).__name__}{has}), which was given {shape}"


def count_forward(model: nn.Module, parts: Mapping[nn.Module, Part], examples: Sequence[Example]) -> Count:
    """Count one forward pass in evaluation mode on one example.

    Parameters
    ----------
    model : nn.Module
        Left as found.
    parts : mapping of nn.Module to Part
        The modules to book costs to; every other module's cost goes to the one that calls it.
    examples : sequence of Example
        One for each input.

    Returns
    -------
    Count

    Raises
    ------
    ValueError
        If the model does not run on inputs of these shapes.
    """
    device = next((tensor.device for part in parts.values() for _, tensor in part.tensors), torch.device("cpu"))
    run = _Run(parts, device, for_real=False)
    if run(model, examples):
        return Count(run.ledger, None)
    real = _Run(parts, device, for_real=True)
    if real(model, examples):
        return Count(
            real.ledger,
            "counted on one random example, run for real on a copy: the forward pass needs the values of its "
            f"tensors ({_first_line(run.error)}), so another example may cost more or less",
        )
    shapes = [example.shape for example in examples]
    batches = " and ".join(str((1, *shape)) for shape in shapes)
    raise ValueError(
        f"{type(model).__name__} does not run on one example of shape {' and '.join(map(str, shapes))} "
        f"(batch {batches}): it stopped {real.where()}: {_first_line(real.error)}. input_shape is that of one example, "
        "such as (3, 32, 32), without the batch."
    ) from real.error


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
