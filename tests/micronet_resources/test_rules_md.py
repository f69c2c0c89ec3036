"""RULES.md: every number that it prints is computed again, and what it says about the rules is what the data say."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.models import resnet18_cifar, small_convnet
from micronet_resources import rules as rules_module
from micronet_resources.encoding import Encoding
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.operations import Operation
from micronet_resources.profile import profile_model
from micronet_resources.rulebook.assumptions import Assumptions
from micronet_resources.rulebook.charges import Charge, charge_work
from micronet_resources.rules import RULES, rule_set
from micronet_resources.scoring import estimate, score

TEXT = Path(rules_module.__file__).with_name("RULES.md").read_text(encoding="utf-8")
ONE_LINE = " ".join(TEXT.split())
WIDTHS = (32, 16, 8, 1)


def table_below(heading):
    """Cells of the first table after some text, without its heading and rule."""
    lines = TEXT[TEXT.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


# --- Networks ---------------------------------------------------------------------------------------------------------


class WideBlock(nn.Module):
    """Normalization, ReLU and convolution, twice, around a shortcut."""

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False) if in_channels != channels else None

    def forward(self, x):
        y = F.relu(self.bn1(x))
        x = x if self.shortcut is None else self.shortcut(y)
        return x + self.conv2(F.relu(self.bn2(self.conv1(y))))


def wide_resnet():
    """WRN-28-10 for 100 classes: 28 layers, 10 times as wide as a ResNet for 32 x 32 images."""
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for width, stride in [(160, 1), (320, 2), (640, 2)]:
        for first in (True, False, False, False):
            layers.append(WideBlock(channels, width, stride if first else 1))
            channels = width
    head = [nn.BatchNorm2d(640), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(640, 100)]
    return nn.Sequential(*layers, *head)


NETWORKS = {
    "`small_convnet`": (small_convnet, "patterns"),
    "`resnet18_cifar`": (resnet18_cifar, "cifar10"),
    "WRN-28-10": (wide_resnet, "cifar100"),
}


@pytest.fixture(scope="module")
def profiles():
    with torch.device("meta"):  # shapes are all that estimates need
        return {name: profile_model(build(), (3, 32, 32)) for name, (build, _) in NETWORKS.items()}


def test_the_references_are_those_of_the_networks(profiles):
    counts = {name: (profile.params, profile.macs) for name, profile in profiles.items()}
    assert counts == {
        "`small_convnet`": (72_954, 9_880_192),
        "`resnet18_cifar`": (11_173_962, 555_422_720),
        "WRN-28-10": (36_536_884, 5_243_386_368),
    }


def test_the_table_of_whole_networks(profiles):
    expected = []
    for name, (_, task) in NETWORKS.items():
        for rules in RULES:
            scores = (estimate(profiles[name], rules, task, weight_bits=bits, activation_bits=bits) for bits in WIDTHS)
            expected.append([name, f"`{task}`", f"`{rules}`", *(f"{float(number):.4f}" for number in scores)])
    assert table_below("**Whole networks**") == expected


def test_the_small_reference_is_its_own_measure(profiles):
    profile = profiles["`small_convnet`"]
    assert float(estimate(profile, "course2025", "patterns")) == 4
    for rules in ("course2025", "course2023"):
        half = estimate(profile, rules, "patterns", weight_bits=16, activation_bits=16)
        assert float(half) == pytest.approx(2, abs=1e-12)


def test_the_constants_of_the_script_of_2023(profiles):
    profile = profiles["`resnet18_cifar`"]
    half = estimate(profile, "course2023", weight_bits=16, activation_bits=16)
    assert half.operation_term * half.task.reference_ops == pytest.approx(834_362_880, abs=1e-3)
    [biases] = [operation for operation in profile.operations if operation.kind == "bias"]
    script = 834_362_880 - biases.additions
    assert f"{script:,} operations" in ONE_LINE
    assert script == 834_362_870
    assert int(torch.tensor(float(script), dtype=torch.float32)) == 834_362_880


def full_width(profile, rules, kinds):
    """Storage and arithmetic of an unquantized network at 32 bits, the free width left aside."""
    task = rules.task()
    assumed = Assumptions(32, 32, 0.0, 0.0)
    works = [work for work in assumed.works(profile, rules) if work.kind in kinds]
    charges = [charge for work in works for charge in charge_work(work, rules, free=False).values()]
    return profile.params / task.reference_params, sum(charges, Charge()).full / task.reference_ops


def test_a_wide_resnet_scores_two_within_the_rounding_of_the_published_references(profiles):
    rules, profile = rule_set("neurips2019"), profiles["WRN-28-10"]
    storage, operations = full_width(profile, rules, {"convolution", "linear"})
    assert operations * rules.task().reference_ops == pytest.approx(10.487e9, abs=5e6)
    assert storage + operations == pytest.approx(2, abs=0.0025)
    # With normalization, activations, pooling and sums it is hardly more, and the free width leaves five eighths of it.
    storage, operations = full_width(profile, rules, set(rules.multiplied))
    assert storage + operations == pytest.approx(2, abs=0.005)
    assert float(estimate(profile, "neurips2019")) == pytest.approx(5 / 8 * 2, abs=0.005)


def test_numbers_of_the_resnet18_of_2025(profiles):
    profile = profiles["`resnet18_cifar`"]
    for options, expected in [
        ({}, 3.9790),
        ({"weight_bits": 16, "activation_bits": 16}, 1.9895),
        ({"weight_bits": 8, "activation_bits": 8}, 0.9948),
        ({"weight_bits": 16, "activation_bits": 16, "pruned_unstructured": 0.9}, 1.0916),
        ({"weight_bits": 1, "activation_bits": 16}, 1.0542),
        ({"weight_bits": 1, "activation_bits": 1}, 0.1243),
    ]:
        assert float(estimate(profile, **options)) == pytest.approx(expected, abs=5e-5)


# --- One layer by hand ------------------------------------------------------------------------------------------------


def layer_by_hand():
    weights, zeros, outputs = 16 * 32 * 9, 3 * 16 * 32 * 9 // 4, 32 * 16 * 16
    macs = outputs * 16 * 9
    left = weights - zeros
    grid = (Encoding("grid", 4, weights, 32, 0, 4), Encoding("grid", 4, left, 32, weights, 4))
    tensors = (
        StoredTensor("weight", (32, 16, 3, 3), "weight", weights, left, grid),
        StoredTensor("scale", (32,), "normalization", 32, 32, (Encoding("dense", 32, 32, 0, 0, 32),), folded=True),
        StoredTensor("bias", (32,), "normalization", 32, 32, (Encoding("dense", 32, 32, 0, 0, 32),)),
    )
    convolution = Operation("conv2d", "convolution", outputs, macs, macs - outputs, "weight")
    normalization = Operation("batch_norm", "normalization", outputs, outputs, outputs, "scale")
    relu = Operation("relu", "activation", outputs, outputs, 0)
    operations = (
        MeasuredOperation(convolution, 4, 8, False, outputs, macs, macs // 4),
        MeasuredOperation(normalization, 32, 32, False, outputs, 0, 0, folded=True),
        MeasuredOperation(relu, 32, 32, False, outputs, 0, 0),
    )
    return Inventory(tensors, operations)


def test_the_worked_example_of_one_layer():
    layer = layer_by_hand()
    weight, convolution = layer.tensors[0], layer.operations[0].operation
    for number in (16 * 32 * 9, weight.live - weight.nonzero, convolution.outputs, convolution.macs):
        assert f"{number:,}" in TEXT[TEXT.index("**One layer by hand**") :].split("|")[0]
    expected = []
    for rules in RULES:
        result = score(layer, rules, "patterns")
        expected += [[f"`{rules}`", term.name, term.explanation, f"{term.value:.4f}"] for term in result.terms]
        expected.append([f"`{rules}`", "**score**", "", f"**{float(result):.4f}**"])
    assert table_below("**One layer by hand**") == expected


def test_the_arithmetic_of_the_worked_example_is_right():
    for _, name, arithmetic, value in table_below("**One layer by hand**"):
        if name != "**score**":
            plain = re.sub(r"for (tables and scales|masks)|,", "", arithmetic).replace(" x ", " * ")
            assert set(plain) <= set("0123456789.+*/() ")
            assert f"{eval(plain):.4f}" == value


def test_the_example_of_the_official_page():
    task = rule_set("neurips2019").task("imagenet")
    value = 3e6 / task.reference_params + 500e6 / task.reference_ops
    assert f"3 / 6.9 + 500 / 1170 = {value:.3f}" in ONE_LINE


# --- Rules and tasks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_each_rule_set_is_described_and_sourced(rules):
    assert f"`{rules.name}`. {rules.description} Source: {rules.source}." in ONE_LINE


def test_the_table_of_tasks_is_the_data():
    expected = []
    for rules in RULES.values():
        for task in rules.tasks.values():
            size = " x ".join(map(str, task.input_shape)) + (" or another size" if task.sizes_vary else "")
            images = f"{size}, {task.num_classes:,} classes"
            references = (f"{task.reference_params:,}", f"{task.reference_ops:,}")
            needed = f"{task.threshold_percent} %"
            reference = task.reference if "-" in task.reference else f"`{task.reference}`"
            row = [f"`{rules.name}`", f"`{task.data}`", images, needed, reference, *references, task.source]
            expected.append(row)
    assert table_below("## The tasks") == expected


@pytest.mark.parametrize("task", [task for task in rule_set("course2025").tasks.values() if task.has_points])
def test_the_scales_of_points_are_the_data(task):
    section = TEXT[TEXT.index(f"### `{task.data}`") :]
    assert task.scale(12) in section
    assert f"`{task.reference}`" in section[: section.index("|")]


def test_the_formula_is_that_of_the_course():
    task = rule_set("course2025").task("cifar10")
    formula = TEXT[TEXT.index("**The formula of 2025.**") :]
    assert rf"\frac{{w}}{{{task.reference_params / 1e6:g} \cdot 10^6}}" in formula
    assert rf"\frac{{f}}{{{task.reference_ops / 1e8:g} \cdot 10^8}}" in formula


# What a cell of the table says, by the field that decides it.
CELLS = {
    "default task": lambda rules: f"`{rules.default_task}`",
    "a stored tensor": lambda rules: (
        "its cheapest exact encoding" if rules.counts_tables else "its non-zero values, as wide as in that encoding"
    ),
    "tables and scales of an encoding": lambda rules: "count" if rules.counts_tables else "free",
    "mask of a sparse tensor": lambda rules: f"{rules.mask_bits} bit for each element" if rules.mask_bits else "free",
    "multiplications of convolutions, linear layers, matrix products, attention, recurrent layers": lambda rules: (
        "count" if {"convolution", "linear", "matmul", "attention", "recurrent"} <= rules.multiplied else "free"
    ),
    "products of two tensors, element by element": lambda rules: "count" if "product" in rules.multiplied else "free",
    "their additions": lambda rules: "count apart, 32 bits" if "convolution" in rules.added else "come with them",
    "adding a bias": lambda rules: "32 bits" if "bias" in rules.added else "free",
    "normalization, for each element": lambda rules: (
        f"{rules.per_normalized} operations of 32 bits"
        if rules.per_normalized
        else "1 multiplication and 1 addition; folded: 1 addition"
        if rules.folds_normalization
        else "free"
    ),
    "activations, pooling, sums of feature maps": lambda rules: (
        "count; a ReLU is a multiplication" if {"activation", "pooling", "residual"} <= rules.added else "free"
    ),
    "width of a multiplication": lambda rules: (
        "its wider factor" + (f"; by +1 or -1: {rules.signs_bits} bit" if rules.signs_bits else "")
    ),
    "single weights that are zero save": lambda rules: "storage and arithmetic" if rules.skips_zeros else "storage",
    "whole filters and channels that are zero save": lambda rules: "storage and arithmetic",
    "if nothing is narrower than 16 bits": lambda rules: (
        f"storage and multiplications count at {rules.free_bits} bits" if rules.free_bits else "-"
    ),
}


def test_the_rule_sets_side_by_side_are_the_data():
    assert table_below("Side by side") == [
        [name, *(cell(rules) for rules in RULES.values())] for name, cell in CELLS.items()
    ]


def test_the_break_even_of_a_mask():
    pays = {bits: 100 / bits for bits in (8, 4, 2)}
    assert "12.5 % at 8 bits, 25 % at 4, 50 % at 2, and never at 1" in ONE_LINE
    assert pays == {8: 12.5, 4: 25, 2: 50}


def test_how_much_smaller_the_winners_of_2019_were():
    rows = table_below("## Results of 2019")
    first = {name: float(number) for name, number, *_ in rows}
    factors = f"are {round(2 / first['ImageNet'])} and {round(2 / first['CIFAR-100'])} times smaller"
    assert factors in ONE_LINE


def test_the_commands_run(capsys):
    from micronet_resources.command import main

    measure, at_16_bits = re.findall(r"python -m micronet_resources\.profile (factorkit.+)", TEXT)
    assert main(measure.split()) == 0
    assert "under course2025 on patterns (measured" in capsys.readouterr().out
    assert main(at_16_bits.split()) == 0
    assert "Score 2.0000 under course2025 on patterns (estimate" in capsys.readouterr().out
