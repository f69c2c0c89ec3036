"""The study of VGG-16 runs from training to tuning on a small network, stops, goes on and sums up."""

import json
from functools import partial

import pytest
import torch
from torch import nn

from factorkit.data import load
from factorkit.models import small_convnet, vgg16_cifar

from .benchmark_scripts import load_script
from .tensor_study_numbers import cp_params, tucker2_params

RANKS = {("cp", 2): (3, 60), ("tucker2", 4): (4, 16)}
WHOLE = (
    *(("tucker2", "macs:0.5"), ("tensor_train", "macs:0.5 everywhere"), ("cp", "share:0.25")),
    *(("pruning", 0.75), ("quantization", 4)),
)


@pytest.fixture(scope="module")
def script():
    return load_script("vgg16_study")


@pytest.fixture(scope="module")
def make(script, tmp_path_factory):
    """Makes a study of a network with four convolutions, of which 8 to 8 and 16 to 16 maps are decomposed."""
    data = load("patterns").subset(train=128, test=50)
    small = {"build": partial(small_convnet, (8, 16)), "images": 2, "rounds": 1}
    plan = script.Plan(epochs=2, tuning_epochs=1, tuning_images=64, test_images=40, ranks=RANKS, whole=WHOLE, **small)
    return partial(script.Study, data, plan, checkpoints=tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def records(script, make, tmp_path_factory):
    """Of a study that was stopped after two cases and went on."""
    path = tmp_path_factory.mktemp("study") / "folder" / "study.json"
    started = script.run(path, make())
    first = [next(started), next(started)]
    started.close()
    assert json.loads(path.read_text()) == first
    found = list(script.run(path, make()))
    assert found[:2] == first and json.loads(path.read_text()) == found
    assert list(script.run(path, make())) == found
    return found


def test_the_records_hold_what_was_compressed_and_what_it_could_do(records):
    assert [record["layer"] for record in records] == [2, 2, 4, 4] + 5 * ["all"]
    for record in records:
        counts = ("train_images", "epochs", "tuning_images", "test_images")
        assert [record[name] for name in counts] == [128, 2, 64, 40]
        for name in ("base_accuracy", "accuracy", "accuracy_new_statistics", "accuracy_tuned"):
            assert 0 <= record[name] <= 1
        assert record["ms"] > 0 and record["ms_before"] > 0
    assert len({record["base_accuracy"] for record in records}) == 1


def test_a_layer_has_the_parameters_and_operations_of_its_ranks(records):
    low, high, small, full = records[:4]
    assert [(r["params_before"], r["params"]) for r in (low, high)] == [(576, cp_params(8, r)) for r in (3, 60)]
    assert [(r["params_before"], r["params"]) for r in (small, full)] == [
        (2304, tucker2_params(16, r)) for r in (4, 16)
    ]
    assert high["params"] > high["params_before"]  # a rank at which the layer grows is measured too
    for record in records[:4]:
        pixels = 1024 if record["layer"] == 2 else 256
        assert (record["macs"], record["macs_before"]) == (pixels * record["params"], pixels * record["params_before"])
    assert low["relative_error"] > high["relative_error"] and small["relative_error"] > full["relative_error"]
    assert full["relative_error"] < 1e-5 and full["accuracy"] == full["base_accuracy"]


def test_whole_networks_meet_their_budget(records):
    tucker, train, shared, pruned, quantized = records[4:]
    for record in (tucker, train):
        assert record["macs"] <= 0.5 * record["macs_before"] and record["bits"] == 32 * record["params"]
        assert record["params"] < record["params_before"] and record["ranks"]
    assert list(tucker["ranks"]) == ["3", "7", "10"] and list(train["ranks"]) == ["0", "3", "7", "10", "15"]
    assert shared["ranks"] == {"3": 6, "7": 9, "10": 15}
    assert shared["params_before"] - shared["params"] > 0.7 * (576 + 1152 + 2304)
    weights = sum(p.numel() for p in small_convnet((8, 16)).parameters() if p.dim() > 1)
    assert pruned["params_before"] - pruned["params"] == pytest.approx(0.75 * weights, abs=1)
    assert quantized["params"] == quantized["params_before"] and 4 < quantized["bits_before"] / quantized["bits"] < 8
    for record in (pruned, quantized):
        assert record["macs"] == record["macs_before"] and 0 < record["relative_error"] < 1


def test_tuning_keeps_zeros_and_grids(script, make):
    study = make()
    for method, amount, values in (("pruning", 0.75, None), ("quantization", 2, 3)):
        tuned = []
        study._speed = lambda model, original, case, tuned=tuned: tuned.append(model) or {}
        study.measure(script.Case(None, method, amount))
        weight = tuned[0][3].weight
        if values is None:
            total = torch.cat([layer.weight.flatten() for layer in tuned[0].modules() if isinstance(layer, nn.Conv2d)])
            assert (total == 0).float().mean() > 0.7
        else:
            assert all(len(row.unique()) <= values for row in weight)


def test_the_layers_of_the_study_are_those_of_vgg_16(script, make):
    study, network = make(), vgg16_cifar()
    for layer, channels, pixels in ((2, 64, (32, 32)), (9, 512, (4, 4))):
        _, found, size = study._place(network, script.Case(layer, "cp", 20))
        assert (found.in_channels, found.out_channels, size) == (channels, channels, pixels)


def test_the_table_compares_with_the_network_as_it_was(script, records):
    table = script.table(records)
    assert len(table) == len(records)
    assert table["times smaller"][0] == pytest.approx(576 / cp_params(8, 3), abs=0.01)
    assert table["tuned (%)"][3] == pytest.approx(100 * records[3]["accuracy_tuned"], abs=0.01)


def test_ranks_are_read_from_the_command_line(script):
    assert script.ranks_given("cp:2=20,100") == (("cp", 2), (20, 100))
    with pytest.raises(script.argparse.ArgumentTypeError, match="METHOD:LAYER"):
        script.ranks_given("svd:2=20")
