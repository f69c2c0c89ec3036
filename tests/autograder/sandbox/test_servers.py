"""Servers: they live long, and a submission is not lost when one does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from autograder.errors import CourseError
from autograder.sandbox.client import WarmServer
from autograder.sandbox.engine import Engine
from autograder.sandbox.limits import Limits

from .cells import DOUBLE, QUICK, RIGHT, errors, job_of, printed, scores


def processes_below_here():
    return {process.pid for process in psutil.Process().children(recursive=True)}


def server_process(server: WarmServer) -> psutil.Process:
    """The server's own process, which is the largest below bubblewrap's."""
    below = psutil.Process(server._process._popen.pid).children(recursive=True)
    return max(below, key=lambda process: process.memory_info().rss)


@pytest.mark.slow
def test_a_hundred_forks_leave_memory_and_processes_as_they_were(engine, run):
    run(DOUBLE, RIGHT)
    servers = [server_process(server) for server in (engine._student, engine._tests)]
    descriptors, below = psutil.Process().num_fds(), processes_below_here()
    memory = [process.memory_info().rss for process in servers]
    for _ in range(100):
        assert scores(run(DOUBLE, RIGHT)) == [1.0]
    end = time.monotonic() + 5.0  # the last run's supervisor may be about to end
    while not processes_below_here() <= below and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_below_here() <= below
    assert abs(psutil.Process().num_fds() - descriptors) <= 2
    for process, before in zip(servers, memory, strict=True):
        assert process.num_fds() < 16 and not process.children()
        assert process.memory_info().rss < before + (20 << 20)


def test_a_submission_is_not_lost_when_its_server_is(engine):
    found = []
    wait = "import time; time.sleep(2)"
    job = job_of(DOUBLE, wait, RIGHT)
    engine.warm_up()
    victim = server_process(engine._student)
    thread = threading.Thread(target=lambda: found.append(engine.run(job, QUICK, {}, {})))
    thread.start()
    time.sleep(1.0)
    os.kill(victim.pid, signal.SIGKILL)
    thread.join()
    assert scores(found[0]) == [1.0] and found[0].status == "ok"


def test_a_server_that_has_forked_often_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "cache"))
    with Engine(forks=2) as engine:
        pids = []
        for _ in range(3):
            assert scores(engine.run(job_of(DOUBLE, RIGHT), QUICK, {}, {})) == [1.0]
            pids.append(engine._student._process._popen.pid)
        assert pids[0] == pids[1] != pids[2]
        assert not psutil.pid_exists(pids[0])


def test_packages_and_data_below_tmp_are_seen_and_not_written(monkeypatch):
    """As where the kit itself was cloned to /tmp: each child has a /tmp of its own, which does not hide them."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="two words ") as folder:
        kept = Path(folder, "cache", "kept.txt")
        kept.parent.mkdir()
        kept.write_text("mine")
        monkeypatch.setenv("FACTORKIT_CACHE", str(kept.parent))
        look = f"print(open({str(kept)!r}).read(), os.listdir('/tmp'))"
        with Engine() as engine:
            result = engine.run(
                job_of(
                    f"import os\n{look}\nopen('/tmp/own', 'w').close()", f"open({str(kept)!r}, 'w')", DOUBLE, RIGHT
                ),
                QUICK, {}, {},
            )  # fmt: skip
            again = engine.run(job_of(f"import os\n{look}"), QUICK, {}, {})
        assert printed(result, 0) == printed(again, 0) == f"mine {[kept.parts[2]]}\n"
        assert errors(result, 1) == ["OSError"] and scores(result) == [1.0]
        assert kept.read_text() == "mine"


def test_without_a_sandbox_notebooks_run_with_the_same_limits(tmp_path, monkeypatch):
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "cache"))
    limits = Limits(cell_seconds=3, notebook_seconds=60, memory_mb=400, processes=64, file_mb=64)
    with Engine("none") as engine:

        def run(*cells):
            return engine.run(job_of(*cells, limits=limits), limits, {"data.txt": b"mine"}, {})

        assert scores(run(DOUBLE, RIGHT)) == [1.0]
        look = run("import os\nprint(open('data.txt').read(), os.getcwd())")
        text, folder = printed(look, 0).split()
        assert text == "mine" and not os.path.exists(folder)
        assert run(DOUBLE, "while True:\n    pass", RIGHT).status == "timeout"
        bomb = run(DOUBLE, RIGHT, "bomb = []\nwhile True:\n    bomb.append(bytearray(1 << 20))", RIGHT)
        assert bomb.status == "out of memory" and scores(bomb) == [1.0, 0.0]
        detached = "import subprocess\nsubprocess.Popen(['sleep', '8765'], start_new_session=True)"
        assert scores(run(DOUBLE, detached, RIGHT)) == [1.0]
        left = [process for process in psutil.process_iter(["cmdline"]) if "8765" in (process.info["cmdline"] or [])]
        assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_server_that_cannot_start_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", "/bin/false")
    server = WarmServer("student", cache=tmp_path)
    with pytest.raises(CourseError, match="the student server did not start: it ended with status 1"):
        server.warm_up()


def test_a_server_that_takes_too_long_to_start_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("autograder.sandbox.server_process._SECONDS_TO_START", 0.05)
    server = WarmServer("student", cache=tmp_path)
    with pytest.raises(CourseError, match=r"did not start: no answer within 0.05 s; is this machine busy\?"):
        server.warm_up()


def test_help_waits_for_none_of_the_libraries_that_grading_needs():
    code = "import sys, autograder.cli; print(*{'nbformat', 'nbgrader', 'sqlalchemy', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []


def test_the_grader_itself_does_not_wait_for_torch():
    """Students' tensors live in the servers: commands start a second or two sooner."""
    code = "import sys, autograder.execute, autograder.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
