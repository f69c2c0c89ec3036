"""Declared widths and pruned fractions: their ranges, and what a network would cost if they were true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from micronet_resources.operations import Operation
from micronet_resources.rulebook.charges import Charge, Work, arithmetic_left, has_weight
from micronet_resources.rulebook.records import RuleSet

__all__ = ["Assumptions", "check_declaration"]


@dataclass(frozen=True)
class Assumptions:
    """What an estimate takes for granted.

    Parameters
    ----------
    weight_bits, activation_bits : int
    pruned_structured, pruned_unstructured : float
        Fractions of all weights that are removed in whole filters and one by one.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    weight_bits: int
    activation_bits: int
    pruned_structured: float
    pruned_unstructured: float

    def __post_init__(self) -> None:
        check_declaration(**vars(self))

    @property
    def left(self) -> float:
        """Fraction of the operations that is left without pruned filters."""
        return 1 - self.pruned_structured

    @property
    def nonzero(self) -> float:
        """Fraction of the weights that is left."""
        # A sum such as 0.7 + 0.3 may exceed 1 by a rounding error: nothing kept is 0, never below.
        return max(1 - (self.pruned_structured + self.pruned_unstructured), 0)

    def __str__(self) -> str:
        return (
            f"Assumed: weights of {self.weight_bits} bits, activations of {self.activation_bits} bits, "
            f"p_s = {self.pruned_structured:g}, p_u = {self.pruned_unstructured:g}."
        )

    def is_free(self, rules: RuleSet) -> bool:
        """Whether nothing would be narrower than a width that the rules grant."""
        return rules.free_bits is not None and min(self.weight_bits, self.activation_bits) >= rules.free_bits

    def storage(self, costs: Any, rules: RuleSet) -> Charge:
        """What would be stored of the parameters that the network reads."""
        params = getattr(costs, "params_used", None)
        params = costs.params if params is None else params
        bits = rules.free_bits if self.is_free(rules) else self.weight_bits
        masked = self.left * params if self.pruned_unstructured else 0
        return Charge({bits: self.nonzero * params}, masks=rules.mask_bits * masked)

    def works(self, costs: Any, rules: RuleSet) -> list[Work]:
        """What would be left of each operation.

        Raises
        ------
        ValueError
            If only totals are known and the rules need the operations.
        """
        operations = getattr(costs, "operations", None)
        if operations is None:
            if rules.added:
                raise ValueError(
                    f"{rules.name} counts additions apart, and a {type(costs).__name__} does not know its operations: "
                    "pass what profile_model() returns."
                )
            operations = [Operation("network", "linear", 0, costs.macs, 0)]
        # An inventory has its operations wrapped in what was measured, which an estimate leaves aside.
        return [self._work(getattr(operation, "operation", operation), rules) for operation in operations]

    def _work(self, operation: Operation, rules: RuleSet) -> Work:
        weighted = has_weight(operation)
        outputs = self.left * operation.outputs
        macs = (self.nonzero if weighted and rules.skips_zeros else self.left) * operation.macs
        multiplications, additions = arithmetic_left(operation, outputs, macs)
        bits = max(self.weight_bits, self.activation_bits) if weighted else self.activation_bits
        signs_only = weighted and self.weight_bits == 1
        return Work(operation.kind, outputs, multiplications, additions, bits, signs_only)


def check_declaration(**declared: Any) -> None:
    """Check that declared widths and fractions are in their ranges.

    Parameters
    ----------
    weight_bits, activation_bits, pruned_structured, pruned_unstructured : optional

    Raises
    ------
    ValueError
        If a width is not an integer from 1 to 32, a fraction is not in [0, 1], or more than all weights are pruned.
    """
    for name in ("weight_bits", "activation_bits"):
        bits = declared.get(name, 32)
        if type(bits) is not int or not 1 <= bits <= 32:
            is_ratio = isinstance(bits, float) and 0 < bits < 1
            hint = f" {bits:g} looks like a ratio: {bits:g} of 32 bits is {32 * bits:g}." if is_ratio else ""
            raise ValueError(
                f"{name}={bits!r}: a width is a whole number of bits from 1 to 32 (half precision is 16).{hint}"
            )
    for name in ("pruned_structured", "pruned_unstructured"):
        fraction = declared.get(name, 0.0)
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise ValueError(f"{name}={fraction!r}: a pruned fraction is a number from 0 to 1.")
    p_s, p_u = declared.get("pruned_structured", 0.0), declared.get("pruned_unstructured", 0.0)
    if p_s + p_u > 1 + 1e-9:
        raise ValueError(
            f"pruned_structured + pruned_unstructured = {p_s:g} + {p_u:g} is more than all weights. Both are fractions "
            "of all weights: if a fraction u of the weights left after structured pruning is zero, "
            f"pruned_unstructured is u * {1 - p_s:g}."
        )
