"""Execution: whatever the code does, it ends in time, with a status, and nothing of it is left behind."""

from __future__ import annotations

import json
import threading
import time

import nbformat
import psutil
import pytest

from autograder.errors import CourseError
from autograder.execute import Limits, execute
from autograder.intake import Problem, Status, Submission
from autograder.journal import merged, read_journal
from autograder.normalise import Normalised

QUICK = Limits(cell_timeout=4, notebook_timeout=60)


def notebook_of(*sources, points=1.0):
    """A notebook in which every second cell is a test."""
    cells = []
    for number, source in enumerate(sources):
        nbgrader = {
            "grade_id": f"cell{number}",
            "grade": bool(number % 2),
            "solution": not number % 2,
            "points": points,
        }
        cells.append(nbformat.v4.new_code_cell(source, id=f"cell{number}", metadata={"nbgrader": nbgrader}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that executes some cells as one submission."""
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "cache"))

    def make(*sources, limits=QUICK, files=(), **options):
        submission = Submission("student-001", "tiny", str(tmp_path), "tiny.ipynb", tuple(files))
        return execute(Normalised(submission, notebook_of(*sources)), limits, **options)

    return make


def errors(executed):
    """The name of each cell's last error, or None."""
    found = []
    for cell in executed.notebook.cells:
        names = [output.ename for output in cell.outputs if output.output_type == "error"]
        found.append(names[-1] if names else None)
    return found


def printed(executed, index):
    return "".join(output.get("text", "") for output in executed.notebook.cells[index].outputs)


def test_a_good_notebook(run):
    executed = run("def f():\n    return 2", "assert f() == 2", "print('hello')", "assert f() == 3")
    assert (executed.status, executed.message) == (Status.OK, "")
    assert errors(executed) == [None, None, None, "AssertionError"]
    assert printed(executed, 2) == "hello\n"
    assert executed.notebook.cells[0].execution_count is not None


def test_an_endless_loop_costs_its_own_test(run):
    executed = run("def f():\n    while True:\n        pass", "f()", "a = 1", "assert a == 1")
    assert executed.status is Status.TIMEOUT
    assert executed.message == "cell1: stopped after 4 s"
    assert errors(executed) == [None, "TimeLimit", None, None]


def test_an_interrupt_that_is_swallowed_earns_nothing(run):
    executed = run("import time", "try:\n    time.sleep(99)\nexcept KeyboardInterrupt:\n    pass")
    assert executed.status is Status.TIMEOUT and errors(executed) == [None, "TimeLimit"]


@pytest.mark.parametrize(
    "loop",
    [
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass",
    ],
    ids=["catches", "ignores"],
)
def test_a_loop_that_resists_keeps_what_was_earned_before(run, loop):
    executed = run("a = 1", "assert a == 1", loop, "assert True", limits=Limits(2, 60))
    assert executed.status is Status.TIMEOUT
    assert executed.message == "cell2: stopped after 2 s, and did not react to that"
    assert errors(executed) == [None, None, "TimeLimit", "NotRun"]


@pytest.mark.parametrize(
    ("death", "cause"),
    [
        ("import os; os._exit(0)", "ended itself (exit status 0)"),
        ("import ctypes; ctypes.string_at(0)", "died of SIGSEGV (segmentation fault)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "died of SIGKILL"),
    ],
    ids=["exit", "segfault", "kill"],
)
def test_a_death_keeps_what_was_earned_before(run, death, cause):
    executed = run("print('before')", "assert True", death, "assert True")
    assert executed.status is Status.CRASHED
    assert executed.message.startswith(f"cell2: the Python interpreter {cause}")
    assert errors(executed) == [None, None, "InterpreterDied", "NotRun"]
    assert printed(executed, 0) == "before\n"


def test_killing_the_worker_is_a_crash_too(run):
    executed = run("a = 1", "assert a == 1", "import os; os.kill(os.getppid(), 9); os.kill(0, 9)", "assert True")
    assert executed.status is Status.CRASHED
    assert errors(executed) == [None, None, "NotRun", "NotRun"]


def test_leaving_python_is_an_error_of_the_cell(run):
    executed = run("import sys", "sys.exit(0)", "a = 1", "assert a")
    assert executed.status is Status.OK and errors(executed) == [None, "SystemExit", None, None]


def test_asking_for_input_is_an_error_of_the_cell(run):
    executed = run("a = 1", "input('?')")
    assert executed.status is Status.OK and errors(executed) == [None, "StdinNotImplementedError"]


def test_printing_without_end_is_cut_off(run):
    executed = run("a = 1", "while True:\n    print('x' * 1000)", "b = 1", "assert b", limits=Limits(50, 60))
    assert executed.status is Status.TIMEOUT
    assert executed.message == "cell1: stopped after printing 5 MB"
    assert len(printed(executed, 1)) < 20_000
    assert errors(executed) == [None, "TimeLimit", None, None]


def test_the_whole_notebook_has_a_limit(run):
    began = time.monotonic()
    sleep = "import time; time.sleep(4)"
    executed = run("a = 1", "assert a", sleep, sleep, sleep, sleep, "b = 1", "assert b", limits=Limits(50, 9))
    assert executed.status is Status.TIMEOUT
    assert errors(executed)[1] is None and errors(executed)[-1] == "NotRun"
    assert time.monotonic() - began < 30


def test_no_process_is_left_behind(run):
    start = (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '7654'], start_new_session=True)\n"
        "subprocess.Popen(['env', '-i', '/bin/sleep', '7654'], start_new_session=True)\n"
        "subprocess.Popen('sleep 7654 & sleep 7654 &', shell=True, start_new_session=True).wait()"
    )
    executed = run(start, "assert True", "import os; os._exit(1)", limits=Limits(30, 60))
    assert errors(executed)[:2] == [None, None]
    left = [process for process in psutil.process_iter(["cmdline"]) if "7654" in (process.info["cmdline"] or [])]
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def test_the_environment_is_reduced_and_the_folder_private(run, tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET_TOKEN", "secret")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_text("mine")
    (tmp_path / "lab.txt").write_text("changed")
    (tmp_path / "not_handed_in.txt").write_text("no")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "lab.txt").write_text("the lab's")
    look = (
        "import json, os\n"
        "files = sorted(os.path.join(a, b) for a, _, c in os.walk('.') for b in c)\n"
        "print(json.dumps([files, open('lab.txt').read(), dict(os.environ)]))"
    )
    executed = run(look, "assert True", files=("sub/weights.bin", "lab.txt"), lab_files=tmp_path / "given", threads=3)
    files, text, environment = json.loads(printed(executed, 0))
    assert (files, text) == (["./lab.txt", "./sub/weights.bin"], "the lab's")
    assert "A_SECRET_TOKEN" not in environment
    assert environment["NBGRADER_EXECUTION"] == "autograde" and "NBGRADER_VALIDATING" not in environment
    assert environment["OMP_NUM_THREADS"] == "3" and environment["HOME"].startswith(environment["TMPDIR"][:-4])
    assert environment["FACTORKIT_CACHE"] == str(tmp_path / "cache")


def test_a_students_module_does_not_get_in_the_workers_way(run, tmp_path):
    (tmp_path / "nbformat.py").write_text("raise RuntimeError('not the real one')")
    (tmp_path / "psutil.py").write_text("raise RuntimeError('not the real one')")
    assert run("a = 1", "assert a", files=("nbformat.py", "psutil.py")).status is Status.OK


def test_a_warning_in_a_test_costs_nothing(run):
    executed = run("import sys", "print('careful', file=sys.stderr)", "print('aside', file=sys.stderr)")
    assert [output.name for cell in executed.notebook.cells for output in cell.outputs] == ["stdout", "stderr"]
    assert printed(executed, 1) == "careful\n"


@pytest.mark.parametrize(
    ("shown", "settled"),
    [("0.5", "0.5"), ("7", "1.0"), ("-3.0", "0.0"), ("np.float64(0.25)", "0.25"), ("nan", None), ("'full'", None)],
)
def test_partial_credit_is_a_number_in_range(shown, settled):
    result = nbformat.v4.new_output("execute_result", {"text/plain": shown}, execution_count=1)
    cells = [
        {"event": "cell", "index": 1, "outputs": [result], "count": 1, "note": None},
        {"event": "end", "status": "ok"},
    ]
    notebook, status, _ = merged(notebook_of("", "x"), cells)
    [output] = notebook.cells[1].outputs
    assert status is Status.OK
    assert (output.data["text/plain"] if output.output_type == "execute_result" else None) == settled


def test_what_was_not_run_is_an_error_and_a_cut_line_is_left_out(tmp_path):
    whole = {"event": "cell", "index": 0, "outputs": [], "count": 1, "note": None}
    (tmp_path / "journal").write_text(json.dumps(whole) + '\n{"event": "cell", "ind')
    notebook, status, message = merged(notebook_of("a = 1", "assert a"), read_journal(tmp_path / "journal"), 7)
    assert (status, message) == (Status.TIMEOUT, "cell1: the notebook was stopped after 7 s")
    assert notebook.cells[0].outputs == [] and notebook.cells[1].outputs[0].ename == "NotRun"


def test_a_run_can_be_cancelled(run):
    cancelled = threading.Event()
    threading.Timer(3, cancelled.set).start()
    began = time.monotonic()
    executed = run("import time; time.sleep(99)", "assert True", limits=Limits(200, 200), cancelled=cancelled)
    assert executed.status is Status.TIMEOUT and time.monotonic() - began < 20


def test_a_problem_is_passed_on_without_a_run():
    submission = Submission("student-001", "tiny", "/nowhere")
    executed = execute(Normalised(submission, None, Problem(Status.MISSING, "nothing was handed in")))
    assert (executed.status, executed.message, executed.notebook) == (Status.MISSING, "nothing was handed in", None)


def test_a_kernel_that_does_not_start_is_not_the_students_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "cache"))
    notebook = notebook_of("a = 1")
    notebook.metadata.kernelspec["name"] = "no_such_kernel"
    with pytest.raises(CourseError, match="did not start: NoSuchKernel"):
        execute(Normalised(Submission("student-001", "tiny", str(tmp_path), "tiny.ipynb"), notebook), QUICK)
