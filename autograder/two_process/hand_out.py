"""The checking side: how values of a test reach the student's process.

Plain values are written; modules, optimizers, instances of locked classes and the like are pickled, which is harmless
from the trusted side to the other one. Nothing is ever unpickled here.
"""

from __future__ import annotations

import collections.abc
import functools
import io
import itertools
import operator
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from autograder.two_process import randomness
from autograder.two_process.mirrors import Mirrors
from autograder.two_process.proxies import link_of
from autograder.two_process.tables import is_table
from autograder.two_process.values import Codec
from autograder.two_process.wire import Fault

__all__ = ["HandOut", "Twin"]

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType)
_FUNCTIONS += (functools.partial, functools._lru_cache_wrapper)
_MUTABLE = (list, dict, set, bytearray, np.ndarray)
_MOST_ITEMS = 100_000
_MOST_MIRRORS = 4096


@dataclass(frozen=True)
class Twin:
    """An object of the test's that the other side has a copy of; `outline` changes with all but its tensors."""

    number: int
    value: Any
    outline: bytes


class HandOut(Codec):
    """Writes the arguments of a test's calls.

    Attributes
    ----------
    sent : list
        The mutable arguments of the present request: what the other side changes in place comes back for them.
    tracking : bool
        Whether what is now encoded is an argument.
    """

    def __init__(self, locked: Mapping[str, Any]) -> None:
        super().__init__()
        self.locked = locked
        self.sent: list[Any] = []
        self.inputs: list[torch.Tensor] = []
        self.mirrors = Mirrors(self, _MOST_MIRRORS)
        self.twins: dict[int, Twin] = {}
        self.callbacks: list[Callable[..., Any]] = []
        self._callback_numbers: dict[int, int] = {}
        self._marks: dict[Any, Any] = {}
        self._own_mirrors = self._last_twin = 0
        self.tracking = False

    def alias(self, value: Any) -> dict[str, Any] | None:
        number = self.mirrors.number_of(value)
        if number is None:
            return None
        if isinstance(value, torch.Tensor) and value.requires_grad:
            self.inputs.append(value)
        return {"mirror": number}

    def encode(self, value: Any, depth: int = 0) -> Any:
        message = super().encode(value, depth)
        kind = type(value)
        if not self.tracking or self.peeking or type(message) is not dict or "mirror" in message:
            return message
        if kind in _MUTABLE or (kind is torch.Tensor and "m" not in message["tensor"][3]) or is_table(kind):
            message["k"] = len(self.sent)
            self.sent.append(value)
        return message

    def describe_tensor(self, tensor: torch.Tensor) -> dict[str, Any]:
        if tensor.requires_grad:
            self.inputs.append(tensor)
        if tensor.is_leaf and (tensor.requires_grad or isinstance(tensor, torch.nn.Parameter)):
            self._own_mirrors -= 1
            self.mirrors.add(self._own_mirrors, tensor)
            gradient = None if tensor.grad is None else self.contents(tensor.grad)
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            return {"m": self._own_mirrors, "p": is_parameter, "rg": tensor.requires_grad, "g": gradient}
        return {"rg": True} if tensor.requires_grad else {}

    def add_mirror(self, number: Any, value: Any) -> None:
        """Keep an object of the other side in step."""
        if type(number) is not int or number <= 0 or number in self.mirrors or len(self.mirrors) >= 4 * _MOST_MIRRORS:
            raise Fault("protocol", "bad number of a shared object")
        self.mirrors.add(number, value)

    def opaque(self, value: Any) -> dict[str, Any]:
        link = link_of(value)
        if link is not None:
            if link.session is not self:
                raise TypeError("this object of the student's is from an earlier test cell: build it again in this one")
            return {"handle": link.number}
        if isinstance(value, tuple) and getattr(value, "record_handle", None) is not None:
            return self.opaque(value.record_handle)
        number = getattr(value, "_number", None) if isinstance(value, BaseException) else None
        if number is None and isinstance(value, type) and issubclass(value, BaseException):
            number = self.exceptions.number_of(value) if self.qualified(value) is None else None
        if number is not None:
            return {"handle": number}
        if (callable(value) and not isinstance(value, torch.nn.Module)) or isinstance(value, types.ModuleType):
            name = self.qualified(value)
            if name is not None:
                return {"named": name}
            if isinstance(value, type):
                raise TypeError(f"the class {value.__name__} is made in the test: define it in a locked cell")
            if isinstance(value, _FUNCTIONS):
                return {"callback": self.register(value)}
        if isinstance(value, collections.abc.Iterator) and not isinstance(value, io.IOBase):
            items = list(itertools.islice(value, _MOST_ITEMS + 1))
            if len(items) > _MOST_ITEMS:
                raise TypeError("an endless iterator cannot be handed to the student's code: pass a list")
            return {"items": self.encode_all(items, 0)}
        return self._pickled(value)

    def register(self, function: Callable[..., Any]) -> int:
        """The number under which the other side can call a function."""
        number = self._callback_numbers.setdefault(id(function), len(self.callbacks))
        if number == len(self.callbacks):
            self.callbacks.append(function)
        return number

    def qualified(self, value: Any) -> str | None:
        """The name under which both sides find a class, function or module; None if there is none."""
        if isinstance(value, types.ModuleType):
            return f"{value.__name__}:"
        module = getattr(value, "__module__", None) or ""
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if not isinstance(name, str) or not isinstance(module, str):
            return None
        if self.locked.get(name) is value:
            return f"__main__:{name}"
        for candidate in (module, "torch", "torch.nn.functional", "numpy"):
            try:
                if candidate != "__main__" and operator.attrgetter(name)(sys.modules[candidate]) is value:
                    return f"{candidate}:{name}"
            except (AttributeError, KeyError):
                continue
        return None

    def _pickled(self, value: Any) -> dict[str, Any]:
        try:
            outline = _outline(value)
            twin = self.twins.get(id(value))
            if twin is not None and (twin.outline == outline or isinstance(value, randomness.GENERATOR_TYPES)):
                return {"handle": twin.number}
            file = io.BytesIO()
            _Pickler(self, file).dump(value)
        except (pickle.PicklingError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            if callable(value) and type(value).__module__ != "__main__" and not isinstance(value, torch.nn.Module):
                return {"callback": self.register(value)}
            raise TypeError(f"cannot hand a {type(value).__name__} to the student's code: {error}") from None
        self._last_twin -= 1
        self.twins[id(value)] = Twin(self._last_twin, value, outline)
        if isinstance(value, randomness.GENERATOR_TYPES):
            self._marks[self._last_twin] = randomness.mark(value)
        return {"pickle": [self.blob(file.getvalue()), self._last_twin]}

    # ---- what both sides have

    def twin_numbers(self) -> set[int]:
        """The numbers of the test's objects that the other side has copies of."""
        return {twin.number for twin in self.twins.values()}

    def twin_of(self, number: Any) -> Any:
        """The test's object of this number, None if there is none."""
        return next((twin.value for twin in self.twins.values() if twin.number == number), None)

    def training_flags(self) -> list[list[Any]]:
        """For each of the test's networks over there whether its modules are in training mode."""
        return [[number, [m.training for m in value.modules()]] for number, value in self._networks().items()]

    def take_training_flags(self, flags: Any) -> None:
        """Set these modes here too."""
        networks = self._networks()
        for number, modes in flags:
            if number in networks:
                for module, mode in zip(networks[number].modules(), modes, strict=False):
                    module.training = mode is True

    def _networks(self) -> dict[int, torch.nn.Module]:
        return {t.number: t.value for t in self.twins.values() if isinstance(t.value, torch.nn.Module)}

    def generators(self) -> dict[Any, Any]:
        """The generators of random numbers that both sides have."""
        own = {t.number: t.value for t in self.twins.values() if isinstance(t.value, randomness.GENERATOR_TYPES)}
        return {**randomness.SHARED, **own}

    def changed_states(self) -> list[list[Any]]:
        """The states of generators that were seeded here, or drawn from, since the last request."""
        found = []
        for number, generator in self.generators().items():
            mark = randomness.mark(generator)
            if mark != self._marks.get(number):
                self._marks[number] = mark
                found.append([number, self.encode(randomness.get_state(generator))])
        return found

    def jump(self, number: Any) -> None:
        """The other side drew from a generator; see `randomness.jump`."""
        generator = self.generators()[number]
        randomness.jump(generator)
        self._marks[number] = randomness.mark(generator)


class _Pickler(pickle.Pickler):
    """Pickles what is not plain; tensors, handles, classes and functions go the way they would go alone."""

    def __init__(self, codec: HandOut, file: io.BytesIO) -> None:
        super().__init__(file, 4)
        self._codec = codec

    def persistent_id(self, value: Any) -> Any:
        link = link_of(value)
        if link is not None:
            return "handle", link.number
        if type(value) in (torch.Tensor, torch.nn.Parameter):
            return "value", self._codec.encode(value)
        if isinstance(value, type | types.FunctionType):
            name = self._codec.qualified(value)
            if name is not None:
                return "named", name
            if isinstance(value, type):
                raise TypeError(f"the class {value.__name__} is made in the test: define it in a locked cell")
            return "callback", self._codec.register(value)
        return None


class _Outline(pickle.Pickler):
    """Pickles an object without its tensors, arrays and functions, to see whether anything else has changed."""

    def persistent_id(self, value: Any) -> Any:
        outside = isinstance(value, torch.Tensor | np.ndarray | type | types.FunctionType)
        return id(value) if outside or link_of(value) is not None else None


def _outline(value: Any) -> bytes:
    modes = [(module, module.training) for module in value.modules()] if isinstance(value, torch.nn.Module) else []
    file = io.BytesIO()
    try:
        for module, _ in modes:  # modes are told with every request
            module.training = True
        _Outline(file, 4).dump(value)
    finally:
        for module, mode in modes:
            module.training = mode
    return file.getvalue()
