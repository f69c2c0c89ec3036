"""Arrays and tensors as a description and raw bytes."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

from autograder.two_process.wire import Fault

__all__ = ["TENSOR_DTYPES", "array_from", "array_parts", "is_plain_array", "is_plain_tensor", "raw", "tensor_from"]

TENSOR_DTYPES = {
    str(dtype): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
        *(torch.bool, torch.complex64, torch.complex128),
    )
}
_KINDS = "biufcSUMm"
_DTYPE = re.compile(r"[<>|=]?[biufcSUMm]\d{0,9}(\[\d{0,9}[A-Za-z]{1,2}\])?")
_LAST_CHARACTER = 0x10FFFF


def raw(tensor: torch.Tensor) -> bytes:
    """The values of a tensor, in order, as bytes."""
    values = tensor.detach().cpu().resolve_conj().resolve_neg()
    if not values.numel():
        return b""
    return values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def is_plain_array(array: np.ndarray) -> bool:
    """Whether bytes say all about it: no objects, no fields."""
    return array.dtype.kind in _KINDS and not array.dtype.hasobject


def is_plain_tensor(tensor: torch.Tensor) -> bool:
    """Whether bytes say all about it: dense, and of a common type."""
    return tensor.layout is torch.strided and str(tensor.dtype) in TENSOR_DTYPES and not tensor.is_meta


def array_parts(array: np.ndarray) -> tuple[str, list[int], bytes]:
    """The type, the shape and the bytes of an array."""
    return array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()


def array_from(dtype: Any, shape: Any, data: bytearray) -> np.ndarray:
    """The array that `array_parts` took apart; it may be written to.

    Raises
    ------
    Fault
        If the parts do not belong together, or bytes stand for no value of the type.
    """
    if type(dtype) is not str or not _DTYPE.fullmatch(dtype):
        raise Fault("protocol", f"bad array type {dtype!r:.60}")
    kind = np.dtype(dtype)
    if kind.kind not in _KINDS or kind.hasobject or _count(shape) * kind.itemsize != len(data):
        raise Fault("protocol", f"an array of type {dtype} and shape {shape!r:.60} does not have {len(data)} bytes")
    array = np.ndarray(tuple(shape), kind, buffer=data if data else None)
    if kind.kind == "b":
        _check_booleans(np.frombuffer(data, np.uint8) if data else array.view(np.uint8))
    if kind.kind == "U" and data:
        codes = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(kind.byteorder))
        if codes.max() > _LAST_CHARACTER:
            raise Fault("protocol", "an array of text holds what is no character")
    return array


def tensor_from(dtype: Any, shape: Any, data: bytearray) -> torch.Tensor:
    """A new tensor of these values, which owns its memory."""
    kind = TENSOR_DTYPES.get(dtype) if type(dtype) is str else None
    if kind is None or _count(shape) * kind.itemsize != len(data):
        raise Fault("protocol", f"a tensor of {dtype!r:.40} and shape {shape!r:.60} does not have {len(data)} bytes")
    if not data:
        return torch.empty(shape, dtype=kind)
    if kind is torch.bool:
        _check_booleans(np.frombuffer(data, np.uint8))
    return torch.frombuffer(data, dtype=torch.uint8).clone().view(kind).reshape(shape)


def _count(shape: Any) -> int:
    if type(shape) is not list or len(shape) > 32 or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
        raise Fault("protocol", f"bad shape {shape!r:.60}")
    return math.prod(shape)


def _check_booleans(codes: np.ndarray) -> None:
    """A third truth value could be equal to both others."""
    if codes.size and codes.max() > 1:
        raise Fault("protocol", "a truth value is neither 0 nor 1")
