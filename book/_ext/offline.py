"""Sphinx extension that keeps every page free of remote code.

Jupyter Book loads ``sphinx_thebe`` unconditionally. Even when it is switched off, thebe writes the address of a
script on a public server into each page. The book has no live cells, so its script and style sheet are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

__all__ = ["setup"]


def _mentions_thebe(asset: Any) -> bool:
    """Whether a style sheet or script of a page (with a file name, a body, or both) belongs to thebe."""
    body = getattr(asset, "attributes", {}).get("body") or ""
    return "thebe" in f"{getattr(asset, 'filename', asset)} {body}".lower()


def _drop_thebe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove thebe's assets from the context of a page before it is written."""
    for key in ("script_files", "css_files"):
        context[key] = [asset for asset in context.get(key, []) if not _mentions_thebe(asset)]


def _delete_thebe_files(app: Sphinx, exception: Exception | None) -> None:
    """Delete the files of thebe that were copied into the finished site."""
    if exception is None:
        for asset in (Path(app.outdir) / "_static").glob("*thebe*"):
            asset.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; ``priority`` makes it run after the extensions that add assets."""
    app.connect("html-page-context", _drop_thebe, priority=900)
    app.connect("build-finished", _delete_thebe_files, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
