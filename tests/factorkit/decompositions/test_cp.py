"""CP decomposition: against TensorLy, the singular value decomposition, a tensor of border rank two, dense layers."""

from __future__ import annotations

import itertools
import warnings

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import parafac
from torch import nn

from factorkit.decompositions.als import Kernel, alternate, khatri_rao, ridge_step, sweep
from factorkit.decompositions.cp import CP, cp, error_preserving_correction

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def of_rank(rank: int, *shape: int, seed: int = 0) -> torch.Tensor:
    """A tensor that is the sum of ``rank`` rank-one tensors, made by TensorLy."""
    with tensorly.backend_context("pytorch", local_threadsafe=True):
        factors = [normal(size, rank, seed=seed + mode) for mode, size in enumerate(shape)]
        return tensorly.cp_to_tensor((torch.ones(rank, dtype=torch.float64), factors))


def decaying(outputs: int = 16, inputs: int = 12, *kernel: int) -> torch.Tensor:
    """A kernel whose channel spectra fall off."""
    weight = normal(outputs, inputs, *(kernel or (3, 3)))
    shape = [-1, *[1] * (weight.dim() - 1)]
    return weight / torch.arange(1.0, outputs + 1).view(shape) / torch.arange(1.0, inputs + 1).view(shape[:-1])


def border() -> torch.Tensor:
    """Of rank three, and approached as closely as one likes by two components that grow without limit."""
    a, b = torch.eye(2, dtype=torch.float64)
    orders = ((a, a, b), (a, b, a), (b, a, a))
    return sum(torch.einsum("i,j,k->ijk", *vectors) for vectors in orders)


@pytest.mark.parametrize("merge", [False, True])
def test_factors_mean_what_they_mean_to_tensorly(merge):
    weight = decaying()
    found = cp(weight, 5, merge_spatial=merge)
    assert [factor.shape for factor in found.factors] == [(16, 5), (12, 5), *([(9, 5)] if merge else [(3, 5), (3, 5)])]
    with tensorly.backend_context("pytorch", local_threadsafe=True):
        dense = tensorly.cp_to_tensor((found.weights, list(found.factors)))
    torch.testing.assert_close(found.reconstruct(), dense.reshape(weight.shape))
    assert found.relative_error == pytest.approx(float((weight - found.reconstruct()).norm() / weight.norm()))
    assert found.merged is merge
    for factor in found.factors:
        torch.testing.assert_close(factor.norm(dim=0), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(found.component_norms, found.weights)
    assert torch.equal(found.weights, found.weights.sort(descending=True).values)
    assert found.largest_norm == pytest.approx(float(found.weights[0] / weight.norm()))


@pytest.mark.parametrize("shape", [(8, 7, 5), (8, 7, 3, 2), (5, 6, 2, 3, 2)])
def test_a_sum_of_few_components_is_found_again(shape):
    assert cp(of_rank(3, *shape), 3, ridge=0, iterations=500, tolerance=1e-7, restarts=3).relative_error < 1e-5


@pytest.mark.parametrize("kernel", [(1, 1), (1,)])
def test_a_pointwise_kernel_gets_the_error_of_its_singular_values(kernel):
    weight = decaying(16, 12, *kernel)
    found = cp(weight, 4)
    values = torch.linalg.svdvals(weight.flatten(1))
    assert found.relative_error == pytest.approx(float(values[4:].norm() / values.norm()), rel=1e-3)


def test_full_rank_is_exact():
    """A 4 x 3 x 2 x 2 tensor has rank at most 3 * 2 * 2."""
    found = cp(normal(4, 3, 2, 2), 12, iterations=1000, ridge=1e-9)
    assert found.relative_error < 1e-4


@pytest.mark.parametrize("rank", [2, 6, 20])
@pytest.mark.parametrize("make", [decaying, lambda: normal(16, 12, 3, 3)])
def test_the_error_is_not_above_that_of_tensorly(make, rank):
    weight = make()
    with tensorly.backend_context("pytorch", local_threadsafe=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorLy's, where a mode is smaller than the rank
        factors = parafac(weight, rank, init="svd", random_state=0)
        peer = float((weight - tensorly.cp_to_tensor(factors)).norm() / weight.norm())
    assert cp(weight, rank, restarts=4).relative_error <= peer * 1.01


@pytest.mark.parametrize("merge", [False, True])
def test_the_error_does_not_rise_with_the_rank(merge):
    errors = [cp(decaying(), rank, merge_spatial=merge, restarts=2).relative_error for rank in (1, 2, 4, 8, 16, 32)]
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))


