"""An ordinary nbgrader course needs no change: its notebooks, settings and folders are nbgrader's own."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory

from autograder.assignment import read_lab
from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.intake import Submission, intake
from autograder.normalise import normalise
from autograder.pipeline import grade
from autograder.record import register_lab

from .small_course import CONFIG, HIDDEN, LAB, SQ, SQ_ALL, cell_of, make_course, nbgrader_metadata, source_notebook


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return make_course(tmp_path / "course")


def write_source(course: Course, notebook, name: str = LAB) -> None:
    nbformat.write(notebook, course.source / LAB / f"{name}.ipynb")


def configure(course: Course, *lines: str) -> Course:
    (course.root / "nbgrader_config.py").write_text(CONFIG + "\n".join(lines) + "\n")
    return Course.find(course.root)


def hand_in(course: Course, student: str, **notebooks) -> Path:
    folder = course.submitted / student / LAB
    folder.mkdir(parents=True)
    for name, notebook in notebooks.items():
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook))
    return folder


def test_folders_are_nbgraders_own(course):
    assert course.lab_names() == [LAB]
    assert (course.source, course.release) == (course.root / "source", course.root / "release")
    for step in ("submitted", "autograded", "feedback"):
        assert getattr(course, step) == course.root / step
    assert course.db_url == f"sqlite:///{course.root / 'gradebook.db'}"
    assert (course.course_id, course.events.parent) == ("tiny-course", course.root / "grading")


def test_folders_are_those_that_are_configured(course, tmp_path):
    course = configure(
        course,
        "c.CourseDirectory.submitted_directory = 'in'",
        f"c.CourseDirectory.autograded_directory = {str(tmp_path / 'out')!r}",
        "c.CourseDirectory.db_url = 'sqlite:///books/grades.db'",
    )
    assert (course.submitted, course.autograded) == (course.root / "in", tmp_path / "out")
    assert course.db_url == f"sqlite:///{course.root}/books/grades.db"
    directory = CourseDirectory(config=course.nbgrader_config())
    assert Path(directory.format_path(directory.autograded_directory, "a", LAB)) == tmp_path / "out" / "a" / LAB


def test_results_go_elsewhere_and_submissions_stay(course, tmp_path):
    apart = Course.find(course.root, tmp_path / "round")
    assert apart.submitted == course.submitted
    for folder in (apart.autograded, apart.feedback, apart.events):
        assert folder.parent == tmp_path / "round"
    assert apart.db_url == f"sqlite:///{tmp_path}/round/gradebook.db"
    (tmp_path / "round" / "submitted").mkdir(parents=True)
    assert apart.submitted == tmp_path / "round" / "submitted"


@pytest.mark.parametrize("grading", [None, "round"])
def test_a_database_server_is_never_left_for_a_file(course, grading):
    url = "postgresql+psycopg://grader@localhost/course"
    configure(course, f"c.CourseDirectory.db_url = {url!r}")
    found = Course.find(course.root, course.root / grading if grading else None)
    assert found.db_url == found.nbgrader_config().CourseDirectory.db_url == url


def test_another_order_of_folders_is_refused(course):
    configure(course, "c.CourseDirectory.directory_structure = '{assignment_id}/{student_id}/{nbgrader_step}'")
    with pytest.raises(CourseError, match="directory_structure is '{assignment_id}.*move the folders and remove"):
        course.nbgrader_config()


def test_a_changed_configuration_is_read_again(course):
    assert course.course_id == "tiny-course"
    configure(course, "c.CourseDirectory.course_id = 'another-course-of-this-year'")
    assert course.course_id == "another-course-of-this-year"


def generated(course: Course) -> dict[str, nbformat.NotebookNode]:
    """The release as nbgrader writes it."""
    config = course.nbgrader_config()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = NbGraderAPI(config=config).generate_assignment(LAB)
    assert result["success"], result
    folder = course.release / LAB
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}


def test_the_release_is_what_nbgrader_makes_it(course, monkeypatch):
    monkeypatch.chdir(course.root)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # nbgrader starts alembic by name
    header = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Your name:")])
    nbformat.write(header, course.source / "header.ipynb")
    configure(
        course,
        "c.IncludeHeaderFooter.header = 'source/header.ipynb'",
        "c.ClearSolutions.code_stub = {'python': 'pass  # yours'}",
    )
    write_source(course, source_notebook(), "second")
    theirs, ours = generated(course), read_lab(course, LAB).releases
    assert list(ours) == list(theirs) == ["second", LAB]
    for name, notebook in theirs.items():
        assert [cell.source for cell in ours[name].cells] == [cell.source for cell in notebook.cells]
        assert [cell.metadata for cell in ours[name].cells] == [cell.metadata for cell in notebook.cells]
    assert ours[LAB].cells[0].source == "Your name:" and "pass  # yours" in cell_of(ours[LAB], "sq").source


def test_sources_have_answers_and_hidden_tests_cell_for_cell(course):
    lab = read_lab(course, LAB)
    source, release = lab.sources[LAB], lab.releases[LAB]
    assert [cell.id for cell in source.cells] == [cell.id for cell in release.cells]
    assert "return x * x" in cell_of(source, "sq").source and HIDDEN in cell_of(source, "sq-test").source
    assert "return x * x" not in cell_of(release, "sq").source and HIDDEN not in json.dumps(release)
    assert lab.graded == [(LAB, "sq-test"), (LAB, "sq-partial"), (LAB, "explain")]


def test_the_same_source_gives_the_same_notebooks_with_or_without_ids(course):
    assert read_lab(course, LAB) == read_lab(course, LAB)
    old = source_notebook()
    old.nbformat_minor = 4
    for cell in old.cells:
        del cell["id"]
    (course.source / LAB / f"{LAB}.ipynb").write_text(json.dumps(old))
    lab = read_lab(course, LAB)
    assert lab == read_lab(course, LAB)
    assert len({cell.id for cell in lab.sources[LAB].cells}) == len(old.cells)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_metadata_of_older_versions_is_understood(course, version):
    old = source_notebook()
    for cell in old.cells:
        if meta := cell.metadata.get("nbgrader"):
            meta.schema_version = version
            del meta["task"]
            if version == 0:
                del meta["schema_version"]
    write_source(course, old)
    lab = read_lab(course, LAB)
    today = copy.deepcopy(source_notebook())
    for cell in today.cells:
        cell.metadata.get("nbgrader", {}).pop("task", None)
    for name in ("setup", "sq", "sq-test", "explain"):
        found = dict(cell_of(lab.sources[LAB], name).metadata.nbgrader)
        assert found == dict(cell_of(today, name).metadata.nbgrader)
    register_lab(course, LAB, lab.authored)
    student = cell_of(old, "sq")
    student.source = SQ
    hand_in(course, "ada", tiny=old)
    [submission] = intake(course, LAB)
    result = normalise(submission, lab.sources, lab.releases)
    assert cell_of(result.notebooks[LAB], "sq").source == SQ
    assert {finding.kind for finding in result.findings} <= {"edited"}


def test_files_beside_a_notebook_come_with_the_lab_but_no_notebook_does(course, tmp_path):
    folder = course.source / LAB
    (folder / "data").mkdir()
    (folder / "data" / "a.csv").write_text("1")
    (folder / ".ipynb_checkpoints").mkdir()
    shutil.copy(folder / f"{LAB}.ipynb", folder / ".ipynb_checkpoints" / f"{LAB}-checkpoint.ipynb")
    (folder / "secret.key").write_text("key")
    lab = read_lab(configure(course, "c.CourseDirectory.ignore = ['*.key']"), LAB)
    assert list(lab.files) == ["data/a.csv"]
    target = lab.copy_files(tmp_path / "files")
    assert [path.name for path in target.rglob("*") if path.is_file()] == ["a.csv"]
    before = lab.text
    (folder / "data" / "a.csv").write_text("2")
    assert lab.text != before


def test_magics_and_raw_cells_survive(course):
    source = source_notebook()
    source.cells[-1:] = [
        nbformat.v4.new_code_cell("%%bash\necho hello", id="bash"),
        nbformat.v4.new_code_cell("%timeit 1 + 1\n!ls", id="timeit"),
        nbformat.v4.new_raw_cell("raw", id="raw"),
    ]
    write_source(course, source)
    lab = read_lab(course, LAB)
    student = copy.deepcopy(lab.releases[LAB])
    cell_of(student, "sq").source = "%%time\n" + SQ
    hand_in(course, "ada", tiny=student)
    [submission] = intake(course, LAB)
    notebook = normalise(submission, lab.sources, lab.releases).notebooks[LAB]
    assert [cell.source for cell in notebook.cells[-3:]] == ["%%bash\necho hello", "%timeit 1 + 1\n!ls", "raw"]
    assert cell_of(notebook, "sq").source.startswith("%%time")


def test_tasks_and_graded_answers_keep_their_kind(course):
    source = source_notebook()
    task = nbgrader_metadata("essay", 4, locked=True, task=True)
    answer = nbgrader_metadata("program", 3, grade=True, solution=True)
    source.cells += [
        nbformat.v4.new_markdown_cell(
            "Write.\n### BEGIN MARK SCHEME\n4: good\n### END MARK SCHEME", id="essay", metadata=task
        ),
        nbformat.v4.new_code_cell("### BEGIN SOLUTION\n1\n### END SOLUTION", id="program", metadata=answer),
    ]
    write_source(course, source)
    lab = read_lab(course, LAB)
    register_lab(course, LAB, lab.authored)
    assert lab.graded[-2:] == [(LAB, "essay"), (LAB, "program")]
    assert "4: good" not in json.dumps(lab.releases[LAB])
    student = copy.deepcopy(lab.releases[LAB])
    cell_of(student, "program").source = "print('mine')"
    student.cells.insert(-1, nbformat.v4.new_markdown_cell("My essay."))
    hand_in(course, "ada", tiny=student)
    [submission] = intake(course, LAB)
    result = normalise(submission, lab.sources, lab.releases)
    texts = [cell.source for cell in result.notebooks[LAB].cells]
    assert texts[-2:] == ["My essay.", "print('mine')"] and result.findings == ()


def test_a_changed_free_cell_replaces_the_given_one(course):
    """A notebook without cell ids: the cell is known by its place and by what is left of its text."""
    source = source_notebook()
    source.cells.insert(1, nbformat.v4.new_code_cell("import math\nsteps = 10\nprint(steps)", id="free"))
    source.nbformat_minor = 4
    for cell in source.cells:
        del cell["id"]
    (course.source / LAB / f"{LAB}.ipynb").write_text(json.dumps(source))
    lab = read_lab(course, LAB)
    student = copy.deepcopy(source)
    student.cells[1].source = "import math\nsteps = 25\nprint(steps)"
    student.cells.insert(1, nbformat.v4.new_code_cell("mine = 1"))
    hand_in(course, "ada", tiny=student)
    [submission] = intake(course, LAB)
    texts = [cell.source for cell in normalise(submission, lab.sources, lab.releases).notebooks[LAB].cells]
    assert texts[1:3] == ["mine = 1", "import math\nsteps = 25\nprint(steps)"]
    assert not any("steps = 10" in text for text in texts)


@pytest.fixture
def two(course):
    """The same course with two notebooks in its lab, in which a grade_id occurs twice."""
    write_source(course, source_notebook(), "second")
    return course


def test_of_several_notebooks_each_is_taken(two):
    lab = read_lab(two, LAB)
    answered = copy.deepcopy(lab.releases[LAB])
    cell_of(answered, "sq").source = SQ
    hand_in(two, "ada", tiny=answered, second=lab.releases["second"])
    [submission] = intake(two, LAB)
    assert submission.notebooks == ("second.ipynb", "tiny.ipynb") and submission.findings == ()
    result = normalise(submission, lab.sources, lab.releases)
    assert list(result.notebooks) == list(result.references) == ["second", LAB]
    assert result.references == lab.sources
    assert cell_of(result.notebooks[LAB], "sq").source == SQ != cell_of(result.notebooks["second"], "sq").source


def test_of_several_notebooks_one_that_is_bad_or_missing_costs_only_itself(two):
    lab = read_lab(two, LAB)
    answered = copy.deepcopy(lab.releases[LAB])
    cell_of(answered, "sq").source = SQ
    hand_in(two, "ada", tiny=answered)
    folder = hand_in(two, "bob", tiny=answered)
    (folder / "second.ipynb").write_text("no notebook")
    hand_in(two, "carl")
    taken = {submission.student: submission for submission in intake(two, LAB)}
    for student, kind in (("ada", "missing notebook"), ("bob", "invalid notebook")):
        assert [finding.kind for finding in taken[student].findings] == [kind]
        result = normalise(taken[student], lab.sources, lab.releases)
        assert cell_of(result.notebooks[LAB], "sq").source == SQ
        blank, released = result.notebooks["second"], lab.releases["second"]
        assert cell_of(blank, "sq").source == cell_of(released, "sq").source
        assert len(result.findings) == 1
    assert taken["carl"].problem.message.startswith("there is no second.ipynb and tiny.ipynb")


@pytest.mark.slow
def test_a_round_with_two_notebooks_needs_no_change_of_the_course(two, tmp_path):
    apart = Course.find(two.root, tmp_path / "round")
    lab = read_lab(apart, LAB)
    right = copy.deepcopy(lab.releases[LAB])
    for name, text in (("sq", SQ), ("sq-all", SQ_ALL)):
        cell_of(right, name).source = text
    hand_in(two, "ada", tiny=right, second=right)
    hand_in(two, "-x*", tiny=right)
    finished = grade(apart, LAB, limits=Limits(cell_seconds=20), jobs=1)
    assert finished.failures == ()
    results = {result.student: result for result in finished.results}
    tests = ("second/sq-test", "second/sq-partial", "tiny/sq-test", "tiny/sq-partial")
    assert {name: results["ada"].points[name].score for name in tests} == dict(zip(tests, (2, 3, 2, 3), strict=True))
    assert (results["ada"].score, results["ada"].maximum, results["ada"].status) == (10, 14, "ok")
    assert (results["-x*"].score, [finding.kind for finding in results["-x*"].findings]) == (5, ["missing notebook"])
    graded = sorted(path.name for path in (tmp_path / "round" / "autograded" / "ada" / LAB).glob("*.ipynb"))
    assert graded == ["second.ipynb", "tiny.ipynb"]
    assert not any((two.root / name).exists() for name in ("gradebook.db", "autograded", "grading"))


def test_a_source_that_is_no_notebook_is_named(course):
    (course.source / LAB / f"{LAB}.ipynb").write_text("{}")
    with pytest.raises(CourseError, match=r"source/tiny/tiny\.ipynb: no notebook that can be read"):
        read_lab(course, LAB)


def test_a_mark_without_an_end_is_named(course):
    source = source_notebook()
    cell_of(source, "sq").source = "### BEGIN SOLUTION\n1"
    write_source(course, source)
    with pytest.raises(CourseError, match=r"tiny\.ipynb: ClearSolutions failed: RuntimeError: no end"):
        read_lab(course, LAB)


def test_cells_that_come_after_answers_are_cleared_are_refused(course):
    header = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("late")])
    nbformat.write(header, course.source / "header.ipynb")
    configure(
        course,
        "c.IncludeHeaderFooter.header = 'source/header.ipynb'",
        "c.GenerateAssignment.preprocessors = ["
        "'nbgrader.preprocessors.ClearSolutions', 'nbgrader.preprocessors.IncludeHeaderFooter']",
    )
    with pytest.raises(CourseError, match="put those that do so before ClearSolutions"):
        read_lab(course, LAB)


def test_nothing_was_handed_in_for_a_lab_of_two(two):
    submission = Submission("ada", LAB, "/nowhere")
    assert normalise(submission, read_lab(two, LAB).sources).notebooks == {}
