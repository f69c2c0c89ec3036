"""What could be hidden in operators that cost nothing: refused, or charged what it is worth; networks keep their score.

The trick networks apply a matrix of weights without a matrix product. Beside each stands one that may do what it does.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from factorkit.models import small_convnet
from factorkit.quantization import ActivationQuantizer, quantize_weights
from micronet_resources.encoding import Encoding
from micronet_resources.entry import EntryError, export, measure
from micronet_resources.inventory import Inventory, StoredTensor
from micronet_resources.onnx_graph.admission import admit
from micronet_resources.onnx_graph.counting import count_graph
from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.onnx_graph.hidden import refuse_hidden_work
from micronet_resources.onnx_graph.inventory import take_inventory
from micronet_resources.onnx_graph.pairing import charge_graph
from micronet_resources.references import reference_path
from micronet_resources.rules import RULES
from micronet_resources.scoring import score

FEATURES, HIDDEN = 192, 16
WEIGHT = (np.random.default_rng(0).standard_normal((HIDDEN, FEATURES)) * 0.1).astype(np.float32)
PAIRS = WEIGHT.size


class Writer:
    """A graph from images to scores, written operator by operator."""

    def __init__(self):
        self.nodes, self.tensors = [], []

    def op(self, name, *inputs, function=None, **attributes):
        outputs = [f"t{len(self.nodes)}"]
        node = helper.make_node(name, list(inputs), outputs, **attributes)
        if function is not None:
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=f"['', '{function}']")
        self.nodes.append(node)
        return outputs[0]

    def number(self, value, dtype=np.float32):
        name = f"n{len(self.nodes)}"
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def sizes(self, *values):
        return self.number(values, np.int64)

    def store(self, value):
        name = f"w{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def features(self):
        pooled = self.op("AveragePool", "images", kernel_shape=[4, 4], strides=[4, 4])
        return self.op("Flatten", pooled)

    def total(self, values, axis):
        return self.op("ReduceSum", values, self.sizes(axis), keepdims=0)

    def finish(self, hidden, *, layers=True):
        """Scores from 16 hidden features, and from an ordinary convolution beside them."""
        scores = self.op("MatMul", hidden, self.store(np.ones((HIDDEN, 10), np.float32) + np.eye(HIDDEN, 10)[:, :10]))
        if layers:
            weight = np.random.default_rng(1).standard_normal((10, 3, 3, 3)).astype(np.float32)
            maps = self.op("Conv", "images", self.store(weight), pads=[1, 1, 1, 1])
            scores = self.op("Add", scores, self.op("Flatten", self.op("GlobalAveragePool", maps)))
        self.nodes[-1].output[0] = "scores"
        return self.model()

    def model(self):
        graph = helper.make_graph(
            self.nodes,
            "entry",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
            self.tensors,
        )
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.DOUBLE:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def read(model):
    return read_graph(admit(model.SerializeToString() if isinstance(model, onnx.ModelProto) else model))


def inventory(model):
    graph = read(model)
    refuse_hidden_work(graph)
    return take_inventory(graph)[1]


def paid(found):
    """Multiplications that every rule set charges."""
    charged = [m for m in found.operations if m.operation.macs or m.operation.kind == "product"]
    return sum(m.live_macs or m.operation.multiplications for m in charged)


def plain():
    writer = Writer()
    return writer.finish(writer.op("MatMul", writer.features(), writer.store(WEIGHT.T)))


# --- Matrix products in disguise --------------------------------------------------------------------------------------


def row(writer):
    return writer.op("Unsqueeze", writer.features(), writer.sizes(1))


def by_masks(writer):
    """Two's complement of 3 bits, one mask for each."""
    levels = np.round(WEIGHT / np.abs(WEIGHT).max() * 3).astype(int) & 7
    x, zero, total = row(writer), writer.number(0.0), None
    for bit in range(3):
        mask = writer.store(((levels >> bit) & 1).astype(bool)[None])
        part = writer.total(writer.op("Where", mask, x, zero), 2)
        total = part if total is None else writer.op("Sub" if bit == 2 else "Add", total, part)
        x = writer.op("Add", x, x)
    return total