def test_merged_spatial_modes_have_no_larger_error():
    weight = normal(16, 12, 3, 3)
    for rank in (4, 16):
        assert cp(weight, rank, merge_spatial=True).relative_error < cp(weight, rank).relative_error


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    rank=st.integers(1, 6),
    merge=st.booleans(),
    bias=st.booleans(),
    data=st.data(),
)
def test_layers_equal_the_dense_reconstruction(sizes, channels, rank, merge, bias, data):
    axes = len(sizes)
    each = st.tuples(*[st.integers(1, 2)] * axes)
    padding = data.draw(st.one_of(st.sampled_from(["same", "valid"]), st.tuples(*[st.integers(0, 2)] * axes)))
    stride = 1 if padding == "same" else data.draw(each)
    dense = CONVOLUTIONS[axes](
        *channels, tuple(sizes), stride=stride, padding=padding, dilation=data.draw(each), bias=bias
    ).double()
    with torch.no_grad():
        dense.weight.copy_(normal(*dense.weight.shape))
    found = cp(dense.weight, rank, merge_spatial=merge, iterations=5)
    layers = found.to_layers(dense.eval())
    images = normal(2, channels[0], *[7] * axes, seed=1)
    made = layers(images)
    with torch.no_grad():
        dense.weight.copy_(found.reconstruct())
    torch.testing.assert_close(made, dense(images), atol=1e-8, rtol=1e-6)
    assert found.params == sum(layer.weight.numel() for layer in layers)
    assert not any(module.training for module in layers.modules())


def test_float32_layers_and_their_costs():
    layer = nn.Conv2d(64, 64, 3, padding=1)
    found = cp(layer.weight, 20, iterations=3)
    assert found.weights.dtype == torch.float32
    assert found.params == 20 * (64 + 64 + 3 + 3)
    assert found.macs(32) == found.params * 32 * 32
    bias = layer.bias.numel()
    assert (layer.weight.numel() + bias) / (found.params + bias) == pytest.approx(13.4577, abs=1e-4)
    made, images = found.to_layers(layer), torch.randn(1, 64, 8, 8)
    assert [type(step) for step in made] == [nn.Conv2d] * 4
    expected = nn.functional.conv2d(images, found.reconstruct(), layer.bias, padding=1)
    torch.testing.assert_close(made(images), expected, atol=1e-4, rtol=1e-4)


def test_balanced_factors_share_norms_and_signs():
    weight = normal(6, 5, 3, 3)
    found = cp(weight, 4)
    turned = CP(weight, -found.weights * 2, (-found.factors[0], found.factors[1] / 2, *found.factors[2:]))
    torch.testing.assert_close(turned.reconstruct(), found.reconstruct())
    norms = torch.stack([factor.norm(dim=0) for factor in turned.balanced()])
    torch.testing.assert_close(norms, found.weights.pow(1 / 4).expand(4, 4))
    images = normal(1, 5, 6, 6)
    layer = nn.Conv2d(5, 6, 3, bias=False).double()
    torch.testing.assert_close(
        turned.to_layers(layer)(images), nn.functional.conv2d(images, found.reconstruct()), atol=1e-10, rtol=1e-6
    )


def test_a_sweep_reports_its_own_error_and_lowers_the_objective():
    tensor = normal(6, 5, 3, 2)
    tensor = tensor / tensor.norm()
    kernel, factors = Kernel.of(tensor), [normal(4, size, seed=size) for size in tensor.shape]
    last = float("inf")
    for _ in range(10):
        fit = sweep(kernel, factors, ridge_step(1e-2))
        factors = fit.factors
        dense = (factors[0].T @ khatri_rao(factors[1:])).view(tensor.shape)
        assert fit.error == pytest.approx(float((tensor - dense).square().sum()))
        assert fit.penalty == pytest.approx(float(factors[1].square().sum()))
        assert fit.error + 1e-2 * fit.penalty < last
        last = fit.error + 1e-2 * fit.penalty


def test_extrapolation_needs_fewer_sweeps():
    weight = decaying()
    kernel = Kernel.of(weight / weight.norm())
    start = [torch.nn.functional.normalize(normal(8, size, seed=size)) for size in weight.shape]
    factors = start
    for _ in range(200):
        plain = sweep(kernel, factors, ridge_step(1e-5))
        factors = plain.factors
    fast = alternate(kernel, start, ridge=1e-5, iterations=100, tolerance=0, target=0)
    assert fast.error < plain.error


