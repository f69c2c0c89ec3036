"""Counts the multiply-accumulates of a forward pass, operator by operator, without doing its arithmetic.

The network runs once on torch's meta device, where tensors have shapes but no values, under torch's own
:class:`~torch.utils.flop_counter.FlopCounterMode`. Functional code, raw parameters and fused attention are seen like
any layer, because what is counted are the operators that reach the device.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from micronet_resources.borrowing import borrowed, first_tensor, random_state_kept
from micronet_resources.operators import MAC_RULES, PRODUCT_RULES, is_uncounted

__all__ = ["Tally", "UncountedOperatorError", "count_forward"]

Shape = tuple[int, ...]


class UncountedOperatorError(ValueError):
    """The network computes with an operator whose multiply-accumulates nobody has written down here."""


@dataclass
class Tally:
    """What one module did itself, outside the modules that it called."""

    macs: int = 0
    products: int = 0
    output_shape: Shape | None = None
    calls_modules: bool = False


class _Watch(TorchDispatchMode):
    """Notes every operator that computes and that no rule counts."""

    def __init__(self, ruled: frozenset[Any]) -> None:
        super().__init__()
        self.ruled = ruled
        self.uncounted: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = getattr(func, "overloadpacket", func)
        if packet in self.ruled:
            tensor = first_tensor(out)
            if tensor is not None and tensor.is_complex() and packet not in PRODUCT_RULES:
                self.uncounted[f"{packet} on complex numbers"] = None
        elif is_uncounted(str(packet)):
            self.uncounted[str(packet)] = None
        return out


class _Ledger:
    """Books what the counter sees to the module that is running, not to its parents."""

    def __init__(self, names: dict[nn.Module, str]) -> None:
        self.names = names
        self.counter = FlopCounterMode(display=False, custom_mapping={**MAC_RULES, **PRODUCT_RULES})
        self.watch = _Watch(frozenset(self.counter.flop_registry))
        self.tallies: dict[nn.Module, Tally] = {}
        # Modules that are running now, outermost first: module, counts when it began, counts of its children.
        self.running: list[tuple[nn.Module, tuple[int, int], list[tuple[int, int]]]] = []
        self.inputs: dict[nn.Module, Shape | None] = {}

    def hook(self, module: nn.Module) -> list[RemovableHandle]:
        before = module.register_forward_pre_hook(self._begin, prepend=True)
        return [before, module.register_forward_hook(self._end)]

    def _now(self) -> tuple[int, int]:
        macs = products = 0
        for operator, flops in self.counter.flop_counts["Global"].items():
            if operator in PRODUCT_RULES:
                products += flops // 2
            else:
                macs += flops // 2
        return macs, products

    def _begin(self, module: nn.Module, args: Any) -> None:
        tensor = first_tensor(args)
        self.inputs[module] = None if tensor is None else tuple(tensor.shape)
        self.tallies.setdefault(module, Tally())
        if self.running:
            self.tallies[self.running[-1][0]].calls_modules = True
        self.running.append((module, self._now(), []))

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        while self.running[-1][0] is not module:  # left by an exception that the model caught
            _, _, orphans = self.running.pop()
            self.running[-1][2].extend(orphans)
        _, start, children = self.running.pop()
        now = self._now()
        spent = (now[0] - start[0], now[1] - start[1])
        tally, tensor = self.tallies[module], first_tensor(output)
        tally.macs += spent[0] - sum(macs for macs, _ in children)
        tally.products += spent[1] - sum(products for _, products in children)
        tally.output_shape = None if tensor is None else tuple(tensor.shape[1:])
        if self.running:
            self.running[-1][2].append(spent)

    def where(self) -> str:
        """Say which module was running, for an error."""
        if not self.running:
            return "before any layer"
        module = self.running[-1][0]
        name, weight = self.names[module], getattr(module, "weight", None)
        has = f", whose weight has shape {tuple(weight.shape)}" if isinstance(weight, torch.Tensor) else ""
        return f"in {name or 'the model'} ({type(module).__name__}{has}), which was given {self.inputs[module]}"


@contextmanager
def _fused_attention_off() -> Iterator[None]:
    """Keep nn.MultiheadAttention from its fast path, one opaque operator that no rule can look into."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _run(
    model: nn.Module, names: dict[nn.Module, str], shape: Shape, dtype: torch.dtype, device: str
) -> tuple[dict[nn.Module, Tally] | None, str, Exception | None]:
    """Run once on a device: the tallies, or where it stopped and why."""
    ledger = _Ledger(names)
    try:
        with (
            borrowed(names, device),
            random_state_kept(),
            torch.no_grad(),
            torch.device(device),
            _fused_attention_off(),
            warnings.catch_warnings(),
            ledger.watch,
            ledger.counter,
        ):
            warnings.simplefilter("ignore")  # about running the model, which is not what was asked
            generator = None if device == "meta" else torch.Generator().manual_seed(0)
            example = torch.randn((1, *shape), generator=generator).to(dtype)
            for module in names:
                ledger.hook(module)
            model(example)
    except Exception as error:
        return None, ledger.where(), error
    if ledger.watch.uncounted:
        raise UncountedOperatorError(
            f"{type(model).__name__} runs {', '.join(ledger.watch.uncounted)}, for which there is no rule: its "
            "multiply-accumulates would be missing from the count. Write it with convolutions, linear layers or "
            "matrix products; a parametrized weight can be computed once with remove_parametrizations."
        )
    return ledger.tallies, "", None


def count_forward(
    model: nn.Module, names: dict[nn.Module, str], shape: Shape, dtype: torch.dtype
) -> tuple[dict[nn.Module, Tally], str | None]:
    """Count one forward pass in evaluation mode on one example.

    Parameters
    ----------
    model : nn.Module
        Left as found.
    names : dict of nn.Module to str
        The modules to book costs to; every other module's cost goes to the one that calls it.
    shape : tuple of int
        Of one example, without the batch dimension.
    dtype : torch.dtype
        Of the example.

    Returns
    -------
    tallies : dict of nn.Module to Tally
        Of the modules that ran, in the order in which they began.
    note : str or None
        What the reader of the count should know about it.

    Raises
    ------
    UncountedOperatorError
        If an operator computes and has no rule.
    ValueError
        If the model does not run on an input of this shape.
    """
    tallies, _, no_meta = _run(model, names, shape, dtype, "meta")
    if tallies is not None:
        return tallies, None
    tallies, where, error = _run(model, names, shape, dtype, "cpu")
    if tallies is not None:
        return tallies, (
            "counted on one random example, run for real on a copy: the forward pass needs the values of its "
            f"tensors ({_first_line(no_meta)}), so another example may cost more or less"
        )
    raise ValueError(
        f"{type(model).__name__} does not run on one example of shape {shape} (batch {(1, *shape)}): it stopped "
        f"{where}: {_first_line(error)}. input_shape is that of one example, such as (3, 32, 32), without the batch."
    ) from error


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
