"""Execution: notebooks become jobs, and what came of them stands in the notebooks for nbgrader to read."""

from __future__ import annotations

import json
import threading
import time

import nbformat
import pytest
from nbgrader.utils import determine_grade

from autograder.errors import CourseError
from autograder.execute import Engine, Limits, execute, job_of
from autograder.intake import Problem, Status, Submission
from autograder.jobs import CellOutputs, JobResult, TestResult
from autograder.journal import merged, read_journal
from autograder.normalise import Normalised
from autograder.sandbox.results import test_result as checked_result
from autograder.sandbox.results import with_outputs

QUICK = Limits(cell_seconds=6, notebook_seconds=60, memory_mb=500, processes=100, file_mb=64)
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def notebook_of(*sources, points=1.0, kernel=KERNEL):
    """A notebook in which every second cell is a test."""
    cells = []
    for number, source in enumerate(sources):
        nbgrader = {
            "grade_id": f"cell{number}",
            "grade": bool(number % 2),
            "solution": not number % 2,
            "locked": bool(number % 2),
            "points": points,
        }
        cells.append(nbformat.v4.new_code_cell(source, id=f"cell{number}", metadata={"nbgrader": nbgrader}))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture
def run(tmp_path, engine):
    """A function that executes some cells as one submission; the instructor's answers are the same by default."""

    def make(*sources, limits=QUICK, files=(), reference=(), kernel=KERNEL, **options):
        submission = Submission("student-001", "tiny", str(tmp_path), ("tiny.ipynb",), tuple(files))
        notebooks = {"tiny": notebook_of(*sources, kernel=kernel)}
        references = {"tiny": notebook_of(*(reference or sources), kernel=kernel)}
        normalised = Normalised(submission, notebooks, references=references)
        return execute(normalised, limits, **{"engine": engine, **options})

    return make


def errors(executed):
    """The name of each cell's last error, or None."""
    found = []
    for cell in executed.notebooks["tiny"].cells:
        names = [output.ename for output in cell.outputs if output.output_type == "error"]
        found.append(names[-1] if names else None)
    return found


def printed(executed, index):
    return "".join(output.get("text", "") for output in executed.notebooks["tiny"].cells[index].outputs)


def points(executed):
    """What nbgrader gives for the tests."""
    return [determine_grade(cell)[0] for cell in executed.notebooks["tiny"].cells[1::2]]


def test_a_good_notebook(run):
    executed = run("def f():\n    return 2", "assert f() == 2", "print('hello')", "assert f() == 3")
    assert (executed.status, executed.message) == (Status.OK, "")
    assert errors(executed) == [None, None, None, "AssertionError"]
    assert points(executed) == [1.0, 0.0]
    assert printed(executed, 2) == "hello\n"
    assert executed.notebooks["tiny"].cells[0].execution_count == 1


def test_what_did_not_run_has_an_error_and_no_points(run):
    executed = run("a = 1", "assert a == 1", "import os; os._exit(0)", "assert True", "b = 1", "assert b")
    assert executed.status is Status.CRASHED
    assert executed.message == "cell2: the Python interpreter ended itself (exit status 0)"
    assert errors(executed) == [None, None, "InterpreterDied", "NotRun", "NotRun", "NotRun"]
    assert points(executed) == [1.0, 0.0, 0.0]


def test_warnings_cost_nothing_and_partial_credit_counts(run):
    executed = run(
        "import sys\ndef f():\n    print('careful', file=sys.stderr)\n    return 0.25", "f()\nassert f() == 0.25",
        "print('aside', file=sys.stderr)", "float(f())",
    )  # fmt: skip
    assert points(executed) == [1.0, 0.25]


@pytest.mark.parametrize(("score", "outcome"), [(2.0, "passed"), (0.5, "partial"), (0.0, "partial"), (0.0, "failed"),
                                                (0.0, "not run"), (0.0, "crashed"), (0.0, "timeout")])  # fmt: skip
