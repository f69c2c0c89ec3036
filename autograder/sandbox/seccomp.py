"""System calls that no notebook needs and that have opened sandboxes before: refused, by a filter in the kernel.

The filter stands behind the namespaces, not in their place.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

__all__ = ["forbid_system_calls"]

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of BPF
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where the data of a call has them
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NEW_NAMESPACES = 0x7E020000  # flags of clone
_X32 = 0x40000000  # the second set of numbers of x86-64
_SOCKET_FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink: the ones that a network namespace holds back

# Other processes; namespaces and mounts; keys; the kernel itself; files by handle; the clock.
_FORBIDDEN = {
    "x86_64": (
        *(101, 310, 311, 440, 312, 438),
        *(165, 166, 155, 161, 272, 308, 428, 429, 430, 431, 432, 433, 442),
        *(248, 249, 250),
        *(321, 323, 425, 426, 427, 298, 246, 320, 175, 313, 176, 103, 135, 447, 154, 172, 173, 134),
        *(303, 304, 300, 179, 167, 168, 163, 169),
        *(164, 227, 159, 305),
    ),
    "aarch64": (
        *(117, 270, 271, 440, 272, 438),
        *(40, 39, 41, 51, 97, 268, 428, 429, 430, 431, 432, 433, 442),
        *(217, 218, 219),
        *(280, 282, 425, 426, 427, 241, 104, 294, 105, 273, 106, 116, 92, 447),
        *(264, 265, 262, 60, 224, 225, 89, 142),
        *(170, 112, 171, 266),
    ),
}
_CLONE3 = 435
_KNOWN = {"x86_64": (0xC000003E, 56, 41), "aarch64": (0xC00000B7, 220, 198)}  # architecture, clone, socket


def forbid_system_calls() -> bool:
    """Refuse them from now on, to this process and all that it starts; return whether this machine can do that.

    The process must have given up gaining privileges before.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _KNOWN:
        return False
    filters = b"".join(struct.pack("HBBI", *step) for step in _program(machine))
    buffer = ctypes.create_string_buffer(filters, len(filters))
    program = struct.pack("HxxxxxxQ", len(filters) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(program), 0, 0) == 0


def _program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter, each step as (code, steps to skip if true, if false, operand)."""
    architecture, clone, socket = _KNOWN[machine]
    refused, unknown = _REFUSE | errno.EPERM, _REFUSE | errno.ENOSYS
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, unknown)]
    steps.append((_LOAD, 0, 0, _NUMBER))
    if machine == "x86_64":
        steps += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, unknown)]
    for number in _FORBIDDEN[machine]:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, refused)]
    # its flags lie in memory, which a filter cannot read: as if the kernel did not have it, then clone is used
    steps += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, unknown)]
    steps += [(_EQUAL, 0, 3, clone), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    steps += [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, refused), (_LOAD, 0, 0, _NUMBER)]
    steps += [(_EQUAL, 1, 0, socket), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    for family in _SOCKET_FAMILIES:
        steps += [(_EQUAL, 0, 1, family), (_RETURN, 0, 0, _ALLOW)]
    return [*steps, (_RETURN, 0, 0, _REFUSE | errno.EAFNOSUPPORT)]
