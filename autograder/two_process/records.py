"""Small records of the student's: named tuples, frozen dataclasses, members of an enumeration.

Where the checking process knows the class itself (it stands in a locked cell or in an installed module), it builds the
record by its own class, without running any code of it. Other named tuples get a class of the same fields, whose
further methods ask the student's side; other dataclasses and enumerations stay handles.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections import namedtuple
from typing import Any

from autograder.two_process.wire import Fault

__all__ = ["build_record"]


def build_record(session: Any, handle: Any, kind: Any, fields: Any, parts: Any) -> Any:
    """The record that A's description stands for.

    Parameters
    ----------
    session : Session
    handle : dict
        The record as a handle.
    kind : str
        ``tuple``, ``dataclass`` or ``enum``.
    fields : list of str
        Names of the fields, or the name of the member.
    parts : list
        The values of the fields, encoded.
    """
    number = handle["handle"][0]
    if number in session.records:
        return session.records[number]
    twin = session.twin_of(number)
    if twin is not None:
        return twin
    proxy = session.decode(handle)
    lineage = proxy._link.lineage
    known = _known(session, *lineage[0])
    values = session.decode_all(parts, 0)
    names = [str(field) for field in fields]
    record: Any = proxy
    if kind == "enum" and known is not None and issubclass(known, enum.Enum) and names[0] in known.__members__:
        record = known[names[0]]
    elif kind == "dataclass" and known is not None and _has_fields(known, names):
        record = object.__new__(known)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(record, name, value)
    elif kind == "tuple":
        if known is not None and issubclass(known, tuple) and list(getattr(known, "_fields", ())) == names:
            record = tuple.__new__(known, values)
        else:
            record = tuple.__new__(_tuple_class(session, lineage[0], names), values)
            record.record_handle = proxy
        if len(values) != len(names):
            raise Fault("protocol", "bad record")
    session.records[number] = record
    return record


def _known(session: Any, module: str, name: str) -> type | None:
    found = session.locked.get(name) if module == "__main__" else getattr(sys.modules.get(module), name, None)
    return found if issubclass(type(found), type) else None


def _has_fields(known: type, names: list[str]) -> bool:
    return (
        dataclasses.is_dataclass(known)
        and known.__dataclass_params__.frozen
        and [field.name for field in dataclasses.fields(known)] == names
        and not issubclass(known, tuple)
    )


def _tuple_class(session: Any, lineage: tuple[str, str], names: list[str]) -> type:
    key = lineage, tuple(names)
    if key not in session.record_classes:
        title = lineage[1].rpartition(".")[2]
        base = namedtuple(title if title.isidentifier() else "Record", names)  # noqa: PYI024 - made from data
        content = {"__getattr__": _attribute, "record_handle": None, "__module__": lineage[0]}
        session.record_classes[key] = type(base.__name__, (base,), content)
    return session.record_classes[key]


def _attribute(record: Any, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(record.record_handle, name)
