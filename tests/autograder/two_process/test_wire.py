"""Frames: what is sent arrives; what is too much, broken or late is a Fault before memory is taken."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

import pytest

from autograder.two_process.wire import MAX_BLOBS, MAX_BYTES, MAX_JSON, Fault, receive, send, write


@pytest.fixture
def ends():
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


def soon() -> float:
    return time.monotonic() + 5


def test_a_message_arrives_with_its_blobs(ends):
    here, there = ends
    send(there, {"op": "call", "args": [1.5, "ä", None]}, [b"", b"abc"])
    assert receive(here, soon()) == ({"op": "call", "args": [1.5, "ä", None]}, [b"", b"abc"])


def test_large_blobs_cross_while_the_other_side_reads(ends):
    here, there = ends
    data = os.urandom(4 << 20)
    writer = threading.Thread(target=send, args=(there, 1, [data]))
    writer.start()
    message, [got] = receive(here, soon())
    writer.join()
    assert (message, bytes(got)) == (1, data)


def test_what_is_written_to_a_descriptor_is_a_frame(ends):
    here, there = ends
    write(there.fileno(), {"score": 1})
    assert receive(here, soon()) == ({"score": 1}, [])


@pytest.mark.parametrize(
    "head",
    [
        struct.pack(">II", MAX_JSON + 1, 0),
        struct.pack(">II", 2, MAX_BLOBS + 1),
        struct.pack(">IIQ", 2, 1, MAX_BYTES + 1),
        struct.pack(">IIQQ", 2, 2, 1 << 63, 1 << 63),
    ],
    ids=["text", "number of blobs", "one blob", "blobs together"],
)
def test_sizes_over_the_limit_are_refused_from_the_head_alone(ends, head):
    here, there = ends
    there.sendall(head)
    with pytest.raises(Fault, match="too large") as fault:
        receive(here, soon())
    assert fault.value.kind == "protocol"


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000, b"1" * 5000], ids=["cut", "bytes", "deep", "digits"])
def test_what_is_no_json_is_a_fault_and_no_value_error(ends, text):
    here, there = ends
    there.sendall(struct.pack(">II", len(text), 0) + text)
    with pytest.raises(Fault, match="bad message"):
        receive(here, soon())


def test_millions_of_containers_are_refused_before_they_are_built(ends):
    here, there = ends
    text = b"[" + b"[]," * 1_000_000 + b"0]"
    writer = threading.Thread(target=there.sendall, args=(struct.pack(">II", len(text), 0) + text,))
    writer.start()
    with pytest.raises(Fault, match="containers"):
        receive(here, soon())
    writer.join()


def test_bytes_that_drip_do_not_extend_the_deadline(ends):
    here, there = ends
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            there.sendall(b"\0")

    there.sendall(struct.pack(">II", 1000, 0))
    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    try:
        with pytest.raises(Fault) as fault:
            receive(here, started + 0.5)
    finally:
        stop.set()
        thread.join()
    assert fault.value.kind == "timeout"
    assert time.monotonic() - started < 2


def test_a_side_that_does_not_read_is_late(ends):
    here, _ = ends
    with pytest.raises(Fault) as fault:
        send(here, 1, [bytes(8 << 20)], time.monotonic() + 0.3)
    assert fault.value.kind == "timeout"


def test_a_side_that_is_gone_has_ended(ends):
    here, there = ends
    there.close()
    for attempt in (lambda: receive(here, soon()), lambda: send(here, 1, [bytes(8 << 20)], soon())):
        with pytest.raises(Fault) as fault:
            attempt()
        assert fault.value.kind == "ended"


def test_no_test_can_expect_a_fault_as_an_exception():
    assert not issubclass(Fault, Exception)
