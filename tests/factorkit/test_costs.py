"""Costs are formulas: they are held against real layers and real output maps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from factorkit.costs import (
    ConvCost,
    conv2d_cost,
    conv2d_output_size,
    depthwise_separable_cost,
    grouped_cost,
    spatially_separable_cost,
)
from factorkit.layers import DepthwiseSeparableConv2d, SpatiallySeparableConv2d


def measured(layer: nn.Module, in_channels: int, input_size: tuple[int, int]) -> ConvCost:
    """Count parameters by their tensors and MACs by the output maps that a real forward pass makes."""
    macs = 0

    def count(conv: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * conv.weight[0].numel()

    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        layer(torch.zeros(1, in_channels, *input_size))
    return ConvCost(sum(p.numel() for p in layer.parameters()), macs)


sizes = st.tuples(st.integers(7, 14), st.integers(7, 14))
kernels = st.tuples(st.integers(1, 5), st.integers(1, 5))
small_pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.one_of(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.just("valid"))


@given(sizes, kernels, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), small_pairs, paddings, st.booleans())
def test_conv2d_cost_equals_a_measured_layer(size, kernel, group_in, group_out, groups, stride, padding, bias):
    channels_in, channels_out = group_in * groups, group_out * groups
    options = {"stride": stride, "padding": padding, "groups": groups, "bias": bias}
    layer = nn.Conv2d(channels_in, channels_out, kernel, **options)
    assert conv2d_cost(size, kernel, channels_in, channels_out, **options) == measured(layer, channels_in, size)


@given(st.integers(9, 16), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))
def test_output_size_equals_torch(size, kernel, dilation, padding, stride):
    layer = nn.Conv2d(1, 1, kernel, stride=stride, padding=padding, dilation=dilation)
    expected = tuple(layer(torch.zeros(1, 1, size, size)).shape[-2:])
    assert conv2d_output_size(size, kernel, stride=stride, padding=padding, dilation=dilation) == expected


@given(sizes, kernels, st.integers(1, 4), st.integers(1, 4), small_pairs, paddings, st.booleans())
def test_depthwise_separable_cost_equals_the_layer(size, kernel, channels_in, channels_out, stride, padding, bias):
    layer = DepthwiseSeparableConv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=bias)
    expected = measured(layer, channels_in, size)
    options = {"stride": stride, "padding": padding, "bias": bias}
    assert depthwise_separable_cost(size, kernel, channels_in, channels_out, **options) == expected


@given(sizes, kernels, st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), small_pairs, paddings, st.booleans())
def test_spatially_separable_cost_equals_the_layer(size, kernel, c_in, c_out, mid, stride, padding, bias):
    layer = SpatiallySeparableConv2d(c_in, c_out, kernel, mid_channels=mid, stride=stride, padding=padding, bias=bias)
    options = {"mid_channels": mid, "stride": stride, "padding": padding, "bias": bias}
    assert spatially_separable_cost(size, kernel, c_in, c_out, **options) == measured(layer, c_in, size)


def test_same_padding_keeps_the_size():
    assert conv2d_cost(32, 3, 3, 16, padding="same").macs == 32 * 32 * 9 * 3 * 16
    assert spatially_separable_cost(8, 5, 2, 2, padding="same").macs == 8 * 8 * 2 * (5 * 2 * 2)
    assert depthwise_separable_cost(8, 5, 2, 4, padding="same").macs == 8 * 8 * (25 * 2 + 2 * 4)


def test_the_slides_numbers():
    dense = conv2d_cost(input_size=7, kernel_size=3, in_channels=3, out_channels=128)
    separable = depthwise_separable_cost(input_size=7, kernel_size=3, in_channels=3, out_channels=128)
    assert (dense.macs, separable.macs) == (86_400, 10_275)
    assert separable.macs * 128 * 9 == dense.macs * (9 + 128)  # (1 / 128 + 1 / 9) of the dense cost, exactly
    assert (dense.params, separable.params) == (3456, 411)


@given(st.integers(1, 4).map(lambda g: 2**g))
def test_grouping_divides_the_cost(groups):
    assert grouped_cost(9, 3, 32, 64, groups) * groups == conv2d_cost(9, 3, 32, 64)


def test_costs_add_and_multiply():
    one = ConvCost(params=2, macs=3)
    assert one + one == 2 * one == one * 2 == ConvCost(4, 6)
    with pytest.raises(TypeError):
        one + 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: conv2d_cost(8, 3, 6, 16, groups=4),
            r"cannot group 6 input channels into 4 groups.*6 and 16 here.*2 would",
        ),
        (lambda: conv2d_cost(8, 0, 3, 4), r"kernel_size=0"),
        (lambda: conv2d_cost((8, 8, 8), 3, 3, 4), r"input_size=\(8, 8, 8\)"),
        (lambda: conv2d_cost(8.0, 3, 3, 4), r"input_size=8.0"),
        (lambda: conv2d_cost(8, 3, 0, 4), r"in_channels=0"),
        (lambda: conv2d_cost(8, 3, 3, 4, padding=-1), r"padding=-1"),
        (lambda: conv2d_cost(8, 3, 3, 4, padding="full"), r"padding='full'"),
        (lambda: conv2d_cost(8, 3, 3, 4, padding="same", stride=2), r"padding='same' needs stride=1"),
        (lambda: conv2d_cost(2, 3, 3, 4), r"does not fit into the padded input of 2 x 2"),
        (lambda: spatially_separable_cost(8, 3, 3, 4, mid_channels=0), r"mid_channels=0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
