"""The student's exceptions, as exceptions of the checking process.

A class of the student's becomes a new class under the nearest exceptions that both sides know. What ends loops or the
process (StopIteration, KeyboardInterrupt) is never raised here as such.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

from autograder.two_process.classes import plain_name
from autograder.two_process.wire import Fault

__all__ = ["ExceptionClasses", "StudentExit"]

_NEVER_RAISED = (StopIteration, StopAsyncIteration)
_GROUPS = (BaseExceptionGroup,)
_MOST_BASES = 16


class StudentExit(BaseException):
    """What is no ``Exception``, raised in the student's code."""


class _StudentsClass(type):
    """The class of the student's exception classes: calling one asks the student's process for an exception."""

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return cls.session.ask("call", cls, *args, keywords=keywords)


class ExceptionClasses:
    """Rebuilds the exceptions of one session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._classes: dict[int, type] = {}

    def number_of(self, kind: Any) -> int | None:
        """The number of the student's class that a class stands for."""
        for number, known in self._classes.items():
            if known is kind:
                return number
        return None

    def find(self, description: Any, depth: int = 0) -> type:
        """The class that a description stands for.

        Parameters
        ----------
        description : list
            Module, name, number and the descriptions of its bases that are exceptions.
        """
        module, name, number, bases = description
        if type(number) is not int or depth > _MOST_BASES or len(bases) > _MOST_BASES:
            raise Fault("protocol", "bad exception class")
        if number in self._classes:
            return self._classes[number]
        known = self._known(str(module), str(name))
        if known is not None:
            self._classes[number] = known
            return known
        parents = tuple(dict.fromkeys(self.find(base, depth + 1) for base in bases)) or (StudentExit,)
        content = {
            "session": self._session,
            "__module__": str(module),
            "__str__": _text,
            "__getattr__": _attribute,
            "_text": "",
            "_number": None,
        }
        made: type
        try:
            made = _StudentsClass(plain_name(name), parents, content)
        except TypeError:  # parents that do not go together
            made = _StudentsClass(plain_name(name), parents[:1], content)
        self._classes[number] = made
        return made

    def _known(self, module: str, name: str) -> type | None:
        if module == "__main__":
            found = self._session.locked.get(name)
        elif module == "builtins":
            found = getattr(builtins, name, None)
        else:
            found = getattr(sys.modules.get(module), name, None) if "." not in name else None
        if not (issubclass(type(found), type) and issubclass(found, BaseException)) or issubclass(found, _GROUPS):
            return None
        if issubclass(found, _NEVER_RAISED):
            return _Contained
        return (
            found if issubclass(found, Exception | SystemExit) and not module.startswith("autograder") else StudentExit
        )

    def build(self, body: Any) -> BaseException:
        """The exception that a description of A's stands for; not yet raised."""
        kind = self.find(body["class"])
        text = str(body["text"])
        arguments = self._session.decode(body["args"]) if body["args"] is not None else None
        error = _own_new(kind)(kind)
        error.args = tuple(arguments) if type(arguments) is list else (text,)
        if isinstance(error, OSError) and len(error.args) >= 2:
            error.errno, error.strerror = error.args[:2]
        if isinstance(error, SystemExit) and error.args:
            error.code = error.args[0]
        if isinstance(error, ImportError | SyntaxError):
            error.msg = text
        if type(kind) is _StudentsClass:
            error._text, error._number = text, body["number"]
        error.student_frames = str(body["traceback"])[:4000]
        return error


class _Contained(Exception):
    """An exception of the student's that would end a loop if it were raised under its own class."""


def _own_new(kind: type) -> Any:
    """How Python makes an exception of this class, without the class's own code."""
    return next(base.__new__ for base in kind.__mro__ if base.__module__ == "builtins")


def _text(error: Any) -> str:
    return error._text


def _attribute(error: Any, name: str) -> Any:
    if name.startswith("__") or error._number is None:
        raise AttributeError(name)
    return error.session.ask("attr", error.session.handle_of(error._number), name)
