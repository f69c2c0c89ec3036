"""The benchmark of weight sharing tells times and errors of every method, and whether the goals are met."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    for peer in ("ckwrap", "faiss", "kmeans1d"):
        pytest.importorskip(peer)
    specification = importlib.util.spec_from_file_location("weight_sharing", BENCHMARKS / "weight_sharing.py")
    module = sys.modules["weight_sharing"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_all_methods_are_measured_side_by_side(benchmark):
    rows = pd.DataFrame(benchmark.measure(400, 4, rounds=1, patience=5.0)).set_index("method")
    assert len(rows) == 7 and rows.loc[benchmark.OURS, "time / ours"] == 1
    assert (rows["ms"] > 0).all() and (rows["error / optimum"] > 1 - 1e-6).all()
    for exact in (benchmark.OURS, "ckwrap", "kmeans1d"):
        assert rows.loc[exact, "error / optimum"] == pytest.approx(1, abs=1e-4)


def test_the_optimum_of_cells_is_that_of_the_numbers(benchmark, monkeypatch):
    values = benchmark.weights(3000)
    expected = benchmark.optimum(values, 5)
    monkeypatch.setattr(benchmark, "LARGE", 0)
    assert benchmark.optimum(values, 5) == pytest.approx(expected, rel=1e-4)
    assert benchmark.error(np.array([0.0, 1.0, 4.0]), np.array([[4.0], [0.5]])) == pytest.approx(0.5 / 3)


def test_goals_that_are_missed_are_told(benchmark):
    def row(method, ratio, error=1.0):
        case = {"weights": benchmark.SMALL, "values": 16, "method": method, "error / optimum": error}
        return {**case, "time / ours": ratio, "time / ours with labels": ratio}

    met = benchmark.goals(pd.DataFrame([row(benchmark.OURS, 1), row(benchmark.SKLEARN, 15.5)]))
    missed = benchmark.goals(pd.DataFrame([row(benchmark.OURS, 1, 1.002), row(benchmark.SKLEARN, 14.5)]))
    assert len(met) == 2 and all("goal met" in line for line in met)
    assert len(missed) == 2 and all("GOAL MISSED" in line for line in missed)
