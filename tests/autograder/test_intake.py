"""Intake: whatever lies in the folder, there is one record for each student and no exception."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest

from autograder import intake as module
from autograder.intake import Status, intake
from autograder.receiving import handed_in


def take_in(course, student="student-001", **options):
    return {submission.student: submission for submission in intake(course, "tiny", **options)}[student]


def test_a_notebook_with_files_is_taken_as_it_is(course, hand_in):
    path = hand_in("student-001")
    (path.parent / "data").mkdir()
    (path.parent / "data" / "weights.bin").write_bytes(b"123")
    (path.parent / ".ipynb_checkpoints").mkdir()
    (path.parent / ".ipynb_checkpoints" / "tiny-checkpoint.ipynb").write_text("{}")
    (path.parent / "timestamp.txt").write_text("1999-01-01 00:00:00 UTC")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    taken = take_in(course)
    assert (taken.problem, taken.findings, taken.notebooks) == (None, (), ("tiny.ipynb",))
    assert taken.files == ("data/weights.bin",)
    assert taken.received == "2023-11-14T22:13:20+00:00"
    assert asdict(taken)["student"] == "student-001"


def test_the_hash_follows_notebook_and_files(course, hand_in, right):
    path = hand_in("student-001", **right)
    first = take_in(course).sha256
    assert take_in(course).sha256 == first != ""
    (path.parent / "extra.py").write_text("a = 1")
    second = take_in(course).sha256
    (path.parent / "extra.py").write_text("a = 2")
    assert len({first, second, take_in(course).sha256}) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b'{"cells": [', "not JSON (Expecting value: line 1"),
        (b"\xff\xfe\x00notebook", "not JSON (UnicodeDecodeError)"),
        (b"[" * 200_000, "not JSON (RecursionError)"),
        (b"{}", "no list of cells"),
        (b"[1, 2]", "no list of cells"),
        (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "no list of cells"),
        (b'{"cells": [3]}', "cell 1 is no code, markdown or raw cell"),
        (b'{"cells": [{"cell_type": "code", "source": {"a": 1}}]}', "the source of cell 1 is no text"),
    ],
)
def test_what_is_no_notebook_is_said_to_be_none(course, hand_in, content, says):
    hand_in("student-002")
    hand_in("student-001").write_bytes(content)
    taken = take_in(course)
    assert taken.problem.status is Status.INVALID
    assert taken.problem.message.startswith("tiny.ipynb: ") and says in taken.problem.message
    assert take_in(course, "student-002").problem is None


def test_nothing_handed_in_is_missing(course):
    (course.submitted / "student-001").mkdir(parents=True)
    (course.submitted / "student-002" / "tiny").mkdir(parents=True)
    (course.submitted / ".hidden").mkdir()
    taken = intake(course, "tiny", enrolled=["student-003"])
    assert [(each.student, each.problem.status) for each in taken] == [
        ("student-001", "missing"),
        ("student-002", "missing"),
        ("student-003", "missing"),
    ]
    assert "there is no tiny.ipynb: the folder holds no notebook" in taken[1].problem.message


def test_a_course_without_submissions(course):
    assert intake(course, "tiny") == []


def test_the_only_notebook_is_graded_under_another_name(course, hand_in):
    path = hand_in("student-001")
    path.rename(path.with_name("tiny (1).ipynb"))
    taken = take_in(course)
    assert taken.problem is None and taken.notebooks == ("tiny (1).ipynb",)
    assert [finding.kind for finding in taken.findings] == ["renamed"]


def test_two_notebooks_of_other_names_are_not_guessed_at(course, hand_in):
    path = hand_in("student-001")
    path.rename(path.with_name("b.ipynb"))
    path.with_name("a.ipynb").write_text("{}")
    problem = take_in(course).problem
    assert problem.status is Status.MISSING and "the folder holds a.ipynb, b.ipynb" in problem.message


def test_links_are_not_followed(course, hand_in, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    real = hand_in("student-001")
    (real.parent / "link.txt").symlink_to(secret)
    (real.parent / "folder").symlink_to(tmp_path)
    hand_in("student-002").unlink()
    (course.submitted / "student-002" / "tiny" / "tiny.ipynb").symlink_to(real)
    (course.submitted / "student-003").mkdir()
    (course.submitted / "student-003" / "tiny").symlink_to(real.parent)
    taken = take_in(course)
    assert taken.problem is None and taken.files == ()
    assert [(finding.kind, finding.cell) for finding in taken.findings] == [("link", "folder"), ("link", "link.txt")]
    for student in ("student-002", "student-003"):
        assert take_in(course, student).problem.status is Status.INVALID


def test_a_pipe_in_place_of_the_notebook_does_not_block(course, hand_in):
    path = hand_in("student-001")
    path.unlink()
    os.mkfifo(path)
    assert take_in(course).problem.status is Status.INVALID


def test_too_much_is_not_read(course, hand_in, monkeypatch):
    path = hand_in("student-001")
    (path.parent / "a.bin").write_bytes(bytes(90))
    (path.parent / "b.bin").write_bytes(bytes(20))
    monkeypatch.setattr(handed_in, "MAX_FILES_BYTES", 100)
    taken = take_in(course)
    assert taken.files == ("a.bin",)
    assert [(finding.kind, finding.cell) for finding in taken.findings] == [("oversize", "b.bin")]
    monkeypatch.setattr(module, "MAX_NOTEBOOK_BYTES", 100)
    problem = take_in(course).problem
    assert problem.status is Status.INVALID and "the limit is 0 MB" in problem.message


def test_too_many_files_are_cut_off(course, hand_in, monkeypatch):
    path = hand_in("student-001")
    for name in "abc":
        (path.parent / name).write_text(name)
    monkeypatch.setattr(handed_in, "MAX_FILES", 2)
    assert take_in(course).files == ("a", "b")


@pytest.mark.parametrize("student", ["-rf", "müller 王", "a+b", "[x]*", "x'; drop table"])
def test_any_folder_name_is_a_student(course, hand_in, student):
    hand_in(student)
    assert take_in(course, student).problem is None


@pytest.mark.parametrize("student", ["turned\u202eabc", "ends.", " begins"])
def test_a_folder_name_that_is_a_trick_is_named(course, hand_in, student):
    hand_in(student)
    problem = take_in(course, student).problem
    assert problem.status is Status.INVALID and "cannot be a student's name" in problem.message


def test_files_that_shadow_modules_are_flagged_and_still_handed_on(course, hand_in):
    path = hand_in("student-001")
    for name in ("sklearn/__init__.py", "sklearn/metrics.py", "conftest.py", "torch.so", "helper.py", "numpy.csv"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_text("")
    taken = take_in(course)
    assert len(taken.files) == 6
    assert [(finding.kind, finding.cell) for finding in taken.findings] == [
        ("shadows", "conftest.py"),
        ("shadows", "sklearn/__init__.py"),
        ("shadows", "torch.so"),
    ]


def test_names_that_are_the_same_on_other_machines_are_kept_apart(course, hand_in):
    path = hand_in("student-001")
    for name in ("A.csv", "a.csv", "caf\u00e9.csv", "cafe\u0301.csv", "tiny.IPYNB", "con.txt"):
        (path.parent / name).write_text("")
    taken = take_in(course)
    assert taken.files == ("A.csv", "cafe\u0301.csv")
    assert {finding.kind for finding in taken.findings} == {"refused"} and len(taken.findings) == 4


def test_a_name_that_is_no_text_is_left_out(course, hand_in):
    path = hand_in("student-001")
    (path.parent / os.fsdecode(b"bad\xff.csv")).write_text("")
    taken = take_in(course)
    assert taken.files == () and "an invisible character" in taken.findings[0].message
    json.dumps(asdict(taken)).encode()


def test_too_many_values_are_not_read(course, hand_in):
    hand_in("student-001").write_bytes(b'{"cells": [' + b"[]," * 600_000 + b"0]}")
    assert "1,200,002 values, the limit is 1,000,000" in take_in(course).problem.message


def test_commas_and_brackets_in_outputs_do_not_count(course, hand_in, answered, right):
    notebook = answered(**right)
    notebook.cells[1].outputs = [{"output_type": "stream", "name": "stdout", "text": '[1, {"a": 2}], ' * 300_000}]
    hand_in("student-001").write_text(json.dumps(notebook))
    assert take_in(course).problem is None
