"""The tests of each lab are right: see tests/labs/proofs/LAB.py and `autograder.proofs`."""

from pathlib import Path

import pytest

from autograder.course import Course
from autograder.lint import lint
from autograder.proofs import Case, load_proofs
from autograder.running_apart import run_lab_apart

COURSE = Course.find(Path(__file__).parent)
FILES = sorted((Path(__file__).parent / "proofs").glob("*.py"))
CASES = [pytest.param(case, id=f"{case.lab}-{case.name}") for file in FILES for case in load_proofs(file).cases()]


def apart(file: Path) -> list[Case]:
    """What a proof file states of answers, with the checks in another process than the answers.

    The generic cheats stay out: they are put into the process of the answers, where `tests/autograder/two_process`
    has worse ones.
    """
    lab = load_proofs(file)
    lab.runner = run_lab_apart
    return [case for case in lab.cases() if not case.name.startswith(("cheat-", "alone-"))]


APART = [pytest.param(case, id=f"{case.lab}-{case.name}") for file in FILES for case in apart(file)]


@pytest.mark.parametrize("case", APART)
def test_case_holds_with_the_checks_in_another_process(case: Case):
    proof = case.run()
    assert proof.holds, proof.message


@pytest.mark.parametrize("case", CASES)
def test_case_holds(case: Case):
    proof = case.run()
    assert proof.holds, proof.message


@pytest.mark.parametrize("name", COURSE.lab_names())
def test_lab_has_a_proof_file_and_no_findings(name: str):
    assert lint(load_proofs(COURSE.root / "tests" / "labs" / "proofs" / f"{name}.py").source) == []
