"""Tucker-1 and Tucker-2: exact at full rank, as good as TensorLy, and the layers that they become."""

import math

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import partial_tucker
from tensorly.tenalg import multi_mode_dot
from torch import nn

from factorkit.costs import conv2d_cost
from factorkit.decompositions import tucker1, tucker2
from factorkit.decompositions.leading import leading_vectors

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda channels: st.lists(st.integers(1, 4), min_size=1, max_size=3).map(lambda kernel: (*channels, *kernel))
)
METHODS = ["hosvd", "hooi"]
CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def decaying(outputs: int, inputs: int, power: float = 0.8) -> torch.Tensor:
    """A kernel whose channels matter less and less, in random directions."""
    core = randn(outputs, inputs, 3, 3)
    core *= torch.arange(1, outputs + 1)[:, None, None, None] ** -power
    core *= torch.arange(1, inputs + 1)[:, None, None] ** -power
    left, right = torch.linalg.qr(randn(outputs, outputs, seed=1)).Q, torch.linalg.qr(randn(inputs, inputs, seed=2)).Q
    return torch.einsum("abyx,oa,ib->oiyx", core, left, right)


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, method=st.sampled_from(METHODS), seed=st.integers(0, 9))
def test_full_rank_is_exact(shape, method, seed):
    weight = randn(*shape, seed=seed)
    assert tucker2(weight, shape[:2], method=method).relative_error < 1e-12
    for mode in (0, 1):
        assert tucker1(weight, shape[mode], mode=mode).relative_error < 1e-12


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 9), data=st.data())
def test_the_error_never_rises_with_the_rank(shape, seed, data):
    weight = randn(*shape, seed=seed)
    low = tuple(data.draw(st.integers(1, size)) for size in shape[:2])
    high = tuple(data.draw(st.integers(rank, size)) for rank, size in zip(low, shape[:2], strict=True))
    assert tucker2(weight, high).relative_error <= tucker2(weight, low).relative_error + 1e-9
    for mode in (0, 1):
        errors = [tucker1(weight, rank, mode=mode).relative_error for rank in (low[mode], high[mode])]
        assert errors[1] <= errors[0] + 1e-9


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 9), data=st.data())
def test_errors_lie_between_what_theory_allows(shape, seed, data):
    weight = randn(*shape, seed=seed)
    ranks = tuple(data.draw(st.integers(1, size)) for size in shape[:2])
    tails = []
    for mode in (0, 1):
        spectrum = torch.linalg.svdvals(weight.transpose(0, mode).flatten(1))
        tails.append(float((spectrum[ranks[mode] :] ** 2).sum() / (spectrum**2).sum()))
        assert tucker1(weight, ranks[mode], mode=mode).relative_error == pytest.approx(math.sqrt(tails[mode]), abs=1e-6)
    hosvd, hooi = (tucker2(weight, ranks, method=method).relative_error for method in METHODS)
    assert math.sqrt(max(tails)) - 1e-6 <= hooi <= hosvd + 1e-6
    assert hosvd <= math.sqrt(sum(tails)) + 1e-6


