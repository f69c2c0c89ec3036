"""Near-identical submissions: renaming and reformatting hide nothing, and what everybody writes does not count."""

from __future__ import annotations

import random

import pytest

from autograder.similarity import code_tokens, similar_pairs

ORIGINAL = '''
def smallest(values, limit):
    """The smallest one above the limit."""
    best = None
    for value in values:
        if value <= limit:
            continue
        if best is None or value < best:
            best = value
    if best is None:
        raise ValueError(f"none above {limit}")
    return best
'''
RENAMED = """
def smallest(numbers, bound):   # my own work
  answer=None
  for n in numbers :
      if n<=bound: continue
      if answer is None or n<answer :
          answer   =  n
  if answer is None:
      raise ValueError('nothing is larger than ' + '0')
  return answer
"""
STUB = '''
def smallest(values, limit):
    """The smallest one above the limit."""
    raise NotImplementedError("Exercise 1: return a number")
'''


def program(seed):
    """A function that nobody else writes."""
    chance = random.Random(seed)
    lines = ["def smallest(values, limit):", "    a, b, c = 0, [], {}"]
    for _ in range(14):
        left, right = (
            chance.choice("abc"),
            chance.choice(["a + 1", "len(b)", "[x for x in values]", "c.get(1, 2)", "-a"]),
        )
        line = chance.choice(
            ["{} = {}", "if {}: b.append({})", "while {} > {}: break", "print({}, {})", "c[{}] = [{}]"]
        )
        lines.append("    " + line.format(left, right))
    return "\n".join([*lines, "    return a"])


def test_renaming_comments_and_layout_change_nothing():
    assert code_tokens("x = f(a)  # so\n\n\ny = 1") == code_tokens("value   = g( b )\nother = 22222")


def test_code_that_is_none_is_taken_as_far_as_it_goes():
    assert code_tokens("x = (1,\n'") and code_tokens("\x00") is not None


def test_a_copy_under_other_names_is_found():
    answers = {f"student-{n:03d}": {"smallest": program(n)} for n in range(20)}
    answers["student-007"] = {"smallest": ORIGINAL}
    answers["student-013"] = {"smallest": RENAMED}
    [pair] = similar_pairs(answers, {"smallest": STUB})
    assert (pair.first, pair.second, pair.cells) == ("student-007", "student-013", ("smallest",))
    assert pair.similarity > 0.6


def test_what_most_of_the_class_writes_is_no_resemblance():
    answers = {f"student-{n:03d}": {"smallest": ORIGINAL} for n in range(20)}
    assert similar_pairs(answers) == []


def test_what_the_lab_has_given_is_no_resemblance():
    answers = {name: {"smallest": ORIGINAL, "other": program(n)} for n, name in enumerate(["ada", "bob"])}
    assert similar_pairs(answers, {"smallest": ORIGINAL}) == []
    assert len(similar_pairs(answers, least=0.3)) == 1


def test_short_answers_are_alike_by_chance_and_not_listed():
    answers = {name: {"twice": "def twice(x):\n    return x + x"} for name in ("ada", "bob")}
    assert similar_pairs(answers) == []


@pytest.mark.parametrize("text", ["", "'" * 999, "(" * 999, "def f(:\n\t\n  x\n y", "\ud800"])
def test_no_answer_breaks_the_comparison(text):
    assert similar_pairs({"ada": {"a": text}, "bob": {"a": text}}) == []


def test_a_large_class_is_compared_in_seconds():
    answers = {f"student-{n:04d}": {f"cell-{k}": program(10 * n + k) for k in range(6)} for n in range(300)}
    answers["student-0250"] = dict(answers["student-0123"])
    pairs = similar_pairs(answers)
    assert (pairs[0].first, pairs[0].second, pairs[0].similarity) == ("student-0123", "student-0250", 1.0)
    assert len(pairs) < 10
