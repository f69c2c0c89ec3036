"""The challenge lab: its stored entry is what its text says, and its checks say what is wrong."""

import re
import textwrap
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import onnx
import pytest
import torch

from autograder.authoring.regions import HIDDEN_TESTS, indented
from autograder.authoring.source import read_source
from factorkit.data import load
from factorkit.data.patterns import draw_patterns
from factorkit.models import small_convnet
from factorkit.quantization import quantize_weights
from factorkit.training import evaluate
from micronet_resources import entry
from micronet_resources.challenge import measure, points
from micronet_resources.profile import estimate, profile_model, score
from micronet_resources.rules import rule_set

FOLDER = Path(__file__).resolve().parents[2] / "solutions" / "micronet_challenge"
LAB = read_source(FOLDER / "micronet_challenge.py")
TEXT = " ".join(" ".join(cell.text.replace("\n# ", "\n").split()) for cell in LAB.cells if not cell.is_code)


def run_lab(until=None, answers=None):
    """Run given cells and exercises, with some answers exchanged, then the visible part of one check."""
    names = {"__name__": "lab"}
    for cell in LAB.cells:
        text = cell.text
        if cell.kind == "exercise" and cell.name in (answers or {}):
            text = cell.solution.replaced(text, "\n".join(indented(textwrap.dedent(answers[cell.name]), "")))
        if cell.kind in ("given", "exercise"):
            exec(compile(text, cell.grade_id, "exec"), names)
        elif until and cell.grade_id == until:
            for region in reversed(cell.regions(HIDDEN_TESTS)):
                text = region.replaced(text, "")
            exec(compile(text, cell.grade_id, "exec"), names)
            break
    return names


@pytest.fixture
def beside_the_entry(monkeypatch):
    monkeypatch.chdir(FOLDER)
    with plt.rc_context():
        yield


def test_the_stored_entry_is_small_and_gets_full_marks_on_images_that_nobody_has_seen():
    assert (FOLDER / "entry.onnx").stat().st_size < 200_000
    data = load("patterns", progress=False)
    images, labels = draw_patterns(2_000, seed=20_260_101)
    unseen = replace(data, test_images=torch.from_numpy(images), test_labels=torch.from_numpy(labels))
    public, held_out = measure(FOLDER / "entry.onnx", data), measure(FOLDER / "entry.onnx", unseen)
    for measurement in (public, held_out):
        assert points(measurement, 12) == 12
        assert measurement.correct >= measurement.needed + 20
    # The numbers of the example report. Another processor may decide a few images differently.
    assert public.accuracy == pytest.approx(0.928, abs=0.003)
    assert "it classifies 92.8 % of the public test images" in TEXT
    reference = profile_model(small_convnet(), (3, 32, 32))
    assert f"{public.params:,} of {reference.params:,} parameters ({reference.params / public.params:.1f} times" in TEXT
    shares = f"{public.macs / 1e6:.2f} of {reference.macs / 1e6:.2f} million MACs ({reference.macs / public.macs:.1f}"
    assert shares in TEXT
    assert f"from {float(estimate(reference, task='patterns')):g} to {public.score:.2f}" in TEXT


def test_the_stored_entry_is_the_network_of_the_solution():
    profile = profile_model(run_lab()["build_network"](), (3, 32, 32))
    found = entry.measure(FOLDER / "entry.onnx")
    assert (found.params, found.macs) == (profile.params, profile.macs)


def test_what_else_lowers_the_score_does_so_as_the_text_says():
    network = run_lab()["build_network"]()
    stored = onnx.load(FOLDER / "entry.onnx").graph.initializer
    weights = {tensor.name: torch.tensor(onnx.numpy_helper.to_array(tensor)) for tensor in stored}
    assert not network.load_state_dict(weights, strict=False).unexpected_keys
    data = load("patterns", progress=False)
    half, narrow = deepcopy(network), deepcopy(network)
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.copy_(parameter.half())
    quantize_weights(narrow, 8, per_channel=False)
    said = re.search(r"it scored (\S+) with (\S+) correct, .* for each layer (\S+) with ([\d,]+):", TEXT).groups()
    numbers = [float(number.replace(",", "")) for number in said]
    for model, (scored, correct) in ((half, numbers[:2]), (narrow, numbers[2:])):
        profile = profile_model(model, (3, 32, 32))
        assert f"{float(score(profile, task='patterns')):.2f}" == f"{scored:.2f}"
        assert evaluate(model, data).correct == pytest.approx(correct, abs=6)  # another processor may decide otherwise
    quantize_weights(network, 4)
    assert evaluate(network, data).correct == pytest.approx(1_615, abs=10)
    assert "1,615, far below the threshold" in TEXT


def test_the_rules_in_the_text_are_the_data():
    task = rule_set("course2025").task("patterns")
    assert f"at least **{task.threshold_percent} %**" in TEXT
    assert f"earn {12 * task.threshold_share:g} of the 12 points" in TEXT
    given = next(cell.text for cell in LAB.of_kind("given") if cell.name == "references")
    assert f"REFERENCE_PARAMS = {task.reference_params:_}" in given
    assert f"REFERENCE_MACS = {task.reference_ops:_}" in given