@pytest.mark.parametrize(
    "outputs",
    [
        (),
        ({"output_type": "error", "ename": "E", "evalue": "", "traceback": []},),
        ({"output_type": "stream", "name": "stderr", "text": "careful"},),
        ({"output_type": "execute_result", "data": {"text/plain": "99"}, "metadata": {}, "execution_count": 1},),
    ],
    ids=["nothing", "error", "stderr", "number"],
)
def test_nbgrader_reads_the_score_whatever_the_outputs(score, outcome, outputs):
    test = TestResult(1, "cell1", score, 2.0, outcome, "", 0.0, outputs)
    shown = with_outputs(notebook_of("a = 1", "assert a", points=2.0), JobResult("ok", tests=(test,)))
    assert determine_grade(shown.cells[1]) == (score, 2.0)


@pytest.mark.parametrize("score", [None, "1", float("nan"), [1]])
@pytest.mark.parametrize("outcome", ["won", "passed", None])
def test_what_is_no_result_is_none(outcome, score):
    [cell] = job_of(Submission("s", "tiny", "/"), "tiny", *[notebook_of("a", "b")] * 2, QUICK).tests
    assert checked_result({"outcome": outcome, "score": score}, cell) is None
    assert checked_result([], cell) is None


def test_points_stay_within_the_cells_own():
    [cell] = job_of(Submission("s", "tiny", "/"), "tiny", *[notebook_of("a", "b")] * 2, QUICK).tests
    assert checked_result({"outcome": "passed", "score": 100}, cell).score == 1.0
    assert checked_result({"outcome": "passed", "score": -5}, cell).score == 0.0


def test_cells_are_told_apart_by_the_instructors_notebook():
    source = notebook_of("answer = 1", "assert answer")
    free = nbformat.v4.new_code_cell("print('play')", id="free")
    locked = nbformat.v4.new_code_cell("given = 1", id="given", metadata={"editable": False})
    manual = nbformat.v4.new_code_cell("essay = ''", id="essay")
    manual.metadata.nbgrader = {"grade_id": "essay", "grade": True, "solution": True, "locked": False, "points": 3}
    source.cells += [free, locked, manual, nbformat.v4.new_markdown_cell("text")]
    theirs = nbformat.from_dict(source)
    theirs.cells[0] = nbformat.from_dict({**source.cells[0], "source": "answer = 2"})
    theirs.cells.insert(2, nbformat.v4.new_code_cell("added = 1", id="student-002"))
    job = job_of(Submission("s", "tiny", "/"), "tiny", theirs, source, QUICK)
    kinds = [(cell.name, cell.kind) for cell in job.cells]
    assert kinds == [("cell0", "solution"), ("cell1", "test"), ("student-002", "extra"), ("free", "solution"),
                     ("given", "locked"), ("essay", "solution")]  # fmt: skip
    assert (job.cells[0].source, job.cells[0].reference) == ("answer = 2", "answer = 1")
    assert "assert" not in job.without_tests().to_json().decode()


def test_files_reach_both_processes_and_code_only_the_students(run, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_text("mine")
    (tmp_path / "lab.txt").write_text("changed")
    (tmp_path / "torch.py").write_text("raise RuntimeError")
    (tmp_path / "not_handed_in.txt").write_text("no")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "lab.txt").write_text("the lab's")
    look = "import json, os\nprint(json.dumps(sorted(os.path.join(a, b) for a, _, c in os.walk('.') for b in c)))"
    tested = "import os\nassert sorted(os.listdir()) == ['lab.txt', 'sub'] and open('lab.txt').read() == \"the lab's\""
    options = {"files": ("sub/weights.bin", "lab.txt", "torch.py"), "lab_files": tmp_path / "given"}
    executed = run(look, tested, **options)
    assert json.loads(printed(executed, 0)) == ["./lab.txt", "./sub/weights.bin", "./torch.py"]
    assert points(executed) == [1.0], executed.notebooks["tiny"].cells[1].outputs


