"""Faster copies give the outputs of the networks that they were made from."""

import pytest
import torch
from torch import nn

from factorkit import models
from factorkit.inference import fold_batch_norm, to_channels_last
from factorkit.layers import DCTConv2d, InvertedResidual, ResNeXtBlock, ShiftConv2d, channel_shuffle
from factorkit.models.densenets import DenseLayer
from micronet_resources.profile import profile_model

SMALL = [name for name in models.__all__ if name.startswith("small_")]


def with_statistics(model):
    """Give every batch normalization statistics and weights that make a difference."""
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return model


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", SMALL)
def test_folding_changes_no_output_and_leaves_no_normalization(name):
    model = with_statistics(getattr(models, name)())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batch_norm(model)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected, got = model.eval()(images), folded(images)
    scale = float(expected.abs().max())
    torch.testing.assert_close(got / scale, expected / scale, atol=1e-5, rtol=1e-4)
    # A DenseNet normalizes what it reads: only the middle of each layer is between two convolutions. A fixed dictionary
    # keeps its atoms.
    dense_layers = sum(isinstance(module, DenseLayer) for module in model.modules())
    dictionaries = sum(isinstance(module, DCTConv2d) for module in model.modules())
    assert norms(folded) == (norms(model) - dense_layers if dense_layers else dictionaries)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not folded.training


def test_folding_saves_a_scale_for_each_map():
    model = models.small_convnet()
    folded = fold_batch_norm(model)
    before, after = (profile_model(network, (3, 32, 32)) for network in (model, folded))
    assert before.macs == after.macs
    assert before.params - after.params == 2 * (
        16 + 32 + 64
    )  # scale and shift less, a bias more, in each of two layers


class Shared(nn.Module):
    """One convolution for two normalizations, one normalization for two convolutions, an output that is read twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.other, self.third = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x):
        x = self.bn1(self.conv(x))
        x = self.bn2(self.conv(x))
        x = self.bn2(self.other(x))
        third = self.third(x)
        return channel_shuffle(self.bn3(third), 2) + third


def test_what_is_shared_is_not_folded():
    model = with_statistics(Shared()).eval()
    folded = fold_batch_norm(model)
    images = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(folded(images), model(images))
    assert norms(folded) == 3


def test_a_normalization_without_statistics_stays():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    assert norms(fold_batch_norm(model)) == 1


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), ShiftConv2d(3, 4, 3)])
def test_a_single_layer_is_copied(layer):
    folded = fold_batch_norm(nn.Sequential(layer, nn.BatchNorm2d(4), nn.ReLU()))
    assert isinstance(folded[1], nn.Identity) == isinstance(layer, nn.Conv2d)
    images = torch.randn(2, 3, 6, 6)
    assert torch.equal(fold_batch_norm(layer)(images), layer(images))


def test_a_forward_that_decides_on_values_is_refused():
    class Deciding(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="cannot follow the forward of Deciding"):
        fold_batch_norm(Deciding())


@pytest.mark.parametrize("block", [InvertedResidual(8, 8), ResNeXtBlock(8, 16, groups=2, stride=2)])
def test_channels_last_changes_the_format_and_nothing_else(block):
    block = with_statistics(block).eval()
    fast = to_channels_last(block)
    images = torch.randn(2, 8, 9, 9)
    got = fast(images)
    torch.testing.assert_close(got, block(images), atol=1e-5, rtol=1e-4)
    assert got.is_contiguous(memory_format=torch.channels_last)
    weights = [module.weight for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert all(weight.is_contiguous() for weight in weights)
