from pathlib import Path

import pytest

from autograder.authoring.lint import RULES, lint
from autograder.authoring.lint_rules import CHECK_RULES
from autograder.authoring.source import read_source

TINY = Path(__file__).parent / "data" / "lab_tiny" / "lab_tiny.py"


def findings(tmp_path: Path, *changes: tuple[str, str]):
    """Lint the tiny lab with some of its text replaced."""
    text = TINY.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    path = tmp_path / "lab_tiny" / "lab_tiny.py"
    path.parent.mkdir()
    path.write_text(text)
    return lint(read_source(path))


def test_the_tiny_lab_has_no_findings():
    assert lint(read_source(TINY)) == []


HIDDEN = """for hidden_height, hidden_width in [(1, 1), (7, 0.5), (0, 4)]:
    assert area(hidden_height, hidden_width) == hidden_height * hidden_width, "wrong for another rectangle"
"""
VOLUME = """# %% exercise="volume"
### BEGIN SOLUTION stub="Exercise 1: set volume"
volume = 3
### END SOLUTION

"""

# One change of the tiny lab for each rule that makes exactly this rule speak, and the words it must say.
BROKEN = {
    "points-sum": [("points: 7", "points: 8", "the cells give 7 points, the front matter says 8")],
    "minutes-sum": [("minutes: 12", "minutes: 20", "the headings give 12 minutes, the front matter says 20")],
    "heading": [
        ("rectangle (2 points, 3", "rectangle (1 point, 3", "says 1 points, its cells give 2"),
        ("Exercise 3: when", "Exercise 4: when", "Exercise 4 is the 3. of the lab"),
        (
            "## Exercise 1: the area of a rectangle (2 points, 3 minutes)",
            "(3 minutes) is all",
            "no heading stands before",
        ),
    ],
    "one-check": [("# %%\nprint", f"{VOLUME}# %%\nprint", 'no check; add a cell # %% check="volume" points=...')],
    "visible-check": [
        ('assert got == 6, f"expected 2 * 3 = 6, got {got}"', "got = 6", "no visible assertion: students need one"),
    ],
    "hidden-check": [(HIDDEN, "# nothing\n", "no hidden tests: a constant would pass")],
    "stub-message": [
        ("Exercise 2: return the N", "Return the N", 'must be stub="Exercise 2: return ..."'),
        (' stub="Exercise 2: return the N areas, shape (N,)"', "", "the stub '' must be"),
    ],
    "one-stub": [
        (
            '    ### BEGIN SOLUTION stub="Exercise 1',
            '    if height < 0:\n        raise NotImplementedError\n    ### BEGIN SOLUTION stub="Exercise 1',
            "taken for the stub",
        ),
    ],
    "solution-length": [
        ("    surface = height * width\n", "    surface = height * width\n" * 10, "the gap has 11 lines, at most 10")
    ],
    "mark-scheme": [
        ("# - 1 point: names the perimeter\n", "", "has no level for 1 points; write a line '- 1 points: ...'"),
        ("# They differ when their perimeters differ: 1 x 4 and 2 x 2.\n", "", "no example answer"),
        (
            "# - 0 points: anything else\n",
            "# - 0 points: anything else\n# - 3 points: more\n",
            "gives 3 points, the question has 2",
        ),
    ],
    "answer-left": [
        (
            "# Fill the marked line.",
            "# Write `surface = height * width`.",
            "the answer's line 'surface = height * width'",
        )
    ],
    "hidden-test-left": [("got = area(2, 3)\n", f"{HIDDEN}got = area(2, 3)\n", "contains the hidden test")],
    "not-imported": [
        ("import numpy as np\n", "import wave\n\nimport numpy as np\n", "imports wave, which the front matter forbids"),
        ('not_imported("wave")\n', "", "no check enforces not_imported; call factorkit.checks.not_imported('wave')"),
    ],
}


@pytest.mark.parametrize(
    ("rule", "old", "new", "message"),
    [(rule, *change) for rule, changes in BROKEN.items() for change in changes],
)
def test_each_rule_speaks_of_what_it_is_for(tmp_path, rule, old, new, message):
    found = findings(tmp_path, (old, new))
    assert rule in [finding.rule for finding in found]
    assert any(message in finding.message for finding in found if finding.rule == rule), found


