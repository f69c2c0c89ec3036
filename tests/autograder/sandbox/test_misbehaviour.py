"""Misbehaviour: however a notebook ends, it ends in time, with a status, and keeps what it earned before."""

from __future__ import annotations

import os
import threading
import time

import psutil
import pytest

from autograder.sandbox.limits import Limits

from .cells import DOUBLE, QUICK, RIGHT, errors, job_of, printed, scores, told

SHORT = Limits(cell_seconds=2, notebook_seconds=30, memory_mb=400, processes=64, file_mb=64)


def test_a_good_notebook(run):
    result = run(DOUBLE, RIGHT, "print('hello')", "assert double(2) == 5")
    assert (result.status, result.message) == ("ok", "")
    assert scores(result) == [1.0, 0.0]
    assert printed(result, 2) == "hello\n"
    assert [test.outcome for test in result.tests] == ["passed", "failed"]


def test_each_test_sees_the_notebook_as_it_is_at_its_place(run):
    result = run(
        "def f():\n    return 1", "assert f() == 1", "def f():\n    return 2", "assert f() == 2", "assert f() == 1"
    )
    assert scores(result) == [1.0, 1.0, 0.0]


def test_an_endless_loop_costs_its_own_test(run):
    result = run("def f():\n    while True:\n        pass", "assert f()", DOUBLE, RIGHT, limits=SHORT)
    assert (result.status, result.message) == ("timeout", "cell1: stopped after 2 s")
    assert scores(result) == [0.0, 1.0] and result.tests[0].outcome == "timeout"
    assert result.seconds < 15


def test_a_loop_at_top_level_is_interrupted_and_the_rest_is_run(run):
    result = run(
        DOUBLE, "while True:\n    try:\n        1 / 0\n    except Exception:\n        pass", RIGHT, limits=SHORT
    )
    assert (result.status, result.message) == ("timeout", "cell1: stopped after 2 s")
    assert errors(result, 1)[-1] == "TimeLimit" and scores(result) == [1.0]


def test_an_interruption_that_is_swallowed_is_still_a_timeout(run):
    swallow = "import time\ntry:\n    time.sleep(99)\nexcept KeyboardInterrupt:\n    print('caught')"
    result = run(swallow, DOUBLE, RIGHT, limits=SHORT)
    assert result.status == "timeout" and errors(result, 0) == ["TimeLimit"]
    assert printed(result, 0) == "caught\n" and scores(result) == [1.0]


@pytest.mark.parametrize(
    "loop",
    [
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
        "import signal\nfor number in set(range(1, 65)) - {9, 19, 32, 33}:\n    signal.signal(number, signal.SIG_IGN)\n"
        "while True:\n    pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True:\n    pass",
    ],
    ids=["catches everything", "ignores signals", "blocks signals"],
)
def test_a_loop_that_resists_is_killed_and_keeps_what_was_earned(run, loop):
    result = run(DOUBLE, RIGHT, loop, RIGHT, limits=SHORT)
    assert (result.status, result.message) == ("timeout", "cell2: stopped after 2 s, and did not react to that")
    assert scores(result) == [1.0, 0.0] and result.tests[1].outcome == "not run"
    assert errors(result, 2) == ["TimeLimit"]


@pytest.mark.parametrize(
    ("death", "cause"),
    [
        ("import os; os._exit(0)", "ended itself (exit status 0)"),
        ("import ctypes; ctypes.string_at(0)", "died of SIGSEGV (segmentation fault)"),
        ("import os; os.kill(os.getpid(), 9)", "died of SIGKILL (killed)"),
        ("import os; os.abort()", "died of SIGABRT (aborted)"),
    ],
)
def test_a_death_keeps_what_was_earned_before(run, death, cause):
    result = run(DOUBLE, RIGHT, death, RIGHT)
    assert (result.status, result.message) == ("crashed", f"cell2: the Python interpreter {cause}")
    assert scores(result) == [1.0, 0.0]
    assert errors(result, 2) == ["InterpreterDied"]


@pytest.mark.parametrize(
    "death", ["os._exit(0)", "ctypes.string_at(0)", "os.closerange(3, 999)", "os.kill(os.getpid(), 9)"]
)
def test_a_death_in_a_test_costs_that_test(run, death):
    result = run(f"import ctypes, os\ndef f():\n    {death}\n{DOUBLE}", "assert f() is None", RIGHT)
    assert scores(result) == [0.0, 1.0] and result.tests[0].outcome == "crashed"


