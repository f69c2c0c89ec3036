"""Recording: the gradebook gets nbgrader's points, once, and keeps what a person gave."""

from __future__ import annotations

import time

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde

from autograder.authoring.source import read_source, source_notebook
from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Executed
from autograder.intake import Status, Submission
from autograder.normalise import normalise
from autograder.record import (
    GradebookError,
    Points,
    enrolled,
    graded_result,
    graded_results,
    nbgrader_converter,
    open_recorder,
    record,
    register_lab,
)

from . import small_course


def error():
    return nbformat.v4.new_output("error", ename="AssertionError", evalue="no", traceback=["no"])


def result(text):
    return nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1)


@pytest.fixture
def executed(course, source, hand_in, right):
    """A function that makes an executed notebook with given outputs of its tests; no kernel is involved."""
    register_lab(course, "tiny", {"tiny": source})

    def make(student="student-001", outputs=None, **answers):
        path = hand_in(student, **(answers or right))
        submission = Submission(student, "tiny", str(path.parent), (path.name,), received="2026-01-31T12:00:00+00:00")
        notebooks = normalise(submission, {"tiny": source}).notebooks
        for cell in notebooks["tiny"].cells:
            if cell.id in (outputs or {}):
                cell.outputs = outputs[cell.id]
        return Executed(submission, Status.OK, "", notebooks, seconds=1.5)

    return make


def gradebook(course):
    return Gradebook(course.db_url, "factorkit")


def test_points_follow_the_outputs(course, executed):
    recorded = record(
        course, executed(outputs={"check_share": [result("2.5")]}), ["check_double", "check_share", "why"]
    )
    assert recorded.points == {"check_double": Points(3, 3), "check_share": Points(2.5, 4), "why": Points(None, 3)}
    assert list(recorded.points) == ["check_double", "check_share", "why"]
    assert (recorded.score, recorded.maximum, recorded.waiting) == (5.5, 10, 3)
    assert (recorded.status, recorded.seconds, recorded.received) == (Status.OK, 1.5, "2026-01-31T12:00:00+00:00")
    assert (course.autograded / "student-001" / "tiny" / "tiny.ipynb").is_file()
    with gradebook(course) as found:
        assert str(found.find_submission("tiny", "student-001").timestamp) == "2026-01-31 12:00:00"


def test_an_error_costs_the_points_and_a_blank_answer_waits_for_nobody(course, executed, release):
    blank = {cell.id: cell.source for cell in release.cells}
    recorded = record(course, executed(outputs={"check_double": [error()], "check_share": [error()]}, **blank))
    assert (recorded.score, recorded.waiting) == (0, 0)


def test_recording_twice_changes_nothing(course, executed):
    first = record(course, executed())
    assert record(course, executed()) == first
    with gradebook(course) as found:
        assert len(found.assignment_submissions("tiny")) == 1


def test_a_grade_given_by_hand_is_kept(course, executed):
    record(course, executed())
    with gradebook(course) as found:
        found.find_grade("why", "tiny", "tiny", "student-001").manual_score = 2
        found.find_grade("check_double", "tiny", "tiny", "student-001").manual_score = 1
        found.db.commit()
    recorded = record(course, executed(outputs={"check_double": [error()]}))
    assert recorded.points == {"check_double": Points(1, 3), "check_share": Points(4, 4), "why": Points(2, 3)}
    assert (recorded.score, recorded.waiting) == (7, 0)


@pytest.mark.parametrize("status", [Status.INVALID, Status.TAMPERED])
def test_what_was_not_run_scores_nothing_and_leaves_no_old_notebook(course, executed, status):
    record(course, executed())
    again = Executed(Submission("student-001", "tiny", "/nowhere"), status, "why")
    recorded = record(course, again)
    assert (recorded.status, recorded.message, recorded.score, recorded.waiting) == (status, "why", 0, 0)
    assert not (course.autograded / "student-001" / "tiny").exists()


def test_a_missing_submission_makes_the_student_known(course, executed):
    recorded = record(course, Executed(Submission("student-007", "tiny", "/nowhere"), Status.MISSING, "nothing"))
    assert (recorded.score, recorded.maximum, recorded.points, recorded.findings) == (None, 10, {}, ())
    assert "student-007" in enrolled(course)


def test_a_submission_that_was_taken_back_keeps_its_points_and_is_flagged(course, executed):
    record(course, executed())
    recorded = record(course, Executed(Submission("student-001", "tiny", "/nowhere"), Status.MISSING, "nothing"))
    assert recorded.score == 7 and [finding.kind for finding in recorded.findings] == ["earlier"]


def test_one_students_record_does_not_touch_another(course, executed):
    first = record(course, executed("student-001"))
    record(course, executed("-müller+ 王", outputs={"check_double": [error()]}))
    record(course, executed("student-*", outputs={"check_double": [error()]}))
    record(course, Executed(Submission("student-003", "tiny", "/nowhere"), Status.INVALID, "no"))
    assert graded_result(course, first) == first


