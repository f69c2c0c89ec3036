"""Submissions that resemble each other more than the rest of the class does.

Answers are compared as sequences of tokens: without names, numbers' values, comments, texts and layout, so that
renaming and reformatting change nothing. Of each answer all short runs of tokens are taken; what the lab itself has
given, and what much of the class has written, says nothing and is left out. The rest is compared pair by pair. That two
answers are alike is no proof of anything: short exercises have few right answers, and people learn together.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from zlib import crc32

__all__ = ["SimilarPair", "code_tokens", "similar_pairs"]

RUN = 8  # tokens: shorter runs are common in any two programs
_LEFT_OUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING, tokenize.ENDMARKER)


@dataclass(frozen=True)
class SimilarPair:
    """Two students' answers that are alike.

    Attributes
    ----------
    first, second : str
        The students, in alphabetical order.
    similarity : float
        The share of the smaller one's telling runs of tokens that the other one has too, from 0 to 1.
    shared : int
        How many runs that are.
    cells : tuple of str
        The answer cells that have some of them, those with most first.
    """

    first: str
    second: str
    similarity: float
    shared: int
    cells: tuple[str, ...]


def code_tokens(source: str) -> list[str]:
    """The tokens of a piece of Python that renaming, comments and layout do not change.

    Code that cannot be read is taken as far as it can.

    Examples
    --------
    >>> code_tokens("def f(x):  # twice\\n    return 2 * x") == code_tokens("def twice(n):\\n\\treturn  3*n")
    True
    """
    tokens: list[str] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in _LEFT_OUT or (token.type == tokenize.STRING and _stands_alone(token)):
                continue
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                tokens.append("name")
            elif token.type in (tokenize.NUMBER, tokenize.STRING):
                tokens.append("value")
            else:
                tokens.append(tokenize.tok_name[token.type] if not token.string.strip() else token.string)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return tokens


def similar_pairs(
    answers: Mapping[str, Mapping[str, str]],
    given: Mapping[str, str] | None = None,
    *,
    prose: Collection[str] = (),
    least: float = 0.6,
    least_shared: int = 20,
    most: int = 50,
) -> list[SimilarPair]:
    """Find the pairs of students whose answers are alike.

    Parameters
    ----------
    answers : mapping
        For each student the text of each answer cell.
    given : mapping, optional
        What students got in these cells.
    prose : collection of str
        The cells that hold text: their words are compared.
    least : float
        The similarity from which a pair is listed.
    least_shared : int
        How many runs of tokens two students must share: below that, chance is likely.
    most : int
        How many pairs are listed.

    Returns
    -------
    list of SimilarPair
        The most similar first.
    """
    stubs = {cell: set(_runs(text, cell in prose)) for cell, text in (given or {}).items()}
    runs = {
        student: {
            (cell, run)
            for cell, text in cells.items()
            for run in _runs(text, cell in prose)
            if run not in stubs.get(cell, ())
        }
        for student, cells in answers.items()
    }
    usual = _usual(runs.values())
    telling = {student: found - usual for student, found in runs.items()}
    owners: dict[tuple[str, int], list[str]] = {}
    for student in sorted(telling):
        for run in telling[student]:
            owners.setdefault(run, []).append(student)
    shared: Counter[tuple[str, str]] = Counter()
    for students in owners.values():
        shared.update((first, second) for place, first in enumerate(students) for second in students[place + 1 :])
    pairs = []
    for (first, second), count in shared.items():
        similarity = count / min(len(telling[first]), len(telling[second]))
        if count >= least_shared and similarity >= least:
            cells = Counter(cell for cell, _ in telling[first] & telling[second])
            pairs.append(
                SimilarPair(first, second, round(similarity, 3), count, tuple(c for c, _ in cells.most_common()))
            )
    pairs.sort(key=lambda pair: (-pair.similarity, -pair.shared, pair.first, pair.second))
    return pairs[:most]


def _usual(runs: Iterable[set[tuple[str, int]]]) -> set[tuple[str, int]]:
    """The runs that so many have that they tell nothing: a fifth of the class, but at least four and at most forty."""
    runs = list(runs)
    counts = Counter(run for found in runs for run in found)
    limit = max(4, min(len(runs) / 5, 40))
    return {run for run, count in counts.items() if count >= limit}


def _runs(source: str, is_prose: bool) -> list[int]:
    """A number for each run of tokens or words."""
    tokens = re.findall(r"\w+", source.casefold()) if is_prose else code_tokens(source)
    numbers = [crc32(token.encode("utf-8", "replace")) for token in tokens]
    return [hash(run) for run in zip(*(numbers[start:] for start in range(RUN)), strict=False)]


def _stands_alone(token: tokenize.TokenInfo) -> bool:
    """Whether a text is a docstring: all that its line holds."""
    return token.line.strip() == token.string.strip() or token.string[-3:] in ('"""', "'''")
