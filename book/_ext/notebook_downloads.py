"""Sphinx extension that offers each executed page as a Jupyter notebook, and opens it in Colab and on Binder.

The notebook is made from the page's text when the site is built. The theme's buttons for Colab and Binder, which it
shows once ``launch_buttons`` and ``repository_url`` are set, name the page's Markdown file, which neither of the two
opens: they are led to the notebook, which has the same place in the students' kit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jupytext
from sphinx.application import Sphinx

from autograder.authoring.chapters import as_notebook, is_executed

__all__ = ["setup"]

BEFORE_THE_THEME, AFTER_THE_THEME = 400, 900  # it makes its buttons at 501


def _notebook(app: Sphinx, pagename: str, context: dict[str, Any]) -> tuple[Path, str] | None:
    """Where the notebook of a page is written, and the page's text; None if the page is not executed."""
    source = Path(app.srcdir) / f"{pagename}.md"
    if context.get("page_source_suffix") != ".md" or not source.is_file():
        return None
    text = source.read_text(encoding="utf-8")
    return (Path(app.outdir) / "_sources" / f"{pagename}.ipynb", text) if is_executed(text) else None


def _announce(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the theme link the notebook."""
    if _notebook(app, pagename, context):
        context["ipynb_source"] = f"{pagename}.ipynb"


def _offer(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Write the notebook beside the source of its page, over the theme's copy, and lead the launch buttons to it."""
    if not (made := _notebook(app, pagename, context)):
        return
    target, text = made
    target.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(as_notebook(text), target, fmt="ipynb")
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                if "url" in button:
                    button["url"] = button["url"].replace(f"{pagename}.md", f"{pagename}.ipynb")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", _announce, priority=BEFORE_THE_THEME)
    app.connect("html-page-context", _offer, priority=AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
