"""TeX formulas as MathML, which browsers draw and read aloud without a script.

It knows what lab texts use. A formula with anything else stays as its author has typed it: nothing is guessed, and no
text is passed on as markup.
"""

from __future__ import annotations

import re
from html import escape

from autograder.pages.tex_symbols import ACCENTS, FUNCTIONS, LARGE, SPACES, SYMBOLS, styled

__all__ = ["mathml"]

_MOST = 5_000
_DEEPEST = 40
_TOKENS = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
_MATRICES = {"matrix": "", "pmatrix": "()", "bmatrix": "[]", "vmatrix": "||", "Vmatrix": "‖‖", "Bmatrix": "{}"}
_ALIGNED = ("aligned", "align", "align*", "split", "gathered", "gather", "gather*", "equation", "equation*", "cases")
_TEXTS = ("text", "textrm", "mathrm", "operatorname", "textbf", "textit", "mbox")
_FONTS = {"mathbf": "bold", "boldsymbol": "bold", "bm": "bold", "mathbb": "double", "mathcal": "script"}
_FONTS |= {"mathtt": "typewriter", "texttt": "typewriter", "mathsf": "sans", "mathit": "", "mathscr": "script"}
_IGNORED = ("displaystyle", "textstyle", "limits", "nolimits", "nonumber", "hline", "notag")
_SIGNS = {"-": "−", "*": "∗"}
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lrm]?|middle)$")


class _Unknown(Exception):
    """The formula holds something that is not known here."""


def mathml(tex: str, *, display: bool = False) -> str:
    r"""A formula as MathML, or as a piece of code if it cannot be drawn.

    Parameters
    ----------
    tex : str
        The formula without its dollar signs.
    display : bool
        Whether it stands in a paragraph of its own.

    Examples
    --------
    >>> mathml("a_1").replace("<semantics>", "").split("<annotation")[0]
    '<math><mrow><msub><mi>a</mi><mn>1</mn></msub></mrow>'
    >>> mathml(r"\href{javascript:f()}{x}")
    '<code>\\href{javascript:f()}{x}</code>'
    """
    tex = tex.strip()
    try:
        if len(tex) > _MOST:
            raise _Unknown
        drawn = _Parser(_TOKENS.findall(tex), display).formula()
    except _Unknown:
        return f"<code>{escape(tex)}</code>"
    source = f'<annotation encoding="application/x-tex">{escape(tex)}</annotation>'
    block = ' display="block"' if display else ""
    return f"<math{block}><semantics>{drawn}{source}</semantics></math>"


