"""A graded notebook as its author may see it: hidden tests are named, and nothing of theirs is shown.

Neither their source, nor what was printed while they ran, nor their tracebacks: a function that is asked with hidden
values can print them, or raise them as an exception, and the next class will be asked the same.
"""

from __future__ import annotations

import builtins
import copy
import html
import re
from collections.abc import Mapping

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.authoring.regions import HIDDEN_TESTS
from autograder.leaderboard import MEASUREMENT
from autograder.pages.clean_html import clean_html
from autograder.pages.exercises import exercises, hidden_regions

__all__ = ["HIDDEN_TEST", "hidden_lines", "plain", "student_view"]

HIDDEN_TEST = "HiddenTest"
"""The name of the error that stands for one in a hidden test."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07?|[\x00-\x08\x0b-\x1f\x7f]")
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\n])", re.MULTILINE)
_FRAME = re.compile(r"(?:Cell In|Input In) ?\[\d+\][^\n]*?line:? (\d+)")
_MARK = re.compile(f"(BEGIN|END) {HIDDEN_TESTS}")
_SHOWN = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", MEASUREMENT)
_OWN_ERRORS = ("TimeLimit", "InterpreterDied", "NotRun", "KeyboardInterrupt")
_ERRORS = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)}


def plain(text: str) -> str:
    """Text without the codes that color a terminal, and without other control characters.

    Of a line that was written over, as progress bars are, the last state is left.

    Examples
    --------
    >>> plain("\\x1b[31mred\\x1b[0m")
    'red'
    """
    return _ANSI.sub("", _OVERWRITTEN.sub("", text))


def hidden_lines(notebook: NotebookNode) -> set[str]:
    """The lines of a notebook's hidden tests, without white space.

    Lines of less than 8 characters and lines that also stand in the open give nothing away and are left out.
    """
    hidden: set[str] = set()
    visible: set[str] = set()
    for cell in notebook.cells:
        regions = hidden_regions(cell)
        for number, line in enumerate(cell.source.split("\n")):
            inside = any(region.start < number < region.stop for region in regions)
            (hidden if inside else visible).add(_squeezed(line))
    return {line for line in hidden - visible if len(line) >= 8}


def student_view(notebook: NotebookNode, titles: Mapping[str, str] | None = None) -> NotebookNode:
    """A copy of a graded notebook as its author may see it.

    Parameters
    ----------
    notebook : NotebookNode
    titles : mapping, optional
        The name of each graded cell by grade_id; from the headings by default.
    """
    if titles is None:
        titles = {exercise.grade_id: exercise.title for exercise in exercises({"": notebook})}
    notebook = copy.deepcopy(notebook)
    hidden = hidden_lines(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if regions := hidden_regions(cell):
            nbgrader = cell.metadata.nbgrader
            name = f"{titles.get(nbgrader.grade_id, nbgrader.grade_id)}, {nbgrader.get('points', 0):g} points"
            first = regions[0].start
            outputs = [_shown(output, first, name, float(nbgrader.get("points", 0))) for output in cell.outputs]
            cell.outputs = [output for output in outputs if output is not None]
            for region in reversed(regions):
                cell.source = region.replaced(cell.source, "# Hidden tests: the same questions with other values.")
        cell.outputs = [_without(output, hidden) for output in cell.outputs]
    return notebook


def _shown(output: NotebookNode, first_hidden: int, name: str, maximum: float) -> NotebookNode | None:
    """An output of a test cell with hidden tests; None if it may show what they ask."""
    if MEASUREMENT in output.get("data", {}):
        return output
    if output.output_type == "execute_result":
        return output if _is_credit(output.data.get("text/plain", ""), maximum) else None
    if output.output_type != "error":
        return None
    if output.ename in _OWN_ERRORS:
        return nbformat.v4.new_output("error", ename=output.ename, evalue=_limit_of(output), traceback=[])
    if _line_of(output) in range(first_hidden):  # what comes after a hidden test may have been told by it
        return output
    how = f" (it ended with {output.ename})" if output.ename in _ERRORS - {"AssertionError"} else ""
    message = (
        f"{name}: a hidden test did not pass{how}. The visible ones did; hidden ones ask the same with other values. "
        "Try your code with other sizes and seeds, and read the text of the exercise again."
    )
    return nbformat.v4.new_output("error", ename=HIDDEN_TEST, evalue=message, traceback=[f"{HIDDEN_TEST}: {message}"])


def _is_credit(text: str, maximum: float) -> bool:
    """Whether a cell's value is a number of points and nothing else."""
    return re.fullmatch(r"\d{1,9}(\.\d{0,20})?", text) is not None and float(text) <= maximum


def _limit_of(output: NotebookNode) -> str:
    """What the grader said of a test that it ended; the student's process may have had a part in the rest."""
    said = re.match(r"stopped after [0-9.]+ s|the notebook did not get this far", output.evalue)
    return said[0] if said else "the test was ended before it had a result"


def _line_of(output: NotebookNode) -> int | None:
    """The line of the test cell that an error comes from, counted from 0.

    The first lines say the error's name, which a student may have chosen.
    """
    lines = plain("\n".join(output.traceback)).replace(plain(output.ename), "")
    frame = _FRAME.search(lines)
    return int(frame.group(1)) - 1 if frame else None


def _without(output: NotebookNode, hidden: set[str]) -> NotebookNode:
    """An output without the lines that repeat a hidden test, as a traceback's or those that a student's code prints."""
    if output.output_type == "stream":
        output.text = _clean(output.text, hidden)
    elif output.output_type == "error":
        output.traceback = _clean("\n".join(output.traceback), hidden).split("\n")
        output.evalue = _clean(output.evalue, hidden)
    else:
        output.data = {mime: data for mime, data in output.data.items() if mime in _SHOWN}  # no scripts, no drawings
        for mime, data in output.data.items():
            if mime.startswith("text/"):
                output.data[mime] = _clean(clean_html(data) if mime == "text/html" else data, hidden)
    return output


def _clean(text: str, hidden: set[str]) -> str:
    kept = []
    for line in text.split("\n"):
        bare = _squeezed(html.unescape(re.sub(r"<[^>]*>", "", plain(line)))) + _squeezed(plain(line))
        if not _MARK.search(line) and not any(secret in bare for secret in hidden):
            kept.append(line)
    return "\n".join(kept)


def _squeezed(line: str) -> str:
    return re.sub(r"\s+", "", line)
