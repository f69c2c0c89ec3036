"""The student's side: a snapshot of the process that ran the notebook answers the questions of one test.

Nothing here is trusted by anybody. It runs among the student's code, so what it needs is bound when it is imported.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import socket
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from autograder.two_process import randomness
from autograder.two_process.arrays import raw
from autograder.two_process.bridges import join
from autograder.two_process.descriptions import Descriptions
from autograder.two_process.operations import OPERATIONS, find_named
from autograder.two_process.wire import Fault, receive, send

__all__ = ["serve"]

_MOST_PRINTED = 1 << 20
_STATE_READS = ("get", "attr", "getitem")
_HERE = __file__.rpartition("/")[0]


def serve(namespace: dict[str, Any], sock: socket.socket) -> None:
    """Answer the requests of one test until the other side ends the connection.

    Parameters
    ----------
    namespace : dict
        The globals of the notebook as they are at the test's place.
    sock : socket.socket
        One end of the pair whose other end the checking process has.
    """
    server = _Server(namespace, sock)
    with contextlib.suppress(Fault):
        while True:
            server.answer(*receive(sock))


class _Server(Descriptions):
    """Handles, mirrored objects and what belongs to the request that is being answered."""

    def __init__(self, namespace: dict[str, Any], sock: socket.socket) -> None:
        super().__init__()
        self.namespace = namespace
        self._sock = sock
        self.sent_by_test: dict[int, Any] = {}  # the request's mutable arguments by their numbers
        self.graphs: dict[int, list[torch.Tensor]] = {}
        self._callback_inputs: list[torch.Tensor] = []
        self._structures: dict[int, list[Any]] = {}

    # ---- values

    def alias(self, value: Any) -> dict[str, Any] | None:
        for number, argument in self.sent_by_test.items():
            if argument is value:
                return {"argument": number}
        number = self.mirrors.number_of(value)
        return None if number is None else {"mirror": number}

    def describe_tensor(self, tensor: torch.Tensor) -> dict[str, Any]:
        if tensor.is_leaf and (tensor.requires_grad or isinstance(tensor, torch.nn.Parameter)):
            number = self.share(tensor)
            gradient = None if tensor.grad is None else self.contents(tensor.grad)
            return {"m": number, "p": isinstance(tensor, torch.nn.Parameter), "rg": tensor.requires_grad, "g": gradient}
        if tensor.requires_grad:
            number = self.number_of(tensor)
            self.graphs.setdefault(number, list(self.inputs))
            return {"graph": number}
        return {}

    def decode(self, message: Any, depth: int = 0) -> Any:
        value = super().decode(message, depth)
        if type(message) is dict and "k" in message:
            self.sent_by_test[message["k"]] = value
        return value

    def make_tensor(self, tensor: torch.Tensor, description: dict[str, Any]) -> torch.Tensor:
        if "m" in description:
            made = torch.nn.Parameter(tensor, description["rg"]) if description["p"] else tensor
            made.requires_grad_(description["rg"])
            if description["g"] is not None:
                made.grad = self.decode(description["g"])
            self.mirrors.add(description["m"], made)
        elif "back" in description:
            backward = functools.partial(self._backward_of_callback, description["back"])
            return join(tensor, backward, self._callback_inputs)
        else:
            made = tensor.requires_grad_(bool(description.get("rg")))
        if made.requires_grad:
            self.inputs.append(made)
        return made

    def special(self, tag: str, body: Any) -> Any:
        match tag:
            case "handle":
                return self.objects[body]
            case "mirror":
                value = self.mirrors[body]
                if isinstance(value, torch.Tensor) and value.requires_grad:
                    self.inputs.append(value)
                return value
            case "named":
                return find_named(body, self.namespace)
            case "callback":
                return self._callback(body)
            case "items":
                return iter(self.decode_all(body, 0))
            case "pickle":
                return self._unpickle(*body)
        raise Fault("protocol", f"unknown tag {tag}")

    def _unpickle(self, blob: int, number: int) -> Any:
        """An object of the test's; pickle is harmless in this direction."""
        find = {"handle": self.objects.__getitem__, "callback": self._callback, "value": self.decode}
        find["named"] = lambda name: find_named(name, self.namespace)
        unpickler = pickle.Unpickler(io.BytesIO(self.received[blob]))
        unpickler.persistent_load = lambda reference: find[reference[0]](reference[1])
        value = unpickler.load()
        self.keep(number, value)
        if isinstance(value, torch.nn.Module):
            self._structures[number] = _structure(value)
        return value

    def _callback(self, number: int) -> Callable[..., Any]:
        """A function that calls the test's function."""

        def call(*args: Any, **keywords: Any) -> Any:
            mark, self.blobs = self.blobs, []
            tensors = [x for x in (*args, *keywords.values()) if isinstance(x, torch.Tensor) and x.requires_grad]
            message = {
                "callback": number,
                "args": self.encode_all(args, 0),
                "keywords": {name: self.encode(value) for name, value in keywords.items()},
                "grad": torch.is_grad_enabled(),
                "push": self.mirrors.changes(),
            }
            send(self._sock, message, self.blobs)
            self.blobs = mark
            return self._value_of_callback(tensors)

        call.callback_number = number
        return call

    def _backward_of_callback(self, number: int, gradient: torch.Tensor) -> Any:
        mark, self.blobs = self.blobs, []
        message = {"backward_of": number, "gradient": self.contents(gradient), "push": self.mirrors.changes()}
        send(self._sock, message, self.blobs)
        self.blobs = mark
        return self._value_of_callback([])

    def _value_of_callback(self, tensors: list[torch.Tensor]) -> Any:
        while True:  # the test's function may itself ask something
            reply, blobs = receive(self._sock)
            if "op" in reply:
                self.answer(reply, blobs)
                continue
            with self.reading(blobs):
                self.mirrors.apply(reply["push"])
                if "exception" not in reply:
                    before, self._callback_inputs = self._callback_inputs, tensors
                    value = self.decode(reply["called"])
                    self._callback_inputs = before
                    return value
            name, text, number = reply["exception"]
            try:
                kind = find_named(name, self.namespace)
            except (KeyError, AttributeError, ImportError):
                kind = RuntimeError
            error = kind.__new__(kind)
            error.args = (text,)
            error.raised_by_test = number
            raise error

    # ---- requests

    def answer(self, message: dict[str, Any], blobs: list[bytearray]) -> None:
        """Do what a request asks for and send the reply."""
        saved = self.blobs, self.sent_by_test, self.inputs, self.sharing
        self.blobs, self.sent_by_test, self.inputs, self.sharing = [], {}, [], False
        self.received = blobs
        generators = self._follow(message)
        printed, reply = _Printed(), {"seq": message["seq"]}
        before: dict[int, Any] = {}
        marks: dict[Any, Any] = {}
        with (
            contextlib.redirect_stdout(printed),
            warnings.catch_warnings(record=True) as caught,
            torch.set_grad_enabled(message["grad"]),
        ):
            warnings.simplefilter("always")
            try:
                arguments = [self.decode(value) for value in message["args"]]
                keywords = {name: self.decode(value) for name, value in message["keywords"].items()}
                generators.update({number: self.objects[number] for number in message["new_generators"]})
                marks = {number: randomness.mark(generator) for number, generator in generators.items()}
                before = self._contents_of_arguments()
                result = OPERATIONS[message["op"]](self, *arguments, **keywords)
                self.sharing = message["op"] in _STATE_READS
                reply["value"] = self.describe(result) if message["stay"] else self.encode(result)
            except Fault:
                raise
            except BaseException as error:
                self.sharing = False
                reply["exception"] = self.describe_raised(error, _students_traceback(error))
        self._add_effects(reply, message, before, marks)
        reply["printed"] = printed.getvalue()
        reply["warnings"] = [[w.category.__name__, str(w.message)[:500]] for w in caught[:20]]
        blobs_to_send = self.blobs
        self.blobs, self.sent_by_test, self.inputs, self.sharing = saved
        send(self._sock, reply, blobs_to_send)

    def _follow(self, message: dict[str, Any]) -> dict[Any, Any]:
        """Take over what has changed on the test's side; the generators of random numbers that both sides have."""
        generators = {**randomness.SHARED, **{n: self.objects[n] for n in message["generators"]}}
        for number, state in message["states"]:
            randomness.set_state(generators[number], self.decode(state))
        self.mirrors.apply(message["push"])
        for number, flags in message["training"]:
            for module, flag in zip(self.objects[number].modules(), flags, strict=False):
                module.training = flag
        return generators

    def _add_effects(self, reply: dict[str, Any], message: dict[str, Any], before: Any, marks: dict[Any, Any]) -> None:
        """What the request has changed on this side."""
        arguments, self.sent_by_test = self.sent_by_test, {}  # their contents, not their numbers
        reply["updates"] = [
            [number, self.contents(arguments[number])]
            for number, contents in before.items()
            if contents != _contents(self, arguments[number])
        ]
        self.sent_by_test = arguments
        reply["push"] = self.mirrors.changes()
        modules = {number: self.objects[number] for number, _ in message["training"]}
        modules |= {n: self.objects[n] for n in message["new_modules"] if n in self.objects}
        reply["training"] = [[n, [m.training for m in module.modules()]] for n, module in modules.items()]
        reply["restructured"] = [n for n, parts in self._structures.items() if _structure(self.objects[n]) != parts]
        generators = {**randomness.SHARED, **self.objects}
        reply["drawn"] = [number for number, mark in marks.items() if randomness.mark(generators[number]) != mark]

    def _contents_of_arguments(self) -> dict[int, Any]:
        arguments, self.sent_by_test = self.sent_by_test, {}
        contents = {number: _contents(self, value) for number, value in arguments.items()}
        self.sent_by_test = arguments
        return contents


def _contents(server: _Server, value: Any) -> Any:
    """What differs if the value was changed in place."""
    if isinstance(value, torch.Tensor):
        return value.shape, raw(value)
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return server.outline(value)


def _structure(module: torch.nn.Module) -> list[Any]:
    return [(name, type(part)) for name, part in module.named_modules()]


def _students_traceback(error: BaseException) -> str:
    """The frames of the student's own code."""
    try:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_HERE)]
        return "".join(traceback.format_list(frames))[-3000:]
    except Exception:
        return ""


class _Printed(io.StringIO):
    """What is printed, up to a limit."""

    def write(self, text: str) -> int:
        if self.tell() < _MOST_PRINTED:
            super().write(text[:_MOST_PRINTED])
        return len(text)
