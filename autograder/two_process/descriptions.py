"""The student's side: what is said about objects that do not cross by value."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
from typing import Any

import numpy as np
import torch

from autograder.two_process.mirrors import Mirrors
from autograder.two_process.values import Codec

__all__ = ["SPECIALS", "Descriptions"]

# The special methods that a handle has if the object has them.
_NAMES = """
    call iter next len getitem setitem delitem contains enter exit bool neg pos abs invert
    add sub mul truediv floordiv mod pow matmul and or xor radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul rand ror
    rxor iadd isub imul itruediv eq lt le gt ge
"""
SPECIALS = tuple(f"__{name}__" for name in _NAMES.split())
_OWN_ITERATORS = torch.nn.Module.parameters.__code__.co_filename
_SHARED_TYPES = (list, dict, set, np.ndarray, torch.Tensor)
_MOST_SHARED = 256
_MOST_ITEMS = 1000
_MOST_BYTES = 4 << 20


class Descriptions(Codec):
    """Writes values; what is not plain becomes a handle with a description.

    Attributes
    ----------
    objects : dict
        What the other side has handles of, by number.
    mirrors : Mirrors
    inputs : list of Tensor
        The tensors that take gradients among the arguments of the present request.
    sharing : bool
        Whether lists, arrays and the like that are now encoded are parts of the student's objects, so that a change on
        the other side must reach them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[int, Any] = {}
        self.mirrors = Mirrors(self, _MOST_SHARED)
        self.inputs: list[torch.Tensor] = []
        self.sharing = False
        self._numbers: dict[int, int] = {}
        self._described: set[int] = set()
        self._last_mirror = 0

    def number_of(self, value: Any) -> int:
        """The number of the handle for an object."""
        number = self._numbers.get(id(value))
        if number is None:
            number = len(self._numbers) + 1
            self.keep(number, value)
        return number

    def keep(self, number: int, value: Any) -> None:
        """Give an object this number."""
        self._numbers[id(value)] = number
        self.objects[number] = value

    def share(self, value: Any) -> int:
        """Keep an object in step with its twin on the other side from now on."""
        self._last_mirror += 1
        self.mirrors.add(self._last_mirror, value)
        return self._last_mirror

    def encode(self, value: Any, depth: int = 0) -> Any:
        message = super().encode(value, depth)
        if (
            self.sharing
            and not self.peeking
            and type(value) in _SHARED_TYPES
            and "mirror" not in message
            and _is_small(value)
        ):
            if type(value) is not torch.Tensor:
                message["m"] = self.share(value)
            elif not message["tensor"][3]:
                message["tensor"][3] = {"m": self.share(value), "p": False, "rg": False, "g": None}
        return message

    def opaque(self, value: Any) -> dict[str, Any]:
        kind = type(value)
        if isinstance(value, types.GeneratorType) and value.gi_code.co_filename == _OWN_ITERATORS:
            return {"items": [self.encode(item) for item in value]}  # parameters(), modules() and their like
        if isinstance(value, types.FunctionType) and hasattr(value, "callback_number"):
            return {"callback": value.callback_number}
        if isinstance(value, BaseException):
            return {"raised": self.describe_raised(value, "")}
        if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
            fields = [str(name) for name in kind._fields]
            return {"record": [self.describe(value), "tuple", fields, self.encode_all(tuple(value), 0)]}
        if isinstance(value, enum.Enum):
            return {"record": [self.describe(value), "enum", [value.name], []]}
        if not isinstance(value, type) and dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen:
            names = [field.name for field in dataclasses.fields(kind)]
            parts = [getattr(value, name) for name in names]
            return {"record": [self.describe(value), "dataclass", names, self.encode_all(parts, 0)]}
        return self.describe(value)

    def describe(self, value: Any) -> dict[str, Any]:
        """A handle; the first time with all that the other side is told about the object."""
        number = self.number_of(value)
        if number in self._described:
            return {"handle": [number]}
        self._described.add(number)
        if isinstance(value, type):
            if issubclass(value, BaseException):
                return {"handle": [number, "exception", self.describe_exception_class(value)]}
            kind, lineage, skill = "class", value.__mro__, type(value)
        else:
            routine, module = inspect.isroutine(value), isinstance(value, types.ModuleType)
            kind = "function" if routine else "module" if module else "object"
            lineage = skill = type(value)
            lineage = lineage.__mro__
        names = [[str(cls.__module__), str(cls.__qualname__)] for cls in lineage]
        skills = [name for name in SPECIALS if getattr(skill, name, None) is not getattr(object, name, None)]
        return {"handle": [number, kind, names, _name_of(value), skills]}

    def describe_raised(self, error: BaseException, frames: str) -> dict[str, Any]:
        """An exception: its class, text, arguments, and a handle for what else it has."""
        try:
            text = str(error)[:5000]
        except Exception:
            text = ""
        mark = len(self.blobs)
        try:
            arguments = self.encode(list(error.args))
        except Exception:
            del self.blobs[mark:]
            arguments = None
        return {
            "class": self.describe_exception_class(type(error)),
            "text": text,
            "args": arguments,
            "traceback": frames,
            "number": self.number_of(error),
            "raised_by_test": getattr(error, "raised_by_test", None),
        }

    def describe_exception_class(self, kind: type) -> list[Any]:
        """Module, name, number and bases."""
        bases = [self.describe_exception_class(base) for base in kind.__bases__ if issubclass(base, BaseException)]
        return [str(kind.__module__), str(kind.__qualname__), self.number_of(kind), bases]


def _name_of(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
    return name if isinstance(name, str) else ""


def _is_small(value: Any) -> bool:
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.nbytes <= _MOST_BYTES
    return len(value) <= _MOST_ITEMS
