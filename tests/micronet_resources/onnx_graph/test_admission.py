"""Files that are refused before anything in them is computed, each beside one that is admitted."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from micronet_resources.onnx_graph.admission import admit
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits

WEIGHT = np.arange(4 * 3 * 9, dtype=np.float32).reshape(4, 3, 3, 3)


@pytest.fixture
def entry(build):
    """A convolution, a mean and a linear layer: 10 scores for images of 3 x 8 x 8."""
    return build(
        [
            ("Conv", "x w", "maps", {"kernel_shape": [3, 3]}),
            ("GlobalAveragePool", "maps", "mean"),
            ("Flatten", "mean", "features"),
            ("Gemm", "features v b", "y", {"transB": 1}),
        ],
        {"w": WEIGHT, "v": np.ones((10, 4), np.float32), "b": np.zeros(10, np.float32)},
        output_shape=("batch", 10),
    )


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def refusal(model, **rules) -> str:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(EntryError) as refused:
        admit(data, **rules)
    return str(refused.value)


def test_an_honest_entry_is_admitted(entry):
    model = admit(entry.SerializeToString(), input_shape=(3, 8, 8), outputs=10)
    assert [node.op_type for node in model.graph.node] == ["Conv", "GlobalAveragePool", "Flatten", "Gemm"]


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x80\x04\x95", bytes(1000), b"\xff" * 1000])
def test_other_files_are_refused(data):
    with pytest.raises(EntryError):
        admit(data)


def test_a_file_that_is_cut_short_is_refused(entry):
    data = entry.SerializeToString()
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(EntryError):
            admit(data[:length])


def test_an_oversize_file_is_refused_by_its_size_alone(entry):
    data = entry.SerializeToString()
    assert "bytes" in refusal(data, limits=Limits(file_bytes=len(data) - 1))
    admit(data, limits=Limits(file_bytes=len(data)))


def test_too_many_nodes_are_refused(entry, build):
    many = build([("Relu", "x" if i == 0 else f"t{i}", f"t{i + 1}") for i in range(300)], output="t300")
    assert "300 nodes" in refusal(many, limits=Limits(nodes=299))
    admit(many.SerializeToString(), limits=Limits(nodes=300))


def test_a_node_with_endless_inputs_is_refused(build):
    many = build([("Concat", "x " * 200_000, "y", {"axis": 1})])
    assert "inputs and outputs in all" in refusal(many)
    admit(build([("Concat", "x " * 20, "y", {"axis": 1})]).SerializeToString())


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "pkg.mine"])
def test_custom_domains_are_refused(entry, domain):
    entry.opset_import.append(helper.make_opsetid(domain, 1))
    assert domain in refusal(entry)


def test_nodes_of_a_domain_that_was_not_declared_are_refused(entry):
    entry.graph.node[0].domain = "com.microsoft"
    assert "com.microsoft" in refusal(entry)


@pytest.mark.parametrize("opset", [1, 9, 17, 24, 99, -1])
def test_other_operator_sets_are_refused(entry, opset):
    entry.opset_import[0].version = opset
    assert str(opset) in refusal(entry)


@pytest.mark.parametrize("opset", [18, 20, 21, 23])
def test_recent_operator_sets_are_admitted(entry, opset):
    entry.opset_import[0].version = opset
    admit(entry.SerializeToString())


def test_local_functions_are_refused(entry):
    node = helper.make_node("Relu", ["a"], ["b"])
    entry.functions.append(helper.make_function("mine", "f", ["a"], ["b"], [node], entry.opset_import))
    assert "local functions" in refusal(entry)


def test_training_information_is_refused(entry):
    entry.training_info.add()
    assert "training information" in refusal(entry)


def test_sparse_tensors_are_refused(entry):
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    entry.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1000]))
    assert "sparse" in refusal(entry)


def test_sub_graphs_are_refused(entry):
    body = helper.make_graph([], "body", [], [])
    for op in ("If", "Loop", "Scan"):
        hostile = copy.deepcopy(entry)
        hostile.graph.node.append(helper.make_node(op, ["y"], ["z"], body=body))
        assert "control flow" in refusal(hostile)


def test_a_sub_graph_behind_the_label_of_a_number_is_refused(entry):
    attribute = entry.graph.node[0].attribute.add(name="group", type=AttributeProto.INT, i=1)
    attribute.g.CopyFrom(helper.make_graph([], "body", [], []))
    assert "'group'" in refusal(entry)


def test_graphs_nested_without_end_are_refused(entry):
    graph = helper.make_graph([], "deepest", [], [])
    for depth in range(20):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["o"], then_branch=graph)], f"depth{depth}", [], [])
    entry.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=graph))
    assert "control flow" in refusal(entry)
    node = b""
    for _ in range(5_000):  # graphs in attributes of nodes in graphs, deeper than protobuf itself would write
        for field in (b"\x32", b"\x2a", b"\x0a"):
            node = field + _varint(len(node)) + node
    assert "not an ONNX model" in refusal(entry.SerializeToString() + b"\x3a" + _varint(len(node)) + node)


@pytest.mark.parametrize(
    "op",
    ["RandomNormal", "RandomUniformLike", "Bernoulli", "Multinomial", "NonZero", "Unique", "LSTM", "StringNormalizer"],
)
def test_operators_that_are_not_on_the_list_are_refused(entry, op):
    entry.graph.node.append(helper.make_node(op, ["y"], ["z"]))
    assert op in refusal(entry)


def test_weights_that_are_also_inputs_are_refused(entry):
    entry.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHT.shape))
    assert "weights are not inputs" in refusal(entry)


def test_two_outputs_are_refused(entry):
    entry.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, None))
    assert "2 outputs" in refusal(entry)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.BFLOAT16, TensorProto.STRING, TensorProto.DOUBLE])
def test_inputs_of_other_types_are_refused(entry, kind):
    entry.graph.input[0].type.tensor_type.elem_type = kind
    assert "float32 or float16" in refusal(entry)


def test_a_sequence_as_input_is_refused(entry):
    entry.graph.input[0].type.Clear()
    entry.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    assert "not a tensor" in refusal(entry)


@pytest.mark.parametrize(
    "shape", [(2, 3, 8, 8), ("batch", 3, "height", 8), ("batch", 3, 0, 8), ("batch", 3, -8, 8), ("batch",), ()]
)
def test_only_the_batch_of_the_input_is_open(build, shape):
    refusal(build([("Relu", "x", "y")], shape=shape))
    admit(build([("Relu", "x", "y")], shape=("n", 3, 8, 8)).SerializeToString())


def test_images_of_another_shape_than_the_task_has_are_refused(entry):
    assert "(3, 8, 8)" in refusal(entry, input_shape=(3, 32, 32))
    assert "(3, 8, 8)" in refusal(entry, input_shape=(8, 8))


def test_another_number_of_classes_than_the_task_has_is_refused(entry):
    assert "[batch, 100]" in refusal(entry, outputs=100)


def test_a_fixed_batch_at_the_output_is_refused(entry):
    entry.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert "[batch, 10]" in refusal(entry, outputs=10)


def test_names_that_are_defined_twice_are_refused(entry):
    for first, second in ((0, 1), (2, 0)):
        hostile = copy.deepcopy(entry)
        hostile.graph.node[first].output[0] = hostile.graph.node[second].output[0]
        assert "defined twice" in refusal(hostile)
    shadowing = copy.deepcopy(entry)
    shadowing.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "x"))
    assert "defined twice" in refusal(shadowing)
    doubled = copy.deepcopy(entry)
    doubled.graph.initializer.append(doubled.graph.initializer[0])
    assert "defined twice" in refusal(doubled)


def test_names_with_null_characters_are_refused(entry):
    entry.graph.node[0].output[0] = entry.graph.node[1].input[0] = "maps\0starts"
    assert "null character" in refusal(entry)


@pytest.mark.parametrize("location", ["weights.bin", "../secret", "/etc/passwd"])
def test_external_data_are_refused_and_not_opened(entry, location):
    tensor = entry.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    assert "another file" in refusal(entry)


def test_external_data_of_a_constant_node_are_refused(build):
    hostile = build([("Mul", "x c", "y")], constants={"c": np.float32(2)})
    hostile.graph.node[0].attribute[0].t.data_location = TensorProto.EXTERNAL
    assert "another file" in refusal(hostile)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_weights_that_are_not_finite_are_refused(entry, value, dtype):
    weight = WEIGHT.astype(dtype)
    weight[1, 2, 0, 1] = value
    entry.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    assert "every weight must be finite" in refusal(entry)


def test_constants_that_are_not_finite_are_refused(build):
    assert "finite" in refusal(build([("Mul", "x c", "y")], constants={"c": np.float32(np.nan)}))
    admit(build([("Mul", "x c", "y")], constants={"c": np.float32(2)}).SerializeToString())


@pytest.mark.parametrize(
    "dims", [[4, 3, 3, 4], [4, 3, 3], [2**62, 2**62], [-4, 3, 3, -3], [0, 3, 3, 3], [1] * 9 + [108], [10**12]]
)
def test_data_that_do_not_fit_the_shape_are_refused(entry, dims):
    del entry.graph.initializer[0].dims[:]
    entry.graph.initializer[0].dims.extend(dims)
    assert "'w'" in refusal(entry)


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.BFLOAT16, 0, 99])
def test_tensors_of_other_types_are_refused(entry, kind):
    entry.graph.initializer[0].data_type = kind
    assert "is of type" in refusal(entry)


def test_a_segment_of_a_tensor_is_refused(entry):
    entry.graph.initializer[0].segment.begin = 0
    assert "segment" in refusal(entry)


def test_attributes_of_the_wrong_type_are_refused(entry):
    entry.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("kernel_shape", "3x3"))
    assert "not a valid ONNX model" in refusal(entry)


def test_nodes_that_read_what_comes_later_are_refused(build):
    cyclic = build([("Add", "x b", "a"), ("Add", "x a", "b"), ("Relu", "b", "y")])
    assert "not a valid ONNX model" in refusal(cyclic)


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_damaged_files_are_admitted_or_refused_and_nothing_else(position, byte, cut):
    damaged = bytearray(HONEST)
    position %= len(damaged)
    damaged[position : position + cut] = bytes([byte])
    try:
        assert isinstance(admit(bytes(damaged)), onnx.ModelProto)
    except EntryError as refused:
        assert str(refused)


HONEST = helper.make_model(
    helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["m"], kernel_shape=[3, 3]), helper.make_node("Relu", ["m"], ["y"])],
        "entry",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 4, 6, 6))],
        [numpy_helper.from_array(WEIGHT, "w")],
    ),
    opset_imports=[helper.make_opsetid("", 21)],
    ir_version=10,
).SerializeToString()
