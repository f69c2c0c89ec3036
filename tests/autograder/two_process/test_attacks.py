"""Answers that are not right earn nothing, whatever they do; what was earned before stays earned."""

from __future__ import annotations

import functools
import json

import pandas  # noqa: F401
import pytest
import torch._dynamo  # noqa: F401
import torch.export  # noqa: F401

from autograder.jobs import Job, JobResult
from autograder.two_process.local import run_job

from .attacks import ATTACKS, Attack
from .plain import one_process
from .victims import VICTIMS, attacked

CELL_SECONDS = 3.0
MEMORY_MB = 512  # above what the process had needed before
MEMORY_ATTACKS = ("deep_and_wide", "huge_answers", "many_objects", "many_warnings")
BITING = [attack for attack in ATTACKS if attack.gains_in_one_process]


def notebook_of(attack: Attack):
    return attacked(attack.code, [victim for victim in VICTIMS if victim.name in attack.victims])


def run_attack(attack: Attack) -> JobResult:
    job = Job("student", "lab", attack.name, notebook_of(attack), cell_seconds=CELL_SECONDS, notebook_seconds=60)
    return run_job(job)


@functools.cache
def in_one_process() -> dict[str, dict[str, tuple[float, str]]]:
    """The scores of the attacks that are paid for in one process, by attack and test."""
    results = one_process([notebook_of(attack) for attack in BITING], forked=True)
    return {attack.name: result for attack, result in zip(BITING, results, strict=True)}


def test_right_answers_earn_everything_in_both():
    cells = attacked("\n".join(victim.right for victim in VICTIMS), VICTIMS)
    [plain] = one_process([cells])
    names = {f"honest_{name}" for name in ("product", "linear")} | {victim.name for victim in VICTIMS}
    assert {name for name in names if plain[name][0] != 1} == set()
    result = run_job(Job("student", "lab", "honest", cells, cell_seconds=20))
    assert {test.name: test.message for test in result.tests if test.name in names and test.score != 1} == {}
    assert len(result.tests) == len(VICTIMS) + 4


@pytest.mark.parametrize("attack", BITING, ids=lambda attack: attack.name)
def test_the_attack_pays_in_one_process(attack: Attack):
    earned = {name for name, (score, _) in in_one_process()[attack.name].items() if score}
    assert set(attack.gains_in_one_process) <= earned


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_attack_earns_nothing(attack: Attack):
    result = run_attack(attack)
    tests = {test.name: test for test in result.tests}
    assert len(tests) == len(attack.victims) + 4
    for name in attack.victims:
        assert tests[name].score == 0, f"{name}: {tests[name]}"
        assert tests[name].outcome in ("failed", "timeout", "crashed", "not run"), tests[name]
        assert tests[name].seconds < CELL_SECONDS + 2, tests[name]
    for name in ("honest_product", "honest_linear"):
        assert tests[name].score == 1, f"earned before the attack: {tests[name]}"
    before, after = tests["memory_before"].score, tests["memory_after"].score
    assert before > 0
    assert after < before + MEMORY_MB
    assert after > 0 or attack.name not in MEMORY_ATTACKS, tests["memory_after"]
    json.dumps([test.message for test in result.tests], ensure_ascii=False).encode()
