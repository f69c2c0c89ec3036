import pytest

from autograder.authoring.regions import HIDDEN_TESTS, SOLUTION, RegionError, find_regions, indented

CELL = """def f():
    a = 1
    ### BEGIN SOLUTION stub="Exercise 1: return \\"b\\""
    b = 2

    return b
    ### END SOLUTION
    ### BEGIN HIDDEN TESTS
    ### END HIDDEN TESTS
"""


def test_regions_carry_lines_stub_and_indent():
    solution, hidden = find_regions(CELL)
    assert (solution.label, hidden.label) == (SOLUTION, HIDDEN_TESTS)
    assert solution.stub == '"Exercise 1: return \\"b\\""'
    assert solution.text == "b = 2\n\nreturn b"
    assert hidden.lines == ()


def test_replaced_indents_like_the_mark():
    solution = find_regions(CELL)[0]
    lines = solution.replaced(CELL, "  if a:\n\n      return 3\n").split("\n")
    assert lines[:5] == ["def f():", "    a = 1", "    if a:", "", "        return 3"]
    assert lines[5] == "    ### BEGIN HIDDEN TESTS"


def test_indented_keeps_the_body_s_own_indentation():
    assert indented("\n    if x:\n        y\n", "  ") == ["  if x:", "      y"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\n### BEGIN SOLUTION", 1, "BEGIN SOLUTION without an END SOLUTION"),
        ("### END SOLUTION", 0, "END SOLUTION without a BEGIN SOLUTION"),
        ("### BEGIN SOLUTION\n### END HIDDEN TESTS", 1, "END HIDDEN TESTS without a BEGIN HIDDEN TESTS"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION", 1, "BEGIN SOLUTION inside the region of line 1"),
        ("# BEGIN SOLUTION", 0, "malformed mark '# BEGIN SOLUTION'"),
        ("### BEGIN SOLUTION stub='a'", 0, "malformed mark"),
        ('### BEGIN HIDDEN TESTS stub="a"\n### END HIDDEN TESTS', 0, "only a SOLUTION has a stub"),
    ],
)
def test_unbalanced_regions_name_the_line(text, line, message):
    with pytest.raises(RegionError, match=message) as caught:
        find_regions(text)
    assert caught.value.line == line
