"""Scores: what is charged under each rule set, on inventories written by hand, and what estimates believe."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from micronet_resources.encoding import Encoding
from micronet_resources.entry import export, measure
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.operations import KINDS, MAC_KINDS, Operation
from micronet_resources.rules import RULES, rule_set
from micronet_resources.scoring import contributions, estimate, score

RESNET18 = SimpleNamespace(params=11_173_962, macs=555_422_720)


# --- Networks written by hand -----------------------------------------------------------------------------------------


def dense(count, bits=32, nonzero=None):
    """Encodings of so many floating-point numbers, some of them zero."""
    found = [Encoding("dense", bits, count, 0, 0, bits)]
    if nonzero is not None and nonzero < count:
        found.append(Encoding("dense", bits, nonzero, 0, count, bits))
    return tuple(found)


def grid(count, bits, nonzero=None):
    found = [Encoding("grid", bits, count, 32, 0, bits)]
    if nonzero is not None and nonzero < count:
        found.append(Encoding("grid", bits, nonzero, 32, count, bits))
    return (*dense(count, 32, nonzero), *found)


def tensor(count, encodings=None, *, role="weight", nonzero=None, live=None, name="weight", folded=False):
    live = count if live is None else live
    nonzero = live if nonzero is None else nonzero
    return StoredTensor(name, (count,), role, live, nonzero, encodings or dense(live, nonzero=nonzero), folded)


def run(kind, outputs, multiplications=0, additions=0, *, bits=(32, 32), left=None, weight=None, folded=False, **more):
    """A measured operation; ``left`` are its live outputs, live MACs and non-zero MACs."""
    operation = Operation(kind, kind, outputs, multiplications, additions, weight)
    live_outputs, live, nonzero = left or (outputs, operation.macs, operation.macs)
    return MeasuredOperation(operation, *bits, more.get("signs_only", False), live_outputs, live, nonzero, folded)


def convolution(kernel, c_in, c_out, size, *, zeros=0, **more):
    """k x k convolution that keeps the size; ``zeros`` weights of each filter are zero."""
    length, outputs = kernel * kernel * c_in, size * size * c_out
    left = (outputs, length * outputs, (length - zeros) * outputs)
    return run("convolution", outputs, length * outputs, (length - 1) * outputs, left=left, weight="weight", **more)


def inventory(tensors=(), operations=()):
    return Inventory(tuple(tensors), tuple(operations))


def value(result, name):
    """A term in its own unit: parameters or operations of 32 bits."""
    reference = result.task.reference_params if name == "storage" else result.task.reference_ops
    [term] = [term for term in result.terms if term.name == name]
    return term.value * reference


def official(tensors=(), operations=()):
    result = score(inventory(tensors, operations), "neurips2019")
    return {term.name: value(result, term.name) for term in result.terms}


# --- course2025 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 3.9790),
        ({"weight_bits": 16, "activation_bits": 16}, 1.9895),
        ({"weight_bits": 8, "activation_bits": 8}, 0.9948),
        ({"weight_bits": 16, "activation_bits": 16, "pruned_unstructured": 0.9}, 1.0916),
        ({"weight_bits": 1, "activation_bits": 16}, 1.0542),
        ({"weight_bits": 1, "activation_bits": 1}, 0.1243),
    ],
)
def test_a_resnet18_under_the_formula_of_2025(options, expected):
    assert float(estimate(RESNET18, **options)) == pytest.approx(expected, abs=5e-5)


@given(
    st.integers(0, 10**8),
    st.integers(0, 10**10),
    st.integers(1, 32),
    st.integers(1, 32),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_estimate_is_the_formula(params, macs, q_w, q_a, first, second):
    p_s, p_u = first, second * (1 - first)
    result = estimate(
        SimpleNamespace(params=params, macs=macs),
        weight_bits=q_w,
        activation_bits=q_a,
        pruned_structured=p_s,
        pruned_unstructured=p_u,
    )
    parameters = (1 - (p_s + p_u)) * (q_w / 32) * params / 5.6e6
    operations = (1 - p_s) * (max(q_w, q_a) / 32) * macs / 2.8e8
    assert result.parameter_term == pytest.approx(parameters, abs=1e-9)
    assert result.operation_term == pytest.approx(operations, abs=1e-9)
    assert float(result) == result.parameter_term + result.operation_term
    assert result.parameter_term >= 0
    assert result.operation_term >= 0


def test_the_cheapest_encoding_is_charged_and_its_mask_is_free():
    weight = tensor(10_000, grid(10_000, 4, nonzero=1_000), nonzero=1_000)
    result = score(inventory([weight]), "course2025", "cifar10")
    assert value(result, "storage") == pytest.approx((4 * 1_000 + 32) / 32)


def test_a_multiplication_is_as_wide_as_its_wider_factor():
    for bits, width in [((3, 5), 5), ((32, 8), 32), ((8, 32), 32), ((1, 1), 1)]:
        result = score(inventory(operations=[convolution(3, 4, 8, 16, bits=bits)]))
        assert value(result, "operations") == pytest.approx(36 * 2_048 * width / 32)


def test_the_width_of_a_weight_counts_only_where_one_multiplies():
    attention = run("attention", 100, 6_400, 6_300, bits=(32, 8))
    assert value(score(inventory(operations=[attention])), "operations") == pytest.approx(6_400 * 8 / 32)
    # A convolution always has a weight, even if nobody could say which.
    nameless = run("convolution", 100, 6_400, 6_300, bits=(32, 8))
    assert value(score(inventory(operations=[nameless])), "operations") == pytest.approx(6_400)


def test_products_of_feature_maps_cost_one_mac_each():
    gate = run("product", 500, 500, bits=(32, 16))
    assert value(score(inventory(operations=[gate])), "operations") == pytest.approx(250)


@pytest.mark.parametrize("kind", ["bias", "normalization", "activation", "pooling", "residual", "elementwise"])
def test_what_costs_no_mac_is_free_under_the_formula_of_2025(kind):
    assert float(score(inventory(operations=[run(kind, 100, 300, 400)]))) == 0


def test_pruned_filters_save_storage_and_operations():
    weight = tensor(1_000, live=500)
    conv = run("convolution", 64, 1_000, 936, left=(32, 500, 500), weight="weight")
    result = score(inventory([weight], [conv]))
    assert value(result, "storage") == pytest.approx(500)
    assert value(result, "operations") == pytest.approx(500)


@pytest.mark.parametrize("rules", ["course2025", "course2023"])
def test_single_zeros_never_save_operations_in_the_course(rules):
    full = score(inventory([tensor(36, nonzero=36)], [convolution(3, 4, 8, 16)]), rules)
    sparse = score(inventory([tensor(36, nonzero=4)], [convolution(3, 4, 8, 16, zeros=32)]), rules)
    assert sparse.operation_term == full.operation_term
    assert sparse.parameter_term == pytest.approx(full.parameter_term * 4 / 36)


# --- course2023 -------------------------------------------------------------------------------------------------------

# Convolutions without bias, batch normalization on 614,400 elements, one linear layer 512 -> 10 with bias.
RESNET18_OPERATIONS = (
    Operation("conv2d", "convolution", 614_400, 555_417_600, 554_803_200, "conv.weight"),
    Operation("batch_norm", "normalization", 614_400, 614_400, 614_400, "bn.weight"),
    Operation("relu", "activation", 557_056, 557_056, 0),
    Operation("linear", "linear", 10, 5_120, 5_110, "linear.weight"),
    Operation("linear", "bias", 10, 0, 10),
)
WHOLE_RESNET18 = SimpleNamespace(**vars(RESNET18), operations=RESNET18_OPERATIONS)


def test_the_constants_of_the_script_of_2023():
    task = rule_set("course2023").task("cifar10")
    half = estimate(WHOLE_RESNET18, "course2023", weight_bits=16, activation_bits=16)
    assert value(half, "storage") == 5_586_981 == task.reference_params
    assert half.operation_term * task.reference_ops == 834_362_880 == task.reference_ops
    # The script leaves the ten biases of the linear layer out, and rounds to the same constant in single precision.
    without = SimpleNamespace(params=0, operations=[op for op in RESNET18_OPERATIONS if op.kind != "bias"])
    script = estimate(without, "course2023", weight_bits=16, activation_bits=16)
    assert script.operation_term * task.reference_ops == pytest.approx(834_362_870, abs=1e-3)


@pytest.mark.parametrize(("bits", "expected"), [(32, 3.3328), (16, 2.0), (8, 1.33358), (1, 0.75046)])
def test_a_resnet18_under_the_script_of_2023(bits, expected):
    result = estimate(WHOLE_RESNET18, "course2023", weight_bits=bits, activation_bits=bits)
    assert float(result) == pytest.approx(expected, abs=5e-5 if bits == 32 else 5e-6)


def test_additions_are_never_narrower_in_2023():
    narrow = score(inventory(operations=[convolution(3, 4, 8, 16, bits=(4, 8))]), "course2023")
    assert value(narrow, "multiplications") == pytest.approx(36 * 2_048 * 8 / 32)
    assert value(narrow, "additions") == pytest.approx(35 * 2_048)


def test_groups_save_whole_rows_in_2023():
    """A group of c inputs has k * k * c multiplications and one addition less; the one is not divided by the groups."""
    for groups in (1, 2, 4, 64):
        length = 9 * 64 // groups
        conv = run("convolution", 16_384, length * 16_384, (length - 1) * 16_384, weight="weight")
        result = score(inventory(operations=[conv]), "course2023")
        assert value(result, "multiplications") == pytest.approx(length * 16_384)
        assert value(result, "additions") == pytest.approx((length - 1) * 16_384)


def test_batch_normalization_costs_three_operations_of_32_bits_in_2023():
    norm = run("normalization", 1_000, 1_000, 1_000, bits=(8, 8), folded=True)
    assert value(score(inventory(operations=[norm]), "course2023"), "normalization") == 3_000


@pytest.mark.parametrize("kind", ["activation", "pooling", "residual", "elementwise"])
def test_functional_or_not_what_the_constants_leave_out_is_free_in_2023(kind):
    assert float(score(inventory(operations=[run(kind, 100, 300, 400)]), "course2023")) == 0


def test_parameters_of_2023_are_non_zero_values_at_their_width():
    weights = [
        tensor(1_000, grid(1_000, 8, nonzero=100), nonzero=100),
        tensor(500, dense(500, 16)),
        tensor(10, role="bias"),
    ]
    result = score(inventory(weights), "course2023")
    assert value(result, "storage") == pytest.approx((100 * 8 + 500 * 16 + 10 * 32) / 32)


# --- neurips2019 ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 3, 5]),
    st.integers(1, 64),
    st.integers(1, 64),
    st.integers(1, 16),
    st.sampled_from([4, 8, 12]),
    st.data(),
)
def test_the_organizers_arithmetic_of_a_convolution(kernel, c_in, c_out, size, bits, data):
    """Vectors of length v take v multiplications and v - 1 additions; a bias one more addition and its storage."""
    length = kernel * kernel * c_in
    zeros = data.draw(st.integers(0, length - 1))
    count, left = length * c_out, (length - zeros) * c_out
    weight = StoredTensor("weight", (count,), "weight", count, left, (Encoding("grid", bits, left, 0, count, bits),))
    bias = tensor(c_out, (Encoding("grid", bits, c_out, 0, 0, bits),), role="bias")
    pixels = size * size * c_out
    operations = [
        convolution(kernel, c_in, c_out, size, zeros=zeros, bits=(bits, bits)),
        run("bias", pixels, 0, pixels, bits=(32, bits)),
        run("activation", pixels, pixels, 0, bits=(32, bits)),
    ]
    found = official([weight, bias], operations)
    assert found["storage"] == pytest.approx((left * bits + count + c_out * bits) / 32)
    assert found["multiplications"] == pytest.approx(((length - zeros) * pixels + pixels) * bits / 32)
    assert found["additions"] == pytest.approx((length - zeros - 1) * pixels + pixels)


@pytest.mark.parametrize(
    ("kind", "multiplications", "additions"),
    [("relu", 1, 0), ("sigmoid", 2, 1), ("swish", 3, 1)],
)
def test_activations_are_multiplications_first(kind, multiplications, additions):
    found = official(operations=[run("activation", 10, 10 * multiplications, 10 * additions)])
    assert found["multiplications"] == pytest.approx(10 * multiplications / 2)  # the freebie applies to them
    assert found["additions"] == 10 * additions


def test_global_average_scale_and_sum_as_the_organizers_count_them():
    channels, pixels = 8, 49
    pool = run("pooling", channels, channels, (pixels - 1) * channels)
    scale = run("product", pixels * channels, pixels * channels)
    total = run("residual", pixels * channels, 0, pixels * channels)
    found = official(operations=[pool, scale, total])
    assert found["multiplications"] == pytest.approx((channels + pixels * channels) / 2)
    assert found["additions"] == (pixels - 1) * channels + pixels * channels


def test_a_fully_pruned_row_has_no_additions_to_give_back():
    emptied = run("convolution", 100, 900, 800, left=(100, 900, 0), weight="weight")
    assert official(operations=[emptied]) == {"storage": 0, "multiplications": 0, "additions": 0}
    # Half of the rows are empty and gone; of each other row one weight is left, which needs no addition.
    half = run("convolution", 100, 900, 800, left=(50, 450, 50), weight="weight")
    assert official(operations=[half])["additions"] == 0


@pytest.mark.parametrize(("bits", "percent"), [(32, 13.1), (16, 16.3), (8, 22.5), (4, 35), (2, 60), (1, 110)])
def test_what_a_mask_of_the_full_shape_leaves_to_save(bits, percent):
    """At 90 % zeros, the stored fraction of the dense tensor; at one bit the mask costs more than it saves."""
    costs = SimpleNamespace(params=1_000_000, operations=())
    widths = {"weight_bits": bits, "activation_bits": 8}  # maps of 8 bits, so that no width is granted
    whole = estimate(costs, "neurips2019", **widths)
    sparse = estimate(costs, "neurips2019", **widths, pruned_unstructured=0.9)
    assert 100 * sparse.parameter_term / whole.parameter_term == pytest.approx(percent, abs=0.051)


@pytest.mark.parametrize(("bits", "zeros"), [(8, 0.125), (4, 0.25), (2, 0.5)])
def test_a_mask_pays_only_above_its_break_even(bits, zeros):
    count = 8_000

    def stored(nonzero):
        return official([tensor(count, grid(count, bits, nonzero), nonzero=nonzero)])["storage"]

    whole = official([tensor(count, grid(count, bits))])["storage"]
    limit = int(count * (1 - zeros))
    assert stored(limit) == stored(limit + 80) == whole
    assert stored(limit - 80) < whole


def test_a_mask_of_single_bits_is_never_chosen():
    weights = tensor(8_000, grid(8_000, 1, nonzero=80), nonzero=80)
    assert official([weights])["storage"] == pytest.approx((8_000 + 32) / 32)


def test_sixteen_bits_are_free_if_nothing_is_narrower():
    weights, conv = tensor(5_000), convolution(3, 4, 8, 16)
    found = official([weights], [conv])
    assert found == {"storage": 2_500, "multiplications": 36 * 2_048 / 2, "additions": 35 * 2_048}
    half = tensor(5_000, dense(5_000, 16))
    assert official([half], [replace(conv, weight_bits=16, input_bits=16)]) == found


def test_free_bits_are_sparse_too():
    weights = tensor(5_000, nonzero=500)
    assert official([weights])["storage"] == pytest.approx((16 * 500 + 5_000) / 32)


@pytest.mark.parametrize(
    ("narrow", "reason"),
    [
        (([tensor(1_000, grid(1_000, 8), name="conv1.weight")], []), "conv1.weight is stored in 8 bits"),
        (([], [convolution(1, 1, 1, 1, bits=(32, 4))]), "convolution reads a feature map of 4 bits"),
        (([], [run("activation", 1, 1, 0, bits=(32, 1))]), "activation reads a feature map of 1 bit"),
    ],
)
def test_whatever_is_below_sixteen_bits_forfeits_the_free_width(narrow, reason):
    tensors, operations = narrow
    network = inventory([tensor(5_000), *tensors], [convolution(3, 4, 8, 16), *operations])
    alone = official([*tensors], [*operations])
    result = score(network, "neurips2019")
    assert value(result, "storage") == pytest.approx(5_000 + alone["storage"])
    assert value(result, "multiplications") == pytest.approx(36 * 2_048 + alone["multiplications"])
    assert reason in result.notes[-1]


def test_zeros_and_constant_biases_are_no_quantization():
    """Nobody chose them: fresh biases are zero and fresh scales one, which a table of one value would encode."""
    one = (*dense(64), Encoding("codebook", 1, 64, 32, 0, 32))
    tensors = [
        tensor(5_000),
        tensor(64, one, role="normalization"),
        tensor(64, (Encoding("zero", 0, 0, 0, 0, 0),), role="bias", nonzero=0),
        tensor(100, (Encoding("zero", 0, 0, 0, 0, 0),), nonzero=0, live=0),
    ]
    assert official(tensors)["storage"] == pytest.approx((5_000 + 64) / 2)


def test_multiplying_by_signs_costs_one_bit():
    signs = tensor(1_000, (*dense(1_000), Encoding("grid", 1, 1_000, 32, 0, 1)))
    binary = convolution(3, 4, 8, 16, bits=(1, 32), signs_only=True)
    found = official([signs], [binary])
    assert found["storage"] == pytest.approx((1_000 + 32) / 32)
    assert found["multiplications"] == pytest.approx(36 * 2_048 / 32)
    assert found["additions"] == 35 * 2_048
    # Two other values are no signs: the wider factor counts.
    assert official([signs], [replace(binary, signs_only=False)])["multiplications"] == 36 * 2_048


def test_a_folded_batch_normalization_leaves_its_bias():
    """Scales merge with the weights; the bias is stored, and added once per element."""
    pixels = 256
    tensors = [
        tensor(1_000),
        tensor(8, role="normalization", folded=True, name="scale"),
        tensor(8, role="normalization", name="bias"),
    ]
    norm = run("normalization", pixels, pixels, pixels, folded=True)
    assert official(tensors, [norm]) == {"storage": 1_008 / 2, "multiplications": 0, "additions": pixels}


def test_what_folding_removes_is_explained():
    tensors = [tensor(8, role="normalization", folded=True, name="scale"), tensor(8, role="normalization")]
    assert any(note.startswith("8 elements disappear") for note in score(inventory(tensors), "neurips2019").notes)
    assert not any("folded" in note for note in score(inventory(tensors), "course2025").notes)


def test_the_bias_of_a_layer_merges_with_that_of_the_folded_normalization():
    pixels = 256
    tensors = [tensor(8, role="bias", folded=True), tensor(8, role="normalization")]
    operations = [
        run("bias", pixels, 0, pixels, folded=True),
        run("normalization", pixels, pixels, pixels, folded=True),
    ]
    assert official(tensors, operations) == {"storage": 8 / 2, "multiplications": 0, "additions": pixels}


def test_an_entry_folds_its_batch_normalization(tmp_path):
    """Exact figures of a network with two convolutions, both followed by batch normalization, measured on its file."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 28 * 28, 10)).eval()
    for norm in (model[1], model[4]):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    found = measure(export(model, tmp_path / "entry.onnx", rules="neurips2019"))
    result = score(found, "neurips2019")
    first, second, linear = 8 * 30 * 30, 4 * 28 * 28, 10
    macs = 27 * first + 72 * second + second * linear
    assert result.task.data == "patterns"
    # Without 8 and 4 scales and the bias of the second convolution.
    assert value(result, "storage") == pytest.approx((216 + 8 + 288 + 4 + 31_360 + 10) / 2)
    assert value(result, "multiplications") == pytest.approx((macs + first) / 2)
    assert value(result, "additions") == pytest.approx((macs - first - second - linear) + first + second + linear)


