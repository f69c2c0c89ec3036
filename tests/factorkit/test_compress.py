"""Compressing whole networks: what is replaced, what stays, what the report says, and that it is true."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from factorkit.compress import compress, compress_and_tune
from factorkit.compress.candidates import Candidate
from factorkit.compress.methods import METHODS
from factorkit.data import load

ALL = tuple(METHODS)


def network(seed: int = 0) -> nn.Sequential:
    """Square, strided, rectangular, pointwise and grouped convolutions, and a linear layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 16, (3, 1), padding=(1, 0)), nn.ReLU()),
        *(nn.Conv2d(16, 24, 1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 20)),
    ).double()


SHAPE = (3, 10, 8)
NAMES = ("0", "3", "5", "7", "9", "13")


def measured_macs(model: nn.Module, shape: tuple[int, ...] = SHAPE) -> int:
    dtype = next(model.parameters()).dtype
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(model).eval()(torch.zeros(1, *shape, dtype=dtype))
    return counter.get_total_flops() // 2


def params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("method", ALL)
def test_the_network_computes_with_the_reconstructed_weights_and_costs_what_the_report_says(method):
    model = network()
    dense = copy.deepcopy(model)
    report = compress(model, method, "energy:0.5", input_shape=SHAPE)
    assert [layer.name for layer in report.layers] == list(NAMES)
    assert len(report.decomposed) >= 3
    for row in report.layers:
        layer = dense.get_submodule(row.name)
        replaced = model.get_submodule(row.name)
        assert isinstance(replaced, nn.Sequential) != bool(row.refused)
        if not row.refused:
            made = Candidate(row.name, layer, method, [((1, 1), (1, 1))]).decompose(row.rank)
            assert row.relative_error == pytest.approx(made.relative_error)
            assert row.params_after == made.params < row.params_before
            assert row.macs_after < row.macs_before
            layer.weight.data = made.reconstruct()
    images = torch.randn(3, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(model.eval()(images), dense.eval()(images), atol=1e-9, rtol=1e-9)
    assert report.macs_before == measured_macs(dense)
    assert report.macs_after == measured_macs(model)
    assert (report.params_before, report.params_after) == (params(dense), params(model))


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (5, 1), (1, 1)])
def test_an_outline_has_the_sizes_of_the_decomposition(method, kernel):
    layer = nn.Conv2d(6, 8, kernel)
    candidate = Candidate("layer", layer, method, [((9, 7), (5, 7)), ((4, 4), (2, 2))])
    ranks = [2 + place for place in range(1 if candidate.method.curved else len(candidate._matrices))]
    made = candidate.decompose(candidate.rank_of(ranks))
    macs = made.macs((5, 7), input_size=(9, 7)) + made.macs((2, 2), input_size=(4, 4))
    assert candidate.cost(ranks) == (made.params, macs)


@pytest.mark.parametrize(
    ("method", "fraction"),
    [*((method, 0.7) for method in ALL), *((method, 0.4) for method in ALL if METHODS[method].grouped)],
)
def test_a_budget_is_kept_and_used(method, fraction):
    model = network()
    report = compress(model, method, f"macs:{fraction}", skip=["0"], input_shape=SHAPE)
    used = report.macs_after / report.macs_before
    assert fraction - 0.1 < used <= fraction
    assert measured_macs(model) == report.macs_after


def test_a_budget_out_of_reach_is_an_error_and_changes_nothing():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="even ranks of 1 leave"):
        compress(model, "svd", "macs:0.01", input_shape=SHAPE)
    assert model.state_dict().keys() == before.keys()


@pytest.mark.parametrize(("method", "matrices"), [("svd", 1), ("tai", 1), ("tucker2", 2), ("tensor_train", 1)])
def test_the_energy_bounds_the_error(method, matrices):
    report = compress(network(), method, "energy:0.8", input_shape=SHAPE)
    assert report.decomposed
    assert all(0 < layer.relative_error <= math.sqrt(matrices * 0.2) + 1e-9 for layer in report.decomposed)


