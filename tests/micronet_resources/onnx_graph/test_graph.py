"""Graphs are read exactly, and what would take endless time or memory is refused beside what would not."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from factorkit.models import resnet18_cifar, small_convnet
from micronet_resources.onnx_graph.admission import admit
from micronet_resources.onnx_graph.constants import Constant, ConstantTable, is_uniform, to_root_layout
from micronet_resources.onnx_graph.counting import count_graph
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.folding import fold
from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.onnx_graph.limits import Limits


def read(model: onnx.ModelProto, limits: Limits | None = None):
    """Read a file as an entry is read."""
    graph = read_graph(admit(model.SerializeToString(), limits=limits), limits)
    count_graph(graph, limits)
    return graph


def refusal(model: onnx.ModelProto, limits: Limits | None = None) -> str:
    """Why a file is refused, which takes no time to speak of."""
    start = time.process_time()
    with pytest.raises(EntryError) as refused:
        read(model, limits)
    assert time.process_time() - start < 5
    return str(refused.value)


# What is read


def test_the_graph_of_a_network_holds_what_depends_on_the_image(exported):
    graph = read(exported(small_convnet()))
    assert [node.op for node in graph.nodes[:4]] == ["Conv", "BatchNormalization", "Relu", "Conv"]
    assert graph.types[graph.input].shape == (1, 3, 32, 32)
    assert graph.types[graph.output].shape == (1, 10)
    assert all(shape.shape[0] == 1 for name, shape in graph.types.items() if name not in graph.constants)
    assert repr(graph) == "Graph(23 operators, (1, 3, 32, 32) -> (1, 10), operator set 21)"


def test_nodes_carry_the_paths_of_their_modules(exported):
    graph = read(exported(resnet18_cifar()))
    names = {node.name for node in graph.nodes if node.op == "Conv"}
    assert names == {name for name, layer in resnet18_cifar().named_modules() if isinstance(layer, nn.Conv2d)}


def test_functions_are_named_where_there_is_no_module(exported):
    class Functional(nn.Module):
        def forward(self, x):
            return nn.functional.silu(x) + nn.functional.silu(-x)

    functions = sorted((node.function, node.op) for node in read(exported(Functional())).nodes)
    assert functions == [("add", "Add"), ("neg", "Neg"), *[("silu", "Mul")] * 2, *[("silu", "Sigmoid")] * 2]


def test_views_share_the_root_of_what_is_stored(build):
    graph = read(
        build(
            [("Transpose", "w", "t", {"perm": [1, 0]}), ("Unsqueeze", "t axis", "u"), ("MatMul", "x u", "y")],
            {"w": np.arange(40, dtype=np.float32).reshape(5, 8)},
            {"axis": np.array([0], np.int64)},
        )
    )
    seen = graph.constants["u"]
    assert (seen.root, seen.value.shape) == ("w", (1, 8, 5))
    assert np.array_equal(to_root_layout(seen.value, seen), graph.constants["w"].value)


def test_the_layout_leads_back_to_the_root_through_any_views():
    table = ConstantTable(Limits())
    table.store("w", np.arange(60).reshape(3, 4, 5))
    table.write("s", np.array([6, 10], np.int64))
    table.compute("", "Transpose", {"perm": (2, 0, 1)}, ["w"], ["a"])
    table.compute("", "Reshape", {}, ["a", "s"], ["b"])
    table.compute("", "Transpose", {}, ["b"], ["c"])
    table.compute("", "Cast", {"to": onnx.TensorProto.FLOAT}, ["c"], ["d"])
    assert table["d"].root == "w"
    assert np.array_equal(to_root_layout(table["d"].value, table["d"]), table["w"].value)


def test_arithmetic_done_twice_is_one_tensor(build):
    w, m = np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1), np.eye(4, 3, dtype=np.float32).reshape(4, 3, 1, 1)
    graph = read(
        build(
            [
                ("Mul", "w m", "first"),
                ("Mul", "w m", "second"),
                ("Mul", "m w", "third"),
                ("Conv", "x first", "a"),
                ("Conv", "x second", "b"),
                ("Add", "a b", "y"),
            ],
            {"w": w, "m": m},
        )
    )
    assert graph.constants["first"].root == graph.constants["second"].root != graph.constants["third"].root


def test_plus_and_minus_zero_are_two_numbers():
    assert is_uniform(np.zeros(9, np.float32))
    assert not is_uniform(np.array([0.0] * 50 + [-0.0], np.float32))
    assert is_uniform(np.broadcast_to(np.float32(3), (1000, 1000, 1000)))


def test_values_cannot_be_changed_by_accident(exported):
    graph = read(exported(small_convnet()))
    assert not any(constant.value.flags.writeable for constant in graph.constants.values())
    assert repr(graph.constants["0.weight"]) == "Constant(float32 (16, 3, 3, 3), of 0.weight)"
    assert repr(Constant(np.float32(1), None, True)) == "Constant(float32 (), literal)"


def test_chunks_are_read_as_slices(exported):
    class Halves(nn.Module):
        def forward(self, x):
            first, second = x.chunk(2, dim=2)
            return first - second

    graph = read(exported(Halves()))
    assert [node.op for node in graph.nodes] == ["Slice", "Slice", "Sub"]
    assert graph.types[graph.output].shape == (1, 3, 16, 32)


def test_an_entry_that_ignores_the_image_is_refused(build):
    assert "does not depend on the image" in refusal(build([("Add", "w w", "y")], {"w": np.ones((1, 3), np.float32)}))


def test_a_wrong_promise_about_the_output_is_refused(build):
    assert "is said to have shape" in refusal(build([("Flatten", "x", "y")], output_shape=("batch", 10)))
    read(build([("Flatten", "x", "y")], output_shape=("batch", 192)))


# Constants are computed as the standard says

FOLDS = {
    "Add": ("Add", {}, [np.ones((2, 3), np.float32), np.arange(3, dtype=np.float32)]),
    "Div of whole numbers": ("Div", {}, [np.array([7, -7, 7]), np.array([2, 2, -2])]),
    "Pow": ("Pow", {}, [np.array([2.0, 3.0], np.float32), np.array([3, 2])]),
    "Max of three": ("Max", {}, [np.array([1.0, 5.0]), np.array([2.0, 2.0]), np.array([3.0, 0.0])]),
    "Where": ("Where", {}, [np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0])]),
    "MatMul": ("MatMul", {}, [np.ones((2, 3, 4)), np.arange(8.0).reshape(4, 2)]),
    "Transpose": ("Transpose", {}, [np.arange(6.0).reshape(1, 2, 3)]),
    "Reshape with 0 and -1": ("Reshape", {}, [np.arange(12.0).reshape(2, 6), np.array([0, 3, -1])]),
    "Squeeze": ("Squeeze", {}, [np.ones((1, 2, 1)), np.array([2])]),
    "Squeeze all": ("Squeeze", {}, [np.ones((1, 2, 1))]),
    "Unsqueeze": ("Unsqueeze", {}, [np.ones((2, 3)), np.array([0, 3])]),
    "Flatten": ("Flatten", {"axis": 2}, [np.ones((2, 3, 4, 5))]),
    "Flatten from the end": ("Flatten", {"axis": -1}, [np.ones((2, 3, 4))]),
    "Concat": ("Concat", {"axis": -1}, [np.ones((2, 1)), np.zeros((2, 3))]),
    "Gather": ("Gather", {"axis": 1}, [np.arange(12.0).reshape(3, 4), np.array([[0, -1], [2, 2]])]),
    "Slice with steps": ("Slice", {}, [np.arange(10), np.array([8]), np.array([1]), np.array([0]), np.array([-3])]),
    "Slice to the start": ("Slice", {}, [np.arange(5), np.array([-1]), np.array([-99]), np.array([0]), np.array([-1])]),
    "Slice to the end": ("Slice", {}, [np.ones((3, 4)), np.array([1]), np.array([2**63 - 1]), np.array([1])]),
    "Expand": ("Expand", {}, [np.arange(3.0).reshape(3, 1), np.array([2, 1, 4])]),
    "Tile": ("Tile", {}, [np.arange(4.0).reshape(2, 2), np.array([2, 3])]),
    "Pad": ("Pad", {}, [np.ones((2, 3)), np.array([1, 0, 0, 2]), np.array(7.0)]),
    "Range": ("Range", {}, [np.array(2), np.array(11), np.array(3)]),
    "ConstantOfShape": ("ConstantOfShape", {"value": np.array([3.0], np.float32)}, [np.array([2, 2])]),
    "ReduceMean": ("ReduceMean", {"keepdims": 0}, [np.arange(6.0).reshape(2, 3), np.array([1])]),
    "ReduceProd": ("ReduceProd", {}, [np.arange(1, 7).reshape(2, 3)]),
    "ReduceL2": ("ReduceL2", {}, [np.arange(6.0, dtype=np.float32).reshape(2, 3), np.array([0])]),
    "Cast": ("Cast", {"to": onnx.TensorProto.INT32}, [np.array([1.7, -1.7], np.float32)]),
    "DequantizeLinear": (
        "DequantizeLinear",
        {"axis": 0},
        [np.array([[1, 2], [-3, 4]], np.int8), np.array([0.5, 2.0], np.float32), np.array([1, 0], np.int8)],
    ),
    "Split": ("Split", {"axis": 1}, [np.arange(10.0).reshape(2, 5), np.array([2, 3])]),
    "Split into equal parts": ("Split", {"num_outputs": 3}, [np.arange(7.0)]),
    "Not": ("Not", {}, [np.array([True, False])]),
    "Sigmoid": ("Sigmoid", {}, [np.array([-2.0, 0.0, 2.0], np.float32)]),
}


@pytest.mark.parametrize("case", FOLDS)
def test_folding_agrees_with_the_reference_implementation(case):
    op, attributes, inputs = FOLDS[case]
    found = fold(op, attributes, inputs)
    names = [f"i{position}" for position in range(len(inputs))]
    outputs = [f"o{position}" for position in range(len(found))]
    told = {
        key: onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in attributes.items()
    }
    node = helper.make_node(op, names, outputs, **told)
    types = [onnx.helper.np_dtype_to_tensor_dtype(value.dtype) for value in inputs]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(n, t, v.shape) for n, t, v in zip(names, types, inputs, strict=True)],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    expected = ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    assert len(found) == len(expected)
    for value, reference in zip(found, expected, strict=True):
        assert value.dtype == reference.dtype and value.shape == reference.shape
        np.testing.assert_allclose(value, reference, rtol=1e-6)


def test_negative_padding_cuts():
    (cut,) = fold("Pad", {}, [np.arange(9).reshape(3, 3), np.array([-1, 1, 0, -2])])
    assert cut.tolist() == [[0, 3], [0, 6]]


def test_other_operators_do_not_work_on_constants(build):
    hostile = build([("Softmax", "w", "s"), ("Mul", "x s", "y")], {"w": np.ones((8, 8), np.float32)})
    assert "works on constants only" in refusal(hostile)


def test_infinity_computed_from_constants_is_refused(build):
    def scaled_by(number):
        return build([("Reciprocal", "w", "r"), ("Mul", "x r", "y")], {"w": np.full(8, number, np.float32)})

    assert "infinity or NaN" in refusal(scaled_by(0))
    read(scaled_by(2))


# Work without end: each bomb beside a small charge

INT = np.int64


def _constants(**values):
    return {name: np.asarray(value, INT) for name, value in values.items()}


def _bomb(build, kind: str, size: int) -> onnx.ModelProto:
    """A graph whose work grows with ``size``; 2 is harmless."""
    one = np.ones((1, 1), np.float32)
    if kind == "matmul on constants":
        ones = np.ones((min(size * 100, 3000), min(size * 100, 3000)), np.float32)
        nodes = [("MatMul", "w w" if i == 0 else f"m{i - 1} w", f"m{i}") for i in range(min(size, 20))]
        return build(
            [*nodes, ("Slice", f"m{len(nodes) - 1} zero eight", "s"), ("Mul", "x s", "y")],
            {"w": ones},
            _constants(zero=[0, 0], eight=[8, 8]),
        )
    if kind == "doubling":
        nodes = [("Concat", f"d{i} d{i}", f"d{i + 1}", {"axis": 0}) for i in range(min(size, 60))]
        last = f"d{len(nodes)}"
        return build([("Identity", "w", "d0"), *nodes, ("ReduceMean", last, "r"), ("Mul", "x r", "y")], {"w": one})
    if kind == "expand of a constant":
        return build(
            [("Expand", "w s", "e"), ("ReduceMean", "e", "r"), ("Mul", "x r", "y")],
            {"w": one},
            _constants(s=[size, size]),
        )
    if kind == "constant of shape":
        return build(
            [("ConstantOfShape", "s", "e"), ("ReduceMean", "e", "r"), ("Mul", "x r", "y")],
            None,
            _constants(s=[size, size]),
        )
    if kind == "range":
        return build(
            [
                ("Range", "zero n one", "e"),
                ("Cast", "e", "f", {"to": 1}),
                ("ReduceMean", "f", "r"),
                ("Mul", "x r", "y"),
            ],
            None,
            _constants(zero=0, n=size, one=1),
        )
    if kind == "broadcast of constants":
        column, row = np.ones((min(size, 50_000), 1), np.float32), np.ones((1, min(size, 50_000)), np.float32)
        return build([("Add", "a b", "e"), ("ReduceMean", "e", "r"), ("Mul", "x r", "y")], {"a": column, "b": row})
    if kind == "tile of a constant":
        return build(
            [("Tile", "w s", "e"), ("ReduceMean", "e", "r"), ("Mul", "x r", "y")],
            {"w": one},
            _constants(s=[size, size]),
        )
    if kind == "pad of a constant":
        return build(
            [("Pad", "w s", "e"), ("ReduceMean", "e", "r"), ("Mul", "x r", "y")], {"w": one}, _constants(s=[size] * 4)
        )
    if kind == "gather of a constant":
        rows = np.ones((1, min(size, 10_000)), np.float32)
        return build(
            [("Gather", "w i", "e", {"axis": 0}), ("ReduceMean", "e", "r"), ("Mul", "x r", "y")],
            {"w": rows},
            {"i": np.zeros(min(size, 100_000), INT)},
        )
    if kind == "expand":
        return build([("Expand", "x s", "y")], None, _constants(s=[1, 3 * size, 8, 8] if size > 2 else [1, 3, 8, 8]))
    if kind == "tile":
        return build([("Tile", "x s", "y")], None, _constants(s=[1, 1, size, size]))
    if kind == "pad":
        return build([("Pad", "x s", "y")], None, _constants(s=[0, 0, size, size, 0, 0, size, size]))
    if kind == "resize by scales":
        return build([("Resize", "x - s", "y")], None, {"s": np.array([1, 1, size, size], np.float32)})
    if kind == "resize to sizes":
        return build([("Resize", "x - - s", "y")], None, _constants(s=[1, 3, size, size]))
    if kind == "resize by endless scales":
        return build(
            [("Resize", "x - s", "y")], None, {"s": np.array([1, 1, size, 1e30 if size > 2 else 1], np.float32)}
        )
    if kind == "broadcast":
        return (
            build(
                [("Reshape", "x a", "u"), ("Reshape", "x b", "v"), ("Add", "u v", "y")],
                None,
                _constants(a=[1, 192, 1], b=[1, 1, 192]),
            )
            if size == 2
            else build(
                [
                    ("Flatten", "x", "f"),
                    ("Reshape", "f a", "u"),
                    ("Reshape", "f b", "v"),
                    ("Add", "u v", "s"),
                    ("Reshape", "s c", "p"),
                    ("Reshape", "s d", "q"),
                    ("Mul", "p q", "y"),
                ],
                None,
                _constants(a=[1, 192, 1], b=[1, 1, 192], c=[1, 36864, 1], d=[1, 1, 36864]),
            )
        )
    if kind == "upsampling by transposed convolution":
        return build(
            [("ConvTranspose", "x w", "y", {"strides": [size, size], "kernel_shape": [1, 1]})],
            {"w": np.ones((3, 1, 1, 1), np.float32)},
        )
    if kind == "macs":
        width = 3 * min(size, 600)
        convolutions = [("Conv", f"t{i} w", f"t{i + 1}") for i in range(min(size, 1000))]
        return build(
            [("Concat", "x " * (width // 3), "t0", {"axis": 1}), *convolutions, ("Relu", f"t{len(convolutions)}", "y")],
            {"w": np.ones((width, width, 1, 1), np.float32)},
        )
    if kind == "feature maps":
        return build(
            [*[("Relu", "x" if i == 0 else f"t{i}", f"t{i + 1}") for i in range(size)], ("Neg", f"t{size}", "y")],
            shape=("b", 3, 256, 256),
        )
    raise AssertionError(kind)


BOMBS = {
    "matmul on constants": 30,
    "doubling": 60,
    "expand of a constant": 10**9,
    "constant of shape": 10**9,
    "range": 10**15,
    "broadcast of constants": 50_000,
    "tile of a constant": 10**9,
    "pad of a constant": 10**9,
    "gather of a constant": 100_000,
    "expand": 10**9,
    "tile": 10**9,
    "pad": 10**9,
    "resize by scales": 10**6,
    "resize to sizes": 10**9,
    "resize by endless scales": 10**9,
    "broadcast": 9,
    "upsampling by transposed convolution": 4096,
    "macs": 1000,
    "feature maps": 1500,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_and_small_charges_pass(build, kind):
    read(_bomb(build, kind, 2))
    assert refusal(_bomb(build, kind, BOMBS[kind]))


def test_a_long_chain_of_operators_is_refused(build):
    chain = [("Relu", "x" if i == 0 else f"t{i}", f"t{i + 1}") for i in range(2001)]
    assert "2,000 operators" in refusal(build(chain, output="t2001"))
    read(build(chain[:2000], output="t2000"))


WINDOWS = {
    "huge dilation": {"dilations": [2**40, 2**40]},
    "dilation that makes the output negative": {"dilations": [100, 100]},
    "negative dilation": {"dilations": [-1, -1]},
    "zero stride": {"strides": [0, 0]},
    "huge stride": {"strides": [2**62, 1]},
    "negative padding": {"pads": [-1, -1, -1, -1]},
    "huge padding": {"pads": [2**60, 0, 0, 0]},
    "another kernel": {"kernel_shape": [1, 1]},
    "no groups": {"group": 0},
    "negative groups": {"group": -3},
    "too many groups": {"group": 3},
    "automatic padding": {"auto_pad": "SAME_UPPER"},
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_convolutions_that_make_no_sense_are_refused(build, kind):
    weight = {"w": np.ones((4, 3, 3, 3), np.float32)}
    refusal(build([("Conv", "x w", "y", WINDOWS[kind])], weight))
    read(build([("Conv", "x w", "y", {"dilations": [2, 2], "strides": [1, 2], "pads": [1, 1, 0, 0]})], weight))


@pytest.mark.parametrize("kind", ["kernel_shape", "strides", "pads"])
@pytest.mark.parametrize("value", [-2, 2**40])
def test_pooling_that_makes_no_sense_is_refused(build, kind, value):
    window = {"kernel_shape": [2, 2], kind: [value] * (4 if kind == "pads" else 2)}
    refusal(build([("MaxPool", "x", "y", window)]))
    read(build([("MaxPool", "x", "y", {"kernel_shape": [2, 2], "strides": [2, 2]})]))


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (4, 3), (4, 3, 3), (4, 3, 3, 3, 3)])
def test_weights_that_do_not_fit_are_refused(build, shape):
    refusal(build([("Conv", "x w", "y")], {"w": np.ones(shape, np.float32)}))


def test_batch_normalization_of_other_channels_is_refused(build):
    def normalized(channels, **attributes):
        names = dict.fromkeys("sbmv", np.ones(channels, np.float32))
        return build([("BatchNormalization", "x s b m v", "y", attributes)], names)

    refusal(normalized(4))
    assert "eval()" in refusal(normalized(3, training_mode=1))
    read(normalized(3))


def test_normalization_by_a_feature_map_is_refused(build):
    model = build(
        [("ReduceMean", "x axes", "s", {"keepdims": 0}), ("BatchNormalization", "x s b b v", "y")],
        {"b": np.zeros(3, np.float32), "v": np.ones(3, np.float32)},
        _constants(axes=[0, 2, 3]),
    )
    assert "from the image" in refusal(model)


def test_shapes_that_depend_on_pixels_are_refused(build):
    model = build(
        [
            ("Cast", "x", "i", {"to": 7}),
            ("Flatten", "i", "f"),
            ("ReduceMax", "f", "s", {"keepdims": 0}),
            ("Reshape", "s one", "n"),
            ("Expand", "x n", "y"),
        ],
        None,
        _constants(one=[1]),
    )
    assert "the same for every image" in refusal(model)


def test_reading_a_tensor_that_nobody_computes_is_refused(build):
    model = build([("Relu", "x", "y")])
    model.graph.node[0].input[0] = "nobody"
    with pytest.raises(EntryError, match="nobody"):
        read_graph(model)


def test_whatever_fails_inside_is_an_entry_error(build):
    for op, inputs, attributes in (
        ("Concat", "w v", {"axis": 7}),
        ("Reshape", "w w", {}),
        ("Gather", "w i", {"axis": 0}),
        ("Add", "w v", {}),
        ("Range", "w w w", {}),
        ("Squeeze", "w i", {}),
        ("Transpose", "w", {"perm": [0, 0]}),
    ):
        model = build(
            [(op, inputs, "c", attributes), ("Mul", "x c", "y")],
            {"w": np.ones((2, 3), np.float32), "v": np.ones((4, 5), np.float32)},
            {"i": np.array([9], INT)},
        )
        with pytest.raises(EntryError):
            read_graph(model)
