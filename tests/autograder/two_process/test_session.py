"""One test's conversation: identity, changes in place, gradients, random numbers, exceptions, files, faults, scores."""

from __future__ import annotations

import nbformat
import pytest
from nbgrader.utils import determine_grade

from autograder.jobs import Job, JobCell, TestResult
from autograder.two_process.local import run_job

GIVEN = """
%matplotlib inline
import dataclasses, enum, inspect, json, os, pickle, random, re, tempfile, time, warnings
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from factorkit.checks import hand_over, not_imported, trusted_copy

@dataclasses.dataclass(frozen=True)
class Cost:
    params: int
    def doubled(self):
        return 2 * self.params

class Kind(enum.Enum):
    DENSE = 1

def is_right(got):
    return got == 42
"""
ANSWER = """
from typing import NamedTuple
class Layer:
    def __init__(self):
        self.weight, self.seen, self.options = np.zeros((2, 2)), [], {"rank": 1}
    def total(self): return float(self.weight.sum())
    def count(self): return len(self.seen)
class Pair(NamedTuple):
    left: int
    right: int
    def swapped(self): return Pair(self.right, self.left)
class RankError(ValueError):
    def __init__(self, rank): super().__init__(f"rank {rank} is too large"); self.rank = rank
class DeepError(RankError): pass
class Card:
    def __init__(self, n): self.n = n
    def __eq__(self, o): return self.n == o.n
    def __hash__(self): return self.n
    def __lt__(self, o): return self.n < o.n
    def __len__(self): return self.n
def same(x): return x
def double(x):
    x *= 2
    return x
def record(table, row): table.append(row); row["done"] = True
def widen(table): table["new"] = 1
def shortened(n): raise DeepError(n)
def stopping(): raise StopIteration
def leaving(): raise SystemExit(3)
def missing(): open("nothing.txt")
def apply(f, x): return f(x)
def slope(f, x):
    x = torch.tensor(x, requires_grad=True)
    (g,) = torch.autograd.grad(f(x), x)
    return g.item()
def cost(): return Cost(21)
def kind(): return Kind.DENSE
def draw(n): return torch.rand(n), np.random.rand(n), random.random()
def reset(): torch.manual_seed(0)
def write(text): Path("out.txt").write_text(text)
def rows(path): return len(Path(path).read_text().split())
def die(): os._exit(0)
def loop():
    while True: pass
def always():
    class Always:
        __eq__ = __lt__ = __gt__ = __bool__ = lambda *a: True
        __hash__ = object.__hash__
        __sub__ = __rsub__ = __abs__ = __float__ = lambda *a: 0.0
    return Always()
def evil():
    class Evil:
        def __reduce__(self): return print, ("evil",)
    with open("evil.pkl", "wb") as file: pickle.dump(Evil(), file)
def network():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
"""
HANDED_IN = ANSWER + "\nis_right = abs = lambda *a: True\n"