def test_the_energy_of_a_cp_is_near_what_was_asked_for():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 24, 3)).double()
    (layer,) = compress(model, "cp", "energy:0.6", input_shape=(16, 8, 8)).layers
    assert abs(layer.relative_error - math.sqrt(0.4)) < 0.05


def low_rank(layer: nn.Conv2d, rank: int) -> None:
    """Channel modes of this rank, and some noise."""
    out = torch.randn(layer.out_channels, rank, dtype=torch.float64)
    inner = torch.randn(rank, rank, 3, 3, dtype=torch.float64)
    back = torch.randn(rank, layer.in_channels, dtype=torch.float64)
    signal = torch.einsum("oa,abhw,bi->oihw", out, inner, back)
    layer.weight.data = (signal / signal.std() + 0.1 * torch.randn_like(signal)).to(layer.weight)


def test_variational_bayes_finds_the_rank_and_refuses_noise():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(40, 48, 3), nn.ReLU(), nn.Conv2d(48, 40, 3))
    low_rank(model[0], 5)
    nn.init.normal_(model[2].weight)
    signal, noise = compress(model, "tucker2", input_shape=(40, 8, 8)).layers
    assert (signal.rank, signal.refused, signal.note) == ((5, 5), "", "")
    assert signal.relative_error < 0.2
    assert "would have" in noise.refused
    assert "rank 0 in 2 of 2 unfoldings" in noise.note
    assert isinstance(model[2], nn.Conv2d)


def test_a_mapping_names_the_layers_and_the_others_stay():
    model = network()
    kept = model[3]
    report = compress(model, "tucker2", {"9": (4, 3), "13": 5}, input_shape=SHAPE)
    assert [(layer.name, layer.rank) for layer in report.layers] == [("9", (4, 3)), ("13", 5)]
    assert model[3] is kept
    assert model[9].core.groups == 2
    assert [tuple(layer.weight.shape) for layer in model[13]] == [(5, 24), (20, 5)]


def test_what_would_grow_is_refused_even_if_it_was_named():
    model = network()
    (row,) = compress(model, "svd", {"3": 16}, input_shape=SHAPE).layers
    assert row.refused == "would have 1,984 parameters instead of 1,728"
    assert (row.params_after, row.macs_after, row.relative_error) == (row.params_before, row.macs_before, 0.0)
    assert isinstance(model[3], nn.Conv2d)


def test_a_strided_layer_whose_operations_would_grow_is_refused():
    model = nn.Sequential(nn.Conv2d(16, 16, 3, stride=3))
    (row,) = compress(model, "tucker2", {"0": (8, 16)}, input_shape=(16, 30, 30)).layers
    assert "would take 358,400 MACs instead of 230,400" in row.refused


@pytest.mark.parametrize("method", ["cp", "tensor_train"])
def test_groups_are_refused_where_the_method_has_none(method):
    report = compress(network(), method, "energy:0.3", input_shape=SHAPE)
    (grouped,) = [layer for layer in report.layers if layer.name == "9"]
    assert grouped.refused == f"{method} takes no groups, and the layer has 2"
    assert grouped.rank is None


