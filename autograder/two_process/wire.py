"""Frames between two processes that do not trust each other.

A frame is the length of a JSON text, the number of byte strings ("blobs") that belong to it, their lengths, the text
and the blobs. Every limit is checked before memory is taken, and one absolute deadline covers a whole message: bytes
that drip in do not extend it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Literal

__all__ = ["MAX_BLOBS", "MAX_BYTES", "MAX_JSON", "Fault", "frame", "receive", "send", "write"]

MAX_JSON = 8 << 20
MAX_BYTES = 64 << 20
MAX_BLOBS = 4096
# Each opens a container or is a character of a text; so many containers take some hundred megabytes as Python objects.
MAX_BRACKETS = 1_000_000

_HEAD = struct.Struct(">II")


class Fault(BaseException):
    """The other side broke the protocol, ended, or was too slow.

    No ``Exception``: a test that expects some exception of the student's code must not take this for it.

    Attributes
    ----------
    kind : str
        ``timeout``, ``ended`` or ``protocol``.
    """

    def __init__(self, kind: Literal["timeout", "ended", "protocol"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


def frame(message: Any, blobs: Sequence[bytes] = ()) -> list[bytes]:
    """The parts of a frame, to be sent one after the other.

    Parameters
    ----------
    message : object
        What `json` can write.
    blobs : sequence of bytes

    Examples
    --------
    >>> [len(part) for part in frame({"op": "get"}, [b"abc"])]
    [28, 3]
    """
    text = json.dumps(message, separators=(",", ":")).encode()
    lengths = struct.pack(f">{len(blobs)}Q", *map(len, blobs))
    return [_HEAD.pack(len(text), len(blobs)) + lengths + text, *blobs]


def send(sock: socket.socket, message: Any, blobs: Sequence[bytes] = (), deadline: float | None = None) -> None:
    """Send a frame; `deadline` is a time of `time.monotonic`.

    Raises
    ------
    Fault
        If the other side has ended or does not read in time.
    """
    parts = frame(message, blobs)
    try:
        for part in parts:
            sock.settimeout(_left(deadline))
            sock.sendall(part)
    except TimeoutError:
        raise _late() from None
    except OSError:
        raise Fault("ended", "the process of the submitted code ended") from None


def write(descriptor: int, message: Any) -> None:
    """Write a frame without blobs to a pipe or socket that only this process writes to."""
    [data] = frame(message)
    while data:
        data = data[os.write(descriptor, data) :]


def receive(sock: socket.socket, deadline: float | None = None) -> tuple[Any, list[bytearray]]:
    """Receive a frame: its message and its blobs.

    Raises
    ------
    Fault
        If it is too large, no JSON, late, or the other side ended.
    """
    size, count = _HEAD.unpack(_exactly(sock, _HEAD.size, deadline))
    if size > MAX_JSON or count > MAX_BLOBS:
        raise Fault("protocol", f"a message of {size} characters and {count} parts is too large")
    sizes = struct.unpack(f">{count}Q", _exactly(sock, 8 * count, deadline))
    if sum(sizes) > MAX_BYTES:
        raise Fault("protocol", f"a message of {sum(sizes)} bytes is too large: {MAX_BYTES} are the most")
    text = _exactly(sock, size, deadline)
    blobs = [_exactly(sock, length, deadline) for length in sizes]
    if text.count(b"[") + text.count(b"{") > MAX_BRACKETS:
        raise Fault("protocol", f"a message with more than {MAX_BRACKETS} containers is too large")
    try:
        return json.loads(text), blobs
    except (ValueError, RecursionError, MemoryError) as error:
        raise Fault("protocol", f"bad message: {type(error).__name__}") from None


def _exactly(sock: socket.socket, count: int, deadline: float | None) -> bytearray:
    buffer = bytearray(count)
    view, got = memoryview(buffer), 0
    while got < count:
        sock.settimeout(_left(deadline))
        try:
            received = sock.recv_into(view[got:])
        except TimeoutError:
            raise _late() from None
        except OSError:
            raise Fault("ended", "the process of the submitted code ended") from None
        if not received:
            raise Fault("ended", "the process of the submitted code ended")
        got += received
    return buffer


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise _late()
    return left


def _late() -> Fault:
    return Fault("timeout", "the time limit was reached")
