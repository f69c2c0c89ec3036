"""The rules of the challenge as data: what counts, with which references and accuracy thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from micronet_resources.rulebook.records import RuleSet, Task, known_names
from micronet_resources.rulebook.sets import COURSE_2023, COURSE_2025, NEURIPS_2019

__all__ = ["RULES", "RuleSet", "Task", "rule_set"]

RULES: Mapping[str, RuleSet] = MappingProxyType(
    {rules.name: rules for rules in (COURSE_2025, COURSE_2023, NEURIPS_2019)}
)


def rule_set(name: str) -> RuleSet:
    """Return a rule set by its name.

    Raises
    ------
    ValueError
        If there is none, with the nearest name.

    Examples
    --------
    >>> rule_set("course2025").task("cifar10").reference_params
    5600000
    """
    if name not in RULES:
        raise ValueError(f"no rule set is called {name!r}: {known_names(name, RULES)}")
    return RULES[name]
