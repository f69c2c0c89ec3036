"""The benchmark of decomposed layers: every method is beside the dense layer, and goals are judged on the fastest."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def benchmark():
    return load_script("inference")


def test_every_method_is_measured_beside_the_dense_layer(benchmark, monkeypatch):
    monkeypatch.setitem(benchmark.LAYERS, "layer 2", (32, 8))
    rows = benchmark.measure("layer 2", 2, rounds=1)
    assert [row["method"] for row in rows] == [method for method, *_ in benchmark.CASES["layer 2"]]
    assert {row["images"] for row in rows} == {2}
    operations = {row["method"]: row["fewer operations"] for row in rows}
    dense = 9 * 32 * 32
    assert operations["CP, R = 20"] == pytest.approx(dense / (20 * (32 + 32 + 3 + 3)))
    assert operations["Tucker-2, R = 10"] == pytest.approx(dense / (10 * 32 * 2 + 9 * 100))
    assert operations["one 1 x 1 layer"] == 9
    for row in rows:
        assert row["times as fast"] == pytest.approx(row["dense ms"] / row["ms"])
        assert row["part reached"] == pytest.approx(row["times as fast"] / row["fewer operations"])
        assert row["than default dense"] >= row["times as fast"] > 0


@pytest.mark.parametrize("layer", ["layer 2", "layer 9"])
def test_the_layers_have_the_operations_of_vgg_16(benchmark, layer):
    channels, _ = benchmark.LAYERS[layer]
    with torch.device("meta"):
        dense = torch.nn.Conv2d(channels, channels, 3, padding=1)
        pointwise = benchmark._pointwise(dense)
    assert {"layer 2": 64, "layer 9": 512}[layer] == channels
    assert dense.weight.numel() == 9 * pointwise[0].weight.numel()


def test_the_fastest_forms_of_both_are_compared(benchmark):
    quick, slow = ("channels last", "channels last"), benchmark.DEFAULT
    times = {method: {quick: 0.001, slow: 0.003} for method, *_ in benchmark.CASES["layer 9"]}
    times |= {benchmark.DENSE: {quick: 0.02, slow: 0.03}, "Tai, R = 96": {quick: 0.009, slow: 0.004}}
    macs = {method: 100 for method in times} | {benchmark.DENSE: 4000}
    rows = {row["method"]: row for row in benchmark.rows(times, macs, "layer 9")}
    cp = rows["CP, R = 100"]
    assert cp["form"] == "channels last (maps: channels last)"
    assert (cp["times as fast"], cp["fewer operations"]) == (pytest.approx(20), 40)
    assert (cp["part reached"], cp["than default dense"]) == (pytest.approx(0.5), pytest.approx(30))
    assert (rows["Tai, R = 96"]["times as fast"], rows["Tai, R = 96"]["form"]) == (5, "as given (maps: planes)")


def test_the_better_batch_decides_and_misses_are_told(benchmark):
    def row(method, images, fast, reported):
        case = {"layer": "layer 2", "method": method, "images": images, "times as fast": fast}
        return case | {"part reached": fast / 10, "than default dense": 2 * fast, "reported": reported}

    table = [row("CP, R = 20", 1, 2.0, 6.19), row("CP, R = 20", 100, 6.5, 6.19)]
    table += [row("Tucker-2, R = 10", batch, 5.0, 5.27) for batch in (1, 100)] + [row("Tai, R = 16", 1, 3.0, None)]
    met, missed = benchmark.goals(pd.DataFrame(table))
    assert met.startswith("layer 2, CP, R = 20: 6.50 times as fast as dense at its fastest (goal met: 6.19), 65 %")
    assert "GOAL MISSED: 5.27" in missed and "10.00 times as fast as dense by default" in missed
