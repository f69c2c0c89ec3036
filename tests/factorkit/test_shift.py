"""Shift attention: what it learns to keep, what is left of it, and that both are the same function."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.data import load
from factorkit.layers.binary import BinaryConv2d
from factorkit.layers.shift import ShiftConv2d
from factorkit.layers.shift_attention import ShiftAttentionConv2d, shift_layers
from factorkit.models import small_resnet
from factorkit.schedules import TemperatureSchedule
from factorkit.training import fit

GEOMETRIES = [
    {},
    {"padding": 1},
    {"stride": 2, "padding": 1},
    {"stride": (2, 3), "padding": (2, 0)},
    {"dilation": 2, "padding": 2},
    {"dilation": (1, 2), "padding": (0, 3), "stride": (1, 2)},
    {"kernel_size": 1},
    {"kernel_size": (1, 3), "padding": (0, 1)},
    {"kernel_size": (4, 2), "stride": 2, "padding": (1, 2)},
    {"kernel_size": 5, "padding": 2, "bias": False},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("survivors", [1, 2])
def test_the_converted_layer_equals_the_hardened_one(geometry, shared, survivors):
    if geometry.get("kernel_size") == 1:
        survivors = 1
    torch.manual_seed(0)
    layer = ShiftAttentionConv2d(5, 7, weights_per_kernel=survivors, shared=shared, **geometry)
    images = torch.randn(3, 5, 13, 11)
    expected = layer.harden()(images)
    shift = layer.to_shift()
    torch.testing.assert_close(shift(images), expected, atol=1e-5, rtol=0)
    conv = partial(F.conv2d, stride=layer.stride, padding=layer.padding, dilation=layer.dilation)
    torch.testing.assert_close(conv(images, shift.dense_weight(), shift.bias), expected, atol=1e-5, rtol=0)


def test_a_batch_is_summed_in_parts_and_none_is_lost(monkeypatch):
    layer = ShiftConv2d(4, 6, padding=1)
    images = torch.randn(7, 4, 8, 8)
    whole = layer(images)
    monkeypatch.setattr("factorkit.layers.shift.ELEMENTS_AT_ONCE", 2 * 4 * 9 * 64)
    torch.testing.assert_close(layer(images), whole)


def test_attention_is_the_softmax_of_scores_over_their_unbiased_deviation():
    layer = ShiftAttentionConv2d(3, 4)
    layer.temperature.fill_(7.0)
    scores = layer.scores.detach()
    expected = (7 * scores / scores.std(-1, keepdim=True)).softmax(-1)
    torch.testing.assert_close(layer.attention, expected, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        layer.scores.mul_(1e-3).add_(0.1)  # weight decay on the scores does not make the attention flatter
    torch.testing.assert_close(layer.attention, expected, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("shared", [False, True])
def test_attention_of_two_survivors_sums_to_two_and_ends_at_the_two_largest(shared):
    layer = ShiftAttentionConv2d(3, 4, weights_per_kernel=2, shared=shared)
    assert layer.attention.shape == (1 if shared else 4, 3, 9)
    torch.testing.assert_close(layer.attention.sum(-1), torch.full_like(layer.attention[..., 0], 2.0))
    layer.temperature.fill_(1e6)
    soft = layer.attention
    torch.testing.assert_close(soft, layer.harden().attention)
    assert torch.equal(layer.attention.topk(2).indices.sort(-1).values, layer.survivors())


def degenerate_scores():
    equal = torch.full((4, 3, 9), 0.3)
    two = equal.clone()
    two[..., [2, 7]] = 1.0
    return {
        "all equal": equal, "all zero": 0 * equal, "two largest": two, "huge": 1e30 * two, "tiny": 1e-38 * two,
        "random": torch.rand(4, 3, 9), "negative": -two,
    }  # fmt: skip


@pytest.mark.parametrize("name", degenerate_scores())
@pytest.mark.parametrize("survivors", [1, 2, 9])
@pytest.mark.parametrize("temperature", [0.15, 6.7, 70.0])
def test_every_slice_keeps_exactly_as_many_weights_as_it_should(name, survivors, temperature):
    layer = ShiftAttentionConv2d(3, 4, padding=1, weights_per_kernel=survivors)
    layer.temperature.fill_(temperature)
    with torch.no_grad():
        layer.scores.copy_(degenerate_scores()[name])
    layer(torch.randn(1, 3, 5, 5)).sum().backward()
    assert layer.scores.grad.isfinite().all() and layer.weight.grad.isfinite().all()
    hard = layer.harden().attention
    assert hard.unique().tolist() in ([0.0, 1.0], [1.0])
    assert (hard.sum(-1) == survivors).all()
    index = layer.to_shift().index
    assert (index[..., 1:] > index[..., :-1]).all() and index.min() >= 0 and index.max() < 9


def test_rounding_leaves_slices_empty_where_hardening_does_not():
    torch.manual_seed(0)
    layer = ShiftAttentionConv2d(64, 64)
    for temperature, empty in ((6.7, 0.095), (20.0, 0.013)):
        layer.temperature.fill_(temperature)
        rounded = layer.attention.round().sum(-1)
        assert (rounded == 0).float().mean().item() == pytest.approx(empty, rel=0.3)
    assert (layer.harden().attention.sum(-1) == 1).all()


def test_a_hardened_layer_trains_its_weights_and_keeps_its_choice():
    layer = ShiftAttentionConv2d(3, 4, padding=1).harden()
    layer(torch.randn(2, 3, 5, 5)).square().sum().backward()
    assert layer.scores.grad is None
    kept = layer.attention.unflatten(-1, (3, 3)) > 0
    assert (layer.weight.grad[kept] != 0).all() and (layer.weight.grad[~kept] == 0).all()
    loaded = ShiftAttentionConv2d(3, 4, padding=1)
    loaded.load_state_dict(layer.state_dict())
    assert torch.equal(loaded.attention, layer.attention)


def test_gradients_of_the_shift_layer_are_those_of_the_convolution():
    for shared in (False, True):
        layer = ShiftConv2d(3, 4, padding=1, weights_per_kernel=2, shared=shared).double()
        images = torch.randn(2, 3, 5, 4, dtype=torch.double, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (images,))
        found = torch.autograd.grad(layer(images).square().sum(), layer.weight)[0]
        dense = F.conv2d(images, layer.dense_weight(), layer.bias, padding=1)
        torch.testing.assert_close(found, torch.autograd.grad(dense.square().sum(), layer.weight)[0])


def test_a_new_shift_layer_spreads_its_positions_evenly():
    layer = ShiftConv2d(18, 4, shared=True)
    assert torch.equal(layer.index.flatten().long().bincount(), torch.full((9,), 2))
    pairs = ShiftConv2d(8, 4, weights_per_kernel=2).index
    assert (pairs[..., 0] != pairs[..., 1]).all()


def test_a_model_is_converted_as_a_whole_and_shared_layers_stay_shared():
    torch.manual_seed(0)
    model = small_resnet(width=4, conv=ShiftAttentionConv2d).eval()
    twice = ShiftAttentionConv2d(10, 10, 1)
    model = nn.Sequential(model, nn.Unflatten(1, (10, 1, 1)), twice, twice, nn.Flatten())
    images = torch.randn(2, 3, 32, 32)
    for layer in model.modules():
        if isinstance(layer, ShiftAttentionConv2d):
            layer.harden()
    expected = model(images)
    converted = shift_layers(copy.deepcopy(model))
    assert not any(isinstance(layer, ShiftAttentionConv2d) for layer in converted.modules())
    assert converted[2] is converted[3]
    torch.testing.assert_close(converted(images), expected, atol=1e-5, rtol=1e-5)
    alone = shift_layers(ShiftAttentionConv2d(3, 4))
    assert isinstance(alone, ShiftConv2d)
    with pytest.raises(ValueError, match="no ShiftAttentionConv2d to convert"):
        shift_layers(nn.Sequential(nn.Conv2d(3, 4, 3)))


def test_converting_keeps_type_and_mode():
    layer = ShiftAttentionConv2d(3, 4).double().eval()
    shift = layer.to_shift()
    assert shift.weight.dtype == torch.double and not shift.training
    with torch.no_grad():
        shift.weight.zero_()
    assert layer.weight.abs().min() > 0


def test_binary_weights_are_signs_and_the_real_ones_stay_within_one():
    layer = BinaryConv2d(3, 4, padding=1, bias=False)
    with torch.no_grad():
        layer.weight[0, 0] = torch.tensor([[0.0, 3.0, -3.0]] * 3)
    images = torch.randn(2, 3, 6, 6)
    expected = F.conv2d(images, torch.where(layer.weight >= 0, 1.0, -1.0), padding=1)
    torch.testing.assert_close(layer(images), expected)
    assert layer.weight.abs().max() == 1 and layer.weight[0, 0, 0].tolist() == [0, 1, -1]
    layer(images).square().sum().backward()
    signs = layer.binary_weight.detach().requires_grad_()
    F.conv2d(images, signs, padding=1).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, signs.grad)  # straight through


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(ShiftAttentionConv2d, 3, 4, weights_per_kernel=10), "keeps from 1 to 9"),
        (partial(ShiftConv2d, 3, 4, weights_per_kernel=0), "keeps from 1 to 9"),
        (partial(ShiftConv2d, 3, 4, 17), "at most 256 positions"),
        (partial(ShiftConv2d, 0, 4), "in_channels=0"),
        (partial(BinaryConv2d, 3, 4, stride=0), "stride=0"),
        (partial(ShiftAttentionConv2d, 3, 4, padding=(1, -1)), r"padding=\(1, -1\)"),
        (partial(TemperatureSchedule, 0), "initial=0"),
        (partial(TemperatureSchedule, 20, math.inf), "final=inf"),
        (partial(TemperatureSchedule().start, nn.Linear(1, 1), 5), "no layer with a finite temperature"),
        (partial(TemperatureSchedule().start, ShiftAttentionConv2d(1, 1).harden(), 5), "no layer with a finite"),
        (partial(TemperatureSchedule().start, ShiftAttentionConv2d(1, 1), 0), "steps=0"),
        (TemperatureSchedule().step, r"before start"),
        (partial(ShiftConv2d(3, 4), torch.zeros(1, 6, 8, 8)), "this layer reads N x 3 x height x width"),
        (partial(ShiftConv2d(3, 4), torch.zeros(3, 8, 8)), "this layer reads N x 3 x height x width"),
        (partial(ShiftConv2d(3, 4), torch.zeros(1, 3, 2, 8)), "does not fit; use a larger padding"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_temperature_rises_by_the_same_factor_after_every_batch():
    model = nn.Sequential(ShiftAttentionConv2d(3, 4), ShiftAttentionConv2d(4, 4).harden())
    schedule = TemperatureSchedule(5.0, 80.0)
    schedule.start(model, steps=4)
    seen = [model[0].temperature.item()]
    for _ in range(6):
        schedule.step()
        seen.append(model[0].temperature.item())
    assert seen == pytest.approx([5, 10, 20, 40, 80, 80, 80])
    assert math.isinf(model[1].temperature)


class Seen:
    """A schedule that writes down what fit tells it, and the temperature of each batch."""

    def __init__(self, layer):
        self.layer, self.steps, self.temperatures = layer, None, []

    def start(self, model, steps):
        self.steps = steps

    def step(self):
        self.temperatures.append(self.layer.temperature.item())


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(ShiftAttentionConv2d(1, 8, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))


@pytest.fixture(scope="module")
def digits():
    return load("digits").subset(train=256, test=64)


def test_fit_drives_schedules(digits):
    model = small_net()
    seen = Seen(model[0])
    before = model[0].scores.detach().clone()
    fit(model, digits, epochs=2, batch_size=64, schedules=[seen, TemperatureSchedule(2.0, 32.0)], progress=False)
    assert seen.steps == 8
    assert seen.temperatures == pytest.approx([2 * 2 ** (step / 2) for step in range(8)])
    assert model[0].temperature.item() == pytest.approx(32)
    assert not torch.equal(model[0].scores, before)


def test_a_resumed_run_goes_on_at_the_temperature_where_it_was(digits, tmp_path):
    whole, cut = small_net(), small_net()
    schedule = partial(TemperatureSchedule, 2.0, 32.0)
    options = {"epochs": 3, "batch_size": 64, "progress": False}
    history = fit(whole, digits, schedules=[schedule()], **options)

    class PowerCut:
        steps = 0

        def start(self, model, steps):
            pass

        def step(self):
            self.steps += 1
            if self.steps == 7:
                raise KeyboardInterrupt

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(cut, digits, schedules=[schedule(), PowerCut()], checkpoint=path, **options)
    resumed = small_net()
    again = fit(resumed, digits, schedules=[schedule()], checkpoint=path, **options)
    assert again["train_loss"].tolist() == pytest.approx(history["train_loss"].tolist())
    assert torch.equal(resumed[0].weight, whole[0].weight) and torch.equal(resumed[0].attention, whole[0].attention)
