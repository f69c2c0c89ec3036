"""Singular value decompositions: the best of their rank, by two ways, and the layers that they become."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.tenalg import svd_interface
from torch import nn

from factorkit.decompositions.power_iteration import power_iteration_svd
from factorkit.decompositions.svd import channel_svd, linear_svd, truncated_svd
from factorkit.decompositions.truncation import truncated_factors

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIDES = st.integers(1, 12)
SEEDS = st.integers(0, 2**16)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def assert_orthonormal(vectors: torch.Tensor, tolerance: float) -> None:
    """The columns have length 1 and are orthogonal."""
    identity = torch.eye(vectors.shape[1], dtype=vectors.dtype)
    torch.testing.assert_close(vectors.T @ vectors, identity, rtol=0, atol=tolerance)


def assert_layers_are_dense(found, layer: nn.Module, inputs: torch.Tensor) -> None:
    """The chain gives what the layer gives with the reconstruction as its weight."""
    dense = copy.deepcopy(layer)
    dense.weight.data = found.reconstruct()
    torch.testing.assert_close(found.to_layers(layer)(inputs), dense(inputs), rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, SEEDS, st.sampled_from([torch.float32, torch.float64]))
def test_truncation_is_the_best_of_its_rank(rows, columns, seed, dtype):
    matrix = drawn(rows, columns, seed=seed, dtype=dtype)
    values = torch.linalg.svdvals(matrix)
    errors = []
    for rank in range(1, min(rows, columns) + 1):
        found = truncated_svd(matrix, rank)
        errors.append(found.relative_error)
        best = float(values[rank:].norm() / values.norm())
        assert found.relative_error == pytest.approx(best, rel=1e-4, abs=2e-6)
        assert found.rank == rank and found.params == rank * (rows + columns) == found.macs()
        torch.testing.assert_close(found.singular_values, values[:rank])
        assert_orthonormal(found.left, 1e-5)
        assert_orthonormal(found.right.T, 1e-5)
    assert all(after <= before + 1e-6 for before, after in zip(errors[:-1], errors[1:], strict=True))
    assert errors[-1] < 1e-5


@pytest.mark.parametrize("shape", [(20, 90), (90, 20), (3, 20, 90)])
def test_long_matrices_give_what_lapack_gives(shape):
    matrix = drawn(*shape, dtype=torch.float32)
    left, values, right = truncated_factors(matrix, 7)
    expected = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(values, expected.S[..., :7])
    best = (expected.U[..., :7] * expected.S[..., None, :7]) @ expected.Vh[..., :7, :]
    torch.testing.assert_close((left * values[..., None, :]) @ right, best, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_what_the_gram_matrix_would_lose_is_not_lost(scale):
    """Singular values over eight decades: squared, they span sixteen."""
    left, right = (torch.linalg.qr(drawn(size, 9, seed=size)).Q for size in (9, 60))
    values = scale * 10.0 ** -torch.arange(9, dtype=torch.float64)
    matrix = ((left * values) @ right.T).float()
    found = truncated_svd(matrix, 9)
    assert_orthonormal(found.left, 1e-5)
    assert_orthonormal(found.right.T, 1e-5)
    assert found.relative_error < 1e-6
    torch.testing.assert_close(found.singular_values[:5], values[:5].float(), rtol=1e-2, atol=0)


def test_a_matrix_of_low_rank_and_a_zero_one_are_exact():
    low = drawn(30, 4, dtype=torch.float32) @ drawn(4, 200, seed=1, dtype=torch.float32)
    assert truncated_svd(low, 4).relative_error < 1e-6
    assert truncated_svd(low, 10).relative_error < 1e-6
    zero = truncated_svd(torch.zeros(3, 50), 2)
    assert zero.relative_error == 0 and not zero.reconstruct().any()


def test_the_approximation_is_tensorlys():
    matrix = drawn(8, 30)
    left, values, right = svd_interface(matrix.numpy(), method="truncated_svd", n_eigenvecs=3)
    expected = torch.from_numpy((left * values) @ right)
    torch.testing.assert_close(truncated_svd(matrix, 3).reconstruct(), expected)


# Power iteration.


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), SEEDS)
def test_power_iteration_finds_the_singular_values_and_their_vectors(rows, columns, seed):
    matrix = drawn(rows, columns, seed=seed)
    full = min(rows, columns)
    found = power_iteration_svd(matrix, full, iterations=20_000, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(found.singular_values, torch.linalg.svdvals(matrix), rtol=1e-4, atol=1e-6)
    assert found.relative_error < 1e-12
    assert_orthonormal(found.right.T, 1e-9)
    assert len(found.iterations) == full and all(1 <= taken <= 20_000 for taken in found.iterations)


def test_few_steps_still_give_errors_that_fall_with_rank_to_nothing():
    matrix = drawn(9, 6)
    errors = [power_iteration_svd(matrix, rank, iterations=2).relative_error for rank in range(1, 7)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-12
    assert set(power_iteration_svd(matrix, 3, iterations=2).iterations) == {2}


def test_the_lectures_matrix_has_a_negative_eigenvalue_whose_size_is_found():
    matrix = torch.tensor([[1.0, 2.0], [2.0, 3.0]])
    found = power_iteration_svd(matrix, 2)
    torch.testing.assert_close(found.singular_values, torch.tensor([2 + 5**0.5, 5**0.5 - 2]))
    # u = -v for a negative eigenvalue: one search for u in A Aᵀ and one for v in Aᵀ A would lose this sign.
    assert float(found.left[:, 1] @ found.right[1]) == pytest.approx(-1)
    assert found.relative_error < 1e-6


def test_a_start_is_not_stuck_orthogonal_to_what_is_sought():
    """All ones, the usual first guess, is orthogonal to the first right singular vector here."""
    matrix = torch.tensor([[5.0, -5.0], [1.0, 1.0]], dtype=torch.float64)
    assert float(power_iteration_svd(matrix, 1).singular_values) == pytest.approx(50**0.5)


@pytest.mark.parametrize("matrix", [torch.eye(4), torch.zeros(3, 4), torch.outer(torch.ones(3), torch.arange(4.0))])
def test_equal_and_missing_singular_values_end_in_orthonormal_vectors(matrix):
    found = power_iteration_svd(matrix, min(matrix.shape))
    torch.testing.assert_close(found.singular_values, torch.linalg.svdvals(matrix), rtol=1e-5, atol=1e-6)
    assert_orthonormal(found.left, 1e-5)
    assert_orthonormal(found.right.T, 1e-5)
    assert found.relative_error < 1e-6


def test_the_same_generator_gives_the_same_decomposition():
    matrix = drawn(6, 5)
    first, second = (power_iteration_svd(matrix, 2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.right, second.right)


# Layers.


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_becomes_two(bias):
    layer = nn.Linear(12, 7, bias=bias).eval()
    found = linear_svd(layer.weight, 3)
    layers = found.to_layers(layer)
    assert [tuple(step.weight.shape) for step in layers] == [(3, 12), (7, 3)]
    assert layers.expand.bias is None if not bias else torch.equal(layers.expand.bias, layer.bias)
    assert layers.reduce.bias is None and not layers.training
    assert_layers_are_dense(found, layer, drawn(4, 5, 12, dtype=torch.float32))
    # both layers share the singular values, so that neither is trained much faster than the other
    torch.testing.assert_close(layers.reduce.weight.norm(), layers.expand.weight.norm())


@settings(max_examples=40, deadline=None)
@given(
    axes=st.integers(1, 3),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    data=st.data(),
)
def test_a_convolution_becomes_a_thin_one_and_a_pointwise_one(axes, groups, channels, data):
    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return data.draw(st.tuples(*[st.integers(low, high)] * axes))

    torch.manual_seed(0)
    layer = CONVOLUTIONS[axes](
        *(groups * count for count in channels),
        per_axis(1, 3),
        stride=per_axis(1, 2),
        padding=per_axis(0, 2),
        dilation=per_axis(1, 2),
        groups=groups,
        bias=data.draw(st.booleans()),
        padding_mode=data.draw(st.sampled_from(["zeros", "replicate", "circular"])),
    )
    full = min(channels[1], layer.weight[0].numel())
    rank = data.draw(st.integers(1, full))
    found = channel_svd(layer.weight, rank, groups=groups)
    assert_layers_are_dense(found, layer, torch.randn(2, groups * channels[0], *[7] * axes))
    outputs = layer(torch.randn(1, groups * channels[0], *[7] * axes)).shape[2:]
    counted = sum(
        parameter.numel() for name, parameter in found.to_layers(layer).named_parameters() if "bias" not in name
    )
    assert found.params == counted and found.macs(tuple(outputs)) == counted * outputs.numel()
    errors = [channel_svd(layer.weight, r, groups=groups).relative_error for r in (rank, full)]
    assert errors[1] <= errors[0] + 1e-6 and errors[1] < 1e-5


def test_same_padding_float64_and_training_are_kept():
    layer = nn.Conv2d(3, 6, (3, 2), padding="same", dilation=(1, 2), dtype=torch.float64)
    found = channel_svd(layer.weight, 4)
    assert_layers_are_dense(found, layer, drawn(2, 3, 8, 8))
    layers = found.to_layers(layer)
    assert layers.training and layers.spatial.weight.dtype == torch.float64 and layers.spatial.weight.requires_grad


def test_groups_are_decomposed_each_for_itself():
    weight = drawn(6, 4, 3, 3)
    found = channel_svd(weight, 2, groups=2)
    for group in range(2):
        half = channel_svd(weight[3 * group : 3 * group + 3], 2)
        torch.testing.assert_close(found.reconstruct()[3 * group : 3 * group + 3], half.reconstruct())


def test_a_channel_svd_is_the_svd_of_its_matrix():
    weight = drawn(6, 4, 3, 3)
    assert channel_svd(weight, 3).relative_error == pytest.approx(truncated_svd(weight.flatten(1), 3).relative_error)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: truncated_svd(torch.ones(3, 4), 4), "rank=4: a 3 x 4 matrix has rank at most 3"),
        (lambda: truncated_svd(torch.ones(3, 4), 0), "rank=0"),
        (lambda: truncated_svd(torch.ones(3, 4, 5), 1), "2 dimensions"),
        (lambda: truncated_svd(torch.full((3, 4), float("nan")), 1), "NaN"),
        (lambda: truncated_svd(torch.ones(3, 4, dtype=torch.int64), 1), "float32 or float64"),
        (lambda: power_iteration_svd(torch.ones(3, 4), 1, tolerance=0), "tolerance=0"),
        (lambda: power_iteration_svd(torch.ones(3, 4), 1, iterations=0), "iterations=0"),
        (lambda: channel_svd(torch.ones(6, 4, 3, 3), 4, groups=2), "rank=4: the 3 x 36 matrix of a group"),
        (lambda: channel_svd(torch.ones(6, 4, 3, 3), 1, groups=4), "groups=4"),
        (lambda: channel_svd(torch.ones(6, 4), 1), "3 or 4 or 5 dimensions"),
        (lambda: channel_svd(torch.ones(6, 4, 3, 3), 1).to_layers(nn.Conv2d(8, 6, 3, groups=2)), "groups=2"),
        (lambda: linear_svd(torch.ones(6, 4), 1).to_layers(nn.Linear(6, 4)), "6 x 4"),
    ],
)
def test_what_cannot_be_done_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_every_device_gives_the_same(device):
    layer = nn.Conv2d(8, 16, 3).to(device)
    found = channel_svd(layer.weight, 5)
    assert found.relative_error == pytest.approx(channel_svd(layer.weight.cpu(), 5).relative_error, rel=1e-4)
    assert found.to_layers(layer).spatial.weight.device.type == device
    assert power_iteration_svd(layer.weight.flatten(1), 3).left.device.type == device
