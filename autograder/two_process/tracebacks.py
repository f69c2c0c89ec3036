"""Tracebacks in IPython's style, of the cells alone: the grader's own frames are of no use to anybody."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from types import TracebackType

__all__ = ["format_error", "message_of"]

_CONTEXT = 2
_MOST_FRAMES = 12
_MOST_MESSAGE = 5000


def message_of(error: BaseException) -> str:
    """The text of an exception, whatever its class does."""
    try:
        return str(error)[:_MOST_MESSAGE]
    except Exception:
        return ""


def format_error(
    error: BaseException, name: str, message: str, cells: Mapping[str, tuple[int, str]], *, first: str
) -> list[str]:
    """The lines of an error output.

    Parameters
    ----------
    error : BaseException
    name, message : str
        The class and the text to be shown.
    cells : dict
        Number and text of each cell by the file name under which it was compiled.
    first : str
        The file name of the test cell, whose frame stands first.
    """
    frames = [f for f in _frames(error.__traceback__) if f[0] in cells]
    start = next((place for place, (filename, *_) in enumerate(frames) if filename == first), 0)
    shown = frames[start:][:_MOST_FRAMES]
    lines = ["-" * 75, f"{name:<42}Traceback (most recent call last)"]
    for filename, line, function in shown:
        number, text = cells[filename]
        where = "" if function == "<module>" else f", in {function}"
        lines.append(f"Cell In[{number}], line {line}{where}\n" + _context(text.split("\n"), line))
    theirs = getattr(error, "student_frames", "")
    if theirs:
        lines.append("In the student's code:\n" + theirs.rstrip())
    return [*lines, "", f"{name}: {message}" if message else name]


def _frames(trace: TracebackType | None) -> list[tuple[str, int, str]]:
    return [(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(trace)]


def _context(lines: list[str], line: int) -> str:
    first = max(1, line - _CONTEXT)
    shown = []
    for number in range(first, min(len(lines), line + _CONTEXT) + 1):
        mark = f"----> {number} " if number == line else f"{number:>7} "
        shown.append(f"{mark}{lines[number - 1]}".rstrip())
    return "\n".join(shown)
