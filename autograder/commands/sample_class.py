"""A class of made-up students, so that a round can be seen before there is a real one.

The answers are the lab's own: its solution, and the mutants and variants that prove its tests.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat.notebooknode import NotebookNode

from autograder.authoring.answers import filled_notebook
from autograder.authoring.release import release_notebook
from autograder.authoring.source import LabSource, notebook_text
from autograder.course import Course
from autograder.proofs import Lab

__all__ = ["Sample", "hand_in", "sample_class", "solution_answers"]

LOOP = "while True:\n    pass"
CRASH = "import ctypes\n\nctypes.string_at(0)  # reads memory that is not there"
EQUALS_ANYTHING = """\
class Anything(float):
    __hash__ = None
    __eq__ = __le__ = __ge__ = lambda self, other: True
    __ne__ = __lt__ = __gt__ = lambda self, other: False
    __sub__ = __rsub__ = __truediv__ = __abs__ = lambda self, *other: self


return Anything()"""
NOSY = """\
import pathlib
import urllib.request

for folder in (".", "..", "../..", "../../.."):
    for path in pathlib.Path(folder).glob("*.db"):
        print(path, len(path.read_bytes()))
urllib.request.urlopen("https://example.org", timeout=2)"""
SHORT_ANSWER = "I am not sure, but my run was not as much faster as the number of MACs promised."


@dataclass(frozen=True)
class Sample:
    """What one made-up student hands in.

    Attributes
    ----------
    student : str
    what : str
        What it shows, in a few words.
    content : bytes or None
        The notebook file; None if nothing is handed in.
    files : dict
        Other files by name.
    """

    student: str
    what: str
    content: bytes | None
    files: Mapping[str, Path] | None = None


def solution_answers(source: LabSource) -> dict[str, str]:
    """The model answers of a lab, written ones included, by cell."""
    return {cell.grade_id: cell.solution.text for kind in ("exercise", "written") for cell in source.of_kind(kind)}


def sample_class(lab: Lab) -> list[Sample]:
    """Twelve students, of whom no two are alike.

    Parameters
    ----------
    lab : Lab
        A lab with its proofs.
    """
    release = release_notebook(lab.notebook)
    exercises = [cell.name for cell in lab.source.of_kind("exercise")]
    right = solution_answers(lab.source)
    written = {cell.grade_id: SHORT_ANSWER for cell in lab.source.of_kind("written")}
    half, last = len(exercises) // 2, exercises[-2]
    variants = {variant.exercise: variant.answer for variant in reversed(lab.variants)}
    mutants = {mutant.exercise: mutant.answer for mutant in reversed(lab.mutants)}
    most = {name: right[name] for name in exercises[: 3 * len(exercises) // 4]}
    some = {name: right[name] for name in exercises[: len(exercises) // 3]}
    wrong = {name: mutants[name] for name in exercises[1::2] if name in mutants}

    equal = dict.fromkeys(exercises, EQUALS_ANYTHING)

    def answered(answers: Mapping[str, str]) -> NotebookNode:
        return filled_notebook(release, answers)

    full = notebook_text(answered(right)).encode()
    return [
        Sample("student-001", "full marks", full),
        Sample("student-002", "three quarters, and a copied cell", _bytes(_with_a_copy(answered({**most, **written})))),
        Sample("student-003", "a third", _bytes(answered(some))),
        Sample("student-004", "blank", _bytes(release)),
        Sample("student-005", "differently written, right", _bytes(answered({**right, **variants, **written}))),
        Sample("student-006", "plausibly wrong", _bytes(_with_skipped_tests(answered({**right, **wrong, **written})))),
        Sample("student-007", "endless loop", _bytes(answered({**right, **written, last: LOOP}))),
        Sample("student-008", "crash", _bytes(answered({**right, **written, exercises[half]: CRASH}))),
        Sample("student-009", "a file that was cut off", full[: len(full) // 2]),
        Sample("student-010", "nothing", None),
        Sample("student-011", "answers that equal anything", _bytes(answered(equal))),
        Sample("student-012", "looks for the gradebook", _bytes(answered({**right, **written, last: NOSY}))),
    ]


def _bytes(notebook: NotebookNode) -> bytes:
    return notebook_text(notebook).encode()


def _with_a_copy(notebook: NotebookNode) -> NotebookNode:
    """The first exercise copied to the end, as happens with copy and paste."""
    first = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    again = copy.deepcopy(first)
    again.id = "pasted"
    notebook.cells.append(again)
    return notebook


def _with_skipped_tests(notebook: NotebookNode) -> NotebookNode:
    """Test cells tagged so that Jupyter's own tools would not run them."""
    for cell in notebook.cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("grade") and not nbgrader.get("solution"):
            cell.metadata.tags = ["skip-execution"]
    return notebook


def hand_in(course: Course, lab: str, samples: list[Sample]) -> int:
    """Put the samples into the course's ``submitted`` folder; return how many files changed."""
    changed = 0
    for sample in samples:
        (course.submitted / sample.student).mkdir(parents=True, exist_ok=True)
        if sample.content is None:
            continue
        folder = course.submitted / sample.student / lab
        contents = {f"{lab}.ipynb": sample.content}
        contents |= {name: path.read_bytes() for name, path in (sample.files or {}).items()}
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
                changed += 1
    return changed
