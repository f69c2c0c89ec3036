"""HTML that may be shown in a browser although a student's code or text has made it."""

from __future__ import annotations

import re

import bleach
from nbconvert.filters import markdown2html

__all__ = ["clean_html", "safe_markdown"]

_TAGS = set(bleach.ALLOWED_TAGS) | {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "section", "span", "br", "hr", "details", "summary"),
    *("table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td", "dl", "dt", "dd"),
    *("del", "ins", "kbd", "mark", "pre", "q", "s", "samp", "small", "sub", "sup", "u", "figure", "figcaption", "img"),
}
_ATTRIBUTES = {
    "*": ["class", "id", "title"],
    "a": ["href"],
    "img": ["src", "alt", "width", "height"],
    "td": ["colspan", "rowspan", "align"],
    "th": ["colspan", "rowspan", "align", "scope"],
}
_WITH_CONTENT = re.compile(r"<(script|style|iframe|object|svg|template)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)


def clean_html(text: str) -> str:
    """Keep the tags of text, tables, links and images; nothing that runs, is styled or loads by itself.

    Examples
    --------
    >>> clean_html('<b onclick="f()">1</b><script>f()</script><a href="javascript:f()">2</a>')
    '<b>1</b><a>2</a>'
    """
    return bleach.clean(_WITH_CONTENT.sub("", text), tags=_TAGS, attributes=_ATTRIBUTES, strip=True)


def safe_markdown(source: str) -> str:
    """Markdown as clean HTML.

    Examples
    --------
    >>> safe_markdown("*now* <script>f()</script>").strip()
    '<p><em>now</em> </p>'
    """
    return clean_html(markdown2html(source))
