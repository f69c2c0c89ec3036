"""A warm server: ``python -m autograder.sandbox.server ROLE DESCRIPTOR``.

It imports what notebooks need, once, and then forks a child whenever a socket arrives on its own. It never reads a job:
the child does, so that nothing of one submission is in the memory of the next one's process.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.sandbox import child, namespaces
from autograder.sandbox.families import ALL, modules_of
from autograder.sandbox.huge_pages import collapse_memory, reserve_memory
from autograder.sandbox.warm_up import convolve_once, draw_once, export_once

__all__ = ["main"]

_BY_ROLE = {
    "student": (
        "IPython.core.application",
        "IPython.core.completer",
        "IPython.core.completerlib",
        "IPython.core.logger",
        "IPython.core.magics",
        "IPython.core.oinspect",
        "IPython.core.pylabtools",
        "IPython.display",
        "IPython.utils.wildcard",
        "stack_data",
        "pygments.lexers.python",
        "autograder.sandbox.notebook",
    ),
    "tests": ("pytest", "autograder.two_process.checks"),
}

_reserved: list[bytes] = []


def main() -> None:
    """Serve until the other end of the socket is closed."""
    parser = argparse.ArgumentParser(description="Fork a child for each socket that arrives.")
    parser.add_argument("role", choices=_BY_ROLE)
    parser.add_argument("descriptor", type=int, help="the descriptor of a socket to the grader")
    parser.add_argument(
        "--families", nargs="*", choices=sorted(ALL), default=[], help="what notebooks are about to use"
    )
    parser.add_argument("--isolated", action="store_true", help="children enter namespaces; this runs in bubblewrap")
    parser.add_argument("--fonts", type=Path, help="a folder with matplotlib's lists of fonts")
    arguments = parser.parse_args()
    if arguments.isolated:
        namespaces.take_ordinary_user()
        namespaces.forbid_inspection()
    control = socket.socket(fileno=arguments.descriptor)
    control.set_inheritable(False)
    _preload(arguments.role, arguments.families, arguments.fonts)
    control.sendall(b"r")
    while True:
        try:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except InterruptedError:
            continue
        if not descriptors:
            return
        started = child.start(socket.socket(fileno=descriptors[0]), control, arguments.role, arguments.isolated)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(started, 0)


def _preload(role: str, families: Sequence[str], fonts: Path | None) -> None:
    """Import, and check that a fork is safe: threads do not live on in a child, but the locks that they hold do."""
    if fonts is not None:
        folder = Path(os.environ["MPLCONFIGDIR"])
        folder.mkdir(parents=True, exist_ok=True)
        for path in fonts.glob("fontlist-*.json"):
            shutil.copy(path, folder)
    gc.disable()  # a fifth of the time of these imports; what could be collected after them is worth half a megabyte
    if "torch" in families:
        _reserved.extend(reserve_memory(100))  # a third of what all imports take
    names = [*modules_of(families), *_BY_ROLE[role]]
    if role == "tests" and "factorkit" in families:
        names.append("factorkit.layers")  # not for students: a lab whose answers it holds looks who has imported it
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            if name.startswith("autograder"):
                raise
    if "matplotlib" in families:
        draw_once()
    if "torch" in families:
        convolve_once()
    if "factorkit" in families:
        export_once()
    with contextlib.suppress(FileNotFoundError):
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            sys.exit(f"the {role} server has {threads} threads after its imports, and only one is safe to fork")
    gc.freeze()
    gc.enable()
    collapse_memory()


if __name__ == "__main__":
    main()
