"""A cell that the grader has compiled runs as one that is compiled where it runs, and says the same."""

import traceback
import warnings

import pytest

from autograder.two_process.compiled import TYPE_OF, compile_cell, compiled, read_compiled

NAME = "<cell 3: check>"


def test_a_compiled_cell_comes_back_with_its_value_and_its_lines():
    source = "x = 3\ny = type(x)\nx / zero"
    text = compiled(source, NAME)
    assert text is not None and compiled(source, NAME) is text
    body, last, is_shown = read_compiled(text, source, NAME)
    assert (body, last, is_shown) == compile_cell(source, NAME)
    names = {TYPE_OF: lambda value: "a handle", "zero": 0}
    exec(body, names)
    assert names["y"] == "a handle"
    with pytest.raises(ZeroDivisionError) as caught:
        eval(last, names)
    assert [(frame.filename, frame.lineno) for frame in traceback.extract_tb(caught.tb)[1:]] == [(NAME, 3)]


def test_what_does_not_compile_is_left_for_the_checking_process_to_say():
    assert compiled("1 +", NAME) is None
    with pytest.raises(SyntaxError):
        read_compiled(None, "1 +", NAME)


def test_what_warnings_do_is_left_alone():
    before = warnings.filters[:]
    with pytest.warns(SyntaxWarning):
        assert compiled("x = 1\nx is 1", NAME) is not None
    assert warnings.filters == before
