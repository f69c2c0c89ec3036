"""Names that students choose: which of them may become files, which are the same, and which hide a module."""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath

__all__ = ["is_ignored", "refusal_of_name", "refusal_of_student", "same_name", "shadowing"]

MAX_NAME_BYTES = 255
MAX_DEPTH = 20
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789")}
_IGNORED = {"__pycache__", "__MACOSX", "Thumbs.db", "desktop.ini", "feedback"}
_TURNING = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_AT_START = {"conftest", "sitecustomize", "usercustomize"}  # imported although nobody asks for them
_MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")


def is_ignored(name: str) -> bool:
    """Whether a file is passed over without a word: hidden files, caches, what file managers leave.

    Examples
    --------
    >>> is_ignored("a/.ipynb_checkpoints/lab.ipynb"), is_ignored("a/lab.ipynb")
    (True, False)
    """
    return any(part in _IGNORED or (part[:1] == "." and part[1:2] not in ("", ".")) for part in name.split("/"))


def refusal_of_name(name: str) -> str | None:
    r"""Why a relative path is not accepted as the name of a file, None if it is.

    Examples
    --------
    >>> refusal_of_name("data/weights.bin")
    >>> refusal_of_name("../weights.bin")
    "it leads out of its folder ('..')"
    >>> refusal_of_name("aux.txt")
    "'aux.txt' is reserved on Windows"
    """
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "it is absolute"
    parts = name.split("/")
    if ".." in parts:
        return "it leads out of its folder ('..')"
    if len(parts) > MAX_DEPTH:
        return f"it lies {len(parts)} folders deep, the limit is {MAX_DEPTH}"
    for part in parts:
        if part in ("", "."):
            return "it has an empty part"
        if "\\" in part:
            return "it has a backslash"
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part) or _TURNING & set(part):
            return "it has an invisible character"
        if part != part.strip() or part.endswith("."):
            return f"{part!r} begins or ends with a space, or ends with a dot"
        if part.split(".")[0].casefold() in _RESERVED:
            return f"{part!r} is reserved on Windows"
        if len(part.encode()) > MAX_NAME_BYTES:
            return f"it is longer than {MAX_NAME_BYTES} bytes"
    return None


def refusal_of_student(student: str) -> str | None:
    """Why a name cannot be a student's, None if it can: letters of all languages may, and most signs.

    Examples
    --------
    >>> [refusal_of_student(name) for name in ("-rf", "a..b", "u+1", "x*", "شيماء")]
    [None, None, None, None, None]
    >>> refusal_of_student(".hidden")
    'it begins with a dot, and such folders are hidden'
    """
    if "/" in student:
        return "it has a slash"
    if student.startswith(".") and student not in (".", ".."):
        return "it begins with a dot, and such folders are hidden"
    return refusal_of_name(student)


def same_name(name: str) -> str:
    """What two names have in common that differ only in case or in how their accents are encoded.

    Examples
    --------
    >>> same_name("Caf\u00e9.TXT") == same_name("cafe\u0301.txt")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shadowing(names: Iterable[str]) -> dict[str, str]:
    """The files that Python would import instead of an installed module, were their folder searched first.

    Parameters
    ----------
    names : iterable of str
        Paths relative to the folder.

    Returns
    -------
    dict
        From the module's name to the first such file.

    Examples
    --------
    >>> shadowing(["sklearn/__init__.py", "sklearn/metrics.py", "json.py", "data/json.py", "helper.py", "torch/a.csv"])
    {'sklearn': 'sklearn/__init__.py', 'json': 'json.py'}
    """
    found: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.suffix in _MODULE_SUFFIXES:
            module = path.parts[0].split(".")[0]
            if module in _installed():
                found.setdefault(module, name)
    return found


@functools.cache
def _installed() -> frozenset[str]:
    """The names of all modules that can be imported here."""
    return frozenset({*sys.stdlib_module_names, *packages_distributions(), *_AT_START})