def test_killing_everything_within_reach_in_a_test_loses_the_tests_after_it(run):
    result = run(f"{DOUBLE}\ndef f():\n    __import__('os').kill(-1, 9)", RIGHT, "assert f() == 1", RIGHT)
    assert scores(result) == [1.0, 0.0, 0.0] and result.status == "crashed"


def test_a_notebook_that_claims_its_end_earns_nothing_by_it(run):
    forged = (
        "import os, struct\ntext = b'{\"end\": null}'\nfor number in range(3, 20):\n    try:\n"
        "        os.write(number, struct.pack('>II', len(text), 0) + text)\n    except OSError:\n        pass\n"
        "os._exit(0)"
    )
    result = run(DOUBLE, RIGHT, forged, RIGHT)
    assert scores(result) == [1.0, 0.0]


def test_nonsense_on_its_sockets_ends_a_notebook_and_not_the_grader(run):
    write = "    try:\n        os.write(number, b'x' * 1000)\n    except OSError:\n        pass"
    nonsense = f"import os\nfor number in range(3, 20):\n{write}"
    result = run(DOUBLE, RIGHT, nonsense, RIGHT)
    assert result.status == "output limit" and scores(result)[0] == 1.0


def test_a_memory_bomb_ends_as_out_of_memory(run):
    result = run(DOUBLE, RIGHT, "bomb = []\nwhile True:\n    bomb.append(bytearray(1 << 20))", RIGHT)
    assert (result.status, result.message) == ("out of memory", "cell2: more than 400 MB of memory")
    assert scores(result) == [1.0, 0.0] and errors(result, 2) == ["OutOfMemory"]
    assert 300 < result.peak_memory_mb <= 401


def test_a_huge_array_is_an_error_of_its_cell(run):
    result = run(DOUBLE, "import numpy as np\nbig = np.ones(10**12)", RIGHT)
    assert result.status == "ok" and scores(result) == [1.0]
    assert errors(result, 1)[0].endswith("MemoryError")


def test_a_memory_bomb_in_a_test_costs_that_test(run):
    bomb = f"{DOUBLE}\ndef f():\n    bomb = []\n    while True:\n        bomb.append(bytearray(1 << 20))"
    result = run(bomb, "assert f()", RIGHT)
    assert scores(result) == [0.0, 1.0] and result.tests[0].outcome == "crashed"
    assert result.status == "out of memory"


def test_a_fork_bomb_is_ended(run):
    result = run(DOUBLE, RIGHT, "import os\nwhile True:\n    os.fork()", RIGHT)
    assert result.status == "crashed"
    assert result.message == "cell2: more than 64 processes and threads at a time"
    assert scores(result) == [1.0, 0.0]


def test_a_bomb_of_threads_is_ended(run):
    start = "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(99,)).start()"
    result = run(DOUBLE, RIGHT, start, RIGHT)
    assert result.status == "crashed" and scores(result)[0] == 1.0


def test_a_huge_file_is_an_error_of_its_cell(run):
    write = "with open('big', 'wb') as file:\n    for _ in range(100):\n        file.write(bytes(1 << 20))"
    result = run(DOUBLE, write, RIGHT)
    assert result.status == "ok" and errors(result, 1) == ["OSError"] and scores(result) == [1.0]


def test_many_files_together_are_limited_too(run):
    write = (
        "for number in range(20):\n    with open(f'big{number}', 'wb') as file:\n"
        "        for _ in range(10):\n            file.write(bytes(1 << 20))"
    )
    result = run(DOUBLE, write, RIGHT)
    assert errors(result, 1) == ["OSError"] and scores(result) == [1.0]


@pytest.mark.parametrize(
    "flood",
    [
        "while True:\n    print('x' * 1000)",
        "import os\nwhile True:\n    os.write(1, b'x' * 100000)",
        "from IPython.display import display, HTML\nwhile True:\n    display(HTML('x' * 100000))",
    ],
    ids=["prints", "writes past Python", "displays"],
)
def test_output_without_end_is_cut_off(run, flood):
    result = run(DOUBLE, RIGHT, flood, RIGHT, limits=SHORT)
    assert result.status in ("output limit", "timeout")
    assert scores(result) == [1.0, 1.0]
    assert len(printed(result, 2)) < 20_000


def test_all_cells_together_show_no_more_than_the_limit(run):
    limits = Limits(cell_seconds=6, notebook_seconds=60, memory_mb=400, output_mb=1)
    result = run(*["print('x' * 400_000)"] * 4, DOUBLE, RIGHT, limits=limits)
    assert result.status == "output limit" and scores(result) == [1.0]
    assert sum(len(printed(result, index)) for index in range(4)) < 1_100_000


