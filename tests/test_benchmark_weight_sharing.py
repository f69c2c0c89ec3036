"""The benchmark of weight sharing tells times and errors of every method, and whether the goals are met."""

import numpy as np
import pandas as pd
import pytest

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def benchmark():
    return load_script("weight_sharing")


def test_the_error_is_the_mean_squared_distance_to_the_nearest_value(benchmark):
    assert benchmark.error(np.array([0.0, 1.0, 4.0]), np.array([[4.0], [0.5]])) == pytest.approx(0.5 / 3)


@pytest.mark.filterwarnings("ignore")
def test_the_kit_and_scikit_learn_come_to_the_same_kind_of_answer(benchmark):
    values = benchmark.weights(400)
    for method in (benchmark.OURS, benchmark.SKLEARN):
        centroids = benchmark.methods(400, 4)[method](values, 4)
        assert 0 < benchmark.error(values, np.asarray(centroids)) < values.var() / 4


def test_goals_that_are_missed_are_told(benchmark):
    def row(method, ratio, error=1.0):
        case = {"weights": benchmark.SMALL, "values": 16, "method": method, "error / optimum": error}
        return {**case, "time / ours": ratio, "time / ours with labels": ratio}

    met = benchmark.goals(pd.DataFrame([row(benchmark.OURS, 1), row(benchmark.SKLEARN, 15.5)]))
    missed = benchmark.goals(pd.DataFrame([row(benchmark.OURS, 1, 1.002), row(benchmark.SKLEARN, 14.5)]))
    assert len(met) == 2 and all("goal met" in line for line in met)
    assert len(missed) == 2 and all("GOAL MISSED" in line for line in missed)
