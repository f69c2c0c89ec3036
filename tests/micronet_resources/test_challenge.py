"""Measuring entries: honest ones, small ones, files that are none; and the scale of points."""

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from factorkit.data import load
from factorkit.models import small_convnet
from factorkit.quantization import quantize_weights
from factorkit.training import evaluate
from micronet_resources import entry
from micronet_resources.challenge import MIME_TYPE, Measurement, measure, points
from micronet_resources.profile import estimate, profile_model, score
from micronet_resources.rules import RULES, rule_set


@pytest.fixture(scope="module")
def data():
    return load("patterns", progress=False).subset(train=200, test=200)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "entry.onnx"


def network():
    """A small network whose values are all different, so that no table of them is cheaper than 32 bits."""
    torch.manual_seed(0)
    model = small_convnet((4, 8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1, 1)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The file of that network, written once."""
    return entry.export(network(), tmp_path_factory.mktemp("entry") / "entry.onnx", task="patterns")


def with_notes(exported, **changes):
    """The same entry with other notes on its task and rules; None takes one away."""
    proto = onnx.load(exported)
    notes = {prop.key: prop.value for prop in proto.metadata_props}
    notes |= {f"micronet.{name}": value for name, value in changes.items()}
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {key: value for key, value in notes.items() if value is not None})
    return proto.SerializeToString()


def measured(correct, score, total=2_000, rules="course2025", task="patterns"):
    return Measurement(
        correct=correct,
        total=total,
        params=1_000,
        stored_bits=8_000,
        macs=1_000_000,
        live_macs=900_000,
        score=score,
        rules=rules,
        task=task,
    )


def test_an_honest_network_costs_what_its_profile_says(data, exported):
    model = network()
    measurement = measure(exported, data)
    profile = profile_model(model, (3, 32, 32))
    assert (measurement.params, measurement.macs) == (profile.params, profile.macs)
    assert measurement.live_macs == profile.macs
    assert measurement.stored_bits == 32 * profile.params
    assert measurement.score == pytest.approx(float(score(profile, task="patterns")), rel=1e-12)
    assert (measurement.correct, measurement.total) == (evaluate(model, data).correct, 200)
    assert (measurement.rules, measurement.task) == ("course2025", "patterns")


def test_half_precision_weights_halve_the_storage_without_being_declared(data, file):
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    entry.export(model, file, task="patterns")
    measurement = measure(file, data)
    profile = profile_model(model, (3, 32, 32))
    assert measurement.stored_bits <= 16 * profile.params
    half = estimate(profile, task="patterns", weight_bits=16)
    assert measurement.score <= float(half) * (1 + 1e-12)
    assert measurement.score > half.operation_term


def test_weights_on_a_grid_cost_the_bits_of_the_grid(data, file):
    model = network()
    dense = 32 * sum(parameter.numel() for parameter in model.parameters())
    quantize_weights(model, 8, per_channel=False)
    entry.export(model, file, task="patterns")
    moved = [layer.weight.numel() for layer in model if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert measure(file, data).stored_bits <= dense - sum(24 * numel - 32 for numel in moved)


def test_a_pruned_filter_takes_its_readers_along(data, file):
    model = network()
    with torch.no_grad():
        for tensor in (model[0].weight, model[1].weight, model[1].bias):  # a bias alone would be read further on
            tensor[2:] = 0
    entry.export(model, file, task="patterns")
    measurement = measure(file, data)
    gone = 32 * 32 * 9 * (3 * 2 + 2 * 4)
    assert measurement.macs - measurement.live_macs == gone


class Gated(nn.Module):
    """Multiplies two feature maps element by element."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 10, 3, padding=1, bias=False)

    def forward(self, images):
        maps = self.conv(images)
        return (maps * maps.sigmoid()).mean((2, 3))


def test_products_of_two_feature_maps_count_as_macs(data, file):
    entry.export(Gated(), file, task="patterns")
    measurement = measure(file, data)
    assert measurement.macs == measurement.live_macs == 10 * 27 * 1024 + 10 * 1024


def test_another_rule_set_scores_the_same_file(data, exported):
    profile = entry.measure(exported)
    for rules in RULES:
        measurement = measure(exported, data, rules=rules)
        assert measurement.rules == rules
        assert measurement.score == float(score(profile, rules, "patterns"))
    without_points = measure(exported, data, rules="neurips2019")
    assert "points" not in repr(without_points)
    assert "points" not in without_points._repr_mimebundle_()[MIME_TYPE]
    with pytest.raises(ValueError, match="neurips2019 gives no points on 'patterns'"):
        points(without_points, 12)


# --- Files that are no entry ------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return (Path("was_executed").write_text, ("",))


def test_a_missing_file_says_what_to_do(data, file):
    with pytest.raises(ValueError, match=r"entry\.onnx is missing: run the cell that trains and exports"):
        measure(file, data)


def test_an_entry_for_another_task_is_not_measured(data, file, exported):
    file.write_bytes(with_notes(exported, task="cifar10"))
    with pytest.raises(ValueError, match="exported for the task 'cifar10' and is measured on 'patterns'"):
        measure(file, data)


@pytest.mark.parametrize("notes", [{"task": None, "rules": None}, {"task": "all of them"}, {"rules": "easy2026"}])
def test_a_file_that_names_no_known_task_is_not_measured(data, file, exported, notes):
    file.write_bytes(with_notes(exported, **notes))
    with pytest.raises(ValueError, match=r"entry\.onnx does not say what task it is for"):
        measure(file, data)


def test_foreign_files_are_refused_and_nothing_in_them_runs(data, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (b"", b"nonsense", pickle.dumps(Evil()), pickle.dumps({"0.weight": Evil()})):
        file.write_bytes(content)
        with pytest.raises(entry.EntryError):
            measure(file, data)
    torch.save(network(), file)
    with pytest.raises(entry.EntryError):
        measure(file, data)
    assert not Path("was_executed").exists()


def test_wrong_outputs_and_weights_that_are_no_numbers_are_refused(data, file):
    with pytest.raises(entry.EntryError):
        measure(entry.export(small_convnet((4,), num_classes=12), file, task="patterns"), data)
    broken = network()
    nn.init.constant_(broken[-1].bias, float("nan"))
    with pytest.raises(entry.EntryError):
        measure(entry.export(broken, file, task="patterns"), data)


def test_unknown_rules_and_tasks_are_named(data, file):
    with pytest.raises(ValueError, match="course2024"):
        measure(file, data, rules="course2024")
    with pytest.raises(ValueError, match="no task on 'digits'"):
        measure(file, replace(data, name="digits"))


# --- Points -----------------------------------------------------------------------------------------------------------

TASKS = [task for task in RULES["course2025"].tasks.values() if task.has_points]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.data)
def test_the_corners_of_the_scale(task):
    def at(correct, score):
        return points(measured(correct, score, 1_000, task=task.data), 12)

    needed, share = task.needed(1_000), 12 * task.threshold_share
    assert at(0, 0.0001) == at(10 * task.floor_percent, 0.0001) == 0
    assert at(needed - 1, 0.0001) == pytest.approx(share, rel=0.01)
    assert at(needed - 1, 0.0001) < share
    assert at(needed, task.start_score) == at(needed, 1e6) == share
    assert at(needed, task.target_score) == at(needed, 0.0) == at(1_000, task.target_score) == pytest.approx(12)
    middle = (task.start_score * task.target_score) ** 0.5
    assert at(needed, middle) == pytest.approx((share + 12) / 2)
    assert at(5 * (task.floor_percent + task.threshold_percent), 1) == pytest.approx(share / 2)


@given(
    st.sampled_from(TASKS),
    st.tuples(st.integers(0, 2_000), st.floats(0, 10)),
    st.tuples(st.integers(0, 2_000), st.floats(0, 10)),
    st.sampled_from([1, 12, 20]),
)
def test_a_better_entry_never_gets_fewer_points(task, first, second, maximum):
    def at(correct, score):
        return points(measured(correct, score, task=task.data), maximum)

    better = at(max(first[0], second[0]), min(first[1], second[1]))
    worse = at(*first)
    assert 0 <= worse <= better <= maximum


def test_one_image_decides():
    needed = rule_set("course2025").task("patterns").needed(2_000)
    assert measured(needed, 0.5).is_valid
    assert not measured(needed - 1, 0.5).is_valid
    # 89.996 % of 25,000 prints as 90.00 % and is still below 90 %.
    almost = measured(22_499, 0.2, 25_000, task="cifar10")
    assert f"{100 * almost.accuracy:.2f}" == "90.00"
    assert not almost.is_valid


def test_cifar10_starts_at_the_reference_network():
    from factorkit.models import resnet18_cifar

    task = rule_set("course2025").task("cifar10")
    assert task.start_score == pytest.approx(float(estimate(profile_model(resnet18_cifar(), (3, 32, 32)))), abs=5e-5)
    assert task.reference == "resnet18_cifar"


def test_patterns_starts_at_the_baseline_of_the_lab():
    task = rule_set("course2025").task("patterns")
    assert task.start_score == float(estimate(profile_model(small_convnet(), (3, 32, 32)), task="patterns"))
    assert task.reference == "small_convnet"


# --- Display ----------------------------------------------------------------------------------------------------------


def test_what_a_notebook_shows_and_the_leaderboard_reads():
    measurement = measured(1_850, 0.6)
    bundle = json.loads(json.dumps(measurement._repr_mimebundle_()))
    assert bundle[MIME_TYPE] == {**asdict(measurement), "accuracy": 0.925, "points": points(measurement, 1)}
    assert bundle["text/plain"] == repr(measurement)
    assert "92.50 %" in bundle["text/plain"]
    assert "8.0 for each parameter" in bundle["text/plain"]
    assert "reached" in bundle["text/html"]
    assert "too few" in repr(measured(1_000, 0.6))
