"""Layers fitted to responses: better for the inputs than the best weight, through the ReLU, and with chosen ranks."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from factorkit.decompositions.response import relu_step, zhang
from factorkit.decompositions.response_ranks import response_energies, zhang_ranks
from factorkit.decompositions.samples import patches, responses
from factorkit.decompositions.svd import channel_svd
from factorkit.decompositions.weights import relative_error


def smooth_images(count: int = 16, channels: int = 4, size: int = 12, seed: int = 0) -> torch.Tensor:
    """Images whose neighbors are alike, as in photographs, and whose channels are too."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, channels, size + 4, size + 4, generator=generator)
    mixed = torch.einsum("ij,njhw->nihw", torch.randn(channels, channels, generator=generator) + 1, noise)
    return F.avg_pool2d(mixed, 5, stride=1)


def convolution(seed: int = 0, **options) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(4, 10, 3, padding=1, **options)


LINEAR = st.tuples(st.floats(0, 4), st.floats(-4, 4), st.sampled_from([0.01, 0.3, 1.0, 10.0]))


@settings(max_examples=60, deadline=None)
@given(LINEAR)
def test_the_step_through_the_relu_is_the_minimum(case):
    target, linear, penalty = case
    grid = torch.linspace(-6, 6, 12_001, dtype=torch.float64)

    def cost(z: torch.Tensor) -> torch.Tensor:
        return (target - z.relu()).square() + penalty * (z - linear).square()

    found = relu_step(*(torch.tensor(v, dtype=torch.float64) for v in (target, linear)), penalty)
    assert float(cost(found)) <= float(cost(grid).min()) + 1e-12


# Samples.


@settings(max_examples=30, deadline=None)
@given(axes=st.integers(1, 3), data=st.data())
def test_patches_times_the_weight_are_the_responses(axes, data):
    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return data.draw(st.tuples(*[st.integers(low, high)] * axes))

    torch.manual_seed(0)
    padding = data.draw(st.sampled_from(["pixels", "same", "valid"]))
    layer = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes](
        3,
        4,
        per_axis(1, 3),
        stride=1 if padding == "same" else per_axis(1, 2),
        padding=per_axis(0, 2) if padding == "pixels" else padding,
        dilation=per_axis(1, 2),
        padding_mode=data.draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        dtype=torch.float64,
    )
    inputs = torch.randn(2, 3, *[6] * axes, dtype=torch.float64)
    expected = layer(inputs).detach().movedim(1, -1).reshape(-1, 4)
    rows = patches(layer, inputs)
    torch.testing.assert_close(rows @ layer.weight.flatten(1).T + layer.bias, expected)
    torch.testing.assert_close(responses(layer, inputs), expected)
    some = [take(layer, inputs, count=5, generator=torch.Generator().manual_seed(1)) for take in (patches, responses)]
    torch.testing.assert_close(some[0] @ layer.weight.flatten(1).T + layer.bias, some[1])
    assert len(some[0]) == min(5, len(expected))


