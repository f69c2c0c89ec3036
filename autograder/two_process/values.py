"""The closed set of values that cross by value between the two processes, the same in both directions.

A value crosses if its type *is* one of the set; an object of a subclass is not plain. `Codec` writes values as JSON
with blobs and reads them again; what is not plain goes to hooks, which the two sides define.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from autograder.two_process.arrays import raw
from autograder.two_process.kinds import DECODERS, encoder_of
from autograder.two_process.wire import Fault

__all__ = ["MAX_DEPTH", "Codec"]

MAX_DEPTH = 40
_SMALL = 1 << 63
_SCALARS = (type(None), bool, str, float)


class Codec:
    """Writes values as JSON with blobs, reads them again.

    Attributes
    ----------
    blobs : list of bytes
        The byte strings of what was encoded; the caller sends them along.
    peeking : bool
        Whether what is now encoded is only compared: nothing may get a number that the other side is never told.
    """

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self.received: list[bytearray] = []
        self.peeking = False

    # ---- hooks of the two sides

    def alias(self, value: Any) -> dict[str, Any] | None:
        """What stands for a value that the other side has already, if it has."""

    def opaque(self, value: Any) -> dict[str, Any]:
        """What stands for a value that is not plain."""
        raise TypeError(f"a {type(value).__name__} is no plain value")

    def special(self, tag: str, body: Any) -> Any:
        """The value of a tag that is not in the closed set."""
        raise Fault("protocol", f"unknown kind of value {tag!r:.40}")

    def describe_tensor(self, tensor: torch.Tensor) -> dict[str, Any]:
        """What the other side must know of a tensor beside its values."""
        return {}

    def make_tensor(self, tensor: torch.Tensor, description: dict[str, Any]) -> torch.Tensor:
        """The tensor that `describe_tensor` was told about, given one of the same values."""
        return tensor

    # ---- out

    def blob(self, data: bytes) -> int:
        """Take a byte string along; the answer is its number."""
        self.blobs.append(data)
        return len(self.blobs) - 1

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The value as something that `json` can write."""
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is int:
            return value if -_SMALL < value < _SMALL else {"int": hex(value)}
        known = None if self.peeking else self.alias(value)
        if known is not None:
            return known
        if depth <= MAX_DEPTH:
            encode = encoder_of(kind)
            body = encode(self, value, depth) if encode else None
            if body is not None:
                return body
        return {"id": id(value)} if self.peeking else self.opaque(value)

    def contents(self, value: Any) -> Any:
        """What a mirrored object contains, as if it were met for the first time and were not mirrored."""
        if isinstance(value, torch.Tensor):
            return {"tensor": [str(value.dtype), list(value.shape), self.blob(raw(value)), {}]}
        encode = encoder_of(type(value))
        return encode(self, value, 0)

    def outline(self, value: Any) -> Any:
        """What differs as soon as the value or a part of it has changed; nothing of it is ever sent."""
        before, self.blobs, self.peeking = self.blobs, [], True
        try:
            return json.dumps(self.contents(value)), self.blobs
        finally:
            self.blobs, self.peeking = before, False

    def encode_all(self, values: Iterable[Any], depth: int) -> list[Any]:
        """Each of the values."""
        values = list(values)
        if set(map(type, values)) <= {float, str}:  # long lists of numbers are common
            return values
        return [self.encode(value, depth + 1) for value in values]

    # ---- in

    @contextmanager
    def reading(self, blobs: list[bytearray]) -> Iterator[None]:
        """Decode with these blobs; what goes wrong is the other side's fault.

        Raises
        ------
        Fault
            Instead of any other exception.
        """
        before, self.received = self.received, blobs
        try:
            yield
        except Exception as error:
            raise Fault("protocol", f"bad value: {type(error).__name__}: {error!s:.150}") from None
        finally:
            self.received = before

    def read(self, message: Any, blobs: list[bytearray]) -> Any:
        """The value of what the other side's `encode` wrote; a Fault if it is nothing that `encode` writes."""
        with self.reading(blobs):
            return self.decode(message)

    def decode(self, message: Any, depth: int = 0) -> Any:
        """The value of a part of the message that is being read."""
        kind = type(message)
        if kind in _SCALARS or kind is int:
            return message
        if kind is not dict or not message or depth > MAX_DEPTH + 8:
            raise Fault("protocol", "bad value")
        tag, body = next(iter(message.items()))
        decode = DECODERS.get(tag)
        return decode(self, body, depth) if decode else self.special(tag, body)

    def decode_all(self, bodies: Any, depth: int) -> list[Any]:
        """Each of the values."""
        if type(bodies) is not list:
            raise Fault("protocol", "bad list")
        if set(map(type, bodies)) <= {float, str}:
            return list(bodies)
        return [self.decode(body, depth + 1) for body in bodies]
