"""The challenge lab: its stored entry is what its text says, and its checks say what is wrong."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from autograder.regions import HIDDEN_TESTS, indented
from autograder.source import read_source
from factorkit.data import load
from factorkit.data.patterns import draw_patterns
from factorkit.models import small_convnet
from factorkit.training import seed_everything
from micronet_resources.challenge import measure, points
from micronet_resources.profile import profile_model, score
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


def test_the_stored_entry_is_small_and_gets_full_marks_on_images_that_nobody_has_seen(beside_the_entry):
    assert (FOLDER / "entry.pt").stat().st_size < 200_000
    network = run_lab()["entry"]()
    data = load("patterns", progress=False)
    images, labels = draw_patterns(2_000, seed=20_260_101)
    unseen = replace(data, test_images=torch.from_numpy(images), test_labels=torch.from_numpy(labels))
    public, held_out = measure(network, data), measure(network, unseen)
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
    assert f"from {float(score(reference)):.4f} to {public.score:.4f}" in TEXT


def test_the_rules_in_the_text_are_the_data():
    task = rule_set("course2025").task("patterns")
    assert f"at least **{task.threshold_percent} %**" in TEXT
    assert f"earn {12 * task.threshold_share:g} of the 12 points" in TEXT
    rules = rule_set("course2025")
    given = next(cell.text for cell in LAB.of_kind("given") if cell.name == "references")
    assert f"REFERENCE_PARAMS = {rules.reference_params:_}" in given
    assert f"REFERENCE_MACS = {rules.reference_ops:_}" in given


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
    ("course_score", "return params / REFERENCE_PARAMS", r"expected 1.9954 \(parameters\) \+ 1.9837 .*, got 1.99535"),
    (
        "course_score",
        "return min(weight_bits, activation_bits) / 32 * (params / REFERENCE_PARAMS + macs / REFERENCE_MACS)",
        "expected 8/32 of the weights .* = 1.49066, got 0.994751",
    ),
    ("build_network", "small_convnet((8, 16))", "expected a network .an nn.Module., got an object of type NoneType"),
    ("build_network", "return small_convnet((8,), num_classes=5)", r"expected scores of shape \(2, 10\).*got \(2, 5\)"),
    ("build_network", "return small_convnet()", "expected a score below the baseline's 0.0483, got 0.0483"),
    ("train_entry", "fit(network, data, epochs=1, progress=False)", "expected the table that fit returns, got None"),
    ("train_entry", "return pd.DataFrame()", "expected one row per epoch, got 0"),
    (
        "train_entry",
        "return fit(small_convnet((4, 8)), data, epochs=1, progress=False)",
        "expected the network's own weights to change in training, got a change of 0.0",
    ),
    ("entry", "build_network()", "expected a network .an nn.Module., got an object of type NoneType"),
    ("entry", "return load_entry(small_convnet((8, 16, 32)))", "belongs to another network"),
    ("entry", "return load_entry(build_network(), 'weights.pt')", "weights.pt is missing: run the cell that trains"),
]


@pytest.mark.parametrize(("exercise", "answer", "words"), MISTAKES, ids=[f"{e}-{w[:30]}" for e, _, w in MISTAKES])
def test_a_visible_check_says_what_is_wrong(beside_the_entry, exercise, answer, words):
    with pytest.raises((AssertionError, ValueError), match=words):
        run_lab(f"check_{exercise}", {exercise: answer})


def test_the_cell_that_trains_makes_an_entry(tmp_path, monkeypatch):
    """As a student runs it, on few images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    [cell] = [cell for cell in LAB.of_kind("free") if "torch.save" in cell.text]
    with plt.rc_context():
        names = run_lab(answers={"train_entry": "return fit(network, data, epochs=2, progress=False)"})
        names["data"] = names["data"].subset(train=300, test=50)
        exec(cell.text, names)
        trained = names["network"]
        loaded = names["entry"]()
    torch.testing.assert_close(loaded.state_dict(), trained.state_dict())
    seed_everything(0)
    names["network"] = None
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    exec(cell.text, names)
    assert names["network"] is None
