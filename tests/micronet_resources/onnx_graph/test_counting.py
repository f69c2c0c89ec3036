"""The costs of a graph are those of the network that it was exported from, and nothing is smuggled past them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
import torch.nn.utils.prune as prune
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F

from factorkit.models import resnet18_cifar, small_convnet
from factorkit.torchvision_import import import_torchvision
from micronet_resources.onnx_graph.admission import admit
from micronet_resources.onnx_graph.counting import count_graph, find_folded, stored_roots
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.graph import Graph, read_graph
from micronet_resources.onnx_graph.hidden import refuse_hidden_work
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.profile import profile_model


def read(model: onnx.ModelProto) -> Graph:
    return read_graph(admit(model.SerializeToString()))


def macs(graph: Graph, limits: Limits | None = None) -> int:
    return sum(operation.macs for _, operations in count_graph(graph, limits) for operation in operations)


def params(graph: Graph) -> int:
    return sum(root.value.size for root in stored_roots(graph))


def tally(operations) -> dict[str, tuple[int, int]]:
    """Multiplications and additions by kind."""
    found: dict[str, tuple[int, int]] = {}
    for operation in operations:
        multiplications, additions = found.get(operation.kind, (0, 0))
        found[operation.kind] = (multiplications + operation.multiplications, additions + operation.additions)
    return found


def kinds(graph: Graph) -> dict[str, tuple[int, int]]:
    return tally(operation for _, operations in count_graph(graph) for operation in operations)


# Agreement with torch


@pytest.mark.parametrize("make", [small_convnet, resnet18_cifar])
def test_networks_of_the_kit_cost_what_their_profile_says(exported, make):
    model = make()
    profile, graph = profile_model(model, (3, 32, 32)), read(exported(model))
    assert (macs(graph), params(graph)) == (profile.macs, profile.params)
    assert kinds(graph) == tally(operation for layer in profile.layers for operation in layer.operations)
    assert {root.name for root in stored_roots(graph)} == {name for name, _ in model.named_parameters()}


# Parameters read in the forward pass (Inception v3 stores an auxiliary head besides) and multiply-accumulates.
NETWORKS = {
    "resnet18": (224, 11_689_512, 1_814_073_344),
    "vgg16": (224, 138_357_544, 15_470_264_320),
    "mobilenet_v2": (224, 3_504_872, 300_774_272),
    "squeezenet1_0": (224, 1_248_424, 818_924_576),
    "alexnet": (224, 61_100_840, 714_188_480),
    "resnext50_32x4d": (224, 25_028_904, 4_230_479_872),
    "inception_v3": (299, 23_834_568, 5_713_216_096),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_cost_what_their_profile_says(exported, name):
    size, stored, multiplied = NETWORKS[name]
    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        model = import_torchvision().models.get_model(name, weights=None, **options)
    model = model.to_empty(device="cpu")
    for tensor in [*model.parameters(), *model.buffers()]:
        nn.init.zeros_(tensor)
    limits = Limits.generous()
    graph = read_graph(exported(model, (3, size, size)), limits)
    assert (macs(graph, limits), params(graph)) == (multiplied, stored)
    refuse_hidden_work(graph, limits)
    profile = profile_model(model, (3, size, size))
    assert (profile.macs, profile.params_used) == (multiplied, stored)
    assert profile.products == 0 == kinds_of(graph, limits).get("product", (0, 0))[0]


def kinds_of(graph: Graph, limits: Limits) -> dict[str, tuple[int, int]]:
    return tally(operation for _, operations in count_graph(graph, limits) for operation in operations)


class Calls(nn.Module):
    """A function with two parameters to use."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.matrix = nn.Parameter(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)))
        self.vector = nn.Parameter(torch.randn(32, generator=torch.Generator().manual_seed(1)))

    def forward(self, x):
        return self.function(x, self.matrix, self.vector)


