"""Ranks by energy and by variational Bayesian matrix factorization."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from factorkit.decompositions import VBMF, energy_rank, tucker2, tucker2_ranks, vbmf_rank


def noisy(rows: int, columns: int, rank: int, noise: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    left, right, error = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((rows, rank), (rank, columns), (rows, columns))
    )
    return left @ right + noise * error


def free_energy(matrix: torch.Tensor, variance: np.ndarray, root: float) -> np.ndarray:
    """The objective as the paper writes it, for many variances; ``root`` is the tau at which the rank changes."""
    short, long = sorted(matrix.shape)
    alpha = short / long
    x = torch.linalg.svdvals(matrix).numpy()[:, None] ** 2 / (long * variance)
    middle = x - (1 + alpha)
    tau = (middle + np.sqrt(np.maximum(middle**2 - 4 * alpha, 0))) / 2
    kept = x > (1 + root) * (1 + alpha / root)
    tau = np.where(kept, tau, 1.0)
    return (x - np.log(x) + kept * (np.log(tau + 1) + alpha * np.log(tau / alpha + 1) - tau)).sum(0)


def root_of(found: VBMF, matrix: torch.Tensor) -> float:
    """The tau at which the rank changes, from the threshold and the noise that were found."""
    short, long = sorted(matrix.shape)
    middle = found.threshold**2 / (long * found.noise) - 1 - short / long
    return (middle + np.sqrt(middle**2 - 4 * short / long)) / 2


@pytest.mark.parametrize(("rows", "columns", "rank"), [(64, 576, 6), (40, 40, 3), (96, 50, 5), (64, 576, 0)])
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1.0, 1e12])
def test_the_rank_of_a_signal_in_noise_at_every_scale(rows, columns, rank, scale):
    matrix = noisy(rows, columns, rank, 0.5)
    found = vbmf_rank(matrix * scale)
    assert found.rank == rank == len(found.singular_values)
    assert found.noise == pytest.approx(0.25 * scale**2, rel=0.1)
    assert vbmf_rank((matrix * scale).T).rank == rank


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(2, 25),
    columns=st.integers(2, 40),
    rank=st.integers(0, 6),
    noise=st.floats(0.05, 10),
    seed=st.integers(0, 99),
)
def test_no_variance_has_a_smaller_free_energy(rows, columns, rank, noise, seed):
    matrix = noisy(rows, columns, rank, noise, seed)
    short, long = sorted(matrix.shape)
    found = vbmf_rank(matrix)
    alpha, root = short / long, root_of(found, matrix)
    assert np.log1p(root) + alpha * np.log1p(root / alpha) == pytest.approx(root)
    everywhere = float((matrix**2).mean()) * np.geomspace(1e-4, 2, 5000)
    smallest = free_energy(matrix, everywhere, root).min()
    assert free_energy(matrix, np.array([found.noise]), root)[0] <= smallest + 1e-6


def test_the_free_energy_has_several_minima_and_the_smallest_counts():
    several = 0
    for seed in range(20):
        matrix = noisy(20, 30, 6, 3.0, seed)
        found = vbmf_rank(matrix)
        root = root_of(found, matrix)
        values = free_energy(matrix, float((matrix**2).mean()) * np.geomspace(1e-2, 1, 3000), root)
        assert free_energy(matrix, np.array([found.noise]), root)[0] <= values.min() + 1e-6
        several += int(((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])).sum() > 1)
    assert several >= 1


def test_known_noise_gives_the_threshold_and_shrinks_what_is_kept():
    matrix = noisy(30, 60, 4, 0.3)
    spectrum = torch.linalg.svdvals(matrix)
    found = vbmf_rank(matrix, noise=0.09)
    assert found.noise == 0.09
    assert found.rank == int((spectrum > found.threshold).sum()) == 4
    for kept, estimate in zip(spectrum, found.singular_values, strict=False):
        a, b = 90 * 0.09 / kept**2, 30 * 60 * (0.09 / kept**2) ** 2
        assert estimate == pytest.approx(float(kept / 2 * (1 - a + ((1 - a) ** 2 - 4 * b) ** 0.5)))
    assert vbmf_rank(matrix, noise=1e4).rank == 0
    assert vbmf_rank(matrix, noise=1e-9).rank == 30


def test_the_threshold_of_a_square_matrix():
    found = vbmf_rank(noisy(50, 50, 2, 1.0), noise=1.0)
    assert found.threshold**2 / 50 == pytest.approx((1 + 2.51286) * (1 + 1 / 2.51286), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 90), (60, 60), (90, 40)])
def test_without_noise_it_is_the_numerical_rank(dtype, shape):
    assert vbmf_rank(noisy(*shape, 7, 0.0).to(dtype)).rank == 7


def test_the_mean_is_a_signal():
    generator = torch.Generator().manual_seed(0)
    assert vbmf_rank(torch.randint(0, 100, (30, 80), generator=generator).float()).rank == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_one_row_cannot_be_told_from_noise(shape):
    assert vbmf_rank(torch.ones(shape)).rank == 0


def test_zero_has_no_rank():
    found = vbmf_rank(torch.zeros(4, 6))
    assert (found.rank, found.noise, found.singular_values) == (0, 0.0, ())


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), float("inf")])
def test_the_variance_is_checked(noise):
    with pytest.raises(ValueError, match="noise="):
        vbmf_rank(torch.eye(3), noise=noise)
    with pytest.raises(ValueError, match=r"\(3,\).*2 dimensions"):
        vbmf_rank(torch.ones(3))


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=20), fraction=st.floats(0.01, 0.999))
def test_energy_is_the_smallest_rank_that_keeps_enough(values, fraction):
    squares = sorted((value**2 for value in values), reverse=True)
    rank = energy_rank(torch.tensor(values, dtype=torch.float64), fraction)
    total = sum(squares)
    assert 1 <= rank <= len(values)
    assert sum(squares[:rank]) >= fraction * total * (1 - 1e-12)
    assert rank == 1 or sum(squares[: rank - 1]) <= fraction * total * (1 + 1e-12)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_energy_of_a_matrix_is_that_of_its_singular_values(shape):
    matrix = noisy(*shape, 4, 0.2)
    for fraction in (0.1, 0.5, 0.9, 0.99):
        assert energy_rank(matrix, fraction) == energy_rank(torch.linalg.svdvals(matrix), fraction)
    assert energy_rank(noisy(*shape, 4, 0.0), 1) == 4
    assert energy_rank(torch.zeros(shape)) == 1


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, "0.9", float("nan")])
def test_the_fraction_is_checked(fraction):
    with pytest.raises(ValueError, match="fraction="):
        energy_rank(torch.ones(3), fraction)


def test_singular_values_are_not_negative():
    with pytest.raises(ValueError, match="-1"):
        energy_rank(torch.tensor([2.0, -1.0]))


def low_rank_kernel(outputs: int, inputs: int, noise: float) -> torch.Tensor:
    core = noisy(5, 4 * 9, 5, 0.0, seed=1).reshape(5, 4, 3, 3)
    left, right = torch.linalg.qr(noisy(outputs, 5, 5, 1.0)).Q, torch.linalg.qr(noisy(inputs, 4, 4, 1.0)).Q
    kernel = torch.einsum("abyx,oa,ib->oiyx", core, left, right)
    return kernel + noise * kernel.std() * noisy(outputs, inputs * 9, 0, 1.0, seed=2).reshape(kernel.shape)


@pytest.mark.parametrize(("policy", "noise"), [("vbmf", 0.1), ("energy:1", 0.0)])
def test_the_ranks_of_a_kernel(policy, noise):
    found = tucker2_ranks(low_rank_kernel(40, 30, noise), policy)
    assert found.ranks == (5, 4) and found.policy == policy and not found.fallback


def test_energy_bounds_the_error():
    kernel = low_rank_kernel(20, 12, 1.0)
    result = tucker2(kernel, tucker2_ranks(kernel, "energy:0.8").ranks)
    assert result.relative_error <= (2 * 0.2) ** 0.5


def test_a_mode_like_noise_keeps_its_full_rank_and_says_so():
    found = tucker2_ranks(noisy(24, 12 * 9, 0, 1.0).reshape(24, 12, 3, 3))
    assert found.ranks == (24, 12)
    assert "24 output channels" in found.fallback and "12 input channels" in found.fallback


def test_groups_take_the_largest_rank_of_their_own():
    parts = [low_rank_kernel(20, 16, 0.1), noisy(20, 16 * 9, 0, 1e-3).reshape(20, 16, 3, 3)]
    assert tucker2_ranks(torch.cat(parts), groups=2).ranks == (5, 4)


@pytest.mark.parametrize("policy", ["evbmf", "energy", "energy:", "energy:much", "energy:0", "energy:2", 0.9])
def test_policies_are_checked(policy):
    with pytest.raises(ValueError, match="policy=|fraction="):
        tucker2_ranks(torch.ones(4, 4, 3, 3), policy)
