"""The study of compressed networks: a case is measured as it says, kept, and summed up."""

import json

import pandas as pd
import pytest

from factorkit.data import load

from .benchmark_scripts import load_script


@pytest.fixture(scope="module")
def study():
    return load_script("compress_study")


@pytest.fixture(scope="module")
def patterns():
    return load("patterns").subset(128, 64)


def test_every_kind_of_case_is_measured_once_and_kept(study, patterns, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "CHECKPOINTS", tmp_path / "networks")
    quarter = "macs:0.25"
    cases = [study.Case("tai", quarter, seeds=2), study.Case("tai", quarter, "distilled", 1, 1)]
    cases += [study.Case("tai", quarter, how, 1, 1) for how in ("tuned", "from scratch")]
    cases += [study.Case(study.DENSE, "all", "tuned", 1, 1), study.Case("response", quarter, seeds=1)]
    path = tmp_path / "records.json"
    first = list(study.run(path, patterns, cases, epochs=1))
    assert [(record["seed"], record["training"]) for record in first] == [
        *((0, "none"), (1, "none")),
        *((0, "distilled"), (0, "tuned"), (0, "from scratch"), (0, "tuned"), (0, "none")),
    ]
    assert json.loads(path.read_text()) == first
    assert all(record["macs_ratio"] >= 4 for record in first[:5])
    assert (first[5]["macs_ratio"], first[5]["accuracy_at_once"]) == (1, first[5]["dense_accuracy"])
    assert first[0]["dense_accuracy"] == first[2]["dense_accuracy"]
    assert first[0]["accuracy"] == first[0]["accuracy_at_once"] == first[2]["accuracy_at_once"]
    assert first[2]["ranks_by_layer"] == first[3]["ranks_by_layer"]
    assert study.CLASSIFIER not in first[0]["ranks_by_layer"]
    assert first[4]["accuracy_at_once"] is None
    assert all(len(record["accuracy_by_epoch"]) == 1 for record in first[2:6])
    (tmp_path / "networks").rename(tmp_path / "gone")
    assert list(study.run(path, patterns, cases, epochs=1)) == first  # from the file, without a network


def record(case: tuple[str, str, str, int], seed: int, accuracy: float, **more: object) -> dict[str, object]:
    method, ranks, training, epochs = case
    key = {"method": method, "ranks": ranks, "training": training, "epochs": epochs, "seed": seed}
    found = {"dense_accuracy": 0.95, "accuracy": accuracy, "accuracy_at_once": 0.5, "macs_ratio": 4.01}
    return key | found | {"params_ratio": 4.2} | more


def test_the_table_tells_points_lost_over_the_seeds_and_the_goal_is_judged(study):
    tuned, at_once = ("tucker2", "macs:0.25", "tuned", 6), ("tucker2", "macs:0.25", "none", 0)
    half = ("tucker2", "macs:0.5", "tuned", 6)
    records = [record(at_once, 0, 0.5), *(record(tuned, seed, 0.94 + seed / 100) for seed in (0, 1))]
    records += [record(half, 0, 0.96, macs_ratio=2.0), record(("tai", *tuned[1:]), 0, 0.9, accuracy_at_once=None)]
    table = study.table(records)
    row = table.loc[tuned]
    assert (row["seeds"], row["points lost"], row["most"], row["lost at once"]) == (2, 0.5, 1.0, 45.0)
    assert row["std"] == pytest.approx(0.71)
    (line,) = study.goals(table)
    assert line == "tucker2, macs:0.25, tuned, 6 epochs: 0.50 points lost at 4 times fewer MACs, 2 seeds " + (
        "(goal met: less than 1)"
    )
    (line,) = study.goals(study.table([record(tuned, 0, 0.93), record(half, 0, 0.96, macs_ratio=2.0)]))
    assert "2.00 points lost" in line and "GOAL MISSED" in line
    assert study.goals(study.table(records[:1])) == []
    itself = record((study.DENSE, "all", "tuned", 6), 0, 0.96, macs_ratio=1.0, accuracy_at_once=0.95)
    assert study.goals(study.table([*records, itself]))[1] == (
        "the network itself, trained for 6 epochs more: 1.00 points gained"
    )


def test_the_plan_has_three_seeds_for_the_main_cases_and_names_none_twice(study):
    cases = study.plan()
    frame = pd.DataFrame([(case.method, case.ranks, case.training) for case in cases])
    assert not frame.duplicated().any()
    assert {case.training for case in cases if case.seeds == 3} == {"none", "tuned", "distilled", "from scratch"}
