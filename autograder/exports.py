"""Grades for other systems: spreadsheets, Canvas, Moodle and Gradescope."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.commands.tables import amount
from autograder.course import Course
from autograder.errors import CourseError, UsageError
from autograder.pages.export_layouts import canvas_rows, gradescope_results, moodle_rows, plain_rows
from autograder.receiving.roster import Person, Roster, read_roster
from autograder.recording import events
from autograder.recording.gradebook import graded_results
from autograder.results import SubmissionResult

__all__ = ["FORMATS", "Exported", "export", "gradebook_rows", "guarded", "write_gradebook"]

FORMATS = ("csv", "canvas", "moodle", "gradescope")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_IDENTITY = {"canvas": "canvas", "moodle": "moodle"}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path : Path
        A file, or the folder of several.
    students : tuple of str
        Whose grades are in it.
    left_out : tuple of str
        Who has no grade yet, because nothing was handed in.
    """

    path: Path
    students: tuple[str, ...]
    left_out: tuple[str, ...]


def export(
    course: Course,
    lab: str,
    kind: str,
    out: Path,
    *,
    roster: Path | None = None,
    assignment: str | None = None,
) -> Exported:
    """Write a lab's grades in the layout of another system.

    Parameters
    ----------
    course : Course
    lab : str
    kind : str
        One of `FORMATS`.
    out : Path
        The file to write; for Gradescope a folder, in which each student gets one with a ``results.json``.
    roster : Path, optional
        A CSV file that says how the system calls the students; Canvas and Moodle need it. Best is the file that the
        system itself exports.
    assignment : str, optional
        The assignment as the system calls it, for Canvas with its number: ``Lab 1 (4711)``. The lab's name by default.

    Raises
    ------
    UsageError
        If there is no such layout, or the roster is missing or does not know some students.
    CourseError
        If the lab has not been graded.
    """
    if kind not in FORMATS:
        raise UsageError(f"unknown format {kind!r}; the formats are {', '.join(FORMATS)}")
    recorded = [result for _, result in sorted(events.latest(course, lab).items())]
    if not recorded:
        raise CourseError(f"{lab} has not been graded in {course.grading}; run autograder grade {lab} first")
    results = graded_results(course, recorded)
    graded = [result for result in results if result.score is not None]
    left_out = tuple(result.student for result in results if result.score is None)
    people = _people(graded, kind, roster)
    if kind == "gradescope":
        for result in graded:
            target = out / result.student / "results.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, json.dumps(gradescope_results(course, result), indent=1, ensure_ascii=False) + "\n")
    else:
        rows: dict[str, Callable[[], list[list[Any]]]] = {
            "csv": lambda: plain_rows(results),
            "canvas": lambda: canvas_rows(graded, people, assignment or lab),
            "moodle": lambda: moodle_rows(course, graded, people),
        }
        _write(out, _as_csv(rows[kind]()))
    return Exported(out, tuple(result.student for result in graded), left_out)


def gradebook_rows(course: Course, labs: Iterable[str]) -> list[list[Any]]:
    """A row for each student with the score in each lab and their sum, after a row of titles and one of maxima."""
    names = list(labs)
    scores: dict[str, dict[str, float | None]] = {}
    maxima = dict.fromkeys(names, 0.0)
    for lab in names:
        for result in graded_results(course, [r for _, r in sorted(events.latest(course, lab).items())]):
            scores.setdefault(result.student, {})[lab] = result.score
            maxima[lab] = max(maxima[lab], result.maximum)
    rows: list[list[Any]] = [["student", *names, "sum"], ["maximum", *maxima.values(), sum(maxima.values())]]
    for student, found in sorted(scores.items()):
        values = [found.get(lab) for lab in names]
        rows.append([student, *values, sum(value or 0.0 for value in values)])
    return rows


def write_gradebook(course: Course, labs: Iterable[str], out: Path) -> Path:
    """Write `gradebook_rows` as a CSV file."""
    _write(out, _as_csv(gradebook_rows(course, labs)))
    return out


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet program takes for a formula; numbers stay what they are.

    Examples
    --------
    >>> guarded("=1+1"), guarded("student-001"), guarded(-1.5), guarded(None)
    ("'=1+1", 'student-001', '-1.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, int | float):
        return amount(value)
    text = str(value)
    dangerous = text.startswith(("\t", "\r")) or (text.lstrip().startswith(_FORMULA) and len(text) > 1)
    return f"'{text}" if dangerous else text


def _as_csv(rows: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows([guarded(value) for value in row] for row in rows)
    return file.getvalue()


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; name another place with --out") from None


def _people(results: Sequence[SubmissionResult], kind: str, roster: Path | None) -> dict[str, Person]:
    """Each student as the other system knows them."""
    if kind not in _IDENTITY:
        return {result.student: Person(result.student) for result in results}
    column = _IDENTITY[kind]
    if roster is None:
        raise UsageError(
            f"{kind.capitalize()} has its own numbers for students: export its "
            f"{'gradebook' if kind == 'canvas' else 'grading worksheet'} and name the file with --roster FILE"
        )
    known: Roster = read_roster(roster)
    people = {result.student: known.find(student=result.student) for result in results}
    unknown = [student for student, person in people.items() if person is None]
    nameless = [s for s, person in people.items() if person and not (getattr(person, column) or _email(person, kind))]
    if missing := unknown or nameless:
        names = ", ".join(missing[:10]) + (" ..." if len(missing) > 10 else "")
        problem = "does not know" if unknown else f"has no {kind.capitalize()} number for"
        raise UsageError(
            f"{roster} {problem} {len(missing)} of {len(results)} students: {names}; add rows with the columns student "
            f"(the folder's name) and {column}, or export the file again"
        )
    return {student: person for student, person in people.items() if person is not None}


def _email(person: Person, kind: str) -> str:
    return person.email if kind == "moodle" else ""  # Moodle's gradebook can be told to look for addresses