def test_a_normalization_that_cannot_be_folded_counts_in_full():
    pixels = 256
    tensors = [tensor(8, role="normalization", name=name) for name in ("scale", "bias")]
    found = official(tensors, [run("normalization", pixels, pixels, pixels)])
    assert found == {"storage": 16 / 2, "multiplications": pixels / 2, "additions": pixels}


@pytest.mark.parametrize("rules", ["course2025", "course2023"])
def test_the_course_folds_nothing(rules):
    assert value(score(inventory([tensor(8, folded=True)]), rules), "storage") == 8


def test_the_example_of_the_official_page():
    """3 million parameters and 500 million operations on ImageNet: 3 / 6.9 + 500 / 1170 = 0.862."""
    eight = 12_000_000  # numbers of 8 bits take the storage of a quarter as many of 32
    weights = StoredTensor("weight", (eight,), "weight", eight, eight, (Encoding("grid", 8, eight, 0, 0, 8),))
    macs = Operation("conv2d", "convolution", 0, 400_000_000, 400_000_000, "weight")
    left = MeasuredOperation(macs, 8, 8, False, 0, 400_000_000, 400_000_000)
    result = score(inventory([weights], [left]), "neurips2019", "imagenet")
    assert float(result) == pytest.approx(3 / 6.9 + 500 / 1170)
    assert f"{float(result):.3f}" == "0.862"


