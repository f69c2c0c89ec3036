"""Ranks by measured latency: the search with costs that are counted, not timed."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from factorkit.compress import compress
from factorkit.compress.candidates import Candidate
from factorkit.compress.methods import METHODS
from factorkit.compress.speed import smallest_error, speed_of_one_example
from factorkit.latency import OptimizedModel, Timing, count_macs

SHAPE = (3, 12, 10)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 20)),
    )


def by_operations(dense: nn.Module, small: nn.Module) -> OptimizedModel:
    """A clock that counts: a microsecond for each operation."""
    example = torch.zeros(1, *SHAPE)
    timings = [
        Timing(name, "counted", count_macs(model.eval(), example) / 1000, count_macs(model, example))
        for name, model in (("original", dense), ("given", small))
    ]
    return OptimizedModel(small, timings[1], timings[0], tuple(timings), batch=1)


@pytest.mark.parametrize("goal", [1.3, 2.0, 7.0])
def test_the_search_finds_the_smallest_error_that_is_fast_enough(goal):
    calls = []

    def speedup(error):
        calls.append(error)
        return 1 + 8 * min(error, 1.0) ** 2

    error = smallest_error(speedup, goal)
    exact = math.sqrt((goal - 1) / 8)
    assert exact <= error < 1.04 * exact
    assert len(calls) <= 12


def test_the_search_withstands_noise_and_its_last_measurement_reaches_the_goal():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        last = []

        def speedup(error, generator=generator, last=last):
            noise = 1 + 0.05 * float(torch.randn((), generator=generator))
            last.append((1 + 4 * min(error, 1.0)) * noise)
            return last[-1]

        error = smallest_error(speedup, 2.0)
        assert last[-1] >= 2.0
        assert 0.7 * 0.25 < error < 1.4 * 0.25


def test_an_outlier_during_the_search_is_put_right_at_its_end():
    counter = itertools.count()

    def speedup(error):  # the second measurement of the bisection is ten times too good
        return (1 + 4 * error) * (10 if next(counter) == 1 else 1)

    assert smallest_error(speedup, 2.0) >= 0.25


def test_a_speed_that_rank_one_does_not_reach_is_an_error_and_changes_nothing():
    with pytest.raises(ValueError, match=r"latency:9x': even ranks of 1 ran only 3 times as fast"):
        smallest_error(lambda error: 1 + error, 9.0)
    model = network()
    with pytest.raises(ValueError, match="latency:500x"):
        compress(model, "tucker2", "latency:500x", input_shape=SHAPE, speed=by_operations)
    assert isinstance(model[0], nn.Conv2d)


@pytest.mark.parametrize(("method", "goal"), [("svd", 1.5), ("tai", 2.5), ("tucker2", 2), ("cp", 1.2)])
def test_with_a_clock_that_counts_the_network_gets_as_many_times_fewer_operations(method, goal):
    model = network()
    report = compress(model, method, f"latency:{goal}x", input_shape=SHAPE, speed=by_operations)
    assert goal <= report.macs_ratio < 1.35 * goal
    assert count_macs(model.eval(), torch.zeros(1, *SHAPE)) == report.macs_after
    assert f"{report.macs_ratio:.3g} times as fast as the original (counted)" in report.measured
    assert "; 1 image, cpu, " in report.measured
    assert f"measured: {report.measured}" in repr(report)


def test_other_policies_measure_nothing():
    def refuse(dense, small):
        raise AssertionError("measured")

    report = compress(network(), "svd", "macs:0.6", input_shape=SHAPE, speed=refuse)
    assert report.measured == ""
    assert "measured" not in repr(report)


@pytest.mark.parametrize("ranks", ["latency:1x", "latency:0.5", "latency:twice", "latency:", "latency:infx"])
def test_a_speed_that_is_none_is_named(ranks):
    with pytest.raises(ValueError, match="as in 'latency:2x'"):
        compress(network(), "svd", ranks, input_shape=SHAPE)


DENSE = [(method, kernel, 1) for method in METHODS for kernel in ((3, 3), (1, 3), (1, 1))]
GROUPED = [(method, (3, 3), 2) for method in METHODS if METHODS[method].grouped]


@pytest.mark.parametrize(("method", "kernel", "groups"), DENSE + GROUPED)
def test_a_stand_in_has_the_layers_of_the_decomposition(method, kernel, groups):
    layer = nn.Conv2d(8, 12, kernel, stride=2, padding=1, groups=groups)
    candidate = Candidate("layer", layer, method, [((9, 9), (5, 5))])
    ranks = tuple(2 for _ in candidate._matrices) if not candidate.method.curved else (2,)
    made, stand_in = candidate.decompose(candidate.rank_of(ranks)).to_layers(layer), candidate.stand_in(ranks)
    settings = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "groups")
    for real, fake in zip(made, stand_in, strict=True):
        assert [getattr(real, name) for name in settings] == [getattr(fake, name) for name in settings]
        assert (real.bias is None) == (fake.bias is None)
        assert not fake.weight.any()


def test_the_default_measures_one_example_of_both_networks():
    model = network().double()
    found = speed_of_one_example(SHAPE, rounds=1)(model, nn.Sequential(model[:3], nn.Flatten()).double())
    assert {timing.network for timing in found.timings} == {"original", "given"}
    assert found.batch == 1
    assert found.speedup > 0
    assert found.operations_ratio > 1
    assert model.training
