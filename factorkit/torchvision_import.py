"""Import torchvision beside a torch without CUDA.

PyPI's torchvision carries a compiled extension that is built for CUDA. Beside a CPU-only torch it does not load, and
``import torchvision`` stops because two operators that it wants to describe, ``nms`` and ``qnms``, do not exist.
Models, data sets and transforms need neither of them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

__all__ = ["import_torchvision"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# Torch forgets the operators when their library object is collected, so it lives as long as this module.
_library: torch.library.Library | None = None


def import_torchvision() -> ModuleType:
    """Import torchvision, with or without its compiled extension.

    The plain import is tried first. Only if it fails for want of the operator ``torchvision::nms`` are the two missing
    operators declared (without an implementation) and the import tried again. Then ``torchvision.models``,
    ``torchvision.datasets`` and ``torchvision.transforms`` work; ``torchvision.ops.nms`` and what detection models make
    of it raise ``NotImplementedError`` when called.

    Returns
    -------
    module
        ``torchvision``

    Raises
    ------
    ImportError, RuntimeError
        Whatever the import raises for any other reason.

    Examples
    --------
    >>> torchvision = import_torchvision()
    >>> torchvision.models.resnet18().fc
    Linear(in_features=512, out_features=1000, bias=True)
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _library is not None or "torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    _library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _library.define(operator + _SCHEMA)
    return importlib.import_module("torchvision")
