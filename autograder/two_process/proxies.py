"""Handles: what stands in the checking process for an object of the student's process.

A handle asks for each thing when it is needed. It is never compared with plain data, never takes part in arithmetic
with numbers of a test unless the lab itself asks for a class with operators, and never answers a protocol by which
libraries would take over memory (``__array_interface__`` and its like): special methods are not forwarded by name.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from autograder.two_process.classes import plain_name

__all__ = ["Link", "Remote", "link_of", "make_proxy"]

# Special attributes that are read as data; more of them for a class, whose methods a test may ask for by name.
_READABLE = ("__name__", "__qualname__", "__doc__", "__module__", "__dict__", "__annotations__", "__slots__")
_OF_CLASSES = ("__init__", "__repr__", "__str__", "__hash__", "__post_init__", "__abstractmethods__", "__members__")
_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
_ORDER = ("lt", "le", "gt", "ge")


@dataclass(frozen=True, eq=False)
class Link:
    """What a handle knows: its session, its number there, and what the other side said about the object."""

    session: Any
    number: int
    kind: str
    name: str
    own_class: str
    stand_in: type
    skills: frozenset[str]
    lineage: tuple[tuple[str, str], ...]

    @property
    def ours_to_define(self) -> bool:
        """Whether the lab asks the student for this class, so that its operators are part of the answer."""
        return self.own_class in self.session.owned

    def is_exactly(self, kind: type) -> bool:
        """Whether the object claims to be of this class, and the class is one that this process knows."""
        return (
            self.kind == "object" and kind is self.stand_in and (kind.__module__, kind.__qualname__) == self.lineage[0]
        )

    def refuse(self, *_: Any) -> Any:
        """Say that plain data was expected."""
        raise TypeError(f"expected plain data, got an object of class {self.own_class}")


def link_of(value: Any) -> Link | None:
    """The link of a handle, None for anything else; it does not ask the value."""
    return object.__getattribute__(value, "_link") if issubclass(type(value), Remote) else None


class Remote:
    """An object of the student's process."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        object.__setattr__(self, "_link", link)

    @property
    def __class__(self) -> type:  # type: ignore[override]
        kinds = {"class": type, "function": types.FunctionType, "module": types.ModuleType}
        return kinds.get(self._link.kind, self._link.stand_in)

    @property
    def __bases__(self) -> tuple[type, ...]:
        if self._link.kind != "class":
            raise AttributeError("__bases__")
        return (self._link.stand_in,)

    def __getattribute__(self, name: str) -> Any:
        if name in ("__doc__", "__module__", "__dict__", "__slots__", "__annotations__"):
            return Remote.__getattr__(self, name)
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        link = object.__getattribute__(self, "_link")
        if name == "__signature__" and link.kind in ("function", "class"):
            return link.session.signature(self)
        if name.startswith("__") and name.endswith("__"):
            if link.kind == "class" and (name in _OF_CLASSES or name in _FORWARDED):
                return link.session.ask("attr", self, name)
            if name not in _READABLE:
                raise AttributeError(f"{link.own_class!r} object has no attribute {name!r}")
        return link.session.ask("attr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.session.ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._link.session.ask("delattr", self, name)

    def __dir__(self) -> list[str]:
        return [str(name) for name in self._link.session.ask("dir", self)]

    def __str__(self) -> str:
        return _exact(str, self._link.session.ask("str", self))

    def __repr__(self) -> str:
        return _exact(str, self._link.session.ask("repr", self))

    def __copy__(self) -> Any:
        return self._link.session.ask("copy", self)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._link.session.ask("deepcopy", self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"an object of the student's class {self._link.own_class} cannot be pickled in a test")

    def __mro_entries__(self, bases: Any) -> Any:
        raise TypeError(
            f"a test cannot make a subclass of the student's class {self._link.name}: write one in a locked cell, or "
            "use an instance"
        )

    def __instancecheck__(self, value: Any) -> bool:
        if link_of(value) is None and not hasattr(type(value), "record_handle"):
            return False
        return self._link.session.ask("isinstance", value, self) is True

    def __subclasscheck__(self, value: Any) -> bool:
        return link_of(value) is not None and self._link.session.ask("issubclass", value, self) is True

    def __hash__(self) -> int:
        link = self._link
        if link.ours_to_define and "__eq__" in link.skills and link.kind == "object":
            return _exact(int, link.session.ask("hash", self))
        return hash((id(link.session), link.number))

    def __bool__(self) -> bool:
        link = self._link
        if link.kind != "object" or issubclass(link.stand_in, torch.nn.Module):
            return True
        if not link.ours_to_define:
            raise TypeError(f"expected plain data, got the truth of an object of class {link.own_class}")
        return not link.skills & {"__bool__", "__len__"} or link.session.ask("bool", self) is True

    def __eq__(self, other: Any) -> bool:
        link, theirs = self._link, link_of(other)
        if self is other or other is None:
            return self is other
        if link.is_exactly(other.__class__) and dataclasses.is_dataclass(link.stand_in):
            names = [field.name for field in dataclasses.fields(link.stand_in) if field.compare]
            return all(getattr(self, name) == getattr(other, name) for name in names)
        if theirs is None:
            return link.refuse()
        if link.kind == theirs.kind == "object" and link.ours_to_define:
            return link.session.ask("eq", self, other) is True
        if link.kind != "object" or issubclass(link.stand_in, torch.nn.Module):
            return False  # these are compared by identity
        return link.refuse()

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __round__(self, *_: Any) -> Any:
        return self._link.refuse()

    __float__ = __int__ = __index__ = __complex__ = __round__


def make_proxy(link: Link) -> Remote:
    """A handle with just the special methods that the object has."""
    skills = tuple(sorted(name for name in link.skills if name in _FORWARDED))
    return _class_of_handles(plain_name(link.own_class), skills)(link)


@functools.lru_cache(maxsize=4096)
def _class_of_handles(name: str, skills: tuple[str, ...]) -> type:
    return type(name, (Remote,), {"__slots__": (), **{skill: _FORWARDED[skill] for skill in skills}})


def _exact(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _call(self: Remote, *args: Any, **keywords: Any) -> Any:
    return self._link.session.ask("call", self, *args, keywords=keywords)


def _asking(operation: str, kind: type | None = None) -> Callable[..., Any]:
    def ask(self: Remote, *args: Any) -> Any:
        value = self._link.session.ask(operation, self, *args)
        return value if kind is None else _exact(kind, value)

    return ask


def _iterate(self: Remote) -> Any:
    found = self._link.session.ask("iter", self)
    return found if link_of(found) is not None else iter(found)


def _leave(self: Remote, kind: Any, error: Any, traceback: Any) -> bool:
    return self._link.session.ask("exit", self, error) is True


def _inside(self: Remote, item: Any) -> bool:
    if not self._link.ours_to_define:
        raise TypeError(f"'in' asks the student's class {self._link.own_class}: use list(...) first")
    return self._link.session.ask("contains", self, item) is True


def _arithmetic(operation: str, *, reflected: bool = False) -> Callable[[Remote, Any], Any]:
    """An operator; with an operand of the test's, the result stays on the student's side.

    Otherwise ``student - expected`` could bring back any number that the student's class likes.
    """

    def combine(self: Remote, other: Any) -> Any:
        link = self._link
        if not link.ours_to_define:
            return NotImplemented
        operands = (other, self) if reflected else (self, other)
        stay = operation != "matmul" and link_of(other) is None
        return link.session.ask(operation, *operands, stay=stay)

    return combine


def _unary(operation: str) -> Callable[[Remote], Any]:
    def apply(self: Remote) -> Any:
        return self._link.session.ask(operation, self, stay=True) if self._link.ours_to_define else self._link.refuse()

    return apply


def _order(operation: str) -> Callable[[Remote, Any], bool]:
    def compare(self: Remote, other: Any) -> bool:
        if not self._link.ours_to_define or link_of(other) is None:
            return self._link.refuse()
        return self._link.session.ask(operation, self, other) is True

    return compare


_FORWARDED: dict[str, Callable[..., Any]] = {
    "__call__": _call,
    "__iter__": _iterate,
    "__next__": _asking("next"),
    "__len__": _asking("len", int),
    "__getitem__": _asking("getitem"),
    "__setitem__": _asking("setitem"),
    "__delitem__": _asking("delitem"),
    "__contains__": _inside,
    "__enter__": _asking("enter"),
    "__exit__": _leave,
    **{f"__{name}__": _unary(name) for name in ("neg", "pos", "abs", "invert")},
    **{f"__{name}__": _order(name) for name in _ORDER},
}
for _name in _OPERATORS:
    _operation = f"{_name}_" if _name in ("and", "or") else _name
    _FORWARDED[f"__{_name}__"] = _arithmetic(_operation)
    _FORWARDED[f"__r{_name}__"] = _arithmetic(_operation, reflected=True)
for _name in ("iadd", "isub", "imul", "itruediv"):
    _FORWARDED[f"__{_name}__"] = _arithmetic(_name)
