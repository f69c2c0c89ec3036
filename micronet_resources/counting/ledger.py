"""Books every operation to the module that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from micronet_resources.counting.provenance import Provenance
from micronet_resources.operations import Operation

__all__ = ["Ledger", "Tally"]

_plain_functions = torch._C.DisableTorchFunction
_transform_level = torch._C._functorch.maybe_current_level


class Tally:
    """What one module did itself, outside the modules that it called."""

    __slots__ = ("calls_modules", "foreign", "given", "operations", "output")

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.given: tuple[Any, ...] = ()
        self.output: Any = None
        self.calls_modules = False
        self.foreign: list[nn.Parameter] = []


class Ledger(Provenance):
    """Operations by module, and the origin of tensors.

    Parameters
    ----------
    named : mapping of int to (str, Tensor)
        Every tensor that the model holds, by its ``id``.
    device : torch.device
        Where the model is: what a stand-in answers when it is asked.
    """

    def __init__(self, named: Mapping[int, tuple[str, Tensor]], device: torch.device) -> None:
        super().__init__(named, device)
        self.thread = get_ident()  # the modes that count are in no other
        # What stands for the forward pass of modules of torch's own classes.
        self.shortcuts: Mapping[type, Callable[..., Any]] = {}
        self.tallies: dict[nn.Module, Tally] = {}
        self.running: list[nn.Module] = []
        self.operations: list[Operation] = []
        self.stopped: tuple[BaseException, nn.Module, tuple[Any, ...]] | None = None
        # Kinds that an operator's inner operators get: those of an LSTM are "recurrent", not "linear".
        self.kinds: Mapping[str, str] = {}

    def adopt(self, parameter: nn.Parameter) -> None:
        """Give a parameter that the model does not hold to the module that runs."""
        if self.running:
            self.tallies[self.running[-1]].foreign.append(parameter)

    def call(self, module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
        """Run a module and book what it does to it."""
        if get_ident() != self.thread:
            self.uncounted["code in a thread of its own"] = None
        tally = self.tallies.get(module)
        if tally is None:
            tally = self.tallies[module] = Tally()
        tally.given = (*args, *kwargs.values()) if kwargs else args
        running = self.running
        if running:
            self.tallies[running[-1]].calls_modules = True
        outer, self.operations = self.operations, tally.operations
        running.append(module)
        try:
            shortcut = self.shortcuts.get(type(module))
            output = NotImplemented
            if shortcut is not None and len(args) == 1 and not (kwargs or _is_changed(module)):
                with _plain_functions():
                    if self.is_map(args[0]):
                        output = shortcut(self, module, args[0])
            if output is NotImplemented:
                output = module._call_impl(*args, **kwargs)
            tally.output = output
        except Exception as error:
            if self.stopped is None or self.stopped[0] is not error:
                self.stopped = (error, module, tally.given)
            raise
        finally:
            running.pop()
            self.operations = outer
        return output

    def book(
        self, name: str, kind: str, outputs: int, multiplications: int, additions: int, weight: str | None = None
    ) -> None:
        """Book one operation to the module that runs."""
        if self.kinds:
            kind = self.kinds.get(kind, kind)
        if multiplications or additions:
            self.operations.append(Operation(name, kind, outputs, multiplications, additions, weight))

    def book_macs(self, name: str, kind: str, outputs: int, macs: int, weight: str | None = None) -> None:
        """Book dot products: one addition less than multiplications for each output."""
        self.book(name, kind, outputs, macs, max(macs - outputs, 0), weight)

    def book_bias(self, outputs: int, bias: Tensor | None) -> None:
        """Book the addition of a bias to each output."""
        if bias is not None:
            self.book("add", "bias", outputs, 0, outputs, self.use(bias))


def _is_changed(module: Any) -> bool:
    """Whether a module does more than its class says, or runs inside a transformation such as vmap."""
    attributes = vars(module)
    return bool(
        attributes["_forward_hooks"]
        or attributes["_forward_pre_hooks"]
        or "forward" in attributes
        or _transform_level() is not None
    )
