"""Which modules a server imports before it forks: those that the instructor's own text of a notebook names.

A lab that does without torch and matplotlib has its servers ready in a fraction of the time and memory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

__all__ = ["ALL", "families_of", "modules_of"]

_MODULES = {
    "torch": ("torch.nn", "torch.optim", "torch._dynamo"),
    "scipy": ("scipy.linalg",),
    "sklearn": (
        "sklearn.datasets.images",
        "sklearn.datasets",
        "sklearn.linear_model",
        "sklearn.metrics",
        "sklearn.model_selection",
    ),
    "pandas": ("pandas", "pandas.io.formats.html", "pandas.io.formats.string"),
    "PIL": ("PIL.Image",),
    # not the inline backend: it joins the shell that there is when it is imported
    "matplotlib": ("matplotlib.pyplot", "PIL.Image", "matplotlib.backends.backend_agg"),
    "factorkit": ("factorkit.data.sets", "factorkit.training", "factorkit.plots", "factorkit.checks"),
    "micronet_resources": ("micronet_resources.profile",),
    "onnx": ("onnx", "micronet_resources.challenge", "onnxscript", "torch.onnx._internal.exporter._compat"),
}
_OF_THE_KIT = {"torch", "pandas", "PIL", "matplotlib", "factorkit", "micronet_resources"}
_LAZY = {  # what parts of the kit import when they are used, by the words that name these parts
    "scipy": r"\bdecompositions\b",
    "sklearn": r"\b(clustering|dictionary|digits)\b",
}

ALL = frozenset(_MODULES)
"""Every family."""


@functools.lru_cache(maxsize=64)
def families_of(text: str) -> frozenset[str]:
    """The families of modules that a text names.

    Examples
    --------
    >>> sorted(families_of("import pandas as pd\\nimport torch.nn.functional as F"))
    ['pandas', 'torch']
    >>> sorted(ALL - families_of("from factorkit import data"))
    ['onnx', 'scipy', 'sklearn']
    """
    found = {name for name in _MODULES if re.search(rf"\b{name}\b", text)}
    if found & {"factorkit", "micronet_resources"}:
        found |= _OF_THE_KIT | {name for name, words in _LAZY.items() if re.search(words, text)}
    return frozenset(found)


def modules_of(families: Iterable[str]) -> tuple[str, ...]:
    """What to import for them, in a fixed order.

    Examples
    --------
    >>> modules_of(["PIL", "scipy"])
    ('scipy.linalg', 'PIL.Image')
    """
    wanted = set(families)
    return tuple(dict.fromkeys(name for family, names in _MODULES.items() if family in wanted for name in names))
