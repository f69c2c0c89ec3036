"""The formulas of the study of CP and Tucker against layers, and the errata of its text."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from .tensor_study_numbers import TENSOR_STUDY_NUMBERS, cp_params, tucker2_params, vgg16_params


def params(*layers: nn.Module) -> int:
    return sum(p.numel() for layer in layers for p in layer.parameters())


@pytest.mark.parametrize("number", TENSOR_STUDY_NUMBERS, ids=lambda number: f"{number.slide}: {number.quantity}")
def test_the_verdicts_are_what_arithmetic_gives(number):
    verdict = "right" if number.rounds else "truncated" if number.truncates else "erratum"
    assert verdict == number.verdict and number.note


@pytest.mark.parametrize("channels, rank", [(64, 20), (64, 60), (512, 100)])
def test_the_formulas_count_what_the_layers_have(channels, rank):
    with torch.device("meta"):
        pointwise = nn.Conv2d(channels, rank, 1, bias=False), nn.Conv2d(rank, channels, 1, bias=False)
        depthwise = [nn.Conv2d(rank, rank, size, groups=rank, bias=False) for size in ((3, 1), (1, 3))]
        assert cp_params(channels, rank) == params(*pointwise, *depthwise)
        assert tucker2_params(channels, rank) == params(*pointwise, nn.Conv2d(rank, rank, 3, bias=False))


def test_the_network_has_so_many_parameters():
    assert (vgg16_params(1000), vgg16_params(10)) == (138_357_544, 134_301_514)


def test_rank_60_of_layer_2_grows_and_the_printed_ratio_is_the_inverse():
    grown, dense = tucker2_params(64, 60), 9 * 64 * 64
    assert grown == 40_080 > dense and round(Fraction(grown, dense), 1) == Fraction("1.1")
    assert tucker2_params(64, 57) < dense < tucker2_params(64, 58)


def test_ranks_of_the_study_from_which_cp_makes_layer_2_larger():
    dense = 9 * 64 * 64
    assert [cp_params(64, rank) > dense for rank in (200, 275, 276, 300, 400, 500)] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]