def test_the_seed_of_the_hidden_images_stands_in_the_hidden_tests_only():
    seeds = set(re.findall(r"seed=(\d[\d_]{5,})", (FOLDER / "micronet_challenge.py").read_text(encoding="utf-8")))
    assert len(seeds) == 1
    [seed] = seeds
    for cell in LAB.cells:
        text = cell.text
        for region in reversed(cell.regions(HIDDEN_TESTS)):
            text = region.replaced(text, "")
        assert seed not in text


MISTAKES = [
    ("course_score", "pass", "expected a number, got None of type NoneType"),
    ("course_score", "return params / REFERENCE_PARAMS", r"expected 2 \(parameters\) \+ 2 \(operations\) = 4, got 2"),
    (
        "course_score",
        "return min(weight_bits, activation_bits) / 32 * (params / REFERENCE_PARAMS + macs / REFERENCE_MACS)",
        "expected 8/32 of the weights .* = 1.5, got 1",
    ),
    ("build_network", "small_convnet((8, 16))", "expected a network .an nn.Module., got an object of type NoneType"),
    ("build_network", "return small_convnet((8,), num_classes=5)", r"expected scores of shape \(2, 10\).*got \(2, 5\)"),
    ("build_network", "return small_convnet()", "expected a score below the baseline's 4.0000, got 4.0000"),
    ("train_entry", "fit(network, data, epochs=1, progress=False)", "expected the table that fit returns, got None"),
    ("train_entry", "return pd.DataFrame()", "expected one row per epoch, got 0"),
    (
        "train_entry",
        "return fit(small_convnet((4, 8)), data, epochs=1, progress=False)",
        "expected the network's own weights to change in training, got a change of 0.0",
    ),
    ("entry", "pass", "expected write_entry.network, path. to write practice.onnx, got no file"),
    ("entry", "entry.export(build_network(), path, task=data.name)", "expected 1254 parameters of this network"),
    ("entry", "entry.export(network, path, task='cifar10')", "practice.onnx was exported for the task 'cifar10'"),
    ("entry", "torch.save(network.state_dict(), path)", "a file of .* bytes is not an ONNX model"),
]


@pytest.mark.parametrize(("exercise", "answer", "words"), MISTAKES, ids=[f"{e}-{w[:30]}" for e, _, w in MISTAKES])
def test_a_visible_check_says_what_is_wrong(beside_the_entry, exercise, answer, words):
    with pytest.raises((AssertionError, ValueError), match=words):
        run_lab(f"check_{exercise}", {exercise: answer})


def hand_in(folder, name):
    """Write one of several files as entry.onnx."""
    file = folder / "entry.onnx"
    torch.manual_seed(0)
    if name == "untrained":
        entry.export(run_lab()["build_network"](), file, task="patterns")
    elif name == "another task":
        entry.export(small_convnet((4, 8)), file, task="cifar10")
    elif name == "larger images":
        proto = onnx.load(FOLDER / "entry.onnx")
        for axis in (2, 3):
            proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 64
        onnx.save(proto, file)
    elif name == "no ONNX":
        file.write_text("Score 0.0001, accuracy 100 %")
    elif name == "weights of a network":
        torch.save(small_convnet((4, 8)).state_dict(), file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", r"entry\.onnx is missing: run the cell that trains and exports"),
        ("another task", "exported for the task 'cifar10' and is measured on 'patterns'"),
        ("larger images", "64"),
        ("no ONNX", "is not an ONNX model"),
        ("weights of a network", "is not an ONNX model"),
    ],
)
def test_a_file_that_is_no_entry_says_so(tmp_path, name, words):
    hand_in(tmp_path, name)
    with pytest.raises(ValueError, match=words):
        measure(tmp_path / "entry.onnx", load("patterns", progress=False))


def test_an_untrained_network_gets_no_points(tmp_path):
    hand_in(tmp_path, "untrained")
    measurement = measure(tmp_path / "entry.onnx", load("patterns", progress=False))
    assert measurement.accuracy < 0.3
    assert points(measurement, 12) == 0


def test_the_cell_that_trains_writes_an_entry(tmp_path, monkeypatch):
    """As a student runs it, on few images, and the cell that makes it smaller after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    [train] = [cell for cell in LAB.of_kind("free") if "train_entry(" in cell.text]
    [shrink] = [cell for cell in LAB.of_kind("free") if "def compressed" in cell.text]
    with plt.rc_context():
        names = run_lab(answers={"train_entry": "return fit(network, data, epochs=2, progress=False)"})
        names["data"] = names["data"].subset(train=300, test=50)
        exec(train.text, names)
        trained, written = names["network"], measure("entry.onnx", names["data"])
        exec(shrink.text.replace("# write_entry(", "write_entry("), names)
    assert written.correct == evaluate(trained, names["data"]).correct
    smaller = measure("entry.onnx", names["data"])
    assert smaller.correct == evaluate(names["smaller"], names["data"]).correct
    assert smaller.stored_bits <= written.stored_bits / 2
    names["network"] = None
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    exec(train.text, names)
    exec(shrink.text, names)
    assert names["network"] is None
