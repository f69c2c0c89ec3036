"""Interactive parts of the website: a frame with the data for a script, and what is shown where no script runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

__all__ = ["Part", "packed"]

SCRIPTS = "_static/interactive"  # from the root of the site


@dataclass(frozen=True, repr=False)
class Part:
    """One interactive part in a page, displayed as HTML.

    The script finds its data in the frame and takes the place of the fallback. Without scripts, in a notebook and in
    print the fallback stays, so it says the same for a few fixed settings.

    Parameters
    ----------
    name : str
        Of the script, such as ``"costs"`` for ``book/_static/interactive/costs.js``.
    label : str
        What a screen reader calls the part.
    data : mapping of str to Any
        For the script, written as JSON.
    fallback : str
        HTML, computed by the page.
    root : str, optional
        The way from the page to the root of the site; default is that of a chapter, two folders up.

    Raises
    ------
    ValueError
        If the data cannot be written as JSON, NaN and infinity included, or the name is no file name.

    Examples
    --------
    >>> part = Part("costs", "Cost calculator", {"padding": "</script>"}, "<p>27 parameters</p>")
    >>> part
    Part: Cost calculator (costs.js)
    >>> r"</script>" in part.to_html().split("json")[1].split("</script>")[0]
    False
    """

    name: str
    label: str
    data: Mapping[str, Any]
    fallback: str
    root: str = "../../"

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"name={self.name!r}: give the name of a script without folder and ending, as 'costs'.")
        json.dumps(self.data, allow_nan=False)

    def to_html(self) -> str:
        """The frame as HTML: the fallback, the data, and what loads the script."""
        data = json.dumps(self.data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        folder = f"{self.root}{SCRIPTS}"
        return (
            f'<section class="fk-part" data-interactive="{self.name}" aria-label="{escape(self.label)}">'
            f'<link rel="stylesheet" href="{folder}/parts.css">'
            f'<div class="fk-fallback">{self.fallback}</div>'
            f'<script type="application/json">{data}</script>'
            f'<script defer src="{folder}/kit.js"></script><script defer src="{folder}/{self.name}.js"></script>'
            "</section>"
        )

    _repr_html_ = to_html

    def __repr__(self) -> str:
        return f"Part: {self.label} ({self.name}.js)"


def packed(values: np.ndarray) -> dict[str, Any]:
    """Numbers in a form that takes little room in a page and loses nothing.

    Parameters
    ----------
    values : ndarray of uint8 or float32, any shape

    Returns
    -------
    dict
        ``shape``, ``type`` and ``base64``, the numbers in row-major order, lowest byte first.

    Raises
    ------
    ValueError
        If the numbers are of another type.

    Examples
    --------
    >>> packed(np.array([[1, 2], [3, 255]], np.uint8))
    {'shape': [2, 2], 'type': 'uint8', 'base64': 'AQID/w=='}
    """
    if values.dtype.name not in ("uint8", "float32"):
        raise ValueError(f"values has type {values.dtype}: the scripts read uint8 and float32, convert it first.")
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {
        "shape": list(values.shape),
        "type": values.dtype.name,
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }
