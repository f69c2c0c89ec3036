"""Grading on a real dask scheduler with worker processes that come, go and are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from autograder.clusters.cluster import ClusterEngine, connect
from autograder.clusters.slurm import job_script, read_options
from autograder.errors import CourseError
from autograder.execute import Engine, Limits
from autograder.jobs import Job, JobCell
from autograder.pipeline import grade
from autograder.versions import versions

from .whole_class import rows

LIMITS = Limits(cell_seconds=20, notebook_seconds=60)
SLOW = "import time\n\ndef share():\n    time.sleep(1)\n    return 4"
KILLER = "import time\n\ndef share():\n    time.sleep(15)\n    return 4"


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self._start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")

    def _start(self, kind, *options, **environment):
        command = [sys.executable, "-W", "ignore", "-m", "distributed.cli.dask_" + kind, *options]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=os.environ | environment)
        self.processes.append(process)
        return process

    def add_worker(self, **environment):
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder))
        return self._start("worker", self.address, "--host", "127.0.0.1", *options, **environment)

    def wait_for(self, count):
        with connect(self.address) as client:
            client.wait_for_workers(count, timeout=60)

    def end(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    """A scheduler with two worker processes."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    for _ in range(2):
        made.add_worker()
    versions.cache_clear()  # workers look at the code as it is now, which may be edited during a long test run
    yield made
    made.end()


@pytest.fixture
def a_class(course, hand_in, right):
    """Six students, of whom four take their time, one is wrong and one hands in no notebook."""
    for number in range(1, 5):
        hand_in(f"student-{number:03d}", **{**right, "share": f"{SLOW}  # {number}"})
    hand_in("student-005", **{**right, "double": "def double(x):\n    return 7"})
    hand_in("student-006").write_text("no JSON")
    return course


def job(source, name="student"):
    test = "assert answer == 4, answer"
    cells = (JobCell(0, "answer", "solution", source, "answer = 4"), JobCell(1, "check", "test", test, points=1.0))
    return Job(name, "lab", "lab", cells, 20, 60)


@pytest.mark.slow
def test_a_worker_is_killed_and_the_gradebook_is_that_of_a_local_round(a_class, cluster, tmp_path):
    cluster.wait_for(2)
    results = []

    def kill_a_worker(student):
        results.append(student)
        if len(results) == 2:
            os.kill(cluster.processes[1].pid, signal.SIGKILL)

    with connect(cluster.address) as client, ClusterEngine(client, "a course") as engine:
        assert engine.count() == 2
        finished = grade(a_class, "tiny", engine=engine, jobs=2, limits=LIMITS, on_result=kill_a_worker)
        assert engine.count() == 1
    assert finished.failures == () and finished.solution is not None
    there = rows(a_class)
    again = grade(a_class, "tiny", limits=LIMITS, jobs=2, regrade=["all"])
    assert rows(a_class) == there
    assert [(r.student, r.status, r.score) for r in again.results] == [
        (r.student, r.status, r.score) for r in finished.results
    ]
    assert {result.student: result.score for result in finished.results}["student-001"] == 7


@pytest.mark.slow
def test_a_submission_that_ends_its_workers_is_set_aside_after_two(a_class, hand_in, right, cluster):
    hand_in("student-000", **{**right, "share": KILLER})
    cluster.add_worker()
    cluster.wait_for(3)
    killed = []
    with connect(cluster.address) as client, ClusterEngine(client, "a course") as engine:
        run = engine._run_there  # where a notebook is sent to a worker process

        def run_and_kill(place, key, task, *rest):
            if b"time.sleep(15)" in task and b"the instructor" not in task:
                pid = client.run(os.getpid, workers=[place.address])[place.address]
                killed.append(pid)
                threading.Timer(2, os.kill, (pid, signal.SIGKILL)).start()
            return run(place, key, task, *rest)

        engine._run_there = run_and_kill
        finished = grade(a_class, "tiny", engine=engine, jobs=3, limits=LIMITS)
    assert len(set(killed)) == 2 and finished.failures == ()
    results = {result.student: result for result in finished.results}
    assert results["student-000"].status == "crashed" and results["student-000"].score == 0
    assert "2 worker processes ended while they ran this notebook" in results["student-000"].message
    assert [results[f"student-00{n}"].score for n in range(1, 6)] == [7, 7, 7, 7, 4]


