"""Sphinx extension that describes each page to those who link it, and lists the pages for search engines.

Every page gets a description and a title. An image for previews and ``sitemap.xml`` need the address of the site: both
are written once ``html_baseurl`` is set in ``book/_config.yml`` (``sphinx: config: html_baseurl: https://...``). A
sitemap with relative addresses is none by its standard, and a relative image is not shown by any service, so without
an address there is no sitemap, and the image's address is the way to it in the site.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["describe", "setup", "sitemap"]

IMAGE = "_static/preview.png"
IMAGE_TEXT = "factorkit: a dense square of weights becomes two thin factors"
LONGEST = 200  # characters of a description: services show no more


def describe(doctree: nodes.document | None) -> str:
    """The first paragraph that stands in the text of a page, shortened at a word."""
    if doctree is None:
        return ""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and len(text) >= 40:
            return text if len(text) <= LONGEST else f"{text[: LONGEST - 2].rsplit(' ', 1)[0]} …"
    return ""


def sitemap(address: str, pages: list[str]) -> str:
    """The sitemap of the pages.

    Examples
    --------
    >>> print(sitemap("https://example.org/course/", ["book/index.html"]))
    <?xml version="1.0" encoding="UTF-8"?>
    <urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
    <url><loc>https://example.org/course/book/index.html</loc></url>
    </urlset>
    <BLANKLINE>
    """
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    lines = [f"<url><loc>{escape(_absolute(address, page))}</loc></url>\n" for page in pages]
    return f"{head}{''.join(lines)}</urlset>\n"


def _absolute(address: str, path: str) -> str:
    return urljoin(f"{address.rstrip('/')}/", quote(path))


def _add_properties(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    address = app.config.html_baseurl
    place = _absolute(address, IMAGE) if address else context["pathto"](IMAGE, resource=True)
    properties = {
        "og:title": _plain(context.get("title") or app.config.project),
        "og:type": "article",
        "og:site_name": app.config.project,
        "og:description": describe(doctree) or IMAGE_TEXT,
        "og:image": place,
        "og:image:alt": IMAGE_TEXT,
    }
    if address:
        properties["og:url"] = _absolute(address, f"{pagename}.html")
    tags = [f'<meta property="{name}" content="{escape(text)}" />' for name, text in properties.items()]
    tags.append(f'<meta name="description" content="{escape(properties["og:description"])}" />')
    context["metatags"] = context.get("metatags", "") + "\n    ".join(["", *tags])


def _plain(markup: str) -> str:
    """The words of a title that is given as HTML."""
    return " ".join(BeautifulSoup(markup, "html.parser").get_text().split())


def _write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    path = Path(app.outdir) / "sitemap.xml"
    path.unlink(missing_ok=True)
    if exception is None and app.config.html_baseurl:
        pages = sorted(f"{name}.html" for name in app.env.found_docs)
        path.write_text(sitemap(app.config.html_baseurl, pages), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", _add_properties)
    app.connect("build-finished", _write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
