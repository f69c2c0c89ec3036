"""Networks are held against torchvision's and against the numbers of the papers."""

import pytest
import torch
from torch import nn

from factorkit import models
from factorkit.layers import DepthwiseSeparableConv2d
from factorkit.models import (
    alexnet,
    densenet_cifar,
    mobilenet_v1,
    mobilenet_v2,
    resnet18_cifar,
    resnet_cifar,
    resnext_cifar,
    small_convnet,
    small_resnet,
    small_vgg,
    squeezenet,
    vgg16_cifar,
)
from factorkit.models.mobilenets import round_to_eights
from factorkit.models.resnets import PaddedShortcut
from factorkit.torchvision_import import import_torchvision
from micronet_resources.profile import profile_model

SMALL = [name for name in models.__all__ if name.startswith("small_")]


def params(network):
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(build, *args, **options):
    """A network without values: its costs depend on none."""
    with torch.device("meta"):
        return build(*args, **options)


def assert_same_function(network, theirs, size):
    """Both give the same scores, once they have the same weights."""
    names, values = list(network.state_dict()), list(theirs.state_dict().values())
    network.load_state_dict(dict(zip(names, values, strict=True)))
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), theirs.eval()(images), atol=1e-5, rtol=1e-4)


def test_squeezenet_is_torchvisions():
    theirs = import_torchvision().models.squeezenet1_0(num_classes=7)
    assert_same_function(squeezenet(7), theirs, 96)


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_mobilenet_v2_is_torchvisions(width):
    theirs = import_torchvision().models.mobilenet_v2(num_classes=7, width_mult=width)
    assert_same_function(mobilenet_v2(7, width=width), theirs, 96)


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.3, 1.4])
def test_mobilenet_v2_rounds_its_widths_as_torchvision_does(width):
    theirs = on_meta(import_torchvision().models.mobilenet_v2, width_mult=width)
    ours = on_meta(mobilenet_v2, width=width)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


def test_vgg16_has_the_convolutions_of_torchvisions():
    theirs = import_torchvision().models.vgg16_bn(num_classes=1).features
    ours = vgg16_cifar()
    assert_same_function(ours[:-3], theirs, 32)
    assert params(ours) == params(theirs) + 512 * 10 + 10 == 14_728_266
    assert ours[:-3](torch.zeros(1, 3, 32, 32)).shape == (1, 512, 1, 1)


def test_densenet_is_torchvisions_but_for_its_first_layers():
    DenseNet = import_torchvision().models.densenet.DenseNet
    theirs = on_meta(DenseNet, 12, (16, 16, 16), 24, num_classes=10)
    ours = on_meta(densenet_cifar)
    # theirs: 7 x 7 kernels and a normalization in front, ours: 3 x 3 kernels alone
    assert params(theirs) - params(ours) == 24 * 3 * (49 - 9) + 2 * 24
    theirs_shapes = [p.shape for p in theirs.parameters()][3:]
    assert [p.shape for p in ours.parameters()][1:] == theirs_shapes


def test_a_stage_of_densenet_computes_what_torchvisions_does():
    Block = import_torchvision().models.densenet._DenseBlock
    theirs = Block(3, 16, 4, 8, 0.0)
    network = densenet_cifar(22, 8)
    names = list(network[1:4].state_dict())
    network[1:4].load_state_dict(dict(zip(names, theirs.state_dict().values(), strict=True)))
    maps = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()[1:4](maps), theirs.eval()(maps), atol=1e-5, rtol=1e-4)


# Howard et al. (2017), tables 6, 7 and 9: width, resolution, million mult-adds, million parameters. The paper counts no
# parameters of batch normalization, and cuts some of its numbers where others are rounded.
V1_PAPER = [
    (1.0, 224, 569, 4.2),
    (0.75, 224, 325, 2.6),
    (0.5, 224, 149, 1.3),
    (0.25, 224, 41, 0.5),
    (1.0, 192, 418, 4.2),
    (1.0, 160, 290, 4.2),
    (1.0, 128, 186, 4.2),
    (0.5, 160, 76, 1.32),
]