@settings(max_examples=30, deadline=None)
@given(
    shape=SHAPES,
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    groups=st.sampled_from([1, 2, 3]),
)
def test_layers_equal_their_dense_reconstruction(shape, stride, padding, dilation, bias, groups):
    outputs, inputs, *kernel = shape
    layer = CONVOLUTIONS[len(shape)](
        inputs * groups, outputs * groups, tuple(kernel), stride, padding, dilation, groups, bias
    )
    images = randn(2, inputs * groups, *[8] * len(kernel), dtype=torch.float32)
    ranks = (outputs + 1) // 2, (inputs + 1) // 2
    results = [tucker2(layer.weight, ranks, groups=groups)]
    if groups == 1:
        results += [tucker1(layer.weight, ranks[mode], mode=mode) for mode in (0, 1)]
    for result in results:
        made = result.to_layers(layer)
        assert result.params == sum(p.numel() for p in made.parameters()) - bias * len(layer.weight)
        with torch.no_grad():
            layer.weight.copy_(result.reconstruct())
            torch.testing.assert_close(made(images), layer(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ranks", [(6, 4), (20, 3), (3, 12), (1, 1), (24, 4), (24, 16)])
@pytest.mark.parametrize("make", [decaying, lambda outputs, inputs: randn(outputs, inputs, 3, 3)])
@pytest.mark.parametrize("swap", [False, True])
def test_as_good_as_tensorly(ranks, make, swap):
    weight = make(24, 16)
    if swap:
        weight, ranks = weight.transpose(0, 1), ranks[::-1]
    with tensorly.backend_context("pytorch"):
        (core, factors), _ = partial_tucker(weight, rank=list(ranks), modes=[0, 1], init="svd", tol=1e-8)
        reference = float((weight - multi_mode_dot(core, factors, modes=[0, 1])).norm() / weight.norm())
        result = tucker2(weight, ranks, method="hooi", iterations=100, tolerance=1e-8)
        ours = multi_mode_dot(result.core, [result.out_factor, result.in_factor], modes=[0, 1])
    assert result.relative_error <= reference * 1.001 + 1e-12
    torch.testing.assert_close(ours, result.reconstruct())
    assert result.core.shape == core.shape and result.rank == ranks
    for factor, other in zip((result.out_factor, result.in_factor), factors, strict=True):
        assert factor.shape == other.shape
        torch.testing.assert_close(factor.T @ factor, torch.eye(factor.shape[1], dtype=torch.float64))


def test_iteration_improves_what_the_svd_finds():
    hosvd, hooi = (tucker2(randn(16, 16, 3, 3), 4, method=method).relative_error for method in METHODS)
    assert hooi < hosvd - 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_of_low_rank_is_found_in_single_precision(method):
    core, left, right = randn(5, 4, 3, 3), randn(40, 5, seed=1), randn(30, 4, seed=2)
    weight = torch.einsum("abyx,oa,ib->oiyx", core, left, right).float()
    assert tucker2(weight, (5, 4), method=method).relative_error < 1e-6
    assert tucker1(weight, 5, mode=0).relative_error < 1e-6


def test_small_directions_survive_in_single_precision():
    """A Gram matrix of float32 would lose what is below 3e-4 of the largest direction."""
    weight = decaying(32, 32, power=4.0).float()
    for rank in (4, 12, 20):
        spectrum = torch.linalg.svdvals(weight.double().flatten(1))
        best = float((spectrum[rank:] ** 2).sum().sqrt() / spectrum.norm())
        assert tucker1(weight, rank, mode=0).relative_error <= best * 1.02 + 3e-7


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("method", METHODS)
def test_the_scale_does_not_matter(scale, method):
    weight = decaying(16, 12).float()
    assert tucker2(weight * scale, 4, method=method).relative_error == pytest.approx(
        tucker2(weight, 4, method=method).relative_error, rel=1e-3
    )


@pytest.mark.parametrize("method", METHODS)
def test_zero_stays_zero(method):
    result = tucker2(torch.zeros(6, 5, 3, 3), 2, method=method)
    assert result.relative_error == 0 and not result.reconstruct().any()


def test_each_group_is_decomposed_by_itself():
    parts = [randn(6, 4, 3, 3, seed=seed) for seed in range(3)]
    result = tucker2(torch.cat(parts), (3, 2), groups=3)
    alone = torch.cat([tucker2(part, (3, 2)).reconstruct() for part in parts])
    torch.testing.assert_close(result.reconstruct(), alone)
    assert result.params == 3 * (4 * 2 + 2 * 3 * 9 + 3 * 6)
    with pytest.raises(ValueError, match="groups=1.*groups=3"):
        result.to_layers(nn.Conv2d(4, 18, 3))


def test_the_figures_of_two_layers_of_vgg16():
    small, large = torch.zeros(64, 64, 3, 3), torch.zeros(512, 512, 3, 3)
    ratios = [weight.numel() / tucker2(weight, rank).params for weight, rank in ((small, 10), (small, 60), (large, 10))]
    assert ratios == pytest.approx([16.910, 0.920, 211.786], abs=1e-3)
    assert "1.09 times more" in repr(tucker2(small, 60))


def test_macs_before_a_stride_run_on_the_input():
    weight = randn(8, 6, 3, 3)
    both = conv2d_cost(14, 1, 6, 2).macs + conv2d_cost(14, 3, 2, 4, stride=2, padding=1).macs
    assert tucker2(weight, (4, 2)).macs(7, input_size=14) == both + conv2d_cost(7, 1, 4, 8).macs


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (9, 9)])
@pytest.mark.parametrize("rank", [1, 4, 6])
def test_leading_vectors_span_what_an_svd_finds(shape, rank):
    matrix = randn(*shape)
    basis, expected = leading_vectors(matrix, rank), torch.linalg.svd(matrix).U[:, :rank]
    torch.testing.assert_close(basis.T @ basis, torch.eye(rank, dtype=torch.float64))
    torch.testing.assert_close(basis @ basis.T, expected @ expected.T)


def test_leading_vectors_beyond_the_columns_are_orthonormal():
    basis = leading_vectors(randn(9, 3), 7)
    torch.testing.assert_close(basis.T @ basis, torch.eye(7, dtype=torch.float64))
    basis = leading_vectors(torch.ones(9, 3), 2)  # of rank one
    torch.testing.assert_close(basis.T @ basis, torch.eye(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda weight: tucker2(weight, 9), r"ranks\[0\]=9.*8 output channels"),
        (lambda weight: tucker2(weight, (8, 7)), r"ranks\[1\]=7.*6 input channels"),
        (lambda weight: tucker2(weight, (0, 1)), r"ranks\[0\]=0"),
        (lambda weight: tucker2(weight, (1, 1), method="als"), "choose 'hosvd' or 'hooi'"),
        (lambda weight: tucker2(weight, (1, 1), iterations=0), "iterations=0"),
        (lambda weight: tucker2(weight, (1, 2, 3)), r"ranks=\(1, 2, 3\)"),
        (lambda weight: tucker2(weight, (3, 3), groups=4), r"ranks\[0\]=3.*2 output channels"),
        (lambda weight: tucker2(weight.flatten(1), 2), r"\(8, 54\).*3 or 4 or 5"),
        (lambda weight: tucker1(weight, 7, mode=1), "rank=7.*6 input channels"),
        (lambda weight: tucker1(weight, 1, mode=2), "mode=2"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(8, 6, 3, 3))
