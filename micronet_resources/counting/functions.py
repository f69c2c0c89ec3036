"""What is known of torch's functions by their names: which read values, which write, which are made of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from micronet_resources.counting.operator_costs import words
from micronet_resources.counting.tensors import tensors_in
from micronet_resources.operations import KINDS

__all__ = [
    "DEVICE_MOVES",
    "INNER_KINDS",
    "NUMBER_READERS",
    "READERS",
    "RECURRENT",
    "TENSOR_READERS",
    "VALUE_READERS",
    "altered",
    "name_of",
    "without_device",
    "written",
]

Function = Callable[..., Any]

# They answer from shape and type alone.
READERS = frozenset(
    [getattr(Tensor, name).__get__ for name in words("shape dtype ndim requires_grad is_nested is_sparse layout")]
    + [getattr(Tensor, name).__get__ for name in words("is_quantized is_mkldnn is_leaf grad_fn _version")]
    + [getattr(Tensor, name) for name in words("dim size numel nelement ndimension stride is_contiguous element_size")]
    + [getattr(Tensor, name) for name in words("is_floating_point is_complex __len__ storage_offset is_inference")]
    + [torch.is_tensor, torch.numel, torch.is_floating_point, torch.is_complex]
)
# They hand values to Python, which computes with them unseen: whole tensors, which the network needs for nothing else,
# or single numbers, which may only choose its way.
TENSOR_READERS = frozenset(words("tolist numpy __array__ __dlpack__"))
NUMBER_READERS = frozenset(words("item __float__ __int__ __index__ __complex__"))
# They need values that a stand-in does not have.
VALUE_READERS = frozenset([*TENSOR_READERS, *NUMBER_READERS, *words("equal allclose __bool__ __contains__")])
EMBEDDINGS = frozenset(words("embedding embedding_bag"))
NORMS_WITH_STATISTICS = frozenset(words("batch_norm instance_norm"))
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
IN_PLACE = frozenset(
    f"__i{name}__" for name in words("add sub mul div truediv floordiv mod pow and or xor lshift rshift")
)


@cache
def name_of(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)


@cache
def writes(name: str) -> bool:
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) or name in IN_PLACE


def written(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Tensors that a function writes its result to."""
    if kwargs.get("out") is not None:
        return list(tensors_in(kwargs["out"]))
    if args and (writes(name) or kwargs.get("inplace") is True):
        return list(tensors_in(args[0]))
    return []


def altered(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Tensors that a function changes beside its result."""
    if name in EMBEDDINGS and (args[3] if len(args) > 3 else kwargs.get("max_norm")) is not None:
        # Rows whose norm is larger are scaled down, for good, before they are read.
        return [args[1] if len(args) > 1 else kwargs["weight"]]
    if name in NORMS_WITH_STATISTICS and (kwargs.get("training") or kwargs.get("use_input_stats")):
        return list(tensors_in(args[1:3], kwargs.get("running_mean"), kwargs.get("running_var")))
    return []


def without_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of ``Tensor.to`` that change the type, without those that change the place."""
    kept = [args[0]]
    for value in args[1:]:
        if isinstance(value, Tensor):
            kept.append(value.dtype)
        elif isinstance(value, torch.dtype):
            kept.append(value)
    return tuple(kept), {key: value for key, value in kwargs.items() if key == "dtype" and value is not None}
