"""Limits: each mechanism, the ones that this machine has and the one of version 2 on a folder laid out like it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from autograder.sandbox import cgroups, limits
from autograder.sandbox.limits import Limits
from autograder.sandbox.watchdog import Watched

BOMB = (
    "import time\ntime.sleep(0.5)\nbomb = []\nwhile True:\n    bomb.append(bytearray(1 << 20))\n    time.sleep(0.002)"
)
FORKS = """
import os, time
time.sleep(0.5)
for _ in range(40):
    if os.fork() == 0:
        time.sleep(60)
time.sleep(60)
"""


def start(code):
    """A shell that starts Python when it reads a line."""
    command = ["/bin/sh", "-c", 'read -r _; "$@"; sleep 60', "sh", sys.executable, "-c", code]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def until_exceeded(group, code):
    """What a program goes over, in a group of its own."""
    process = start(code)
    try:
        group.add(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
        end = time.monotonic() + 20
        while group.exceeded() is None and time.monotonic() < end:
            time.sleep(0.05)
        return group.exceeded()
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        group.close()


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["cell_seconds", "memory_mb", "processes", "output_mb"])
def test_limits_are_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1 .*, got {value}"):
        Limits(**{name: value})


def test_the_mechanism_is_told():
    assert limits.mechanism() in ("cgroup v2", "cgroup v1", "watchdog")


@pytest.mark.parametrize(("code", "expected"), [(BOMB, "memory"), (FORKS, "processes")], ids=["memory", "processes"])
def test_the_watchdog_ends_what_goes_over(code, expected):
    assert until_exceeded(Watched(100, 20), code) == expected


@pytest.mark.parametrize(("code", "expected"), [(BOMB, "memory"), (FORKS, "processes")], ids=["memory", "processes"])
def test_the_mechanism_of_this_machine_ends_what_goes_over(code, expected):
    group = limits.group(Limits(memory_mb=100, processes=20))
    assert until_exceeded(group, code) == expected
    assert group.peak_mb() == 0.0 or isinstance(group, Watched)  # a control group is gone by now


def test_a_modest_program_is_let_alone():
    for group in (Watched(200, 20), limits.group(Limits(memory_mb=200, processes=20))):
        process = start("import time; time.sleep(0.3)")
        group.add(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
        time.sleep(1.0)
        assert group.exceeded() is None and group.peak_mb() < 100
        os.killpg(process.pid, 9)
        process.wait()
        group.close()


def control_groups(root, *, subtree="memory pids", inside=""):
    """A folder like that of version 2, delegated to this process."""
    own = root / "user.slice" / "ours"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    (own / "cgroup.subtree_control").write_text(subtree)
    (own / "cgroup.procs").write_text(inside)
    (root / "self").write_text("0::/user.slice/ours\n")
    return own


@pytest.fixture
def files_appear(monkeypatch):
    """A new folder gets the files of a group, as in the kernel's file system."""
    from pathlib import Path

    made = Path.mkdir

    def mkdir(self, *args, **options):
        made(self, *args, **options)
        if self.name.startswith("factorkit-"):
            for name in ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max", "memory.events", "pids.events"):
                (self / name).touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_a_delegated_group_of_version_2_is_used(tmp_path, files_appear):
    own = control_groups(tmp_path)
    hierarchy = cgroups.find_v2(tmp_path, tmp_path / "self")
    assert hierarchy == cgroups.Hierarchy("cgroup v2", own, own)
    group = hierarchy.new_group(100, 20)
    group.add(4321)
    # others were made to see whether it can be done
    [folder] = [path for path in own.glob("factorkit-*-*") if (path / "memory.max").read_text() == str(100 << 20)]
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "20"
    assert (folder / "cgroup.procs").read_text() == "4321"
    assert group.exceeded() is None
    (folder / "memory.peak").write_text(str(50 << 20))
    assert group.peak_mb() == 50
    (folder / "pids.events").write_text("max 3\n")
    assert group.exceeded() == "processes"
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert group.exceeded() == "memory"


def test_without_the_controllers_version_2_is_not_used(tmp_path):
    own = control_groups(tmp_path)
    (own / "cgroup.controllers").write_text("cpu\n")
    assert cgroups.find_v2(tmp_path, tmp_path / "self") is None


def test_a_group_that_others_are_in_is_not_changed(tmp_path):
    own = control_groups(tmp_path, subtree="", inside="1\n2\n")
    assert cgroups.find_v2(tmp_path, tmp_path / "self") is None
    assert (own / "cgroup.subtree_control").read_text() == ""


def test_a_group_of_our_own_hands_its_controllers_down(tmp_path, files_appear):
    own = control_groups(tmp_path, subtree="", inside=f"{os.getpid()}\n")
    cgroups.find_v2(tmp_path, tmp_path / "self")
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (own / "factorkit-main" / "cgroup.procs").read_text() == str(os.getpid())


def test_no_group_of_version_1_is_found_where_there_is_none(tmp_path):
    (tmp_path / "self").write_text("7:memory:/ours\n5:pids:/ours\n")
    assert cgroups.find_v1(tmp_path, tmp_path / "self") is None
