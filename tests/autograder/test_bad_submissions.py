"""The class of bad submissions through the stages before anything is run: what is found, and what would be run."""

from __future__ import annotations

import json

import pytest

from autograder.assignment import LabNotebooks, read_lab
from autograder.collect import collect
from autograder.course import Course
from autograder.intake import Status, Submission, intake
from autograder.normalise import Normalised, normalise

from .bad_submissions import CLASS, BadSubmission
from .small_course import HIDDEN, LAB, cell_of, make_course
from .spoiling import Surroundings

TESTS = ("sq-test", "sq-partial")
BEFORE_RUNNING = (Status.MISSING, Status.INVALID, Status.TAMPERED)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return make_course(tmp_path_factory.mktemp("small") / "course")


@pytest.fixture(scope="module")
def lab(course: Course) -> LabNotebooks:
    return read_lab(course, LAB)


@pytest.fixture(scope="module")
def taken_in(course: Course, lab: LabNotebooks) -> dict[str, Submission]:
    around = Surroundings(course.root, 9)
    archives = [bad.write(course, lab.releases[LAB], around) for bad in CLASS]
    for archive in filter(None, archives):
        collect(course, LAB, archive)
    return {submission.student: submission for submission in intake(course, LAB, [bad.name for bad in CLASS])}


@pytest.fixture(scope="module")
def normalised(taken_in: dict[str, Submission], lab: LabNotebooks) -> dict[str, Normalised]:
    return {name: normalise(submission, lab.sources, lab.releases) for name, submission in taken_in.items()}


def test_each_submission_is_one_students(taken_in):
    assert set(taken_in) == {bad.name for bad in CLASS}


@pytest.mark.parametrize("bad", CLASS, ids=lambda bad: bad.name)
def test_what_cannot_be_graded_is_told_before_anything_is_run(bad: BadSubmission, normalised):
    problem = normalised[bad.name].problem
    if set(bad.statuses) & set(BEFORE_RUNNING):
        assert problem is not None and problem.status in bad.statuses
        assert problem.message
    else:
        assert problem is None


@pytest.mark.parametrize("bad", CLASS, ids=lambda bad: bad.name)
def test_what_is_odd_is_reported(bad: BadSubmission, normalised):
    findings = normalised[bad.name].findings
    assert bad.findings <= {finding.kind for finding in findings}
    assert all(finding.cell and finding.message for finding in findings)


@pytest.mark.parametrize("bad", CLASS, ids=lambda bad: bad.name)
def test_the_tests_and_their_points_are_the_instructors(bad: BadSubmission, normalised, lab):
    if normalised[bad.name].problem is not None:
        return
    notebook, source = normalised[bad.name].notebooks[LAB], lab.sources[LAB]
    for name in TESTS:
        assert cell_of(notebook, name) == cell_of(source, name)
    graded = [
        cell.metadata.nbgrader.points for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    assert graded == [2, 3, 2]
    assert all(set(cell.metadata) <= {"nbgrader", "deletable", "editable"} for cell in notebook.cells)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


def test_hidden_tests_are_not_in_what_students_get(lab):
    assert HIDDEN in json.dumps(lab.sources[LAB])
    assert HIDDEN not in json.dumps(lab.releases[LAB])
