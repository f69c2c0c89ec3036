"""What a result depends on besides the course: Python, packages, and this code itself."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["differences", "versions"]

# What runs in notebooks and tests, and what carries them to other machines.
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib", "ipython", "tensorly", "onnx")
_PACKAGES += ("onnxruntime", "distributed", "dask", "cloudpickle")
_OURS = ("autograder", "factorkit", "micronet_resources")


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that grading uses; for our own packages a hash of their code."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found | {name: _digest(name) for name in _OURS}


def _digest(package: str) -> str:
    """A hash of a package's modules: the same version number may stand on different working copies."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None  # they are installed together
    folder = Path(spec.origin).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"code {digest.hexdigest()[:12]}"


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What is not the same on two machines, in words.

    Examples
    --------
    >>> differences({"python": "3.11", "torch": "2.13.0"}, {"python": "3.11", "torch": "2.12.1"})
    ['torch 2.12.1 (here 2.13.0)']
    """
    names = sorted({*here, *there})
    return [
        f"{name} {there.get(name, 'none')} (here {here.get(name, 'none')})"
        for name in names
        if here.get(name) != there.get(name)
    ]
