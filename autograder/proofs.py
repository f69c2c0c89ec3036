"""Prove the tests of a lab: right answers get everything, wrong ones lose what they must.

A proof file ``tests/labs/proofs/LAB.py`` names plausible wrong answers (mutants) and differently written right ones
(variants)::

    LAB = Lab("lab01_convolutions")
    LAB.mutant("conv_macs", loses=3, why="forgets the kernel's width", answer="return out_size**2 * kernel_size")
    LAB.variant("conv_macs", why="kernel first", answer="return kernel_size**2 * out_size**2")

To these come the solution, the blank lab, each check on its own, and the generic cheats of
`autograder.authoring.cheats`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nbformat.notebooknode import NotebookNode

from autograder.authoring.answers import filled_notebook
from autograder.authoring.cheats import CHEATS, Fit, fit_cheats
from autograder.authoring.names import names_in
from autograder.authoring.running import RunResult, run_lab
from autograder.authoring.source import LabSource, read_source, source_notebook
from autograder.authoring.statements import Case, LeftOut, Mutant, Proof, Variant
from autograder.course import Course
from autograder.errors import CourseError

__all__ = ["Case", "Lab", "LeftOut", "Mutant", "Proof", "Variant", "filled_notebook", "load_proofs", "run_lab"]

# A wrong answer that fails like this is mistyped, or fails for a reason that another grader need not share.
_NO_LOSS = (
    "SyntaxError",
    "IndentationError",
    "NameError",
    "stderr",
    "CellTimeoutError",
    "TimedOut",
    "Crashed",
    "NotRun",
)


class Lab:
    """A lab, with the answers that prove its tests.

    Parameters
    ----------
    name : str
        The lab's name, ``lab01_convolutions``.
    source : Path, optional
        Its source. Default: ``solutions/LAB/LAB.py`` of the course that contains the current folder.
    files : dict, optional
        What a student with the solution hands in beside the notebook, by name, besides the lab's own files
        (those in ``solutions/LAB/files``). A mutant or variant with `files` has those of the same name replaced.

    Attributes
    ----------
    runner : callable
        What runs the lab: `autograder.authoring.running.run_lab`, all in one process, unless another one is set,
        such as `autograder.authoring.running_apart.run_lab_apart`.
    """

    def __init__(self, name: str, *, source: Path | None = None, files: Mapping[str, Path] | None = None) -> None:
        self.name = name
        self.runner: Callable[..., RunResult] = run_lab
        self.mutants: list[Mutant] = []
        self.variants: list[Variant] = []
        self._tolerated: dict[tuple[str, str], float] = {}
        self._path = source
        self._handed_in = dict(files or {})

    def __repr__(self) -> str:
        return f"Lab({self.name!r}, {len(self.mutants)} mutants, {len(self.variants)} variants)"

    def mutant(
        self, exercise: str, *, loses: float, why: str, answer: str, files: Mapping[str, Path] | None = None
    ) -> None:
        """State that an answer is wrong: its check notices, and the lab loses exactly these points."""
        self.mutants.append(Mutant(exercise, loses, why, answer, files or {}))

    def variant(self, exercise: str, *, why: str, answer: str, files: Mapping[str, Path] | None = None) -> None:
        """State that an answer is right: every check that it can change gives all its points."""
        self.variants.append(Variant(exercise, why, answer, files or {}))

    def tolerates(self, exercise: str, cheat: str, *, keeps: float, why: str) -> None:
        """State that a generic cheat keeps these points; `why` is for the reader of the proof file."""
        if cheat not in CHEATS:
            raise ValueError(f"unknown cheat {cheat!r}; the cheats are {', '.join(CHEATS)}")
        if not why:
            raise ValueError(f"say why the check of {exercise!r} may give {keeps} points to the cheat {cheat!r}")
        self._tolerated[exercise, cheat] = keeps

    @cached_property
    def source(self) -> LabSource:
        """The lab as written."""
        if self._path is None:
            course = Course.find()
            return read_source(course.source_file(course.check_lab(self.name)))
        return read_source(self._path)

    @cached_property
    def notebook(self) -> NotebookNode:
        """The source notebook."""
        return source_notebook(self.source)

    @cached_property
    def points(self) -> dict[str, float]:
        """The points of each check by its exercise."""
        return {cell.name: float(cell.points) for cell in self.source.of_kind("check")}

    @property
    def files(self) -> dict[str, Path]:
        """What lies beside the notebook: the lab's own files, and what is handed in."""
        folder = self.source.path.parent / "files"
        own = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        return own | self._handed_in

    def run(
        self, answers: Mapping[str, str] | None = None, files: Mapping[str, Path] | None = None, **options: Any
    ) -> RunResult:
        """Run the lab beside its `files` (those given come on top), see `run_lab`."""
        return self.runner(self.notebook, answers, files=self.files | dict(files or {}), **options)

    def cases(self) -> list[Case]:
        """All cases, each with a name of its own; none is run yet.

        Raises
        ------
        CourseError
            If a mutant or a variant is of an exercise that the lab does not have.
        """
        for stated in (*self.mutants, *self.variants):
            if stated.exercise not in self.points:
                known = ", ".join(self.points)
                raise CourseError(f"{self.name}: no exercise {stated.exercise!r} ({stated.why}); there are {known}")
        named: dict[str, Callable[[], tuple[bool, str, RunResult]]] = {
            "solution": self._solution,
            "blank": self._blank,
        }
        for name in self.points:
            named[f"alone-{name}"] = lambda name=name: self._alone(name)
        for mutant in self.mutants:
            named[f"mutant-{mutant.exercise}-{_slug(mutant.why)}"] = lambda mutant=mutant: self._mutant(mutant)
        for variant in self.variants:
            named[f"variant-{variant.exercise}-{_slug(variant.why)}"] = lambda variant=variant: self._variant(variant)
        for name in self.points:
            for cheat in self._fit(name).cheats:
                named[f"cheat-{name}-{cheat}"] = lambda name=name, cheat=cheat: self._cheat(name, cheat)
        return [Case(self.name, name, attempt) for name, attempt in named.items()]

    def left_out(self) -> list[LeftOut]:
        """The cheats that do not apply, each with the reason."""
        return [LeftOut(name, *left) for name in self.points for left in self._fit(name).left_out.items()]

    def prove(self) -> list[Proof]:
        """Run all cases, one after the other."""
        return [case.run() for case in self.cases()]

    def _fit(self, name: str) -> Fit:
        return fit_cheats(self.source.cell(name).text)

    def _solution(self) -> tuple[bool, str, RunResult]:
        result = self.run()
        errors = "; ".join(f"cell {cell}: {error}" for cell, error in result.errors.items())
        return (
            not errors and self._is_full(result),
            f"the solution gets {self._scores(result)}. {errors}".strip(),
            result,
        )

    def _blank(self) -> tuple[bool, str, RunResult]:
        result = self.run(default="blank")
        broken = [cell.grade_id for cell in self.source.of_kind("given") if cell.grade_id in result.errors]
        errors = "; ".join(f"given cell {cell}: {result.errors[cell]}" for cell in broken)
        return not errors and result.total == 0, f"the blank lab gets {self._scores(result)}. {errors}".strip(), result

    def _alone(self, name: str) -> tuple[bool, str, RunResult]:
        check = f"check_{name}"
        result = self.run(only=[check])
        holds = result.scores[check] == self.points[name]
        return holds, f"without other checks and free cells the solution gets {self._scores(result)}", result

    def _mutant(self, mutant: Mutant) -> tuple[bool, str, RunResult]:
        result = self._affected(mutant)
        if error := result.errors.get(mutant.exercise):
            return False, f"the mutant's own code fails, mend it: {error}", result
        lost = sum(self.points[check.removeprefix("check_")] - score for check, score in result.scores.items())
        noticed, message = self._loses(result, mutant.exercise, at_least=1e-9)
        holds = noticed and abs(lost - mutant.loses) < 1e-9
        return holds, f"{mutant.why}: must cost {mutant.loses:g} points, costs {lost:g}; {message}", result

    def _variant(self, variant: Variant) -> tuple[bool, str, RunResult]:
        result = self._affected(variant)
        return self._is_full(result), f"{variant.why}: a right answer gets {self._scores(result)}", result

    def _affected(self, stated: Mutant | Variant) -> RunResult:
        """Run the checks that an answer can change: its own, and those of what uses its exercise."""
        cells = {cell: names_in(cell.text) for cell in self.source.cells if cell.kind in ("given", "exercise", "check")}
        changed = set(cells[self.source.cell(stated.exercise)].defined)
        known = 0
        while len(changed) > known:
            known = len(changed)
            for cell, names in cells.items():
                if cell.kind != "check" and names.used & changed:
                    changed |= names.defined
        checks = [c.grade_id for c, names in cells.items() if c.kind == "check" and names.used & changed]
        return self.run({stated.exercise: stated.answer}, stated.files, only={*checks, f"check_{stated.exercise}"})

    def _cheat(self, name: str, cheat: str) -> tuple[bool, str, RunResult]:
        lines = ["from autograder.authoring.cheats import cheated as _cheated"]
        lines += [f"{target} = _cheated({cheat!r}, {target})" for target in self._fit(name).targets]
        result = self.run(appended={name: "\n".join(lines)}, only=[f"check_{name}"])
        keeps = self._tolerated.get((name, cheat), 0.0)
        return (*self._loses(result, name, at_least=self.points[name] - keeps), result)

    def _loses(self, result: RunResult, name: str, *, at_least: float) -> tuple[bool, str]:
        """Whether an exercise's own check took points, for a reason that counts."""
        check = f"check_{name}"
        lost = self.points[name] - result.scores[check]
        error = result.errors.get(check)
        message = f"{check} takes {lost:g} of {self.points[name]:g} ({error or 'no error'})"
        if error is not None and error.name in _NO_LOSS:
            return False, f"{message}; {error.name} proves nothing about the test"
        return lost >= at_least, message

    def _is_full(self, result: RunResult) -> bool:
        return all(score == self.points[check.removeprefix("check_")] for check, score in result.scores.items())

    def _scores(self, result: RunResult) -> str:
        parts = []
        for check, score in result.scores.items():
            full = self.points[check.removeprefix("check_")]
            error = f" ({result.errors[check]})" if check in result.errors else ""
            parts.append(f"{check} {score:g}/{full:g}{error}")
        return ", ".join(parts)


def load_proofs(path: Path | str) -> Lab:
    """Load ``LAB`` from a proof file.

    Raises
    ------
    CourseError
        If there is no such file, it sets no ``LAB``, or its lab has another name than the file.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"{path}: no proof file; write one with LAB = Lab({path.stem!r})")
    spec = importlib.util.spec_from_file_location(f"proofs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lab = getattr(module, "LAB", None)
    if not isinstance(lab, Lab) or lab.name != path.stem:
        raise CourseError(f"{path}: expected LAB = Lab({path.stem!r}), found {lab!r}")
    return lab


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
