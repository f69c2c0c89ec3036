"""Networks with shared weights: what they compute, store and learn, and what an entry of the challenge stores."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from factorkit.clustering import choose_bits, huffman_bits, kmeans_1d, prune_share_code, share_weights, unshared
from factorkit.layers.shared_weight import SharedWeightConv2d, SharedWeightLinear
from micronet_resources import entry
from micronet_resources.profile import profile_model


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(16, 10),
    )


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_shared_convolution_is_the_convolution_with_its_weights():
    dense = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    index = torch.randint(5, dense.weight.shape)
    shared = SharedWeightConv2d(dense, torch.randn(5), index)
    maps = torch.randn(2, 4, 9, 9)
    expected = F.conv2d(maps, shared.centroids[index], dense.bias, (2, 1), (1, 0), (1, 2), 2)
    assert torch.equal(shared(maps), expected)
    assert torch.equal(shared.to_dense()(maps), expected)
    assert shared.index.dtype == torch.uint8
    assert [name for name, _ in shared.named_parameters()] == ["centroids", "bias"]


def test_the_gradient_of_a_value_is_the_sum_over_the_weights_that_share_it():
    dense = nn.Linear(6, 5)
    shared = SharedWeightLinear(dense, torch.tensor([-1.0, 0.5, 2.0, 7.0]), torch.randint(3, (5, 6)))
    features = torch.randn(8, 6)
    weight = shared.weight.detach().requires_grad_()
    F.linear(features, weight, dense.bias).square().sum().backward()
    shared(features).square().sum().backward()
    sums = torch.stack([weight.grad[shared.index == k].sum() for k in range(4)])
    torch.testing.assert_close(shared.centroids.grad, sums)
    assert shared.centroids.grad[3] == 0  # nobody has the last value


def test_training_moves_the_values_and_nothing_else():
    model = network()
    share_weights(model, 2)
    before = [layer.index.clone() for layer in (model[0], model[3], model[7])]
    table = model[3].centroids.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    goal = torch.arange(4)
    first = F.cross_entropy(model(images()), goal)
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images()), goal)
        loss.backward()
        optimizer.step()
    assert loss < 0.75 * first
    assert not torch.equal(table, model[3].centroids)
    assert all(map(torch.equal, before, [layer.index for layer in (model[0], model[3], model[7])]))
    assert len(model[3].weight.unique()) <= 4


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_the_report_says_what_was_done(bits):
    model = network()
    weights = [model[place].weight.detach().clone() for place in (0, 3, 7)]
    report = share_weights(model, bits)
    assert [layer.name for layer in report.layers] == ["0", "3", "7"]
    for row, weight, layer in zip(report.layers, weights, (model[0], model[3], model[7]), strict=True):
        assert row.shape == tuple(weight.shape) and row.bits == bits
        assert row.values == len(layer.weight.unique()) <= 2**bits
        used = max((row.values - 1).bit_length(), 1)
        assert row.stored_bits == weight.numel() * used + 32 * row.values
        lost = (layer.weight - weight).norm() / weight.norm()
        assert row.relative_error == pytest.approx(lost.item(), rel=1e-4)
        best = kmeans_1d(weight, 2**bits)
        assert row.relative_error == pytest.approx(
            (best.error * weight.numel()) ** 0.5 / weight.norm().item(), abs=1e-6
        )
    assert report.stored_bits == sum(row.stored_bits for row in report.layers)
    assert report.compression_factor == report.dense_bits / report.stored_bits
    assert report.mean_bits == pytest.approx(32 / report.compression_factor)
    assert "3 layers" in repr(report) and "<table" in report._repr_html_()


def test_sharing_and_unsharing_leave_the_network_what_it_computes():
    model = network().eval()
    share_weights(model, 3)
    expected = model(images())
    assert not any(isinstance(m, SharedWeightConv2d) for m in unshared(copy.deepcopy(model)).modules())
    assert torch.equal(unshared(model)(images()), expected)
    with pytest.raises(ValueError, match="use share_weights first"):
        unshared(model)


def test_a_saved_network_is_loaded_into_one_that_was_shared_alike():
    model, other = network(0).eval(), network(1).eval()
    share_weights(model, 3)
    share_weights(other, 3)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(images()), other(images()))


def test_optimal_values_are_never_worse_than_those_of_other_starts():
    for bits in (2, 4, 6):
        best, *others = (share_weights(network(), bits, init=init).layers for init in ("optimal", "linear", "density"))
        for layers in others:
            for mine, other in zip(best, layers, strict=True):
                assert mine.relative_error <= other.relative_error * 1.0005


def test_one_table_for_the_network():
    model = network()
    whole = torch.cat([model[place].weight.detach().flatten() for place in (0, 3, 7)])
    report = share_weights(model, 3, scope="network")
    assert model[0].centroids is model[3].centroids is model[7].centroids
    assert torch.equal(model[0].centroids, kmeans_1d(whole, 8).centroids)
    assert report.stored_bits == 3 * len(whole) + 8 * 32
    assert sum(p is model[0].centroids for p in model.parameters()) == 1
    with pytest.raises(ValueError, match="one table for the network has one width"):
        share_weights(network(), {"0": 2, "3": 3}, scope="network")


def test_a_layer_that_is_used_twice_and_tied_weights_stay_one():
    layer, first, second = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(layer, nn.ReLU(), layer, first, second)
    report = share_weights(model, 1)
    assert model[0] is model[2]
    assert model[3].centroids is model[4].centroids
    assert [row.name for row in report.layers] == ["0", "3", "4"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("init", ["optimal", "linear", "density"])
def test_the_type_of_the_weights_is_kept(dtype, init):
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)).to(dtype)
    before = model[0].weight.detach().clone()
    report = share_weights(model, 3, init=init)
    assert model[0].centroids.dtype == model[0].weight.dtype == dtype
    assert report.layers[0].relative_error == pytest.approx(
        float((model[0].weight.detach().double() - before.double()).norm() / before.double().norm())
    )
    model(torch.ones(2, 32, dtype=dtype)).sum().backward()
    assert model[0].centroids.grad.dtype == dtype and model[0].centroids.grad.isfinite().all()


@pytest.mark.parametrize("init", ["optimal", "linear", "density"])
def test_layers_of_equal_or_few_weights(init):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False), nn.Conv2d(1, 1, 1))
    nn.init.zeros_(model[0].weight)
    model[1].weight.data = torch.tensor([[1.0, 2.0, 1.0], [2.0, 1.0, 2.0]])
    kept = model[1].weight.detach().clone()
    report = share_weights(model, 4, init=init)
    assert [row.values for row in report.layers] == [1, 2, 1]
    torch.testing.assert_close(model[0].weight.detach(), torch.zeros(3, 4))
    torch.testing.assert_close(model[1].weight.detach(), kept)
    assert report.relative_error < 1e-6
    assert choose_bits(nn.Sequential(nn.Linear(300, 2)), 4.0)["0"] <= 4


def test_only_what_is_named_is_shared():
    model = network()
    share_weights(model, 4, skip=["0"])
    assert isinstance(model[0], nn.Conv2d) and isinstance(model[3], SharedWeightConv2d)
    model = network()
    report = share_weights(model, {"3": 2, "7": 5})
    assert isinstance(model[0], nn.Conv2d)
    assert [layer.bits for layer in report.layers] == [2, 5]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"bits": 9}, "bits=9 for layer '0'"),
        ({"bits": 0}, "bits=0"),
        ({"bits": True}, "bits=True"),
        ({"bits": {"1": 4}}, "bits names '1'.*'0', '3', '7'"),
        ({"bits": {}}, "bits names no layer"),
        ({"bits": 4, "skip": ["2"]}, "skip names '2'"),
        ({"bits": 4, "skip": ["0", "3", "7"]}, "no nn.Conv2d or nn.Linear"),
        ({"bits": 4, "scope": "model"}, "scope='model'"),
        ({"bits": 4, "init": "random"}, "init='random'"),
    ],
)
def test_what_cannot_be_shared_is_refused_and_the_network_left_alone(arguments, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        share_weights(model, **arguments)
    assert isinstance(model[0], nn.Conv2d)


def test_weights_that_no_table_can_hold_are_refused():
    pruned, broken = network(), network()
    prune.l1_unstructured(pruned[3], "weight", 0.5)
    broken[7].weight.data[0, 0] = float("nan")
    for model, message in ((pruned, r"3\.weight is computed.*prune\.remove"), (broken, r"7\.weight.*not finite")):
        with pytest.raises(ValueError, match=message):
            share_weights(model, 4)
        assert isinstance(model[0], nn.Conv2d)
    with pytest.raises(ValueError, match=r"give nn\.Sequential\(layer\)"):
        share_weights(nn.Linear(3, 3), 2)
    with pytest.raises(ValueError, match="padding_mode='reflect'"):
        share_weights(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")), 2)


@pytest.mark.parametrize(
    "centroids, index, message",
    [
        (torch.zeros(2, 2), torch.zeros(2, 3, dtype=torch.uint8), r"centroids has shape \(2, 2\)"),
        (torch.zeros(257), torch.zeros(2, 3, dtype=torch.uint8), "1 to 256 values"),
        (torch.zeros(2), torch.full((2, 3), 2), "whole numbers from 0 to 1"),
        (torch.zeros(2), torch.zeros(2, 3), "float32"),
        (torch.zeros(2), torch.zeros(3, 2, dtype=torch.uint8), r"weights of shape \(2, 3\)"),
    ],
)
def test_tables_and_indices_that_do_not_fit_are_refused(centroids, index, message):
    with pytest.raises(ValueError, match=message):
        SharedWeightLinear(nn.Linear(3, 2), centroids, index)


def test_chosen_bits_keep_the_budget_and_beat_one_width_for_all():
    model = network()
    uniform = share_weights(copy.deepcopy(model), 3)
    widths = choose_bits(model, uniform.mean_bits)
    assert isinstance(model[0], nn.Conv2d)
    mixed = share_weights(model, widths)
    assert mixed.stored_bits <= uniform.stored_bits
    assert mixed.relative_error <= uniform.relative_error
    assert sum(choose_bits(network(), 6.0).values()) > sum(widths.values())
    with pytest.raises(ValueError, match=r"mean_bits=1\.0: one bit for each weight and the tables take 1\."):
        choose_bits(network(), 1.0)


def test_the_three_stages_by_hand():
    layer = nn.Linear(8, 1)
    layer.weight.data = torch.tensor([[0.0, 4.0, 0.1, 4.0, 0.2, -4.0, 4.0, 0.3]])
    report = prune_share_code(nn.Sequential(layer), 0.5, 1)
    (row,) = report.layers
    assert row.kept == 4
    # gaps 1, 1, 1, 0: symbols of one bit (1 = goes on) 10 10 10 0 take 7 bits, the mask 8
    assert row.pruned_bits == 4 * 32 + 7
    assert row.shared_bits == 4 * 1 + 2 * 32 + 7
    assert row.coded_bits == 4 * 1 + 2 * 32 + 6  # Huffman: four times one bit for the gaps, and two lengths of one bit
    assert row.relative_error == pytest.approx((0.01 + 0.04 + 0.09) ** 0.5 / (64 + 0.14) ** 0.5, rel=1e-4)
    assert report.factor("dense") == 1
    assert torch.equal(layer.weight.data[0, 1], torch.tensor(4.0))


def test_each_stage_takes_less_and_the_last_is_the_huffman_code():
    model = network()
    report = prune_share_code(model, 0.8, 4, skip=["0"])
    assert report.bits("dense") > report.bits("pruned") > report.bits("shared") >= report.bits("coded")
    whole = prune_share_code(model, 0.0, 5)
    for row, place in zip(whole.layers, (0, 3, 7), strict=True):
        weight = model[place].weight.detach()
        codebook = kmeans_1d(weight, 32)
        table = 32 * len(codebook.centroids)
        assert row.pruned_bits == 32 * weight.numel()
        assert row.coded_bits == table + min(huffman_bits(codebook.assign(weight)), 5 * weight.numel())
    for sparsity, bits in ((1.0, 4), (-0.1, 4), (0.5, 0)):
        with pytest.raises(ValueError, match="sparsity=|bits="):
            prune_share_code(model, sparsity, bits)


def test_an_entry_stores_the_indices_and_the_table_and_nothing_else(tmp_path):
    model = network().eval()
    nn.init.normal_(model[1].weight)
    report = share_weights(model, 3)
    expected = model(images())
    path = entry.export(model, tmp_path / "entry.onnx")
    assert torch.equal(model(images()), expected)
    labels = expected.argmax(1)
    assert entry.evaluate(path, images(), labels).correct == len(labels)
    for profile in (entry.measure(path), profile_model(model, (3, 32, 32))):
        weights = [tensor for tensor in profile.inventory.tensors if len(tensor.encodings) > 1]
        assert {tensor.encodings[1].values for tensor in weights} == {"codebook"}
        stored = [tensor.encodings[1].total_bits() for tensor in weights]
        assert stored == [row.stored_bits for row in report.layers]
