"""Separable approximations in closed form: the nearest ones there are, and the two layers that they become."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from factorkit.costs import conv2d_cost, spatially_separable_cost
from factorkit.decompositions.separable import tai


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lectures_matrix(weight: torch.Tensor) -> torch.Tensor:
    """The bijection of the paper, index by index: row (c, vertical), column (n, horizontal)."""
    outputs, inputs, height, width = weight.shape
    matrix = weight.new_zeros(inputs * height, outputs * width)
    for n in range(outputs):
        for c in range(inputs):
            for i in range(height):
                for j in range(width):
                    matrix[c * height + i, n * width + j] = weight[n, c, i, j]
    return matrix


@pytest.mark.parametrize("shape", [(5, 4, 3, 3), (2, 3, 1, 3), (4, 2, 5, 2), (3, 3, 1, 1)])
def test_the_error_is_the_least_that_a_matrix_of_this_rank_leaves(shape):
    weight = drawn(*shape)
    values = torch.linalg.svdvals(lectures_matrix(weight))
    for rank in range(1, len(values) + 1):
        found = tai(weight, rank)
        assert found.relative_error == pytest.approx(float(values[rank:].norm() / values.norm()), abs=1e-12)
        assert torch.linalg.matrix_rank(lectures_matrix(found.reconstruct())) <= rank


def test_no_trained_pair_comes_nearer():
    """Gradient descent on both factors from a random start ends where the closed form is."""
    weight, rank = drawn(4, 3, 3, 3), 3
    generator = torch.Generator().manual_seed(1)
    vertical = torch.randn(rank, 3, 3, generator=generator, dtype=weight.dtype).requires_grad_()
    horizontal = torch.randn(4, rank, 3, generator=generator, dtype=weight.dtype).requires_grad_()
    optimizer = torch.optim.LBFGS([vertical, horizontal], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        lost = (weight - torch.einsum("kci,nkj->ncij", vertical, horizontal)).square().sum()
        lost.backward()
        return lost

    optimizer.step(loss)
    trained = float(loss().detach().sqrt() / weight.norm())
    assert tai(weight, rank).relative_error <= trained + 1e-9 < 1.02 * tai(weight, rank).relative_error


@settings(max_examples=40, deadline=None)
@given(groups=st.integers(1, 3), inputs=st.integers(1, 4), outputs=st.integers(1, 4), data=st.data())
def test_a_convolution_becomes_a_vertical_and_a_horizontal_one(groups, inputs, outputs, data):
    def pair(low: int, high: int) -> tuple[int, int]:
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    torch.manual_seed(0)
    layer = nn.Conv2d(
        groups * inputs,
        groups * outputs,
        pair(1, 3),
        stride=pair(1, 3),
        padding=pair(0, 2),
        dilation=pair(1, 2),
        groups=groups,
        bias=data.draw(st.booleans()),
        padding_mode=data.draw(st.sampled_from(["zeros", "reflect", "circular"])),
    )
    height, width = layer.kernel_size
    full = min(inputs * height, outputs * width)
    rank = data.draw(st.integers(1, full))
    found = tai(layer.weight, rank, groups=groups)
    dense = copy.deepcopy(layer)
    dense.weight.data = found.reconstruct()
    maps = torch.randn(2, groups * inputs, 8, 7)
    torch.testing.assert_close(found.to_layers(layer)(maps), dense(maps), rtol=1e-4, atol=1e-4)
    assert found.params == groups * rank * (inputs * height + outputs * width)
    errors = [tai(layer.weight, r, groups=groups).relative_error for r in (rank, full)]
    assert errors[1] <= errors[0] + 1e-6 and errors[1] < 1e-5


@pytest.mark.parametrize("stride", [1, (2, 1), 2])
def test_its_cost_is_the_formula_of_separated_kernels(stride):
    found = tai(drawn(6, 4, 3, 3), 5)
    expected = spatially_separable_cost(10, 3, 4, 6, mid_channels=5, stride=stride, padding=1)
    pair = stride if isinstance(stride, tuple) else (stride, stride)
    after = tuple(10 // step for step in pair)
    assert found.params == expected.params
    assert found.macs(after, input_size=(10, 10)) == expected.macs


@pytest.mark.parametrize("size, inputs, outputs", [(3, 64, 64), (5, 96, 192), (3, 512, 512)])
def test_it_saves_below_the_rank_that_the_paper_gives(size, inputs, outputs):
    rank = Fraction(size * outputs * inputs, outputs + inputs)
    dense = conv2d_cost(1, size, inputs, outputs, padding=size // 2).params
    assert rank * size * (inputs + outputs) == dense
    assert rank < min(inputs, outputs) * size  # so there are ranks that do not save


def test_a_sum_of_separable_kernels_is_found_again():
    vertical, horizontal = drawn(2, 5, 3), drawn(4, 2, 3, seed=1)
    weight = torch.einsum("kci,nkj->ncij", vertical, horizontal)
    assert tai(weight, 2).relative_error < 1e-12 < 0.01 < tai(weight, 1).relative_error


def test_groups_are_decomposed_each_for_itself():
    weight = drawn(6, 4, 3, 3)
    found = tai(weight, 2, groups=2)
    for group in range(2):
        half = weight[3 * group : 3 * group + 3]
        torch.testing.assert_close(found.reconstruct()[3 * group : 3 * group + 3], tai(half, 2).reconstruct())


def test_both_layers_have_the_same_norm_and_the_settings_of_the_old_one():
    layer = nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(1, 0), dtype=torch.float64).eval()
    layers = tai(layer.weight, 3).to_layers(layer)
    torch.testing.assert_close(layers.vertical.weight.norm(), layers.horizontal.weight.norm())
    assert (layers.vertical.stride, layers.vertical.padding) == ((2, 1), (1, 0))
    assert (layers.horizontal.stride, layers.horizontal.padding) == ((1, 1), (0, 0))
    assert layers.vertical.bias is None and torch.equal(layers.horizontal.bias, layer.bias)
    assert not layers.training and layers.vertical.weight.dtype == torch.float64


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tai(torch.ones(4, 3, 3, 3), 10), "rank=10: the 9 x 12 matrix of a group has rank at most 9"),
        (lambda: tai(torch.ones(4, 3, 3), 1), "4 dimensions"),
        (lambda: tai(torch.ones(4, 3, 3, 3), 1, groups=3), "groups=3"),
        (lambda: tai(torch.ones(4, 3, 3, 3), 1).to_layers(nn.Conv2d(3, 4, 5)), "4 x 3 x 5 x 5"),
        (lambda: tai(torch.ones(4, 3, 3, 3), 1).to_layers(nn.ConvTranspose2d(4, 3, 3)), "ConvTranspose2d"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
