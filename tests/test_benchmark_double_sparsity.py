"""The study of double sparsity runs, stops, goes on and sums up."""

import json
from dataclasses import replace

import pytest

from factorkit.data import load
from factorkit.models import double_sparsity_nin

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def study():
    return load_script("double_sparsity_study")


@pytest.fixture(scope="module")
def data():
    return load("patterns").subset(train=64, test=50)


def test_a_study_goes_on_where_it_was_stopped(study, data, tmp_path):
    path = tmp_path / "folder" / "study.json"
    plan = replace(study.PLANS["patterns"], epochs=2, penalties=(0.1,))
    started = study.run(path, data, plan, 1, "cpu")
    first = [next(started), next(started)]
    started.close()
    assert json.loads(path.read_text()) == first
    records = list(study.run(path, data, plan, 1, "cpu"))
    assert records[:2] == first and json.loads(path.read_text()) == records
    assert list(study.run(path, data, plan, 1, "cpu")) == records
    found = [(record["method"], record["l1"]) for record in records]
    sparse = "double sparsity"
    assert found == [("NiN", 0), (sparse, 0), (sparse, 0.1), (f"{sparse}, no ReLU", 0)]
    dense, free, shrunk, linear = records
    assert dense["params"] == free["params"] + free["fixed"] and dense["fixed"] == 0
    assert dense["macs"] == dense["macs_in_two_passes"] == free["macs"] > 2 * free["macs_in_two_passes"]
    assert free["sparsity"] == 0 < shrunk["sparsity"] < 1
    assert shrunk["nonzero"] == round(shrunk["params"] - shrunk["sparsity"] * 3328)
    assert list(shrunk["history"]) == ["0", "1", "2", "3", "4"]
    assert shrunk["history"]["4"] == pytest.approx(shrunk["sparsity"], abs=1e-4)
    assert linear["params"] == free["params"]
    assert [len(linear["first_kernels"]), len(linear["first_kernels"][0])] == [16, 3]
    summary = study.table(records)
    assert list(summary.index) == found
    assert summary.loc[(sparse, 0.0), "accuracy (%)"] == pytest.approx(100 * free["accuracy"], abs=0.01)


def test_the_networks_of_full_size_are_those_of_the_report(study):
    plan = study.PLANS["cifar10"]
    built = [method.build for method in study.methods(plan)]
    assert sum(p.numel() for p in built[0]().parameters()) == 966_986
    assert sum(p.numel() for p in built[1]().parameters()) == 160_010
    network = double_sparsity_nin()
    assert len(study.in_two_passes(network)) == len(network)
