"""Dataclasses as JSON data and back, checked against their annotations.

Only what the records of grading are made of: dataclasses, lists and tuples of one type, dicts with text as keys, string
enumerations, notebooks, None, numbers and text.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import nbformat
from nbformat.notebooknode import NotebookNode

__all__ = ["from_plain", "to_plain"]


def to_plain(value: Any) -> Any:
    """A record as JSON data.

    Examples
    --------
    >>> from autograder.submissions import Finding
    >>> to_plain((Finding("moved", "check", "graded in its own place"),))
    [{'kind': 'moved', 'cell': 'check', 'message': 'graded in its own place'}]
    """
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, NotebookNode):
        return value
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: Any, data: Any) -> Any:
    """Read what `to_plain` wrote.

    Parameters
    ----------
    kind : type
        What it is to be: a dataclass, or an annotation such as ``tuple[Finding, ...]``.
    data : JSON data

    Raises
    ------
    ValueError
        If the data are of another kind: written by another version, or damaged.

    Examples
    --------
    >>> from autograder.submissions import Finding
    >>> from_plain(tuple[Finding, ...], [{"kind": "moved", "cell": "check", "message": ""}])
    (Finding(kind='moved', cell='check', message=''),)
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        [inner] = [argument for argument in arguments if argument is not type(None)]
        return from_plain(inner, data)
    if origin is typing.Literal:
        return _checked(data in arguments, kind, data)
    if origin in (list, tuple):
        return origin(from_plain(arguments[0], item) for item in _checked(isinstance(data, list), kind, data))
    if origin is dict:
        return {
            key: from_plain(arguments[1], item) for key, item in _checked(isinstance(data, dict), kind, data).items()
        }
    if is_dataclass(kind):
        known = _annotations(kind)
        if not isinstance(data, dict) or not data.keys() <= known.keys():
            raise ValueError(f"no {kind.__name__}: {str(data)[:80]}")
        try:
            return kind(**{name: from_plain(known[name], item) for name, item in data.items()})
        except TypeError as error:
            raise ValueError(f"no {kind.__name__}: {error}") from None
    if kind is NotebookNode:
        return nbformat.from_dict(_checked(isinstance(data, dict), kind, data))
    if kind is float:
        return float(_checked(isinstance(data, int | float), kind, data))
    if issubclass(kind, Enum):
        return kind(data)
    return _checked(isinstance(data, kind), kind, data)


def _checked(right: bool, kind: Any, data: Any) -> Any:
    if not right:
        raise ValueError(f"no {getattr(kind, '__name__', kind)}: {str(data)[:80]}")
    return data


@functools.cache
def _annotations(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
