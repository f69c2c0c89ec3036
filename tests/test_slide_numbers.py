"""Every number of the slides on compact architectures is right, or an erratum that says what is right."""

import inspect
import re
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

from factorkit import models
from factorkit.layers import ResNeXtBlock, ShiftAttentionConv2d
from micronet_resources.profile import profile_model

from . import slide_numbers
from .slide_number_table import derivation, lecture_table, rounded, verdicts
from .slide_numbers import LECTURES, SLIDE_NUMBERS, SlideNumber

REFERENCES = (Path(__file__).parents[1] / "book" / "references.bib").read_text()


def of(*verdicts: str):
    """The records with one of these verdicts, as parameters of a test."""
    records = [number for number in SLIDE_NUMBERS if number.verdict in verdicts]
    assert records
    return pytest.mark.parametrize("number", records, ids=lambda number: f"{number.slide}: {number.quantity}")


@of("right")
def test_what_is_right_rounds_to_what_is_printed(number: SlideNumber):
    assert number.rounds


@of("truncated")
def test_what_is_truncated_would_round_to_another_number(number: SlideNumber):
    assert number.truncates and not number.rounds


@of("erratum")
def test_an_erratum_is_neither_rounded_nor_truncated_and_says_what_is_right(number: SlideNumber):
    assert not number.rounds and not number.truncates
    assert len(number.note.split()) >= 8


@of("open")
def test_what_is_open_is_not_what_we_count(number: SlideNumber):
    assert not number.rounds and not number.truncates


@of("measured")
def test_what_is_measured_names_its_paper(number: SlideNumber):
    assert number.derive is None and number.source


def test_every_record_is_told_apart_and_cites_a_paper_that_the_book_has():
    assert len({(number.slide, number.quantity) for number in SLIDE_NUMBERS}) == len(SLIDE_NUMBERS)
    keys = set(re.findall(r"^@\w+\{([^,]+),", REFERENCES, flags=re.MULTILINE))
    assert {number.source for number in SLIDE_NUMBERS} - {""} <= keys
    assert {tuple(number.row()) for number in SLIDE_NUMBERS} == {tuple(SLIDE_NUMBERS[0].row())}


# The page with all of them.


def test_every_number_stands_in_the_table_of_one_lecture():
    tables = {lecture: lecture_table(lecture) for lecture in LECTURES}
    rows = [len(re.findall(r'<span class="verdict \w+">', table)) for table in tables.values()]
    assert rows == [len(numbers) for numbers in LECTURES.values()]
    assert sum(verdicts().values()) == len(SLIDE_NUMBERS) == sum(rows)
    with pytest.raises(KeyError):
        lecture_table("Pruning")


@of("right", "truncated", "erratum", "open")
def test_the_code_shown_for_a_number_is_python_that_names_what_it_fixes(number: SlideNumber):
    shown = derivation(number)
    assert shown.count("(") == shown.count(")") and "lambda" not in shown and rounded(number)
    for name in set(inspect.getclosurevars(number.derive).nonlocals) | set(inspect.signature(number.derive).parameters):
        assert f"{name} = " in shown


def test_the_code_shown_gives_the_number():
    numbers = [n for n in LECTURES["Compact architectures"] if n.derive is not None and "what" not in derivation(n)]
    assert len(numbers) > 10
    for number in numbers:
        assert eval(derivation(number), vars(slide_numbers).copy()) == number.derive()


@of("measured")
def test_what_is_measured_has_no_code(number: SlideNumber):
    assert rounded(number) == ""
    with pytest.raises(ValueError, match="was measured, no code derives it"):
        derivation(number)


# What the issue of each erratum is, beyond "the number differs".


def value(slide: str, quantity: str) -> float:
    """The derived value of the one record whose quantity starts like this."""
    (found,) = [n for n in SLIDE_NUMBERS if n.slide == slide and n.quantity.startswith(quantity)]
    return found.derive()


def test_the_formula_of_separated_kernels_lacks_the_pixels():
    (number,) = [n for n in SLIDE_NUMBERS if n.slide == slide_numbers.SEPARATION and n.verdict == "erratum"]
    assert Fraction(number.derive(), number.value) == 32 * 32


def test_squeezenets_mult_adds_in_table_9_are_operations():
    macs = value(slide_numbers.TABLE_9, "SqueezeNet, mult-adds")
    assert value(slide_numbers.TABLE_9, "SqueezeNet, operations") == 2 * macs
    assert 2 * 818_924_576 <= 2 * macs <= 1_666_000_000  # the smaller one is torchvision's


