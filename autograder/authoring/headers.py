"""Read the front matter of a lab source and the headers of its cells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autograder.errors import CourseError

__all__ = ["KINDS", "LAB_KEYS", "Header", "read_front_matter", "read_header"]

KINDS = ("given", "exercise", "check", "written")
LAB_KEYS = ("title", "minutes", "points", "not_imported")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")


@dataclass(frozen=True)
class Header:
    """What a cell's header says: its kind, and for some kinds a name and points."""

    kind: str
    name: str | None
    points: int | float | None


def read_front_matter(where: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Read what stands between the two ``# ---`` lines.

    Parameters
    ----------
    where : str
        File and line, with which the errors begin.
    metadata : dict
        The notebook's metadata as jupytext reads them.

    Returns
    -------
    dict
        The fields title, minutes, points, not_imported and kernelspec of `autograder.authoring.source.LabSource`.

    Raises
    ------
    CourseError
        If something is missing, unknown or of the wrong type.
    """
    lab, kernelspec = metadata.get("lab"), metadata.get("kernelspec")
    if not isinstance(lab, dict) or not isinstance(kernelspec, dict):
        raise CourseError(
            f"{where}: the front matter is missing or no YAML: begin with '# ---', '# jupyter:', then kernelspec "
            f"and lab ({', '.join(LAB_KEYS)}), then '# ---'"
        )
    if {"name", "display_name", "language"} - kernelspec.keys():
        raise CourseError(f"{where}: the kernelspec needs name, display_name and language, got {dict(kernelspec)}")
    if unknown := sorted(lab.keys() - set(LAB_KEYS)):
        raise CourseError(f"{where}: unknown lab key {unknown[0]!r}; the keys are {', '.join(LAB_KEYS)}")
    if not isinstance(lab.get("title"), str):
        raise CourseError(f"{where}: the lab needs a title in quotes, got {lab.get('title')!r}")
    for key in ("minutes", "points"):
        if not _is_amount(lab.get(key)):
            raise CourseError(f"{where}: lab {key} must be a number of at least 0, got {lab.get(key)!r}")
    modules = lab.get("not_imported", [])
    if not isinstance(modules, list) or not all(isinstance(module, str) for module in modules):
        raise CourseError(f"{where}: not_imported must be a list of module names, got {modules!r}")
    return {
        "title": lab["title"],
        "minutes": lab["minutes"],
        "points": lab["points"],
        "not_imported": tuple(modules),
        "kernelspec": dict(kernelspec),
    }


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def read_header(where: str, cell_type: str, metadata: Mapping[str, Any]) -> Header:
    """Read a cell's header.

    Parameters
    ----------
    where : str
        File and line, with which the errors begin.
    cell_type : str
        ``"code"`` or ``"markdown"``; anything else is refused.
    metadata : dict
        The cell's metadata as jupytext reads them.

    Raises
    ------
    CourseError
        If a key is unknown, two kinds are named, or name or points do not fit.

    Examples
    --------
    >>> read_header("lab.py:1", "code", {"check": "area", "points": 2})
    Header(kind='check', name='area', points=2)
    """
    header = {key: value for key, value in metadata.items() if key != "lines_to_next_cell"}
    kinds = [kind for kind in KINDS if kind in header]
    if unknown := sorted(header.keys() - {*KINDS, "points"}):
        word = str(header[unknown[0]]) if unknown[0] in ("title", "incorrectly_encoded_metadata") else unknown[0]
        raise CourseError(f'{where}: unknown {word!r} in the header; write one of {", ".join(KINDS)} as kind="name"')
    if len(kinds) > 1:
        raise CourseError(f"{where}: a cell is of one kind, its header names {' and '.join(kinds)}; split the cell")
    if cell_type not in ("code", "markdown"):
        raise CourseError(f"{where}: a {cell_type} cell; a lab has code and [markdown] cells only")
    markdown = cell_type == "markdown"
    kind = kinds[0] if kinds else "text" if markdown else "free"
    if kinds and markdown != (kind == "written"):
        raise CourseError(f"{where}: {kind} is for {'code' if markdown else '[markdown]'} cells")
    name, points = header.get(kind), header.get("points")
    if kinds and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise CourseError(f"{where}: {kind}={name!r} is no name: letters, digits and _, at most 50, no digit first")
    if kind in ("check", "written"):
        if not _is_amount(points):
            problem = "points are missing" if points is None else f"points={points!r} is not a number of at least 0"
            raise CourseError(f"{where}: {kind} {name!r}: {problem}; write points=2")
    elif points is not None:
        raise CourseError(f"{where}: points belong to the check or the written question, this cell is {kind}")
    return Header(kind, name, points)
