"""Shape rules of operators that work element by element, and of those that only move elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from micronet_resources.counting.arithmetic import book_product, book_sum
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import ACTIVATIONS, words
from micronet_resources.counting.tensors import as_real, tensors_in

__all__ = ["ELEMENTWISE_RULES"]


def functions(*names: str) -> Iterator[Any]:
    """Every function and method of torch with one of these names."""
    for name in names:
        for place in (torch, Tensor, F, torch._C._nn, torch.special):
            found = getattr(place, name, None)
            if callable(found):
                yield found


def _activation(name: str) -> Callable[..., Any]:
    multiplications, additions = ACTIVATIONS[name]

    def rule(ledger: Ledger, input: Tensor, *options: Any, inplace: bool = False, **named: Any) -> Any:
        if not ledger.is_map(input) or not input.dtype.is_floating_point:
            return NotImplemented
        if (options or named) and _has_tensor(options, named):
            return NotImplemented
        size = input.numel()
        ledger.book(name, "activation", size, multiplications * size, additions * size)
        return input if inplace else ledger.like(input)

    return rule


def _in_place(rule: Callable[..., Any]) -> Callable[..., Any]:
    def in_place(ledger: Ledger, input: Tensor, *options: Any, **named: Any) -> Any:
        if not ledger.is_map(input):  # from here on it depends on the network's input: the operator mode notes that
            return NotImplemented
        out = rule(ledger, input, *options, **named)
        return input if isinstance(out, Tensor) and out.shape == input.shape else out

    return in_place


def _has_tensor(options: tuple[Any, ...], named: dict[str, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in options) or any(isinstance(v, Tensor) for v in named.values())


def _prelu(ledger: Ledger, input: Tensor, weight: Tensor) -> Any:
    if not ledger.is_map(input) or not ledger.is_static(weight):
        return NotImplemented
    ledger.use(weight)
    ledger.book("prelu", "activation", input.numel(), input.numel(), 0)
    return ledger.like(input)


def _softmax(name: str) -> Callable[..., Any]:
    inner = _activation(name)

    def rule(ledger: Ledger, input: Tensor, dim: Any = None, *options: Any, dtype: Any = None, **named: Any) -> Any:
        if dtype is not None or dim is None or options[1:]:
            return NotImplemented
        return inner(ledger, input)

    return rule


def _dropout(ledger: Ledger, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    if training or not ledger.is_map(input):
        return NotImplemented
    return input if inplace else ledger.like(input)


def _result(ledger: Ledger, input: Any, other: Any) -> Tensor | None:
    """Stand-in of arithmetic that keeps the shape of one side; None in any other case."""
    if not ledger.is_map(input):
        input, other = other, input
        if not ledger.is_map(input):
            return None
    if isinstance(other, Tensor):
        if input.dtype != other.dtype or input.dtype.is_complex:
            return None
        if input.shape != other.shape:
            if input.numel() < other.numel():
                input, other = other, input
                if not ledger.is_map(input):
                    return None
            sizes, smaller = input.shape, other.shape
            missing = len(sizes) - len(smaller)
            if missing < 0 or any(b not in (1, a) for a, b in zip(sizes[missing:], smaller, strict=True)):
                return None
    elif type(other) not in (int, float) or not input.dtype.is_floating_point:
        return None
    return ledger.like(input)


def _sum(name: str) -> Callable[..., Any]:
    def rule(ledger: Ledger, input: Any, other: Any, *, alpha: Any = 1) -> Any:
        out = _result(ledger, input, other) if alpha == 1 else None
        if out is None:
            return NotImplemented
        book_sum(ledger, name, out.numel(), input, other)
        return out

    return rule


def _product(name: str) -> Callable[..., Any]:
    def rule(ledger: Ledger, input: Any, other: Any) -> Any:
        out = _result(ledger, input, other)
        if out is None or not out.dtype.is_floating_point:
            return NotImplemented
        book_product(ledger, name, out.numel(), input, other)
        return out

    return rule


def _moved(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(ledger: Ledger, input: Any, *options: Any, **named: Any) -> Any:
        if not ledger.is_map(input) or any(True for _ in tensors_in(options, named)):
            return NotImplemented
        with as_real():
            return function(input, *options, **named)

    return rule


def _cat(ledger: Ledger, tensors: Any, dim: int = 0) -> Any:
    first = tensors[0]
    rank = first.dim()
    if not any(map(ledger.is_map, tensors)) or not -rank <= dim < rank:
        return NotImplemented
    dim %= rank
    shape, dtype = list(first.shape), first.dtype
    shape[dim] = 0
    for tensor in tensors:
        sizes = list(tensor.shape)
        if tensor.dtype != dtype or len(sizes) != rank:
            return NotImplemented
        shape[dim] += sizes[dim]
        sizes[dim] = shape[dim]
        if sizes != shape:
            return NotImplemented
        ledger.use(tensor)
    return ledger.new(shape, dtype)


VIEWS = words(
    """
    view reshape flatten unflatten permute transpose swapaxes swapdims movedim moveaxis t squeeze unsqueeze expand
    expand_as narrow select chunk split tensor_split unbind contiguous clone detach view_as reshape_as __getitem__
"""
)

ELEMENTWISE_RULES: dict[Any, Callable[..., Any]] = {F.prelu: _prelu, torch.prelu: _prelu, F.dropout: _dropout}
for _name in VIEWS:
    ELEMENTWISE_RULES |= {function: _moved(function) for function in functions(_name)}
for _function in (Tensor.T.__get__, Tensor.mT.__get__):  # type: ignore[attr-defined]
    ELEMENTWISE_RULES[_function] = _moved(_function)
for _function in functions("dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"):
    ELEMENTWISE_RULES[_function] = _dropout
for _function in functions("cat", "concat", "concatenate"):
    ELEMENTWISE_RULES[_function] = _cat
for _function in functions("softmax"):
    ELEMENTWISE_RULES[_function] = _softmax("_softmax")
for _function in functions("log_softmax"):
    ELEMENTWISE_RULES[_function] = _softmax("_log_softmax")
# F.relu6 and F.hardtanh clamp; the names on the left are those of the functions.
_ACTIVATIONS = {
    name: name for name in words("relu leaky_relu sigmoid tanh hardsigmoid elu celu selu silu hardswish gelu mish")
}
_ACTIVATIONS |= {
    "relu6": "hardtanh",
    "hardtanh": "hardtanh",
    "softplus": "softplus",
    "logsigmoid": "log_sigmoid_forward",
}
_ACTIVATIONS |= {name: name for name in words("exp log sqrt rsqrt sin cos erf log1p expm1")}
for _name, _cost in _ACTIVATIONS.items():
    ELEMENTWISE_RULES |= {function: _activation(_cost) for function in functions(_name)}
    ELEMENTWISE_RULES |= {function: _in_place(_activation(_cost)) for function in functions(f"{_name}_")}
_ARITHMETIC = {"add": _sum("add"), "sub": _sum("sub"), "mul": _product("mul"), "div": _product("div")}
_DUNDERS = {"add": "add radd", "sub": "sub rsub", "mul": "mul rmul", "div": "truediv rtruediv"}
_ALIASES = {"add": "add", "sub": "sub subtract", "mul": "mul multiply", "div": "div true_divide"}
for _name, _rule in _ARITHMETIC.items():
    _found = [*_ALIASES[_name].split(), *(f"__{dunder}__" for dunder in _DUNDERS[_name].split())]
    ELEMENTWISE_RULES |= dict.fromkeys(functions(*_found), _rule)
    _inside = [f"{alias}_" for alias in _ALIASES[_name].split()] + [f"__i{_DUNDERS[_name].split()[0]}__"]
    ELEMENTWISE_RULES |= dict.fromkeys(functions(*_inside), _in_place(_rule))