SAME = {
    "matrix product": lambda x, m, v: x @ m,
    "linear map of a sequence": lambda x, m, v: F.linear(x, m.T.contiguous(), m[0]),
    "einsum": lambda x, m, v: torch.einsum("bchw,wk->bchk", x, m),
    "attention": lambda x, m, v: F.scaled_dot_product_attention(x, x, x),
    "squeeze and excitation": lambda x, m, v: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "silu": lambda x, m, v: F.silu(x),
    "gate by itself": lambda x, m, v: x * torch.sigmoid(x),
    "glu": lambda x, m, v: F.glu(x, 3),
    "scale by a parameter": lambda x, m, v: x * v,
    "scale by a number": lambda x, m, v: x * 0.5,
    "position embedding": lambda x, m, v: x + v,
    "residual": lambda x, m, v: F.relu(x) + x,
    "group normalization": lambda x, m, v: F.group_norm(x, 3),
    "layer normalization": lambda x, m, v: F.layer_norm(x, (32,), v, v),
    "activations": lambda x, m, v: F.hardswish(F.gelu(F.mish(F.relu6(F.leaky_relu(x))))),
    "pooling": lambda x, m, v: F.max_pool2d(F.avg_pool2d(x, 3, 2, 1), 2),
    "adaptive pooling": lambda x, m, v: F.adaptive_avg_pool2d(x, (4, 4)).amax((2, 3)),
    "interpolation": lambda x, m, v: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "transposed convolution": lambda x, m, v: F.conv_transpose2d(x, m.reshape(4, 16, 2, 2)[:3], stride=2),
    "patches": lambda x, m, v: F.unfold(x, 3),
    "shuffle of channels": lambda x, m, v: F.pixel_unshuffle(x, 2).reshape(-1, 3, 4, 16, 16).transpose(1, 2),
    "shift": lambda x, m, v: torch.roll(x, 1, 2) - x,
    "normalization to length 1": lambda x, m, v: F.normalize(x, dim=1),
    "softmax": lambda x, m, v: F.softmax(x.mean((2, 3)), 1),
}


@pytest.mark.parametrize("name", SAME)
def test_functions_cost_what_their_profile_says(exported, name):
    model = Calls(SAME[name])
    profile, graph = profile_model(model, (3, 32, 32)), read(exported(model))
    assert kinds(graph) == tally(operation for layer in profile.layers for operation in layer.operations)


@pytest.mark.parametrize("name", ["root mean square", "variance", "cubes of clamped numbers", "hand-written attention"])
def test_decomposed_functions_agree_in_macs_and_products(exported, name):
    function = {
        "root mean square": lambda x, m, v: F.rms_norm(x, (32,), v),
        "variance": lambda x, m, v: x.var((2, 3)),
        "cubes of clamped numbers": lambda x, m, v: x.clamp(0, 1) ** 3,
        "hand-written attention": lambda x, m, v: torch.softmax(x @ x.transpose(2, 3) / 5, -1) @ x,
    }[name]
    model = Calls(function)
    profile, graph = profile_model(model, (3, 32, 32)), read(exported(model))
    assert (macs(graph), kinds(graph).get("product", (0, 0))[0]) == (profile.macs, profile.products)
    assert params(graph) == profile.params_used


def test_the_label_of_a_function_alone_makes_nothing_cheaper(build):
    relabeled = helper.make_node("Mul", ["a", "gate"], ["y"])
    relabeled.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'silu']")
    gate = [("Relu", "x", "a"), ("Neg", "x", "b"), ("Sigmoid", "b", "gate"), relabeled]
    graph = read(build(gate))
    assert graph.nodes[-1].function == "silu"
    assert kinds(graph)["product"] == (192, 0)


def test_a_bias_that_the_exporter_wrote_as_zeros_costs_nothing(exported):
    without, with_bias = (kinds(read(exported(nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias))))) for bias in (False, True))
    assert "bias" not in without
    assert with_bias["bias"] == (0, 4 * 30 * 30)


