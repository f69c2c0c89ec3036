"""The second stage of grading: the instructor's notebook with the student's answers in it.

The graded notebook is rebuilt from the lab's source. From the student come only the text of the answer cells and of the
free cells, and cells that the student added; tests, points, metadata, tags, locked cells and the order of all these are
the instructor's. So a deleted, edited, copied, moved or tagged test cell changes nothing, and is reported.
"""

from __future__ import annotations

import bisect
import copy
from dataclasses import dataclass

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_solution

from autograder.intake import Finding, Problem, Status, Submission
from autograder.release import release_notebook
from autograder.student_notebook import read_notebook

__all__ = ["Normalised", "normalise"]


@dataclass(frozen=True)
class Normalised:
    """A notebook that can be executed and graded.

    Attributes
    ----------
    submission : Submission
    notebook : NotebookNode or None
        The rebuilt notebook, hidden tests included and without outputs; None where there is a problem.
    problem : Problem or None
        Why there is nothing to execute.
    findings : tuple of Finding
        What the student had changed that had no effect, after the findings of the intake.
    """

    submission: Submission
    notebook: NotebookNode | None
    problem: Problem | None = None
    findings: tuple[Finding, ...] = ()


def normalise(submission: Submission, source_nb: NotebookNode, release_nb: NotebookNode | None = None) -> Normalised:
    """Rebuild a submission from the instructor's source notebook.

    Parameters
    ----------
    submission : Submission
    source_nb : NotebookNode
        The lab's source notebook, as `autograder.source.source_notebook` makes it.
    release_nb : NotebookNode, optional
        What students got; made from `source_nb` by default.

    Returns
    -------
    Normalised
        With status ``tampered`` if not one answer cell of the lab is in the notebook: a rebuilt one would be blank
        whatever the student did, so a person should look.
    """
    if submission.problem is not None or submission.path is None:
        return Normalised(submission, None, submission.problem, submission.findings)
    release = release_notebook(source_nb) if release_nb is None else release_nb
    student = read_notebook(submission.path).cells
    match = _Match(release.cells, student)
    answers = [index for index, cell in enumerate(release.cells) if is_solution(cell)]
    if answers and not any(index in match.chosen for index in answers):
        message = (
            f"{submission.notebook} holds none of the {len(answers)} answer cells of {submission.lab}: it is another "
            "notebook, or the cells were replaced; copy the answers into a fresh copy of the lab, hand that in"
        )
        return Normalised(submission, None, Problem(Status.TAMPERED, message), submission.findings)
    notebook = copy.deepcopy(source_nb)
    notebook.cells = _rebuilt(source_nb.cells, release.cells, student, match)
    findings = (*submission.findings, *_findings(release.cells, student, match))
    return Normalised(submission, notebook, None, findings)


class _Match:
    """Which of the student's cells stands for which cell of the lab.

    A cell is known by its grade_id, else by its cell id, else (other programs may lose both) by its text.

    Attributes
    ----------
    chosen : dict
        From the index of a cell of the lab to the position of the student's cell.
    copies : dict
        From the positions of the student's further cells with the same id to the index of the lab's cell.
    in_order : set
        Positions of chosen cells that stand in the lab's order; the other ones were moved.
    extra : dict
        From the index of a cell of the lab (-1: none) to the positions of the student's own cells that follow it.
    """

    def __init__(self, release: list[NotebookNode], student: list[NotebookNode]) -> None:
        by_grade_id = {_grade_id(cell): index for index, cell in enumerate(release) if _grade_id(cell)}
        by_id = {cell.id: index for index, cell in enumerate(release)}
        candidates: dict[int, list[int]] = {}
        for position, cell in enumerate(student):
            index = by_grade_id.get(cell.nbgrader.get("grade_id"), by_id.get(cell.id))
            if index is not None:
                candidates.setdefault(index, []).append(position)
        self.chosen = {index: _preferred(release[index], student, found) for index, found in candidates.items()}
        self.copies = {
            position: index
            for index, found in candidates.items()
            for position in found
            if position != self.chosen[index]
        }
        self._match_by_text(release, student)
        index_of = {position: index for index, position in self.chosen.items()}
        self.in_order = _longest_increasing([(position, index_of[position]) for position in sorted(index_of)])
        self.extra: dict[int, list[int]] = {}
        before = -1
        for position, cell in enumerate(student):
            if position in self.in_order:
                before = index_of[position]
            elif position not in index_of and position not in self.copies and cell.source.strip():
                self.extra.setdefault(before, []).append(position)

    def _match_by_text(self, release: list[NotebookNode], student: list[NotebookNode]) -> None:
        left: dict[tuple[str, str], list[int]] = {}
        for index, cell in enumerate(release):
            if index not in self.chosen:
                left.setdefault((cell.cell_type, cell.source), []).append(index)
        taken = {*self.chosen.values(), *self.copies}
        for position, cell in enumerate(student):
            if position not in taken and (found := left.get((cell.cell_type, cell.source))):
                self.chosen[found.pop(0)] = position


