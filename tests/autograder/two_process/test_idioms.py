"""Ordinary test cells give the same scores in two processes as in one, or are refused with words that help."""

from __future__ import annotations

import ast
import functools
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import pytest
import sklearn.linear_model  # noqa: F401
import torch._dynamo
import torch.export  # noqa: F401

from autograder.authoring.lint_rules import CHECK_RULES, CheckCode
from autograder.jobs import Job, TestResult
from autograder.two_process.local import run_job

from .idioms import GROUPS, IDIOMS, Idiom, cells_of
from .plain import one_process

assert torch._dynamo.__name__ in sys.modules, "what both sides import is there before they are forked"

WHICH = ("right", "wrong")
GROUP_OF = {idiom.name: group for group, idioms in GROUPS.items() for idiom in idioms}


@functools.cache
def in_one_process() -> dict[tuple[str, str], dict[str, tuple[float, str]]]:
    """Score and error of each test cell, by idiom and answer; each in a namespace of its own."""
    asked = [(idiom, which) for idiom in IDIOMS for which in WHICH]
    results = one_process([cells_of([idiom], which) for idiom, which in asked])
    return {(idiom.name, which): result for (idiom, which), result in zip(asked, results, strict=True)}


@functools.cache
def in_two_processes(group: str, which: str) -> dict[str, TestResult]:
    """The results of a group of idioms, handed in together in one notebook."""
    job = Job("student", "lab", "idioms", cells_of(GROUPS[group], which), cell_seconds=20, notebook_seconds=200)
    with tempfile.TemporaryDirectory(prefix="idioms-") as folder:
        result = run_job(job, Path(folder))
    assert result.status == "ok", result.message
    return {test.name: test for test in result.tests}


def test_the_idioms_are_many_and_few_are_refused():
    assert len(IDIOMS) >= 106
    assert len({idiom.name for idiom in IDIOMS}) == len(IDIOMS)
    assert sum(bool(idiom.refused) for idiom in IDIOMS) <= 10


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.name)
def test_nbgrader_accepts_the_right_answer_and_not_the_wrong_one(idiom: Idiom):
    right, wrong = (in_one_process()[idiom.name, which][idiom.name] for which in WHICH)
    assert right == (idiom.points, "")
    assert wrong[0] < idiom.points


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("idiom", [i for i in IDIOMS if not i.refused], ids=lambda idiom: idiom.name)
def test_two_processes_give_the_score_that_one_gives(idiom: Idiom, which: str):
    for name, (score, error) in in_one_process()[idiom.name, which].items():
        got = in_two_processes(GROUP_OF[idiom.name], which)[name]
        assert got.score == score, f"one process: {score:g} {error}; two: {got.score:g} {got.outcome} {got.message}"
        assert got.maximum >= got.score
        assert got.outcome in ("passed", "partial", "failed")


@pytest.mark.parametrize("idiom", [i for i in IDIOMS if i.refused], ids=lambda idiom: idiom.name)
def test_what_two_processes_cannot_do_is_refused_with_the_way_that_works(idiom: Idiom):
    right, wrong = (in_two_processes(GROUP_OF[idiom.name], which)[idiom.name] for which in WHICH)
    assert (right.score, wrong.score) == (0, 0)
    assert right.outcome == "failed"
    check = CheckCode(ast.parse(idiom.test), frozenset())
    found = [message for rule in CHECK_RULES.values() for _, message in rule(check)]
    assert any(idiom.refused in message for message in (right.message, *found)), (right.message, found)