class Twice(nn.Module):
    """One convolution in two places, two linear layers with one weight, a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.conv = self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.first, self.second, self.idle = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(self.again(self.conv(x)).mean((2, 3))))


def test_a_layer_in_two_places_is_one_layer_and_tied_weights_stay():
    model = Twice()
    rows = {row.name: row for row in compress(model, "svd", "energy:0.4", input_shape=(8, 6, 6)).layers}
    assert model.conv is model.again
    assert isinstance(model.conv, nn.Sequential)
    assert rows["conv"].macs_before == 2 * 36 * 9 * 64
    assert rows["first"].refused == rows["second"].refused == "another module shares its weight"
    assert rows["idle"].refused == "the network does not run it on the example"


def test_modes_types_and_gradients_are_kept():
    model = network().train()
    model[1].eval()
    model[3].weight.requires_grad_(False)
    compress(model, "tai", "energy:0.5", input_shape=SHAPE)
    assert model[0].training
    assert not model[1].training
    assert model[1].num_batches_tracked == 0
    assert not any(layer.weight.requires_grad for layer in model[3])
    assert all(parameter.dtype == torch.float64 for parameter in model.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tucker", "vbmf"), "method='tucker'"),
        (("svd", "energy:2"), "ranks='energy:2': choose"),
        (("svd", "vbmf:1"), "choose 'vbmf'"),
        (("svd", {"1": 4}), "ranks names '1'"),
        (("svd", {}), "ranks names no layer"),
        (("svd", {"3": 0}), "layer '3': rank=0"),
        (("tucker2", {"3": (17, 2)}), r"layer '3': ranks\[0\]=17"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        compress(network(), *arguments, input_shape=SHAPE)


def test_names_shapes_and_models_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="skip names '1'"):
        compress(network(), "svd", skip=["1"], input_shape=SHAPE)
    with pytest.raises(ValueError, match="after skip"):
        compress(network(), "svd", skip=NAMES, input_shape=SHAPE)
    with pytest.raises(ValueError, match="skip='0'"):
        compress(network(), "svd", skip="0", input_shape=SHAPE)
    with pytest.raises(ValueError, match=r"does not run on an example of shape \(4, 8, 8\)"):
        compress(network(), "svd", input_shape=(4, 8, 8))
    with pytest.raises(ValueError, match="itself one Linear"):
        compress(nn.Linear(4, 4), "svd", input_shape=(4,))


@pytest.mark.parametrize("method", ["svd", "cp"])
@pytest.mark.parametrize("ranks", ["vbmf", "energy:0.5", {"5": 2}])
def test_a_weight_that_is_not_finite_is_named_and_nothing_is_replaced(method, ranks):
    model = network()
    model[5].weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="layer '5': weight, of shape .* holds NaN"):
        compress(model, method, ranks, input_shape=SHAPE)
    assert isinstance(model[0], nn.Conv2d)


def test_the_report_is_a_table_text_and_json():
    report = compress(network(), "cp", "energy:0.3", input_shape=SHAPE)
    frame = report.to_frame()
    assert list(frame["layer"]) == list(NAMES)
    assert frame["MACs after"].sum() == report.macs_after
    read = json.loads(report.to_json())
    assert read["macs_ratio"] == report.macs_before / report.macs_after
    assert read["layers"][1]["shape"] == [16, 12, 3, 3]
    assert f"{report.macs_after:,} MACs instead of" in repr(report)
    assert "takes no groups" in repr(report)
    assert "note" not in repr(report)


@pytest.fixture(scope="module")
def digits():
    return load("digits").subset(200, 100)


def digits_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10)),
    )


@pytest.mark.parametrize("layerwise", [False, True])
def test_a_pipeline_decomposes_fine_tunes_and_resumes(digits, layerwise, tmp_path):
    options = {"epochs": 1, "layerwise": layerwise, "checkpoint": tmp_path / "tuned.pt", "progress": False}
    model, again = digits_network(), digits_network()
    tuned = compress_and_tune(model, digits, "tai", "energy:0.6", skip=["0"], **options)
    assert [layer.name for layer in tuned.report.decomposed] == ["2", "6"]
    assert list(tuned.history["stage"]) == ([1, 2] if layerwise else [1])
    assert params(model) == tuned.report.params_after
    assert tuned.tuned.loss < tuned.compressed.loss
    assert "fine-tuned" in repr(tuned)
    assert len(list(tmp_path.iterdir())) == (2 if layerwise else 1)
    resumed = compress_and_tune(again, digits, "tai", "energy:0.6", skip=["0"], **options)
    assert resumed.tuned == tuned.tuned  # from the files, without another epoch
    assert list(resumed.history["seconds"]) == list(tuned.history["seconds"])


def test_a_pipeline_with_nothing_to_do_says_why(digits):
    with pytest.raises(ValueError, match="every layer was refused .*would have"):
        compress_and_tune(digits_network(), digits, "svd", {"2": 16}, epochs=1)
