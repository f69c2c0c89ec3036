"""``python -m factorkit.check``: can this machine run the labs, and what to do about what is in the way.

Every look is independent of the others and imports what it needs itself, so that a missing package is reported and
not raised.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # a student's random.py in this folder would end the imports before it can be reported
    sys.path[:] = [folder for folder in sys.path if folder not in ("", os.getcwd())]

import argparse
import importlib.metadata
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["LOOKS", "Look", "examine", "main"]

INSTALL = "activate the course's environment, or install it again: pip install --editable ."
DISK_GB, MEMORY_GB = 1.0, 2.0
REFERENCE_PARAMS = 11_173_962  # of the ResNet-18 that the challenge is measured against


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes
    ----------
    name : str
    level : {"good", "note", "bad"}
        ``note`` for what the labs can do without, ``bad`` for what stops them.
    found : str
    remedy : str
        What to do; empty if all is well.
    """

    name: str
    level: Literal["good", "note", "bad"]
    found: str
    remedy: str = ""


def examine() -> list[Look]:
    """Take every look; one that fails in a way that nobody foresaw is reported with its error.

    Examples
    --------
    >>> [look.name for look in examine()][:3]
    ['Python', 'packages', 'shadowed modules']
    """
    found = []
    for name, look in LOOKS.items():
        try:
            found.append(look(name))
        except Exception as error:
            message = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            found.append(Look(name, "bad", message, INSTALL))
    return found


def _python(name: str) -> Look:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Look(name, "good", f"{version} in {sys.prefix}")
    return Look(name, "bad", version, "use Python 3.11, 3.12 or 3.13, and install the course with it")


def _packages(name: str) -> Look:
    try:
        required = importlib.metadata.requires("factorkit") or []
    except importlib.metadata.PackageNotFoundError:
        return Look(name, "bad", "factorkit is not installed in this environment", INSTALL)
    from packaging.requirements import Requirement

    amiss, count = [], 0
    for line in required:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            amiss.append(f"{requirement.name} is missing")
        else:
            if not requirement.specifier.contains(version, prereleases=True):
                amiss.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if amiss:
        return Look(name, "bad", "; ".join(amiss), INSTALL)
    return Look(name, "good", f"all {count} are there in the versions of the course")


def _shadowed(name: str) -> Look:
    """Files beside the notebook that hide modules of the same name."""
    harmless = {"antigravity", "code", "test", "this"}  # nothing that the labs load imports them
    suspects = sys.stdlib_module_names - harmless | {"torch", "numpy", "matplotlib", "pandas", "sklearn", "factorkit"}
    here = Path.cwd()
    hiding = sorted(path.name for path in here.glob("*.py") if path.stem in suspects)
    if hiding:
        files = ", ".join(hiding)
        return Look(name, "bad", f"{files} in {here}", "rename the file, or start Python and JupyterLab elsewhere")
    return Look(name, "good", f"no file in {here} hides a module")


def _torch(name: str) -> Look:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    layer(torch.randn(2, 3, 32, 32)).square().mean().backward()
    if not torch.isfinite(layer.weight.grad).all():
        return Look(name, "bad", "a convolution gives no finite gradient", INSTALL)
    device = "CUDA" if torch.cuda.is_available() else "MPS" if torch.backends.mps.is_available() else "no"
    return Look(name, "good", f"{torch.__version__}, {torch.get_num_threads()} threads, {device} GPU (none is needed)")


def _torchvision(name: str) -> Look:
    from factorkit.torchvision_import import import_torchvision

    return Look(name, "good", f"{import_torchvision().__version__}")


def _network(name: str) -> Look:
    from factorkit.models import resnet18_cifar

    count = sum(parameter.numel() for parameter in resnet18_cifar().parameters())
    if count != REFERENCE_PARAMS:
        return Look(name, "bad", f"{count:,} parameters instead of {REFERENCE_PARAMS:,}", "get the course files again")
    return Look(name, "good", f"{count:,} parameters, as it should have")


def _data(name: str) -> Look:
    from factorkit import data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cache that cannot be written has its own look
        patterns = data.load("patterns")
    return Look(name, "good", f"{len(patterns.train_labels):,} training images, drawn here and kept")


def _cache(name: str) -> Look:
    from factorkit.data.cache import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "set FACTORKIT_CACHE to a folder of yours; until then, data is drawn again in each session"
        return Look(name, "note", f"{folder} cannot be written: {error.strerror}", remedy)
    free = shutil.disk_usage(folder).free / 2**30
    if free < DISK_GB:
        return Look(name, "note", f"{free:.1f} GB free in {folder}", f"free {DISK_GB:g} GB for data and checkpoints")
    return Look(name, "good", f"{folder}, {free:.0f} GB free")


def _memory(name: str) -> Look:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return Look(name, "note", "this system does not say how much there is", f"have {MEMORY_GB:g} GB free")
    if total < MEMORY_GB:
        return Look(name, "note", f"{total:.1f} GB", "end other programs, and train with smaller batches")
    return Look(name, "good", f"{total:.1f} GB, {os.cpu_count()} processors")


def _jupyter(name: str) -> Look:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    importlib.metadata.version("jupyterlab")
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Look(name, "bad", "no kernel 'python3'", "python -m ipykernel install --sys-prefix")
    if Path(command).name not in (command, "") and Path(command).absolute().parent != Path(sys.executable).parent:
        remedy = "python -m ipykernel install --sys-prefix, and choose that kernel in JupyterLab"
        return Look(name, "note", f"its kernel runs {command}, not {sys.executable}", remedy)
    return Look(name, "good", "its kernel is the Python of this environment")


LOOKS: dict[str, Callable[[str], Look]] = {
    "Python": _python,
    "packages": _packages,
    "shadowed modules": _shadowed,
    "torch": _torch,
    "torchvision": _torchvision,
    "reference network": _network,
    "data": _data,
    "cache": _cache,
    "memory": _memory,
    "JupyterLab": _jupyter,
}
_SIGNS = {"good": "ok  ", "note": "note", "bad": "STOP"}


def main(arguments: list[str] | None = None) -> int:
    """Print what was found and return 1 if something stops the labs."""
    parser = argparse.ArgumentParser(
        prog="python -m factorkit.check",
        description="Can this machine run the labs? Looks at Python, packages, torch, data, memory and JupyterLab, "
        "and says what to do about what is in the way. Takes a few seconds, and draws the data set on first use.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of text")
    given = parser.parse_args(arguments)
    looks = examine()
    stops = [look for look in looks if look.level == "bad"]
    if given.json:
        print(json.dumps([asdict(look) for look in looks], indent=1))
    else:
        for look in looks:
            print(f"{_SIGNS[look.level]}  {look.name:18} {look.found}")
            if look.remedy:
                print(f"{'':25}-> {look.remedy}")
        print("All is ready: open a lab." if not stops else f"{len(stops)} of {len(looks)} must be mended first.")
    return 1 if stops else 0


if __name__ == "__main__":
    sys.exit(main())
