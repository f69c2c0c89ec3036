"""Network in network and its double-sparsity form have exactly the counts of the report, and are what they say."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.costs import conv2d_cost
from factorkit.layers import DCTConv2d, effective_kernels
from factorkit.models import double_sparsity_nin, nin, small_double_sparsity_nin, small_nin
from micronet_resources.profile import profile_model

SHAPE = (3, 32, 32)
# The convolutions in order: pixels of the output, kernel size, maps in, maps out.
CONVOLUTIONS = [
    *((32, 5, 3, 192), (32, 1, 192, 160), (32, 1, 160, 96)),
    *((16, 5, 96, 192), (16, 1, 192, 192), (16, 1, 192, 192)),
    *((8, 3, 192, 192), (8, 1, 192, 192), (8, 1, 192, 10)),
]


def params(network):
    return sum(parameter.numel() for parameter in network.parameters())


def dct_layers(network):
    return [layer for layer in network if isinstance(layer, DCTConv2d)]


def test_the_counts_of_the_report_are_exact():
    network, sparse = nin(), double_sparsity_nin()
    assert params(network) == 966_986
    assert params(sparse) == 160_010
    assert round(params(sparse) / params(network), 3) == 0.165
    assert round(params(network) / params(sparse)) == 6  # not the 7 of its text


def test_what_is_trained_is_the_pointwise_layers_and_the_biases_of_the_dct():
    sparse = double_sparsity_nin()
    pointwise = [layer for layer in sparse if isinstance(layer, nn.Conv2d)]
    assert {layer.kernel_size for layer in pointwise} == {(1, 1)}
    assert sum(layer.weight.numel() for layer in pointwise) == 158_592
    assert sum(layer.bias.numel() for layer in pointwise) == 842
    assert sum(layer.bias.numel() for layer in dct_layers(sparse)) == 576
    assert sum(layer.weight.numel() for layer in dct_layers(sparse)) == 806_976 == 966_986 - 160_010


@pytest.mark.parametrize("build", [nin, double_sparsity_nin])
def test_fixed_kernels_save_no_multiplication(build):
    cost = sum(
        (conv2d_cost(size, k, i, o, padding=k // 2, bias=True) for size, k, i, o in CONVOLUTIONS[1:]),
        conv2d_cost(32, 5, 3, 192, padding=2, bias=True),
    )
    assert cost.params == 966_986
    profile = profile_model(build(), SHAPE)
    assert profile.macs == cost.macs == 222_486_528


@pytest.mark.parametrize("build, same", [(nin, double_sparsity_nin), (small_nin, small_double_sparsity_nin)])
def test_both_forms_differ_in_the_kernels_of_more_than_one_pixel_only(build, same):
    trained, fixed = build(7), same(7)
    assert len(trained) == len(fixed)
    for ours, theirs in zip(trained, fixed, strict=True):
        if isinstance(theirs, DCTConv2d):
            assert isinstance(ours, nn.Conv2d) and ours.weight.shape == theirs.weight.shape
            assert ours.padding == theirs.padding and ours.stride == theirs.stride
        else:
            assert repr(ours) == repr(theirs)
    assert len(dct_layers(fixed)) == 3
    # The coefficients of the DCT are the difference in parameters.
    assert params(trained) - params(fixed) == sum(layer.weight.numel() for layer in dct_layers(fixed))
    images = torch.randn(2, *SHAPE)
    assert trained(images).shape == fixed(images).shape == (2, 7)


def test_maps_are_halved_twice():
    with torch.device("meta"):
        network, maps = nin(), torch.zeros(2, *SHAPE)
        sizes = []
        for layer in network[:-2]:
            maps = layer(maps)
            if isinstance(layer, nn.Conv2d):
                sizes.append((maps.shape[-1], layer.kernel_size[0], layer.in_channels, layer.out_channels))
    assert sizes == CONVOLUTIONS


def test_without_the_relu_the_first_two_layers_are_one_convolution():
    torch.manual_seed(0)
    images = torch.randn(2, *SHAPE)
    network = double_sparsity_nin(relu_after_dct=False).eval()
    kernels = effective_kernels(network[0], network[1])
    assert kernels.shape == (160, 3, 5, 5)
    expected = network[1](network[0](images))
    torch.testing.assert_close(F.conv2d(images, kernels, padding=2), expected, atol=1e-4, rtol=1e-3)
    assert params(network) == 160_010
    assert sum(isinstance(layer, nn.ReLU) for layer in network) == 5
    assert sum(isinstance(layer, nn.ReLU) for layer in double_sparsity_nin()) == 8


def test_without_the_relu_the_first_layers_of_the_small_network_are_one_convolution_too():
    torch.manual_seed(0)
    images = torch.randn(8, *SHAPE)
    network = small_double_sparsity_nin(relu_after_dct=False)
    network(images)
    network.eval()
    kernels = effective_kernels(network[0], network[2], normalization=network[1])
    front, zero = network[:3], torch.zeros(1, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(
            F.conv2d(images, kernels, padding=2), front(images) - front(zero), atol=1e-4, rtol=1e-3
        )
    with_relu = small_double_sparsity_nin()
    assert isinstance(with_relu[1], nn.BatchNorm2d) and with_relu[3].kernel_size == (1, 1)


@pytest.mark.parametrize("build", [nin, double_sparsity_nin, small_nin, small_double_sparsity_nin])
def test_errors_name_the_value(build):
    with pytest.raises(ValueError, match="num_classes=0: give an integer"):
        build(0)
