"""Methods that fit what layers answer to images: the data they need, their sizes, errors that are passed on."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from factorkit.compress import build_low_rank, compress, compress_and_tune
from factorkit.data import load
from factorkit.decompositions import low_rank_sparse, zhang
from factorkit.latency import count_macs

SHAPE = (3, 10, 8)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 24, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 20)),
    ).double()


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    few = torch.randn(60, 2, dtype=torch.float64, generator=generator)  # images that vary in few directions
    return (few @ torch.randn(2, math.prod(SHAPE), dtype=torch.float64, generator=generator)).reshape(-1, *SHAPE)


def test_the_report_tells_the_sizes_and_the_errors_of_weights_and_responses(images):
    model = network()
    dense = copy.deepcopy(model)
    report = compress(model, "response", "energy:0.9", input_shape=SHAPE, inputs=images)
    assert [layer.name for layer in report.layers] == ["0", "3", "5", "9"]
    assert len(report.decomposed) >= 3
    assert report.macs_after == count_macs(model.eval(), torch.zeros(1, *SHAPE, dtype=torch.float64))
    for layer in report.decomposed:
        chain = model.get_submodule(layer.name)
        assert sum(part.weight.numel() for part in chain) == layer.params_after < layer.params_before
        assert chain[-1].bias is not None
        found = zhang(dense.get_submodule(layer.name), reads_of(dense, layer.name, images), layer.rank)
        assert found.response_error <= math.sqrt(0.1) + 0.02
        assert layer.note.startswith("relative error of the responses 0.")
        assert layer.relative_error > 0.3  # the images need less than the weights have


def reads_of(model: nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    model.eval()
    return model[: int(name)](images).detach()


def test_each_layer_mends_the_errors_of_those_before_it(images):
    ranks = {"0": 3, "3": 3, "5": 3}
    model, alone = network(), network()
    compress(model, "response", ranks, input_shape=SHAPE, inputs=images)
    for name, rank in ranks.items():
        layer = alone.get_submodule(name)
        made = zhang(layer, reads_of(network(), name, images), rank)
        alone.set_submodule(name, made.to_layers(layer))
    expected = network().eval()[:6](images)

    def error(net: nn.Module) -> float:
        return float((net.eval()[:6](images) - expected).detach().norm() / expected.detach().norm())

    assert error(model) < 0.999 * error(alone)


@pytest.mark.parametrize("ranks", ["macs:0.5", {"3": 4}])
def test_budgets_and_mappings_work_as_for_other_methods(images, ranks):
    model = network()
    report = compress(model, "response", ranks, input_shape=SHAPE, inputs=images)
    if isinstance(ranks, dict):
        assert report.ranks_by_layer == ranks
    else:
        assert 0.35 < report.macs_after / report.macs_before <= 0.5


def test_low_rank_plus_sparse_takes_a_rank_and_columns_for_each_layer(images):
    model = network()
    dense = copy.deepcopy(model)
    report = compress(model, "low_rank_sparse", {"3": (3, 10)}, input_shape=SHAPE, inputs=images)
    (layer,) = report.layers
    rank, columns = layer.rank
    assert 1 <= rank <= 3
    assert columns <= 10
    made = low_rank_sparse(
        dense[3], reads_of(dense, "3", images), rank=3, columns=10, relu=False, samples=len(images) * 20
    )
    assert (made.rank, len(made.columns)) == layer.rank
    assert layer.params_after == made.params == rank * 108 + 16 * (rank + columns)
    assert layer.macs_after == 20 * made.params
    dense[3] = made.to_layers(dense[3])
    torch.testing.assert_close(model.eval()(images), dense.eval()(images))


def test_what_cannot_be_fitted_stays():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.grouped, self.twice = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 8, 3, padding=1)
            self.idle = nn.Linear(4, 4)

        def forward(self, x):
            return self.twice(self.twice(self.grouped(x)))

    found = compress(Net(), "response", "energy:0.5", input_shape=(8, 6, 6), inputs=torch.randn(20, 8, 6, 6))
    assert {layer.name: layer.refused for layer in found.layers} == {
        "grouped": "response takes no groups, and the layer has 2",
        "twice": "the network runs it more than once",
        "idle": "the network does not run it on the example",
    }


@pytest.mark.parametrize(
    ("method", "ranks", "given", "message"),
    [
        ("response", "macs:0.5", False, "give a batch of normalized training images"),
        ("low_rank_sparse", {"3": (3, 4)}, False, "give a batch of normalized training images"),
        ("response", "vbmf", True, "tells a weight from noise"),
        ("low_rank_sparse", "macs:0.5", True, "no policy chooses both"),
        ("low_rank_sparse", {"3": 3}, True, "layer '3': rank=3: give a rank and a number of columns"),
        ("svd", "macs:0.5", True, "method='svd' reads weights only"),
    ],
)
def test_what_is_missing_is_named(images, method, ranks, given, message):
    with pytest.raises(ValueError, match=message):
        compress(network(), method, ranks, input_shape=SHAPE, inputs=images if given else None)


def test_fresh_networks_have_no_responses():
    with pytest.raises(ValueError, match="method='response': choose 'svd'"):
        build_low_rank(network(), "response", "macs:0.5", input_shape=SHAPE)


def test_a_pipeline_takes_its_images_from_the_data():
    digits = load("digits").subset(200, 100)
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )
    tuned = compress_and_tune(model, digits, "response", "macs:0.5", skip=["0"], epochs=1, progress=False)
    assert {layer.name for layer in tuned.report.decomposed} == {"2", "6"}
    assert isinstance(model[2], nn.Sequential)
    assert tuned.tuned.loss < tuned.compressed.loss
