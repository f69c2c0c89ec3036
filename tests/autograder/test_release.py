import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.utils import compute_checksum

from autograder.authoring.answers import filled_notebook
from autograder.authoring.release import TEXT_STUB, drift, release_notebook, write_labs
from autograder.authoring.running import run_lab
from autograder.authoring.source import notebook_text, read_source, source_notebook
from autograder.course import Course
from autograder.errors import CourseError, UsageError

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parent / "data" / "lab_tiny"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    root = tmp_path / "course"
    shutil.copytree(TINY, root / "solutions" / "lab_tiny")
    (root / "solutions" / "lab_tiny" / "files").mkdir()
    (root / "solutions" / "lab_tiny" / "files" / "sides.csv").write_text("1,2\n")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    return Course.find(root)


@pytest.fixture(scope="module")
def source():
    return source_notebook(read_source(TINY / "lab_tiny.py"))


def test_students_get_stubs_and_visible_tests_only(source):
    before = notebook_text(source)
    released = release_notebook(source)
    assert notebook_text(source) == before, "the source notebook was changed"
    cells = {cell.id: cell for cell in released.cells}
    assert list(cells) == [cell.id for cell in source.cells]
    assert cells["area"].source.endswith(
        '    raise NotImplementedError("Exercise 1: return the area, height times width")'
    )
    assert (
        cells["check_area"].source
        == 'not_imported("wave")\ngot = area(2, 3)\nassert got == 6, f"expected 2 * 3 = 6, got {got}"'
    )
    assert cells["check_areas"].source.endswith("credit = 1.0\nfloat(credit)")
    assert cells["mislead"].source == TEXT_STUB
    for secret in ("surface", "products", "hidden", "perimeter", "BEGIN", "END"):
        assert secret not in notebook_text(released)


def test_cells_are_locked_and_carry_checksums(source):
    cells = {cell.id: cell for cell in release_notebook(source).cells}
    for name in ("given_setup", "check_area", "text-000"):
        assert cells[name].metadata.editable is cells[name].metadata.deletable is False
    for name in ("area", "mislead"):
        assert cells[name].metadata.deletable is False and "editable" not in cells[name].metadata
    for name in ("given_setup", "area", "check_area", "mislead"):
        assert cells[name].metadata.nbgrader.checksum == compute_checksum(cells[name])


def changed(source, grade_id: str, old: str, new: str):
    notebook = nbformat.reads(notebook_text(source), as_version=4)
    [cell] = [cell for cell in notebook.cells if cell.id == grade_id]
    assert old in cell.source
    cell.source = cell.source.replace(old, new)
    return notebook


def test_a_region_without_stub_raises_without_a_message(source):
    stub = ' stub="Exercise 1: return the area, height times width"'
    released = release_notebook(changed(source, "area", stub, ""))
    assert released.cells[3].source.endswith("    raise NotImplementedError()")


def test_a_release_with_a_mark_or_an_answer_in_it_is_refused(source):
    answer = "surface = height * width\n    return surface"
    stub, short = "return the area, height times width", "return height * width"
    with pytest.raises(CourseError, match="the SOLUTION of cell 'area' would remain"):
        release_notebook(changed(changed(source, "area", answer, short), "area", stub, short))
    with pytest.raises(CourseError, match="malformed mark 'Say what END MARK SCHEME means."):
        release_notebook(changed(source, "text-000", "A small lab.", "Say what END MARK SCHEME means."))


def test_labs_are_written_once_and_then_left_alone(course):
    names = ["lab_tiny.ipynb", "sides.csv"]
    first = write_labs(course)
    assert [item.path for item in first] == [
        folder / "lab_tiny" / name for folder in (course.source, course.labs) for name in names
    ]
    assert all(item.changed for item in first)
    stamps = [item.path.stat().st_mtime_ns for item in first]
    second = write_labs(course, "lab_tiny")
    assert not any(item.changed for item in second)
    assert [item.path.stat().st_mtime_ns for item in second] == stamps
    with pytest.raises(UsageError, match="unknown lab 'lab_tinny'; did you mean 'lab_tiny'"):
        write_labs(course, "lab_tinny")


def test_drift_names_what_differs_and_the_remedy(course):
    assert drift(course) == ["lab_tiny: labs/lab_tiny is missing; run `autograder build`"]
    write_labs(course)
    assert drift(course) == []
    lab = course.labs / "lab_tiny"
    (lab / ".ipynb_checkpoints").mkdir()
    (lab / ".ipynb_checkpoints" / "lab_tiny.ipynb").touch()
    assert drift(course) == []
    (lab / "lab_tiny.ipynb").write_text((lab / "lab_tiny.ipynb").read_text() + "\n")
    (lab / "sides.csv").unlink()
    (lab / "notes.txt").touch()
    (course.labs / "lab_old").mkdir()
    differs, extra, orphan = drift(course)
    assert "lab_tiny: lab_tiny.ipynb, sides.csv in labs/lab_tiny differs" in differs and "`autograder build`" in differs
    assert "notes.txt in labs/lab_tiny comes from no source" in extra and "`autograder build`" in extra
    assert orphan.startswith("lab_old: labs/lab_old has no source solutions/lab_old/lab_old.py")


def nbgrader(course: Course, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_nbgrader_itself_generates_the_same_bytes_and_gives_the_same_scores(course, source):
    ours = {item.path: item.path.read_bytes() for item in write_labs(course) if item.path.is_relative_to(course.labs)}
    for path in ours:
        path.unlink()
    nbgrader(course, "generate_assignment", "lab_tiny", "--create", "--force")
    assert {path: path.read_bytes() for path in ours} == ours
    assert drift(course) == []

    answers = {"area": "return height + width", "areas": "return np.array([2.0, 12.0])"}
    submitted = course.submitted / "student-001" / "lab_tiny"
    submitted.mkdir(parents=True)
    (submitted / "lab_tiny.ipynb").write_text(notebook_text(filled_notebook(source, answers)))
    nbgrader(course, "autograde", "lab_tiny", "--create")
    with Gradebook(course.db_url) as gradebook:
        grades = gradebook.find_submission("lab_tiny", "student-001").notebooks[0].grades
        scores = {grade.name: grade.auto_score for grade in grades}
    blank_answer = {"mislead": 0.0}
    assert scores == run_lab(source, answers).scores | blank_answer
    assert scores == {"check_area": 0.0, "check_areas": 1.0, "mislead": 0.0}
