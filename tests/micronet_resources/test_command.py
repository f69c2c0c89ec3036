"""``python -m micronet_resources.profile``, and the name ``profile`` beside the standard library's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from micronet_resources.command import main

ROOT = Path(__file__).resolve().parents[2]
RESNET = "factorkit.models:resnet18_cifar"


def run(*arguments, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def test_as_a_program():
    done = run("-m", "micronet_resources.profile", RESNET, "--input", "3x32x32", "--bits", "16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "11,173,962 parameters, 555,422,720 MACs" in done.stdout
    assert "Score 1.9895 under course2025" in done.stdout


def test_a_network_of_the_current_folder(tmp_path):
    (tmp_path / "mine.py").write_text("from torch import nn\ndef net():\n    return nn.Linear(4, 2)\n")
    done = run("-m", "micronet_resources.profile", "mine:net", "--input", "4", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["macs"] == 8


def test_json(capsys):
    assert main([RESNET, "--input", "3X32X32", "--bits", "8", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["params"] == 11_173_962
    assert answer["score"] == pytest.approx(0.99476, abs=1e-5)
    assert answer["score"] == answer["parameter_term"] + answer["operation_term"]
    assert sum(layer["macs"] for layer in answer["layers"]) == answer["macs"] == 555_422_720


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["factorkit.models", "--input", "3x32x32"], "write package.module:factory"),
        (["no_such_package:net", "--input", "3x32x32"], "cannot import 'no_such_package'"),
        (["factorkit.models:resnet19", "--input", "3x32x32"], "no function or class called 'resnet19'"),
        (["torch.nn:Linear", "--input", "3"], "must build a network without arguments"),
        (["collections:OrderedDict", "--input", "3"], "built a OrderedDict: it must return an nn.Module"),
        ([RESNET, "--input", "3,32,32"], "'3,32,32' is no shape: write it as 3x32x32"),
        ([RESNET, "--input", "4x32x32"], "expected input[1, 4, 32, 32] to have 3 channels"),
        ([RESNET, "--input", "3x32x32", "--bits", "64"], "weight_bits=64"),
        ([RESNET, "--input", "3x32x32", "--rules", "course2026"], "did you mean 'course2025'"),
    ],
)
def test_errors_are_one_line_and_exit_2(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


def test_wrong_usage_exits_2(capsys):
    for arguments in ([], [RESNET], [RESNET, "--input", "3x32x32", "--bits", "half"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "usage:" in capsys.readouterr().err


def test_the_standard_library_profile_is_not_hidden():
    program = (
        "import cProfile, profile, torch, micronet_resources.profile, micronet_resources.challenge, sys, os\n"
        "assert hasattr(profile, 'run'), profile.__file__\n"
        "torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)\n"
        "assert not any(os.path.basename(os.path.abspath(p)) == 'micronet_resources' for p in sys.path), sys.path\n"
    )
    done = run("-c", program)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_imports_nothing_heavy():
    done = run("-c", "import micronet_resources, sys; assert 'torch' not in sys.modules")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_profiler_does_not_import_what_lab_01_forbids():
    forbidden = "{'factorkit.costs', 'factorkit.layers'}"
    modules = "micronet_resources.profile, micronet_resources.challenge, sys"
    done = run("-c", f"import {modules}; assert not {forbidden} & sys.modules.keys()")
    assert (done.returncode, done.stderr) == (0, "")