def test_no_classifier_gives_both_columns_of_table_10():
    """The mult-adds need 766 to 1,741 classes, the parameters 64 to 160."""
    counts = {classes: slide_numbers.mobilenet_v1(classes=classes) for classes in range(1, 2001)}
    macs = {classes for classes, count in counts.items() if round(count.macs / 1e6) == 569}
    params = {classes for classes, count in counts.items() if round(count.params / 1e6, 1) == 3.3}
    assert (min(macs), max(macs)) == (766, 1741)
    assert (min(params), max(params)) == (64, 160)


def test_the_separable_example_saves_as_much_as_its_formula_says():
    assert Fraction(10_275, 86_400) == Fraction(1, 128) + Fraction(1, 9)
    dense, separable = slide_numbers.DENSE, slide_numbers.DEPTHWISE + slide_numbers.POINTWISE
    assert (dense.params, separable.params) == (3_456, 411)


def test_a_sobel_kernel_is_the_column_times_the_row_of_the_slide():
    product = torch.tensor([[1], [2], [1]]) @ torch.tensor([[-1, 0, 1]])
    assert product.tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def test_rounding_the_attention_can_leave_a_slice_without_a_connection_and_the_largest_score_cannot():
    torch.manual_seed(0)
    layer = ShiftAttentionConv2d(64, 64)
    rounded = layer.attention.round().sum(-1)
    assert rounded.min() == 0
    left = (layer.harden().attention > 0).sum(-1)
    assert left.min() == left.max() == 1


def test_xception_came_before_mobilenet_and_a_thesis_before_both():
    years = {
        key: int(re.search(rf"@\w+\{{{key},.*?year\s*=\s*\{{(\d+)\}}", REFERENCES, flags=re.DOTALL)[1])
        for key in ("sifre2014rigid", "howard2017mobilenets")
    }
    assert years == {"sifre2014rigid": 2014, "howard2017mobilenets": 2017}


# The formulas of the records against the networks of the kit, which are built and counted another way.


def normalization_params(network: nn.Module) -> int:
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    return sum(p.numel() for layer in layers for p in layer.parameters())


@pytest.mark.parametrize("width, resolution", [(1.0, 224), (0.75, 224), (1.0, 192), (0.75, 192), (0.5, 160)])
@pytest.mark.parametrize("classes", [1000, 120])
def test_mobilenets_formula_counts_what_the_network_has(width, resolution, classes):
    network = models.mobilenet_v1(classes, width=width, form="imagenet")
    profile = profile_model(network, (3, resolution, resolution))
    formula = slide_numbers.mobilenet_v1(Fraction(width), resolution, classes)
    assert profile.macs == formula.macs
    assert profile.params - normalization_params(network) == formula.params


def test_squeezenets_formula_counts_what_the_network_has():
    profile = profile_model(models.squeezenet(), (3, 224, 224))
    formula = slide_numbers.squeezenet()
    assert profile.params == formula.params == 1_248_424
    assert 818_924_576 <= profile.macs <= formula.macs


def test_network_in_networks_formula_counts_what_both_networks_have():
    assert slide_numbers.network_in_network() == profile_model(models.nin(), (3, 32, 32)).params
    sparse = profile_model(models.double_sparsity_nin(), (3, 32, 32))
    assert slide_numbers.network_in_network(trained_kernels=False) == sparse.params
    assert sparse.params + sparse.buffers == slide_numbers.network_in_network()


def test_the_loss_of_double_sparsity_is_neither_points_nor_relative():
    points = value(slide_numbers.ACCURACY, "loss on CIFAR-10")
    assert (round(points), round(100 * points / Fraction("87.6"), 1)) == (13, Fraction("15.3"))


@pytest.mark.parametrize("groups", [1, 2])
def test_alexnets_formula_counts_what_the_network_has(groups):
    profile = profile_model(models.alexnet(groups=groups), (3, 227, 227))
    formula = slide_numbers.alexnet(groups=groups)
    assert (profile.params, profile.macs) == (formula.params, formula.macs)


def test_resnexts_formula_counts_what_the_block_has():
    block = ResNeXtBlock(256, 256, groups=32, width_per_group=4)
    profile = profile_model(block, (256, 14, 14))
    formula = slide_numbers.resnext_block()
    assert (profile.params - normalization_params(block), profile.macs) == (formula.params, formula.macs)
