"""The student's side: what a test may ask for."""

from __future__ import annotations

import copy
import importlib
import inspect
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["OPERATIONS", "find_named"]

_OPERATORS = """
    add sub mul truediv floordiv mod pow matmul and_ or_ xor neg pos abs invert iadd isub imul itruediv
    eq lt le gt ge getitem setitem delitem contains
"""
_MOST_FILE = 48 << 20


def find_named(name: str, namespace: dict[str, Any]) -> Any:
    """What ``module:name`` stands for; the notebook itself is the module ``__main__``."""
    module, _, path = name.partition(":")
    if module == "__main__":
        first, _, rest = path.partition(".")
        return operator.attrgetter(rest)(namespace[first]) if rest else namespace[first]
    found = sys.modules.get(module) or importlib.import_module(module)
    return operator.attrgetter(path)(found) if path else found


def _get(server: Any, name: str) -> Any:
    return server.namespace[name]


def _set(server: Any, name: str, value: Any) -> None:
    server.namespace[name] = value


def _delete(server: Any, name: str) -> None:
    server.namespace.pop(name, None)


def _signature(server: Any, function: Any) -> list[list[Any]]:
    parameters = inspect.signature(function).parameters.values()
    plain = (int, float, str, bool, type(None), tuple)
    return [
        [p.name, int(p.kind), [] if p.default is p.empty else [p.default if type(p.default) in plain else None]]
        for p in parameters
    ]


def _enter(server: Any, manager: Any) -> Any:
    return type(manager).__enter__(manager)


def _exit(server: Any, manager: Any, error: BaseException | None) -> bool:
    kind = None if error is None else type(error)
    traceback = None if error is None else error.__traceback__
    return bool(type(manager).__exit__(manager, kind, error, traceback))


def _backward(server: Any, number: int, gradient: Any) -> list[Any]:
    """The gradients of a call's inputs; parameters collect theirs here."""
    inputs = server.graphs[number]
    kept = [tensor.grad for tensor in inputs]
    for tensor in inputs:
        tensor.grad = None
    server.objects[number].backward(gradient, retain_graph=True)
    found = [tensor.grad for tensor in inputs]
    for tensor, gradient_before in zip(inputs, kept, strict=True):
        tensor.grad = gradient_before
    return found


def _export(server: Any, model: Any, *example: Any) -> dict[str, Any]:
    from factorkit.exported import describe

    return describe(model, *example)


def _imported(server: Any, *modules: str) -> list[str]:
    return [name for name in modules if name in sys.modules]


def _file(server: Any, path: str) -> bytes | None:
    """The contents of a file that the student's code has written."""
    found = Path(path)
    return found.read_bytes() if found.is_file() and found.stat().st_size <= _MOST_FILE else None


def _write(server: Any, path: str, contents: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(contents)


def _folder(server: Any, path: str) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)


def _call(server: Any, function: Any, *args: Any, **keywords: Any) -> Any:
    return function(*args, **keywords)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda server, *args: function(*args)


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: _plain(getattr(operator, name)) for name in _OPERATORS.split()},
    **{
        function.__name__: _plain(function)
        for function in (len, iter, next, str, repr, bool, dir, type, isinstance, issubclass, setattr, delattr)
    },
    "hash": _plain(hash),
    "attr": _plain(getattr),
    "copy": _plain(copy.copy),
    "deepcopy": _plain(copy.deepcopy),
    "same": _plain(lambda value: value),
    "get": _get,
    "set": _set,
    "delete": _delete,
    "has": lambda server, name: name in server.namespace,
    "call": _call,
    "signature": _signature,
    "enter": _enter,
    "exit": _exit,
    "backward": _backward,
    "export": _export,
    "imported": _imported,
    "file": _file,
    "write": _write,
    "folder": _folder,
}