@pytest.mark.parametrize(("bits", "free"), [((32, 32), True), ((16, 32), True), ((16, 16), True), ((8, 32), False)])
def test_an_estimate_grants_sixteen_bits_as_a_measurement_does(bits, free):
    costs = SimpleNamespace(params=1_000, operations=[convolution(3, 4, 8, 16).operation])
    result = estimate(costs, "neurips2019", weight_bits=bits[0], activation_bits=bits[1])
    assert value(result, "storage") == pytest.approx(500 if free else 250)
    assert value(result, "multiplications") == pytest.approx(36 * 2_048 / (2 if free else 1))
    assert value(result, "additions") == pytest.approx(35 * 2_048)
    assert ("Nothing is narrower" in result.notes[-1]) == free


# --- All rules --------------------------------------------------------------------------------------------------------

WIDTHS = st.sampled_from([1, 4, 8, 16, 32])


@st.composite
def networks(draw):
    tensors, operations = [], []
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(1, 1_000))
        live = draw(st.integers(0, count))
        nonzero = draw(st.integers(0, live))
        role = draw(st.sampled_from(["weight", "bias", "normalization", "other"]))
        encodings = grid(live, draw(WIDTHS), nonzero)
        tensors.append(tensor(count, encodings, role=role, live=live, nonzero=nonzero, folded=draw(st.booleans())))
    for _ in range(draw(st.integers(0, 4))):
        outputs, length = draw(st.integers(1, 1_000)), draw(st.integers(0, 100))
        kind = draw(st.sampled_from(KINDS))
        macs = outputs * length if kind in MAC_KINDS else 0
        live_outputs = draw(st.integers(0, outputs))
        live = draw(st.integers(0, macs))
        left = (live_outputs, live, draw(st.integers(0, live)))
        bits, additions = (draw(WIDTHS), draw(WIDTHS)), max(outputs * (length - 1), 0)
        folded = draw(st.booleans()) and kind in ("bias", "normalization")
        operations.append(run(kind, outputs, outputs * length, additions, bits=bits, left=left, folded=folded))
    return inventory(tensors, operations)


