"""The frame of every page that the grader writes: one file, no script, nothing fetched."""

from __future__ import annotations

from html import escape

__all__ = ["html_page"]

# A second lock beside the cleaning of texts: a browser that obeys it runs no script and fetches nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light; --line: #d5d8dd; --soft: #f5f6f8; --good: #17693a; --some: #7a5200; --bad: #a3211b;
  --link: #0b5cad; }
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: #1d2126; background: #fff; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
  overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1.08rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); }
pre, code, kbd, samp { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { font-size: .85rem; line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: .5rem 0; }
code { font-size: .9em; }
img { max-width: 100%; height: auto; }
summary { cursor: pointer; }
.scroll { overflow-x: auto; }
.formula { display: block; overflow-x: auto; overflow-y: hidden; padding: .1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.quiet { color: #5a626c; }
.good { color: var(--good); } .some { color: var(--some); } .bad { color: var(--bad); }
.state { white-space: nowrap; font-weight: 600; }
.note { border-left: .25rem solid var(--some); background: var(--soft); padding: .5rem .9rem; margin: .75rem 0; }
.note p { margin: .25rem 0; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2, h3, tr, img { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  a { color: inherit; text-decoration: none; }
}
"""


def html_page(title: str, body: str, style: str = "") -> str:
    """A page of HTML that stands alone.

    Parameters
    ----------
    title : str
        Plain text.
    body : str
        HTML.
    style : str, optional
        Rules of this page alone, after those of all pages.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
