"""Namespaces, private mounts and the loss of privileges, through the C library: Linux only."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

__all__ = [
    "allow_inspection",
    "drop_privileges",
    "enter_namespaces",
    "forbid_inspection",
    "mount_own",
    "take_ordinary_user",
]

NEW_USER = 0x10000000
_NEW_MOUNTS, _NEW_PIDS, _NEW_NETWORK, _NEW_IPC, _NEW_NAMES = 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000
_NO_SETUID, _NO_DEVICES, _NO_EXEC, _BIND, _RECURSIVE, _PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
_DETACH = 2
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 38, 47
_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITIES_VERSION = 0x20080522
_ORDINARY = 1000


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def take_ordinary_user() -> None:
    """For a server that root has started: uncover all of /proc, become user 1000, lose every capability.

    bubblewrap covers parts of /proc that root could write to. While anything is covered, the kernel does not let a
    child mount a /proc of its own, and it would see its neighbours in the server's.
    """
    if os.getuid() == 0:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if (place := line.split()[1]).startswith("/proc/"):
                _call("umount2", os.fsencode(place), _DETACH)
        _enter(NEW_USER, _ORDINARY)
    drop_privileges()


def enter_namespaces() -> None:
    """Enter new user, mount, process, network, IPC and host name namespaces; the next child is the first in them."""
    _enter(NEW_USER | _NEW_MOUNTS | _NEW_PIDS | _NEW_NETWORK | _NEW_IPC | _NEW_NAMES, os.getuid())
    _call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)


def _enter(flags: int, user: int) -> None:
    maps = {"uid_map": f"{user} {os.getuid()} 1", "gid_map": f"{user} {os.getgid()} 1"}
    _call("unshare", flags)
    for name, text in {"setgroups": "deny", **maps}.items():
        Path("/proc/self", name).write_text(text)


def mount_own(folder: Path, size: int, elsewhere: dict[str, str]) -> None:
    """Mount a private folder of limited size, parts of it elsewhere, and a /proc of this process namespace.

    Parameters
    ----------
    folder : Path
        An empty folder, the mount point.
    size : int
        Its limit in bytes.
    elsewhere : dict of str
        From the name of a folder in it to an existing folder that it replaces. What is mounted below that one, such as
        packages of a working copy in ``/tmp``, is mounted below the new one too.
    """
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    options = f"size={size},mode=0700".encode()
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", _NO_SETUID | _NO_DEVICES, options)
    for name, place in elsewhere.items():
        (folder / name).mkdir(mode=0o700)
        for path in (_unescaped(path) for path in mounted if path.startswith(f"{place}/")):
            _mount_below(folder / name, path, os.path.relpath(path, place))
        _call("mount", os.fsencode(folder / name), os.fsencode(place), None, _BIND | _RECURSIVE, None)
    try:
        _call("mount", b"proc", b"/proc", b"proc", _NO_SETUID | _NO_DEVICES | _NO_EXEC, None)
    except PermissionError:  # in a container that covers parts of /proc: then none at all
        _call("mount", b"tmpfs", b"/proc", b"tmpfs", _NO_SETUID | _NO_DEVICES | _NO_EXEC, b"size=0,mode=0555")


def _mount_below(folder: Path, path: str, name: str) -> None:
    """Show a folder or file that is mounted at a path below another folder too."""
    new = folder / name
    if os.path.isdir(path):
        new.mkdir(parents=True, exist_ok=True)
    else:
        new.parent.mkdir(parents=True, exist_ok=True)
        new.touch()
    _call("mount", os.fsencode(path), os.fsencode(new), None, _BIND, None)


def _unescaped(path: str) -> str:
    """A path as the table of mounts writes it, with spaces and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def drop_privileges() -> None:
    """Give up all capabilities, and for good: no program that is started can gain any."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = 0
    while libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    libc.prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("capset", (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0), (ctypes.c_uint32 * 6)())


def forbid_inspection() -> None:
    """Let no other process of the same user trace this one or read its memory."""
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_inspection() -> None:
    """Undo `forbid_inspection`, in a child: without it, its own files in /proc belong to another user."""
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)
