"""The baselines of the landing page: trained, handed in as entries, kept and summed up."""

import json

import pytest

from factorkit.data import load

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def baselines():
    return load_script("baselines")


def test_an_entry_of_each_width_is_measured_once_and_kept(baselines, tmp_path):
    patterns = load("patterns").subset(128, 64)
    short = baselines.Baseline("short", lambda: baselines.small_mobilenet_v1(width=0.25), epochs=1, seeds=1)
    taught = baselines.Baseline("taught", baselines.tucker, epochs=1, lr=0.01, taught=True, seeds=1)
    path = tmp_path / "records.json"
    first = list(baselines.run(path, patterns, (short, taught)))
    assert [(record["network"], record["bits"]) for record in first] == [
        *(("short", 32), ("short", 8), ("short", 6)),
        *(("taught", 32), ("taught", 8), ("taught", 6)),
    ]
    assert json.loads(path.read_text()) == first
    for wide, eight, six in (first[:3], first[3:]):
        assert wide["params"] < eight["params"] == six["params"]  # a scale for each quantizer
        assert wide["score"] / 3 > eight["score"] > six["score"]
        assert wide["accuracy"] == wide["correct"] / wide["total"]
    assert first[3]["macs"] <= 9_880_192 / 4
    assert list(baselines.run(path, patterns, (short, taught))) == first  # from the file


def test_the_reference_reaches_what_the_rules_say_of_it(baselines):
    patterns = load("patterns")
    found = baselines.measured(baselines.reference(), 32, patterns)
    assert found["accuracy"] == pytest.approx(0.95, abs=0.002)
    assert found["score"] == pytest.approx(4, abs=0.02)


def test_the_table_shows_every_network_with_its_seeds(baselines):
    row = {"network": "one", "bits": 8, "params": 10, "macs": 20, "score": 0.5, "accuracy": 0.9}
    table = baselines.table([row, row | {"accuracy": 0.92}, row | {"bits": 6, "score": 0.4}])
    assert table.loc[("one", 8), ["lowest", "highest"]].tolist() == pytest.approx([90, 92])
    assert table.index.tolist() == [("one", 8), ("one", 6)]


def test_the_records_of_the_book_are_complete(baselines):
    kept = json.loads(baselines.RESULTS.read_text())
    expected = sum(baseline.seeds for baseline in baselines.BASELINES) * len(baselines.BITS)
    assert len(kept) == expected
    assert {record["network"] for record in kept} == {baseline.name for baseline in baselines.BASELINES}
