"""Sphinx extension that mends what would mislead a screen reader in the pages that Sphinx and the notebooks write.

An empty cell among the heads of a table would be announced as a head without a name: it becomes an ordinary cell. The
entries of the bibliography get the role that the items of their list must have.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

__all__ = ["mend", "setup"]

EMPTY_HEAD = re.compile(r"<th\b([^>]*)>(?:<p></p>|\s|&nbsp;)*</th>")


def mend(html: str) -> str:
    """The content of a page without these barriers.

    Examples
    --------
    >>> mend('<tr><th></th><th class="blank level0">&nbsp;</th><th>rank</th></tr>')
    '<tr><td></td><td class="blank level0"></td><th>rank</th></tr>'
    >>> mend('<div class="citation" id="id2" role="doc-biblioentry">')
    '<div class="citation" id="id2" role="listitem">'
    """
    return EMPTY_HEAD.sub(r"<td\1></td>", html).replace('role="doc-biblioentry"', 'role="listitem"')


def _mend_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = mend(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", _mend_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
