"""torchvision comes up beside any torch, and only its missing operators are forgiven."""

import importlib
import os
import subprocess
import sys

import pytest

from factorkit import torchvision_import
from factorkit.torchvision_import import import_torchvision


def run(script: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)


def test_parts_that_labs_need_work_whether_or_not_the_plain_import_does():
    plain = run("import torchvision")
    assert plain.returncode == 0 or "operator torchvision::nms does not exist" in plain.stderr
    ours = run(
        "import gc, torch\n"
        "from factorkit.torchvision_import import import_torchvision\n"
        "torchvision = import_torchvision()\n"
        "assert import_torchvision() is torchvision\n"
        "gc.collect()\n"
        "import torchvision.transforms.v2 as T\n"
        "from torchvision import datasets, models\n"
        "data = datasets.FakeData(4, (3, 40, 40), transform=T.Compose([T.PILToTensor(), T.CenterCrop(32)]))\n"
        "image, label = data[0]\n"
        "assert image.shape == (3, 32, 32) and image.dtype == torch.uint8\n"
        "with torch.no_grad():\n"
        "    assert models.mobilenet_v2().eval()(image[None] / 255).shape == (1, 1000)\n"
        "print('all good', hasattr(torch.ops.torchvision, 'nms'))\n"
    )
    assert ours.returncode == 0, ours.stderr
    assert ours.stdout == "all good True\n"


def test_another_failure_passes(monkeypatch):
    def fail(name):
        raise RuntimeError("torch and torchvision disagree")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(RuntimeError, match="disagree"):
        import_torchvision()


def test_the_same_failure_twice_passes(monkeypatch):
    calls = []

    def fail(name):
        calls.append(name)
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.setattr(torchvision_import, "_library", object())
    with pytest.raises(RuntimeError, match="nms does not exist"):
        import_torchvision()
    assert calls == ["torchvision"]


def test_missing_torchvision_is_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError):
        import_torchvision()
