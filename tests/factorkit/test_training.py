"""Training is reproducible, resumable and leaves everything around it as it was."""

import pandas as pd
import pytest
import torch
from torch import nn

from factorkit.data import load
from factorkit.models import small_convnet
from factorkit.training import Evaluation, evaluate, fit, seed_everything


@pytest.fixture(scope="module")
def digits():
    return load("digits").subset(train=300, test=100)


def small_net(dropout: float = 0.0) -> nn.Module:
    seed_everything(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 10))


def test_fit_learns_and_reports_every_epoch(digits):
    model = small_net()
    before = evaluate(model, digits).accuracy
    history = fit(model, digits, epochs=5, progress=False)
    assert list(history.columns) == ["epoch", "train_loss", "train_accuracy", "test_accuracy", "seconds"]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    after = evaluate(model, digits)
    assert after.accuracy == history["test_accuracy"].iloc[-1] > max(before, 0.7)


def test_same_seed_same_result_and_the_global_random_state_is_kept(digits):
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    models = [small_net(0.2) for _ in range(3)]
    torch.manual_seed(123)
    for model, seed in zip(models, (7, 7, 8), strict=True):
        fit(model, digits, epochs=1, seed=seed, progress=False)
    assert torch.equal(torch.rand(3), expected)
    first, same, other = (model[1].weight for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_run_cut_short_goes_on_to_the_same_result(digits, tmp_path):
    whole, cut = small_net(0.2), small_net(0.2)
    history = fit(whole, digits, epochs=3, progress=False)
    path = tmp_path / "run" / "checkpoint.pt"

    class PowerCut(Exception):
        pass

    def fail_in_epoch_two(module, _inputs, _output):
        if module.training and path.exists():
            raise PowerCut

    hook = cut.register_forward_hook(fail_in_epoch_two)
    with pytest.raises(PowerCut):
        fit(cut, digits, epochs=3, checkpoint=path, progress=False)
    hook.remove()
    resumed = small_net(0.2)
    again = fit(resumed, digits, epochs=3, checkpoint=path, progress=False)
    columns = ["epoch", "train_loss", "train_accuracy", "test_accuracy"]
    pd.testing.assert_frame_equal(again[columns], history[columns])
    for expected, got in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, got)
    finished = small_net()
    assert len(fit(finished, digits, epochs=3, checkpoint=path, progress=False)) == 3
    assert torch.equal(finished[1].weight, whole[1].weight)


def test_a_checkpoint_of_another_run_is_refused(digits, tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(small_net(), digits, epochs=1, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match=r"other settings \(epochs=1, now 2\)"):
        fit(small_net(), digits, epochs=2, checkpoint=path, progress=False)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        fit(small_net(), digits, epochs=1, checkpoint=path, progress=False)


def test_evaluate_counts_and_leaves_the_mode(digits):
    model = small_net(dropout=0.5)
    model[3].eval()
    result = evaluate(model, digits, batch_size=7)
    assert model.training
    assert not model[3].training
    model.eval()
    with torch.no_grad():
        predicted = model(digits.normalize(digits.test_images)).argmax(1)
    assert (result.correct, result.total) == (int((predicted == digits.test_labels).sum()), 100)
    assert evaluate(model, digits, "train").total == 300


def test_channels_last_changes_speed_only():
    data = load("digits").subset(train=64, test=64)
    seed_everything(0)
    model = small_convnet((4, 8), in_channels=1)
    plain = evaluate(model, data)
    fast = evaluate(model, data, channels_last=True)
    assert plain.correct == fast.correct
    assert fast.loss == pytest.approx(plain.loss, rel=1e-4)
    assert len(fit(model, data, epochs=1, channels_last=True, progress=False)) == 1


def test_progress_is_shown_on_standard_output(digits, capsys):
    fit(small_net(), digits, epochs=1)
    captured = capsys.readouterr()
    assert "epoch 1/1, test accuracy" in captured.out
    assert captured.err == ""


def test_digits_are_not_mirrored_but_patterns_are(digits, monkeypatch):
    flips = []
    real = torch.Tensor.flip
    monkeypatch.setattr(torch.Tensor, "flip", lambda self, *dims: flips.append(dims) or real(self, *dims))
    fit(small_net(), digits, epochs=1, progress=False)
    assert flips == []
    fit(small_net(), digits, epochs=1, augment=True, progress=False)
    assert flips


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 1, "batch_size": 0}, "batch_size=0"),
        ({"epochs": 3, "lr": 1e20}, "training diverged. Use a lower lr"),
    ],
)
def test_bad_settings_are_named(digits, options, message):
    with pytest.raises(ValueError, match=message):
        fit(small_net(), digits, progress=False, **options)


def test_wrong_networks_are_named(digits):
    with pytest.raises(ValueError, match=r"returned \(100, 64\) for a batch of 100 images.*\(100, 10\)"):
        evaluate(nn.Flatten(), digits)
    broken = small_net()
    nn.init.constant_(broken[1].weight, float("nan"))
    with pytest.raises(ValueError, match="NaN or infinite"):
        evaluate(broken, digits)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range_are_named(seed):
    with pytest.raises(ValueError, match=f"seed={seed}"):
        seed_everything(seed)


def test_evaluation_reads_well():
    assert repr(Evaluation(9000, 10000, 0.25)) == "Evaluation: 9000 of 10000 correct (90.00 %), loss 0.2500"
