"""The kinds of values that cross: for each type how it is written, for each tag how it is read.

The functions get the `autograder.two_process.values.Codec` at work, which writes and reads the parts of a value.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from autograder.two_process.arrays import (
    TENSOR_DTYPES,
    array_from,
    array_parts,
    is_plain_array,
    is_plain_tensor,
    raw,
    tensor_from,
)
from autograder.two_process.tables import is_table, table_from, table_parts
from autograder.two_process.wire import Fault

__all__ = ["DECODERS", "encoder_of"]

_Way = Callable[[Any, Any, int], Any]
_IN_WORDS = {  # types that their own text says all about
    "decimal": decimal.Decimal,
    "fraction": fractions.Fraction,
    "path": type(pathlib.Path()),
    "date": datetime.date,
    "time": datetime.time,
    "datetime": datetime.datetime,
}
# The exponent of a decimal number is short: the integer that it stands for may be asked for.
_WORDS = {tag: re.compile(r"[0-9T:.+-]{1,40}") for tag in ("date", "time", "datetime")} | {
    "decimal": re.compile(r"-?(\d{1,1000}(\.\d{0,1000})?(E[+-]?\d{1,3})?|NaN|Infinity)"),
    "fraction": re.compile(r"-?\d{1,1000}(/\d{1,1000})?"),
    "path": re.compile(r"[^\0]{0,4096}"),
}
_MOST_DIGITS = 100_000  # of a whole number, in hexadecimal
_FACTORIES = {kind.__name__: kind for kind in (list, int, float, set, dict, str, tuple, bool)}
_SEQUENCES = {kind.__name__: kind for kind in (list, tuple, set, frozenset, deque)}
_MAPPINGS = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}


def _sequence(codec: Any, value: Any, depth: int) -> dict[str, Any]:
    return {type(value).__name__: codec.encode_all(value, depth)}


def _mapping(codec: Any, value: Any, depth: int) -> dict[str, Any]:
    return {type(value).__name__: [codec.encode_all(value.keys(), depth), codec.encode_all(value.values(), depth)]}


def _defaultdict(codec: Any, value: Any, depth: int) -> dict[str, Any]:
    name = getattr(value.default_factory, "__name__", None)
    known = name if _FACTORIES.get(name) is value.default_factory else None
    return {"defaultdict": [known, codec.encode(dict(value), depth + 1)]}


def _array(codec: Any, value: np.ndarray, depth: int) -> dict[str, Any] | None:
    if value.dtype.kind == "O" and value.size <= 1 << 20:
        return {"objects": [list(value.shape), codec.encode_all(value.ravel().tolist(), depth)]}
    if not is_plain_array(value):
        return None
    dtype, shape, data = array_parts(value)
    return {"array": [dtype, shape, codec.blob(data)]}


def _scalar(codec: Any, value: np.generic, depth: int) -> dict[str, Any] | None:
    if not is_plain_array(np.asarray(value)):
        return None
    return {"scalar": [value.dtype.str, codec.blob(value.tobytes())]}


def _tensor(codec: Any, value: torch.Tensor, depth: int) -> dict[str, Any] | None:
    if not is_plain_tensor(value):
        return None
    return {"tensor": [str(value.dtype), list(value.shape), codec.blob(raw(value)), _about(codec, value)]}


def _about(codec: Any, tensor: torch.Tensor) -> dict[str, Any]:
    return {"id": id(tensor)} if codec.peeking else codec.describe_tensor(tensor)


def _dtype(codec: Any, value: torch.dtype, depth: int) -> dict[str, Any] | None:
    return {"torch.dtype": str(value)} if str(value) in TENSOR_DTYPES else None


def _structseq(codec: Any, value: tuple, depth: int) -> dict[str, Any]:
    return {"torch.returned": [type(value).__name__, codec.encode_all(value, depth)]}


def _table(codec: Any, value: Any, depth: int) -> dict[str, Any] | None:
    parts = table_parts(value)
    return None if parts is None else {"table": codec.encode(parts, depth + 1)}


def _in_words(tag: str) -> _Way:
    return lambda codec, value, depth: {tag: value.isoformat() if hasattr(value, "isoformat") else str(value)}


def _dtype_of_arrays(codec: Any, value: np.dtype, depth: int) -> dict[str, Any] | None:
    return {"dtype": value.str} if value.kind in "biufcSUMm" else None


def encoder_of(kind: type) -> _Way | None:
    """How a value of exactly this type is written; None if it is not in the closed set."""
    if kind in _ENCODERS:
        return _ENCODERS[kind]
    if issubclass(kind, np.generic) and kind.__module__ == "numpy":
        return _scalar
    if issubclass(kind, np.dtype) and kind.__module__ == "numpy.dtypes":
        return _dtype_of_arrays
    if kind.__module__ == "torch.return_types":
        return _structseq
    return _table if is_table(kind) else None


_ENCODERS: dict[type, _Way] = {
    **dict.fromkeys(_SEQUENCES.values(), _sequence),
    **dict.fromkeys(_MAPPINGS.values(), _mapping),
    defaultdict: _defaultdict,
    complex: lambda codec, value, depth: {"complex": [value.real, value.imag]},
    bytes: lambda codec, value, depth: {"bytes": codec.blob(value)},
    bytearray: lambda codec, value, depth: {"bytearray": codec.blob(bytes(value))},
    slice: lambda codec, value, depth: {"slice": codec.encode_all((value.start, value.stop, value.step), depth)},
    range: lambda codec, value, depth: {"range": [value.start, value.stop, value.step]},
    type(...): lambda codec, value, depth: {"ellipsis": 0},
    type(NotImplemented): lambda codec, value, depth: {"notimplemented": 0},
    datetime.timedelta: lambda codec, value, depth: {"timedelta": [value.days, value.seconds, value.microseconds]},
    **{kind: _in_words(tag) for tag, kind in _IN_WORDS.items()},
    np.ndarray: _array,
    torch.Tensor: _tensor,
    torch.nn.Parameter: _tensor,
    torch.Size: lambda codec, value, depth: {"torch.Size": list(value)},
    torch.dtype: _dtype,
    torch.device: lambda codec, value, depth: {"torch.device": str(value)},
}


def _returned(codec: Any, body: Any, depth: int) -> Any:
    name, items = body
    kind = getattr(torch.return_types, name)
    if not (isinstance(kind, type) and issubclass(kind, tuple) and kind.__module__ == "torch.return_types"):
        raise Fault("protocol", f"unknown result type {name!r:.40}")
    return kind(codec.decode_all(items, depth))


def _read_array(codec: Any, body: Any, depth: int) -> np.ndarray:
    dtype, shape, number = body
    return array_from(dtype, shape, codec.received[_index(number)])


def _read_objects(codec: Any, body: Any, depth: int) -> np.ndarray:
    shape, items = body
    array = np.empty(len(items), dtype=object)
    array[:] = codec.decode_all(items, depth)
    return array.reshape([_index(size) for size in shape])


def _read_tensor(codec: Any, body: Any, depth: int) -> torch.Tensor:
    dtype, shape, number, description = body
    return codec.make_tensor(tensor_from(dtype, shape, codec.received[_index(number)]), description)


def _index(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise Fault("protocol", f"bad number {number!r:.40}")
    return number


def _read_int(codec: Any, body: Any, depth: int) -> int:
    if type(body) is not str or len(body) > _MOST_DIGITS:
        raise Fault("protocol", "bad whole number")
    return int(body, 16)


def _read_defaultdict(codec: Any, body: Any, depth: int) -> defaultdict:
    name, items = body
    return defaultdict(_FACTORIES.get(name), codec.decode(items, depth + 1))


def _read_set(codec: Any, body: Any, depth: int) -> set:
    found = set()
    for item in codec.decode_all(body, depth):
        found.add(item)  # as in `_read_mapping`
    return found


def _read_mapping(kind: type) -> _Way:
    def read(codec: Any, body: Any, depth: int) -> Any:
        keys, values = body
        found = kind()
        for key, value in zip(codec.decode_all(keys, depth), codec.decode_all(values, depth), strict=True):
            found[key] = value  # one by one: keys that collide take long, and a loop can be interrupted
        return found

    return read


def _read_text(tag: str, kind: Any) -> _Way:
    make = getattr(kind, "fromisoformat", kind)

    def read(codec: Any, body: Any, depth: int) -> Any:
        if type(body) is not str or not _WORDS[tag].fullmatch(body):
            raise Fault("protocol", f"bad {tag}")
        return make(body)

    return read


DECODERS: dict[str, _Way] = {
    **{
        tag: lambda codec, body, depth, kind=kind: kind(codec.decode_all(body, depth))
        for tag, kind in _SEQUENCES.items()
    },
    "set": lambda codec, body, depth: _read_set(codec, body, depth),
    "frozenset": lambda codec, body, depth: frozenset(_read_set(codec, body, depth)),
    **{tag: _read_mapping(kind) for tag, kind in _MAPPINGS.items()},
    **{tag: _read_text(tag, kind) for tag, kind in _IN_WORDS.items()},
    "defaultdict": _read_defaultdict,
    "int": _read_int,
    "complex": lambda codec, body, depth: complex(*map(float, body)),
    "bytes": lambda codec, body, depth: bytes(codec.received[_index(body)]),
    "bytearray": lambda codec, body, depth: bytearray(codec.received[_index(body)]),
    "slice": lambda codec, body, depth: slice(*codec.decode_all(body, depth)),
    "range": lambda codec, body, depth: range(*map(int, body)),
    "ellipsis": lambda codec, body, depth: ...,
    "notimplemented": lambda codec, body, depth: NotImplemented,
    "timedelta": lambda codec, body, depth: datetime.timedelta(*map(int, body)),
    "array": _read_array,
    "objects": _read_objects,
    "scalar": lambda codec, body, depth: array_from(body[0], [], codec.received[_index(body[1])])[()],
    "dtype": lambda codec, body, depth: array_from(body, [0], bytearray()).dtype,
    "tensor": _read_tensor,
    "torch.Size": lambda codec, body, depth: torch.Size([_index(size) for size in body]),
    "torch.dtype": lambda codec, body, depth: TENSOR_DTYPES[body],
    "torch.device": lambda codec, body, depth: torch.device("cpu"),
    "torch.returned": _returned,
    "table": lambda codec, body, depth: table_from(codec.decode(body, depth + 1)),
}