@pytest.mark.parametrize("width, resolution, mega_macs, mega_params", V1_PAPER)
def test_mobilenet_v1_has_the_numbers_of_its_paper(width, resolution, mega_macs, mega_params):
    network = on_meta(mobilenet_v1, width=width)
    profile = profile_model(network, (3, resolution, resolution))
    assert abs(profile.macs / 1e6 - mega_macs) < 1
    norms = sum(params(layer) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert (profile.params - norms) / 1e6 == pytest.approx(mega_params, abs=0.051)


def test_exact_costs_of_mobilenet():
    profile = profile_model(on_meta(mobilenet_v1), (3, 224, 224))
    assert (profile.params, profile.macs) == (4_231_976, 568_740_352)
    profile = profile_model(on_meta(mobilenet_v2), (3, 224, 224))
    assert (profile.params, profile.macs) == (3_504_872, 300_774_272)  # Sandler et al.: 3.4 M and 300 M


def test_exact_costs_of_alexnet_and_squeezenet():
    paper, dense = (profile_model(on_meta(alexnet, groups=groups), (3, 227, 227)) for groups in (2, 1))
    assert (paper.params, paper.macs) == (60_965_224, 724_406_816)
    assert (dense.params, dense.macs) == (62_378_344, 1_135_256_096)
    squeezed = profile_model(on_meta(squeezenet), (3, 224, 224))
    assert (squeezed.params, squeezed.macs) == (1_248_424, 818_924_576)
    assert round(paper.params / squeezed.params, 1) == 48.8  # "50x"


def test_alexnet_normalizes_responses_as_its_paper_says():
    maps = torch.rand(1, 96, 2, 2) * 30
    norm = next(layer for layer in on_meta(alexnet) if isinstance(layer, nn.LocalResponseNorm))
    channel = 10
    squares = maps[:, channel - 2 : channel + 3].square().sum(1)
    expected = maps[:, channel] / (2 + 1e-4 * squares) ** 0.75  # Krizhevsky et al., section 3.3
    torch.testing.assert_close(norm(maps)[:, channel], expected)


# He et al. (2016), table 6; Xie et al. (2017), table 7; Huang et al. (2017), table 2: million parameters.
@pytest.mark.parametrize(
    "build, options, mega_params, digits",
    [
        (resnet_cifar, {"depth": 20}, 0.27, 2),
        (resnet_cifar, {"depth": 32}, 0.46, 2),
        (resnet_cifar, {"depth": 44}, 0.66, 2),
        (resnet_cifar, {"depth": 56}, 0.85, 2),
        (resnet_cifar, {"depth": 110}, 1.7, 1),
        (resnext_cifar, {}, 34.4, 1),
        (densenet_cifar, {}, 0.8, 1),
        (densenet_cifar, {"depth": 250, "growth": 24}, 15.3, 1),
        (densenet_cifar, {"depth": 190, "growth": 40}, 25.6, 1),
    ],
)
def test_networks_for_cifar_have_the_parameters_of_their_papers(build, options, mega_params, digits):
    assert round(params(on_meta(build, **options)) / 1e6, digits) == mega_params


def test_resnext_with_16_groups_is_cut_in_its_paper():
    assert 68.1 <= params(on_meta(resnext_cifar, groups=16)) / 1e6 < 68.2  # 68.155, printed as 68.1


@pytest.mark.parametrize("depth", [8, 14, 20])
@pytest.mark.parametrize("width", [8, 16])
def test_parameters_of_a_residual_network_by_formula(depth, width):
    n, w, classes = (depth - 2) // 6, width, 10
    convolutions = 27 * w + 9 * w * w * (2 * n + (2 + 4 * (2 * n - 1)) + (8 + 16 * (2 * n - 1)))
    norms = 2 * w * (1 + 2 * n * (1 + 2 + 4))
    assert params(on_meta(resnet_cifar, depth, width=width)) == convolutions + norms + 4 * w * classes + classes


def test_resnet18_is_the_reference_network():
    model = resnet18_cifar()
    assert params(model) == 11_173_962
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_resnet18_has_the_layers_of_torchvisions_but_for_the_first():
    theirs = on_meta(import_torchvision().models.resnet18, num_classes=10)
    ours = on_meta(resnet18_cifar)
    assert [p.shape for p in ours.parameters()][1:] == [p.shape for p in theirs.parameters()][1:]


def test_a_padded_shortcut_keeps_every_second_pixel_and_appends_zeros():
    maps = torch.randn(1, 2, 4, 4)
    padded = PaddedShortcut(2, 5, stride=2)(maps)
    assert torch.equal(padded[:, :2], maps[..., ::2, ::2])
    assert padded.shape == (1, 5, 2, 2) and not padded[:, 2:].any()


@pytest.mark.parametrize("build", [mobilenet_v1, mobilenet_v2, squeezenet])
def test_the_form_for_cifar_ends_in_4_by_4_pixels(build):
    network = build(10, form="cifar").eval()
    body = network[: next(i for i, layer in enumerate(network) if isinstance(layer, nn.AdaptiveAvgPool2d))]
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert body(images).shape[2:] == (4, 4)
        assert network(images).shape == (2, 10)


@pytest.mark.parametrize("build", [mobilenet_v1, mobilenet_v2])
def test_the_forms_of_mobilenet_have_the_same_weights(build):
    shapes = [[p.shape for p in on_meta(build, 10, form=form).parameters()] for form in ("imagenet", "cifar")]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("build", [mobilenet_v1, mobilenet_v2])
def test_every_resolution_fits(build):
    network = on_meta(build, 5, width=0.25)
    for size in (128, 160, 192, 224):
        assert network(torch.zeros(1, 3, size, size, device="meta")).shape == (1, 5)


def test_channels_are_rounded_to_eights_and_lose_a_tenth_at_most():
    rounded = [round_to_eights(n / 4) for n in range(1, 4000)]
    assert all(r % 8 == 0 and r >= 8 for r in rounded)
    assert all(0.9 * n / 4 <= r <= n / 4 + 8 for n, r in enumerate(rounded, start=1))
    assert rounded == sorted(rounded)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_learn_a_batch(name):
    torch.manual_seed(0)
    network = getattr(models, name)(num_classes=3)
    images, labels = torch.randn(12, 3, 32, 32), torch.arange(12) % 3
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network(images).shape == (12, 3)
    assert float(loss.detach()) < 0.5
    assert params(network) < 100_000
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("build", [small_convnet, small_vgg, small_resnet])
def test_only_the_first_3x3_convolution_stays_dense(build):
    built = []

    def conv(in_channels, out_channels, kernel_size, *, stride=1, padding, bias):
        built.append((kernel_size, padding, bias))
        return DepthwiseSeparableConv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias
        )

    network = build(conv=conv)
    assert set(built) == {(3, 1, False)}
    dense = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.groups == 1
    ]
    assert dense == [network[0]]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["small_mobilenet_v1", "small_mobilenet_v2"])
