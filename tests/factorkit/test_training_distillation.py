"""A trained network teaches another: the loss, and that training uses it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from factorkit.compress import compress_and_tune
from factorkit.data import load
from factorkit.distillation import Distillation
from factorkit.training import fit


@pytest.fixture(scope="module")
def digits():
    return load("digits").subset(train=300, test=100)


def small_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def softmax(row: list[float], temperature: float) -> list[float]:
    weights = [math.exp(score / temperature) for score in row]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.3), (4.0, 0.9), (2.5, 1.0), (3.0, 0.0)])
def test_the_loss_is_that_of_the_paper(temperature, weight):
    torch.manual_seed(0)
    teacher = nn.Linear(5, 3).double()
    images, scores = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1])
    expected = 0.0
    for taught, said, label in zip(teacher(images).tolist(), scores.tolist(), labels.tolist(), strict=True):
        wanted, found = softmax(taught, temperature), softmax(said, temperature)
        soft = sum(p * math.log(p / q) for p, q in zip(wanted, found, strict=True))
        hard = -math.log(softmax(said, 1.0)[label])
        expected += ((1 - weight) * hard + weight * temperature**2 * soft) / 4
    got = Distillation(teacher, temperature=temperature, weight=weight)(scores, labels, images)
    assert float(got) == pytest.approx(expected, rel=1e-9)


def test_at_a_high_temperature_the_gradient_compares_the_scores_themselves():
    teacher, images = nn.Linear(5, 4).double(), torch.randn(1, 5, dtype=torch.float64)
    scores = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    Distillation(teacher, temperature=1e4, weight=1.0)(scores, torch.tensor([0]), images).backward()
    difference = (scores - teacher(images)).detach()
    torch.testing.assert_close(scores.grad, (difference - difference.mean()) / 4, atol=1e-4, rtol=1e-3)


def test_the_teacher_is_a_copy_that_stays_in_evaluation_mode():
    teacher = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)).train()
    loss, images = Distillation(teacher), torch.randn(6, 4)
    first = loss(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64), images)
    nn.init.zeros_(teacher[2].weight)
    assert teacher.training
    assert float(loss(torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64), images)) == float(first)
    assert int(loss.teacher[1].num_batches_tracked) == 0
    assert not any(parameter.requires_grad for parameter in loss.teacher.parameters())


def test_a_student_comes_nearer_to_its_teacher_than_by_the_labels(digits):
    teacher = small_net(1)
    fit(teacher, digits, epochs=4, progress=False)
    images = digits.normalize(digits.test_images)
    distances = {}
    for name, loss in (("labels", None), ("teacher", Distillation(teacher, weight=1.0))):
        student = small_net(2)
        fit(student, digits, epochs=12, loss=loss, progress=False)
        with torch.no_grad():
            distances[name] = float((student(images).softmax(1) - teacher(images).softmax(1)).norm())
    assert distances["teacher"] < 0.3 * distances["labels"]


def test_a_loss_sees_what_the_network_sees_and_is_what_training_reports(digits):
    seen = []

    def loss(scores, labels, images):
        seen.append((scores.shape, labels.shape, images))
        return nn.functional.cross_entropy(scores, labels) + 100

    history = fit(small_net(), digits, epochs=1, batch_size=100, loss=loss, progress=False)
    assert history["train_loss"].iloc[0] > 100
    assert [(tuple(scores), tuple(labels)) for scores, labels, _ in seen] == [((100, 10), (100,))] * 3
    every = torch.cat([images for *_, images in seen])
    torch.testing.assert_close(every.sum(), digits.normalize(digits.train_images).sum(), rtol=1e-3, atol=1.0)


def test_the_default_loss_is_smoothed_cross_entropy(digits):
    plain, same = small_net(), small_net()
    fit(plain, digits, epochs=1, label_smoothing=0.2, progress=False)
    fit(
        same,
        digits,
        epochs=1,
        loss=lambda scores, labels, images: nn.functional.cross_entropy(scores, labels, label_smoothing=0.2),
        progress=False,
    )
    assert torch.equal(plain[1].weight, same[1].weight)


def test_a_checkpoint_of_another_loss_is_refused_both_ways(digits, tmp_path):
    teacher, options = small_net(1), {"epochs": 1, "progress": False}
    fit(small_net(), digits, loss=Distillation(teacher), checkpoint=tmp_path / "taught.pt", **options)
    fit(small_net(), digits, checkpoint=tmp_path / "plain.pt", **options)
    with pytest.raises(ValueError, match=r"loss='Distillation\(temperature=4.0, weight=0.9\)', now None"):
        fit(small_net(), digits, checkpoint=tmp_path / "taught.pt", **options)
    with pytest.raises(ValueError, match=r"loss=None, now 'Distillation\(temperature=2"):
        fit(small_net(), digits, loss=Distillation(teacher, temperature=2), checkpoint=tmp_path / "plain.pt", **options)
    again = fit(small_net(), digits, loss=Distillation(teacher), checkpoint=tmp_path / "taught.pt", **options)
    assert len(again) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": 0}, "temperature=0"), ({"temperature": math.inf}, "inf"), ({"weight": 1.1}, "weight=1.1")],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Distillation(nn.Linear(2, 2), **options)


def test_a_teacher_of_other_classes_is_named():
    with pytest.raises(ValueError, match=r"teacher returned \(2, 3\) and the student \(2, 4\)"):
        Distillation(nn.Linear(5, 3))(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), torch.zeros(2, 5))


def test_a_compressed_network_learns_from_what_it_was(digits):
    dense = small_net()
    fit(dense, digits, epochs=4, progress=False)
    options = {"epochs": 2, "progress": False}
    by_option, by_loss, by_labels = (copy.deepcopy(dense) for _ in range(3))
    found = compress_and_tune(by_option, digits, "svd", {"1": 6}, distill=True, **options)
    compress_and_tune(by_loss, digits, "svd", {"1": 6}, loss=Distillation(dense), **options)
    compress_and_tune(by_labels, digits, "svd", {"1": 6}, **options)
    assert torch.equal(by_option[1][0].weight, by_loss[1][0].weight)
    assert not torch.equal(by_option[1][0].weight, by_labels[1][0].weight)
    assert found.tuned.loss < found.compressed.loss
    with pytest.raises(ValueError, match="distill=True and a loss"):
        compress_and_tune(dense, digits, "svd", {"1": 6}, distill=True, loss=Distillation(dense), **options)
