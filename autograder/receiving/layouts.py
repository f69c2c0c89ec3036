"""Whose is which file: the layouts in which learning platforms and instructors hand over a class's submissions.

- Moodle, "Download all submissions": ``Full Name_ID_assignsubmission_file/...`` for each student, or the same in front
  of each file's name; ID is the participant's number in this assignment.
- Canvas, "Download Submissions": ``lastnamefirst_LATE_USER_FILE_name.ipynb``, LATE only where it was late; USER is the
  user's number, and ``anon_CODE`` where grading is anonymous.
- One archive or folder for each student, named after the student; in it the files, or nbgrader's ``LAB/`` with them.
- The archive of one student.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autograder.receiving.archives import Item
from autograder.receiving.roster import Roster
from autograder.submissions import Finding

__all__ = ["Bundle", "sort_items"]

_MOODLE = re.compile(
    r"(?P<name>[^/]+)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)(?:_?/(?P<inside>.+)|_(?P<flat>[^/]+))"
)
_CANVAS = re.compile(r"(?P<name>[^/]+?)(?P<late>_LATE)?_(?P<user>\d+)_\d+_(?P<file>[^/]+)")
_CANVAS_ANONYMOUS = re.compile(r"(?P<late>LATE_)?(?P<user>anon_[^_/]+)_\d+_(?P<file>[^/]+)")
_BLIND = "Participant"  # Moodle's name for everyone where grading is blind


@dataclass
class Bundle:
    """The files of one student.

    Attributes
    ----------
    student : str
        The name of the student's folder; empty if the files are nobody's.
    items : list
        Each file with its path in what this student handed in.
    findings : list of Finding
    refusal : str
        Why it cannot be told whose they are.
    """

    student: str
    items: list[tuple[str, Item]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refusal: str = ""


@dataclass(frozen=True)
class _Owner:
    """Whose a file is: `key` is certain, `student` is what that student is called."""

    key: str
    student: str
    inside: str
    late: bool = False


def sort_items(
    items: Sequence[Item], lab: str, notebooks: Sequence[str], stem: str | None, roster: Roster | None
) -> list[Bundle]:
    """Sort a class's files by student.

    Parameters
    ----------
    items : sequence
        All files, by their path in the archive or folder.
    lab : str
    notebooks : sequence of str
        The file names of the lab's notebooks.
    stem : str or None
        The name of the archive, which is the student's if it is one student's; None for a folder.
    roster : Roster or None

    Returns
    -------
    list of Bundle
        Sorted by student. Nobody is guessed: two students of one name, without a roster that tells them apart, are
        both refused.
    """
    names = _without_common_folder([item.name for item in items], lab)
    if any(_MOODLE.fullmatch(name) for name in names):
        return _by_owner(items, names, lambda name: _of_moodle(name, roster))
    if stem is not None and _is_one_students(names, notebooks):
        student = roster.find(student=stem) if roster else None
        return [Bundle(student.student if student else stem, list(zip(names, items, strict=True)))]
    if names and all(_is_canvas(name) for name in names):
        return _by_owner(items, names, lambda name: _of_canvas(name, roster))
    return _by_owner(items, [item.name for item in items], lambda name: _of_folder(name, lab))


def _by_owner(items: Sequence[Item], names: Sequence[str], owner_of: Callable[[str], _Owner | None]) -> list[Bundle]:
    bundles: dict[str, Bundle] = {}
    for item, name in zip(items, names, strict=True):
        owner = owner_of(name)
        if owner is None:
            refusal = (
                "the name does not say whose it is: put each student's files into a folder, or a zip archive, named "
                "after the student"
            )
            bundles.setdefault("", Bundle("", refusal=refusal)).items.append((name, item))
            continue
        bundle = bundles.setdefault(owner.key, Bundle(owner.student))
        bundle.items.append((owner.inside, item))
        if owner.late and not bundle.findings:
            bundle.findings.append(Finding("late", owner.inside, "Canvas marks it as late"))
    for student in {bundle.student for bundle in bundles.values()}:
        same = [bundle for bundle in bundles.values() if bundle.student == student]
        for bundle in same if len(same) > 1 else ():
            bundle.refusal = (
                f"{len(same)} submissions are by {student!r}: give the platform's own list of this assignment's "
                "participants as roster, which tells them apart"
            )
    return sorted(bundles.values(), key=lambda bundle: bundle.student)


def _of_moodle(name: str, roster: Roster | None) -> _Owner | None:
    match = _MOODLE.fullmatch(name)
    if match is None:
        return None
    person = roster.find(moodle=match["id"], name=match["name"]) if roster else None
    alone = f"{_BLIND} {match['id']}" if match["name"] == _BLIND else match["name"]
    inside = (match["inside"] or match["flat"]) if match["kind"] == "file" else f"{match['kind']}.html"
    return _Owner(match["id"], person.student if person else alone, inside)


def _is_canvas(name: str) -> bool:
    return bool(_CANVAS_ANONYMOUS.fullmatch(name) or _CANVAS.fullmatch(name))


def _of_canvas(name: str, roster: Roster | None) -> _Owner | None:
    match = _CANVAS_ANONYMOUS.fullmatch(name)
    if match:
        return _Owner(match["user"], match["user"], match["file"], bool(match["late"]))
    match = _CANVAS.fullmatch(name)
    if match is None:
        return None
    person = roster.find(canvas=match["user"]) if roster else None
    student = person.student if person else f"{match['name']}_{match['user']}"
    return _Owner(match["user"], student, match["file"], bool(match["late"]))


def _of_folder(name: str, lab: str) -> _Owner | None:
    """``STUDENT/...``, also with nbgrader's ``LAB/`` in it, or ``STUDENT.zip``."""
    first, slash, inside = name.partition("/")
    if not slash:
        student = first.removesuffix(".zip")
        return _Owner(student, student, first) if student != first else None
    return _Owner(first, first, inside.removeprefix(f"{lab}/"))


def _is_one_students(names: Sequence[str], notebooks: Sequence[str]) -> bool:
    """Whether a notebook lies at the top, or all files lie in one folder, as when a student packs a folder."""
    top = [name for name in names if "/" not in name]
    folders = {name.partition("/")[0] for name in names if "/" in name}
    if any(name in notebooks for name in top):
        return True
    return any(name.endswith(".ipynb") and not _is_canvas(name) for name in top) or (not top and len(folders) == 1)


def _without_common_folder(names: Sequence[str], lab: str) -> list[str]:
    """The names without a folder that all of them lie in, unless it is itself a student's."""
    while names and len({name.partition("/")[0] for name in names}) == 1 and all("/" in name for name in names):
        first = names[0].partition("/")[0]
        if _MOODLE.fullmatch(f"{first}/x"):
            break
        rest = [name.partition("/")[2] for name in names]
        if first != lab and not any(_MOODLE.fullmatch(name) or _is_canvas(name) for name in rest):
            break
        names = rest
    return list(names)
