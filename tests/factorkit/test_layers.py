"""Factorized layers are held against the dense convolution that they are equal to."""

import pytest
import torch
from torch import nn

from factorkit.layers import DepthwiseSeparableConv2d, SpatiallySeparableConv2d

LAYERS = [DepthwiseSeparableConv2d, SpatiallySeparableConv2d]


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": (2, 1)}, {"padding": "same"}])
@pytest.mark.parametrize("kernel_size", [3, (5, 1), (1, 3)])
def test_output_shape_is_that_of_conv2d(layer_class, options, kernel_size):
    images = torch.randn(2, 4, 12, 9)
    expected = nn.Conv2d(4, 6, kernel_size, **options)(images).shape
    assert layer_class(4, 6, kernel_size, **options)(images).shape == expected


def test_depthwise_separable_is_a_dense_convolution_with_factorized_weights():
    layer = DepthwiseSeparableConv2d(4, 6, 3, stride=2, padding=1)
    weight = layer.pointwise.weight * layer.depthwise.weight.transpose(0, 1)  # O x I x 1 x 1 times 1 x I x k x k
    images = torch.randn(2, 4, 9, 9)
    dense = nn.functional.conv2d(images, weight, layer.pointwise.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(images), dense)


def test_spatially_separable_is_a_dense_convolution_of_limited_rank():
    layer = SpatiallySeparableConv2d(4, 6, (3, 5), mid_channels=2, padding=(1, 2))
    vertical, horizontal = layer.vertical.weight[..., 0], layer.horizontal.weight[..., 0, :]  # M x I x h, O x M x w
    weight = torch.einsum("mih,omw->oihw", vertical, horizontal)
    images = torch.randn(2, 4, 9, 9)
    dense = nn.functional.conv2d(images, weight, layer.horizontal.bias, padding=(1, 2))
    torch.testing.assert_close(layer(images), dense)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_only_the_last_step_has_a_bias(layer_class):
    with_bias = [name for name, _ in layer_class(4, 6, 3).named_parameters() if "bias" in name]
    assert len(with_bias) == 1
    assert not [name for name, _ in layer_class(4, 6, 3, bias=False).named_parameters() if "bias" in name]