PASS = {
    "what is an argument comes back as it": "x = [1]; y = torch.ones(2)\nassert same(x) is x and same(y) is y",
    "one object is one handle": "layer = Layer()\nassert same(layer) is layer and layer.total() == 0",
    "arrays and tensors are changed in place": """
x, y = np.ones((2, 3)), torch.ones(2, 3)
double(x[1]); double(y[1])
assert x.sum() == y.sum() == 9""",
    "lists, dictionaries and tables are changed in place": """
table, row, frame = [], {}, pd.DataFrame({"a": [1, 2]})
record(table, row); widen(frame)
assert row == {"done": True} and table == [row] and list(frame.columns) == ["a", "new"]""",
    "what a test changes in the student's objects is changed": """
layer = Layer()
layer.weight[0, 1] = 3; layer.seen.append(1); layer.options["rank"] = 2
assert layer.total() == 3 and layer.count() == 1 and layer.options == {"rank": 2}
assert layer.seen is layer.seen""",
    "named tuples keep their methods": """
pair = Pair(1, 2)
assert pair == (1, 2) and pair.left == 1 and pair.swapped() == (2, 1) and isinstance(pair, Pair)""",
    "locked dataclasses and enumerations are our own": """
assert cost() == Cost(21) and cost().doubled() == 42 and type(cost()) is Cost and kind() is Kind.DENSE""",
    "classes that the lab asks for may define operators": """
assert Card(1) == Card(1) and len({Card(1), Card(1), Card(2)}) == 2 and sorted([Card(2), Card(1)])[0].n == 1
assert not Card(0) and Card(1) and type(Card(1)) is Card""",
    "exceptions keep their class, bases, text and attributes": """
with pytest.raises(RankError, match="rank 3 is too large") as caught: shortened(3)
assert caught.value.rank == 3 and isinstance(caught.value, DeepError) and issubclass(DeepError, ValueError)
with pytest.raises(FileNotFoundError): missing()
with pytest.raises(SystemExit): leaving()""",
    "an exception of the test's goes through the student's code": """
error = KeyError("mine")
def fail(x): raise error
with pytest.raises(KeyError) as caught: apply(fail, 1)
assert caught.value is error""",
    "gradients flow through a function of the test's": "assert slope(lambda x: x**3, 2.0) == pytest.approx(12)",
    "a network is trained from the test": """
torch.manual_seed(0); model = network(); x = torch.randn(16, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
losses = []
for _ in range(5):
    optimizer.zero_grad(); loss = model(x).square().mean(); loss.backward(); optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] and isinstance(model[0], nn.Linear)""",
    "both sides draw the same random numbers": """
torch.manual_seed(3); np.random.seed(3); random.seed(3)
a, b, c = draw(4)
torch.manual_seed(3); np.random.seed(3); random.seed(3)
assert torch.equal(a, torch.rand(4)) and np.array_equal(b, np.random.rand(4)) and c == random.random()
assert not torch.equal(draw(4)[0], a)""",
    "a seed that the student's code sets does not reach the test's inputs": """
reset(); a = torch.rand(3); reset(); b = torch.rand(3)
assert not torch.equal(a, b) and not torch.equal(a, torch.rand(3, generator=torch.Generator().manual_seed(0)))""",
    "files cross in both directions": """
write("one"); assert Path("out.txt").exists() and Path("out.txt").read_text() == "one"
write("two"); assert open("out.txt").read() == "two" and not os.path.exists("nothing.txt")
Path("in.txt").write_text("a b c"); assert rows("in.txt") == 3""",
    "a trusted copy is rebuilt here": """
copy = trusted_copy(network(), torch.zeros(2, 3))
assert sum(p.numel() for p in copy.parameters()) == 26 and copy(torch.ones(5, 3)).shape == (5, 2)
assert type(copy).__module__ == "factorkit.trusted"
not_imported("factorkit.costs")""",
    "an object that is handed over is changed there": """
model = hand_over(nn.Sequential(nn.Linear(2, 2)))
model.append(nn.ReLU())
assert len(model) == 2 and isinstance(model[1], nn.ReLU)""",
    "source, signature and display work": """
assert "x *= 2" in inspect.getsource(double) and list(inspect.signature(slope).parameters) == ["f", "x"]
display(Layer().options); get_ipython().run_line_magic("matplotlib", "inline")""",
    "the student's names do not replace the instructor's": "assert not is_right(41) and abs(-1) == 1 and same(abs)(-1)",
    "names of an earlier test are kept": "assert row == {'done': True}",
}
FAIL = {
    "an object that equals everything": ("assert always() == 42", "TypeError", "expected plain data"),
    "an object whose difference is nothing": ("assert abs(always() - 42) < 1e-6", "TypeError", "Always"),
    "an object that is true": ("assert always()", "TypeError", "expected plain data"),
    "StopIteration does not end a loop of ours": ("assert all(map(lambda _: stopping(), [1]))", "_Contained", ""),
    "a pickle of the student's": ("evil(); pickle.load(open('evil.pkl', 'rb'))", "TypeError", "cannot unpickle"),
    "a class of the test's": (
        "class Toy(nn.Module): pass\nsame(Toy())",
        "TypeError",
        "define it in a locked cell",
    ),
    "a student's network in one of the test's": ("nn.Sequential(network(), nn.ReLU())", "TypeError", "trusted_copy"),
    "an endless iterator": ("import itertools\nsame(itertools.count())", "TypeError", "pass a list"),
    "a subclass of a student's class": ("class Sub(Layer): pass", "TypeError", "cannot make a subclass"),
}
FAULTS = {
    "a process that ends inside pytest.raises": (
        "with pytest.raises(BaseException): die()",
        "crashed",
        "InterpreterDied",
    ),
    "a loop that the test would forgive": ("try: loop()\nexcept BaseException: pass", "timeout", "TimeLimit"),
}


@pytest.fixture(scope="module")
def results() -> dict[str, TestResult]:
    tests = {**PASS, **{name: text for name, (text, *_) in {**FAIL, **FAULTS}.items()}}
    cells = [JobCell(0, "given", "locked", GIVEN), JobCell(1, "answer", "solution", HANDED_IN, ANSWER)]
    cells += [JobCell(2 + n, name, "test", text.strip(), points=1) for n, (name, text) in enumerate(tests.items())]
    result = run_job(Job("student", "lab", "lab", tuple(cells), cell_seconds=4, notebook_seconds=200))
    assert not any(output["output_type"] == "error" for cell in result.cells for output in cell.outputs)
    return {test.name: test for test in result.tests}


@pytest.mark.parametrize("name", PASS)
def test_it_works_that(results, name):
    assert (results[name].score, results[name].message) == (1, "")


@pytest.mark.parametrize("name", FAIL)
def test_no_point_is_gained_by(results, name):
    _, kind, words = FAIL[name]
    assert (results[name].score, results[name].outcome) == (0, "failed")
    assert results[name].message.startswith(kind) and words in results[name].message


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_not_forgiven(results, name):
    _, outcome, kind = FAULTS[name]
    assert (results[name].score, results[name].outcome) == (0, outcome)
    assert results[name].message.startswith(kind)