def test_what_nbgrader_cannot_record_is_named(course, executed):
    broken = executed()
    next(cell for cell in broken.notebooks["tiny"].cells if cell.id == "why").metadata.nbgrader["grade_id"] = "who"
    with pytest.raises(CourseError, match="nbgrader could not record student-001's tiny: MissingEntry: no such grade"):
        record(course, broken)
    assert record(course, executed("student-002")).score == 7


def test_registering_a_lab_again_is_no_change(course, source, executed):
    first = record(course, executed())
    register_lab(course, "tiny", {"tiny": source})
    assert graded_result(course, first) == first


def test_cells_cannot_come_or_go_under_recorded_grades(course, executed):
    record(course, executed())
    path = course.source_file("tiny")
    path.write_text(path.read_text().replace('exercise="share"', 'exercise="part"').replace('"share" p', '"part" p'))
    with pytest.raises(CourseError, match="the graded cells of tiny are no longer those that .* --grading DIR"):
        register_lab(course, "tiny", {"tiny": source_notebook(read_source(path))})


def by_hand(course, student="student-001"):
    """What a person does in the formgrader, with the written answer."""
    with gradebook(course) as found:
        grade = found.find_grade("why", "tiny", "tiny", student)
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 2, 0.5, False
        found.find_comment("why", "tiny", "tiny", student).manual_comment = "Nearly."
        found.db.commit()


def waits_for_a_person(course, student="student-001"):
    with gradebook(course) as found:
        return found.find_grade("why", "tiny", "tiny", student).needs_manual_grade


def test_extra_credit_and_comments_of_a_person_are_kept(course, executed, right):
    record(course, executed())
    by_hand(course)
    recorded = record(course, executed(outputs={"check_double": [error()]}))
    assert (recorded.score, recorded.points["why"]) == (6.5, Points(2.5, 3))
    record(course, Executed(Submission("student-001", "tiny", "/nowhere"), Status.INVALID, "no"))
    with gradebook(course) as found:
        assert found.find_comment("why", "tiny", "tiny", "student-001").comment == "Nearly."
        assert found.find_grade("why", "tiny", "tiny", "student-001").score == 2.5


def test_a_person_is_asked_again_only_if_the_answer_or_its_points_changed(course, executed, right):
    assert record(course, executed()).waiting == 3 and waits_for_a_person(course)
    by_hand(course)
    record(course, executed(outputs={"check_double": [error()]}))
    assert not waits_for_a_person(course)
    record(course, executed(**{**right, "why": "Another reason."}))
    assert waits_for_a_person(course)


def test_a_step_that_fails_leaves_the_gradebook_as_it_was(course, executed):
    first = record(course, executed())
    broken = executed(outputs={"check_double": [error()], "check_share": [result("5")]})
    with pytest.raises(CourseError, match="ValueError: partial credit cannot be greater than maximum"):
        record(course, broken)
    assert graded_result(course, first) == first


OUTPUTS = {
    "an error": {"check_double": [error()]},
    "partial credit": {"check_share": [result("2.5")]},
    "text on standard error": {"check_double": [nbformat.v4.new_output("stream", name="stderr", text="hm")]},
    "a result that is no number": {"check_share": [result("'four'")]},
    "nothing": {},
}


@pytest.mark.parametrize("outputs", OUTPUTS.values(), ids=OUTPUTS)
def test_rows_are_those_that_nbgrader_writes(course, executed, outputs, right, tmp_path):
    made = executed(outputs=outputs, **({**right, "why": "Because ..."} if outputs else right))
    record(course, made)
    ours = all_rows(course)
    other = Course.find(course.root, tmp_path / "nbgrader")
    submitted = tmp_path / "in" / "student-001" / "tiny"
    submitted.mkdir(parents=True)
    nbformat.write(made.notebooks["tiny"], submitted / "tiny.ipynb")
    (submitted / "timestamp.txt").write_text(made.submission.received)
    register_lab(other, "tiny", {"tiny": source_notebook(read_source(course.source_file("tiny")))})
    config = other.nbgrader_config()
    config.CourseDirectory.submitted_directory = str(tmp_path / "in")
    config.Execute.enabled = config.ClearOutput.enabled = False
    with nbgrader_converter(Autograde, config, "tiny", "student-001") as converter:
        converter.start()
    assert all_rows(other) == ours
    assert folder_of(course) == folder_of(other)


def all_rows(course):
    with gradebook(course) as found:
        submission = found.find_submission("tiny", "student-001")
        [notebook] = submission.notebooks
        grades = [(each.name, each.auto_score, each.manual_score, each.needs_manual_grade) for each in notebook.grades]
        comments = [(each.name, each.auto_comment, each.manual_comment) for each in notebook.comments]
        return (
            sorted(grades),
            sorted(comments),
            submission.timestamp,
            notebook.late_submission_penalty,
            notebook.flagged,
        )


