"""Sphinx extension that has the page of each lab name the chapters that lead to it.

A chapter links its lab. The lab's notebook must work alone, where no chapter is beside it, so the way back is added to
the page only, from the links of the chapters.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx

__all__ = ["chapters_of", "setup"]

LAB = re.compile(r"\.\./\.\./(labs/[\w/]+)\.ipynb")


@cache
def chapters_of(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """The chapters that link each lab, as pairs of name and title, in the order of the table of contents.

    Parameters
    ----------
    folder : Path
        The book.
    """
    order = re.findall(r"file: book/chapters/(\w+)", (folder / "_toc.yml").read_text(encoding="utf-8"))
    found: dict[str, list[tuple[str, str]]] = {}
    for name in order:
        text = (folder / "chapters" / f"{name}.md").read_text(encoding="utf-8")
        title = re.search(r"^# (.+)$", text, flags=re.MULTILINE)[1]
        for lab in sorted(set(LAB.findall(text))):
            found.setdefault(lab, []).append((name, title))
    return found


def _lead_back(app: Sphinx, name: str, source: list[str]) -> None:
    chapters = chapters_of(Path(app.srcdir) / "book").get(name)
    if not chapters:
        return
    notebook = json.loads(source[0])
    links = ", ".join(f"[{title}](../../book/chapters/{chapter}.md)" for chapter, title in chapters)
    cell = {"cell_type": "markdown", "id": "chapters", "metadata": {}, "source": f"*The chapters behind it:* {links}."}
    notebook["cells"].insert(1, cell)
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", _lead_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
