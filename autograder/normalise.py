"""The second stage of grading: the instructor's notebook with the student's answers in it.

The graded notebook is rebuilt from the lab's source. From the student come only the text of the answer cells and of the
free cells, and cells that the student added; tests, points, metadata, tags, locked cells and the order of all these are
the instructor's. So a deleted, edited, copied, moved or tagged test cell changes nothing, and is reported.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_solution

from autograder.authoring.release import release_notebook
from autograder.intake import Finding, Problem, Status, Submission, match_notebooks
from autograder.receiving.matching import MAX_OWN_CELLS, Match, grade_id_of, is_free
from autograder.receiving.student_notebook import InvalidNotebook, read_notebook

__all__ = ["Normalised", "normalise"]


_MEANT = ("grade_id", "grade", "solution", "locked", "task", "points")


@dataclass(frozen=True)
class Normalised:
    """Notebooks that can be executed and graded.

    Attributes
    ----------
    submission : Submission
    notebooks : dict
        The rebuilt notebooks by name without suffix, hidden tests included and without outputs; empty where there is
        a problem.
    problem : Problem or None
        Why there is nothing to execute.
    findings : tuple of Finding
        What the student had changed that had no effect, after the findings of the intake.
    references : dict
        The instructor's own notebook, with the answers, for each of `notebooks`.
    """

    submission: Submission
    notebooks: dict[str, NotebookNode] = field(default_factory=dict)
    problem: Problem | None = None
    findings: tuple[Finding, ...] = ()
    references: dict[str, NotebookNode] = field(default_factory=dict)


def normalise(
    submission: Submission,
    sources: Mapping[str, NotebookNode],
    releases: Mapping[str, NotebookNode] | None = None,
) -> Normalised:
    """Rebuild a submission from the instructor's source notebooks.

    Parameters
    ----------
    submission : Submission
    sources : mapping
        The lab's source notebooks by name, as `autograder.assignment.read_lab` gives them.
    releases : mapping, optional
        What students got of them; made by `autograder.authoring.release.release_notebook` by default.

    Returns
    -------
    Normalised
        With status ``tampered`` if not one answer cell of the lab is in what was handed in: a rebuilt notebook would
        be blank whatever the student did, so a person should look. Of several notebooks, one that is missing or
        cannot be read is rebuilt as it was released.
    """
    if submission.problem is not None or not submission.notebooks:
        return Normalised(submission, {}, submission.problem, submission.findings)
    files = match_notebooks(sources, submission.notebooks)
    notebooks: dict[str, NotebookNode] = {}
    findings = list(submission.findings)
    found_answers = 0
    for name, source in sources.items():
        release = release_notebook(source) if releases is None else releases[name]
        student = _read(submission, files.get(name))
        match = Match(release.cells, student)
        answers = [index for index, cell in enumerate(release.cells) if is_solution(cell)]
        found_answers += sum(index in match.chosen for index in answers) + (not answers and bool(student))
        notebooks[name] = copy.deepcopy(source)
        notebooks[name].cells = _rebuilt(source.cells, release.cells, student, match)
        if student:
            findings += _findings(release.cells, student, match)
    if not found_answers:
        count = sum(is_solution(cell) for source in sources.values() for cell in source.cells)
        message = (
            f"{', '.join(submission.notebooks)} holds none of the {count} answer cells of {submission.lab}: it is "
            "another notebook, or the cells were replaced; copy the answers into a fresh copy of the lab, hand that in"
        )
        return Normalised(submission, {}, Problem(Status.TAMPERED, message), submission.findings)
    return Normalised(submission, notebooks, None, tuple(findings), dict(sources))


def _read(submission: Submission, file: str | None) -> list[NotebookNode]:
    """The student's cells; none where the file is missing or no notebook, which the intake has reported."""
    if file is None:
        return []
    try:
        return read_notebook(Path(submission.folder) / file).cells
    except InvalidNotebook:
        return []


def _rebuilt(
    source: list[NotebookNode], release: list[NotebookNode], student: list[NotebookNode], match: Match
) -> list[NotebookNode]:
    """The cells to execute: the lab's own, in their order, and the student's between them."""
    cells = _added(student, match, -1)
    for index, original in enumerate(source):
        cell = copy.deepcopy(original)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if is_solution(cell) or is_free(cell):
            position = match.chosen.get(index)
            cell.source = release[index].source if position is None else student[position].source
        cells += [cell, *_added(student, match, index)]
    return cells


def _added(student: list[NotebookNode], match: Match, index: int) -> list[NotebookNode]:
    """The student's own cells after a cell of the lab, without any metadata."""
    make = {
        "code": nbformat.v4.new_code_cell,
        "markdown": nbformat.v4.new_markdown_cell,
        "raw": nbformat.v4.new_raw_cell,
    }
    cells = [(position, student[position]) for position in match.extra.get(index, [])]
    return [make[cell.cell_type](cell.source, id=f"student-{position:03d}") for position, cell in cells]


def _findings(release: list[NotebookNode], student: list[NotebookNode], match: Match) -> list[Finding]:
    """What the student changed without effect, in the lab's order; text between the exercises is of no interest."""
    findings: list[Finding] = []
    for index, cell in enumerate(release):
        name = grade_id_of(cell)
        if name is None:
            continue
        if index not in match.chosen:
            instead = "graded as left blank" if is_solution(cell) else "the lab's own cell was graded"
            findings.append(Finding("deleted", name, f"the cell is not in the notebook; {instead}"))
            continue
        theirs = student[match.chosen[index]]
        findings += [Finding(kind, name, message) for kind, message in _changes(cell, theirs)]
        if match.chosen[index] not in match.in_order:
            findings.append(Finding("moved", name, "the cell stands elsewhere; graded in its own place"))
        if copies := sum(other == index for other in match.copies.values()):
            which = "the last one that has an answer" if is_solution(cell) else "the lab's own cell"
            findings.append(
                Finding("duplicated", name, f"there are {copies + 1} cells of this name; {which} was graded")
            )
    if match.left_out:
        message = f"{match.left_out} more cells were added than the {MAX_OWN_CELLS} that are run; they were left out"
        findings.append(Finding("too many", "cells", message))
    for position in (position for positions in match.extra.values() for position in positions):
        if unknown := student[position].nbgrader.get("grade_id"):
            findings.append(
                Finding("unknown id", str(unknown), "the lab has no such cell; run as a cell of the student's")
            )
    return findings


def _changes(cell: NotebookNode, theirs: NotebookNode) -> list[tuple[str, str]]:
    """What differs between a cell of the lab and the student's version of it."""
    changes = []
    if not is_solution(cell) and theirs.source.strip() != cell.source.strip():
        changes.append(("edited", "the cell is not the student's to edit; the lab's own text was run"))
    if theirs.cell_type != cell.cell_type:
        changes.append(("type", f"the cell became {theirs.cell_type}; graded as {cell.cell_type}"))
    if theirs.tags:
        changes.append(("tagged", f"the tags {', '.join(theirs.tags)} were removed"))
    known = {key: value for key, value in theirs.nbgrader.items() if key in _MEANT}
    if not known or known != {key: value for key, value in cell.metadata.nbgrader.items() if key in known}:
        changes.append(("metadata", "the cell's grading metadata was changed; the lab's own was used"))
    return changes
