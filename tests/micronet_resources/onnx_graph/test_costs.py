"""ONNX operators cost what the functions of torch cost that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.quantization import ActivationQuantizer
from micronet_resources.counting import operator_costs as torch_costs
from micronet_resources.onnx_graph.costs import ELEMENT_COSTS, REDUCTIONS, TORCH_NAMES
from micronet_resources.onnx_graph.counting import count_graph, find_folded
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.profile import profile_model

ONES = np.ones(8, np.float32)


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return self.function(x, self.scale)


def in_torch(function, shape=(3, 8, 8)):
    """Multiplications and additions of all operations."""
    operations = [o for layer in profile_model(Calls(function), shape).layers for o in layer.operations]
    return sum(o.multiplications for o in operations), sum(o.additions for o in operations)


def in_onnx(model):
    operations = [o for _, found in count_graph(read_graph(model)) for o in found]
    return sum(o.multiplications for o in operations), sum(o.additions for o in operations)


def test_every_shared_operator_has_the_cost_that_torch_has():
    costs = {**torch_costs.ACTIVATIONS, **torch_costs.ELEMENTWISE}
    shared = {op: name for op, name in TORCH_NAMES.items() if name in costs}
    assert len(shared) > 40
    assert {op: ELEMENT_COSTS[op][1:] for op in shared} == {op: costs[name] for op, name in shared.items()}
    reduced = [op for op in TORCH_NAMES if op.startswith("Reduce")]
    assert {op: REDUCTIONS[op] for op in reduced} == {op: torch_costs.REDUCTIONS[TORCH_NAMES[op]] for op in reduced}


SAME = {
    "root mean square with a scale": (("RMSNormalization", "x s", "y"), lambda x, s: F.rms_norm(x, (8,), s)),
    "root mean square without": (("RMSNormalization", "x ones", "y"), lambda x, s: F.rms_norm(x, (8,))),
    "neighboring channels": (("LRN", "x", "y", {"size": 3}), lambda x, s: F.local_response_norm(x, 3)),
    "length": (("ReduceL2", "x last", "y"), lambda x, s: torch.linalg.vector_norm(x, dim=-1)),
    "sum of sizes": (("ReduceL1", "x last", "y"), lambda x, s: torch.linalg.vector_norm(x, 1, dim=-1)),
    "sum of squares": (("ReduceSumSquare", "x last", "y"), lambda x, s: x.square().sum(-1)),
    "product": (("ReduceProd", "x last", "y"), lambda x, s: x.prod(-1)),
    "attention": (("Attention", "x x x", "y"), lambda x, s: F.scaled_dot_product_attention(x, x, x)),
    "attention with a mask": (
        ("Attention", "x x x m", "y"),
        lambda x, s: F.scaled_dot_product_attention(x, x, x, attn_mask=s.expand(8, 8) * 1),
    ),
    "attention to the past": (
        ("Attention", "x x x", "y", {"is_causal": 1}),
        lambda x, s: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    ),
    "maximum of two": (("Max", "x half", "y"), lambda x, s: torch.maximum(x, torch.tensor(0.5))),
}


@pytest.mark.parametrize("name", SAME)
def test_one_operator_costs_what_the_function_costs(build, name):
    node, function = SAME[name]
    constants = {"last": np.array([-1]), "ones": ONES, "half": np.array(0.5, np.float32)}
    model = build([node], {"s": 2 * ONES, "m": np.eye(8, dtype=np.float32)}, constants, opset=23)
    assert in_onnx(model) == in_torch(function)


def test_normalization_to_length_one_is_a_norm_and_a_quotient(build):
    model = build([("LpNormalization", "x", "y", {"axis": 1})])
    norm, quotients = in_torch(lambda x, s: torch.linalg.vector_norm(x, dim=1)), 3 * 64
    assert in_onnx(model) == (norm[0] + quotients, norm[1])


def test_attention_with_options_that_are_not_counted_is_refused(build):
    assert in_onnx(build([("Attention", "x x x", "y", {"scale": 0.5})], opset=23))
    with pytest.raises(EntryError, match="Attention is counted with"):
        in_onnx(build([("Attention", "x x x", "y", {"softcap": 0.5})], opset=23))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantizer_has_the_additions_of_its_layer(exported, bits):
    model = nn.Sequential(ActivationQuantizer(bits), nn.Flatten(), nn.Linear(192, 2))
    profile = profile_model(model, (3, 8, 8))
    (_, additions) = in_onnx(exported(model, (3, 8, 8)))
    assert additions == sum(o.additions for layer in profile.layers for o in layer.operations)


def test_a_zero_point_that_is_not_zero_is_taken_off(build):
    def additions(zero):
        nodes = [("QuantizeLinear", "x scale zero", "q"), ("DequantizeLinear", "q scale zero", "y")]
        return in_onnx(build(nodes, {}, {"scale": np.float32(0.5), "zero": np.uint8(zero)}))[1]

    assert (additions(0), additions(3)) == (192, 2 * 192)


STATISTICS = {"mean": ONES, "var": ONES, "scale": 2 * ONES, "bias": ONES}


@pytest.mark.parametrize(("shape", "folded"), [(("batch", 8), True), (("batch", 8, 8), False)], ids=["rows", "words"])
def test_a_normalization_of_positions_is_not_folded_into_a_linear_map(build, shape, folded):
    nodes = [("MatMul", "x w", "h"), ("BatchNormalization", "h scale bias mean var", "y")]
    graph = read_graph(build(nodes, {"w": np.eye(8, dtype=np.float32), **STATISTICS}, shape=shape))
    assert find_folded(graph) == ({1: 0} if folded else {})


def test_a_weight_that_two_layers_share_takes_no_normalization_over(build):
    def found(second):
        nodes = [
            ("Gemm", "x w", "a"),
            ("BatchNormalization", "a scale bias mean var", "b"),
            ("Gemm", f"b {second}", "c"),
            ("BatchNormalization", "c bias bias mean var", "y"),
        ]
        tensors = {"w": np.eye(8, dtype=np.float32), "v": np.eye(8, dtype=np.float32), **STATISTICS}
        return find_folded(read_graph(build(nodes, tensors, shape=("batch", 8))))

    assert (found("v"), found("w")) == ({1: 0, 3: 2}, {})


def test_a_gate_that_reads_a_stored_mask_is_a_product(build):
    def kinds(inside):
        gate = [("Sigmoid", "x", "s"), inside, ("Mul", "x g", "y")]
        model = build(gate, {"m": np.arange(8) > 3}, {"half": np.array(0.5, np.float32)})
        for node in model.graph.node:
            scope = node.metadata_props.add()
            scope.key, scope.value = "pkg.torch.onnx.name_scopes", "['', 'silu']"
        return [o.kind for node, found in count_graph(read_graph(model)) for o in found if node.op == "Mul"]

    assert kinds(("Mul", "s half", "g"))[-1] == "activation"
    assert kinds(("Where", "m s x", "g"))[-1] == "product"


@pytest.mark.parametrize("op", ["Div", "Mod", "QuantizeLinear"])
def test_divisors_with_zeros_are_refused(build, op):
    def read(last):
        node = (op, "x d", "y", {"axis": -1} if op == "QuantizeLinear" else {"fmod": 1} if op == "Mod" else {})
        nodes = [node] if op != "QuantizeLinear" else [(op, "x d", "q", node[3]), ("Cast", "q", "y", {"to": 1})]
        return read_graph(build(nodes, {"d": np.array([1, 2, 3, 4, 5, 6, 7, last], np.float32)}))

    read(8)
    for zero in (0.0, -0.0):
        with pytest.raises(EntryError, match="divides by a constant of which 1 of 8 elements are zero"):
            read(zero)


def test_looking_up_what_is_not_there_is_refused(build):
    def read(index):
        return read_graph(build([("Gather", "x at", "y", {"axis": 1})], {}, {"at": np.array([0, index])}))

    assert read(2).types["y"].shape == read(-3).types["y"].shape
    for index in (3, -4):
        with pytest.raises(EntryError, match="looks up elements .* of 3: count from 0 to 2"):
            read(index)
