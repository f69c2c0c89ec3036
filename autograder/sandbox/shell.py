"""IPython as the student's process runs it: without a terminal, and what it shows goes to the outputs of the cell."""

from __future__ import annotations

import builtins
import getpass
import os
import sys
import zlib
from typing import Any, NoReturn

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from traitlets import Type
from traitlets.config import Config

from autograder.sandbox.capture import OutputLimit, Outputs, Stream

__all__ = ["Shell", "make_shell"]


class _Hook(DisplayHook):
    """Gives results of expressions to the outputs."""

    def start_displayhook(self) -> None:
        super().start_displayhook()
        self._shown: tuple[dict, dict] | None = None

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
        self._shown = format_dict, md_dict or {}

    def finish_displayhook(self) -> None:
        if self._shown is not None and self._shown[0]:
            self.shell.outputs.result(*self._shown, self.prompt_count)
        self._shown = None
        self._is_active = False


class _Publisher(DisplayPublisher):
    """Gives displays to the outputs."""

    def publish(self, data, metadata=None, *args, transient=None, update=False, **keywords) -> None:
        self._validate_data(data, metadata)
        display_id = (transient or {}).get("display_id")
        self.shell.outputs.display(data, metadata or {}, display_id, update=update)

    def clear_output(self, wait=False) -> None:
        self.shell.outputs.clear(wait=bool(wait))


class _Compiler(CachingCompiler):
    """Names the files that cells seem to be as a kernel does: warnings show the name."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return f"/tmp/ipykernel_{os.getpid()}/{zlib.crc32(raw_code.encode('utf-8', 'replace'))}.py"


class Shell(InteractiveShell):
    """IPython without a terminal."""

    compiler_class = Type(_Compiler)

    displayhook_class = Type(_Hook)
    display_pub_class = Type(_Publisher)
    outputs: Outputs

    def init_environment(self) -> None:
        """Programs that it starts are to use colours and no pager, as below a kernel."""
        colours = dict.fromkeys(("CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE"), "1")
        os.environ.update(TERM="xterm-color", PAGER="cat", GIT_PAGER="cat", **colours)

    def enable_gui(self, gui: Any = None) -> None:
        """There is no event loop to integrate with."""

    def ask_exit(self) -> None:
        """``exit`` in a cell ends nothing."""

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        if not issubclass(etype, OutputLimit):  # that is noted when the cell has ended
            self.outputs.error(etype.__name__, str(evalue), list(stb))
        self._last_traceback = stb


InteractiveShellABC.register(Shell)


def make_shell(outputs: Outputs) -> tuple[Shell, tuple[Stream, Stream]]:
    """The process's shell, and what stands for standard output and errors from now on."""
    Shell.outputs = outputs
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    shell = Shell.instance(config=config)
    sys.stdout, sys.stderr = streams = Stream(outputs, "stdout", 1), Stream(outputs, "stderr", 2)
    sys.path.insert(0, "")
    builtins.input = _no_input
    getpass.getpass = _no_input
    return shell, streams


def _no_input(*_: object, **__: object) -> NoReturn:
    raise StdinNotImplementedError("raw_input was called, but this frontend does not support input requests.")