def test_several_notebooks_of_a_submission_are_run_each_on_its_own(engine, tmp_path):
    notebooks = {
        "first": notebook_of("a = 1", "assert a == 1"),
        "second": notebook_of("import os; os._exit(3)", "assert a"),
    }
    submission = Submission("student-001", "tiny", str(tmp_path), ("first.ipynb", "second.ipynb"))
    executed = execute(Normalised(submission, notebooks, references=notebooks), QUICK, engine=engine)
    assert executed.status is Status.CRASHED and executed.message.startswith("second: cell0: ")
    assert list(executed.notebooks) == ["first", "second"]
    assert determine_grade(executed.notebooks["first"].cells[1])[0] == 1.0


def test_a_notebook_that_needs_a_kernel_is_reported(run):
    executed = run(
        "import ipywidgets\na = ipywidgets.IntSlider(value=3)", "assert a.value == 3", "1 / 0", "assert False"
    )
    assert points(executed) == [1.0, 0.0]
    assert [(finding.kind, finding.cell) for finding in executed.findings] == [("same process", "tiny")]


def test_all_can_run_in_one_process_if_asked_for(engine, run):
    same = Engine(same_process=True)  # starts no server
    executed = run("def f():\n    return 2", "assert f() == 2\nprint('seen')", engine=same)
    assert executed.status is Status.OK and points(executed) == [1.0]
    assert executed.findings[0].kind == "same process"


def test_a_run_can_be_cancelled(run):
    cancelled = threading.Event()
    threading.Timer(2, cancelled.set).start()
    began = time.monotonic()
    executed = run("import time; time.sleep(99)", "assert True", limits=Limits(200, 200), cancelled=cancelled)
    assert executed.status is Status.TIMEOUT and time.monotonic() - began < 20


def test_a_problem_is_passed_on_without_a_run(engine):
    submission = Submission("student-001", "tiny", "/nowhere")
    problem = Problem(Status.MISSING, "nothing was handed in")
    executed = execute(Normalised(submission, problem=problem), engine=engine)
    assert (executed.status, executed.message, executed.notebooks) == (Status.MISSING, "nothing was handed in", {})


def test_a_kernel_that_does_not_start_is_not_the_students_fault(run):
    with pytest.raises(CourseError, match="did not start: NoSuchKernel"):
        run("a = 1", kernel={"name": "no_such_kernel", "display_name": "?"})


@pytest.mark.parametrize(
    ("shown", "settled"),
    [("0.5", "0.5"), ("7", "1.0"), ("-3.0", "0.0"), ("np.float64(0.25)", "0.25"), ("nan", None), ("'full'", None)],
)
def test_partial_credit_in_a_kernel_is_a_number_in_range(shown, settled):
    result = nbformat.v4.new_output("execute_result", {"text/plain": shown}, execution_count=1)
    cells = [
        {"event": "cell", "index": 1, "outputs": [result], "count": 1, "note": None},
        {"event": "end", "status": "ok"},
    ]
    notebook, status, _ = merged(notebook_of("", "x"), cells)
    [output] = notebook.cells[1].outputs
    assert status is Status.OK
    assert (output.data["text/plain"] if output.output_type == "execute_result" else None) == settled


def test_what_a_kernel_did_not_run_is_an_error_and_a_cut_line_is_left_out(tmp_path):
    whole = {"event": "cell", "index": 0, "outputs": [], "count": 1, "note": None}
    (tmp_path / "journal").write_text(json.dumps(whole) + '\n{"event": "cell", "ind')
    notebook, status, message = merged(notebook_of("a = 1", "assert a"), read_journal(tmp_path / "journal"), 7)
    assert (status, message) == (Status.TIMEOUT, "cell1: the notebook was stopped after 7 s")
    assert notebook.cells[0].outputs == [] and notebook.cells[1].outputs[0].ename == "NotRun"


def test_a_cell_that_shows_nothing_keeps_its_count():
    shown = with_outputs(notebook_of("a = 1"), JobResult("ok", cells=(CellOutputs(0, 4),)))
    assert shown.cells[0].execution_count == 4 and shown.cells[0].outputs == []
