"""The tests of each lab are as right where the answers run in another process, as submissions are graded."""

from pathlib import Path

import pytest

from autograder.authoring.running_apart import run_lab_apart
from autograder.proofs import Case, load_proofs

FILES = sorted((Path(__file__).parent / "proofs").glob("*.py"))


def apart(file: Path) -> list[Case]:
    """What a proof file states of answers, with the checks in another process than the answers.

    Of the mutants each exercise's first is tried, which takes seconds: they show that a wrong answer is noticed across
    the processes, and whether a test notices each mutant is shown in one. The generic cheats stay out: they are put
    into the process of the answers, where `tests/autograder/two_process` has worse ones.
    """
    lab = load_proofs(file)
    lab.runner = run_lab_apart
    lab.mutants = list({mutant.exercise: mutant for mutant in reversed(lab.mutants)}.values())
    return [case for case in lab.cases() if not case.name.startswith(("cheat-", "alone-"))]


APART = [pytest.param(case, id=f"{case.lab}-{case.name}") for file in FILES for case in apart(file)]


@pytest.mark.parametrize("case", APART)
def test_case_holds_with_the_checks_in_another_process(case: Case):
    proof = case.run()
    assert proof.holds, proof.message
