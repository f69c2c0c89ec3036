"""MACs of published networks, exactly, and parameters as their authors count them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.torchvision_import import import_torchvision
from micronet_resources.profile import profile_model

# Convolutions, linear layers and attention of each network at its own image size, biases not counted.
NETWORKS = {
    "resnet18": (224, 11_689_512, 1_814_073_344),
    "vgg16": (224, 138_357_544, 15_470_264_320),
    "mobilenet_v2": (224, 3_504_872, 300_774_272),
    "squeezenet1_0": (224, 1_248_424, 818_924_576),
    "alexnet": (224, 61_100_840, 714_188_480),
    "resnext50_32x4d": (224, 25_028_904, 4_230_479_872),
    "inception_v3": (299, 27_161_264, 5_713_216_096),
    "vit_b_16": (224, 86_567_656, 17_563_828_224),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks(name):
    models = import_torchvision().models
    size, params, macs = NETWORKS[name]
    with torch.device("meta"):  # the costs do not depend on values, so none are made
        model = models.get_model(name, weights=None, **({"init_weights": False} if name == "inception_v3" else {}))
    profile = profile_model(model, (3, size, size))
    assert (profile.params, profile.macs) == (params, macs)
    assert profile.params_used == (23_834_568 if name == "inception_v3" else params)
    assert (profile.notes, profile.uncounted) == ((), ())


def test_the_auxiliary_head_is_stored_and_not_run():
    models = import_torchvision().models
    with torch.device("meta"):
        model = models.inception_v3(weights=None, init_weights=False)
    profile = profile_model(model, (3, 299, 299))
    head = [layer for layer in profile.layers if layer.name.startswith("AuxLogits")]
    assert sum(layer.params for layer in head) == 27_161_264 - 23_834_568
    assert all(layer.output_shape is None and layer.macs == 0 for layer in head)


class Functional(nn.Module):
    """A network of functions and raw parameters, which no counter of modules sees."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(16, 3, 3, 3)), nn.Parameter(torch.randn(32, 16, 3, 3))
        self.query, self.mix = nn.Parameter(torch.randn(32, 32)), nn.Parameter(torch.randn(32, 32))
        self.head = nn.Parameter(torch.randn(10, 32))

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.first, padding=1))
        x = F.max_pool2d(F.relu(F.conv2d(x, self.second, padding=1)), 2).flatten(2).transpose(1, 2)
        scores = ((x @ self.query) @ x.transpose(1, 2)).softmax(-1)
        x = torch.einsum("bij,bjc->bic", scores, torch.einsum("bjc,dc->bjd", x, self.mix))
        return F.linear(x.mean(1), self.head)


def test_a_network_of_functions():
    profile = profile_model(Functional(), (3, 16, 16))
    convolutions, tokens = 256 * (16 * 27 + 32 * 144), 64
    assert profile.macs == convolutions + 2 * tokens * 32 * 32 + 2 * tokens * tokens * 32 + 320
    assert profile.params == profile.params_used == 16 * 27 + 32 * 144 + 2 * 1024 + 320
    assert profile.products == 0


class WideBlock(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else None

    def forward(self, x):
        out = F.relu(self.norm1(x))
        skip = x if self.shortcut is None else self.shortcut(out)
        return self.conv2(F.relu(self.norm2(self.conv1(out)))) + skip


def wide_resnet(depth, width, classes):
    channels = [16, 16 * width, 32 * width, 64 * width]
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)]
    for stage in range(3):
        for block in range((depth - 4) // 6):
            before = channels[stage] if block == 0 else channels[stage + 1]
            layers.append(WideBlock(before, channels[stage + 1], 2 if stage and block == 0 else 1))
    head = [nn.BatchNorm2d(channels[3]), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(channels[3], classes)]
    return nn.Sequential(*layers, *head)


def test_the_reference_network_of_the_challenge_of_2019():
    with torch.device("meta"):
        model = wide_resnet(28, 10, 100)
    profile = profile_model(model, (3, 32, 32))
    assert (profile.params, profile.macs) == (36_536_884, 5_243_386_368)
    assert round(2 * profile.macs / 1e9, 3) == 10.487
