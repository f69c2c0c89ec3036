"""The MicroNet score of a profile: two terms, both relative to a reference network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from micronet_resources.rules import RuleSet, rule_set

__all__ = ["Score", "score"]


class Costs(Protocol):
    """Anything that knows its parameters and its MACs per example, such as a ``ModelProfile``."""

    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...


@dataclass(frozen=True, repr=False)
class Score:
    """A MicroNet score with everything that went into it; ``float(score)`` is the number, and lower is better."""

    rules: RuleSet
    params: int
    macs: int
    weight_bits: int
    activation_bits: int
    pruned_structured: float
    pruned_unstructured: float

    @property
    def operation_bits(self) -> int:
        """Width of a multiplication: that of its wider factor."""
        return max(self.weight_bits, self.activation_bits)

    @property
    def parameter_term(self) -> float:
        """Storage of the weights that are left, relative to the reference."""
        kept = 1 - (self.pruned_structured + self.pruned_unstructured)
        # A sum such as 0.7 + 0.3 may exceed 1 by a rounding error: nothing kept is 0, never below.
        return max(kept, 0.0) * (self.weight_bits / 32) * self.params / self.rules.reference_params

    @property
    def operation_term(self) -> float:
        """Multiply-accumulates that are left, relative to the reference."""
        kept = 1 - self.pruned_structured
        return kept * (self.operation_bits / 32) * self.macs / self.rules.reference_ops

    def __float__(self) -> float:
        return self.parameter_term + self.operation_term

    def __repr__(self) -> str:
        rules, p_s, p_u = self.rules, self.pruned_structured, self.pruned_unstructured
        return (
            f"Score {float(self):.4f} under {rules.name} (lower is better)\n"
            f"  parameters {self.parameter_term:8.4f} = [1 - ({p_s:g} + {p_u:g})] * {self.weight_bits}/32"
            f" * {self.params:,} / {rules.reference_params:,}\n"
            f"  operations {self.operation_term:8.4f} = (1 - {p_s:g}) * max({self.weight_bits}, {self.activation_bits})"
            f"/32 * {self.macs:,} / {rules.reference_ops:,}"
        )


def score(
    profile: Costs,
    rules: str = "course2025",
    *,
    weight_bits: int = 32,
    activation_bits: int = 32,
    pruned_structured: float = 0.0,
    pruned_unstructured: float = 0.0,
) -> Score:
    r"""Score a profile: :math:`[1 - (p_s + p_u)] \frac{q_w}{32} \frac{w}{w_0} + (1 - p_s) \frac{\max(q_w, q_a)}{32}
    \frac{f}{f_0}`.

    Parameters
    ----------
    profile : ModelProfile
        Or anything with ``params`` (:math:`w`) and ``macs`` (:math:`f`).
    rules : str, optional
        Name of a rule set, which gives the references :math:`w_0` and :math:`f_0`.
    weight_bits, activation_bits : int, optional
        :math:`q_w` and :math:`q_a`, from 1 to 32.
    pruned_structured, pruned_unstructured : float, optional
        :math:`p_s` and :math:`p_u`, fractions of *all* weights that were removed in whole filters and one by one.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If the rule set is unknown, a width is not an integer from 1 to 32, a fraction is not in [0, 1], or more than
        all weights are pruned.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> score(SimpleNamespace(params=11_173_962, macs=555_422_720), weight_bits=16, activation_bits=16)
    Score 1.9895 under course2025 (lower is better)
      parameters   0.9977 = [1 - (0 + 0)] * 16/32 * 11,173,962 / 5,600,000
      operations   0.9918 = (1 - 0) * max(16, 16)/32 * 555,422,720 / 280,000,000
    """
    for name, bits in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
        if type(bits) is not int or not 1 <= bits <= 32:
            raise ValueError(f"{name}={bits!r}: a width is a whole number of bits from 1 to 32 (half precision is 16).")
    fractions = {"pruned_structured": pruned_structured, "pruned_unstructured": pruned_unstructured}
    for name, fraction in fractions.items():
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise ValueError(f"{name}={fraction!r}: a pruned fraction is a number from 0 to 1.")
    if sum(fractions.values()) > 1 + 1e-9:
        raise ValueError(
            f"pruned_structured + pruned_unstructured = {pruned_structured:g} + {pruned_unstructured:g} is more than "
            "all weights. Both are fractions of all weights: if a fraction u of the weights left after structured "
            f"pruning is zero, pruned_unstructured is u * {1 - pruned_structured:g}."
        )
    return Score(
        rule_set(rules),
        profile.params,
        profile.macs,
        weight_bits,
        activation_bits,
        float(pruned_structured),
        float(pruned_unstructured),
    )