def test_transposed_and_grouped_convolutions(build):
    weight = {"w": np.ones((3, 2, 4, 4), np.float32)}
    assert macs(read(build([("ConvTranspose", "x w", "y", {"strides": [2, 2]})], weight))) == 3 * 8 * 8 * 2 * 16
    weight = {"w": np.ones((6, 1, 3, 3), np.float32)}
    assert macs(read(build([("Conv", "x w", "y", {"group": 3})], weight))) == 6 * 6 * 6 * 9


@pytest.mark.parametrize(
    ("equation", "shape", "expected"),
    [
        ("bchw,wk->bchk", (8, 5), 3 * 8 * 8 * 5),
        ("bchw,ck->bkhw", (3, 7), 3 * 7 * 64),
        ("bchw,chw->b", (3, 8, 8), 192),
        ("bchw,kl->bckl", (2, 2), 12),
    ],
)
def test_einsum_is_counted_by_its_indices(build, equation, shape, expected):
    tensors = {"w": np.ones(shape, np.float32)}
    assert macs(read(build([("Einsum", "x w", "y", {"equation": equation})], tensors))) == expected
    found = torch.einsum(equation, torch.ones(1, 3, 8, 8), torch.ones(shape))
    assert read(build([("Einsum", "x w", "y", {"equation": equation})], tensors)).types["y"].shape == tuple(found.shape)


@pytest.mark.parametrize("equation", ["abcd,abcd,abcd->ab", "abcd,abcd", "...d,...d->..."])
def test_einsum_that_leaves_its_work_open_is_refused(build, equation):
    inputs = " ".join("x" * len(equation.split("->")[0].split(",")))
    graph = read(build([("Einsum", inputs, "y", {"equation": equation})]))
    with pytest.raises(EntryError, match="einsum"):
        count_graph(graph)


def test_attention_as_one_operator(build):
    graph = read(build([("Attention", "x x x", "y")], opset=23))
    assert macs(graph) == 3 * 8 * 8 * 16
    assert kinds(graph)["activation"] == (2 * 192, 192)


# What is stored


def test_tied_weights_are_stored_once_and_used_twice(exported):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 3, padding=1)
            self.second = nn.Conv2d(3, 3, 3, padding=1)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x))

    weight, *biases = stored_roots(read(exported(Tied())))
    assert (weight.role, len(weight.uses), len(biases)) == ("weight", 2, 2)


def test_equal_weights_that_are_not_tied_are_two_tensors(build):
    twins = {"v": np.ones((3, 3, 1, 1), np.float32), "w": np.ones((3, 3, 1, 1), np.float32)}
    assert params(read(build([("Conv", "x v", "m"), ("Conv", "m w", "y")], twins))) == 18


def test_a_pruned_weight_is_stored_under_the_name_of_its_layer(exported):
    layer = nn.Conv2d(3, 4, 3)
    prune.l1_unstructured(layer, "weight", amount=54)
    weight, bias = stored_roots(read(exported(nn.Sequential(layer))))
    assert (weight.name, weight.role, bias.name) == ("0.weight", "weight", "0.bias")
    assert np.count_nonzero(weight.value == 0) == 54


def test_roles_and_order(exported):
    roots = stored_roots(read(exported(small_convnet((4,)))))
    assert Counter(root.role for root in roots) == {"weight": 3, "normalization": 4, "bias": 1}
    assert repr(roots[0]) == "StoredRoot('0.weight', (4, 3, 3, 3), weight, 1 uses)"


def test_quantized_weights_are_stored_with_the_numbers_that_are_used(build):
    integers = np.arange(-6, 6, dtype=np.int8).reshape(4, 3, 1, 1)
    graph = read(
        build([("DequantizeLinear", "w s", "d"), ("Conv", "x d", "y")], {"w": integers}, {"s": np.float32(0.5)})
    )
    (weight,) = stored_roots(graph)
    assert (weight.name, weight.value.dtype) == ("w", np.float32)
    assert np.array_equal(weight.value, integers * np.float32(0.5))


