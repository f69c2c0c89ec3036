"""Fourteen small tests as careful authors write them, each with its right answer: what the attacks are tried on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

from autograder.jobs import JobCell

__all__ = ["NAMES", "VICTIMS", "Victim", "attacked"]

GIVEN = """\
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from factorkit.checks import trusted_copy


@dataclass(frozen=True)
class Plan:
    rank: int = 1
    name: str = "svd"
"""


@dataclass(frozen=True)
class Victim:
    """A test cell of one point, the name that it asks the student for, and a right answer."""

    name: str
    right: str
    test: str


def _victim(name: str, right: str, test: str) -> Victim:
    return Victim(name, dedent(right).strip(), dedent(test).strip())


VICTIMS = [
    _victim(
        "product",
        "def product(a, b): return a * b",
        """
        got = product(6, 7)
        assert isinstance(got, int), f"expected an int, got {type(got).__name__}"
        assert got == 42, f"expected 42, got {got}"
        """,
    ),
    _victim(
        "decay",
        "def decay(t): return math.exp(-t)",
        """
        for t in (0.0, 0.5, 2.0):
            assert abs(decay(t) - math.exp(-t)) < 1e-9
        """,
    ),
    _victim(
        "linear",
        "def linear(weight, x): return x @ weight.T",
        """
        weight, x = torch.randn(4, 3), torch.randn(5, 3)
        expected = F.linear(x, weight)
        got = linear(weight.clone(), x.clone())
        assert isinstance(got, torch.Tensor) and got.shape == (5, 4)
        torch.testing.assert_close(got, expected)
        """,
    ),
    _victim(
        "singular",
        "def singular(matrix): return np.linalg.svd(matrix, compute_uv=False)",
        """
        matrix = np.random.default_rng(3).normal(size=(5, 3))
        expected = np.linalg.svd(matrix)[1]
        np.testing.assert_allclose(singular(matrix.copy()), expected, strict=True)
        """,
    ),
    _victim(
        "check_rank",
        """
        def check_rank(rank):
            if rank < 1:
                raise ValueError(f"rank must be positive, got {rank}")
            return rank
        """,
        """
        for rank in (0, -3):
            with pytest.raises(ValueError, match=f"rank must be positive, got {rank}"):
                check_rank(rank)
        assert check_rank(4) == 4
        """,
    ),
    _victim(
        "histogram",
        "def histogram(word): return {letter: word.count(letter) for letter in word}",
        """
        assert histogram("noon") == {"n": 2, "o": 2}
        assert histogram("") == {}
        """,
    ),
    _victim(
        "positive",
        "def positive(x): return x > 0",
        """
        assert all(map(positive, [1, 2, 3]))
        assert not any(map(positive, [-1, 0]))
        """,
    ),
    _victim(
        "Network",
        """
        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.line = nn.Linear(3, 2)

            def forward(self, x):
                return self.line(x).relu()
        """,
        """
        network = trusted_copy(Network(), torch.zeros(2, 3))
        assert sum(p.numel() for p in network.parameters()) == 8
        [line] = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        x = torch.randn(6, 3)
        expected = F.linear(x, line.weight, line.bias).relu()
        got = network(x.clone())
        assert got.shape == (6, 2)
        torch.testing.assert_close(got, expected)
        """,
    ),
    _victim(
        "running",
        "def running(xs): return [sum(xs[: i + 1]) for i in range(len(xs))]",
        """
        expected = [1, 3, 6, 10]
        got = list(running([1, 2, 3, 4]))
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            assert a == b, f"expected {b}, got {a}"
        """,
    ),
    _victim(
        "slope",
        "def slope(f, x, h=1e-6): return (f(x + h) - f(x - h)) / (2 * h)",
        """
        assert abs(slope(lambda x: x * x, 3.0) - 6) < 1e-3
        assert abs(slope(math.sin, 0.0) - 1) < 1e-3
        """,
    ),
    _victim(
        "scale_",
        "def scale_(x, by): x.mul_(by)",
        """
        x = torch.tensor([1.0, -2.0])
        scale_(x, 3.0)
        assert x.shape == (2,)
        torch.testing.assert_close(x, torch.tensor([3.0, -6.0]))
        """,
    ),
    _victim(
        "widened",
        "def widened(plan): return Plan(plan.rank * 2, plan.name)",
        """
        got = widened(Plan(3, "cp"))
        assert isinstance(got, Plan)
        assert got == Plan(6, "cp")
        """,
    ),
    _victim(
        "square",
        "def square(k): return k * k",
        """
        earned = sum(square(k) == k * k for k in (2, 3, 5, 7)) / 4
        float(earned)
        """,
    ),
    _victim(
        "table",
        "def table(): return pd.DataFrame({'layer': ['a', 'b'], 'macs': [3, 5]})",
        """
        expected = pd.DataFrame({"layer": ["a", "b"], "macs": [3, 5]})
        pd.testing.assert_frame_equal(table(), expected)
        """,
    ),
]
NAMES = [victim.name for victim in VICTIMS]

# How much memory the process that checks has needed at most, in MB, as the cell's score.
MEMORY = """\
import resource
float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

# What a cell of an attack ends with: each name that the tests ask for is the attack's `cheat`.
_BIND = "globals().update({name: cheat for name in NAMES_HERE if name not in globals()})"


def attacked(code: str, victims: list[Victim], honest: tuple[str, ...] = ("product", "linear")) -> tuple[JobCell, ...]:
    """A notebook with honest answers first, then the attack in the place of the other answers.

    Parameters
    ----------
    code : str
        The attack; it defines ``cheat``, which stands for every answer that it does not define by name.
    victims : list of Victim
        What is attacked.
    honest : tuple of str
        The names of tests that are answered rightly above the attack, under the names ``honest_NAME``.
    """
    cells = [JobCell(0, "given", "locked", GIVEN)]

    def add(name: str, kind: str, source: str, **options) -> None:
        cells.append(JobCell(len(cells), name, kind, source, **options))

    for victim in VICTIMS:
        if victim.name in honest:
            mine = f"honest_{victim.name}"
            right, test = (
                re.sub(rf"(?<!\.)\b{victim.name}\(", f"{mine}(", text) for text in (victim.right, victim.test)
            )
            add(f"answer_{mine}", "solution", right, reference=right)
            add(mine, "test", test, points=1.0)
    add("memory_before", "test", MEMORY, points=1e6)
    names = [victim.name for victim in victims]
    last = _BIND.replace("NAMES_HERE", repr(names))
    for number, victim in enumerate(victims):
        source = f"{code}\n{last}\n" if number == 0 else "pass"
        add(f"answer_{victim.name}", "solution", source, reference=victim.right)
    for victim in victims:
        add(victim.name, "test", victim.test, points=1.0)
    add("memory_after", "test", MEMORY, points=1e6)
    return tuple(cells)
