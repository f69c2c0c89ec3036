"""What test cells display beside text: kept as a notebook keeps it, as long as it is the instructor's own object."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import IPython.display
from IPython.core import display_functions

from autograder.two_process.proxies import link_of

__all__ = ["display", "displaying", "taken"]

_MOST = 200_000
_shown: list[dict[str, Any]] = []


def display(*things: Any, raw: bool = False, **_: Any) -> None:
    """Keep the rich form of the instructor's objects, print everything else."""
    for thing in things:
        data = _rich(thing, raw)
        if data is None:
            print(thing)
        elif sum(len(str(output)) for output in _shown) < _MOST:
            _shown.append({"output_type": "display_data", "data": data, "metadata": {}})


@contextlib.contextmanager
def displaying() -> Iterator[None]:
    """Let cells that import IPython's ``display`` get this one."""
    before = display_functions.display, IPython.display.display
    display_functions.display = IPython.display.display = display
    try:
        yield
    finally:
        display_functions.display, IPython.display.display = before


def taken() -> list[dict[str, Any]]:
    """What was displayed since this was asked last, as outputs."""
    found, _shown[:] = list(_shown), []
    return found


def _rich(thing: Any, raw: bool) -> dict[str, Any] | None:
    """An object's form for each MIME type, as plain data; None if it has none, or is the student's."""
    if link_of(thing) is not None:
        return None
    if raw:
        bundle = thing if type(thing) is dict else None
    else:
        method = getattr(type(thing), "_repr_mimebundle_", None)
        bundle = method(thing) if method is not None else None
    try:
        text = json.dumps(bundle)
    except (TypeError, ValueError, RecursionError):
        return None
    data = json.loads(text) if len(text) <= _MOST else None
    return data if isinstance(data, dict) and data and _is_valid(data) else None


def _is_valid(data: dict[str, Any]) -> bool:
    return all(isinstance(value, str) or kind.endswith("json") for kind, value in data.items())
