"""The study of shift attention runs, stops, goes on and sums up; its networks have the memory that they should."""

import json

import pytest

from factorkit.data import load

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def study():
    return load_script("shift_study")


@pytest.fixture(scope="module")
def data():
    return load("patterns").subset(train=64, test=50)


def test_a_study_goes_on_where_it_was_stopped(study, data, tmp_path):
    path, plan = tmp_path / "folder" / "study.json", study.Plan(depth=8, width=2, epochs=1, batch_size=32)
    started = study.run(path, data, plan, 1, "cpu")
    first = [next(started), next(started)]
    started.close()
    assert json.loads(path.read_text()) == first
    records = list(study.run(path, data, plan, 1, "cpu"))
    assert records[:2] == first and json.loads(path.read_text()) == records
    assert list(study.run(path, data, plan, 1, "cpu")) == records
    methods = ["ResNet", "SAL", "SAL2", "SAL (shared)", "shift", "BinaryConnect", "MobileNetV2", "SqueezeNet"]
    assert [record["method"] for record in records] == methods
    by_method = {record["method"]: record for record in records}
    resnet = by_method.pop("ResNet")
    for record in by_method.values():
        assert 0 <= record["accuracy"] <= 1 and record["epochs"] == 1
        # The smallest MobileNet v2 is larger than this baseline.
        assert record["method"] == "MobileNetV2" or 0.6 < record["bits"] / resnet["bits"] < 1.5
    assert by_method["SAL"]["width"] > by_method["SAL2"]["width"] > resnet["width"]
    summary = study.table(records)
    assert list(summary.index) == methods
    assert summary.loc["ResNet", "accuracy (%)"] == pytest.approx(100 * resnet["accuracy"], abs=0.01)


def test_plans_match_the_memory_of_all_networks_to_a_tenth(study):
    plan = study.PLANS["patterns"]
    networks = study.builders(plan)
    bits = study.expected_bits(networks["ResNet"](plan.width), "ResNet")
    for method in ("SAL", "SAL2", "MobileNetV2"):
        width = study.match_width(networks[method], method, bits)
        found = study.expected_bits(networks[method](width), method)
        assert found == pytest.approx(bits, rel=0.1)


def test_speed_is_compared_side_by_side():
    speed = load_script("shift_speed")
    rows = speed.measure(channels=4, size=6, images=2, rounds=1)
    assert [row["layer"] for row in rows] == ["dense", "shift", "two survivors", "shared", "1 x 1"]
    assert rows[0]["times as fast"] == 1 and all(row["ms"] > 0 for row in rows)