def test_patches_are_what_unfold_gives_and_each_is_drawn_once():
    layer = convolution(stride=2)
    images = smooth_images()
    unfolded = F.unfold(images, 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(patches(layer, images), unfolded)
    assert len(patches(layer, images, count=100).unique(dim=0)) == 100
    assert len(patches(layer, images, count=10**6)) == len(unfolded)
    assert torch.equal(patches(layer, images, count=20), patches(layer, images, count=20))


def test_a_linear_layer_reads_rows():
    layer, inputs = nn.Linear(6, 3), torch.randn(2, 5, 6)
    assert torch.equal(patches(layer, inputs), inputs.reshape(10, 6))
    torch.testing.assert_close(responses(layer, inputs), layer(inputs).detach().reshape(10, 3))


# Without the ReLU: principal components.


def assert_layers_are_dense(found, layer: nn.Module, inputs: torch.Tensor) -> None:
    dense = copy.deepcopy(layer)
    dense.weight.data, dense.bias = found.reconstruct(), nn.Parameter(found.bias)
    torch.testing.assert_close(found.to_layers(layer)(inputs), dense(inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_error_is_what_the_energies_say_and_what_the_layers_make(bias, dtype):
    layer, images = convolution(bias=bias).to(dtype), smooth_images().to(dtype)
    wanted = layer(images).detach()
    energies, errors = response_energies(layer, images), []
    for rank in range(1, 11):
        found = zhang(layer, images, rank)
        errors.append(found.response_error)
        assert_layers_are_dense(found, layer, images)
        measured = relative_error(wanted, found.to_layers(layer)(images).detach())
        assert measured == pytest.approx(found.response_error, rel=1e-3, abs=1e-5)
        left = math.sqrt(float(energies[rank:].sum()) * wanted.numel() / 10) / float(wanted.norm())
        assert measured == pytest.approx(left, rel=1e-3, abs=1e-5)
    assert errors == sorted(errors, reverse=True)
    assert found.relative_error < 1e-5 and found.response_error < 1e-5  # full rank is exact, weight and responses


def test_responses_to_natural_inputs_are_followed_better_than_by_the_best_weight():
    layer, images = convolution(), smooth_images()
    wanted = layer(images).detach()
    for rank in (1, 2, 4, 6):
        fitted, best = zhang(layer, images, rank), channel_svd(layer.weight, rank)
        errors = [relative_error(wanted, found.to_layers(layer)(images).detach()) for found in (fitted, best)]
        assert errors[0] < 0.8 * errors[1]
        assert best.relative_error < fitted.relative_error  # in the weight it is the other way round
        assert fitted.params == best.params


def test_no_affine_map_of_this_rank_follows_better():
    """A few steps of gradient descent from the answer, in all directions that a rank allows, do not lower the error."""
    layer, images = convolution().double(), smooth_images().double()
    found = zhang(layer, images, 3)
    layers, wanted = found.to_layers(layer), layer(images).detach()
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-4)
    start = (layers(images) - wanted).square().sum().detach()
    for _ in range(30):
        optimizer.zero_grad()
        lost = (layers(images) - wanted).square().sum()
        lost.backward()
        optimizer.step()
        assert lost >= start * (1 - 1e-9)


@pytest.mark.parametrize(
    "layer, inputs",
    [
        (nn.Linear(6, 5), torch.randn(40, 6)),
        (nn.Conv1d(3, 5, 3, stride=2), torch.randn(9, 3, 20)),
        (nn.Conv3d(2, 4, (1, 2, 3), padding=(0, 1, 1), dilation=(1, 1, 2)), torch.randn(4, 2, 5, 6, 7)),
        (nn.Conv2d(3, 5, (3, 1), stride=(2, 1), padding="valid", padding_mode="circular"), torch.randn(6, 3, 9, 9)),
    ],
)
@pytest.mark.parametrize("relu", [True, False])
def test_every_kind_of_layer_is_approximated(layer, inputs, relu):
    found = zhang(layer.eval(), inputs, 3, relu=relu)
    assert_layers_are_dense(found, layer, inputs)
    assert found.rank == 3 and not found.to_layers(layer).training


# With the ReLU.


def through(layers: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return layers(inputs).relu().detach()


def test_taking_the_relu_into_account_lowers_the_error_behind_it():
    images = smooth_images()
    gains = []
    for seed in range(3):
        layer = convolution(seed)
        with torch.no_grad():
            layer.bias -= 0.3  # more than half of the responses are cut off, as in trained networks
        wanted = through(layer, images)
        for rank in (2, 4):
            plain, aware = zhang(layer, images, rank), zhang(layer, images, rank, relu=True)
            errors = [relative_error(wanted, through(found.to_layers(layer), images)) for found in (plain, aware)]
            assert aware.response_error == pytest.approx(errors[1], rel=1e-3)
            assert errors[1] <= errors[0] + 1e-6
            gains.append(errors[1] / errors[0])
    assert max(gains) < 1 and sum(gains) / len(gains) < 0.9


def test_the_gain_holds_on_inputs_that_were_not_seen():
    layer, (images, others) = convolution(), smooth_images(128).split(64)
    with torch.no_grad():
        layer.bias -= 0.3
    wanted = through(layer, others)
    errors = [
        relative_error(wanted, through(zhang(layer, images, 3, relu=relu).to_layers(layer), others))
        for relu in (False, True)
    ]
    assert errors[1] < errors[0]


def test_full_rank_through_the_relu_is_exact():
    layer, images = convolution(), smooth_images()
    found = zhang(layer, images, 10, relu=True)
    assert found.relative_error < 1e-5 and found.response_error < 1e-5


# Asymmetric: the layers before are approximated too.


@pytest.mark.parametrize("relu", [True, False])
def test_a_layer_makes_up_for_errors_before_it(relu):
    first, second, images = convolution(1), nn.Conv2d(10, 8, 3), smooth_images(32)
    approximate = zhang(first, images, 3).to_layers(first)
    exact_maps, rough_maps = (part(images).relu().detach() for part in (first, approximate))
    wanted = second(exact_maps).detach()
    wanted = wanted.relu() if relu else wanted
    errors = []
    for rough in (None, rough_maps):
        layers = zhang(second, exact_maps, 5, relu=relu, approximate_inputs=rough).to_layers(second)
        got = layers(rough_maps).detach()
        errors.append(relative_error(wanted, got.relu() if relu else got))
    assert errors[1] < 0.95 * errors[0]


def test_the_reported_error_of_the_asymmetric_form_is_the_one_made():
    layer, exact = convolution().double(), smooth_images().double()
    rough = exact + 0.1 * torch.randn(exact.shape, generator=torch.Generator().manual_seed(2), dtype=exact.dtype)
    found = zhang(layer, exact, 4, approximate_inputs=rough)
    made = relative_error(layer(exact).detach(), found.to_layers(layer)(rough).detach())
    assert found.response_error == pytest.approx(made, rel=1e-6)


def test_dead_and_constant_responses_are_no_trouble():
    layer, images = convolution(), smooth_images()
    with torch.no_grad():
        layer.weight[2:] = 0
    for options in ({}, {"relu": True}, {"approximate_inputs": images}):
        found = zhang(layer, images, 5, **options)  # a higher rank than that of the responses
        assert found.response_error < 1e-5
        assert_layers_are_dense(found, layer, images)
    constant = zhang(layer, torch.ones(2, 4, 1, 1), 2, approximate_inputs=torch.ones(2, 4, 1, 1))
    assert constant.response_error < 1e-6


def test_samples_are_drawn_and_repeat():
    layer, images = convolution(), smooth_images()
    few, again, all_of_them = (zhang(layer, images, 3, samples=count) for count in (200, 200, 10**6))
    assert torch.equal(few.first, again.first)
    assert not torch.equal(few.first, all_of_them.first)
    wanted = layer(images).detach()
    errors = [relative_error(wanted, f.to_layers(layer)(images).detach()) for f in (few, all_of_them)]
    assert errors[1] < errors[0] < 1.2 * errors[1]


# Ranks over layers.


ENERGIES = st.lists(st.floats(0.01, 100), min_size=1, max_size=4).map(lambda values: sorted(values, reverse=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(ENERGIES, min_size=1, max_size=3), st.integers(0, 12))
def test_with_equal_costs_the_greedy_ranks_are_the_best_there_are(layers, spare):
    energies = {f"conv{place}": torch.tensor(values, dtype=torch.float64) for place, values in enumerate(layers)}
    budget = 7 * (len(layers) + spare)
    found = zhang_ranks(energies, dict.fromkeys(energies, 7), budget)
    assert 7 * sum(found.values()) <= budget

    def kept(ranks) -> float:
        return math.prod(float(energies[name][:rank].sum()) for name, rank in ranks.items())

    choices = itertools.product(*(range(1, len(values) + 1) for values in layers))
    possible = [dict(zip(energies, ranks, strict=True)) for ranks in choices if 7 * sum(ranks) <= budget]
    assert kept(found) == pytest.approx(max(map(kept, possible)), rel=1e-9)


def test_the_budget_is_met_and_dear_layers_give_first():
    energies = {"cheap": torch.full((8,), 1.0), "dear": torch.full((8,), 1.0)}
    found = zhang_ranks(energies, {"cheap": 10, "dear": 40}, budget=200)
    assert found["dear"] < found["cheap"] and 160 < 10 * found["cheap"] + 40 * found["dear"] <= 200
    assert zhang_ranks(energies, {"cheap": 10, "dear": 40}, budget=400) == {"cheap": 8, "dear": 8}
    assert zhang_ranks(energies, {"cheap": 10, "dear": 40}, budget=50) == {"cheap": 1, "dear": 1}


def test_directions_without_energy_go_first():
    energies = {"a": torch.tensor([5.0, 1.0, 0.0, 0.0]), "b": torch.tensor([5.0, 4.0, 0.0]), "c": torch.zeros(2)}
    assert zhang_ranks(energies, {"a": 1, "b": 100, "c": 3}, budget=205) == {"a": 2, "b": 2, "c": 1}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: zhang(convolution(), smooth_images(), 11), "rank=11"),
        (lambda: zhang(convolution(), smooth_images(channels=3), 2), "reads"),
        (lambda: zhang(convolution(), torch.empty(0, 4, 9, 9), 2), "reads"),
        (lambda: zhang(convolution(), torch.full((1, 4, 9, 9), float("inf")), 2), "NaN or infinity"),
        (lambda: zhang(nn.Conv2d(4, 6, 3, groups=2), smooth_images(), 2), "groups=2"),
        (lambda: zhang(nn.ReLU(), smooth_images(), 2), "ReLU"),
        (lambda: zhang(convolution(), smooth_images(), 2, samples=0), "count=0"),
        (lambda: zhang(convolution(), smooth_images(), 2, approximate_inputs=smooth_images(3)), "same examples"),
        (lambda: zhang_ranks({"a": torch.ones(2)}, {"b": 1}, 5), "'a'"),
        (lambda: zhang_ranks({"a": torch.ones(2)}, {"a": 10}, 9), "budget=9"),
        (lambda: zhang_ranks({"a": torch.tensor([1.0, 2.0])}, {"a": 10}, 90), "largest first"),
        (lambda: zhang_ranks({"a": torch.tensor([1.0, float("nan")])}, {"a": 10}, 90), "largest first"),
        (lambda: zhang_ranks({"a": torch.ones(2)}, {"a": 0}, 5), "macs_per_rank"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
