"""The plan: which cells the checking process runs, and whose each name is, from the instructor's text alone."""

from __future__ import annotations

from autograder.jobs import Job, JobCell
from autograder.two_process.needs import needs
from autograder.two_process.plan import Step, checked_text, plan, read_steps, written_steps
from autograder.two_process.source import has_command, source_of

ANSWER = "def area(r):\n    return 3 * r"


def steps(*cells: tuple[str, str]) -> list[Step]:
    return plan(
        [
            JobCell(
                index,
                f"cell {index}",
                kind,
                "import os; every = name = is_mine = 1" if kind == "solution" else text,
                text,
            )
            for index, (kind, text) in enumerate(cells)
        ]
    )


def test_what_a_solution_cell_binds_is_the_students():
    [step] = steps(("solution", f"{ANSWER}\nclass Net: pass\nlimit, (low, high) = 1, (2, 3)"))
    assert step.theirs == {"area", "Net", "limit", "low", "high"}
    assert not step.run


def test_the_students_own_text_and_cells_bind_nothing():
    [_, extra] = steps(("locked", "import math"), ("extra", "math = assert_close = print = None"))
    assert extra.theirs == set()
    assert extra.ours == {"math"}


def test_imports_in_a_solution_cell_are_the_instructors():
    step, _ = steps(("solution", "import numpy as np\nfrom torch import nn\n" + ANSWER), ("test", "np.array(nn)"))
    assert step.theirs == {"area"}
    assert step.imports == ("import numpy as np", "from torch import nn")


def test_in_cells_that_are_not_run_functions_that_load_data_are_imported_only_if_something_uses_them():
    imports = "import numpy as np\nfrom sklearn.datasets import load_digits, load_wine\nfrom math import *\n" + ANSWER
    first, data, last = imports.splitlines()[:3]
    kept = {
        "assert area(2) == 12": (first, last),
        "assert load_wine": (first, data, last),
        "def check(): return load_digits()": (first, data, last),
        "assert eval('load_digits')": (first, data, last),
    }
    for text, expected in kept.items():
        step, *_ = steps(("solution", imports), ("locked" if text.startswith("def") else "test", text))
        assert step.imports == expected
    cells = [JobCell(0, "a", "solution", "", imports), JobCell(1, "b", "test", "assert area(1)")]
    assert checked_text(cells).splitlines() == [first, last, "assert area(1)"]


def test_locked_cells_that_need_nothing_of_the_students_are_run():
    _, helper, caller, aliased = steps(
        ("solution", ANSWER),
        ("locked", "def twice(r):\n    return 2 * area(r)"),
        ("locked", "doubled = twice(3)"),
        ("locked", "table = [area(r) for r in range(3)]\ntwice = 1"),
    )
    assert helper.run and "twice" in helper.ours
    assert not caller.run and "doubled" in caller.theirs  # it calls a helper that calls theirs
    assert not aliased.run and aliased.theirs == {"area", "doubled", "table", "twice"}


def test_a_locked_cell_takes_a_name_back():
    [*_, last] = steps(("solution", "rank = 3"), ("locked", "rank = 4"))
    assert last.run and last.theirs == set() and last.ours == {"rank"}


def test_objects_that_the_students_cells_change_become_theirs():
    [_, answer] = steps(
        ("locked", "import torch\nhistory, options, untouched = [], {}, []"),
        (
            "solution",
            "history.append(1)\noptions['rank'] = 2\ntorch.manual_seed(0)\ndef f(untouched): untouched.append(1)",
        ),
    )
    assert answer.theirs == {"history", "options", "f"}


def test_shell_commands_are_not_for_the_checking_process():
    command, cell_magic, magic = steps(
        ("locked", "files = !ls"), ("locked", "%%bash\nls"), ("locked", "%matplotlib inline\nx = 1")
    )
    assert not command.run and not cell_magic.run
    assert magic.run and magic.ours == {"x"}
    assert has_command("!ls") and not has_command("print('!')")


def test_pyplot_is_asked_on_the_students_side():
    [step] = steps(("locked", "import matplotlib.pyplot as plt\nimport math"))
    assert step.run and step.ours == {"math"} and step.theirs == set()


def test_names_of_test_cells_are_never_asked_for():
    [_, test] = steps(("solution", ANSWER), ("test", "def close(a, b): return a == b\nassert close(area(1), 3)"))
    assert test.run and test.ours == {"close"} and test.theirs == {"area"}


def test_the_source_of_a_function_is_the_last_that_was_handed_in():
    texts = [
        "def f(): return 1",
        "%matplotlib inline\nclass A:\n    def f(self):\n        return 2",
        "def g(:",
        "@cached\ndef f(): return 3",
    ]
    assert source_of("f", texts) == "@cached\ndef f(): return 3\n"
    assert source_of("A.f", texts) == "    def f(self):\n        return 2\n"


def test_what_a_test_leaves_behind_is_used_later_or_not():
    texts = ["images = 1; total = 2", "images = 3\nprint(images)", "state['x'] = total", "assert state"]
    texts += ["def helper(): return limit", "limit = 4", "assert helper()", "for limit in []: pass\nassert limit"]
    cells = [("locked", "state = {}"), *[("test", text) for text in texts]]
    assert [step.is_used_later for step in steps(*cells)] == [False, True, False, True, False, True, True, False, False]


def test_a_name_is_needed_unless_the_cell_has_surely_bound_it():
    assert needs("x = y\nwith open(x) as file:\n    z = file\nprint(z)") == {"y", "open", "print"}
    assert needs("if a:\n    b = 1\nb") == {"a", "b"}
    assert needs("try:\n    c = 1\nexcept E: pass\nc += 1") == {"E", "c"}
    assert needs("[i for i in values]\nf = lambda j: j + k\nclass A(B): d = e") == {"values", "k", "B", "e", "__name__"}
    assert needs("try:\n    a = 1\nexcept E as b:\n    print(b, a)\nelse:\n    a\nfinally:\n    c\nb") == set(
        "Eabc"
    ) | {"print"}
    assert needs("try:\n    a = f()\nexcept E as b:\n    c = b\n    c\nelse:\n    a") == {"f", "E"}
    assert needs("if a:\n    b = 1\n    b\nelse:\n    c") == {"a", "c"}
    assert needs("for a in b:\n    if a:\n        break\n    try:\n        continue\n    finally:\n        c") == {
        "b",
        "c",
    }
    assert needs("if a:\n    await b\nd = d + 1") == {"a", "b", "d"}  # no cell of plain Python
    assert needs("1 +") == set()


def test_a_plan_reaches_the_checking_process_as_it_is():
    cells = (
        JobCell(0, "setup", "locked", "import math\nfrom os import path as place\n%matplotlib inline"),
        JobCell(1, "answer", "solution", "", reference="import torch\ndef area(r): return math.pi * r**2"),
        JobCell(2, "more", "extra", "x = 1"),
        JobCell(3, "test", "test", "kept = torch.tensor(area(2))\nassert kept", points=2.5),
        JobCell(4, "later", "locked", "print(kept)"),
    )
    job = Job("student-001", "lab", "lab", cells, 5, 50)
    read, steps = read_steps(written_steps(job))
    assert read == job and steps == plan(cells)
    assert steps[1].imports == ("import torch",) and steps[3].is_used_later