@pytest.mark.slow
def test_students_inherit_nothing_of_the_cluster(cluster):
    cluster.wait_for(2)
    port = int(cluster.address.rpartition(":")[2])
    spy = (
        "import os, socket\n"
        "names = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n.isdigit() "
        "and os.path.exists(f'/proc/self/fd/{n}')]\n"
        "sockets = sum(name.startswith('socket:') for name in names)\n"
        "secrets = [name for name in os.environ if 'DASK' in name or 'SECRET' in name]\n"
        "try:\n"
        f"    reached = bool(socket.create_connection(('127.0.0.1', {port}), timeout=2))\n"
        "except OSError:\n"
        "    reached = False\n"
        "answer = 4 if not secrets and not reached and sockets <= 2 else (names, secrets, reached)"
    )
    with connect(cluster.address) as client, ClusterEngine(client, "a course") as engine:
        there = engine.run(job(spy), LIMITS, {}, {})
        assert (there.status, [test.score for test in there.tests]) == ("ok", [1.0]), there
    with Engine() as engine:
        here = engine.run(job(spy), LIMITS, {}, {})
    assert [test.score for test in here.tests] == [1.0]


def test_files_reach_the_notebook_and_its_tests(cluster):
    cluster.wait_for(2)
    cell = JobCell(0, "answer", "solution", "answer = int(open('data/n.txt').read())", "answer = 4")
    test = JobCell(1, "check", "test", "assert answer == int(open('n.txt').read())", points=1.0)
    with connect(cluster.address) as client, ClusterEngine(client, "a course") as engine:
        done = engine.run(Job("s", "lab", "lab", (cell, test)), LIMITS, {"data/n.txt": b"4"}, {"n.txt": b"4"})
    assert [test.score for test in done.tests] == [1.0]


def test_the_command_grades_on_a_scheduler(course, hand_in, right, cluster):
    for number in (1, 2):
        hand_in(f"student-00{number}", **right)
    cluster.wait_for(2)
    command = [sys.executable, "-m", "autograder", "grade", "tiny", "--scheduler", cluster.address, "--json"]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert {each["student"]: (each["status"], each["score"]) for each in results} == {
        "student-001": ("ok", 7),
        "student-002": ("ok", 7),
    }


def test_workers_with_other_packages_are_named(cluster, tmp_path):
    other = tmp_path / "other"
    (other / "onnx-0.0.1.dist-info").mkdir(parents=True)
    (other / "onnx-0.0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: onnx\nVersion: 0.0.1\n")
    cluster.add_worker(PYTHONPATH=str(other))
    cluster.wait_for(3)
    with (
        connect(cluster.address) as client,
        pytest.raises(CourseError, match=r"(?s)onnx 0\.0\.1 \(here .*same versions"),
    ):
        ClusterEngine(client, "a course")


def test_a_round_without_workers_ends_with_the_remedy(tmp_path):
    lonely = Cluster(tmp_path)
    try:
        with connect(lonely.address) as client, ClusterEngine(client, "a course", patience=2) as engine:
            began = time.monotonic()
            with pytest.raises(CourseError, match="has had no worker .* start workers, then grade again"):
                engine.run(job("answer = 4"), LIMITS, {}, {})
            assert time.monotonic() - began < 30
    finally:
        lonely.end()


def test_no_scheduler_at_an_address():
    with pytest.raises(CourseError, match="no scheduler answers at nonsense"):
        connect("nonsense")


def test_the_script_of_a_slurm_job(tmp_path):
    (tmp_path / "cluster.toml").write_text(
        '[slurm]\njobs = 3\ncores = 8\nmemory = "32GB"\nwalltime = "04:00:00"\nqueue = "cpu"\naccount = "teaching"\n'
        'prologue = ["module load python"]\ndirectives = ["--exclusive"]\npython = "/opt/bin/python"\n'
    )
    script = job_script(read_options(tmp_path))
    for line in (
        "#SBATCH -J autograder",
        "#SBATCH -p cpu",
        "#SBATCH -A teaching",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=30G",
        "#SBATCH -t 04:00:00",
        "#SBATCH --exclusive",
        "module load python",
    ):
        assert line in script.splitlines()
    assert "/opt/bin/python -m distributed.cli.dask_worker tcp://" in script and "--nthreads 8" in script


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[slurm]\ncors = 8\n", "unknown option 'cors'; the options are jobs, cores"),
        ("[slurm]\ncores = 0\n", "cores is a whole number from 1, got 0"),
        ("[slurm]\nmemory = 32\n", "memory is a text, got 32"),
        ("[slurm]\nprologue = 'x'\n", "prologue is a list of lines, got 'x'"),
        ("slurm", "is no TOML"),
    ],
)
def test_wrong_options_are_named(tmp_path, text, message):
    (tmp_path / "cluster.toml").write_text(text)
    with pytest.raises(CourseError, match=message):
        read_options(tmp_path)
    (tmp_path / "cluster.toml").unlink()
    with pytest.raises(CourseError, match="cluster.toml is missing"):
        read_options(tmp_path)
