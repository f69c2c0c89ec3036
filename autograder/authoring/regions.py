"""The marked regions of a lab cell: solutions, hidden tests, mark schemes.

A region begins with a line ``### BEGIN SOLUTION`` (or HIDDEN TESTS, MARK SCHEME) and ends with the END line of the
same label. A solution of code carries on its BEGIN line what the student finds in its place::

    ### BEGIN SOLUTION stub="Exercise 1: return the area, in pixels"
    return height * width
    ### END SOLUTION
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from autograder.errors import CourseError

__all__ = ["HIDDEN_TESTS", "MARK_SCHEME", "SOLUTION", "Region", "RegionError", "find_regions", "indented"]

SOLUTION = "SOLUTION"
HIDDEN_TESTS = "HIDDEN TESTS"
MARK_SCHEME = "MARK SCHEME"

_MARK = re.compile(rf"(BEGIN|END) ({SOLUTION}|{HIDDEN_TESTS}|{MARK_SCHEME})")
_MARK_LINE = re.compile(rf"(?P<indent>\s*)### {_MARK.pattern}(?: stub=(?P<stub>\"(?:[^\"\\]|\\.)*\"))?\s*")


class RegionError(CourseError):
    """A mark is malformed or regions do not pair up; `line` counts from 0 within the cell."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Region:
    """One marked region of a cell.

    Attributes
    ----------
    label : str
        `SOLUTION`, `HIDDEN_TESTS` or `MARK_SCHEME`.
    start, stop : int
        The lines of BEGIN and END in the cell, counted from 0.
    indent : str
        White space before BEGIN.
    stub : str or None
        The stub as a Python literal, quotes included.
    lines : tuple of str
        The lines between the marks.
    """

    label: str
    start: int
    stop: int
    indent: str
    stub: str | None
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines between the marks, dedented."""
        return textwrap.dedent("\n".join(self.lines))

    def replaced(self, cell_text: str, body: str) -> str:
        """The cell's text with `body`, indented like BEGIN, instead of the region and its marks."""
        lines = cell_text.split("\n")
        return "\n".join([*lines[: self.start], *indented(body, self.indent), *lines[self.stop + 1 :]])


def indented(body: str, indent: str) -> list[str]:
    """The lines of `body`, dedented and then indented by `indent`."""
    return textwrap.indent(textwrap.dedent(body).strip("\n"), indent).split("\n")


def find_regions(text: str) -> tuple[Region, ...]:
    r"""Find the marked regions of a cell, in order.

    Raises
    ------
    RegionError
        If a mark is malformed, or BEGIN and END do not pair up.

    Examples
    --------
    >>> [region] = find_regions('a\n### BEGIN SOLUTION stub="Exercise 1: b"\nb\n### END SOLUTION')
    >>> region.label, region.stub, region.text
    ('SOLUTION', '"Exercise 1: b"', 'b')
    """
    regions: list[Region] = []
    lines = text.split("\n")
    opened: tuple[int, re.Match[str]] | None = None
    for number, line in enumerate(lines):
        if not _MARK.search(line):
            continue
        mark = _MARK_LINE.fullmatch(line)
        if mark is None:
            raise RegionError(f"malformed mark {line.strip()!r}: write it as '### BEGIN SOLUTION stub=\"...\"'", number)
        edge, label = mark.group(2), mark.group(3)
        if edge == "BEGIN":
            if opened is not None:
                raise RegionError(f"BEGIN {label} inside the region of line {opened[0] + 1} of this cell", number)
            if mark["stub"] and label != SOLUTION:
                raise RegionError(f"only a SOLUTION has a stub, this is a {label}", number)
            opened = number, mark
            continue
        if opened is None or opened[1].group(3) != label:
            raise RegionError(f"END {label} without a BEGIN {label} before it", number)
        start, begin = opened
        regions.append(Region(label, start, number, begin["indent"], begin["stub"], tuple(lines[start + 1 : number])))
        opened = None
    if opened is not None:
        raise RegionError(f"BEGIN {opened[1].group(3)} without an END {opened[1].group(3)} after it", opened[0])
    return tuple(regions)
