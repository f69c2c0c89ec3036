"""K-means of vectors and of numbers: against brute force, scikit-learn and arithmetic done by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from factorkit.clustering import choose_k, huffman_bits, kmeans, kmeans_1d, lloyd, quantize_vectors
from factorkit.clustering.cells import Cells, gather
from factorkit.clustering.partition import best_starts, merge, refine


def blobs(count: int, k: int, seed: int = 0) -> torch.Tensor:
    """Points around k corners of a wide circle."""
    generator = torch.Generator().manual_seed(seed)
    angles = 2 * math.pi * torch.arange(count).remainder(k) / k
    return 10 * torch.stack([angles.cos(), angles.sin()], 1) + 0.3 * torch.randn(count, 2, generator=generator)


def spread(values: np.ndarray) -> float:
    return float(np.square(values - values.mean()).sum())


def brute_force(values: np.ndarray, k: int) -> float:
    """Least sum of squares over all partitions of sorted numbers into k intervals."""
    ordered = np.sort(values.astype(np.float64))
    cuts = itertools.combinations(range(1, len(ordered)), k - 1)
    return min(sum(map(spread, np.split(ordered, list(cut)))) for cut in cuts)


def mean_squared(values: torch.Tensor, centroids: torch.Tensor) -> float:
    return float((values.double().reshape(-1, 1) - centroids.double()).square().min(1).values.mean())


def test_lloyd_and_scikit_learn_find_the_corners():
    points = blobs(600, 5)
    mine, peer = lloyd(points, 5, generator=torch.Generator().manual_seed(1)), kmeans(points, 5)
    assert mine.error == pytest.approx(peer.error, rel=1e-5)
    assert mine.k == peer.k == 5
    assert torch.equal(mine.labels[:5].sort().values, torch.arange(5))  # five corners, five clusters
    assert mine.error == pytest.approx(float((points - mine.reconstruct()).square().sum(1).mean()), rel=1e-5)


def test_more_rounds_of_lloyd_are_never_worse_and_the_last_is_a_fixed_point():
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    errors = [lloyd(points, 7, generator=torch.Generator().manual_seed(3), iterations=i).error for i in range(1, 15)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(errors))
    done = lloyd(points, 7, generator=torch.Generator().manual_seed(3))
    for label in range(7):
        torch.testing.assert_close(done.centroids[label], points[done.labels == label].mean(0))


def test_lloyd_of_equal_points_and_of_as_many_clusters_as_points():
    generator = torch.Generator().manual_seed(0)
    assert lloyd(torch.ones(6, 2), 3, generator=generator).error == 0
    points = torch.arange(8.0)[:, None]
    assert lloyd(points, 8, generator=generator).error == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_points_of_any_floating_type_and_any_layout(dtype):
    points = blobs(60, 3).to(dtype).T.contiguous().T
    for found in (kmeans(points, 3), lloyd(points, 3, generator=torch.Generator().manual_seed(0))):
        assert torch.equal(found.labels[:57], found.labels[3:])
        assert found.centroids.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_fewer_different_points_than_clusters_need_no_warning():
    points = torch.tensor([[1.0, 1.0], [2.0, 5.0]]).repeat(4, 1)
    assert kmeans(points, 3).error == 0
    assert kmeans(torch.ones(6, 2), 3).error == 0
    assert choose_k(torch.ones(6, 2), [1, 2, 3]).best_silhouette is None
    assert quantize_vectors(torch.ones(6, 2), 2).relative_error == 0


@pytest.mark.parametrize(
    "points, k, message",
    [
        (torch.zeros(4), 2, r"shape \(4,\).*images\.flatten\(1\)"),
        (torch.zeros(4, 2, dtype=torch.int64), 2, "int64"),
        (torch.full((4, 2), float("nan")), 2, "NaN"),
        (torch.zeros(4, 2), 5, "k=5: 4 points"),
        (torch.zeros(4, 2), 0, "k=0"),
    ],
)
def test_what_is_no_set_of_points_is_refused(points, k, message):
    for cluster in (lambda: kmeans(points, k), lambda: lloyd(points, k, generator=torch.Generator())):
        with pytest.raises(ValueError, match=message):
            cluster()


def test_elbow_and_silhouette_find_the_number_of_corners():
    choice = choose_k(blobs(400, 4), [8, 2, 3, 4, 5, 6, 7, 1, 9])
    assert choice.candidates == tuple(range(1, 10))
    assert (choice.elbow, choice.best_silhouette) == (4, 4)
    assert math.isnan(choice.silhouettes[0])
    assert all(0 < more < less for less, more in itertools.pairwise(choice.errors))
    with pytest.raises(ValueError, match="at least three"):
        choose_k(blobs(10, 2), [2, 3])


def test_the_true_compression_factor_counts_the_indices():
    points = torch.rand(1000, 12, generator=torch.Generator().manual_seed(0))
    found = quantize_vectors(points, 20, bits=8)
    assert found.index_bits == 5
    assert found.stored_bits == 20 * 12 * 8 + 1000 * 5
    assert found.compression_factor == pytest.approx(1 - (1920 + 5000) / 96_000)
    assert found.slide_compression_factor == 0.98 > found.compression_factor
    assert found.relative_error == pytest.approx(float((points - found.reconstruct()).norm() / points.norm()), rel=1e-4)
    with pytest.raises(ValueError, match="index_bits=4: 20 entries need at least 5"):
        quantize_vectors(points, 20, index_bits=4)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=11),
    k=st.integers(1, 4),
)
def test_few_numbers_get_the_optimum_of_brute_force(values, k):
    array = np.array(values, np.float32)
    codebook = kmeans_1d(torch.from_numpy(array), k)
    distinct = len(np.unique(array))
    assert len(codebook.centroids) == min(k, distinct)
    assert torch.equal(codebook.centroids, codebook.centroids.sort().values)
    best = 0.0 if distinct <= k else brute_force(array, k) / len(array)
    assert mean_squared(torch.from_numpy(array), codebook.centroids) == pytest.approx(best, rel=1e-4, abs=1e-7)


def plain_program(values: np.ndarray, k: int) -> float:
    """The same dynamic program without any limit, for numbers of equal weight."""
    ordered = np.sort(values.astype(np.float64))
    first, second = (np.concatenate([[0], np.cumsum(ordered**power)]) for power in (1, 2))
    starts, ends = np.ogrid[: len(ordered), 1 : len(ordered) + 1]
    counts = np.maximum(ends - starts, 1)
    costs = second[ends] - second[starts] - (first[ends] - first[starts]) ** 2 / counts
    costs = np.where(ends > starts, np.maximum(costs, 0), np.inf)
    totals = costs[0]
    for _ in range(k - 1):
        totals = (np.concatenate([[np.inf], totals[:-1]])[:, None] + costs).min(0)
    return float(totals[-1])


@pytest.mark.parametrize("k", [2, 7, 40])
@pytest.mark.parametrize("name", ["normal", "cauchy", "clumps"])
def test_a_thousand_numbers_get_the_optimum_of_a_plain_program(name, k):
    draw = np.random.default_rng(k)
    samples = {
        "normal": draw.normal(size=500),
        "cauchy": draw.standard_cauchy(500),
        "clumps": np.concatenate([draw.normal(0, 1e-4, 300), draw.normal(5, 1, 200)]),
    }
    values = samples[name]
    found = kmeans_1d(torch.from_numpy(values), k)
    assert found.error * len(values) == pytest.approx(plain_program(values, k), rel=1e-6)


@pytest.mark.parametrize("k", [4, 64])
def test_many_numbers_are_within_a_thousandth_of_the_plain_program(k):
    values = np.random.default_rng(0).standard_t(3, 2500)
    found = kmeans_1d(torch.from_numpy(values), k)
    assert len(found.centroids) == k
    assert 1 - 1e-9 <= found.error * len(values) / plain_program(values, k) <= 1.001


def test_numbers_with_far_outliers_are_not_gathered_too_coarsely():
    values = np.random.default_rng(0).standard_cauchy(20_000)
    cells = gather(values, 8, exact=True)
    best = min(
        cells.spread(starts, np.append(starts[1:], len(values))).sum()
        for starts in (refine(cells, best_starts_of(cells, parts)) for parts in (300, 700))
    )
    assert kmeans_1d(torch.from_numpy(values), 8).error * len(values) <= 1.001 * best


def best_starts_of(cells: Cells, parts: int) -> np.ndarray:
    """The best partition into eight that a coarser one allows."""
    starts = merge(cells, parts)
    counts, totals = np.add.reduceat(np.stack([cells.counts, cells.counts * cells.means]), starts, axis=1)
    return starts[best_starts(Cells(counts, totals / counts, cells.offset, 0.0), 8)]


def test_so_many_numbers_that_they_are_gathered_lose_nothing_by_it():
    values = torch.from_numpy(np.random.default_rng(0).standard_t(3, 200_000).astype(np.float32)) + 5
    for k in (16, 200):
        found = kmeans_1d(values, k)
        true = mean_squared(values, found.centroids)
        assert found.error == pytest.approx(true, rel=2e-3)
        exact = refine(gather(values[:65_000].numpy(), k), np.arange(k) * 300)
        assert len(exact) == k
        # every centroid is the mean of its numbers: a fixed point of Lloyd's algorithm, but for the width of a cell
        labels = found.assign(values)
        means = torch.bincount(labels, values.double()) / torch.bincount(labels)
        gaps = found.centroids.diff().double()
        assert ((means - found.centroids)[1:-1].abs() < 0.05 * torch.minimum(gaps[1:], gaps[:-1])).all()


def test_a_shared_tensor_is_shared_without_error_again_however_large():
    table = torch.randn(16, generator=torch.Generator().manual_seed(0)).sort().values
    values = table[torch.randint(16, (300, 1000), generator=torch.Generator().manual_seed(1))]
    found = kmeans_1d(values, 16)
    assert torch.equal(found.centroids, table)
    assert found.error == pytest.approx(0, abs=1e-12)
    assert torch.equal(kmeans_1d(values, 40).centroids, table)  # fewer different values than asked for


def test_outliers_and_clumps_do_not_use_up_the_cells():
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.normal(0, 1e-3, 100_000), [1.0, 10.0, -100.0]])
    found = kmeans_1d(torch.from_numpy(values), 8)
    assert len(found.centroids) == 8
    assert found.error == pytest.approx(0.0799e-6, rel=0.02)  # five levels for a normal variable (Max, 1960)


@settings(deadline=None, max_examples=40)
@given(count=st.integers(5, 60), k=st.integers(2, 5), seed=st.integers(0, 10_000))
def test_the_shortened_program_is_as_good_as_the_plain_one(count, k, seed):
    values = np.random.default_rng(seed).standard_cauchy(count)
    cells = gather(values, k)
    starts = best_starts(cells, k)
    found = cells.spread(starts, np.append(starts[1:], count)).sum()
    assert found == pytest.approx(plain_program(values, k), rel=1e-6, abs=1e-9)


def test_cells_of_counts_are_as_good_as_the_numbers_themselves():
    numbers, counts = np.arange(6.0) ** 2, np.array([1, 5, 2, 1, 9, 1])
    repeated = np.repeat(numbers, counts)
    cells = Cells(counts.astype(float), numbers - 3.0, 3.0, 0.0)
    starts = best_starts(cells, 3)
    assert cells.spread(starts, np.append(starts[1:], 6)).sum() == pytest.approx(plain_program(repeated, 3))


@pytest.mark.parametrize("k", [1, 2, 3, 16, 250])
def test_labels_of_many_numbers_are_those_of_the_nearest_centroids(k):
    values = torch.from_numpy(np.random.default_rng(1).standard_t(3, 90_000).astype(np.float32))
    codebook = kmeans_1d(values, k)
    middles = (codebook.centroids[1:] + codebook.centroids[:-1]) / 2
    values[:300] = torch.cat([middles, middles.new_zeros(300)])[:300]  # on the borders, too
    values[300:302] = torch.tensor([3e38, -3e38])
    labels = codebook.assign(values.reshape(300, 300))
    assert labels.shape == (300, 300)
    assert torch.equal(labels.flatten(), torch.bucketize(values, middles))


def test_nan_comes_last_however_many_values_there_are():
    values = torch.linspace(-1, 1, 20_000)
    codebook = kmeans_1d(values, 4)
    values[7] = float("nan")
    for part in (values, values[:100]):
        assert codebook.assign(part)[7] == torch.bucketize(part, torch.zeros(3))[7] == 3


@pytest.mark.parametrize("k", [1, 2, 300])
@pytest.mark.parametrize("count", [1, 3, 5000, 70_000])
def test_constant_numbers_have_one_centroid(count, k):
    values = torch.full((count,), -0.3)
    codebook = kmeans_1d(values, k)
    assert torch.equal(codebook.centroids, values[:1])
    assert codebook.error == pytest.approx(0, abs=1e-12)
    assert not codebook.assign(values).any()


@pytest.mark.parametrize("k", [3, 16])
def test_numbers_of_64_bits_far_from_zero(k):
    small = torch.from_numpy(np.random.default_rng(0).normal(size=6000))
    near, far = kmeans_1d(small, k), kmeans_1d(1e6 + small[::2].repeat_interleave(2).reshape(60, 100).T, k)
    assert far.centroids.dtype == torch.float64
    assert far.error == pytest.approx(kmeans_1d(small[::2].clone(), k).error, rel=2e-3)
    assert near.error == pytest.approx(mean_squared(small, near.centroids), rel=1e-3)


def test_labels_of_a_strided_tensor_need_no_warning():
    weight = torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    codebook = kmeans_1d(weight, 4)
    assert torch.equal(codebook.assign(weight), codebook.assign(weight.contiguous()))


@pytest.mark.parametrize(
    "values, message",
    [
        (torch.zeros(0), r"shape \(0,\)"),
        (torch.zeros(3, dtype=torch.int32), "int32"),
        (torch.tensor([0.0, float("inf")]), "NaN or infinity"),
        (torch.tensor([0.0, float("nan")]), "NaN or infinity"),
    ],
)
def test_what_has_no_centroids_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        kmeans_1d(values, 2)


def test_half_precision_is_kept():
    values = torch.randn(100, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    assert kmeans_1d(values, 4).centroids.dtype == torch.bfloat16


@settings(deadline=None, max_examples=60)
@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_a_huffman_code_is_between_the_entropy_and_one_bit_more(labels):
    counts = np.bincount(labels)
    shares = counts[counts > 0] / len(labels)
    entropy = -float((shares * np.log2(shares)).sum()) * len(labels)
    got = huffman_bits(torch.tensor(labels))
    assert got == int(got)
    table = len(counts) * 4  # a length of at most 9 needs 4 bits
    assert entropy <= got <= entropy + len(labels) + table


def test_huffman_by_hand():
    # 45, 13, 12, 16, 9 and 5 of a hundred take 224 bits (Cormen et al.), and six lengths up to 4 take 3 bits each
    labels = torch.repeat_interleave(torch.arange(6), torch.tensor([45, 13, 12, 16, 9, 5]))
    assert huffman_bits(labels) == 224 + 18
    assert huffman_bits(torch.zeros(7, dtype=torch.int64)) == 7 + 1
    with pytest.raises(ValueError, match="none of them negative"):
        huffman_bits(torch.tensor([-1, 2]))