def test_the_whole_notebook_has_a_limit(run):
    sleep = "import time; time.sleep(4)"
    limits = Limits(cell_seconds=8, notebook_seconds=12, memory_mb=400)
    result = run(DOUBLE, RIGHT, sleep, sleep, sleep, sleep, sleep, RIGHT, limits=limits)
    assert result.status == "timeout" and scores(result) == [1.0, 0.0]
    assert result.seconds < 25


def test_detached_processes_do_not_survive(run):
    start = (
        "import os, subprocess\n"
        "subprocess.Popen(['sleep', '7654'], start_new_session=True)\n"
        "subprocess.Popen(['env', '-i', '/bin/sleep', '7654'], start_new_session=True)\n"
        "subprocess.Popen('sleep 7654 & sleep 7654 &', shell=True, start_new_session=True).wait()\n"
        "if os.fork() == 0:\n    os.setsid()\n    os.execlp('sleep', 'sleep', '7654')"
    )
    result = run(DOUBLE, start, RIGHT)
    assert scores(result) == [1.0]
    left = [process for process in psutil.process_iter(["cmdline"]) if "7654" in (process.info["cmdline"] or [])]
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def test_threads_left_running_do_not_disturb_a_test(run):
    start = "for _ in range(3):\n    threading.Thread(target=spin).start()"
    spin = f"import threading\ndef spin():\n    while True:\n        pass\n{start}"
    assert scores(run(DOUBLE, spin, RIGHT)) == [1.0]


def test_torch_runs_in_a_test_after_it_ran_with_threads(run):
    train = (
        "import torch\ntorch.set_num_threads(2)\nx = torch.randn(300, 300)\ny = x @ x\n"
        "def product(a):\n    return (a @ a).sum().item()"
    )
    result = run(train, "assert abs(product(__import__('torch').ones(200, 200)) - 200**3) < 1")
    assert scores(result) == [1.0]


def test_neighbours_are_unaffected(engine):
    bad = [
        "import os\nwhile True:\n    os.fork()",
        "bomb = []\nwhile True:\n    bomb.append(bytearray(1 << 20))",
        "import os\nos.kill(-1, 9)\nos.kill(os.getpid(), 9)",
    ]
    found = {}

    def go(name, *cells):
        found[name] = engine.run(job_of(*cells), QUICK, {}, {})

    threads = [threading.Thread(target=go, args=(number, DOUBLE, cell, RIGHT)) for number, cell in enumerate(bad)]
    threads.append(threading.Thread(target=go, args=("good", DOUBLE, "import time; time.sleep(3)", RIGHT)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores(found["good"]) == [1.0] and found["good"].status == "ok"
    assert found[0].status in ("crashed", "timeout")  # whichever limit it meets first
    assert found[1].status == "out of memory"


def test_a_run_can_be_cancelled(engine):
    cancelled = threading.Event()
    threading.Timer(1.5, cancelled.set).start()
    began = time.monotonic()
    result = engine.run(
        job_of(DOUBLE, "import time; time.sleep(99)", RIGHT, limits=Limits()), Limits(), {}, {}, cancelled
    )
    assert result.status == "timeout" and time.monotonic() - began < 10


def test_random_numbers_are_new_in_each_notebook(run):
    numbers = "[random.random(), numpy.random.rand(), torch.rand(1).item()]"
    draw = f"import json, random, numpy, torch\nprint(json.dumps({numbers}))"
    first, second = told(run(draw)), told(run(draw))
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_files_are_in_the_working_folder(run):
    found = "sorted(os.path.join(a, b) for a, _, c in os.walk('.') for b in c)"
    look = f"import json, os\nprint(json.dumps([{found}, open('lab.txt').read()]))"
    files = {"sub/weights.bin": b"mine", "lab.txt": b"the lab's"}
    assert told(run(look, files=files)) == [["./lab.txt", "./sub/weights.bin"], "the lab's"]
    assert os.getcwd() != "/sandbox/work"


def test_a_module_that_was_handed_in_can_be_imported_and_hides_none_that_is_in_use(run):
    files = {"helper.py": b"answer = 42", "torch.py": b"raise RuntimeError('not the real one')"}
    result = run("import helper, torch\nprint(helper.answer, torch.ones(1).item())", files=files)
    assert printed(result, 0) == "42 1.0\n"
