"""Low-rank networks with fresh weights: their sizes, their normalization, and that they learn."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import nn

from factorkit.compress import build_low_rank, compress
from factorkit.compress.methods import METHODS
from factorkit.data import load
from factorkit.inference import fold_batch_norm
from factorkit.latency import count_macs
from factorkit.models import small_convnet
from factorkit.training import evaluate, fit, seed_everything

SHAPE = (1, 8, 8)


def architecture(seed: int = 0) -> nn.Sequential:
    seed_everything(seed)
    return small_convnet((8, 16), in_channels=1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_network_has_the_sizes_of_a_compressed_one(method, batch_norm):
    model, compressed = architecture(), architecture()
    ranks = "macs:0.6"
    report = build_low_rank(model, method, ranks, input_shape=SHAPE, batch_norm=batch_norm)
    expected = compress(compressed, method, ranks, input_shape=SHAPE)
    assert report.ranks_by_layer == expected.ranks_by_layer
    assert report.macs_after == expected.macs_after == count_macs(model.eval(), torch.zeros(1, *SHAPE))
    extra = 0
    for name in report.ranks_by_layer:
        chain, convolutions = model.get_submodule(name), compressed.get_submodule(name)
        norms = [layer for layer in chain if isinstance(layer, nn.BatchNorm2d)]
        wanted = len(convolutions) - 1 if isinstance(convolutions[0], nn.Conv2d) and batch_norm else 0
        assert len(norms) == wanted
        assert isinstance(chain[-1], nn.Conv2d | nn.Linear)
        extra += sum(2 * norm.num_features for norm in norms)
    assert report.params_after == expected.params_after + extra == sum(p.numel() for p in model.parameters())


def test_weights_are_fresh_seeded_and_keep_the_variance():
    torch.manual_seed(0)
    models = []
    for seed in (0, 0, 1):
        seed_everything(seed)
        models.append(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1)))
        build_low_rank(models[-1], "tai", {"0": 40}, input_shape=(64, 8, 8), batch_norm=False)
    first, again, other = (model[0].vertical.weight for model in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    with torch.no_grad():
        answers = models[0](torch.randn(4, 64, 30, 30))[..., 2:-2, 2:-2]
    assert 0.7 < float(answers.std()) < 1.4


def test_ranks_of_a_trained_network_are_taken_over_and_errors_are_none():
    model = architecture()
    given = {"3": 5, "10": 9}
    report = build_low_rank(model, "tai", given, input_shape=SHAPE)
    assert report.ranks_by_layer == given
    assert all(math.isnan(layer.relative_error) for layer in report.layers)
    assert {layer["relative_error"] for layer in json.loads(report.to_json())["layers"]} == {None}


@pytest.mark.parametrize("ranks", ["vbmf", "energy:0.9"])
def test_policies_that_read_trained_weights_are_refused(ranks):
    with pytest.raises(ValueError, match="from trained weights, and these are fresh"):
        build_low_rank(architecture(), "tai", ranks, input_shape=SHAPE)


def test_a_layer_in_two_places_and_one_without_gradients_stay_what_they_are():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.again = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            return self.again(self.first(x))

    model = Twice().eval()
    build_low_rank(model, "tai", {"first": 3}, input_shape=(8, 6, 6))
    assert model.first is model.again
    assert isinstance(model.first[1], nn.BatchNorm2d)
    assert not model.first.training
    assert not model.first[1].training


def test_it_learns_and_folds_into_plain_convolutions():
    digits = load("digits").subset(400, 200)
    model = architecture()
    build_low_rank(model, "tai", "macs:0.5", input_shape=SHAPE)
    before = evaluate(model, digits).accuracy
    fit(model, digits, epochs=5, batch_size=25, progress=False)
    assert evaluate(model, digits).accuracy > max(before + 0.2, 0.5)
    folded = fold_batch_norm(copy.deepcopy(model))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = digits.normalize(digits.test_images[:8])
    with torch.no_grad():
        torch.testing.assert_close(folded(images), model.eval()(images), atol=1e-4, rtol=1e-3)