def test_the_width_multiplier_works_in_the_small_networks(name):
    counts = [params(getattr(models, name)(width=width)) for width in (0.25, 0.5, 1.0, 2.0)]
    assert counts == sorted(set(counts))


def test_small_convnet_keeps_its_first_convolution_dense():
    model = small_convnet((8, 16), in_channels=1, num_classes=4, conv=DepthwiseSeparableConv2d)
    assert isinstance(model[0], nn.Conv2d)
    assert sum(isinstance(m, DepthwiseSeparableConv2d) for m in model) == 3
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: small_convnet(()), "at least one stage"),
        (lambda: resnet_cifar(18), "depth=18: .* 6 n \\+ 2, for example 20"),
        (lambda: resnet_cifar(2), "depth=2: "),
        (lambda: resnext_cifar(28), "depth=28: .* 9 n \\+ 2"),
        (lambda: densenet_cifar(99), "depth=99: .* 6 n \\+ 4"),
        (lambda: mobilenet_v1(width=0), "width=0: the width multiplier must be positive"),
        (lambda: mobilenet_v2(width=-1.0), "width=-1.0: "),
        (lambda: mobilenet_v2(width=float("nan")), "width=nan: "),
        (lambda: mobilenet_v1(form="imagnet"), "form='imagnet': choose 'imagenet' or 'cifar'"),
        (lambda: squeezenet(form=None), "form=None: choose"),
        (lambda: squeezenet(0), "num_classes=0: give an integer"),
        (lambda: alexnet(groups=3), "groups=3: choose 1 or 2"),
    ],
)
def test_errors_name_the_value_the_rule_and_the_remedy(build, message):
    with pytest.raises(ValueError, match=message):
        build()