def test_a_large_kernel_is_compressed_first_and_computed_in_its_own_type():
    weight = of_rank(20, 256, 256, 3, 3)
    noise = normal(*weight.shape)
    weight = (weight / weight.norm() + 0.01 * noise / noise.norm()).float()
    found = cp(weight, 64, iterations=8)
    assert found.relative_error < 0.011
    assert found.weights.dtype == torch.float32


def test_scale_does_not_matter_and_seeds_do():
    weight = decaying().float()
    found = cp(weight, 6)
    for scale in (1e-12, 1e12):
        assert cp(scale * weight, 6).relative_error == pytest.approx(found.relative_error, rel=1e-4)
    assert torch.equal(cp(weight, 6).weights, found.weights)
    assert not torch.equal(cp(weight, 6, seed=1).weights, found.weights)
    assert cp(weight, 6, restarts=4).relative_error <= found.relative_error


def test_a_target_stops_early_and_is_kept():
    weight = decaying()
    best = cp(weight, 16).relative_error
    found = cp(weight, 16, target=1.5 * best)
    assert best * 1.05 < found.relative_error <= 1.5 * best


def test_a_zero_weight_has_zero_components():
    found = cp(torch.zeros(4, 3, 3, 3), 2)
    assert found.relative_error == found.largest_norm == 0
    assert not found.reconstruct().any()


def test_the_ridge_keeps_components_small():
    free, kept = (cp(border(), 2, ridge=ridge, iterations=1000, tolerance=0) for ridge in (0, 1e-5))
    assert free.relative_error < 1e-3 < kept.relative_error < 0.02
    assert free.largest_norm > 10 > 5 > kept.largest_norm


def test_the_correction_keeps_the_error_and_shrinks_the_components():
    degenerate = cp(border(), 2, ridge=0, iterations=1000, tolerance=0)
    corrected = error_preserving_correction(degenerate, border(), error=0.1)
    assert corrected.relative_error == pytest.approx(0.1, rel=1e-4)
    assert corrected.largest_norm < 1 < 10 < degenerate.largest_norm
    with pytest.raises(ValueError, match=r"error=1e-09.*at least that of the decomposition"):
        error_preserving_correction(degenerate, border(), error=1e-9)


@pytest.mark.parametrize("merge", [False, True])
def test_the_correction_without_slack(merge):
    weight = decaying().float()
    found = cp(weight, 12, ridge=0, merge_spatial=merge)
    corrected = error_preserving_correction(found, weight)
    assert corrected.relative_error <= found.relative_error * (1 + 1e-5)
    assert corrected.component_norms.square().sum() < found.component_norms.square().sum()
    assert corrected.merged is merge
    assert corrected.weights.dtype == torch.float32


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rank": 0}, "rank=0"),
        ({"rank": 2, "ridge": -1.0}, "ridge=-1.0"),
        ({"rank": 2, "tolerance": float("nan")}, "tolerance=nan"),
        ({"rank": 2, "iterations": 0}, "iterations=0"),
        ({"rank": 2, "restarts": 1.5}, "restarts=1.5"),
        ({"rank": 2, "weight": torch.ones(3, 3)}, "2 dimensions|give one with 3 or 4 or 5"),
        ({"rank": 2, "weight": torch.full((2, 2, 3, 3), float("nan"))}, "NaN"),
        ({"rank": 2, "weight": torch.ones(2, 2, 3, 3, dtype=torch.int64)}, "int64"),
    ],
)
def test_what_cannot_be_decomposed_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cp(**{"weight": torch.ones(2, 2, 3, 3), **options})


def test_wrong_factors_layers_and_weights_are_refused():
    weight = normal(4, 6, 3, 3)
    found = cp(weight, 2)
    with pytest.raises(ValueError, match="factors of shapes 6 x 2, 4 x 2"):
        CP(weight, found.weights, (found.factors[1], found.factors[0], *found.factors[2:]))
    with pytest.raises(ValueError, match="groups=2"):
        found.to_layers(nn.Conv2d(12, 4, 3, groups=2))
    with pytest.raises(ValueError, match="4 x 6 x 3 x 3"):
        error_preserving_correction(found, weight[:2])
    with pytest.raises(ValueError, match="zero"):
        error_preserving_correction(found, torch.zeros_like(weight))


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_every_device_gives_the_same(device):
    weight = decaying().to(device)
    found = cp(weight, 6)
    assert found.weights.device.type == device
    assert found.relative_error == pytest.approx(cp(weight.cpu(), 6).relative_error, rel=1e-3)
