from pathlib import Path

import pytest
from nbgrader.coursedir import CourseDirectory

from autograder.course import Course
from autograder.errors import UsageError

CONFIG = "c = get_config()\nc.CourseDirectory.course_id = 'tiny'\nc.CourseDirectory.db_url = 'sqlite:///elsewhere.db'\n"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    root = tmp_path / "course"
    for lab in ("lab01_area", "lab02_volume"):
        (root / "solutions" / lab).mkdir(parents=True)
        (root / "solutions" / lab / f"{lab}.py").touch()
    (root / "nbgrader_config.py").write_text(CONFIG)
    return Course.find(root)


def test_find_walks_up_to_the_config_file(course, monkeypatch):
    inside = course.solutions / "lab01_area"
    assert Course.find(inside) == course
    monkeypatch.chdir(inside)
    assert Course.find() == course
    assert Course.find(grading="/elsewhere") == Course(course.root, Path("/elsewhere"))


def test_find_says_what_it_looked_for(tmp_path):
    with pytest.raises(UsageError, match=r"no course found: .* nbgrader_config\.py; run the command inside"):
        Course.find(tmp_path)


def test_folders_lie_under_root_and_grading(course, tmp_path):
    other = Course(course.root, tmp_path / "round")
    assert other.release == other.labs == course.root / "labs"
    assert other.source == course.root / "_build" / "source"
    for folder in (other.submitted, other.autograded, other.feedback, other.events):
        assert folder.parent == tmp_path / "round"
    assert other.db_url == f"sqlite:///{tmp_path}/round/gradebook.db"


def test_check_lab_returns_a_known_name_and_suggests_for_an_unknown_one(course):
    assert course.lab_names() == ["lab01_area", "lab02_volume"]
    assert course.check_lab("lab01_area") == "lab01_area"
    with pytest.raises(
        UsageError, match=r"unknown lab 'lab1_area'; did you mean 'lab01_area'\? the labs are lab01_area, lab02"
    ):
        course.check_lab("lab1_area")
    with pytest.raises(UsageError, match=r"unknown lab 'zzz'; the labs are"):
        course.check_lab("zzz")


def test_check_lab_in_a_course_without_labs(tmp_path):
    with pytest.raises(UsageError, match="no lab source in"):
        Course(tmp_path, tmp_path / "grading").check_lab("lab01")


@pytest.mark.parametrize("inside", [True, False])
def test_nbgrader_config_leads_nbgrader_to_our_folders(course, tmp_path, inside):
    chosen = course if inside else Course(course.root, tmp_path / "round")
    config = chosen.nbgrader_config()
    assert chosen.grading.is_dir()
    directory = CourseDirectory(config=config)
    assert (directory.root, directory.db_url, directory.course_id) == (str(course.root), chosen.db_url, "tiny")
    found = directory.format_path(directory.submitted_directory, "student-001", "lab01_area")
    assert Path(found) == chosen.submitted / "student-001" / "lab01_area"
