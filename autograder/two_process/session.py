"""The checking side of one test: asks the student's process and believes only values that it has built itself."""

from __future__ import annotations

import builtins
import functools
import inspect
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from autograder.two_process import randomness
from autograder.two_process.bridges import join
from autograder.two_process.call_back import CallBack
from autograder.two_process.classes import class_by_name, stand_in
from autograder.two_process.mirrors import assign
from autograder.two_process.proxies import Link, Remote, link_of, make_proxy
from autograder.two_process.raised import ExceptionClasses
from autograder.two_process.records import build_record
from autograder.two_process.wire import Fault, receive, send

__all__ = ["Session"]

_NONE = inspect.Parameter.empty
_MOST_HANDLES = 20_000
_MOST_PRINTED = 100_000


class Session(CallBack):
    """One test cell's conversation with its snapshot of the student's process.

    Parameters
    ----------
    sock : socket.socket
    locked : dict
        Classes and functions of the instructor's cells, by name: the two sides have one each.
    owned : frozenset of str
        The names that the lab asks the student to define.
    deadline : float
        A time of `time.monotonic`; what is not there then never comes.

    Attributes
    ----------
    fault : Fault or None
        The first fault. From then on nothing is asked, and the test is lost whatever it catches.
    restructured : set of str
        Classes of the test's networks whose copies over there have got other parts.
    """

    def __init__(self, sock: socket.socket, locked: Mapping[str, Any], owned: frozenset[str], deadline: float) -> None:
        super().__init__(locked, sock, deadline)
        self.owned = owned
        self.fault: Fault | None = None
        self.closed = False
        self.restructured: set[str] = set()
        self.before_request: Callable[[], None] | None = None
        self._sequence = 0
        self._proxies: dict[int, Any] = {}
        self._lineages: dict[Any, type] = {}
        self.records: dict[int, Any] = {}
        self.record_classes: dict[Any, type] = {}
        self.exceptions = ExceptionClasses(self)

    # ---- asking

    def ask(self, operation: str, *args: Any, keywords: Mapping[str, Any] | None = None, stay: bool = False) -> Any:
        """Have an operation done on the student's side.

        Parameters
        ----------
        operation : str
            One of `autograder.two_process.operations.OPERATIONS`.
        *args, keywords
            Its arguments.
        stay : bool
            Leave the result there, whatever it is, and return a handle.

        Raises
        ------
        Fault
            If the other side is not able to answer properly.
        Exception
            What the student's code raised.
        """
        if self.fault is not None:
            raise self.fault
        if (what := _watching(operation)) is not None:
            raise TypeError(
                f"{what} cannot follow the student's code into its process: use trusted_copy(model, example)"
            )
        if self.closed:
            raise TypeError("this object of the student's is from an earlier test cell: build it again in this one")
        if self.before_request is not None:
            self.before_request()
        saved = self.sent, self.inputs, self.blobs
        self.sent, self.inputs, self.blobs = [], [], []
        self._sequence += 1
        sequence = self._sequence
        try:
            message = self._message(operation, args, keywords or {}, stay)
            send(self.sock, {**message, "seq": sequence}, self.blobs, self.deadline)
            while True:
                reply, blobs = receive(self.sock, self.deadline)
                if type(reply) is dict and ("callback" in reply or "backward_of" in reply):
                    self.call_back(reply, blobs)
                else:
                    return self._take(reply, blobs, operation, sequence)
        except Fault as fault:
            self.fault = self.fault or fault
            raise
        finally:
            self.sent, self.inputs, self.blobs = saved

    def close(self) -> None:
        """End the conversation; handles that are left over can no longer be used."""
        self.closed = True
        self.sock.close()

    def _message(self, operation: str, args: Sequence[Any], keywords: Mapping[str, Any], stay: bool) -> dict[str, Any]:
        message: dict[str, Any] = {
            "op": operation,
            "stay": stay,
            "grad": torch.is_grad_enabled(),
            "states": self.changed_states(),
            "push": self.mirrors.changes(),
            "training": self.training_flags(),
            "generators": [number for number in self.generators() if type(number) is int],
        }
        known = self.twin_numbers()
        self.tracking = True
        try:
            message["args"] = [self.encode(value) for value in args]
            message["keywords"] = {name: self.encode(value) for name, value in keywords.items()}
        finally:
            self.tracking = False
        new = [twin for twin in self.twins.values() if twin.number not in known]
        message["new_modules"] = [twin.number for twin in new if isinstance(twin.value, torch.nn.Module)]
        message["new_generators"] = [t.number for t in new if isinstance(t.value, randomness.GENERATOR_TYPES)]
        return message

    # ---- answers

    def _take(self, reply: Any, blobs: list[bytearray], operation: str, sequence: int) -> Any:
        """The value of a reply, after what else the request has changed; or raise what it raised."""
        raised = value = None
        with self.reading(blobs):
            if reply["seq"] != sequence:
                raise Fault("protocol", "an answer to another question")
            self.mirrors.apply(reply["push"])
            for number, contents in reply["updates"]:
                assign(self.sent[number], self.decode(contents))
            self.take_training_flags(reply["training"])
            self.restructured = {
                type(value).__name__ for n in reply["restructured"] if (value := self.twin_of(n)) is not None
            }
            for number in reply["drawn"]:
                self.jump(number)
            printed = str(reply["printed"])[:_MOST_PRINTED]
            caught = [(str(category), str(text)[:500]) for category, text in reply["warnings"][:20]]
            self.call_inputs = list(self.inputs)
            if "exception" in reply:
                raised = self._raised_there(reply["exception"], operation)
            else:
                value = self.decode(reply["value"])
        if printed:
            sys.stdout.write(printed)
        for category, text in caught:
            kind = getattr(builtins, category, UserWarning)
            is_warning = isinstance(kind, type) and issubclass(kind, Warning)
            warnings.warn(text, kind if is_warning else UserWarning, stacklevel=4)
        if raised is not None:
            raise raised
        return value

    def _raised_there(self, body: Any, operation: str) -> BaseException:
        module, name, *_ = body["class"]
        if operation == "next" and (module, name) == ("builtins", "StopIteration"):
            return StopIteration()
        own = body["raised_by_test"]
        if type(own) is int and 0 <= own < len(self.raised_here):
            return self.raised_here[own]
        return self.exceptions.build(body)

    def special(self, tag: str, body: Any) -> Any:
        match tag:
            case "argument":
                return self.sent[body]
            case "mirror":
                return self.mirrors[body]
            case "callback":
                return self.callbacks[body]
            case "items":
                return iter(self.decode_all(body, 0))
            case "raised":
                return self.exceptions.build(body)
            case "record":
                return build_record(self, *body)
            case "handle":
                return self._handle(*body)
        raise Fault("protocol", f"unknown kind of value {tag!r:.40}")

    def decode(self, message: Any, depth: int = 0) -> Any:
        value = super().decode(message, depth)
        if type(message) is dict and "m" in message and type(value) in (list, dict, set, np.ndarray):
            self.add_mirror(message["m"], value)
        return value

    def make_tensor(self, tensor: torch.Tensor, description: dict[str, Any]) -> torch.Tensor:
        if "m" in description:
            requires_grad = description["rg"] is True
            made = torch.nn.Parameter(tensor, requires_grad) if description["p"] is True else tensor
            made.requires_grad_(requires_grad)
            if description["g"] is not None:
                made.grad = self.decode(description["g"])
            self.add_mirror(description["m"], made)
            return made
        if "graph" in description:
            backward = functools.partial(self.ask, "backward", int(description["graph"]))
            return join(tensor, backward, self.call_inputs)
        return tensor

    def _handle(self, number: Any, *about: Any) -> Any:
        if number in self._proxies:
            return self._proxies[number]
        if (twin := self.twin_of(number)) is not None and isinstance(twin, randomness.GENERATOR_TYPES):
            return twin
        if type(number) is not int or not about or len(self._proxies) >= _MOST_HANDLES:
            raise Fault("protocol", "bad handle")
        if about[0] == "exception":
            proxy: Any = self.exceptions.find(about[1])
        else:
            kind, lineage = about[:2]
            known = class_by_name(lineage, self.locked) if kind == "class" else None
            proxy = make_proxy(self.link(number, *about)) if known is None else known
        self._proxies[number] = proxy
        return proxy

    def link(self, number: int, kind: Any, names: Any, name: Any, skills: Any) -> Link:
        """What a handle of this description knows."""
        lineage = tuple((str(module), str(cls)) for module, cls in names[:64])
        if lineage not in self._lineages:
            self._lineages[lineage] = stand_in(lineage, self.locked)
        skills = frozenset(skill for skill in skills if type(skill) is str)
        own = str(name) if kind == "class" else lineage[0][1]
        return Link(self, number, str(kind), str(name), own, self._lineages[lineage], skills, lineage)

    def handle_of(self, number: int) -> Remote:
        """A handle for an object that came as something else, such as an exception."""
        link = Link(self, number, "object", "", "object", object, frozenset(), (("builtins", "object"),))
        return Remote(link)

    # ---- questions with an answer of their own

    def wait(self, deadline: float) -> None:
        """Wait until the other side is there."""
        later, self.deadline = self.deadline, deadline
        self.ask("has", "__name__")
        self.deadline = later

    def signature(self, function: Remote) -> inspect.Signature:
        """The parameters of a function or class of the student's."""
        parameters = self.ask("signature", function)
        try:
            return inspect.Signature(
                [
                    inspect.Parameter(str(name), inspect._ParameterKind(kind), default=default[0] if default else _NONE)
                    for name, kind, default in parameters
                ]
            )
        except (TypeError, ValueError) as error:  # not the student's exception, which a test may expect
            self.fault = Fault("protocol", f"bad signature: {error}")
            raise self.fault from None

    def type_of(self, value: Any) -> Any:
        """``type(value)``: for an object of the student's the class that a test can compare with."""
        link = link_of(value)
        if link is None or link.kind != "object":
            return value.__class__
        known = link.stand_in
        exact = (known.__module__, known.__qualname__) == link.lineage[0] and known.__module__ != "__main__"
        is_locked = self.locked.get(link.lineage[0][1]) is known
        return known if exact or is_locked else self.ask("type", value)


def _watching(operation: str) -> str | None:
    """What of torch's watches or changes the operations of this process, and would see the wrong ones."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "torch.func"
    if operation == "call":
        modes = [*_get_current_function_mode_stack(), *_get_current_dispatch_mode_stack()]
        return next((type(mode).__name__ for mode in modes if not isinstance(mode, DeviceContext)), None)
    return None