def test_batch_normalization_directly_behind_a_layer_is_foldable(exported):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.taken = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
            self.shared, self.left = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
            self.linear, self.behind_bias = nn.Linear(4, 4), nn.BatchNorm1d(16)

        def forward(self, x):
            x = self.shared(F.relu(self.taken(self.conv(x))))
            x = self.left(x) + x
            return self.behind_bias(self.linear(x.flatten(2)[:, :, :16].transpose(1, 2)))

    graph = read(exported(Branches(), (3, 8, 8)))
    folded = {graph.nodes[norm].name: graph.nodes[layer].name for norm, layer in find_folded(graph).items()}
    assert folded["taken"] == "conv"
    assert "left" not in folded


# Weights that would like to be free, each beside a number or shape that is


W = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
SIGNS = np.sign(W)


def _literals(**values):
    return {name: np.asarray(value) for name, value in values.items()}


# Name: (nodes that make an 8 x 8 matrix m, tensors, constants, elements that are stored)
SMUGGLED = {
    "an initializer": ([("Identity", "w", "m")], {"w": W}, {}, 64),
    "an initializer of equal elements": ([("Identity", "w", "m")], {"w": np.ones((8, 8), np.float32)}, {}, 64),
    "a Constant node": ([("Identity", "c", "m")], {}, {"c": W}, 64),
    "an int8 constant that is dequantized": (
        [("DequantizeLinear", "q s", "m")], {}, {"q": (40 * W).astype(np.int8), "s": np.float32(0.025)}, 64,
    ),
    "equal integers with a scale for each channel, in bulk": (
        [("DequantizeLinear", "q s", "d", {"axis": 0}), ("Reshape", "d shape", "m")],
        {"s": W.ravel()}, _literals(q=np.ones((64, 1), np.int8), shape=[8, 8]), 64,
    ),
    "one integer tensor with two sets of scales": (
        [
            ("DequantizeLinear", "q s", "a", {"axis": 0}), ("DequantizeLinear", "q t", "b", {"axis": 0}),
            ("Reshape", "a shape", "m"), ("Reshape", "b shape", "n"), ("MatMul", "x n", "z"),
        ],
        {"q": np.arange(64, dtype=np.int8).reshape(64, 1), "s": W.ravel(), "t": W.T.ravel().copy()},
        _literals(shape=[8, 8]), 128,
    ),
    "whole numbers that are cast": ([("Cast", "c", "m", {"to": 1})], {}, {"c": (9 * W).astype(np.int32)}, 64),
    "truth values that are cast": ([("Cast", "c", "m", {"to": 1})], {}, {"c": W > 0}, 64),
    "an integer matrix product": (
        [("MatMul", "a b", "p"), ("Cast", "p", "m", {"to": 1})],
        {}, _literals(a=(9 * W).astype(np.int32), b=np.eye(8, dtype=np.int32)), 64,
    ),
    "a mask that chooses between two numbers": (
        [("Where", "c one minus", "m")], {}, _literals(c=W > 0, one=np.float32(1), minus=np.float32(-1)), 64,
    ),
    "rows taken out of a table": (
        [("Gather", "table i", "g"), ("Reshape", "g shape", "m")],
        {}, _literals(table=W.ravel(), i=np.arange(63, -1, -1), shape=[8, 8]), 64,
    ),
    "single numbers put together": (
        [("Concat", " ".join(f"n{i}" for i in range(64)), "v", {"axis": 0}), ("Reshape", "v shape", "m")],
        {}, {**{f"n{i}": W.ravel()[i : i + 1] for i in range(64)}, "shape": np.array([8, 8])}, 64,
    ),
    "a range": (
        [("Range", "zero n one", "r"), ("Reshape", "r shape", "m")],
        {}, _literals(zero=np.float32(0), n=np.float32(64), one=np.float32(1), shape=[8, 8]), 64,
    ),
    "arithmetic on a range": (
        [("Range", "zero n one", "r"), ("Reshape", "r shape", "s"), ("Sin", "s", "m")],
        {}, _literals(zero=np.float32(0), n=np.float32(64), one=np.float32(1), shape=[8, 8]), 64,
    ),
    "an expanded row": ([("Expand", "row shape", "m")], {}, _literals(row=W[0], shape=[8, 8]), 64),
    "padding and cutting": (
        [("Pad", "c widths", "p"), ("Slice", "p start end", "m")],
        {}, _literals(c=W, widths=[1, 1, 1, 1], start=[0, 0], end=[8, 8]), 64,
    ),
    "the square root of a square": ([("Mul", "c c", "s"), ("Sqrt", "s", "m")], {}, {"c": W}, 64),
    "half precision": ([("Cast", "c", "m", {"to": 1})], {}, {"c": W.astype(np.float16)}, 64),
    "parts of a split": (
        [("Split", "c", "a b", {"axis": 0, "num_outputs": 2}), ("Concat", "b a", "m", {"axis": 0})], {}, {"c": W}, 64,
    ),
    "zeros of two signs": ([("Identity", "c", "m")], {}, {"c": np.copysign(np.float32(0), W)}, 64),
}  # fmt: skip