def by_logarithms(writer):
    logarithms = writer.op("Log", writer.op("Add", row(writer), writer.number(50.0)))
    factors = writer.op("Add", logarithms, writer.store(np.log(WEIGHT + 1)[None]))
    return writer.total(writer.op("Exp", factors), 2)


def by_squares(writer):
    x, weight, two = row(writer), writer.store(WEIGHT[None]), writer.number(2.0)
    plus, minus = (writer.op("Pow", writer.op(op, x, weight), two) for op in ("Add", "Sub"))
    return writer.total(writer.op("Sub", plus, minus), 2)


def by_sums_of_squares(writer):
    x, weight, axis = row(writer), writer.store(WEIGHT[None]), writer.sizes(2)
    sums = [writer.op("ReduceSumSquare", writer.op(op, x, weight), axis, keepdims=0) for op in ("Add", "Sub")]
    return writer.op("Sub", *sums)


def by_products_of_pairs(writer):
    x = writer.op("Expand", writer.op("Unsqueeze", row(writer), writer.sizes(3)), writer.sizes(1, HIDDEN, FEATURES, 1))
    weight = writer.op("Add", writer.op("Sub", x, x), writer.store(WEIGHT[None, :, :, None]))
    pairs = writer.op("Concat", x, weight, axis=3)
    return writer.total(writer.op("ReduceProd", pairs, writer.sizes(3), keepdims=0), 2)


def copies(writer, *shape):
    tiled = writer.op("Tile", writer.features(), writer.sizes(1, HIDDEN))
    return writer.op("Reshape", tiled, writer.sizes(-1, *shape))


def sums_of_copies(writer, scaled):
    return writer.total(writer.op("Reshape", scaled, writer.sizes(-1, HIDDEN, FEATURES)), 2)


def by_quantization_scales(writer):
    numbers = writer.op("QuantizeLinear", copies(writer, PAIRS), writer.number(0.03), writer.number(0, np.int8))
    zeros = writer.number(np.zeros(PAIRS), np.int8)
    return sums_of_copies(writer, writer.op("DequantizeLinear", numbers, writer.store(WEIGHT.ravel()), zeros, axis=1))


def by_slopes(writer):
    negative = writer.op("Neg", writer.op("Add", copies(writer, HIDDEN, FEATURES), writer.number(50.0)))
    return writer.total(writer.op("PRelu", negative, writer.store(WEIGHT[None])), 2)


def normalized(writer, scale, variance):
    shift = writer.number(np.zeros(PAIRS))
    mean = writer.store(np.zeros(PAIRS, np.float32))
    return writer.op("BatchNormalization", copies(writer, PAIRS, 1), scale, shift, mean, variance, epsilon=0.0)


def by_running_variances(writer):
    """All scales are 1, a number in the graph."""
    ones = writer.number(np.ones(PAIRS))
    return sums_of_copies(writer, normalized(writer, ones, writer.store(1 / WEIGHT.ravel() ** 2)))


def by_chosen_maps(writer):
    """Signs, as the place of an element in (x, -x)."""
    x = writer.features()
    both = writer.op("Concat", x, writer.op("Neg", x), axis=1)
    places = np.arange(FEATURES) + FEATURES * (WEIGHT < 0)
    return writer.total(writer.op("Gather", both, writer.store(places), axis=1), 2)


TRICKS = [
    by_masks,
    by_logarithms,
    by_squares,
    by_sums_of_squares,
    by_products_of_pairs,
    by_quantization_scales,
    by_slopes,
    by_running_variances,
    by_chosen_maps,
]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_matrix_product_in_disguise_costs_no_less(trick):
    writer = Writer()
    found = inventory(writer.finish(trick(writer)))
    share = 0.4 if trick is by_masks else 1  # of the bits of these numbers so many are 1
    assert paid(found) - paid(inventory(plain())) >= (share - 1) * PAIRS
    widths = [m.input_bits for m in found.operations if m.operation.kind == "product"]
    assert max(widths) >= (8 if trick is by_quantization_scales else 32)


