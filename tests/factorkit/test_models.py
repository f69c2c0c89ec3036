import pytest
import torch

from factorkit.layers import DepthwiseSeparableConv2d
from factorkit.models import resnet18_cifar, small_convnet


def test_resnet18_is_the_reference_network():
    model = resnet18_cifar()
    assert sum(p.numel() for p in model.parameters()) == 11_173_962
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_small_convnet_keeps_its_first_convolution_dense():
    model = small_convnet((8, 16), in_channels=1, num_classes=4, conv=DepthwiseSeparableConv2d)
    assert isinstance(model[0], torch.nn.Conv2d)
    assert sum(isinstance(m, DepthwiseSeparableConv2d) for m in model) == 3
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


def test_small_convnet_needs_a_stage():
    with pytest.raises(ValueError, match="at least one stage"):
        small_convnet(())
