"""The challenge's leaderboard, from the measurements that the graded cells have displayed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import nbformat
from nbformat.notebooknode import NotebookNode

from autograder.course import Course
from autograder.execute import Executed
from autograder.intake import Finding
from autograder.record import SubmissionResult
from autograder.recording import events
from micronet_resources.rules import rule_set

__all__ = [
    "ENTRY",
    "MEASUREMENT",
    "Absent",
    "Entry",
    "Leaderboard",
    "entry_findings",
    "leaderboard",
    "under_pseudonyms",
    "write_leaderboards",
]

ENTRY = "entry.onnx"
"""The file that a lab's graded cell measures where it names it."""
MEASUREMENT = "application/vnd.factorkit.measurement+json"


@dataclass(frozen=True)
class Entry:
    """One entry of the challenge: what its network gets right and what it costs."""

    student: str
    correct: int
    total: int
    accuracy: float
    params: int
    stored_bits: int
    macs: int
    live_macs: int
    score: float
    rules: str
    task: str

    @property
    def threshold_percent(self) -> int:
        """The accuracy that the task asks for."""
        return rule_set(self.rules).task(self.task).threshold_percent

    @property
    def qualified(self) -> bool:
        """Whether the entry is accurate enough for its score to count."""
        return self.correct >= rule_set(self.rules).task(self.task).needed(self.total)


@dataclass(frozen=True)
class Absent:
    """A student without a place on the leaderboard, and why."""

    student: str
    reason: str


@dataclass(frozen=True)
class Leaderboard:
    """The entries of a lab, best first, and who is not among them.

    Entries that reach the task's accuracy come first, the smallest score leading; the others follow by accuracy.
    """

    lab: str
    entries: tuple[Entry, ...]
    absent: tuple[Absent, ...]

    @property
    def places(self) -> tuple[int | None, ...]:
        """The place of each entry, or None below the required accuracy.

        Entries with the same score and the same number of correct answers share a place, and the next one is as many
        places further down.
        """
        places: list[int | None] = []
        for number, entry in enumerate(self.entries):
            before = self.entries[number - 1] if number else None
            tied = before is not None and (before.score, before.correct) == (entry.score, entry.correct)
            places.append((places[-1] if tied else number + 1) if entry.qualified else None)
        return tuple(places)

    def to_dict(self) -> dict[str, Any]:
        """Everything as dictionaries and lists, each entry with its place."""
        entries = [{"place": place, **asdict(entry)} for place, entry in zip(self.places, self.entries, strict=True)]
        return {**asdict(self), "entries": entries}


def leaderboard(course: Course, lab: str) -> Leaderboard:
    """Rank the graded entries of a lab.

    Only what the lab's own graded cells display counts; a measurement that a student's cell displays is no entry.
    """
    entries: list[Entry] = []
    absent: list[Absent] = []
    for (_, student), result in sorted(events.latest(course, lab).items()):
        entry = _entry(course, result)
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            absent.append(Absent(student, entry))
    entries.sort(key=lambda e: (0, e.score, -e.accuracy) if e.qualified else (1, -e.accuracy, e.score))
    return Leaderboard(lab, tuple(entries), tuple(absent))


def write_leaderboards(
    course: Course, lab: str | None = None, pseudonyms: Mapping[str, str] | None = None
) -> list[Leaderboard]:
    """Rank one lab, or every lab that has an entry, and write ``grading/leaderboard.json`` with all of them.

    With `pseudonyms`, by student, no name is in the file nor in what is returned.
    """
    labs = sorted({name for name, _ in events.latest(course)} | ({lab} if lab else set()))
    boards = [leaderboard(course, name) for name in labs]
    boards = [board for board in boards if board.entries or board.lab == lab]
    if pseudonyms is not None:
        boards = [under_pseudonyms(board, pseudonyms) for board in boards]
    path = course.grading / "leaderboard.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([board.to_dict() for board in boards], indent=1) + "\n", encoding="utf-8")
    return [board for board in boards if lab in (None, board.lab)]


def under_pseudonyms(board: Leaderboard, pseudonyms: Mapping[str, str]) -> Leaderboard:
    """The leaderboard with pseudonyms instead of names.

    Who has no pseudonym is "anonymous", and who has no entry is left out with the reasons, which may name people.
    """
    entries = tuple(replace(entry, student=pseudonyms.get(entry.student, "anonymous")) for entry in board.entries)
    return Leaderboard(board.lab, entries, ())


def entry_findings(executed: Executed) -> tuple[Finding, ...]:
    """What to flag if a lab's graded cell measures an entry, and there was none to measure.

    Such a cell earns nothing, as with a wrong answer: only a finding says that a file is missing or was refused. It
    repeats no error, for students read it and an error in a hidden test may show what that asks.
    """
    notebook = executed.notebooks.get(executed.submission.lab)
    if notebook is None or not any(ENTRY in cell.source for cell in _tests(notebook)) or _measurement(notebook)[0]:
        return ()
    if ENTRY in executed.submission.files:
        return (Finding("no entry", ENTRY, "the file was handed in, but not measured: the error stands at its check"),)
    return (Finding("no entry", ENTRY, "the file was not handed in: there was nothing to measure"),)


def _entry(course: Course, result: SubmissionResult) -> Entry | str:
    """The entry of one submission, or why there is none."""
    path = course.autograded / result.student / result.lab / f"{result.lab}.ipynb"
    if not path.is_file():
        return result.message or str(result.status)
    found, failure = _measurement(nbformat.read(path, as_version=4))
    if found is not None:
        try:
            entry = Entry(student=result.student, **{name: kind(found[name]) for name, kind in _FIELDS.items()})
            rule_set(entry.rules).task(entry.task)
            return entry
        except (KeyError, TypeError, ValueError) as error:
            return f"its measurement cannot be read ({type(error).__name__}: {error})"
    return result.message or failure or "its notebook displays no measurement"


_FIELDS: dict[str, Any] = {
    "correct": int,
    "total": int,
    "accuracy": float,
    "params": int,
    "stored_bits": int,
    "macs": int,
    "live_macs": int,
    "score": float,
    "rules": str,
    "task": str,
}


def _tests(notebook: NotebookNode) -> list[NotebookNode]:
    """The lab's own graded cells."""
    marked = [(cell, cell.metadata.get("nbgrader", {})) for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell, nbgrader in marked if nbgrader.get("grade") and not nbgrader.get("solution")]


def _measurement(notebook: NotebookNode) -> tuple[dict[str, Any] | None, str]:
    """The last measurement that the graded cells display, and the first line of why there is none.

    That is the error of the cell that names the entry's file, else the first error of all.
    """
    tests = _tests(notebook)
    shown = [
        output.data[MEASUREMENT] for cell in tests for output in cell.outputs if MEASUREMENT in output.get("data", {})
    ]
    errors = [
        (ENTRY not in cell.source, f"{cell.metadata.nbgrader.grade_id}: {output.ename}: {output.evalue}")
        for cell in tests
        for output in cell.outputs
        if output.output_type == "error"
    ]
    _, failure = min(errors, key=lambda error: error[0], default=(False, ""))
    return (shown[-1] if shown and isinstance(shown[-1], dict) else None), failure.split("\n")[0][:200]
