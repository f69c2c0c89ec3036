"""What runs in place of torch's functions while a forward pass is followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import words
from micronet_resources.counting.tensors import MAKERS, as_real, tensors_in
from micronet_resources.operations import KINDS

__all__ = ["ShapeMode", "ValueMode"]

Function = Callable[..., Any]
_in_transform = torch._C._functorch.maybe_current_level

# They answer from shape and type alone.
READERS = frozenset(
    [getattr(Tensor, name).__get__ for name in words("shape dtype ndim requires_grad is_nested is_sparse layout")]
    + [getattr(Tensor, name).__get__ for name in words("is_quantized is_mkldnn is_leaf grad_fn _version")]
    + [getattr(Tensor, name) for name in words("dim size numel nelement ndimension stride is_contiguous element_size")]
    + [getattr(Tensor, name) for name in words("is_floating_point is_complex __len__ storage_offset is_inference")]
    + [torch.is_tensor, torch.numel, torch.is_floating_point, torch.is_complex]
)
# They need values that a stand-in does not have.
VALUE_READERS = frozenset(
    words("item tolist numpy equal allclose __bool__ __float__ __int__ __index__ __array__ __contains__ __complex__")
)
DEVICE_MOVES = frozenset(words("to cuda cpu"))
RECURRENT = frozenset(
    [torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu]
    + [torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell]
)
# What the operators inside a function count as.
INNER_KINDS: Mapping[Any, Mapping[str, str]] = {
    **dict.fromkeys(RECURRENT, {"linear": "recurrent", "matmul": "recurrent"}),
    **dict.fromkeys([F.scaled_dot_product_attention, F.multi_head_attention_forward], {"matmul": "attention"}),
    **dict.fromkeys([F.rms_norm, torch.rms_norm], dict.fromkeys(KINDS, "normalization")),
}


@cache
def _name(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)


@cache
def _writes(name: str) -> bool:
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) or name in IN_PLACE


IN_PLACE = frozenset(
    f"__i{name}__" for name in words("add sub mul div truediv floordiv mod pow and or xor lshift rshift")
)


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
        name, ledger = _name(func), self.ledger
        if name == "__get__" and (answer := self._device_answer(func)) is not None:
            return answer
        if name in MAKERS:
            example = torch.empty(1, dtype=args[0].dtype, device=ledger.device).expand(args[0].shape)
            return self.compute(func, (example, *args[1:]), kwargs, [])
        given, options = ledger.stand_ins(args, states=func in RECURRENT), ledger.stand_ins(kwargs)
        if name in DEVICE_MOVES:
            given, options = _without_device(given, options)
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
        target = kwargs.get("out", args[0] if _writes(name) else None)
        if isinstance(target, Tensor):
            if ledger.is_static(target):
                ledger.write(target)
            return target if isinstance(out, Tensor) else out
        return out

    def _device_answer(self, func: Function) -> Any:
        attribute = func.__self__.__name__  # type: ignore[attr-defined]
        device = self.ledger.device
        if attribute == "device":
            return device
        return device.type == attribute.removeprefix("is_") if attribute in ("is_cuda", "is_cpu", "is_meta") else None

    def compute(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Tensor]) -> Any:
        """Run a function of static tensors alone on the tensors themselves."""
        name = _name(func)
        if len({tensor.is_meta for tensor in inputs}) > 1:
            args, kwargs = self.ledger.stand_ins(args), self.ledger.stand_ins(kwargs)
            inputs = list(tensors_in(args, kwargs))
        target = _renormalized(func, args, kwargs)
        if target is None:
            target = kwargs.get("out", args[0] if args and _writes(name) else None)
        with as_real():
            if name == "__set__":
                self.attributes.append((func.__self__, args[0], func.__self__.__get__(args[0])))  # type: ignore[attr-defined]
            if not isinstance(target, Tensor):
                out = func(*args, **kwargs)
            else:
                alias = self._writable(target)
                given, options = _exchanged((args, kwargs), target, alias)
                out = func(*given, **options)
                out = target if out is alias else out
                self.ledger.rewrite(target, inputs)
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


def _renormalized(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the table whose rows an embedding with a largest norm scales down, for good, before it reads them."""
    if func not in (F.embedding, F.embedding_bag):
        return None
    if (args[3] if len(args) > 3 else kwargs.get("max_norm")) is None:
        return None
    return args[1] if len(args) > 1 else kwargs["weight"]


def _exchanged(value: Any, old: Tensor, new: Tensor) -> Any:
    if isinstance(value, dict):
        return {key: _exchanged(item, old, new) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_exchanged(item, old, new) for item in value)
    return new if value is old else value


def _without_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of ``Tensor.to`` that change the type, without those that change the place."""
    kept = [args[0]]
    for value in args[1:]:
        if isinstance(value, Tensor):
            kept.append(value.dtype)
        elif isinstance(value, torch.dtype):
            kept.append(value)
    return tuple(kept), {key: value for key, value in kwargs.items() if key == "dtype" and value is not None}


class ValueMode(ShapeMode):
    """Runs everything for real, on copies, and books it by its shapes like :class:`ShapeMode`."""

    def __torch_function__(self, func: Function, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, ledger, name = kwargs or {}, self.ledger, _name(func)
        if func in READERS:
            return func(*args, **kwargs)
        inputs = list(tensors_in(args, kwargs))
        if all(map(ledger.is_static, inputs)):
            return self.compute(func, args, kwargs, inputs)
        if name in MAKERS:
            with as_real():
                return func(*args, **kwargs)
        if self._book(func, args, kwargs):
            with as_real():
                out = func(*args, **kwargs)
        else:
            out = func(*args, **kwargs)
        target = kwargs.get("out", args[0] if args and _writes(name) else None)
        if isinstance(target, Tensor) and ledger.is_static(target):
            ledger.write(target)
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
