from pathlib import Path

import nbformat
import pytest
from nbgrader.utils import determine_grade

from autograder.authoring._proof_worker import CellCode, _graded
from autograder.authoring.answers import answered, filled_notebook
from autograder.authoring.release import TEXT_STUB, release_notebook
from autograder.authoring.running import run_lab
from autograder.authoring.source import read_source, source_notebook

TINY = Path(__file__).parent / "data" / "lab_tiny" / "lab_tiny.py"


@pytest.fixture(scope="module")
def notebook():
    return source_notebook(read_source(TINY))


def reported(notebook, code: str) -> str:
    """Run code in the place of the first answer and return what it raises with."""
    return run_lab(notebook, {"area": code}, only=["check_area"]).errors["check_area"].message


def test_the_solution_gets_everything_and_the_blank_lab_nothing(notebook):
    full = run_lab(notebook)
    assert full.scores == {"check_area": 2.0, "check_areas": 3.0}
    assert (full.total, full.errors) == (5.0, {})
    blank = run_lab(notebook, default="blank")
    assert blank.scores == {"check_area": 0.0, "check_areas": 0.0}
    error = blank.errors["check_area"]
    assert str(error) == "NotImplementedError: Exercise 1: return the area, height times width"
    assert 'File "<cell area>", line 3, in area' in error.traceback
    assert "free-005" in blank.errors, "a free cell that fails does not end the run"


def test_one_answer_among_solutions_or_blanks(notebook):
    answer = {"area": "    # any indentation\n    if height:\n        return height * width\n    return 0"}
    assert run_lab(notebook, answer).total == 5.0
    assert run_lab(notebook, answer, default="blank").scores == {"check_area": 2.0, "check_areas": 0.0}


def test_partial_credit_is_the_last_expression(notebook):
    answer = {"areas": "return np.array([2.0, 12.0])"}
    assert run_lab(notebook, answer).scores["check_areas"] == 1.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [("retrun 3", "SyntaxError"), ("while True: pass", "CellTimeoutError"), ("import os; os._exit(3)", "Crashed")],
)
def test_a_broken_answer_costs_its_own_points(notebook, answer, error):
    result = run_lab(notebook, {"areas": answer}, seconds=1)
    assert result.scores == {"check_area": 2.0, "check_areas": 0.0}
    assert error in [found.name for found in result.errors.values()]


def test_an_answer_that_cannot_be_interrupted_is_killed(notebook, monkeypatch):
    monkeypatch.setattr("autograder.authoring.running.GRACE", 0.5)
    answer = "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\nwhile True: pass"
    result = run_lab(notebook, {"areas": answer}, seconds=1)
    assert result.scores == {"check_area": 2.0, "check_areas": 0.0}
    assert str(result.errors["check_areas"]) == "TimedOut: did not stop after 1 s"


def test_every_run_has_its_own_process_and_folder(notebook):
    leaves = """
        import sys, pathlib
        pathlib.Path("left").touch()
        sys.modules["wave"] = 1
        raise ValueError(pathlib.Path.cwd())
    """
    folder = Path(reported(notebook, leaves))
    assert not folder.exists(), "the folder of a run is removed"
    looks = "import sys, pathlib\nraise ValueError('wave' in sys.modules or pathlib.Path('left').exists())"
    assert reported(notebook, looks) == "False"


def test_files_lie_beside_the_notebook(notebook, tmp_path):
    (tmp_path / "numbers").write_text("2 3")
    code = "from pathlib import Path\nraise ValueError(Path('data/sides.txt').read_text())"
    result = run_lab(notebook, {"area": code}, files={"data/sides.txt": tmp_path / "numbers"}, only=["check_area"])
    assert result.errors["check_area"].message == "2 3"


def test_a_run_looks_like_grading_on_one_core(notebook):
    code = """
        import os, sys, torch
        raise ValueError(os.environ["NBGRADER_EXECUTION"], os.environ["MPLBACKEND"], torch.get_num_threads(), __name__)
    """
    assert reported(notebook, code) == "('autograde', 'Agg', 1, '__main__')"


def test_what_is_preloaded_and_what_must_not_be(notebook):
    names = ["torch", "torch._dynamo", "pandas", "factorkit.checks", "factorkit.costs", "factorkit.layers"]
    code = f"import sys\nraise ValueError([name in sys.modules for name in {names}])"
    assert reported(notebook, code) == "[True, True, True, True, False, False]"


def test_what_writes_to_stderr_gets_no_points(notebook):
    result = run_lab(notebook, {"area": "import warnings\nwarnings.warn('careful')\nreturn height * width"})
    assert result.scores["check_area"] == 0.0
    assert result.errors["check_area"].name == "stderr"


def test_only_leaves_out_other_checks_and_free_cells(notebook):
    result = run_lab(notebook, default="blank", only=["check_area"])
    assert (list(result.scores), list(result.errors)) == (["check_area"], ["check_area"])


def test_appended_code_runs_below_its_cell(notebook):
    assert run_lab(notebook, appended={"area": "area = lambda height, width: 6"}).scores["check_area"] == 0.0


OUTPUTS = {
    "nothing": (None, []),
    "a number": ("1.5", [nbformat.v4.new_output("execute_result", data={"text/plain": "1.5"})]),
    "zero": ("0.0", [nbformat.v4.new_output("execute_result", data={"text/plain": "0.0"})]),
}


@pytest.mark.parametrize(("value", "outputs"), OUTPUTS.values(), ids=OUTPUTS)
def test_scores_are_those_of_nbgrader(value, outputs):
    cell = nbformat.v4.new_code_cell(
        outputs=outputs,
        metadata={"nbgrader": {"grade": True, "solution": False, "grade_id": "check_a", "points": 2}},
    )
    assert _graded(CellCode("check_a", "", 2.0), value).score == determine_grade(cell)[0]


@pytest.mark.parametrize(("value", "score"), [("nan", 0), ("inf", 0), ("tensor(1.)", 0), ("-1.0", 0), ("2.5", 2.0)])
def test_scores_that_nbgrader_would_take_for_full_or_refuse(value, score):
    assert _graded(CellCode("check_a", "", 2.0), value).score == score


def test_filled_notebooks_are_released_ones_with_answers(notebook):
    released = release_notebook(notebook)
    filled = filled_notebook(released, {"area": "sides = height, width\nreturn np.prod(sides)", "mislead": "Never."})
    cells = {cell.id: cell for cell in filled.cells}
    assert cells["area"].source.endswith("    sides = height, width\n    return np.prod(sides)")
    assert cells["mislead"].source == "Never."
    assert cells["areas"].source.endswith('raise NotImplementedError("Exercise 2: return the N areas, shape (N,)")')
    assert released.cells[3].source != cells["area"].source, "the released notebook was changed"
    assert filled_notebook(notebook, {}) == released
    assert [cell.metadata for cell in filled.cells] == [cell.metadata for cell in released.cells]
    blank = answered(notebook, {}, default="blank")
    assert next(cell for cell in blank.cells if cell.id == "mislead").source.startswith(TEXT_STUB)


def test_answers_that_fit_nowhere(notebook):
    with pytest.raises(ValueError, match="unknown exercise 'volume'; the lab has area, areas, mislead"):
        run_lab(notebook, {"volume": "return 1"})
    with pytest.raises(ValueError, match="unknown default 'empty': write 'solution' or 'blank'"):
        run_lab(notebook, default="empty")
    filled = filled_notebook(notebook, {"area": "return 1"})
    with pytest.raises(ValueError, match="cell 'area' has 0 stubs, expected one"):
        filled_notebook(filled, {"area": "return 2"})