def _preferred(release_cell: NotebookNode, student: list[NotebookNode], positions: list[int]) -> int:
    """Of several cells with one id the last, as when the student ran them; but not one that was left as released.

    Of equal ones it is the first: the others are copies of it.
    """
    answered = [position for position in positions if student[position].source.strip() != release_cell.source.strip()]
    candidates = answered if answered and is_solution(release_cell) else positions
    return next(position for position in candidates if student[position].source == student[candidates[-1]].source)


def _longest_increasing(pairs: list[tuple[int, int]]) -> set[int]:
    """The positions of a longest subsequence of (position, index) pairs with rising indices."""
    ends: list[int] = []  # ends[n]: the smallest index that ends a rising subsequence of length n + 1
    lengths = []
    for _, index in pairs:
        length = bisect.bisect_left(ends, index)
        ends[length : length + 1] = [index]
        lengths.append(length)
    kept, wanted = set(), len(ends) - 1
    for (position, _), length in zip(reversed(pairs), reversed(lengths), strict=True):
        if length == wanted:
            kept.add(position)
            wanted -= 1
    return kept


def _rebuilt(
    source: list[NotebookNode], release: list[NotebookNode], student: list[NotebookNode], match: _Match
) -> list[NotebookNode]:
    """The cells to execute: the lab's own, in their order, and the student's between them."""
    cells = _added(student, match, -1)
    for index, original in enumerate(source):
        cell = copy.deepcopy(original)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if is_solution(cell) or _is_free(cell):
            position = match.chosen.get(index)
            cell.source = release[index].source if position is None else student[position].source
        cells += [cell, *_added(student, match, index)]
    return cells


def _added(student: list[NotebookNode], match: _Match, index: int) -> list[NotebookNode]:
    """The student's own cells after a cell of the lab, without any metadata."""
    make = {
        "code": nbformat.v4.new_code_cell,
        "markdown": nbformat.v4.new_markdown_cell,
        "raw": nbformat.v4.new_raw_cell,
    }
    cells = [(position, student[position]) for position in match.extra.get(index, [])]
    return [make[cell.cell_type](cell.source, id=f"student-{position:03d}") for position, cell in cells]


def _findings(release: list[NotebookNode], student: list[NotebookNode], match: _Match) -> list[Finding]:
    """What the student changed without effect, in the lab's order; text between the exercises is of no interest."""
    findings: list[Finding] = []
    for index, cell in enumerate(release):
        name = _grade_id(cell)
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
    if theirs.nbgrader != {key: value for key, value in cell.metadata.nbgrader.items() if key in theirs.nbgrader}:
        changes.append(("metadata", "the cell's grading metadata was changed; the lab's own was used"))
    return changes


def _grade_id(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _is_free(cell: NotebookNode) -> bool:
    """Whether students may change the cell although it is not graded."""
    return cell.cell_type == "code" and _grade_id(cell) is None and cell.metadata.get("editable", True)