def folder_of(course):
    folder = course.autograded / "student-001" / "tiny"
    notebook = nbformat.read(folder / "tiny.ipynb", as_version=4)
    return sorted((path.name, path.stat().st_mode) for path in folder.iterdir()), notebook


PLUGINS = """
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades

class Bonus(NbGraderPreprocessor):
    def preprocess(self, nb, resources):
        at = resources["nbgrader"]
        with Gradebook(at["db_url"]) as gradebook:
            grade = gradebook.find_grade("check_double", at["notebook"], at["assignment"], at["student"])
            grade.extra_credit = grade.auto_score / 3
            gradebook.db.commit()
        return nb, resources
"""


def test_steps_and_settings_of_the_course_are_kept(course, executed, monkeypatch):
    (course.root / "course_plugins.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(course.root)
    path = course.root / "nbgrader_config.py"
    steps = ["nbgrader.preprocessors.IgnorePattern", "nbgrader.preprocessors.LimitOutput"]
    steps += ["nbgrader.preprocessors.SaveAutoGrades", "course_plugins.Bonus"]
    settings = f"\nc.Autograde.autograde_preprocessors = {steps!r}\n"
    settings += 'c.IgnorePattern.enabled = True\nc.IgnorePattern.pattern = "harmless"\nc.LimitOutput.max_lines = 3\n'
    path.write_text(path.read_text() + settings + "c.Autograde.permissions = 640\n")
    lines = nbformat.v4.new_output("stream", name="stdout", text="line\n" * 10)
    warning = nbformat.v4.new_output("stream", name="stderr", text="a harmless warning")
    recorded = record(course, executed(outputs={"check_double": [warning], "check_share": [lines]}))
    assert recorded.points["check_double"].score == 4
    written = course.autograded / "student-001" / "tiny" / "tiny.ipynb"
    assert written.stat().st_mode & 0o777 == 0o640
    assert "truncated" in written.read_text() and "harmless" not in written.read_text()


def test_files_of_the_lab_lie_beside_the_graded_notebook(course, executed, tmp_path):
    (tmp_path / "figure.png").write_bytes(b"png")
    with open_recorder(course, "tiny", files={"img/f.png": tmp_path / "figure.png"}) as recorder:
        recorder.record(executed())
        recorder.record(executed())
    folder = course.autograded / "student-001" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == ["img", "timestamp.txt", "tiny.ipynb"]
    assert (folder / "img" / "f.png").read_bytes() == b"png"
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


@pytest.fixture
def two_notebooks(tmp_path):
    """An ordinary nbgrader course whose lab has two notebooks with the same cells."""
    course = small_course.make_course(tmp_path / "ordinary" / "course")
    register_lab(course, "tiny", {"one": small_course.source_notebook(), "two": small_course.source_notebook()})
    return course


def test_several_notebooks_of_a_lab_are_told_apart(two_notebooks):
    notebook = nbformat.from_dict(small_course.source_notebook())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    wrong = nbformat.from_dict(notebook)
    small_course.cell_of(wrong, "sq-test").outputs = [error()]
    submission = Submission("student-001", "tiny", "/")
    both = record(two_notebooks, Executed(submission, Status.OK, "", {"one": notebook, "two": wrong}))
    assert (both.score, both.maximum, both.waiting) == (8, 14, 4)
    assert (both.points["one/sq-test"].score, both.points["two/sq-test"].score) == (2, 0)
    only_two = record(two_notebooks, Executed(submission, Status.OK, "", {"two": wrong}))
    assert (only_two.score, only_two.points["one/sq-partial"].score, only_two.points["one/explain"].score) == (3, 0, 0)
    folder = two_notebooks.autograded / "student-001" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == ["timestamp.txt", "two.ipynb"]


def test_a_class_is_recorded_and_read_quickly(course, executed):
    class_of = [executed(f"student-{number:03}") for number in range(120)]
    with open_recorder(course, "tiny", ["check_double", "check_share", "why"]) as recorder:
        began = time.process_time()
        results = [recorder.record(each) for each in class_of]
        each = (time.process_time() - began) / len(class_of)
    assert each < 0.1, f"{each:.3f} s of processor time for each submission"
    began = time.process_time()
    assert graded_results(course, results) == results
    assert time.process_time() - began < 1


def test_a_gradebook_that_cannot_be_opened_is_named(course):
    (course.grading / "gradebook.db").unlink()
    (course.grading / "gradebook.db").mkdir()
    with pytest.raises(GradebookError, match="gradebook.db cannot be used: unable to open database file; see that"):
        enrolled(course)