class _Parser:
    """Reads tokens from left to right; each method returns MathML."""

    def __init__(self, tokens: list[str], display: bool) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._display = display

    def formula(self) -> str:
        drawn = self._row(())
        if self._place < len(self._tokens):
            raise _Unknown
        return drawn

    def _peek(self) -> str:
        while self._place < len(self._tokens) and self._tokens[self._place].isspace():
            self._place += 1
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._place += 1
        return token

    def _row(self, stops: tuple[str, ...]) -> str:
        """Everything until one of `stops`, which is left, or the end."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unknown
        parts = []
        while (token := self._peek()) and token not in stops:
            parts.append(self._scripted())
        self._depth -= 1
        return f"<mrow>{''.join(parts)}</mrow>"

    def _scripted(self) -> str:
        """An atom with what stands above and below it."""
        token = self._peek()
        base = "<mrow></mrow>" if token in "^_" else self._atom()
        below = above = ""
        while (mark := self._peek()) in ("^", "_", "'", r"\limits", r"\nolimits") and mark:
            self._place += 1
            if mark == "'":
                above += "<mo>′</mo>"
            elif mark == "_" and not below:
                below = self._argument()
            elif mark == "^":
                above += self._argument()
            elif mark == "_":
                raise _Unknown
        if not below and not above:
            return base
        above = f"<mrow>{above}</mrow>" if above.count("<mo>′") else above
        braced = token in (r"\underbrace", r"\overbrace")
        stacked = braced or (self._display and token.lstrip("\\") in LARGE)
        tags = ("munder", "mover", "munderover") if stacked else ("msub", "msup", "msubsup")
        tag = tags[2] if below and above else tags[0] if below else tags[1]
        return f"<{tag}>{base}{below}{above}</{tag}>"

    def _atom(self) -> str:
        token = self._next()
        if not token or token in ("}", "&", "^", "_", r"\\", r"\end"):
            raise _Unknown
        if token == "{":
            return self._until("}")
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token == "~":
            return '<mspace width="0.33em"/>'
        if not token.startswith("\\"):
            return (
                f"<mi>{token}</mi>" if token.isalpha() else f"<mo>{escape({'-': '−', '*': '∗'}.get(token, token))}</mo>"
            )
        return self._command(token[1:])

    def _argument(self) -> str:
        """What a command or a script takes without braces: of a number, the first digit alone."""
        token = self._peek()
        if len(token) > 1 and token[0].isdigit():
            self._tokens[self._place : self._place + 1] = [token[0], token[1:]]
        return self._atom()

    def _until(self, stop: str) -> str:
        drawn = self._row((stop,))
        if self._next() != stop:
            raise _Unknown
        return drawn

    def _command(self, name: str) -> str:
        if name in SYMBOLS:
            tag = "mi" if SYMBOLS[name].isalpha() else "mo"
            return f"<{tag}>{escape(SYMBOLS[name])}</{tag}>"
        if name in FUNCTIONS:
            return f"<mi>{name}</mi>"
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"/>'
        if name in _IGNORED:
            return ""
        if _SIZES.match("\\" + name):
            return self._delimiter(stretchy=name in ("left", "right", "middle"))
        if name in ("frac", "dfrac", "tfrac"):
            return f"<mfrac>{self._argument()}{self._argument()}</mfrac>"
        if name == "binom":
            parts = self._argument() + self._argument()
            return f'<mrow><mo>(</mo><mfrac linethickness="0">{parts}</mfrac><mo>)</mo></mrow>'
        if name == "sqrt":
            return self._root()
        if name in _TEXTS:
            return f"<mtext>{escape(self._raw())}</mtext>"
        if name in _FONTS:
            return f"<mi>{escape(styled(self._raw(), _FONTS[name]))}</mi>"
        if name in ACCENTS:
            return f'<mover accent="true">{self._atom()}<mo>{ACCENTS[name]}</mo></mover>'
        if name in ("underline", "underbrace"):
            return f"<munder>{self._atom()}<mo>{'_' if name == 'underline' else '⏟'}</mo></munder>"
        if name == "overbrace":
            return f"<mover>{self._atom()}<mo>⏞</mo></mover>"
        if name == "begin":
            return self._environment()
        raise _Unknown

    def _delimiter(self, *, stretchy: bool) -> str:
        token = self._next()
        sign = "" if token == "." else SYMBOLS.get(token[1:], "") if token.startswith("\\") else token
        if len(sign) > 1 or (not sign and token != "."):
            raise _Unknown
        return f'<mo stretchy="{"true" if stretchy else "false"}">{escape(sign)}</mo>'

    def _root(self) -> str:
        if self._peek() != "[":
            return f"<msqrt>{self._atom()}</msqrt>"
        self._place += 1
        index = self._until("]")
        return f"<mroot>{self._atom()}{index}</mroot>"

    def _raw(self) -> str:
        """The text in braces as it stands."""
        if self._next() != "{":
            return self._tokens[self._place - 1]
        start, depth = self._place, 1
        while depth and self._place < len(self._tokens):
            depth += {"{": 1, "}": -1}.get(self._tokens[self._place], 0)
            self._place += 1
        text = "".join(self._tokens[start : self._place - 1])
        if depth or "\\" in text.replace("\\_", "").replace("\\ ", ""):
            raise _Unknown
        return text.replace("\\_", "_").replace("\\ ", " ").replace("~", " ")

    def _environment(self) -> str:
        name = self._raw()
        if name == "array":
            self._raw()
        elif name not in _MATRICES and name not in _ALIGNED:
            raise _Unknown
        rows: list[list[str]] = [[]]
        while True:
            rows[-1].append(self._row(("&", r"\\", r"\end")))
            stop = self._next()
            if stop == r"\\":
                rows.append([])
            elif stop == r"\end" and self._raw() == name:
                break
            elif stop != "&":
                raise _Unknown
        if rows[-1] == ["<mrow></mrow>"] and len(rows) > 1:
            rows.pop()
        cells = ("".join(f"<mtd>{cell}</mtd>" for cell in row) for row in rows)
        table = f"<mtable>{''.join(f'<mtr>{row}</mtr>' for row in cells)}</mtable>"
        before, after = {"cases": ("{", "")}.get(name) or _MATRICES.get(name) or ("", "")
        return f"<mrow>{_fence(before)}{table}{_fence(after)}</mrow>"


def _fence(sign: str) -> str:
    return f'<mo fence="true" stretchy="true">{sign}</mo>' if sign else ""
