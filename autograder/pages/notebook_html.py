"""A notebook as HTML that may be shown although a student's code has made its outputs."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Mapping
from html import escape

from nbformat.notebooknode import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from autograder.pages.clean_html import clean_html, safe_markdown
from autograder.pages.student_view import plain

__all__ = ["CODE_STYLE", "NotebookHtml", "highlighted"]

_MOST_CODE = 50_000
_MOST_TEXT = 20_000
_MOST_PICTURES = 8_000_000  # bytes on one page
_PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_RULES = HtmlFormatter(style="vs").get_style_defs(".code").replace("#2B91AF", "#1b6f88")  # dark enough to be read
CODE_STYLE = "\n".join(line for line in _RULES.split("\n") if line.startswith(".code ."))
"""How code is colored."""


class NotebookHtml:
    """Turns notebooks into HTML.

    Parameters
    ----------
    pictures : mapping, optional
        The lab's pictures as data addresses, by the path under which a text names them.
    """

    def __init__(self, pictures: Mapping[str, str] | None = None) -> None:
        self._pictures = pictures or {}
        self._left = _MOST_PICTURES

    def render(self, notebook: NotebookNode, tests: Mapping[str, tuple[str, str]]) -> str:
        """The cells of a notebook, in order.

        Parameters
        ----------
        notebook : NotebookNode
            As its author may see it.
        tests : mapping
            HTML to stand before and after each graded cell, by grade_id.
        """
        return "\n".join(self._cell(cell, tests) for cell in notebook.cells)

    def _cell(self, cell: NotebookNode, tests: Mapping[str, tuple[str, str]]) -> str:
        nbgrader = cell.metadata.get("nbgrader", {})
        answer = nbgrader.get("solution", False) or cell.id.startswith("student-")
        graded = nbgrader.get("grade") or nbgrader.get("task")
        before, after = tests.get(nbgrader.get("grade_id"), ("", "")) if graded else ("", "")
        if cell.cell_type == "code":
            outputs = "".join(self._output(output) for output in cell.outputs)
            source = highlighted(cell.source)
            if before and not answer:
                source = f"<details><summary>The test</summary>{source}</details>"
            inside = source + outputs
        elif cell.cell_type == "markdown":
            inside = self._markdown(cell.source, answer)
        else:
            inside = f"<pre>{escape(cell.source[:_MOST_TEXT])}</pre>"
        kind = "cell answer" if answer else "cell"
        shown = f'<div class="{kind}">{inside}</div>' if inside.strip() else ""
        return before + shown + after

    def _markdown(self, source: str, answer: bool) -> str:
        text = safe_markdown(source, self._pictures) if answer else _of_the_lab(source, tuple(self._pictures.items()))
        return re.sub(r"(</?h)([1-5])\b", lambda match: f"{match[1]}{int(match[2]) + 1}", text)  # below the page's own

    def _output(self, output: NotebookNode) -> str:
        if output.output_type == "stream":
            inside = _text(output.text)
        elif output.output_type == "error":
            text = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
            inside = f"<details><summary>{escape(plain(output.ename)[:80])}</summary>{_text(text)}</details>"
        else:
            inside = self._data(output.data)
        return f'<div class="output scroll">{inside}</div>' if inside else ""

    def _data(self, data: Mapping[str, str]) -> str:
        """The richest form of an output that can be shown without a risk."""
        if "text/html" in data:
            return clean_html(data["text/html"])
        if "text/markdown" in data or "text/latex" in data:
            return safe_markdown(data.get("text/markdown", data.get("text/latex", "")))
        for kind in _PICTURES:
            if kind in data and (picture := self._picture(kind, data[kind])):
                return picture
        return _text(data.get("text/plain", ""))

    def _picture(self, kind: str, text: str) -> str:
        try:
            content = base64.b64decode(text, validate=False)
        except (binascii.Error, ValueError, TypeError):
            return ""
        if not content.startswith(_PICTURES[kind]) or len(content) > self._left:
            return ""
        self._left -= len(content)
        address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        return f'<img alt="A figure that the cell above has drawn" src="{address}">'


def highlighted(source: str) -> str:
    """Python code, colored; very long code without colors.

    Examples
    --------
    >>> highlighted("<x>").strip()
    '<pre class="code"><span class="o">&lt;</span><span class="n">x</span><span class="o">&gt;</span></pre>'
    """
    if len(source) > _MOST_CODE:
        return f"<pre>{escape(source[:_MOST_CODE])}\n... the rest is left out ...</pre>"
    spans = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).rstrip("\n")
    return f'<pre class="code">{spans}</pre>' if source.strip() else ""


@functools.lru_cache(maxsize=512)
def _of_the_lab(source: str, pictures: tuple[tuple[str, str], ...]) -> str:
    """A text of the lab's own, which stands on every student's page."""
    return safe_markdown(source, dict(pictures))


def _text(text: str) -> str:
    shown = plain(text[: 2 * _MOST_TEXT])
    cut = len(text) > 2 * _MOST_TEXT or len(shown) > _MOST_TEXT
    shown = shown[:_MOST_TEXT] + ("\n... the rest is left out ..." if cut else "")
    return f"<pre>{escape(shown)}</pre>" if shown.strip() else ""
