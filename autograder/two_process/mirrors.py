"""Objects that exist on both sides: what one side changes in place, the other side is told with the next message.

A tensor's contents are compared as bytes: writing through ``.data`` or an array that shares its memory leaves no other
trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from autograder.two_process.arrays import raw
from autograder.two_process.values import Codec
from autograder.two_process.wire import Fault

__all__ = ["Mirrors", "assign"]


class Mirrors:
    """The mirrored objects of one side.

    Parameters
    ----------
    codec : Codec
        What contents are written and read with.
    most : int
        How many lists, dictionaries, sets and arrays are kept in step; the oldest ones become copies. Parameters and
        other tensors with gradients are kept in step always.
    """

    def __init__(self, codec: Codec, most: int) -> None:
        self._codec = codec
        self._most = most
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._known: dict[int, Any] = {}
        self._passing: list[int] = []

    def __contains__(self, number: int) -> bool:
        return number in self._objects

    def __getitem__(self, number: int) -> Any:
        return self._objects[number]

    def __len__(self) -> int:
        return len(self._objects)

    def number_of(self, value: Any) -> int | None:
        """The number of a mirrored object, None if it is not mirrored."""
        return self._numbers.get(id(value))

    def add(self, number: int, value: Any) -> None:
        """Keep an object in step from now on."""
        self._objects[number] = value
        self._numbers[id(value)] = number
        self._known[number] = None  # while its contents are looked at, it may be met again
        self._known[number] = self._state(value)
        if not _takes_gradients(value):
            self._passing.append(number)
            if len(self._passing) > self._most:
                self._drop(self._passing.pop(0))

    def changes(self) -> list[list[Any]]:
        """What has changed on this side since the two sides were last in step."""
        found = []
        for number, value in list(self._objects.items()):
            state = self._state(value)
            if state != self._known.get(number):
                self._known[number] = state
                found.append([number, *self._contents(value)])
        return found

    def apply(self, changes: Any) -> None:
        """Take over what has changed on the other side; `changes` are those of `changes`, not yet decoded."""
        for number, contents, gradient, requires_grad in changes:
            if type(number) is not int or number not in self._objects:
                continue
            value, new = self._objects[number], self._codec.decode(contents)
            if isinstance(value, torch.Tensor):
                value.requires_grad_(requires_grad is True)
                if value.shape == new.shape and value.dtype == new.dtype:
                    value.data.copy_(new)
                else:
                    value.data = new
                value.grad = None if gradient is None else self._codec.decode(gradient)
            else:
                assign(value, new)
            self._known[number] = self._state(value)

    def _drop(self, number: int) -> None:
        value = self._objects.pop(number)
        del self._known[number]
        self._numbers.pop(id(value), None)

    def _contents(self, value: Any) -> list[Any]:
        """The changed object for the wire: contents, gradient, whether it takes one."""
        contents = self._codec.contents(value)
        if not isinstance(value, torch.Tensor):
            return [contents, None, False]
        gradient = value.grad if value.is_leaf else None
        return [contents, None if gradient is None else self._codec.contents(gradient), value.requires_grad]

    def _state(self, value: Any) -> Any:
        """What differs as soon as something has changed."""
        if isinstance(value, torch.Tensor):
            gradient = value.grad if value.is_leaf else None
            return raw(value), None if gradient is None else raw(gradient), value.requires_grad, value.shape
        if isinstance(value, np.ndarray):
            return value.tobytes()
        return self._codec.outline(value)


def assign(old: Any, new: Any) -> None:
    """Give an object the contents of another one of its type, in place.

    Raises
    ------
    Fault
        If they are of different types.
    """
    if type(old) is not type(new):
        raise Fault("protocol", f"a {type(old).__name__} was to become a {type(new).__name__}")
    if isinstance(old, torch.Tensor):
        with torch.no_grad():
            if old.shape == new.shape and old.dtype == new.dtype:
                old.copy_(new)
            else:
                old.set_(new)
    elif isinstance(old, np.ndarray):
        old[...] = new
    elif isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)
    else:  # a table
        old.__init__(new)


def _takes_gradients(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.requires_grad or isinstance(value, torch.nn.Parameter))
