"""What a proof states about the tests of a lab, and what comes of trying it; see `autograder.proofs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autograder.authoring.running import RunResult

__all__ = ["Case", "LeftOut", "Mutant", "Proof", "Variant"]


@dataclass(frozen=True)
class Mutant:
    """A plausible wrong answer to an exercise, and the points of the lab that it costs.

    The exercise's own check takes some of them; the others are those of later exercises that build on it.
    """

    exercise: str
    loses: float
    why: str
    answer: str
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A right answer to an exercise, written in another way than the solution."""

    exercise: str
    why: str
    answer: str
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A cheat that cannot be put into an exercise (or a class that none can be put into), and why."""

    exercise: str
    cheat: str
    why: str


@dataclass(frozen=True)
class Proof:
    """What one case came to: `message` says what was expected and what happened, whether it `holds` or not."""

    lab: str
    case: str
    holds: bool
    message: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.lab} {self.case}: {'holds' if self.holds else 'FAILS'}: {self.message}"


@dataclass(frozen=True)
class Case:
    """One statement about a lab's tests, which `run` tries."""

    lab: str
    name: str
    attempt: Callable[[], tuple[bool, str, RunResult]]

    def run(self) -> Proof:
        """Run the lab as the case says, in a process of its own."""
        holds, message, result = self.attempt()
        return Proof(self.lab, self.name, holds, message, result.seconds)
