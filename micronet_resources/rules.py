"""The rules of the challenge as data: references of the score, accuracy thresholds, and the scale of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

__all__ = ["RULES", "RuleSet", "Task", "rule_set"]


@dataclass(frozen=True)
class Task:
    """What an entry must reach on one data set, and how its points follow from accuracy and score.

    Parameters
    ----------
    data : str
        Name of the data set for :func:`factorkit.data.load`.
    threshold_percent : int
        Accuracy that a valid entry reaches, compared without rounding.
    floor_percent : int
        Accuracy up to which there are no points.
    threshold_share : float
        Share of the points for reaching the threshold; below it, points grow from the floor to this share.
    start_score, target_score : float
        Scores at which the other points begin and are complete; between them they grow with the logarithm.
    reference : str
        The network that ``start_score`` belongs to.
    """

    data: str
    threshold_percent: int
    floor_percent: int
    threshold_share: float
    start_score: float
    target_score: float
    reference: str

    def needed(self, total: int) -> int:
        """How many of ``total`` images a valid entry classifies correctly, at least.

        Examples
        --------
        >>> RULES["course2025"].tasks["cifar10"].needed(10_000)
        9000
        """
        return -(-total * self.threshold_percent // 100)

    def scale(self, maximum: float) -> str:
        """Return the scale of points as a Markdown table.

        Examples
        --------
        >>> print(RULES["course2025"].tasks["cifar10"].scale(12).splitlines()[2])
        | accuracy up to 30 % | 0 |
        """
        share = self.threshold_share * maximum
        rows = [
            ("an entry with ...", "gets points"),
            ("---", "---"),
            (f"accuracy up to {self.floor_percent} %", "0"),
            (
                f"accuracy from {self.floor_percent} % to below {self.threshold_percent} %",
                f"0 to {share:g}, in proportion to the accuracy",
            ),
            (f"accuracy {self.threshold_percent} % or more, score {self.start_score:g} or more", f"{share:g}"),
            (
                f"accuracy {self.threshold_percent} % or more, score {self.start_score:g} to {self.target_score:g}",
                f"{share:g} to {maximum:g}, in proportion to the logarithm of the score",
            ),
            (f"accuracy {self.threshold_percent} % or more, score {self.target_score:g} or less", f"{maximum:g}"),
        ]
        return "\n".join(f"| {left} | {right} |" for left, right in rows)


@dataclass(frozen=True)
class RuleSet:
    """One way to score a network.

    Parameters
    ----------
    name, description : str
    reference_params, reference_ops : int
        Weights and multiply-accumulates that count as 1 each, at 32 bits.
    tasks : mapping of str to Task
        By data set.
    source : str
        Where the rules come from.
    """

    name: str
    description: str
    reference_params: int
    reference_ops: int
    tasks: Mapping[str, Task]
    source: str

    def task(self, data: str) -> Task:
        """Return the task on a data set.

        Raises
        ------
        ValueError
            If these rules have none, with the nearest name.

        Examples
        --------
        >>> RULES["course2025"].task("patterns").data
        'patterns'
        """
        if data not in self.tasks:
            raise ValueError(f"{self.name} has no task on {data!r}: {_known(data, self.tasks)}")
        return self.tasks[data]


_COURSE_2025 = RuleSet(
    name="course2025",
    description=(
        "Weights and multiply-accumulates, each relative to half a ResNet-18 for 32 x 32 images, that is to the same "
        "network in half precision. Quantization and pruning scale the terms."
    ),
    reference_params=5_600_000,
    reference_ops=280_000_000,
    tasks=MappingProxyType(
        {
            "patterns": Task(
                data="patterns",
                threshold_percent=90,
                floor_percent=30,
                threshold_share=0.5,
                start_score=0.0483,
                target_score=0.005,
                reference="small_convnet",
            ),
            "cifar10": Task(
                data="cifar10",
                threshold_percent=90,
                floor_percent=30,
                threshold_share=0.5,
                start_score=3.979,
                target_score=0.2,
                reference="resnet18_cifar",
            ),
        }
    ),
    source="https://github.com/brain-bzh/efficient-deep-learning, lab 4, rules of 2025",
)

RULES: Mapping[str, RuleSet] = MappingProxyType({_COURSE_2025.name: _COURSE_2025})


def rule_set(name: str) -> RuleSet:
    """Return a rule set by its name.

    Raises
    ------
    ValueError
        If there is none, with the nearest name.

    Examples
    --------
    >>> rule_set("course2025").reference_params
    5600000
    """
    if name not in RULES:
        raise ValueError(f"no rule set is called {name!r}: {_known(name, RULES)}")
    return RULES[name]


def _known(name: object, known: Mapping[str, object]) -> str:
    near = get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(known)}."
