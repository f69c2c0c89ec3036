"""Sphinx extension that offers each executed page as a Jupyter notebook, made from its text when the site is built.

Pages are Markdown, which JupyterLab opens as text. The notebook has the same cells without outputs; what only Sphinx
understands in its text, such as citations and labels of equations, is put in plain words.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
from sphinx.application import Sphinx

__all__ = ["as_notebook", "setup"]

FIRST = 400  # before the theme makes its buttons
ROLE_WITH_TEXT = re.compile(r"\{[a-z:]+\}`([^`<]+?)\s*<[^>`]+>`")
ROLE = re.compile(r"\{([a-z:]+)\}`([^`]+)`")
EQUATION_LABEL = re.compile(r"^(\$\$) \(([\w-]+)\)$", flags=re.MULTILINE)
FENCE = re.compile(r"^:{3,}.*$\n?", flags=re.MULTILINE)
DIRECTIVE = re.compile(r"^```\{([a-z-]+)\}.*\n(?::.*\n)*\n?((?:(?!```).*\n)*?)```$", flags=re.MULTILINE)
HEADINGS = {"exercise": "**Exercise.** ", "solution": "**Solution.** ", "solution-start": "**Solution.**"}
PREFIXES = re.compile(r"^(eq|fig|tab|sec)-")
WORDS = {"eq": "equation ", "numref": "the figure on ", "cite:t": "", "cite:p": ""}


def as_notebook(text: str) -> Any:
    """A page as a notebook.

    Parameters
    ----------
    text : str
        MyST Markdown with jupytext's front matter.

    Examples
    --------
    >>> page = "---\\nkernelspec: {name: python3, display_name: Python 3}\\n---\\n\\n# A {cite:p}`tai2016`\\n"
    >>> as_notebook(page).cells[0].source
    '# A [tai2016]'
    """
    notebook = jupytext.reads(text, fmt="md:myst")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _plain(cell.source)
    notebook.metadata.pop("jupytext", None)
    return notebook


def _plain(source: str) -> str:
    source = EQUATION_LABEL.sub(r"\1", source)
    source = ROLE_WITH_TEXT.sub(r"\1", source)
    source = ROLE.sub(_in_words, source)
    return DIRECTIVE.sub(_headed, FENCE.sub("", f"{source}\n")).strip()


def _headed(directive: re.Match[str]) -> str:
    name, content = directive.groups()
    return HEADINGS.get(name, "") + content.strip()


def _in_words(role: re.Match[str]) -> str:
    name, target = role.groups()
    if name.startswith("cite"):
        return f"[{target}]"
    if name in ("eq", "numref"):
        return WORDS[name] + PREFIXES.sub("", target).replace("-", " ")
    return target


def _offer(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Write the notebook beside the source of its page and let the theme link it."""
    source = Path(app.srcdir) / f"{pagename}.md"
    if context.get("page_source_suffix") != ".md" or not source.is_file():
        return
    text = source.read_text(encoding="utf-8")
    if not text.startswith("---") or "jupytext:" not in text.split("---")[1]:
        return
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(as_notebook(text), target, fmt="ipynb")
    context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", _offer, priority=FIRST)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