@pytest.mark.parametrize("way", SMUGGLED)
def test_no_weight_is_free(build, way):
    nodes, tensors, constants, expected = SMUGGLED[way]
    ends = [("MatMul", "x m", "y")]
    if any(node[2] == "z" for node in nodes):
        ends = [("MatMul", "x m", "o"), ("Add", "o z", "y")]
    assert params(read(build([*nodes, *ends], tensors, constants))) == expected


FREE = {
    "a number": (
        [("Expand", "c e", "m")], {"c": np.full((1, 1), 3, np.float32), "e": np.array([8, 8])},
    ),
    "a matrix of equal numbers": ([("Identity", "c", "m")], {"c": np.full((8, 8), 0.125, np.float32)}),
    "a number that is dequantized": (
        [("DequantizeLinear", "q s", "d"), ("Expand", "d shape", "m")],
        _literals(q=np.int8(3), s=np.float32(0.5), shape=[8, 8]),
    ),
    "zeros of a shape that is computed": (
        [("Shape", "x", "s", {"start": 2}), ("ConstantOfShape", "s", "z"), ("Cast", "z", "m", {"to": 1})], {},
    ),
    "the square root of a size": (
        [("Shape", "x", "s", {"start": 3}), ("Cast", "s", "f", {"to": 1}), ("Sqrt", "f", "r"), ("Expand", "r e", "m")],
        _literals(e=[8, 8]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FREE)
def test_numbers_in_the_graph_are_free(build, what):
    nodes, constants = FREE[what]
    entry = build([*nodes, ("MatMul", "x m", "y")], None, constants, output_shape=("batch", 3, 8, 8))
    assert params(read(entry)) == 0


def test_a_permutation_counts_and_a_slice_does_not(build):
    def taken(indices):
        return params(read(build([("Gather", "x i", "y", {"axis": 3})], None, {"i": np.array(indices)})))

    assert taken([3, 0, 7, 1, 5, 2, 6, 4]) == 8
    assert taken([7, 6, 5, 4, 3, 2, 1, 0]) == taken([1, 3, 5]) == taken(2) == 0
    assert taken([[0, 1, 2], [1, 2, 3]]) == 0
    assert taken([[0, 1, 2], [1, 2, 4]]) == 6


def test_a_mask_on_the_image_counts(build):
    mask = np.random.default_rng(0).random((3, 8, 8)) > 0.5
    graph = read(build([("Where", "c x zero", "y")], None, {"c": mask, "zero": np.float32(0)}))
    assert params(graph) == 192


@pytest.mark.parametrize("op", ["Add", "Mul", "Max", "PRelu", "Pow", "Equal"])
def test_a_tensor_counts_in_whatever_operator_it_enters(build, op):
    ends = [("Cast", "t", "y", {"to": 1})] if op == "Equal" else [("Identity", "t", "y")]
    assert params(read(build([(op, "x c", "t"), *ends], None, {"c": np.arange(8, dtype=np.float32)}))) == 8


def test_statistics_are_free_and_count_where_they_do_something_else(build):
    tensors = {name: np.arange(1, 4, dtype=np.float32) for name in "sbmv"}
    normalized = [("BatchNormalization", "x s b m v", "n")]
    assert params(read(build([*normalized, ("Relu", "n", "y")], tensors))) == 6
    shape = {"shape": np.array([3, 1, 1])}
    for source in "mv":
        again = [*normalized, ("Reshape", f"{source} shape", "r"), ("Mul", "n r", "y")]
        assert params(read(build(again, tensors, shape))) == 9


def test_a_scale_that_is_tied_to_the_statistics_is_stored_once(build):
    tensors = {"s": np.arange(1, 4, dtype=np.float32)}
    assert params(read(build([("BatchNormalization", "x s s s s", "y")], tensors))) == 3


def test_shape_slots_take_shapes_only(build):
    sizes = {"c": np.array([1, 2, 3, 2], np.int64)}
    assert params(read(build([("Tile", "x c", "y")], None, sizes))) == 0
    entered = build(
        [("Tile", "x c", "t"), ("Cast", "c", "f", {"to": 1}), ("MatMul", "f v", "g"), ("Add", "t g", "y")],
        {"v": np.ones((4, 8), np.float32)},
        {"c": np.array([1, 1, 2, 1])},
    )
    assert params(read(entered)) == 8


def test_a_slice_of_a_parameter_stores_what_was_cut(build):
    cut = {"start": np.array([0]), "end": np.array([8])}
    table = {"w": np.arange(800, dtype=np.float32).reshape(100, 8)}
    assert params(read(build([("Slice", "w start end", "m"), ("MatMul", "x m", "y")], table, cut))) == 64


# Work that would like to be free


def test_an_honest_network_hides_nothing(exported):
    refuse_hidden_work(read(exported(small_convnet())))


def test_convolutions_taken_apart_into_numbers_are_refused(build):
    def scaled(times):
        nodes = [("Mul", f"t{i} n{i}", f"t{i + 1}") for i in range(times)]
        numbers = {f"n{i}": np.float32(1 + i / 1000) for i in range(times)}
        weight = {"w": np.ones((3, 3, 9, 9), np.float32), "v": np.ones((3, 3, 9, 9), np.float32)}
        convolved = [("Conv", "x w", "m", {"pads": [4] * 4}), ("Conv", "m v", "t0", {"pads": [4] * 4})]
        return read(build([*convolved, *nodes], weight, numbers, output=f"t{times}"))

    refuse_hidden_work(scaled(200))
    with pytest.raises(EntryError, match="numbers that were trained|Numbers that were trained"):
        refuse_hidden_work(scaled(257))


def test_networks_that_multiply_outside_of_layers_only_are_refused(build):
    graph = read(build([("Gelu", "x", "g"), ("GlobalAveragePool", "g", "y")]))
    with pytest.raises(EntryError, match="computes mostly with the latter"):
        refuse_hidden_work(graph)


def test_an_int4_weight_is_read(build):
    numbers = np.arange(-8, 8).reshape(8, 2)
    model = build([("DequantizeLinear", "q s", "d"), ("MatMul", "x d", "y")], None, {"s": np.float32(0.5)})
    model.graph.initializer.append(helper.make_tensor("q", TensorProto.INT4, numbers.shape, numbers.ravel()))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 3, 8, 2)))
    (weight,) = stored_roots(read(model))
    assert np.array_equal(weight.value, numbers * np.float32(0.5))
    assert math.prod(weight.value.shape) == 16
