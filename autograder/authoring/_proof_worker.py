"""The inside of one run of a lab: execute its cells one after the other and send what each one earned."""

from __future__ import annotations

import ast
import io
import linecache
import math
import os
import signal
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection

__all__ = ["CellCode", "CellError", "CellTimeoutError", "Outcome", "execute"]

TRACEBACK_LINES = 12


class CellTimeoutError(BaseException):
    """A cell ran longer than it may. No Exception, so that ``except Exception`` does not stop it."""


@dataclass(frozen=True)
class CellCode:
    """The code of one cell; `points` is None where nothing is graded."""

    name: str
    text: str
    points: float | None = None


@dataclass(frozen=True)
class CellError:
    """Why a cell failed: the exception's class and message, and the end of its traceback."""

    name: str
    message: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


@dataclass(frozen=True)
class Outcome:
    """What one cell came to; `score` is None for cells that are not graded."""

    cell: str
    score: float | None
    error: CellError | None


def execute(cells: list[CellCode], folder: str, seconds: float, connection: Connection) -> None:
    """Execute the cells in `folder`, each for at most `seconds`, and send an `Outcome` for each.

    This is the target of a process of its own: it changes the working folder, the environment and ``__main__``.
    """
    os.chdir(folder)
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    notebook = types.ModuleType("__main__")
    notebook.__dict__["display"] = lambda *objects, **options: None
    sys.modules["__main__"] = notebook
    sys.path.insert(0, folder)
    signal.signal(signal.SIGALRM, _stop)
    for cell in cells:
        connection.send(_outcome(cell, notebook.__dict__, seconds))


def _outcome(cell: CellCode, namespace: dict[str, object], seconds: float) -> Outcome:
    errors = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(errors), _time_limit(seconds):
            value = _run(cell, namespace)
    except BaseException as error:  # as a notebook does: whatever happens, the next cell is executed
        return Outcome(cell.name, None if cell.points is None else 0.0, _described(error))
    if cell.points is None:
        return Outcome(cell.name, None, None)
    if text := errors.getvalue():  # nbgrader gives no points to a cell that writes to stderr
        return Outcome(cell.name, 0.0, CellError("stderr", text.strip()[-500:]))
    return _graded(cell, value)


def _run(cell: CellCode, namespace: dict[str, object]) -> str | None:
    """Execute a cell; the text of its last expression, if it ends in one that is not None."""
    filename = f"<cell {cell.name}>"
    linecache.cache[filename] = (len(cell.text), None, cell.text.splitlines(keepends=True), filename)
    tree = ast.parse(cell.text, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, filename, "exec"), namespace)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), filename, "eval"), namespace)
    return None if value is None else repr(value)


def _graded(cell: CellCode, value: str | None) -> Outcome:
    """nbgrader's rule: no output earns everything, a number earns itself.

    Stricter where nbgrader gives full points: a last expression that is no finite number earns nothing.
    """
    if value is None:
        return Outcome(cell.name, cell.points, None)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return Outcome(
            cell.name, 0.0, CellError("NotANumber", f"the cell ends in {value[:80]}, expected float(points)")
        )
    return Outcome(cell.name, min(max(number, 0.0), cell.points), None)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)  # again and again, should the cell catch it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(signum: int, frame: types.FrameType | None) -> None:
    raise CellTimeoutError("the cell ran longer than it may")


def _described(error: BaseException) -> CellError:
    try:
        lines = "".join(traceback.format_exception(error)).splitlines()
        return CellError(type(error).__name__, str(error), "\n".join(lines[-TRACEBACK_LINES:]))
    except Exception:  # an exception whose __str__ fails
        return CellError(type(error).__name__, "")
