"""Sphinx extension that leaves no empty cell among the heads of a table: a screen reader would announce a nameless one.

pandas heads the columns of its row names with an empty ``<th>``; here it becomes an ordinary cell.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

__all__ = ["setup", "without_empty_heads"]

EMPTY = re.compile(r"<th\b([^>]*)>(\s|&nbsp;)*</th>")


def without_empty_heads(html: str) -> str:
    """HTML whose empty table heads are ordinary cells.

    Examples
    --------
    >>> without_empty_heads('<tr><th></th><th class="blank level0">&nbsp;</th><th>rank</th></tr>')
    '<tr><td></td><td class="blank level0"></td><th>rank</th></tr>'
    """
    return EMPTY.sub(r"<td\1></td>", html)


class EmptyHeads(SphinxPostTransform):
    """Replace them in what the cells put out."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for node in self.document.findall(nodes.raw):
            if node.get("format") == "html" and "<th" in node.astext():
                node.children = [nodes.Text(without_empty_heads(node.astext()))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_post_transform(EmptyHeads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
