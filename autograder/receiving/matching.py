"""Which of a student's cells stands for which cell of the lab."""

from __future__ import annotations

import bisect
import difflib

from nbformat.notebooknode import NotebookNode
from nbgrader.utils import is_solution

__all__ = ["MAX_OWN_CELLS", "Match", "grade_id_of", "is_free"]

MAX_OWN_CELLS = 1000
_NEAR = 20  # cells in which a changed one is looked for
_ALIKE = 0.5
_COMPARED = 500  # characters


class Match:
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
    left_out : int
        How many more of them there are, beyond the limit.
    """

    def __init__(self, release: list[NotebookNode], student: list[NotebookNode]) -> None:
        bygrade_id_of = {grade_id_of(cell): index for index, cell in enumerate(release) if grade_id_of(cell)}
        by_id = {cell.id: index for index, cell in enumerate(release)}
        candidates: dict[int, list[int]] = {}
        for position, cell in enumerate(student):
            index = bygrade_id_of.get(cell.nbgrader.get("grade_id"), by_id.get(cell.id))
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
        self._match_by_place(release, student)
        index_of = {position: index for index, position in self.chosen.items()}
        self.in_order = _longest_increasing([(position, index_of[position]) for position in sorted(index_of)])
        self.extra: dict[int, list[int]] = {}
        before, count = -1, 0
        for position, cell in enumerate(student):
            if position in self.in_order:
                before = index_of[position]
            elif position not in index_of and position not in self.copies and cell.source.strip():
                count += 1
                if count <= MAX_OWN_CELLS:
                    self.extra.setdefault(before, []).append(position)
        self.left_out = max(0, count - MAX_OWN_CELLS)

    def _match_by_text(self, release: list[NotebookNode], student: list[NotebookNode]) -> None:
        left: dict[tuple[str, str], list[int]] = {}
        for index, cell in enumerate(release):
            if index not in self.chosen:
                left.setdefault((cell.cell_type, cell.source), []).append(index)
        taken = {*self.chosen.values(), *self.copies}
        for position, cell in enumerate(student):
            if position not in taken and (found := left.get((cell.cell_type, cell.source))):
                self.chosen[found.pop(0)] = position

    def _match_by_place(self, release: list[NotebookNode], student: list[NotebookNode]) -> None:
        """Find free cells that were changed and have no id that is known: the likest one between the same neighbors."""
        position_of = [self.chosen.get(index) for index in range(len(release))]
        taken = {*self.chosen.values(), *self.copies}
        for index, cell in enumerate(release):
            if index in self.chosen or not is_free(cell):
                continue
            start = max((place for place in position_of[:index] if place is not None), default=-1)
            stop = min((place for place in position_of[index + 1 :] if place is not None), default=len(student))
            places = [
                place
                for place in range(start + 1, min(stop, start + 1 + _NEAR))
                if place not in taken and student[place].cell_type == "code"
            ]
            likeness = {place: _likeness(cell.source, student[place].source) for place in places}
            best = max(likeness, key=likeness.__getitem__, default=None)
            if best is not None and likeness[best] >= _ALIKE:
                self.chosen[index] = position_of[index] = best
                taken.add(best)


def _likeness(first: str, second: str) -> float:
    return difflib.SequenceMatcher(None, first[:_COMPARED], second[:_COMPARED], autojunk=False).ratio()


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


def grade_id_of(cell: NotebookNode) -> str | None:
    """nbgrader's name of a cell of the lab; None if it has none."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def is_free(cell: NotebookNode) -> bool:
    """Whether students may change the cell although it is not graded."""
    return cell.cell_type == "code" and grade_id_of(cell) is None and cell.metadata.get("editable", True)
