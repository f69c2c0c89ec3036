"""The scripts of the folder `benchmarks`, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["load_script"]

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load_script(name: str) -> ModuleType:
    """A script by its name without suffix; its dataclasses look for it among the modules."""
    specification = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