def test_every_rule_of_the_lab_is_tested():
    assert BROKEN.keys() == RULES.keys()


def test_a_stub_that_gives_the_answer_away(tmp_path):
    stub = "Exercise 1: return the area, height times width"
    answer = "surface = height * width\n    return surface"
    [finding] = findings(tmp_path, (answer, "return height * width"), (stub, "Exercise 1: return height * width"))
    assert finding.rule == "release" and "the SOLUTION of cell 'area' would remain" in finding.message


def test_a_finding_names_file_line_rule_and_cell(tmp_path):
    [finding] = findings(tmp_path, ("got = area(2, 3)", "got = area(2, 3)\nassert type(got) is int"))
    line = TINY.read_text().splitlines().index("got = area(2, 3)") + 2
    assert str(finding) == (
        f"solutions/lab_tiny/lab_tiny.py:{line}: type(x) refuses what works as well; use isinstance(x, ...) "
        "[type-of, check_area]"
    )


# For each rule on test code: lines it must refuse, and lines that are right and look alike.
CODE = {
    "shape-first": (
        ["assert np.allclose(got, 6)", "assert torch.allclose(got, -1.0)", "assert np.allclose(got, want)"],
        ["assert got.shape == (2,)\nassert np.allclose(got, want)", "torch.testing.assert_close(got, want)"],
    ),
    "strict-shapes": (
        ["np.testing.assert_allclose(got, want)", "np.testing.assert_array_equal(got, want)"],
        [
            "np.testing.assert_allclose(got, want, strict=True)",
            "assert got.shape == (2,)\nnp.testing.assert_equal(got, 1)",
        ],
    ),
    "zip-strict": (
        ["for a, b in zip(got, want): assert a == b", "for a, b in zip(got, want, strict=False): assert a == b"],
        [
            "for a, b in zip(got, want, strict=True): assert a == b",
            "assert len(got) == 2\nassert all(a > b for a, b in zip(got, want))",
        ],
    ),
    "if-raise": (
        ["if abs(got - 6) > 1e-6:\n    raise AssertionError('no')", "if got != 6:\n    assert False, 'no'"],
        ["if wide:\n    assert got == 6", "assert abs(got - 6) < 1e-6"],
    ),
    "lone-negation": (
        [
            "assert area(2, 3) != 5",
            "other = area(1, 2)\nassert not other > 3",
            "other = area(1, 2)\nassert other is not None",
        ],
        ["other = area(1, 2)\nassert other == 2\nassert other != 3", "assert 'wave' not in dir()"],
    ),
    "named-exception": (
        [
            "with pytest.raises(Exception, match='negative'): area(-1, 2)",
            "with pytest.raises(ValueError): area(-1, 2)",
            "try:\n    area(-1, 2)\nexcept BaseException:\n    pass",
            "try:\n    area(-1, 2)\nexcept:\n    pass",
        ],
        [
            "with pytest.raises(ValueError, match='negative'): area(-1, 2)",
            "try:\n    area(-1, 2)\nexcept ValueError:\n    pass",
        ],
    ),
    "credit-float": (
        ["got / 6", "round(got)", "got == 6"],
        ["float(got == 6)", "np.testing.assert_allclose(got, 6)", "credit = got / 6", "not_imported('wave')"],
    ),
    "type-of": (["assert type(got) is int"], ["assert isinstance(got, int)"]),
    "magic": (["get_ipython().run_line_magic('matplotlib', 'inline')"], ["matplotlib.use('Agg')"]),
    "mock": (
        ["from unittest import mock", "import unittest.mock", "with patch('numpy.prod'): area(1, 2)"],
        ["from unittest import TestCase"],
    ),
    "class-in-check": (["class Square:\n    pass"], ["from types import SimpleNamespace"]),
    "expected-first": (
        ["x = np.ones(2)\ngot = area(x, 2)\nassert got == np.linalg.norm(x)"],
        [
            "x = np.ones(2)\nwant = np.linalg.norm(x)\ngot = area(x, 2)\nassert got == want",
            "x = np.ones(2)\ngot = area(x.copy(), 2)\nassert got == np.linalg.norm(x)",
            "x = np.ones(2)\narea(x, 2)\nassert x[0] == 0, 'changed in place'",
        ],
    ),
    "seed-first": (
        ["x = torch.randn(3)", "x = np.random.rand(3)", "x = torch.rand(2)\ntorch.manual_seed(0)"],
        ["torch.manual_seed(0)\nx = torch.randn(3)", "x = torch.rand(2, generator=made)", "x = random_color()"],
    ),
    "count-copy": (
        ["assert profile_model(area(1, 2), (3,)).macs == 6", "n = sum(p.numel() for p in area(1, 2).parameters())"],
        [
            "assert profile_model(trusted_copy(area(1, 2), x), (3,)).macs == 6",
            "m = nn.Linear(2, 2)\nn = sum(p.numel() for p in m.parameters())",
        ],
    ),
    "wrapped-network": (
        ["m = nn.Sequential(area(1, 2).eval(), nn.ReLU())", "layer = area(1, 2)\nm = nn.ModuleList([layer][0], layer)"],
        ["m = nn.Sequential(trusted_copy(area(1, 2), x), nn.ReLU())", "m = nn.Sequential(nn.ReLU())"],
    ),
    "derivative": (
        [
            "g = torch.func.vmap(area)(x)",
            "g = torch.autograd.grad(area(x, 1), x, create_graph=True)",
            "m = area(1, 2)\ng = torch.autograd.grad(loss, list(m.parameters()))",
        ],
        [
            "g = torch.func.vmap(trusted_copy(area, x))(x)",
            "g = torch.autograd.grad(area(x, 1), x)",
            "m = nn.Linear(1, 1)\ng = torch.autograd.grad(loss, m.parameters())",
        ],
    ),
    "hand-over": (
        ["m = nn.Sequential(nn.ReLU())\narea(m, 1)\nassert isinstance(m[0], nn.Identity)"],
        [
            "m = hand_over(nn.Sequential(nn.ReLU()))\narea(m, 1)\nassert isinstance(m[0], nn.Identity)",
            "m = nn.Sequential(nn.ReLU())\nm = area(m, 1)\nassert isinstance(m[0], nn.Identity)",
        ],
    ),
    "hidden-print": (["print(got)"], ["shown = str(got)", "display(got)\nshown = 1"]),
}


