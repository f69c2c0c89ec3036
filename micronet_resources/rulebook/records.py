"""What a rule set and a task consist of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["RuleSet", "Task", "known_names"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What an entry must reach on one data set, and what its costs are compared with.

    Parameters
    ----------
    data : str
        Name of the data set; that of :func:`factorkit.data.load` where the kit can load it.
    input_shape : tuple of int
        Channels, height and width of one image.
    num_classes : int
    threshold_percent : int
        Accuracy that a valid entry reaches, compared without rounding.
    reference : str
        The network that the costs are compared with.
    reference_params : int
        Parameters of 32 bits that count as 1.
    reference_ops : int
        Operations of 32 bits that count as 1, in the unit of the rules.
    source : str
        Where these numbers come from.
    sizes_vary : bool, optional
        Whether the images of the data set come in many sizes, so that each network chooses the one it works on.
    floor_percent : int or None, optional
        Accuracy up to which there are no points. This and the next three are None where no points are given.
    threshold_share : float or None, optional
        Share of the points for reaching the threshold; below it, points grow from the floor to this share.
    start_score, target_score : float or None, optional
        Scores at which the other points begin and are complete; between them they grow with the logarithm.
    """

    data: str
    input_shape: tuple[int, int, int]
    num_classes: int
    threshold_percent: int
    reference: str
    reference_params: int
    reference_ops: int
    source: str
    sizes_vary: bool = False
    floor_percent: int | None = None
    threshold_share: float | None = None
    start_score: float | None = None
    target_score: float | None = None

    @property
    def has_points(self) -> bool:
        """Whether the task has a scale of points."""
        return None not in (self.floor_percent, self.threshold_share, self.start_score, self.target_score)

    def needed(self, total: int) -> int:
        """How many of ``total`` images a valid entry classifies correctly, at least.

        Examples
        --------
        >>> from micronet_resources.rules import rule_set
        >>> rule_set("course2025").task("cifar10").needed(10_000)
        9000
        """
        return -(-total * self.threshold_percent // 100)

    def scale(self, maximum: float) -> str:
        """Return the scale of points as a Markdown table.

        Raises
        ------
        ValueError
            If the task has no points.

        Examples
        --------
        >>> from micronet_resources.rules import rule_set
        >>> print(rule_set("course2025").task("cifar10").scale(12).splitlines()[2])
        | accuracy up to 30 % | 0 |
        """
        if not self.has_points:
            raise ValueError(f"the task on {self.data!r} has no scale of points: entries are only ranked by score.")
        share = self.threshold_share * maximum
        rows = [
            ("an entry with ...", "gets points"),
            ("---", "---"),
            (f"accuracy up to {self.floor_percent} %", "0"),
            (
                f"accuracy from {self.floor_percent} % to below {self.threshold_percent} %",
                f"0 to {share:g}, rising linearly from {self.floor_percent} % to {self.threshold_percent} %",
            ),
            (f"accuracy {self.threshold_percent} % or more, score {self.start_score:g} or more", f"{share:g}"),
            (
                f"accuracy {self.threshold_percent} % or more, score {self.start_score:g} to {self.target_score:g}",
                f"{share:g} to {maximum:g}, in proportion to the logarithm of the score",
            ),
            (f"accuracy {self.threshold_percent} % or more, score {self.target_score:g} or less", f"{maximum:g}"),
        ]
        return "\n".join(f"| {left} | {right} |" for left, right in rows)


@dataclass(frozen=True, kw_only=True)
class RuleSet:
    """One way to score a network: storage and arithmetic, both relative to a reference network.

    The arithmetic is the same for all rule sets; the fields say what enters it.

    Parameters
    ----------
    name, description : str
    source : str
        Where the rules come from.
    tasks : mapping of str to Task
        By data set.
    default_task : str
    multiplied : frozenset of str
        Kinds of operations (:data:`micronet_resources.operations.KINDS`) whose multiplications count, each at the
        width of its widest factor, divided by 32.
    added : frozenset of str
        Kinds whose additions count apart, as one 32-bit operation each. Where a kind is in ``multiplied`` alone, a
        multiplication and its addition are one operation.
    per_normalized : int or None
        Operations of 32 bits for each element of a normalization, in place of its multiplications and additions.
    mask_bits : int
        What the mask of a sparse tensor costs for each element that it covers; at least 1 for a tensor that only
        chooses or moves elements, under all rules.
    counts_tables : bool
        Whether tables of values and scales are stored too.
    values_per_entry : int or None
        How many values a tensor stores, at least, for each entry of its table, where tables are free; None where they
        count. A shorter tensor could be its own table.
    skips_zeros : bool
        Whether a multiplication by a weight that is zero, and its addition, are left out. Whole filters and channels
        that are zero are left out under all rules.
    signs_bits : int or None
        Width of a multiplication by +1 or -1; None if it is like any other.
    free_bits : int or None
        Width at which storage and multiplications count if nothing is narrower.
    folds_normalization : bool
        Whether a batch normalization directly behind a convolution or linear layer is folded into it.
    """

    name: str
    description: str
    source: str
    tasks: Mapping[str, Task]
    default_task: str
    multiplied: frozenset[str]
    added: frozenset[str]
    per_normalized: int | None
    mask_bits: int
    counts_tables: bool
    values_per_entry: int | None
    skips_zeros: bool
    signs_bits: int | None
    free_bits: int | None
    folds_normalization: bool

    @property
    def operation_terms(self) -> tuple[str, ...]:
        """Names of the terms of a score that come from arithmetic."""
        names = ("multiplications", "additions") if self.added else ("operations",)
        return names if self.per_normalized is None else (*names, "normalization")

    def task(self, data: str | None = None) -> Task:
        """Return the task on a data set, or the default task.

        Raises
        ------
        ValueError
            If these rules have none, with the nearest name and the rule sets that have it.

        Examples
        --------
        >>> from micronet_resources.rules import rule_set
        >>> rule_set("course2025").task("patterns").data
        'patterns'
        >>> rule_set("neurips2019").task().data
        'cifar100'
        """
        data = self.default_task if data is None else data
        if data not in self.tasks:
            from micronet_resources.rules import RULES  # they are made of this class

            others = [rules.name for rules in RULES.values() if data in rules.tasks]
            elsewhere = f" {' and '.join(others)} has it." if others else ""
            raise ValueError(f"{self.name} has no task on {data!r}: {known_names(data, self.tasks)}{elsewhere}")
        return self.tasks[data]


def known_names(name: object, known: Mapping[str, object]) -> str:
    """Return a hint for a name that is not known: the nearest one and all."""
    near = get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(known)}."
