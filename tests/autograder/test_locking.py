"""One process writes grades at a time; a lock that was left behind holds nobody up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from autograder.course import Course
from autograder.errors import CourseError
from autograder.recording.locking import grading_lock, lock_holder

HOLD = """
import sys
from autograder.course import Course
from autograder.recording.locking import grading_lock
with grading_lock(Course.find(sys.argv[1]), "grade tiny"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(course: Course):
    """Another process that has the lock."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, str(course.root)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_lock_is_free_before_and_after(course):
    assert lock_holder(course) is None
    with grading_lock(course, "grade tiny"):
        holder = lock_holder(course)
        assert (holder.process, holder.doing) == (os.getpid(), "grade tiny")
    assert lock_holder(course) is None
    with grading_lock(course, "grade tiny"):
        pass


def test_a_second_process_is_told_who_has_it_since_when_and_what_to_do(course, other_process):
    holder = lock_holder(course)
    with pytest.raises(CourseError) as refused, grading_lock(course, "grade tiny"):
        pass
    for part in (f"process {other_process.pid} ", holder.user, holder.since, "grade tiny", f"kill {other_process.pid}"):
        assert part in str(refused.value), part


def test_the_lock_of_a_killed_process_is_free(course, other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert (course.grading / "lock").read_text() != ""
    assert lock_holder(course) is None
    with grading_lock(course, "grade tiny"):
        assert lock_holder(course).process == os.getpid()


def test_another_folder_is_graded_at_the_same_time(course, other_process):
    with grading_lock(Course.find(course.root, course.root / "second"), "grade tiny"):
        assert lock_holder(course).process == other_process.pid


def test_a_lock_file_that_makes_no_sense_names_nobody(course):
    with grading_lock(course, "grade tiny"):
        (course.grading / "lock").write_text('{"process": ')
        with pytest.raises(CourseError, match="is being graded by another process; wait"), grading_lock(course, "x"):
            pass


def test_a_folder_that_cannot_be_made_is_named(course):
    (course.root / "file").write_text("")
    apart = Course.find(course.root, course.root / "file" / "grading")
    refused = pytest.raises(CourseError, match="file/grading/lock cannot be written: Not a directory")
    with refused, grading_lock(apart, "grade tiny"):
        pass