@settings(max_examples=150, deadline=None)
@given(networks(), st.sampled_from(list(RULES)))
def test_terms_are_never_negative_and_add_up(network, rules):
    result = score(network, rules)
    assert all(term.value >= 0 for term in result.terms)
    assert math.isfinite(float(result))
    assert float(result) == pytest.approx(sum(term.value for term in result.terms))
    tensors, operations = contributions(network, result.rules, result.task)
    assert (len(tensors), len(operations)) == (len(network.tensors), len(network.operations))
    assert sum(tensors) == pytest.approx(result.parameter_term, abs=1e-12)
    assert sum(operations) == pytest.approx(result.operation_term, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(networks(), st.sampled_from(list(RULES)))
def test_every_term_can_be_computed_again_from_its_explanation(network, rules):
    for term in score(network, rules).terms:
        arithmetic = term.explanation.replace(",", "").replace(" x ", " * ")
        for words in (" for tables and scales", " for masks"):
            arithmetic = arithmetic.replace(words, "")
        assert set(arithmetic) <= set("0123456789.+*/() ")
        assert eval(arithmetic) == pytest.approx(term.value)


@given(networks())
@settings(max_examples=60, deadline=None)
def test_an_estimate_without_assumptions_is_an_upper_bound(network):
    """Nothing pruned and 32 bits: what is measured can only be less, as long as tables pay."""
    for rules in RULES:
        measured, assumed = score(network, rules), estimate(network, rules)
        slack = len(network.tensors) * 64 / 32 / assumed.task.reference_params
        # Who loses the free 16 bits by a narrow feature map stores everything at its own width, up to twice as much.
        forfeited = 2 if any("own width" in note for note in measured.notes) else 1
        assert measured.parameter_term <= forfeited * assumed.parameter_term + slack
        if rules == "course2025":
            assert measured.operation_term <= assumed.operation_term + 1e-12


def test_the_score_explains_itself_line_by_line():
    text = repr(estimate(RESNET18, weight_bits=4, activation_bits=8, pruned_structured=0.25, pruned_unstructured=0.5))
    assert text.splitlines() == [
        "Score 0.4343 under course2025 on cifar10 (estimate, nothing measured; lower is better)",
        "  storage       0.0624 = (2,793,490.5 x 4/32) / 5,600,000",
        "  operations    0.3719 = (416,567,040 x 8/32) / 280,000,000",
        "  Assumed: weights of 4 bits, activations of 8 bits, p_s = 0.25, p_u = 0.5.",
    ]
    weights = [tensor(900, grid(900, 4, nonzero=450), nonzero=450), tensor(100, role="bias", live=50)]
    measured = score(inventory(weights, [convolution(3, 10, 10, 4, bits=(4, 8))]), "neurips2019", "patterns")
    assert repr(measured).splitlines() == [
        "Score 0.0028 under neurips2019 on patterns (measured; lower is better)",
        "  storage            0.0019 = (50 x 32/32 + 450 x 4/32 + 32/32 for tables and scales + 900/32 for masks)"
        " / 72,954",
        "  multiplications    0.0002 = (14,400 x 8/32) / 19,760,384",
        "  additions          0.0007 = (14,240 x 32/32) / 19,760,384",
        "  Stored elements: 1,000, of which 50 in pruned filters (p_s = 0.05) and 450 single zeros (p_u = 0.45).",
        "  Everything counts at its own width, because weight is stored in 4 bits, below 16.",
    ]


def test_a_score_as_data_and_as_html():
    result = score(inventory([tensor(1_000)], [convolution(3, 4, 8, 16)]), "neurips2019", "cifar10")
    data = result.to_dict()
    assert data["score"] == float(result)
    assert (data["rules"], data["task"], data["is_estimate"]) == ("neurips2019", "cifar10", False)
    assert [term["name"] for term in data["terms"]] == ["storage", "multiplications", "additions"]
    assert sum(term["value"] for term in data["terms"]) == pytest.approx(data["score"])
    page = result._repr_html_()
    assert page.count("<tr>") == 5
    assert all(term.explanation in page for term in result.terms)
    assert "Nothing is narrower than 16 bits" in page
    assert estimate(RESNET18).to_dict()["is_estimate"] is True


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compute", [score, estimate])
@pytest.mark.parametrize("name", ["weight_bits", "activation_bits"])
@pytest.mark.parametrize("bits", [0, 33, -1, 0.5, 16.0, "16", True])
def test_widths_that_are_refused(compute, name, bits):
    with pytest.raises(ValueError, match=f"{name}=.*1 to 32"):
        compute(inventory([tensor(9)]), **{name: bits})


@pytest.mark.parametrize("compute", [score, estimate])
@pytest.mark.parametrize("name", ["pruned_structured", "pruned_unstructured"])
@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf"), "0.5", True])
def test_fractions_that_are_refused(compute, name, fraction):
    with pytest.raises(ValueError, match=f"{name}=.*0 to 1"):
        compute(inventory([tensor(9)]), **{name: fraction})


@pytest.mark.parametrize("compute", [score, estimate])
def test_more_than_all_weights_cannot_be_pruned(compute):
    with pytest.raises(ValueError, match=r"0\.7 \+ 0\.5 is more than all weights.*u \* 0\.3"):
        compute(inventory([tensor(9)]), pruned_structured=0.7, pruned_unstructured=0.5)


def test_nothing_left_is_zero_and_never_below():
    everything = estimate(RESNET18, pruned_structured=0.7, pruned_unstructured=0.3)
    assert everything.parameter_term == pytest.approx(0, abs=1e-12)
    assert everything.parameter_term >= 0


@pytest.mark.parametrize("compute", [score, estimate])
def test_an_operator_without_a_rule_gives_no_score(compute):
    profile = SimpleNamespace(params=1, macs=1, inventory=inventory(), uncounted=("aten.fft_fft2", "aten.sort"))
    with pytest.raises(ValueError, match=r"aten\.fft_fft2, aten\.sort: no rule says what this costs"):
        compute(profile)


def test_counts_alone_cannot_be_measured():
    with pytest.raises(ValueError, match=r"a SimpleNamespace has none.*estimate\(\)"):
        score(RESNET18)


@pytest.mark.parametrize("rules", ["course2023", "neurips2019"])
def test_totals_alone_are_not_enough_where_additions_count(rules):
    with pytest.raises(ValueError, match=f"{rules} counts additions apart.*profile_model"):
        estimate(RESNET18, rules)


def test_unknown_rules_and_tasks_are_refused():
    with pytest.raises(ValueError, match="Known: course2025, course2023, neurips2019"):
        score(inventory(), "zzz")
    with pytest.raises(ValueError, match="no task on 'imagenet'.*neurips2019 has it"):
        estimate(RESNET18, "course2025", "imagenet")


def test_a_network_must_fit_its_task():
    profile = SimpleNamespace(inventory=inventory(), input_shape=(3, 32, 32), output_shape=(100,))
    with pytest.raises(ValueError, match=r"\(100,\) and cifar10 has 10 classes"):
        score(profile)
    assert float(score(profile, "course2025", "cifar100")) == 0
    small = SimpleNamespace(inventory=inventory(), input_shape=(3, 16, 16), output_shape=(10,))
    with pytest.raises(ValueError, match=r"\(3, 16, 16\) and images of cifar10 have \(3, 32, 32\)"):
        score(small)
    larger = SimpleNamespace(inventory=inventory(), input_shape=(3, 299, 299), output_shape=(1000,))
    assert float(score(larger, "neurips2019", "imagenet")) == 0


def test_the_task_of_an_entry_is_taken_from_it():
    entry = SimpleNamespace(inventory=inventory(), rules="course2025", task="patterns")
    assert score(entry).task.data == "patterns"
    assert score(entry, "course2025", "cifar10").task.data == "cifar10"
    assert score(entry, "course2023").task.data == "patterns"
