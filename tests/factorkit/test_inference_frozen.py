"""Frozen convolutions compute what they did, for every setting, size and memory format."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from factorkit.frozen import FrozenConv2d, freeze_convolutions


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 10, 3, padding=1),
        nn.Conv2d(6, 10, (3, 1), padding=(2, 0), stride=(2, 1), dilation=(2, 1), bias=False),
        nn.Conv2d(6, 6, (1, 3), groups=6, padding=(0, 1)),
        nn.Conv2d(6, 9, 3, groups=3, stride=2),
        nn.Conv2d(6, 20, 1),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_frozen_convolution_answers_the_same_for_all_sizes(layer, layout):
    frozen = freeze_convolutions(nn.Sequential(layer)).to(memory_format=layout)
    assert isinstance(frozen[0], FrozenConv2d)
    for shape in ((2, 6, 9, 11), (1, 6, 9, 11), (2, 6, 9, 11), (3, 6, 16, 16)):
        images = torch.randn(shape).contiguous(memory_format=layout)
        expected = layer(images)
        for _ in range(2):
            torch.testing.assert_close(frozen(images), expected, atol=1e-5, rtol=1e-4)


def test_what_cannot_be_frozen_stays():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
        *(nn.Conv2d(4, 4, 3).double(), nn.ConvTranspose2d(4, 4, 3), nn.Linear(4, 4)),
    )
    assert [type(layer) for layer in freeze_convolutions(model)] == [type(layer) for layer in model]


def test_the_model_itself_and_one_layer_alone():
    layer = nn.Conv2d(3, 4, 3)
    frozen = freeze_convolutions(layer)
    assert isinstance(frozen, FrozenConv2d)
    assert layer.weight.requires_grad
    assert not frozen.convolution.weight.requires_grad
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    assert not frozen(images).requires_grad


def test_a_layer_that_is_used_twice_is_frozen_once():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    frozen = freeze_convolutions(nn.Sequential(layer, nn.ReLU(), layer))
    assert frozen[0] is frozen[2]
    images = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(frozen(images), layer(layer(images).relu()), atol=1e-5, rtol=1e-4)


def test_it_can_be_copied_and_saved_after_it_ran(tmp_path):
    model = freeze_convolutions(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    images = torch.randn(2, 3, 8, 8)
    expected = model(images)
    torch.save(model, tmp_path / "model.pt")
    for again in (copy.deepcopy(model), torch.load(tmp_path / "model.pt", weights_only=False)):
        torch.testing.assert_close(again(images), expected)
    assert list(model.state_dict()) == ["0.convolution.weight", "0.convolution.bias"]


def test_what_was_reordered_in_inference_mode_serves_outside_of_it():
    layer = nn.Conv2d(3, 4, 3)
    frozen, images = freeze_convolutions(layer), torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        first = frozen(images)
    torch.testing.assert_close(frozen(images), first)
    torch.testing.assert_close(first, layer(images), atol=1e-5, rtol=1e-4)
