"""One number of a slide, and whether arithmetic agrees with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

__all__ = ["SlideNumber", "Verdict"]

Verdict = Literal["right", "truncated", "erratum", "open", "measured"]


@dataclass(frozen=True)
class SlideNumber:
    """One number of a slide and the verdict on it.

    Attributes
    ----------
    slide, quantity : str
        Where the number stands and what it says.
    printed : str
        The number as the slide has it.
    value, digit : float
        Its value, and the value of one unit of its last printed digit: 76 million has the digit one million.
    derive : callable or None
        Gives the exact value; None where no arithmetic can.
    verdict : {"right", "truncated", "erratum", "open", "measured"}
        ``right`` if the exact value rounds to the printed one, ``truncated`` if further digits are cut off instead,
        ``erratum`` if it is neither and what is right is known, ``open`` if it is not, ``measured`` for the outcome of
        an experiment.
    note : str
        What was assumed; for an erratum what is right.
    source : str
        Key in ``book/references.bib`` of the paper that the number comes from, or that corrects it.
    """

    slide: str
    quantity: str
    printed: str
    value: float
    digit: float
    derive: Callable[[], float | Fraction] | None
    verdict: Verdict
    note: str
    source: str = ""

    @property
    def rounds(self) -> bool:
        """Whether the exact value rounds to the printed one."""
        return 2 * abs(self.derive() - self.value) <= self.digit

    @property
    def truncates(self) -> bool:
        """Whether the printed value is the exact one with its further digits cut off."""
        return 0 <= self.derive() - self.value < self.digit

    def row(self) -> dict[str, object]:
        """The record as a row of a table."""
        ours = "" if self.derive is None else float(self.derive())
        return {
            "slide": self.slide,
            "quantity": self.quantity,
            "on the slide": self.printed,
            "re-derived": ours,
            "verdict": self.verdict,
            "note": self.note,
        }
