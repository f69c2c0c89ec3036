"""The checking side: functions of a test that the student's code calls."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import torch

from autograder.two_process.hand_out import HandOut
from autograder.two_process.wire import send

__all__ = ["CallBack"]


class CallBack(HandOut):
    """Runs the test's functions for the student's side.

    Attributes
    ----------
    raised_here : list of Exception
        What the test's functions have raised: it may come back through the student's code.
    call_inputs : list of Tensor
        The tensors that take gradients among what has been sent with the present request.
    """

    def __init__(self, locked: Mapping[str, Any], sock: socket.socket, deadline: float) -> None:
        super().__init__(locked)
        self.sock = sock
        self.deadline = deadline
        self.raised_here: list[BaseException] = []
        self.call_inputs: list[torch.Tensor] = []
        self._returned: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
        self._returning: list[torch.Tensor] | None = None

    def describe_tensor(self, tensor: torch.Tensor) -> dict[str, Any]:
        if self._returning is not None and tensor.requires_grad and not tensor.is_leaf:
            self._returned.append((tensor, self._returning))
            return {"back": len(self._returned) - 1}
        return super().describe_tensor(tensor)

    def call_back(self, message: Any, blobs: list[bytearray]) -> None:
        """Call what a message of the student's side asks for, and send the result there."""
        saved = self.blobs, self._returning
        self.call_inputs = list(self.inputs)
        with self.reading(blobs):
            self.mirrors.apply(message["push"])
            if "callback" in message:
                function = self.callbacks[message["callback"]]
                args = [self.decode(value) for value in message["args"]]
                keywords = {str(name): self.decode(value) for name, value in message["keywords"].items()}
                grad = message["grad"] is True
            else:
                function, args, keywords, grad = self._backward_here, [message["backward_of"]], {}, True
                args.append(self.decode(message["gradient"]))
        tensors = [x for x in (*args, *keywords.values()) if isinstance(x, torch.Tensor) and x.requires_grad]
        reply: dict[str, Any] = {}
        try:
            with torch.set_grad_enabled(grad):
                value = function(*args, **keywords)
            self.blobs, self._returning = [], tensors
            reply["called"] = self.encode(value)
            self._returning = None
        except Exception as error:
            self.raised_here.append(error)
            self.blobs = []
            name = self.qualified(type(error)) or "builtins:RuntimeError"
            reply["exception"] = [name, str(error)[:2000], len(self.raised_here) - 1]
        finally:
            self._returning = saved[1]
        reply["push"] = self.mirrors.changes()
        send(self.sock, reply, self.blobs, self.deadline)
        self.blobs = saved[0]

    def _backward_here(self, number: int, gradient: torch.Tensor) -> list[Any]:
        result, inputs = self._returned[number]
        return list(torch.autograd.grad(result, inputs, gradient, retain_graph=True, allow_unused=True))