def run(*cells: tuple[str, str], **limits: float) -> list[TestResult]:
    """The results of the tests among these cells, each worth 2 points."""
    job = Job(
        "student",
        "lab",
        "lab",
        tuple(
            JobCell(n, f"cell {n}", kind, text, text if kind == "solution" else "", 2.0 if kind == "test" else 0.0)
            for n, (kind, text) in enumerate(cells)
        ),
        **{"cell_seconds": 5, "notebook_seconds": 60, **limits},
    )
    return list(run_job(job).tests)


SCORES = [
    ("0.5", 0.5),
    ("float(3)", 2),
    ("-1", 0),
    ("None", 2),
    ("1 == 1", 2),
    ("1 == 2", 0),
    ("float('nan')", 0),
    ("'all is well'", 0),
    ("import numpy as np\nnp.float64(0.5)", 0.5),
    ("import torch\ntorch.tensor(1.5)", 1.5),
    ("torch.tensor([1.5])", 0),
    ("0.5;", 2),
    ("print('seen')\nimport warnings\nwarnings.warn('careful')", 2),
    ("import sys\nprint('seen', file=sys.stderr)", 2),
    ("assert False, 'no'", 0),
    ("assert (", 0),
]


def test_nbgrader_reads_the_same_scores_from_the_outputs():
    for (text, expected), result in zip(SCORES, run(*(("test", text) for text, _ in SCORES)), strict=True):
        metadata = {"grade": True, "locked": True, "solution": False, "points": 2, "grade_id": "t"}
        cell = nbformat.v4.new_code_cell(text, metadata={"nbgrader": metadata})
        cell.outputs = [nbformat.from_dict(output) for output in result.outputs]
        nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))
        assert determine_grade(cell) == (expected, 2), (text, result)
        assert result.score == expected
        assert not any(output.get("name") == "stderr" for output in result.outputs)


def test_a_failure_shows_the_lines_of_the_test():
    [result] = run(("test", "x = 1\ny = 2\nassert x == y, 'they differ'\nz = 3"))
    [output] = result.outputs
    assert (output["ename"], output["evalue"]) == ("AssertionError", "they differ")
    assert "Cell In[1], line 3\n" in "\n".join(output["traceback"])
    assert "----> 3 assert x == y, 'they differ'" in "\n".join(output["traceback"])


def test_a_test_that_hangs_where_no_signal_arrives_costs_itself_alone():
    before, hung, dead, after = run(
        ("test", "kept = 1"),
        ("test", "import ctypes\nctypes.PyDLL(None).sleep(30)"),
        ("test", "import os\nos.kill(os.getpid(), 9)"),
        ("test", "assert kept == 1"),
        cell_seconds=0.5,
    )
    assert [hung.outcome, dead.outcome] == ["timeout", "crashed"]
    assert [before.score, hung.score, dead.score, after.score] == [2, 0, 0, 2]


def test_after_a_loss_the_reserve_knows_what_was_done_and_has_what_later_tests_use():
    hang = "import ctypes; ctypes.PyDLL(None).sleep(30)"
    texts = ["total = 1; assert answer", "seen = total + 1", "import os; os._exit(1)", "assert seen == 2 and step == 3"]
    texts += [
        "local = 5; assert local == 5",
        "assert answer is None",
        hang,
        "assert answer",
        "os._exit(0)",
        "assert step",
    ]
    cells = [JobCell(0, "answer", "solution", "answer = True", "answer = ...")]
    cells += [JobCell(n, f"test {n}", "test", text, points=1) for n, text in enumerate(texts[:3], start=1)]
    cells += [JobCell(4, "given", "locked", "import os; step = 3")]
    cells += [JobCell(n, f"test {n}", "test", text, points=1) for n, text in enumerate(texts[3:], start=5)]
    result = run_job(Job("student", "lab", "lab", tuple(cells), cell_seconds=2, notebook_seconds=60))
    ends = ["passed", "passed", "crashed", "passed", "passed", "failed", "timeout", "passed", "crashed", "passed"]
    assert [test.outcome for test in result.tests] == ends
    assert [test.index for test in result.tests] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]


def test_tests_that_the_notebook_does_not_reach_are_not_passed():
    first, second = run(("test", "assert True"), ("solution", "import os\nos._exit(1)"), ("test", "assert True"))
    assert (first.score, second.score, second.outcome) == (2, 0, "not run")


def test_each_test_sees_the_notebook_as_it_is_at_its_place():
    results = run(
        ("solution", "rank = 1"),
        ("test", "rank = 5\nassert rank == 5"),
        ("test", "assert rank == 1"),
        ("solution", "rank = 2"),
        ("test", "assert rank == 2"),
    )
    assert [result.score for result in results] == [2, 2, 2]
