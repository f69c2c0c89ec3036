"""A MicroNet score with the arithmetic that gives it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from micronet_resources.reporting.layout import html_table
from micronet_resources.rulebook.records import RuleSet, Task

__all__ = ["Score", "Term"]


@dataclass(frozen=True)
class Term:
    """One summand of a score.

    Parameters
    ----------
    name : str
    value : float
    explanation : str
        The arithmetic that gives the value.
    """

    name: str
    value: float
    explanation: str


@dataclass(frozen=True, repr=False)
class Score:
    """A MicroNet score with everything that went into it; ``float(score)`` is the number, and lower is better.

    Parameters
    ----------
    rules : RuleSet
    task : Task
    terms : tuple of Term
        Storage first, then the terms of the arithmetic.
    notes : tuple of str
        What to know about these terms.
    is_estimate : bool
        Whether it believes declared values; otherwise all was measured.
    """

    rules: RuleSet
    task: Task
    terms: tuple[Term, ...]
    notes: tuple[str, ...] = ()
    is_estimate: bool = False

    @property
    def parameter_term(self) -> float:
        """Storage, relative to the reference."""
        return self.terms[0].value

    @property
    def operation_term(self) -> float:
        """Arithmetic, relative to the reference."""
        return sum(term.value for term in self.terms[1:])

    def __float__(self) -> float:
        return self.parameter_term + self.operation_term

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers and texts, for JSON."""
        return {
            "score": float(self),
            "rules": self.rules.name,
            "task": self.task.data,
            "is_estimate": self.is_estimate,
            "terms": [{"name": term.name, "value": term.value, "explanation": term.explanation} for term in self.terms],
            "notes": list(self.notes),
        }

    def _title(self) -> str:
        kind = "estimate, nothing measured" if self.is_estimate else "measured"
        return f"Score {float(self):.4f} under {self.rules.name} on {self.task.data} ({kind}; lower is better)"

    def __repr__(self) -> str:
        width = max(len(term.name) for term in self.terms)
        lines = [f"  {term.name:{width}} {term.value:9.4f} = {term.explanation}" for term in self.terms]
        return "\n".join([self._title(), *lines, *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        rows = [(term.name, f"{term.value:.4f}", term.explanation) for term in self.terms]
        total = ("score", f"{float(self):.4f}", "")
        table = html_table([("term", "value", "arithmetic"), *rows, total], "lrl", self._title())
        return f"<div>{table}{''.join(f'<p>{html.escape(note)}</p>' for note in self.notes)}</div>"