def in_hidden_tests(tmp_path: Path, code: str) -> list[str]:
    end = '### END HIDDEN TESTS\n\n# %%\nprint(f"{area(4, 5)}'
    return [finding.rule for finding in findings(tmp_path, (end, f"{code}\n{end}"))]


@pytest.mark.parametrize(("rule", "code"), [(rule, code) for rule, (bad, _) in CODE.items() for code in bad])
def test_code_that_a_rule_refuses(tmp_path, rule, code):
    assert rule in in_hidden_tests(tmp_path, code)


@pytest.mark.parametrize(("rule", "code"), [(rule, code) for rule, (_, good) in CODE.items() for code in good])
def test_code_that_a_rule_accepts(tmp_path, rule, code):
    assert rule not in in_hidden_tests(tmp_path, code)


def test_every_rule_on_code_is_tested():
    assert CODE.keys() == CHECK_RULES.keys()


def test_printing_in_the_visible_part_is_allowed(tmp_path):
    assert findings(tmp_path, ("got = area(2, 3)", "got = area(2, 3)\nprint(got)")) == []


# The rules for authors of tests, and the rules of the lint that find one broken.
AUTHORING = {
    "plain data, expected before the call": {"expected-first"},
    "shape and length first": {"shape-first", "strict-shapes", "zip-strict"},
    "assert what is right": {"if-raise", "lone-negation"},
    "a named exception": {"named-exception"},
    "own models and seeds, classes in locked cells": {"seed-first", "class-in-check"},
    "partial credit is a float": {"credit-float"},
    "counts of a trusted copy": {"count-copy", "wrapped-network", "derivative"},
    "no magics, no patches, no subclasses": {"magic", "mock", "class-in-check"},
}


@pytest.mark.parametrize("rule", AUTHORING)
def test_each_rule_for_authors_has_rules_of_the_lint(rule):
    assert AUTHORING[rule] <= CHECK_RULES.keys()
    assert all(CODE[name][0] for name in AUTHORING[rule])
