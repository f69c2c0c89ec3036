"""A position costs its bits: what shift layers store is what the formulas say, and indices hide nothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.layers.binary import BinaryConv2d
from factorkit.layers.shift import ShiftConv2d
from factorkit.layers.shift_attention import ShiftAttentionConv2d, shift_layers
from factorkit.models.heads import pooled_classifier, stem
from factorkit.models.resnets import BasicBlock
from micronet_resources import entry
from micronet_resources.profile import profile_model, score
from micronet_resources.rulebook.charges import charge_storage
from micronet_resources.rules import rule_set


def tensors(model, shape):
    return {tensor.name: tensor for tensor in profile_model(model, shape).inventory.tensors}


def stored_bits(model, shape, rules="course2025"):
    """Bits of every tensor, at its own width."""
    chosen = rule_set(rules)
    return {name: 32 * charge_storage(x, chosen, free=False).full for name, x in tensors(model, shape).items()}


def trained(model):
    """Values as training leaves them: none is 0 or 1 by chance."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def authors_network(width):
    """ResNet-20 as in the authors' code: 1 x 1 convolutions with batch normalization in two shortcuts."""
    layers, before = stem(width), width
    for stage, channels in enumerate((width, 2 * width, 4 * width)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            layers.append(BasicBlock(before, channels, stride, conv=ShiftAttentionConv2d))
            before = channels
    return nn.Sequential(*layers, *pooled_classifier(before, 10))


@pytest.mark.parametrize(("width", "numbers"), [(16, 38_618), (83, 981_609.5)])
def test_storage_of_the_authors_network_is_that_of_their_formula(width, numbers):
    # 36 bits for each slice, 32 for everything else: 981,610 parameters, rounded, in the authors' code.
    formula = 116 * width**2 * 36 / 32 + 10 * width**2 + 27 * width + 98 * width + 40 * width + 10
    assert formula == numbers
    profile = profile_model(shift_layers(trained(authors_network(width))), (3, 32, 32))
    storage = score(profile, "course2025", "cifar10").terms[0]
    assert storage.name == "storage"
    assert storage.value * 5_600_000 == pytest.approx(numbers, abs=0.01)


def test_operations_of_the_authors_network_are_a_ninth_where_shifts_are():
    width = 16
    shifts = 6 * width**2 * 1024 + (2 + 5 * 4) * width**2 * 256 + (8 + 5 * 16) * width**2 * 64
    others = 27 * width * 1024 + 2 * width**2 * 256 + 8 * width**2 * 64 + 40 * width
    assert profile_model(shift_layers(authors_network(width)), (3, 32, 32)).macs == shifts + others
    assert profile_model(authors_network(width), (3, 32, 32)).macs == 9 * shifts + others


@pytest.mark.parametrize("rules", ["course2025", "course2023", "neurips2019"])
@pytest.mark.parametrize(("size", "bits"), [(3, 4), (5, 5), ((1, 3), 2), ((2, 4), 3)])
@pytest.mark.parametrize("survivors", [1, 2])
@pytest.mark.parametrize("shared", [False, True])
def test_an_index_costs_the_logarithm_of_the_positions(rules, size, bits, survivors, shared):
    options = {"bias": False, "weights_per_kernel": survivors, "shared": shared}
    layer = trained(ShiftAttentionConv2d(40, 30, size, **options)).to_shift()
    slices = (1 if shared else 30) * 40
    found = stored_bits(layer, (40, 8, 8), rules)
    assert found == {"weight": 32 * 30 * 40 * survivors, "index": bits * slices * survivors}


def test_the_free_width_of_2019_is_for_weights_and_not_for_indices():
    layer = trained(ShiftAttentionConv2d(40, 30, bias=False)).to_shift()
    found = tensors(layer, (40, 8, 8))
    charges = {name: charge_storage(x, rule_set("neurips2019"), free=True).full for name, x in found.items()}
    assert charges == {"weight": 30 * 40 * 16 / 32, "index": 30 * 40 * 4 / 32}


@pytest.mark.parametrize("bias", [False, True])
def test_zeros_of_an_index_are_not_free(bias):
    layer = trained(ShiftConv2d(40, 30, 3, bias=bias))
    layer.index[:] = torch.randint(0, 9, layer.index.shape)
    layer.index[:25] = 0
    assert stored_bits(layer, (40, 8, 8))["index"] == 4 * 30 * 40


@pytest.mark.parametrize("shared", [False, True])
def test_operations_are_those_of_the_survivors(shared):
    layer = ShiftConv2d(16, 32, 3, padding=1, stride=2, weights_per_kernel=2, shared=shared)
    profile = profile_model(layer, (16, 10, 8), strict=True)
    assert profile.macs == 2 * 32 * 16 * 5 * 4
    (product, bias) = profile.layers[0].operations
    assert product.additions == product.multiplications - product.outputs and product.weight == "weight"
    assert bias.additions == 32 * 5 * 4
    dense = profile_model(nn.Conv2d(16, 32, 3, padding=1, stride=2), (16, 10, 8)).macs
    assert 9 * profile.macs == 2 * dense


def test_pruned_filters_and_zero_weights_of_a_shift_layer_are_seen():
    layer = trained(ShiftConv2d(16, 32, 3, padding=1, bias=False))
    with torch.no_grad():
        layer.weight[:8] = 0
        layer.weight[8:, 0] = 0
    (product,) = profile_model(layer, (16, 8, 8)).inventory.operations
    assert product.live_macs == 24 * 15 * 64 and product.live_outputs == 24 * 64


def test_binary_weights_are_stored_in_one_bit_and_still_multiply():
    layer = BinaryConv2d(16, 32, padding=1, bias=False)
    profile = profile_model(layer, (16, 8, 8))
    (stored,) = profile.inventory.tensors
    assert charge_storage(stored, rule_set("course2025"), free=False).full * 32 - 32 * 16 * 9 in (0, 32)
    assert profile.macs == 32 * 16 * 9 * 64
    assert profile.inventory.operations[0].signs_only


@pytest.mark.parametrize("shared", [False, True])
def test_an_entry_has_the_operations_of_the_survivors_and_pays_for_positions(shared, tmp_path):
    shift = ShiftConv2d(3, 8, padding=1, bias=False, shared=shared)
    shift.index[:] = torch.tensor([4, 0, 8])[:, None]
    model = trained(nn.Sequential(shift, nn.ReLU(), *pooled_classifier(8, 10))).eval()
    entry.export(model, tmp_path / "entry.onnx", task="patterns")
    measured = entry.measure(tmp_path / "entry.onnx")
    assert measured.macs == profile_model(model, (3, 32, 32)).macs == 8 * 3 * 1024 + 80
    (index,) = (tensor for tensor in measured.inventory.tensors if tensor.role == "other")
    charge = charge_storage(index, rule_set("course2025"), free=False)
    assert charge.counts == {5: (1 if shared else 8) * 3}  # one of 27 rows


FIRST = torch.arange(16)[None]


class Smuggler(nn.Module):
    """Uses whole numbers that were added to row numbers, and are all zero, for something else than choosing."""

    def __init__(self, use):
        super().__init__()
        self.register_buffer("index", torch.zeros(16, dtype=torch.int16))
        self.use = use

    def forward(self, x):
        return self.use(x, self.index.long() + torch.arange(0, 160, 10))


@pytest.mark.parametrize(
    "use",
    [
        lambda x, rows: x * rows.float(),
        lambda x, rows: x + rows.float(),
        lambda x, rows: F.linear(x, rows.float().expand(2, 16)),
        lambda x, rows: torch.where(x > 0, rows.float(), x),
        lambda x, rows: F.embedding_bag(FIRST, x.T, mode="sum", per_sample_weights=rows.float()[None]),
    ],
    ids=["times", "plus", "linear", "where", "factors"],
)
def test_row_numbers_that_are_computed_with_are_stored_as_what_they_are(use):
    index = tensors(Smuggler(use), (16,))["index"]
    assert index.nonzero == 15
    assert charge_storage(index, rule_set("course2025"), free=False).full > 0


def test_whole_numbers_added_to_others_than_row_numbers_are_stored_as_the_sum():
    class Secret(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("index", torch.zeros(16, dtype=torch.int16))
            self.register_buffer("weights", torch.randint(0, 100, (16,)))

        def forward(self, x):
            return x[:, self.index.long() + self.weights % 16]

    assert tensors(Secret(), (16,))["index"].nonzero > 0


def test_positions_of_bags_are_stored_and_so_are_their_ends():
    class Bags(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("rows", torch.randint(0, 16, (40,)))
            self.register_buffer("ends", torch.tensor([0, 3, 11, 30]))

        def forward(self, x):
            return F.embedding_bag(self.rows, x.T, self.ends, mode="sum").T

    assert stored_bits(Bags(), (16,)) == {"rows": 40 * 4, "ends": 4 * 5}