@pytest.mark.parametrize("trick", [by_masks, by_logarithms, by_slopes])
def test_a_network_without_layers_is_refused(trick):
    writer = Writer()
    with pytest.raises(EntryError, match="an entry computes mostly with the latter"):
        inventory(writer.finish(trick(writer), layers=False))


def test_layers_that_the_answer_does_not_depend_on_pay_for_nothing():
    def network(value):
        writer = Writer()
        kernel = writer.store(np.full((8, 3, 5, 5), value, np.float32))
        maps = writer.op("Conv", "images", kernel, pads=[2] * 4)
        waves = "images"
        for _ in range(20):
            waves = writer.op("Sigmoid", waves)
        both = writer.op("Concat", maps, waves, axis=1)
        means = writer.op("Flatten", writer.op("GlobalAveragePool", both))
        writer.op("MatMul", means, writer.store(np.ones((11, 10), np.float32) + np.eye(11, 10, dtype=np.float32)))
        writer.nodes[-1].output[0] = "scores"
        return writer.model()

    assert inventory(network(1.0))
    with pytest.raises(EntryError, match="that the answer depends on"):
        inventory(network(0.0))


def trained(model):
    """A network with numbers as after training."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                nn.init.normal_(module.bias, generator=generator)
    return model


def quantized(*, per_channel=True):
    layers = []
    for layer in trained(small_convnet((8, 16))):
        layers += [layer, ActivationQuantizer(2)] if isinstance(layer, nn.ReLU) else [layer]
    model = nn.Sequential(*layers)
    quantize_weights(model, 1, per_channel=per_channel)
    return model


def pruned():
    model = trained(small_convnet((8, 16)))
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)):
                layer.weight[1:] = 0
            if isinstance(layer, nn.BatchNorm2d):
                layer.bias[1:] = 0
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    def once(make):
        torch.manual_seed(0)
        return export(make(), tmp_path_factory.mktemp("entries") / "entry.onnx").read_bytes()

    return once


@pytest.mark.parametrize("make", [lambda: trained(small_convnet((8, 16))), quantized, pruned])
def test_networks_of_layers_are_charged_for_their_operators_alone(make, exported):
    graph = read(exported(make))
    refuse_hidden_work(graph)
    assert charge_graph(graph) == count_graph(graph)


@pytest.mark.parametrize(("rules", "expected"), [("course2025", 4.0), ("course2023", 3.3308), ("neurips2019", 1.2511)])
def test_the_reference_keeps_its_score(rules, expected):
    assert float(score(measure(reference_path()), rules, "patterns")) == pytest.approx(expected, abs=5e-5)


# --- Statistics -------------------------------------------------------------------------------------------------------


def stored_bits(found, rules="course2025"):
    result = score(found, rules, "patterns")
    return 32 * result.parameter_term * result.task.reference_params


@pytest.mark.parametrize("scale", ["a number", "stored ones"])
def test_statistics_cost_what_scales_would_that_do_the_same(scale):
    writer = Writer()
    ones = np.ones(PAIRS, np.float32)
    scales = writer.number(ones) if scale == "a number" else writer.store(ones)
    hidden = sums_of_copies(writer, normalized(writer, scales, writer.store(1 / WEIGHT.ravel() ** 2)))
    found = inventory(writer.finish(hidden))
    rest = inventory(plain())
    assert stored_bits(found) == pytest.approx(stored_bits(rest) - 16 * PAIRS)


def moved(model):
    """The same function, with every scale and bias of a normalization in its statistics."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            deviation = (module.running_var + module.eps).sqrt()
            with torch.no_grad():
                module.running_mean -= module.bias * deviation / module.weight
                module.running_var.copy_((deviation / module.weight) ** 2 - module.eps)
                module.weight.fill_(1)
                module.bias.fill_(0)
    return model


