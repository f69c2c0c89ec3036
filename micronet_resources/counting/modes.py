"""What runs in place of torch's functions while a forward pass is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils._python_dispatch import _disable_current_modes

from micronet_resources.counting.functions import (
    DEVICE_MOVES,
    INNER_KINDS,
    NUMBER_READERS,
    READERS,
    RECURRENT,
    TENSOR_READERS,
    VALUE_READERS,
    altered,
    name_of,
    without_device,
    written,
)
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.tensors import MAKERS, as_real, tensors_in

__all__ = ["ShapeMode", "ValueMode", "outer_modes_off"]

Function = Callable[..., Any]
_in_transform = torch._C._functorch.maybe_current_level


class ShapeMode(TorchFunctionMode):
    """Follows shapes: rules for the common functions, torch's operator library on stand-ins for all others.

    Functions of static tensors alone run as they are, on the tensors themselves; what they write is put back at the end
    with :meth:`restore`.
    """

    def __init__(self, ledger: Ledger, rules: Mapping[Any, Function]) -> None:
        super().__init__()
        self.ledger = ledger
        self.rules = rules
        self.needs_values: Exception | None = None
        self.saved: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}
        self.attributes: list[tuple[Any, Tensor, Any]] = []

    def __torch_function__(self, func: Function, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READERS:
            return func(*args, **kwargs) if kwargs else func(*args)
        return self.follow(func, args, kwargs or {})

    def follow(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Book a function and return a stand-in for its result."""
        rule = self.rules.get(func)
        if rule is not None and _in_transform() is None:
            ledger = self.ledger
            booked = len(ledger.operations)
            try:
                out = rule(ledger, *args, **kwargs)
            except TypeError:  # an option that the rule does not have: torch's operators are booked in its place
                out = NotImplemented
                del ledger.operations[booked:]
            if out is not NotImplemented:
                return out
        inputs = list(tensors_in(args, kwargs))
        if all(map(self.ledger.is_static, inputs)):
            return self.compute(func, args, kwargs, inputs)
        return self.stand_for(func, args, kwargs)

    def stand_for(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function that depends on the input on stand-ins, where the operator mode books it."""
        name, ledger = name_of(func), self.ledger
        if name == "__get__" and (answer := self._device_answer(func)) is not None:
            return answer
        if name in MAKERS:
            example = torch.empty(1, dtype=args[0].dtype, device=ledger.device).expand(args[0].shape)
            return self.compute(func, (example, *args[1:]), kwargs, [])
        given, options = ledger.stand_ins(args, states=func in RECURRENT), ledger.stand_ins(kwargs)
        if name in DEVICE_MOVES:
            given, options = without_device(given, options)
            func = Tensor.to if len(given) > 1 or options else Tensor.detach
        outer, ledger.kinds = ledger.kinds, INNER_KINDS.get(func, ledger.kinds)
        try:
            out = func(*given, **options)
        except Exception as error:
            if name in VALUE_READERS or isinstance(error, NotImplementedError):
                self.needs_values = error
            raise
        finally:
            ledger.kinds = outer
        targets = written(name, args, kwargs)
        ledger.overwrite(targets)
        if len(targets) == 1:
            return targets[0] if isinstance(out, Tensor) else out
        ledger.forget(tensors_in(out) if targets else ())
        return out

    def _device_answer(self, func: Function) -> Any:
        attribute = func.__self__.__name__  # type: ignore[attr-defined]
        device = self.ledger.device
        if attribute == "device":
            return device
        return device.type == attribute.removeprefix("is_") if attribute in ("is_cuda", "is_cpu", "is_meta") else None

    def compute(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Tensor]) -> Any:
        """Run a function of static tensors alone on the tensors themselves."""
        name = name_of(func)
        if len({tensor.is_meta for tensor in inputs}) > 1:
            args, kwargs = self.ledger.stand_ins(args), self.ledger.stand_ins(kwargs)
            inputs = list(tensors_in(args, kwargs))
        targets = written(name, args, kwargs) or altered(name, args, kwargs)
        with as_real():
            if name == "__set__":
                self.attributes.append((func.__self__, args[0], func.__self__.__get__(args[0])))  # type: ignore[attr-defined]
            if not targets:
                out = func(*args, **kwargs)
            else:
                aliases = {id(target): self._writable(target) for target in targets}
                given, options = _exchanged((args, kwargs), aliases)
                out = func(*given, **options)
                out = _exchanged(out, {id(aliases[id(target)]): target for target in targets})
                for target in targets:
                    self.ledger.rewrite(target, inputs)
        if isinstance(out, np.ndarray):
            return out.copy()  # it shares the memory of a weight
        if any(True for _ in tensors_in(out)):
            self.ledger.derive(name, inputs, (args, kwargs), tensors_in(out))
        return out

    def _writable(self, tensor: Tensor) -> Tensor:
        """Keep a tensor's values, and return another view of it: writing to that leaves its version as it was."""
        alias = tensor.data
        if id(tensor) not in self.saved and not tensor.is_meta:
            self.saved[id(tensor)] = (tensor, alias, alias.clone())
        return alias

    def restore(self) -> None:
        """Give tensors that were written to their values back."""
        for _, alias, values in reversed(self.saved.values()):
            alias.copy_(values)
        for attribute, tensor, value in reversed(self.attributes):
            attribute.__set__(tensor, value)


@contextmanager
def outer_modes_off() -> Iterator[None]:
    """Keep a count that is made inside another one's forward pass from being booked there too."""
    stack = _get_current_function_mode_stack()
    if not any(isinstance(mode, ShapeMode) for mode in stack):
        yield
        return
    others = [mode for mode in stack if not isinstance(mode, ShapeMode)]
    with _disable_current_modes():
        _exchange_modes(stack, others)
        try:
            yield
        finally:
            _exchange_modes(others, stack)


def _exchange_modes(old: list[TorchFunctionMode], new: list[TorchFunctionMode]) -> None:
    for _ in old:
        _pop_mode()
    for mode in new:
        _push_mode(mode)


def _exchanged(value: Any, others: Mapping[int, Tensor]) -> Any:
    """Exchange tensors, by their ``id``, for others."""
    if isinstance(value, dict):
        return {key: _exchanged(item, others) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_exchanged(item, others) for item in value)
    return others.get(id(value), value) if isinstance(value, Tensor) else value


class ValueMode(ShapeMode):
    """Runs everything for real, on copies, and books it by its shapes like :class:`ShapeMode`."""

    def __torch_function__(self, func: Function, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, ledger, name = kwargs or {}, self.ledger, name_of(func)
        if func in READERS:
            return func(*args, **kwargs)
        inputs = list(tensors_in(args, kwargs))
        if all(map(ledger.is_static, inputs)):
            return self.compute(func, args, kwargs, inputs)
        if name in MAKERS:
            with as_real():
                return func(*args, **kwargs)
        if name in TENSOR_READERS and any(tensor.is_floating_point() for tensor in inputs):
            ledger.uncounted[f"Python on the values of Tensor.{name}"] = None
        elif name in NUMBER_READERS or name in TENSOR_READERS:
            ledger.revealed = name
        if self._book(func, args, kwargs):
            with as_real():
                out = func(*args, **kwargs)
        else:
            out = func(*args, **kwargs)
        ledger.overwrite(written(name, args, kwargs))
        ledger.maps.update((id(tensor), tensor) for tensor in tensors_in(out))
        return out

    def _book(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Book a call from stand-ins; False if its result depends on values."""
        ledger = self.ledger
        booked, uncounted = len(ledger.operations), dict(ledger.uncounted)
        try:
            self.follow(func, ledger.stand_ins(args), ledger.stand_ins(kwargs))
        except Exception:
            del ledger.operations[booked:]
            ledger.uncounted, self.needs_values = uncounted, None
            return False
        return True
