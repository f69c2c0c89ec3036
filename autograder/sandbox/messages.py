"""What a grader and the supervisor of a child say to each other over their socket, and untrusted messages piecemeal."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.sandbox.limits import Limits

__all__ = ["INTERRUPT", "KILL", "JobRequest", "MessageReader", "TooMuch"]
__all__ += ["read_exactly", "read_job", "send_job", "write_message"]

INTERRUPT, KILL = b"i", b"k"
_HEAD = struct.Struct(">II")  # as in autograder.two_process.wire: length of the text, number of blobs (always 0 here)
_AT_ONCE = 200  # descriptors in one message; the kernel takes 253


class TooMuch(Exception):
    """The other side sent more than it may, or what is no message."""


@dataclass(frozen=True)
class JobRequest:
    """What a child is to run.

    Attributes
    ----------
    target : str
        ``module:function``.
    payload : bytes
    files : tuple
        Names and sizes of the files for its folder.
    limits : Limits
    threads : int
    folder : str
        Where its folder is to be made; empty in a sandbox, where it has one of its own.
    """

    target: str
    payload: bytes
    files: tuple[tuple[str, int], ...]
    limits: Limits
    threads: int
    folder: str


def write_message(sock: socket.socket, message: Any) -> None:
    """Send one message."""
    text = json.dumps(message).encode()
    sock.sendall(_HEAD.pack(len(text), 0) + text)


def send_job(
    sock: socket.socket,
    target: str,
    payload: bytes,
    files: Mapping[str, bytes | Path],
    limits: Limits,
    threads: int,
    folder: str,
    descriptors: Sequence[int],
) -> None:
    """Send a job, the files' contents, and open descriptors."""
    sizes = [(name, len(what) if isinstance(what, bytes) else what.lstat().st_size) for name, what in files.items()]
    head = {"target": target, "payload": len(payload), "files": sizes, "limits": limits.to_dict()}
    write_message(sock, {**head, "threads": threads, "folder": folder, "descriptors": len(descriptors)})
    sock.sendall(payload)
    for first in range(0, len(descriptors), _AT_ONCE):
        socket.send_fds(sock, [b"d"], list(descriptors[first : first + _AT_ONCE]))
    for (_, size), what in zip(sizes, files.values(), strict=True):
        if isinstance(what, bytes):
            sock.sendall(what)
        else:
            with open(what, "rb", opener=_without_links) as file:
                sent = sock.sendfile(file, count=size) if size else 0
            if sent != size:
                raise OSError(f"{what} became shorter while it was read")


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def read_job(sock: socket.socket) -> tuple[JobRequest, list[int]]:
    """Read a job and its descriptors; the files' contents follow."""
    size, _ = _HEAD.unpack(read_exactly(sock, _HEAD.size))
    head = json.loads(read_exactly(sock, size))
    payload = read_exactly(sock, head["payload"])
    descriptors: list[int] = []
    while len(descriptors) < head["descriptors"]:
        data, more, _, _ = socket.recv_fds(sock, 1, _AT_ONCE)
        if not data:
            raise EOFError("the grader ended")
        descriptors += more
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # not for programs that a notebook starts
    files = tuple((name, size) for name, size in head["files"])
    job = JobRequest(head["target"], payload, files, Limits(**head["limits"]), head["threads"], head["folder"])
    return job, descriptors


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes from a trusted socket."""
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            raise EOFError("the grader ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class MessageReader:
    """Messages from a process that is not trusted, without ever waiting for the rest of one.

    Parameters
    ----------
    descriptor : int
        Of a socket or pipe; read when there is something to read.
    largest, most : int
        The bytes of one message and of all together.
    """

    def __init__(self, descriptor: int, largest: int, most: int) -> None:
        self.descriptor, self._largest, self._left = descriptor, largest, most
        self._buffer = bytearray()
        self.ended = False

    def read(self) -> Iterator[Any]:
        """Read once what is there; give the messages that are complete with it.

        Raises
        ------
        TooMuch
            If a limit is passed, or what came is no message.
        """
        try:
            data = os.read(self.descriptor, 1 << 18)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            return
        self._buffer += data
        self._left -= len(data)
        if self._left < 0:
            raise TooMuch("it sent more than it may in all")
        while len(self._buffer) >= _HEAD.size:
            size, blobs = _HEAD.unpack_from(self._buffer)
            if size > self._largest or blobs:
                raise TooMuch("it sent a message that is larger than it may be")
            if len(self._buffer) < _HEAD.size + size:
                return
            text = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
            del self._buffer[: _HEAD.size + size]
            if text.count(b"[") + text.count(b"{") > self._largest // 8:
                raise TooMuch("it sent a message with too many parts")
            try:
                yield json.loads(text)
            except (ValueError, RecursionError):
                raise TooMuch("it sent what is no message") from None
