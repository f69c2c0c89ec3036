"""The globals of the checking process: what is not its own is asked from the student's snapshot."""

from __future__ import annotations

import builtins
import contextlib
import sys
import types
from typing import Any

from autograder.two_process.plan import STUDENTS_MODULES, Step
from autograder.two_process.proxies import link_of

__all__ = ["Names"]


class Names(dict):
    """A dictionary of globals; Python looks names up in it at run time, so a missing name is asked where it is used.

    Attributes
    ----------
    session : Session or None
        The present test's; None while locked cells run.
    theirs, ours : frozenset of str
        See `autograder.two_process.plan.Step`.
    broken : dict
        Names that a failed locked cell should have bound, and why they are missing.
    """

    def __init__(self) -> None:
        super().__init__(__name__="__main__", __doc__=None, __builtins__=builtins)
        self.session: Any = None
        self.theirs: frozenset[str] = frozenset()
        self.ours: frozenset[str] = frozenset()
        self.broken: dict[str, str] = {}
        self._aside: dict[str, Any] = {}  # modules of our own that tests ask on the student's side
        self._main = types.ModuleType("__main__")
        self._main.__getattr__ = self._attribute_of_main

    def enter(self, step: Step, session: Any) -> None:
        """Make ready for a cell."""
        self.session = None
        self.theirs, self.ours = step.theirs, step.ours
        self.update(self._aside)
        self._aside.clear()
        for name, value in list(self.items()):
            is_asked = session is not None and type(value) is types.ModuleType and value.__name__ in STUDENTS_MODULES
            if is_asked:
                self._aside[name] = value
            if is_asked or name in self.theirs:
                dict.__delitem__(self, name)
        self.session = session
        self.publish()

    def publish(self) -> None:
        """Let ``__main__`` be the notebook, for pickle and dataclasses."""
        sys.modules["__main__"] = self._main
        vars(self._main).update(self)

    def locked(self) -> dict[str, Any]:
        """The classes and functions that cells of the instructor's define."""
        kinds = (type, types.FunctionType)
        return {
            name: value
            for name, value in self.items()
            if issubclass(type(value), kinds) and getattr(value, "__module__", "") == "__main__"
        }

    def _attribute_of_main(self, name: str) -> Any:
        try:
            return dict.__getitem__(self, name)
        except KeyError:
            raise AttributeError(f"the notebook has no {name!r}") from None

    def __missing__(self, name: str) -> Any:
        if name in self.broken:
            raise NameError(self.broken[name])
        is_theirs = name in self.theirs
        if not is_theirs and (name in self.ours or hasattr(builtins, name) or name.startswith("__")):
            raise KeyError(name)
        if self.session is None:
            raise KeyError(name)
        try:
            return self.session.ask("get", name)
        except KeyError:
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        if dict.__contains__(self, name):
            return True
        asked = self.session is not None and type(name) is str and name not in self.ours
        return asked and self.session.ask("has", name) is True

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - this is what `get` means here

    def __setitem__(self, name: str, value: Any) -> None:
        """A test that binds a name of the student's means the name that the student's code reads, too."""
        dict.__setitem__(self, name, value)
        if self.session is not None and name in self.theirs and link_of(value) is None:
            with contextlib.suppress(TypeError):
                self.session.ask("set", name, value)

    def __delitem__(self, name: str) -> None:
        if self.session is not None and name in self.theirs:
            self.session.ask("delete", name)
            self.pop(name, None)
        else:
            dict.__delitem__(self, name)
