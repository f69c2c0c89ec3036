"""A round that is killed, or whose disk fills up, leaves nothing behind that the next one does not put right.

The grader runs in a process of its own, with its real sandbox and its real gradebook.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.course import Course

from . import interrupted
from .whole_class import (
    STUDENTS,
    comparable,
    grade_by_hand,
    make_course,
    noted,
    nothing_is_left_over,
    outcome,
    run,
    run_until,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def course(tmp_path: Path, empty_gradebook: Path) -> Course:
    return make_course(tmp_path / "course", empty_gradebook)


@pytest.mark.timeout(900)
def test_a_round_that_is_killed_at_every_point_ends_as_if_nothing_had_been(course, undisturbed):
    for number, point in enumerate(interrupted.points(course)):
        ended = run(course, point)
        if "full" in point:
            assert ended.returncode in (1, interrupted.DISK_FULL), (point, ended.stderr)
            assert "make room on that disk" in ended.stdout, (point, ended.stdout)
        else:
            assert ended.returncode == -signal.SIGKILL, (point, ended.stdout, ended.stderr)
        if number == 0:
            grade_by_hand(course, STUDENTS[0])
    ended = run(course)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert comparable(outcome(course)) == comparable(undisturbed)
    nothing_is_left_over(course)
    ran = noted(course, "finished")
    assert max(ran.values()) == 1, f"run again although it was kept: {ran}"
    assert set(noted(course, "recorded").values()) == {1}


@pytest.mark.timeout(600)
def test_a_round_that_is_killed_at_any_moment_goes_on_where_it_was(course, undisturbed):
    moments, before = random.Random(2026), 0
    for share in (0.2, 0.6):
        enough = int(share * len(STUDENTS))
        process = run_until(course, lambda: noted(course, "recorded").total() >= enough, moments.uniform(0, 0.1))  # noqa: B023
        process.kill()
        process.communicate()
        assert before < noted(course, "recorded").total() < len(STUDENTS)
        before = noted(course, "recorded").total()
    grade_by_hand(course, STUDENTS[0])
    ended = run(course)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert comparable(outcome(course)) == comparable(undisturbed)
    nothing_is_left_over(course)
    assert max(noted(course, "finished").values()) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB where one may be mounted, else a folder."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=True)
    yield disk
    if os.geteuid() == 0:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.timeout(600)
def test_a_disk_that_fills_up_stops_the_round_which_then_goes_on(tmp_path, small_disk, empty_gradebook, undisturbed):
    course = make_course(tmp_path / "course", empty_gradebook, small_disk / "grading")
    if small_disk.is_mount():
        process = run_until(course, lambda: noted(course, "recorded").total() >= 4)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (65536, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass
        said, _ = process.communicate(timeout=120)
        filler.unlink()
        status = process.returncode
    else:
        ended = run(course, "disk full, nothing is kept")
        status, said = ended.returncode, ended.stdout
    assert status == interrupted.DISK_FULL and "make room on that disk, then grade again" in said, said
    grade_by_hand(course, STUDENTS[0])
    ended = run(course)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert comparable(outcome(course)) == comparable(undisturbed)
    nothing_is_left_over(course)
