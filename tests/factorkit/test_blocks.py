"""The blocks of compact networks, held against torchvision's, against the papers and against their other forms."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.checks import trusted_copy
from factorkit.layers import (
    DepthwiseSeparableBlock,
    Fire,
    InvertedResidual,
    ResNeXtBlock,
    SplitResNeXtBlock,
    channel_shuffle,
)
from factorkit.torchvision_import import import_torchvision
from micronet_resources.profile import profile_model


def weights(module):
    """Weights of the convolutions only."""
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d))


def params(module):
    return sum(parameter.numel() for parameter in module.parameters())


def with_weights_of(block, other):
    """Give a block the tensors of another one whose layers are listed in the same order."""
    names, values = list(block.state_dict()), list(other.state_dict().values())
    block.load_state_dict(dict(zip(names, values, strict=True)))
    return block


def randomized(module):
    """Give every batch normalization statistics and weights that make a difference."""
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return module


def assert_same_function(block, other, in_channels):
    images = torch.randn(2, in_channels, 9, 11)
    for training in (False, True):
        with torch.no_grad():
            got, expected = block.train(training)(images), other.train(training)(images)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_fire_is_torchvisions():
    Theirs = import_torchvision().models.squeezenet.Fire
    theirs = Theirs(12, 4, 8, 16)
    ours = with_weights_of(Fire(12, 4, 8, 16), theirs)
    assert_same_function(ours, theirs, 12)


def test_fire2_has_the_parameters_of_the_paper():
    # SqueezeNet, table 1: 11,920 parameters before pruning.
    assert params(Fire(96, 16, 64, 64)) == 11_920


def test_fire_with_batch_norm_normalizes_every_step_and_has_no_bias():
    fire = Fire(12, 4, 8, 16, batch_norm=True)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in fire.modules()) == 3
    assert weights(fire) == 12 * 4 + 4 * 8 + 9 * 4 * 16 == params(fire) - 2 * (4 + 8 + 16)


@pytest.mark.parametrize("in_channels, out_channels, stride", [(8, 8, 1), (8, 24, 1), (8, 8, 2), (5, 7, 3)])
def test_depthwise_separable_block_is_what_figure_3_of_the_paper_shows(in_channels, out_channels, stride):
    block = randomized(DepthwiseSeparableBlock(in_channels, out_channels, stride=stride)).eval()
    assert weights(block) == 9 * in_channels + in_channels * out_channels
    images = torch.randn(2, in_channels, 9, 11)
    maps = F.relu(block.bn1(F.conv2d(images, block.depthwise.weight, None, stride, 1, 1, in_channels)))
    maps = torch.einsum("oi,nihw->nohw", block.pointwise.weight[:, :, 0, 0], maps)
    got = block(images)
    torch.testing.assert_close(got, F.relu(block.bn2(maps)), atol=1e-5, rtol=1e-5)
    assert got.shape == (2, out_channels, -(-9 // stride), -(-11 // stride))


@pytest.mark.parametrize("in_channels, out_channels, stride, expansion", [(8, 8, 1, 6), (8, 16, 2, 6), (8, 8, 1, 1)])
def test_inverted_residual_is_torchvisions(in_channels, out_channels, stride, expansion):
    Theirs = import_torchvision().models.mobilenetv2.InvertedResidual
    theirs = randomized(Theirs(in_channels, out_channels, stride, expansion))
    ours = with_weights_of(InvertedResidual(in_channels, out_channels, stride=stride, expansion=expansion), theirs)
    assert ours.has_shortcut == theirs.use_res_connect == (stride == 1 and in_channels == out_channels)
    assert_same_function(ours, theirs, in_channels)


def test_the_bottleneck_is_linear():
    block = InvertedResidual(8, 16)
    assert float(block(torch.randn(2, 8, 6, 6)).detach().min()) < 0


@pytest.mark.parametrize("in_channels, out_channels, stride", [(32, 32, 1), (16, 32, 2), (16, 32, 1)])
def test_resnext_block_is_torchvisions(in_channels, out_channels, stride):
    Theirs = import_torchvision().models.resnet.Bottleneck
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    planes = out_channels // 4  # torchvision expects 4 times as many output maps; width is planes * base / 64 * groups
    theirs = randomized(Theirs(in_channels, planes, stride, shortcut, groups=4, base_width=64 * 2 // planes))
    ours = ResNeXtBlock(in_channels, out_channels, groups=4, width_per_group=2, stride=stride)
    with_weights_of(ours, theirs)
    assert_same_function(ours, theirs, in_channels)


def test_resnext_and_resnet_blocks_cost_about_the_same():
    # Xie et al., figure 1: 256 maps, 1 x 1 to 64, 3 x 3, 1 x 1 to 256, against 32 groups of 4 maps.
    resnet = 256 * 64 + 9 * 64 * 64 + 64 * 256
    resnext = weights(ResNeXtBlock(256, 256, groups=32, width_per_group=4))
    assert (resnet, resnext) == (69_632, 70_144)


@pytest.mark.parametrize("groups, width", [(1, 6), (4, 3), (32, 4), (5, 1)])
@pytest.mark.parametrize("in_channels, out_channels, stride", [(16, 16, 1), (16, 24, 2)])
def test_grouped_and_split_forms_are_the_same_function(groups, width, in_channels, out_channels, stride):
    block = randomized(ResNeXtBlock(in_channels, out_channels, groups=groups, width_per_group=width, stride=stride))
    split = block.split()
    assert isinstance(split, SplitResNeXtBlock) and len(split.branches) == groups
    assert params(split) == params(block)
    assert_same_function(block, split, in_channels)


def test_the_split_form_is_a_copy_in_the_same_mode_and_precision():
    block = ResNeXtBlock(8, 8, groups=2).double().eval()
    split = block.split()
    assert not split.training and all(not branch.training for branch in split.branches)
    images = torch.randn(1, 8, 5, 5, dtype=torch.float64)
    before = split(images)
    torch.testing.assert_close(before, block(images), atol=1e-12, rtol=1e-12)
    nn.init.zeros_(block.conv3.weight)
    nn.init.zeros_(block.bn3.bias)
    assert torch.equal(split(images), before)


def test_the_branches_learn_what_the_groups_would_learn():
    block = randomized(ResNeXtBlock(8, 8, groups=4, width_per_group=2))
    split = block.split()
    images = torch.randn(4, 8, 6, 6)
    for form in (block, split):
        form(images).square().mean().backward()
    expected = block.conv2.weight.grad
    got = torch.cat([branch.conv2.weight.grad for branch in split.branches])
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("channels, groups", [(6, 2), (12, 3), (8, 8), (8, 1)])
def test_channel_shuffle_is_torchs_and_its_inverse_is_the_other_grouping(channels, groups):
    maps = torch.randn(2, channels, 3, 4)
    shuffled = channel_shuffle(maps, groups)
    assert torch.equal(shuffled, F.channel_shuffle(maps, groups))
    assert torch.equal(channel_shuffle(shuffled, channels // groups), maps)


def test_a_shuffle_costs_no_arithmetic_and_can_be_exported():
    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (nn.Conv2d(6, 6, 1, groups=3, bias=False) for _ in range(2))

        def forward(self, images):
            return self.second(channel_shuffle(self.first(images), 3))

    network = Shuffled()
    assert profile_model(network, (6, 4, 4)).macs == 2 * 6 * 2 * 16
    images = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(trusted_copy(network, images)(images), network(images))


def test_after_a_shuffle_every_group_reads_every_group():
    first, second = (nn.Conv2d(6, 6, 1, groups=3, bias=False) for _ in range(2))
    images = torch.randn(1, 6, 1, 1)

    def reached(function):
        jacobian = torch.autograd.functional.jacobian(lambda x: function(x).flatten(), images)
        return int((jacobian.flatten(1) != 0).sum())

    assert reached(lambda x: second(first(x))) == 12  # two inputs for each of six outputs
    assert reached(lambda x: second(channel_shuffle(first(x), 3))) == 24  # each output reads two of the three groups


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Fire(0, 1, 1, 1), "in_channels=0: give an integer of at least 1"),
        (lambda: Fire(3, 1, 1, 1.5), "expand3x3_channels=1.5: give an integer"),
        (lambda: DepthwiseSeparableBlock(3, 8, stride=0), "stride=0: give an integer"),
        (lambda: InvertedResidual(8, 8, stride=3), "stride=3: choose 1 or 2"),
        (lambda: InvertedResidual(8, 8, expansion=0), "expansion=0: give an integer"),
        (lambda: ResNeXtBlock(8, 8, groups=True), "groups=True: give an integer"),
        (lambda: channel_shuffle(torch.zeros(1, 6, 2, 2), 4), "6 channels in 4 groups.*; 3 would"),
        (lambda: channel_shuffle(torch.zeros(1, 6, 2, 2), 0), "groups=0: give an integer"),
    ],
)
def test_errors_name_the_value_the_rule_and_the_remedy(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_what_lab_01_imports_brings_no_layer_along():
    program = (
        "import sys\n"
        "from factorkit import data, inference, models, plots, training\n"
        "from factorkit.checks import being_graded, not_imported, trusted_copy\n"
        "from micronet_resources.profile import profile_model\n"
        "models.small_convnet(), models.resnet18_cifar(), models.small_resnet(), models.small_vgg()\n"
        "not_imported('factorkit.costs', 'factorkit.layers')\n"
        "print([name for name in sys.modules if name.startswith(('factorkit.layers', 'factorkit.costs'))])\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
