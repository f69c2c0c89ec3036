"""The tests of each lab are right: see tests/labs/proofs/LAB.py and `autograder.proofs`."""

from pathlib import Path

import pytest

from autograder.authoring.lint import lint
from autograder.course import Course
from autograder.proofs import Case, load_proofs

COURSE = Course.find(Path(__file__).parent)
FILES = sorted((Path(__file__).parent / "proofs").glob("*.py"))
CASES = [pytest.param(case, id=f"{case.lab}-{case.name}") for file in FILES for case in load_proofs(file).cases()]


@pytest.mark.parametrize("case", CASES)
def test_case_holds(case: Case):
    proof = case.run()
    assert proof.holds, proof.message


@pytest.mark.parametrize("name", COURSE.lab_names())
def test_lab_has_a_proof_file_and_no_findings(name: str):
    assert lint(load_proofs(COURSE.root / "tests" / "labs" / "proofs" / f"{name}.py").source) == []