def test_scales_and_biases_that_moved_into_the_statistics_count(exported):
    whole = inventory(exported(lambda: trained(small_convnet((8, 16)))))
    found = inventory(exported(lambda: moved(trained(small_convnet((8, 16))))))
    elements = sum(tensor.live for tensor in whole.tensors if tensor.role == "normalization")
    assert stored_bits(found) == stored_bits(whole) - 16 * elements


def test_a_normalization_without_parameters_counts_its_statistics(exported):
    def network(affine):
        layers = [nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10, affine=affine), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        return lambda: trained(nn.Sequential(*layers, nn.Flatten()))

    without, ordinary = (inventory(exported(network(affine))) for affine in (False, True))
    assert {tensor.name for tensor in without.tensors} >= {"1.running_mean", "1.running_var"}
    assert stored_bits(ordinary) - stored_bits(without) == 20 * 16
    fresh = inventory(
        exported(lambda: nn.Sequential(*list(network(False)()[:1]), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    )
    assert all("running" not in tensor.name for tensor in fresh.tensors)


# --- Folding ----------------------------------------------------------------------------------------------------------


def folded(found):
    return sum(tensor.live for tensor in found.tensors if tensor.folded)


def test_scales_do_not_disappear_in_weights_that_have_no_room_for_them():
    writer = Writer()
    layer = writer.op("Conv", copies(writer, PAIRS, 1), writer.store(np.ones((PAIRS, 1, 1), np.float32)), group=PAIRS)
    zeros, ones = (writer.number(np.full(PAIRS, number)) for number in (0, 1))
    scaled = writer.op("BatchNormalization", layer, writer.store(WEIGHT.ravel()), zeros, zeros, ones, epsilon=0.0)
    found = inventory(writer.finish(sums_of_copies(writer, scaled)))
    assert folded(found) == 0
    assert stored_bits(found, "neurips2019") >= 16 * PAIRS


def test_scales_disappear_in_plain_weights_and_in_grids_of_channels(exported):
    for make in (lambda: trained(small_convnet((8, 16))), quantized):
        assert folded(inventory(exported(make))) == 8 + 8 + 16 + 16
    assert folded(inventory(exported(lambda: quantized(per_channel=False)))) == 0


def test_a_weight_that_is_shared_takes_no_scales_over(exported):
    class Twice(nn.Module):
        def __init__(self, *, shared):
            super().__init__()
            self.first, self.second = (nn.Conv2d(3, 10, 3, padding=1, bias=False) for _ in range(2))
            self.norms = nn.ModuleList(nn.BatchNorm2d(10) for _ in range(2))
            if shared:
                self.second.weight = self.first.weight
                quantize_weights(self.first, 4)

        def forward(self, images):
            maps = self.norms[0](self.first(images)) + self.norms[1](self.second(images.flip(2)))
            return maps.relu().mean((2, 3))

    assert folded(inventory(exported(lambda: trained(Twice(shared=False))))) == 20
    assert folded(inventory(exported(lambda: trained(Twice(shared=True))))) == 0


# --- Masks and tables -------------------------------------------------------------------------------------------------


def charged(role, *encodings, rules):
    dense = Encoding("dense", 32, 640, 0, 0, 32)
    tensor = StoredTensor("tensor", (640,), role, 640, 64, (dense, *encodings))
    narrow = StoredTensor("narrow", (8,), "weight", 8, 8, (Encoding("grid", 4, 8, 0, 0, 4),))
    return stored_bits(Inventory((tensor, narrow), ()), rules) - 8 * 4


@pytest.mark.parametrize("rules", RULES)
def test_a_tensor_that_chooses_pays_for_its_mask_and_a_weight_where_rules_say_so(rules):
    ones = Encoding("grid", 1, 64, 0, 640, 1), Encoding("grid", 1, 640, 0, 0, 1)
    assert charged("other", *ones, rules=rules) == pytest.approx(640)
    weight = charged("weight", *ones, rules=rules)
    assert weight == pytest.approx(640 if RULES[rules].mask_bits else 64)


def test_truth_values_pay_for_every_element_wherever_they_enter():
    def network(dtype):
        writer = Writer()
        weight = writer.store((WEIGHT.T > 0).astype(dtype))
        matrix = writer.op("Cast", weight, to=TensorProto.FLOAT) if dtype is bool else weight
        return inventory(writer.finish(writer.op("MatMul", writer.features(), matrix)))

    def storage(found):
        [tensor] = [tensor for tensor in found.tensors if tensor.shape == (FEATURES, HIDDEN)]
        return stored_bits(Inventory((tensor,), ()))

    assert storage(network(np.float32)) == pytest.approx((WEIGHT > 0).sum() + 16)  # and a table of one number
    assert storage(network(bool)) >= PAIRS


@pytest.mark.parametrize(("entries", "bits"), [(8, 3), (10, 4), (11, 32), (64, 32)])
def test_a_free_table_is_short_beside_its_tensor(entries, bits):
    index = max((entries - 1).bit_length(), 1)
    table = Encoding("codebook", index, 80, 32 * entries, 0, 32)
    tensor = StoredTensor("table", (80,), "weight", 80, 80, (Encoding("dense", 32, 80, 0, 0, 32), table))
    assert stored_bits(Inventory((tensor,), ()), "course2023") == pytest.approx(80 * bits)
    assert stored_bits(Inventory((tensor,), ()), "course2025") == pytest.approx(min(80 * index + 32 * entries, 80 * 32))


# --- Numbers in the graph ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["Add", "Sub", "Clip", "Where", "Concat", "Pad", "LRN"])
def test_few_different_numbers_enter_the_arithmetic_for_free(op):
    def network(count):
        writer = Writer()
        hidden = writer.op("MatMul", writer.features(), writer.store(WEIGHT.T))
        for value in (np.arange(count) + 1.0) / 1000:
            if op == "LRN":
                maps = writer.op("Unsqueeze", hidden, writer.sizes(2))
                hidden = writer.op("Squeeze", writer.op(op, maps, size=1, bias=float(value)), writer.sizes(2))
                continue
            number = writer.number(value if op != "Concat" else [[value]])
            if op == "Where":
                condition = writer.op("Less", hidden, writer.number(0.0))
                hidden = writer.op(op, condition, hidden, number)
            elif op == "Concat":
                hidden = writer.op("Slice", writer.op(op, number, hidden, axis=1), *map(writer.sizes, (0, HIDDEN, 1)))
            elif op == "Pad":
                hidden = writer.op(op, hidden, writer.sizes(0, 1, 0, -1), number)
            else:
                hidden = writer.op(op, hidden, number)
        return read(writer.finish(hidden))

    refuse_hidden_work(network(200))
    with pytest.raises(EntryError, match=r"numbers written in the graph|different numbers are written in the graph"):
        refuse_hidden_work(network(300))


def test_one_number_may_be_written_many_times():
    writer = Writer()
    hidden = writer.op("MatMul", writer.features(), writer.store(WEIGHT.T))
    for _ in range(300):
        hidden = writer.op("Add", hidden, writer.number(0.5))
    refuse_hidden_work(read(writer.finish(hidden)))


# --- Labels -----------------------------------------------------------------------------------------------------------


def test_a_gate_that_reads_a_stored_mask_is_a_product():
    def kinds(masked):
        writer = Writer()
        hidden = writer.op("MatMul", writer.features(), writer.store(WEIGHT.T))
        gate = writer.op("Sigmoid", hidden)
        if masked:
            mask = np.arange(HIDDEN) % 3 > 0
            gate = writer.op("Where", writer.store(mask[None]), gate, writer.number(0.25))
        found = inventory(writer.finish(writer.op("Mul", hidden, gate, function="silu")))
        return {m.operation.kind for m in found.operations}

    assert "product" in kinds(masked=True)
    assert "product" not in kinds(masked=False)
