"""What a lab source must be beyond readable: complete, adding up, secret where it must be, and with sound tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from autograder.authoring.check_code import CheckCode
from autograder.authoring.lint_rules import CHECK_RULES, imported_modules, is_assertion
from autograder.authoring.names import names_in
from autograder.authoring.regions import HIDDEN_TESTS, MARK_SCHEME, find_regions
from autograder.authoring.release import release_notebook
from autograder.authoring.source import Cell, LabSource, source_notebook
from autograder.errors import CourseError

__all__ = ["MAX_SOLUTION_LINES", "RULES", "Finding", "lint"]

MAX_SOLUTION_LINES = 10

_HEADING = re.compile(r"^#{1,4} .*$", re.MULTILINE)
_EXERCISE = re.compile(r"## (?:Exercise|Question) (?P<number>\d+): .+")
_POINTS = re.compile(r"\((?:[^()]*\W)?(?P<points>\d+(?:\.\d+)?) points?\b[^()]*\)\s*$")
_MINUTES = re.compile(r"\((?:[^()]*\W)?(?P<minutes>\d+(?:\.\d+)?) minutes?\b[^()]*\)\s*$")
_LEVEL = re.compile(r"^\s*[-*] \**(?P<points>\d+(?:\.\d+)?) points?\b", re.MULTILINE)
_TRIVIAL = re.compile(r"#.*|return \w+|pass|break|continue|else:|try:|finally:|[\w.]+|[\])},:]+|.{0,9}")


@dataclass(frozen=True)
class Finding:
    """One thing to mend in a lab source.

    Attributes
    ----------
    lab, cell : str
        Names; `cell` is the grade_id, or the kind and line of a cell without one, or ``"front matter"``.
    rule : str
        The rule that is broken: ``"release"``, or a key of `RULES` or of `autograder.authoring.lint_rules.CHECK_RULES`.
    message : str
        What is wrong and how to mend it.
    line : int
        Line in the lab's file, counted from 1.
    """

    lab: str
    cell: str
    rule: str
    message: str
    line: int = 1

    def __str__(self) -> str:
        return f"solutions/{self.lab}/{self.lab}.py:{self.line}: {self.message} [{self.rule}, {self.cell}]"


@dataclass(frozen=True)
class Section:
    """An exercise's heading and the cells below it, up to the next exercise's heading."""

    heading: str
    number: int
    cell: Cell
    cells: tuple[Cell, ...]


Objections = Iterator[tuple[Cell | None, str]]


def lint(lab: LabSource) -> list[Finding]:
    """Find what is wrong with a lab source that `read_source` accepts.

    Returns
    -------
    list of Finding
        In the order of the file; empty for a good lab.
    """
    try:
        release_notebook(source_notebook(lab))
    except CourseError as error:
        return [_finding(lab, None, "release", str(error), 1)]
    findings = []
    for rule, objections in RULES.items():
        for cell, message in objections(lab):
            findings.append(_finding(lab, cell, rule, message, cell.line if cell else 1))
    given = frozenset().union(*(names_in(cell.text).defined | _imported_names(cell) for cell in lab.of_kind("given")))
    for cell in lab.of_kind("check"):
        check = _check_code(cell, given)
        for rule, objections_of in CHECK_RULES.items():
            for line, message in objections_of(check):
                findings.append(_finding(lab, cell, rule, message, cell.line + line))
    return sorted(findings, key=lambda finding: finding.line)


def _finding(lab: LabSource, cell: Cell | None, rule: str, message: str, line: int) -> Finding:
    name = (cell.grade_id or f"{cell.kind} cell") if cell else "front matter"
    return Finding(lab.name, name, rule, message, line)


def _imported_names(cell: Cell) -> set[str]:
    imports = (node for node in ast.walk(ast.parse(cell.text)) if isinstance(node, ast.Import | ast.ImportFrom))
    return {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}


def _check_code(cell: Cell, given: frozenset[str] = frozenset()) -> CheckCode:
    hidden = {line + 1 for region in cell.regions(HIDDEN_TESTS) for line in range(region.start, region.stop + 1)}
    return CheckCode(ast.parse(cell.text), frozenset(hidden), given)


def _sections(lab: LabSource) -> list[Section]:
    """The lab cut at its exercise headings; what stands before the first one is left out."""
    sections: list[Section] = []
    for cell in lab.cells:
        for heading in _HEADING.findall(cell.text) if cell.kind == "text" else ():
            if match := _EXERCISE.fullmatch(heading):
                sections.append(Section(heading, int(match["number"]), cell, ()))
        if sections:
            last = sections[-1]
            sections[-1] = Section(last.heading, last.number, last.cell, (*last.cells, cell))
    return sections


def _points_add_up(lab: LabSource) -> Objections:
    total = sum(cell.points or 0 for cell in lab.cells)
    if total != lab.points:
        yield None, f"the cells give {total} points, the front matter says {lab.points}; make them equal"


def _minutes_add_up(lab: LabSource) -> Objections:
    headings = [heading for cell in lab.of_kind("text") for heading in _HEADING.findall(cell.text)]
    total = sum(float(match["minutes"]) for heading in headings if (match := _MINUTES.search(heading)))
    if total != lab.minutes:
        yield None, f"the headings give {total:g} minutes, the front matter says {lab.minutes}; make them equal"


def _headings(lab: LabSource) -> Objections:
    sections = _sections(lab)
    below = {id(cell) for section in sections for cell in section.cells}
    for cell in lab.cells:
        if cell.kind in ("exercise", "written") and id(cell) not in below:
            yield cell, "no heading stands before it; write '## Exercise 1: title (2 points, 5 minutes)'"
    for index, section in enumerate(sections, 1):
        if section.number != index:
            yield section.cell, f"Exercise {section.number} is the {index}. of the lab; number them from 1 without gaps"
        total = sum(cell.points or 0 for cell in section.cells)
        points, minutes = _POINTS.search(section.heading), _MINUTES.search(section.heading)
        if points is None or minutes is None:
            yield (
                section.cell,
                f"{section.heading!r} must end in (points, minutes), as in '({total} points, 5 minutes)'",
            )
        elif float(points["points"]) != total:
            yield section.cell, f"{section.heading!r} says {points['points']} points, its cells give {total}"


def _one_check(lab: LabSource) -> Objections:
    checked = {cell.name for cell in lab.of_kind("check")}
    for cell in lab.of_kind("exercise"):
        if cell.name not in checked:
            yield cell, f'no check; add a cell # %% check="{cell.name}" points=...'


def _visible_check(lab: LabSource) -> Objections:
    for cell in lab.of_kind("check"):
        check = _check_code(cell)
        if not any(
            is_assertion(node) and node.lineno not in check.hidden for node in check.nodes(ast.Assert, ast.Call)
        ):
            yield cell, "no visible assertion: students need one that says expected ... got ..."


def _hidden_check(lab: LabSource) -> Objections:
    for cell in lab.of_kind("check"):
        if not any(ast.parse(region.text).body for region in cell.regions(HIDDEN_TESTS)):
            yield cell, "no hidden tests: a constant would pass; add ### BEGIN HIDDEN TESTS ... ### END HIDDEN TESTS"


def _stub_message(lab: LabSource) -> Objections:
    for section in _sections(lab):
        for cell in section.cells:
            if cell.kind != "exercise":
                continue
            stub = ast.literal_eval(cell.solution.stub) if cell.solution.stub else ""
            start = f"Exercise {section.number}: "
            if not stub.startswith(start) or not stub.removeprefix(start).strip():
                yield cell, f'the stub {stub!r} must be stub="{start}return ...", with what to return and its shape'


def _one_stub(lab: LabSource) -> Objections:
    for cell in lab.of_kind("exercise"):
        if "NotImplementedError" in cell.solution.replaced(cell.text, ""):
            yield cell, "NotImplementedError outside of the solution region: it would be taken for the stub"


def _solution_length(lab: LabSource) -> Objections:
    for cell in lab.of_kind("exercise"):
        length = sum(bool(line.strip()) for line in cell.solution.lines)
        if length > MAX_SOLUTION_LINES:
            yield cell, f"the gap has {length} lines, at most {MAX_SOLUTION_LINES}; give more of the code, or split it"


def _mark_scheme(lab: LabSource) -> Objections:
    for cell in lab.of_kind("written"):
        if not cell.solution.text.strip():
            yield cell, "no example answer between BEGIN SOLUTION and END SOLUTION; write a full-mark one"
        schemes = "\n".join(region.text for region in cell.regions(MARK_SCHEME))
        levels = {float(points) for points in _LEVEL.findall(schemes)}
        asked = set(range(int(cell.points or 0) + 1)) | {cell.points}
        if missing := sorted(asked - levels):
            shown = ", ".join(f"{level:g}" for level in missing)
            yield cell, f"the mark scheme has no level for {shown} points; write a line '- {missing[0]:g} points: ...'"
        if above := sorted(level for level in levels if level > (cell.points or 0)):
            yield cell, f"the mark scheme gives {above[0]:g} points, the question has {cell.points}"


def _no_answer_left(lab: LabSource) -> Objections:
    given = {line.strip() for cell in lab.cells if cell.is_code for line in _outside_regions(cell)}
    released = _released_text(lab, without=("given",))
    for cell in (*lab.of_kind("exercise"), *lab.of_kind("written")):
        for line in map(str.strip, cell.solution.lines):
            if not _TRIVIAL.fullmatch(line) and line not in given and line in released:
                yield cell, f"the released lab contains the answer's line {line!r}; say it in other words there"


def _no_hidden_test_left(lab: LabSource) -> Objections:
    released = _released_text(lab)
    for cell in lab.of_kind("check"):
        for region in cell.regions(HIDDEN_TESTS):
            for line in map(str.strip, region.lines):
                if "assert" in line and not _TRIVIAL.fullmatch(line) and line in released:
                    yield cell, f"the released lab contains the hidden test {line!r}; test another case"


def _outside_regions(cell: Cell) -> list[str]:
    lines = cell.text.split("\n")
    for region in find_regions(cell.text):
        lines[region.start : region.stop + 1] = [""] * (region.stop + 1 - region.start)
    return lines


def _released_text(lab: LabSource, without: tuple[str, ...] = ()) -> str:
    released = release_notebook(source_notebook(lab)).cells
    return "\n".join(new.source for cell, new in zip(lab.cells, released, strict=True) if cell.kind not in without)


def _not_imported(lab: LabSource) -> Objections:
    for cell in lab.cells:
        found = imported_modules(ast.parse(cell.text)) if cell.is_code else set()
        for module in lab.not_imported:
            if any(name == module or name.startswith(f"{module}.") for name in found):
                yield cell, f"imports {module}, which the front matter forbids (not_imported); do without it"
    calls = (check for cell in lab.of_kind("check") for check in _check_code(cell).calls("not_imported"))
    if lab.not_imported and not any(calls):
        modules = ", ".join(map(repr, lab.not_imported))
        yield None, f"no check enforces not_imported; call factorkit.checks.not_imported({modules}) in the checks"


RULES: dict[str, Callable[[LabSource], Objections]] = {
    "points-sum": _points_add_up,
    "minutes-sum": _minutes_add_up,
    "heading": _headings,
    "one-check": _one_check,
    "visible-check": _visible_check,
    "hidden-check": _hidden_check,
    "stub-message": _stub_message,
    "one-stub": _one_stub,
    "solution-length": _solution_length,
    "mark-scheme": _mark_scheme,
    "answer-left": _no_answer_left,
    "hidden-test-left": _no_hidden_test_left,
    "not-imported": _not_imported,
}
