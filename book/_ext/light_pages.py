"""Sphinx extension that keeps pages light: of the theme's 2,000 icons only those that the pages show are delivered.

The theme draws its icons by a script of 1.5 MB that each page loads. The script stays the same here, with the drawings
of all other icons left out. (The theme's icon font, used without the script, would not do: some browsers refuse fonts
to pages that are opened from a folder.)
"""

from __future__ import annotations

import re
from pathlib import Path

import pydata_sphinx_theme
from sphinx.application import Sphinx

__all__ = ["only_icons", "setup"]

SCRIPT = Path("scripts") / "fontawesome.js"
THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
# An icon is name:[width,height,[other names],"code point","path"], or a list of two paths.
ICON = re.compile(r'"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?')
CLASS = re.compile(r"\bfa-([a-z0-9-]+)")


def only_icons(script: str, names: set[str]) -> str:
    """The theme's script with these icons alone.

    Parameters
    ----------
    script : str
        ``fontawesome.js`` of the theme.
    names : set of str
        Icons by any of their names, without ``fa-``.

    Examples
    --------
    >>> only_icons('{bars:[448,512,["navicon"],"f0c9","M0 96"],sun:[512,512,[9728],"f185","M361"]}', {"navicon"})
    '{bars:[448,512,["navicon"],"f0c9","M0 96"],}'
    """

    def kept(icon: re.Match[str]) -> str:
        return icon[0] if names & {icon[1], *re.findall(r'"([\w-]+)"', icon[2])} else ""

    return ICON.sub(kept, script)


def _lighten(app: Sphinx, exception: Exception | None) -> None:
    """Write the smaller script over the theme's, from the classes in the finished pages and the theme's scripts."""
    static = Path(app.outdir) / "_static"
    if exception is not None or not (static / SCRIPT).is_file():
        return
    pages = [path for path in Path(app.outdir).rglob("*.html") if static not in path.parents]
    scripts = [path for path in (static / "scripts").glob("*.js") if path.name != SCRIPT.name]
    names = {name for path in pages + scripts for name in CLASS.findall(path.read_text(encoding="utf-8"))}
    script = (THEME / SCRIPT).read_text(encoding="utf-8")
    (static / SCRIPT).write_text(only_icons(script, names), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("build-finished", _lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
