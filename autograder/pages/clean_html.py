"""HTML that may be shown in a browser although a student's code or text has made it."""

from __future__ import annotations

import functools
import html
import re
import secrets
from collections.abc import Mapping

from bleach.sanitizer import Cleaner
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from autograder.pages.tex_math import mathml

__all__ = ["clean_html", "safe_markdown"]

_TAGS = frozenset(
    word
    for line in (
        "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5",
        "h6 hr i img ins kbd li mark ol p pre q s samp section small span strong sub summary sup table tbody td",
        "tfoot th thead tr u ul",
    )
    for word in line.split()
)
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+", re.IGNORECASE)
_PLACES = ("title", "colspan", "rowspan", "align", "scope", "start", "alt", "width", "height")
_WITH_CONTENT = re.compile(
    r"<(script|style|iframe|object|svg|math|template|noscript|textarea|title|xmp)\b", re.IGNORECASE
)
_MOST = 200_000
_MOST_TAGS = 3_000  # more of them, one inside the other, take seconds to parse
_TAG = re.compile("<[A-Za-z]")


def clean_html(text: str) -> str:
    """Keep the tags of text, tables, links and pictures; nothing that runs, is styled or loads by itself.

    Pictures stay if their content stands in the text; others are replaced by their description. What is too long to be
    examined is shown as plain text.

    Examples
    --------
    >>> clean_html('<b onclick="f()">1</b><script>f()</script><a href="javascript:f()">2</a>')
    '<b>1</b><a>2</a>'
    """
    if _too_much(text):
        return f"<pre>{html.escape(text[:_MOST])}</pre>"
    cleaned = _cleaner().clean(_without_content(text))
    return re.sub(r"<img(?![^>]* src=)(?:[^>]*? alt=\"([^\"]*)\")?[^>]*>", r"<em>\1</em>", cleaned)


def safe_markdown(source: str, pictures: Mapping[str, str] | None = None) -> str:
    """Markdown as clean HTML, its formulas drawn.

    Parameters
    ----------
    source : str
    pictures : mapping, optional
        The lab's own pictures, as data addresses, by the path under which a text names them.

    Examples
    --------
    >>> safe_markdown("*now* <script>f()</script>").strip()
    '<p><em>now</em> </p>'
    """
    if _too_much(source):
        return f"<pre>{html.escape(source[:_MOST])}</pre>"
    renderer = _Renderer(pictures or {})
    text = clean_html(MarkdownWithMath(renderer=renderer).render(source))
    return renderer.mark.sub(lambda match: renderer.formulas[int(match[1])], text)


def _too_much(text: str) -> bool:
    return len(text) > _MOST or len(_TAG.findall(text)) > _MOST_TAGS


class _Renderer(IPythonRenderer):
    """Leaves a mark for each formula, because only the text around formulas is to be cleaned.

    Nobody can guess what a mark looks like, so none comes from the text itself.
    """

    def __init__(self, pictures: Mapping[str, str]) -> None:
        super().__init__(escape=False, exclude_anchor_links=True)
        self.pictures = pictures
        self.formulas: list[str] = []
        self._secret = secrets.token_hex(16)
        self.mark = re.compile(rf"formula{self._secret}-(\d+)\.")

    def _formula(self, tex: str, *, display: bool) -> str:
        formula = mathml(tex, display=display)
        self.formulas.append(f'<span class="formula">{formula}</span>' if display else formula)
        return f"formula{self._secret}-{len(self.formulas) - 1}."

    def block_math(self, body: str) -> str:
        return self._formula(body, display=True)

    def inline_math(self, body: str) -> str:
        return self._formula(body, display=False)

    def multiline_math(self, text: str) -> str:
        inside = re.fullmatch(r"\s*(?:\$\$(.*)\$\$|\\\\\[(.*)\\\\\])\s*", text, re.DOTALL)
        return self._formula((inside[1] or inside[2]) if inside else text, display=True)

    def latex_environment(self, name: str, body: str) -> str:
        return self._formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)

    def block_code(self, code: str, info: str | None = None) -> str:
        return f"<pre><code>{html.escape(code)}</code></pre>\n"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return super().image(self.mark.sub("formula", text), self.pictures.get(url.removeprefix("./"), url), title)


def _allowed(tag: str, name: str, value: str) -> bool:
    """Whether a tag may keep an attribute."""
    if name == "href":
        return tag == "a" and not value.strip().lower().startswith("data:")
    if name == "src":
        return tag == "img" and _PICTURE.fullmatch(value.strip()) is not None
    return name in _PLACES


@functools.cache
def _cleaner() -> Cleaner:
    return Cleaner(_TAGS, _allowed, protocols={"http", "https", "mailto", "data"}, strip=True, strip_comments=True)


def _without_content(text: str) -> str:
    """The text without elements whose content is no text of the page."""
    kept, place, open_ended = [], 0, set()
    while match := _WITH_CONTENT.search(text, place):
        name = match[1].lower()
        end = None if name in open_ended else re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, match.end())
        if end is None:
            open_ended.add(name)
            kept.append(text[place : match.end()])
            place = match.end()
        else:
            kept.append(text[place : match.start()])
            place = end.end()
    return "".join([*kept, text[place:]])
