"""The benchmark of dictionary learning holds ours and scikit-learn's against each other at equal sparsity."""

import pytest
import torch

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def benchmark():
    return load_script("dictionary_learning")


def test_signals_are_what_the_benchmark_says(benchmark):
    generator = torch.Generator().manual_seed(0)
    kernels, patches = benchmark.kernels(generator, 3000), benchmark.patches(generator, 60)
    assert kernels.shape == (3000, 9) and patches.shape == (60, 64)
    powers = (kernels @ benchmark.dct_dictionary(3, 3).T).square().mean(dim=0).reshape(3, 3)
    assert powers[0, 0] > 2 * powers[0, 1] > 2 * powers[2, 2]  # smooth kernels are more likely
    assert patches.mean(dim=1).abs().max() < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_each_setting_is_held_against_ours(benchmark):
    signals = benchmark.kernels(torch.Generator().manual_seed(0), 300)
    rows = benchmark.measure(signals, atoms=12, nonzeros=2, settings=[("lars", 1.0)], rounds=1)
    assert list(rows.index) == ["lars, alpha=1"]
    assert 0 < rows["relative error"].item() < 1 and rows["seconds"].item() > 0
    assert rows["mod: with 15"].item() > 0
    runs = benchmark.own_runs(signals, 12, 2, "mod", rounds=1)
    errors = [error for _, error in runs.values()]
    assert list(runs) == list(benchmark.UPDATES) and errors[-1] < errors[0]
