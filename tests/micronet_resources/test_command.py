"""``python -m micronet_resources.profile``, and the name ``profile`` beside the standard library's."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from factorkit.models import small_convnet
from micronet_resources import entry
from micronet_resources.command import main

ROOT = Path(__file__).resolve().parents[2]
RESNET = "factorkit.models:resnet18_cifar"
SMALL = "factorkit.models:small_convnet"


def run(*arguments, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    torch.manual_seed(0)
    return entry.export(small_convnet((8, 16, 16)), tmp_path_factory.mktemp("entries") / "entry.onnx", "patterns")


def test_as_a_program():
    done = run("-m", "micronet_resources.profile", RESNET, "--task", "cifar10", "--bits", "16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "11,173,962 parameters, 555,422,720 MACs" in done.stdout.splitlines()[0]
    assert "Score 1.9895 under course2025 on cifar10 (estimate" in done.stdout


def test_a_network_of_the_current_folder(tmp_path):
    (tmp_path / "mine.py").write_text("from torch import nn\ndef net():\n    return nn.Linear(4, 2)\n")
    done = run("-m", "micronet_resources.profile", "mine:net", "--input", "4", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["macs"] == 8


def test_without_rules_only_costs_are_shown(capsys):
    assert main([RESNET, "--input", "3x32x32"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^  total +11,173,962 +555,422,720 +100\.0 %$", output, re.MULTILINE)
    assert re.search(r"^  residual +0 +245,760$", output, re.MULTILINE)
    assert "Score" not in output


def test_with_a_task_the_score_is_measured_and_the_task_knows_the_input(capsys):
    assert main([SMALL, "--task", "patterns"]) == 0
    output = capsys.readouterr().out
    assert "input 3 x 32 x 32" in output
    assert re.search(r"^Score 3\.9\d\d\d under course2025 on patterns \(measured", output, re.MULTILINE)
    assert "of score" in output


def test_rules_alone_use_their_own_task(capsys):
    assert main([SMALL, "--rules", "course2023"]) == 0
    assert "under course2023 on cifar10 (measured" in capsys.readouterr().out


def test_json(capsys):
    assert main([RESNET, "--input", "3X32X32", "--bits", "8", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["params"] == 11_173_962
    assert answer["score"]["is_estimate"] is True
    assert answer["score"]["score"] == pytest.approx(0.99476, abs=1e-5)
    assert answer["score"]["score"] == sum(term["value"] for term in answer["score"]["terms"])
    assert sum(layer["macs"] for layer in answer["layers"]) == answer["macs"] == 555_422_720


def test_json_of_a_measured_score(capsys):
    assert main([SMALL, "--task", "patterns", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["score"]["is_estimate"] is False
    assert answer["score"]["score"] == pytest.approx(sum(layer["score"] for layer in answer["layers"]))
    assert {layer["weight_bits"] for layer in answer["layers"] if layer["kind"] == "Conv2d"} == {32}


def test_the_tree(capsys):
    assert main([RESNET, "--task", "cifar10", "--tree"]) == 0
    output = capsys.readouterr().out
    assert "├─ conv1" in output
    assert re.search(r"^Score 3\.9\d\d\d under course2025 on cifar10 \(measured", output, re.MULTILINE)


def test_several_inputs(tmp_path, capsys, monkeypatch):
    (tmp_path / "my_pair.py").write_text(
        "from torch import nn\n"
        "class Pair(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = nn.Linear(4, 2), nn.Linear(3, 2)\n"
        "    def forward(self, x, y):\n"
        "        return self.a(x) + self.b(y)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["my_pair:Pair", "--input", "4", "--input", "3"]) == 0
    assert "Pair, inputs 4, 3: 18 parameters, 14 MACs" in capsys.readouterr().out


def test_an_entry(onnx_file, capsys):
    assert main([str(onnx_file)]) == 0
    output = capsys.readouterr().out
    assert output.startswith("entry.onnx, input 3 x 32 x 32")
    assert "under course2025 on patterns (measured" in output
    assert main([str(onnx_file), "--bits", "8", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["score"]["is_estimate"] is True
    assert answer["score"]["task"] == "patterns"


def test_two_networks_side_by_side(onnx_file, capsys):
    assert main([SMALL, "--compare", RESNET, "--input", "3x32x32"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("Sequential before, Sequential after; after / before: params 153 x, MACs 56 x")
    assert re.search(r"^  total +72,954 +11,173,962 +153 x +9,880,192 +555,422,720 +56 x$", output, re.MULTILINE)
    assert main([SMALL, "--compare", str(onnx_file), "--task", "patterns", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["total"]["params_before"] == 72_954
    assert 0 < answer["total"]["score_after"] < answer["total"]["score_before"] < 4


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        (["--input", "3x32x32"], "MACs per example"),
        (["--task", "patterns"], "MicroNet score"),
        (["--input", "3x32x32", "--compare", RESNET], "MACs per example"),
    ],
)
def test_plots_are_saved_with_labels(arguments, label, tmp_path, capsys):
    file = tmp_path / "cost.svg"
    assert main([SMALL, *arguments, "--plot", str(file)]) == 0
    assert capsys.readouterr().out.startswith("Sequential")
    assert ElementTree.parse(file).getroot().tag.endswith("svg")
    assert f"<!-- {label} -->" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["factorkit.models", "--input", "3x32x32"], "write package.module:factory or the path of an .onnx file"),
        (["no_such_package:net", "--input", "3x32x32"], "cannot import 'no_such_package'"),
        (["factorkit.models:resnet19", "--input", "3x32x32"], "no function or class called 'resnet19'"),
        (["torch.nn:Linear", "--input", "3"], "must build a network without arguments"),
        (["collections:OrderedDict", "--input", "3"], "built a OrderedDict: it must return an nn.Module"),
        ([RESNET, "--input", "3,32,32"], "'3,32,32' is no shape: write it as 3x32x32"),
        ([RESNET, "--input", "0x32x32"], "(0, 32, 32)"),
        ([RESNET, "--input", "4x32x32"], "to have 3 channels, but got 4"),
        ([RESNET], "--input is missing. Give the shape of one example"),
        ([RESNET, "--rules", "course2025", "--task", "imagenet"], "no task on 'imagenet'"),
        ([RESNET, "--rules", "neurips2019", "--task", "imagenet"], "images of imagenet come in many sizes"),
        ([RESNET, "--input", "3x32x32", "--bits", "64"], "weight_bits=64"),
        ([RESNET, "--input", "3x32x32", "--bits", "half"], "invalid int value: 'half'"),
        ([RESNET, "--input", "3x32x32", "--rules", "course2026"], "did you mean 'course2025'"),
        ([RESNET, "--task", "patern"], "did you mean 'patterns'"),
        ([RESNET, "--task", "cifar10", "--input", "3x64x64"], "(3, 64, 64)"),
        ([], "the following arguments are required: TARGET"),
        ([RESNET, "--input", "3x32x32", "--size", "3"], "unrecognized arguments: --size 3"),
        ([RESNET, "--input", "3x32x32", "--tree", "--json"], "not allowed with argument"),
        ([RESNET, "--input", "3x32x32", "--tree", "--compare", SMALL], "--compare shows two networks, --tree one"),
        ([RESNET, "--input", "3x32x32", "--bits", "8", "--compare", SMALL], "--compare shows two networks, --bits one"),
        ([RESNET, "--input", "3x32x32", "--compare", "elsewhere:net"], "cannot import 'elsewhere'"),
        (
            [RESNET, "--input", "3x32x32", "--plot", "x.txt"],
            "--plot x.txt: a figure cannot be written as 'txt'. Choose",
        ),
        ([RESNET, "--input", "3x32x32", "--plot", "x.txt"], ".pdf, .pgf, .png, "),
        ([RESNET, "--input", "3x32x32", "--plot", "cost"], "the ending says in which format to write. Choose one of"),
        ([RESNET, "--input", "3x32x32", "--plot", "no_such_folder/cost.svg"], "there is no folder no_such_folder"),
        (["factorkit.models:resnet18_cifer"], "did you mean 'resnet18_cifar'?"),
        (["factorkit.model:resnet18_cifar"], "did you mean 'factorkit.models'?"),
        ([RESNET, "--task", "cifar11"], "did you mean 'cifar10'?"),
        (["no_such_entry.onnx"], "no_such_entry.onnx"),
        (["entry.onnx", "--input", "3x32x32"], "leave --input out"),
    ],
)
def test_errors_are_one_line_and_exit_2(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise OSError('disk gone')", "failed with OSError: disk gone"),
        ("def net(:", "failed with SyntaxError"),
        ("def net():\n    raise RuntimeError('no weights')", "broken:net failed with RuntimeError: no weights"),
    ],
)
def test_factories_that_fail_are_errors_of_one_line(source, words, tmp_path, capsys, monkeypatch):
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    assert main(["broken:net", "--input", "4"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize("content", [b"", b"not a network", "Wörter und Sätze\n".encode() * 20, bytes(range(256))])
def test_a_file_that_is_no_entry_is_refused_by_its_name(content, tmp_path, capsys):
    file = tmp_path / "mine.onnx"
    file.write_bytes(content)
    assert main([str(file)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith("error: ")
    assert captured.err.count("mine.onnx") == 1


def test_a_missing_entry_is_named_once(capsys):
    assert main(["no_such_entry.onnx"]) == 2
    assert capsys.readouterr().err.count("no_such_entry.onnx") == 1


def test_a_module_of_the_current_folder_that_is_misspelt_is_found(tmp_path, capsys, monkeypatch):
    (tmp_path / "my_networks.py").write_text("def net(): ...\n")
    monkeypatch.chdir(tmp_path)
    assert main(["my_network:net", "--input", "4"]) == 2
    assert "did you mean 'my_networks'?" in capsys.readouterr().err


def test_what_cannot_be_plotted_is_refused_before_the_network_is_built(tmp_path, capsys, monkeypatch):
    (tmp_path / "slow_network.py").write_text("def net():\n    raise AssertionError('built')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["slow_network:net", "--input", "4", "--plot", "cost.txt"]) == 2
    assert "built" not in capsys.readouterr().err


@pytest.mark.parametrize("look", ["--json", "--tree"])
def test_a_reader_that_stops_early_is_no_error(look):
    command = [sys.executable, "-m", "micronet_resources.profile", RESNET, "--input", "3x32x32", look]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # before anything was written
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=120) == 0


def test_the_arguments_of_export_in_another_order_are_named(tmp_path):
    network = small_convnet((4, 8))
    for arguments in [("entry.onnx", network), (network, "patterns", "entry.onnx")]:
        with pytest.raises(entry.EntryError, match=r"another order: write export\(model, 'entry.onnx', 'patterns'\)"):
            entry.export(*arguments)


def test_the_width_of_a_layer_is_that_of_its_weight_whatever_its_bias_has(tmp_path, capsys, monkeypatch):
    (tmp_path / "signs.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
        "    model[1].weight.data = model[1].weight.data.sign()\n"
        "    return model\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["signs:net", "--task", "patterns", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert (layers[1]["weight_bits"], layers[1]["input_bits"]) == (1, 32)
    assert main(["signs:net", "--task", "patterns"]) == 0
    assert re.search(r"^  1 +Linear .* 1/32 ", capsys.readouterr().out, re.MULTILINE)


def test_an_inserted_layer_does_not_shift_the_comparison(tmp_path, capsys, monkeypatch):
    (tmp_path / "numbered.py").write_text(
        "from torch import nn\n"
        "def plain():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())\n"
        "def normed():\n"
        "    separable = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1))\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), separable, nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["numbered:plain", "--compare", "numbered:normed", "--input", "3x8x8"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^  1 \(new\) +BatchNorm2d +16 +0$", output, re.MULTILINE)
    assert re.search(r"^  2 → 3 +Conv2d → 2 layers +584 +152 ", output, re.MULTILINE)
    assert re.search(r"^  unchanged +3 layers +224 +224 ", output, re.MULTILINE)
    assert main(["numbered:normed", "--compare", "numbered:plain", "--input", "3x8x8", "--json"]) == 0
    names = [layer["name"] for layer in json.loads(capsys.readouterr().out)["layers"]]
    assert names == ["0", "1", "2 → 1", "3 → 2", "4 → 3"]


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for word in ("package.module:factory", "entry.onnx", "course2025", "neurips2019", "imagenet", "--compare", "2 if"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_examples_of_the_help_work(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = re.findall(
        r"^  python -m micronet_resources\.profile (factorkit.*)$", capsys.readouterr().out, re.MULTILINE
    )
    assert len(lines) == 3
    for line in lines:
        assert main(line.split()) == 0


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


def test_the_profiler_imports_no_plots_and_no_tables_before_they_are_needed():
    program = (
        "import micronet_resources.profile, sys\n"
        "from torch import nn\n"
        "print(micronet_resources.profile.profile_model(nn.Linear(2, 2), (2,)))\n"
        "assert not {'pandas', 'matplotlib', 'onnx', 'onnxruntime'} & sys.modules.keys(), sys.modules.keys()\n"
    )
    done = run("-c", program)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_profiler_does_not_import_what_lab_01_forbids():
    forbidden = "{'factorkit.costs', 'factorkit.layers'}"
    modules = "micronet_resources.profile, micronet_resources.challenge, sys"
    done = run("-c", f"import {modules}; assert not {forbidden} & sys.modules.keys()")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_network_is_compared_with_its_entry_by_name(onnx_file, capsys):
    assert main([SMALL, "--compare", str(onnx_file), "--input", "3x32x32", "--json"]) == 2  # the entry knows its input
    capsys.readouterr()
    assert main([SMALL, "--compare", str(onnx_file), "--task", "patterns", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    pairs = {layer["name"]: (layer["kind_before"], layer["kind_after"]) for layer in layers}
    assert pairs["0"] == ("Conv2d", "Conv")
    assert pairs["22"] == ("Linear", "Gemm")
    assert not any("new" in name or "→" in name for name in pairs)
