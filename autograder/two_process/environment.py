"""What test cells and locked cells find around them in the checking process."""

from __future__ import annotations

import contextlib
import functools
import inspect
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from torch.nn.modules.module import register_module_module_registration_hook

from autograder.two_process.compiled import TYPE_OF
from autograder.two_process.displays import display, displaying
from autograder.two_process.proxies import link_of
from autograder.two_process.source import source_of
from autograder.two_process.wire import Fault

__all__ = ["checking", "plain_shell", "time_limit"]

_REPEAT = 0.5


class _NoShell:
    """What ``get_ipython()`` gives: magics do nothing here."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **keywords: None


@contextlib.contextmanager
def checking(names: dict[str, Any], session: Any, texts: Sequence[str]) -> Iterator[None]:
    """Let ``type``, ``inspect.getsource``, ``display`` and warnings work for handles and without IPython."""
    dict.__setitem__(names, TYPE_OF, session.type_of if session is not None else lambda value: type(value))
    dict.update(names, plain_shell())
    getsource, getsourcelines = inspect.getsource, inspect.getsourcelines

    @functools.wraps(getsource)
    def find_source(thing: Any) -> str:
        link = link_of(thing)
        return getsource(thing) if link is None else source_of(link.name, texts)

    @functools.wraps(getsourcelines)
    def find_lines(thing: Any) -> tuple[list[str], int]:
        return getsourcelines(thing) if link_of(thing) is None else (find_source(thing).splitlines(True), 1)

    inspect.getsource, inspect.getsourcelines = find_source, find_lines
    hook = register_module_module_registration_hook(_refuse_students_module)
    try:
        with warnings.catch_warnings(), displaying():
            warnings.showwarning = _show_warning
            yield
    finally:
        hook.remove()
        inspect.getsource, inspect.getsourcelines = getsource, getsourcelines


def _refuse_students_module(module: Any, name: str, part: Any) -> None:
    if link_of(part) is not None:
        raise TypeError(
            f"a student's network cannot become a part of a {type(module).__name__} of the test's: "
            "put trusted_copy(network, example) there"
        )


def plain_shell() -> dict[str, Any]:
    """The names that IPython adds to a notebook, as they are without IPython."""
    return {"get_ipython": _NoShell, "display": display}


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """On stdout: anything on stderr costs a test all its points."""
    sys.stdout.write(f"{category.__name__}: {message}\n")


@contextlib.contextmanager
def time_limit(seconds: float, session: Any = None) -> Iterator[None]:
    """Raise a Fault after so many seconds, again and again should it be caught."""

    def stop(*_: Any) -> None:
        fault = Fault("timeout", "the time limit was reached")
        if session is not None:
            session.fault = fault = session.fault or fault
        raise fault

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
