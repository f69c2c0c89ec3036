"""What runs is what was measured: honest networks answer as before, and what was hidden does nothing."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.layers import DepthwiseSeparableConv2d
from factorkit.models import resnet18_cifar, small_convnet
from factorkit.quantization import ActivationQuantizer
from factorkit.torchvision_import import import_torchvision
from micronet_resources.onnx_graph.admission import admit
from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.pruning import follow_zeros
from micronet_resources.onnx_graph.rewriting import INPUT, OUTPUT, rewrite_graph


def answers(data: bytes, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def both(model: onnx.ModelProto, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers of a file, and of what is written from its measurement."""
    data = model.SerializeToString()
    graph = read_graph(admit(data, limits=Limits.generous()), Limits.generous())
    return answers(data, images), answers(rewrite_graph(graph), images)


def pictures(*shape: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)


def lived_in(model: nn.Module) -> nn.Module:
    """Normalization statistics, scales and biases as after training."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 2, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
            nn.init.normal_(layer.bias, generator=generator)
    return model


def pruned(model: nn.Module) -> nn.Module:
    """Every second filter is gone, and a part of their channels with it."""
    for layer in lived_in(model).modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data[::2] = 0
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean[::2], layer.bias.data[::4], layer.bias.data[2::4] = 0, -1, 0.5
    return model


class Mixed(nn.Module):
    """Attention, masks, tied weights, chunks and quotients."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.positions = nn.Parameter(torch.randn(16, 16))
        self.head = nn.Linear(16, 10)
        self.register_buffer("mask", torch.ones(16, 16).triu(1).bool())

    def forward(self, x):
        x = self.patches(x).flatten(2).mT + self.positions
        scores = (x @ x.mT / 4).masked_fill(self.mask, -1e9).softmax(-1)
        left, right = (F.layer_norm(scores @ x, (16,)) / (1 + self.positions**2)).chunk(2, 2)
        x = torch.cat([F.gelu(left) * torch.where(right > 0, right, 0), F.silu(right)], 2)
        return self.head(self.attention(x, x, x)[0].mean(1))


NETWORKS = {
    "small_convnet": lambda: lived_in(small_convnet()),
    "resnet18_cifar": lambda: lived_in(resnet18_cifar()),
    "depthwise separable": lambda: lived_in(small_convnet((8, 16), conv=DepthwiseSeparableConv2d)),
    "pruned small_convnet": lambda: pruned(small_convnet()),
    "pruned resnet18_cifar": lambda: pruned(resnet18_cifar()),
    "quantized": lambda: nn.Sequential(ActivationQuantizer(4, signed=True, limit=3.0), pruned(small_convnet((8, 16)))),
    "attention": Mixed,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_honest_networks_answer_as_before(exported, name):
    torch.manual_seed(0)
    before, after = both(exported(NETWORKS[name]()), pictures(3, 32, 32, count=4))
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


@pytest.mark.parametrize(
    "name",
    ["squeezenet1_0", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenet_v2", "resnet18"))],
)
def test_torchvisions_networks_answer_as_before(exported, name):
    torch.manual_seed(0)
    model = lived_in(import_torchvision().models.get_model(name, weights=None))
    before, after = both(exported(model, (3, 224, 224)), pictures(3, 224, 224, count=1))
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


W = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)


def test_the_input_is_one_image_and_names_are_those_of_the_writer(build):
    graph = read_graph(build([("Relu", "x", "y")]))
    model = onnx.ModelProto.FromString(rewrite_graph(graph))
    onnx.checker.check_model(model)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == [INPUT, OUTPUT]
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_value for size in sizes] == [1, 3, 8, 8]


def test_attributes_and_parts_of_tensors_survive(build):
    nodes = [
        ("GlobalAveragePool", "x", "m"),
        ("Split", "x", "a b c", {"axis": 1, "num_outputs": 3}),
        ("Pad", "a pads two", "p"),
        ("Resize", "b - - sizes", "r", {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
        ("LeakyRelu", "c", "l", {"alpha": 0.3}),
        ("Slice", "l at to along by", "s"),
        ("Concat", "p r s", "j", {"axis": -1}),
        ("Gather", "m first", "m1", {"axis": 1}),
        ("Sub", "j m1", "y"),
    ]
    constants = {
        "pads": np.array([0, 0, 0, 0, 0, 0, 0, 2]),
        "two": np.float32(2),
        "sizes": np.array([1, 1, 8, 6]),
        "at": np.array([-1]),
        "to": np.array([-9]),
        "along": np.array([2]),
        "by": np.array([-1]),
        "first": np.array([1]),
    }
    constants = {name: np.asarray(value) for name, value in constants.items()}
    before, after = both(build(nodes, {}, constants), pictures(3, 8, 8))
    assert before.shape == (2, 1, 8, 24) and np.array_equal(before, after)


def decode_winner(build, zero):
    """1/0 for the largest number alone, then times a number: infinity times zero is not zero."""
    nodes = [
        ("Reshape", "x flat", "f"),
        ("MatMul", "f w", "scores"),
        ("ReduceMax", "scores last", "largest", {"keepdims": 1}),
        ("Sub", "largest scores", "behind"),
        ("Reciprocal", "behind", "r"),
        ("Mul", "r zero", "z"),
        ("Equal", "z z", "same"),
        ("Where", "same no yes", "y"),
    ]
    constants = {"flat": [-1, 6], "last": [1], "zero": np.float32(zero), "no": np.float32(0), "yes": np.float32(1)}
    return build(nodes, {"w": W}, constants, shape=("batch", 6), output_shape=("batch", 3))


def test_what_only_infinity_times_zero_tells_is_not_told(build):
    before, after = both(decode_winner(build, 0), pictures(6))
    assert before.any()
    assert not after.any()


def test_a_network_that_pays_for_its_weights_may_use_infinity(build):
    graph = read_graph(decode_winner(build, 2))
    assert all(mask.all() for mask in follow_zeros(graph).roots.values())
    before, after = both(decode_winner(build, 2), pictures(6))
    assert np.array_equal(before, after)


def test_products_of_feature_maps_that_count_as_dead_are_not_computed(build):
    def compared(zero):
        nodes = [
            ("MatMul", "x x", "squares"),
            ("Reciprocal", "squares", "r"),
            ("Mul", "r zero", "z"),
            ("Add", "z x", "y"),
        ]
        images = np.zeros((1, 4, 4), np.float32)
        return both(build(nodes, {}, {"zero": np.float32(zero)}, shape=("batch", 4, 4)), images)

    before, after = compared(0)
    assert np.isnan(before).all() and not after.any()
    before, after = compared(1)
    assert np.isinf(before).all() and np.array_equal(before, after)


def test_inputs_that_no_weight_reads_are_not_told_by_infinity(build):
    """A column of zeros in the weight makes an input dead, whatever is in it."""

    def compared(last):
        weight = np.array([[1, 2], [3, 4], [last, last]], np.float32)
        nodes = [("Reciprocal", "x", "r"), ("MatMul", "r w", "y")]
        return both(build(nodes, {"w": weight}, shape=("batch", 3)), np.array([[1, 1, 0]], np.float32))

    before, after = compared(0)
    assert np.isnan(before).all() and after.tolist() == [[4, 6]]
    before, after = compared(1)
    assert np.array_equal(before, after) and np.isinf(after).all()


def signs(build, tensor):
    """Signs of a stored tensor of zeros, told by a quotient."""
    nodes = [("Mul", "x w", "z"), ("Reciprocal", "z", "r"), ("Clip", "r low high", "y")]
    constants = {"low": np.float32(-1), "high": np.float32(1)}
    return build(nodes, {"w": tensor}, constants, shape=("batch", 6))


def test_signs_of_zeros_are_not_told(build):
    images = np.ones((1, 6), np.float32)
    before, after = both(signs(build, np.array([0.0, -0.0, 0.0, -0.0, -0.0, 0.0], np.float32)), images)
    assert len(set(before.ravel())) == 2
    assert len(set(after.ravel())) == 1
    before, after = both(signs(build, np.array([1, -1, 1, -1, -1, 1], np.float32)), images)
    assert np.array_equal(before, after) and len(set(after.ravel())) == 2


def test_signs_of_zeros_that_are_computed_are_not_told(build):
    def compared(factor):
        signed = np.array([1, -1, 1, -1, -1, 1], np.float32)
        nodes = [("Mul", "s factor", "w"), ("Max", "w w x", "m"), ("Reciprocal", "m", "y")]
        model = build(nodes, {"s": signed}, {"factor": np.float32(factor)}, shape=("batch", 6))
        return both(model, np.full((1, 6), -2, np.float32))

    before, after = compared(0)
    assert np.isinf(before).all() and (before < 0).any() and (after > 0).all()
    before, after = compared(1)
    assert np.array_equal(before, after)


def test_dead_weights_are_not_in_what_runs(build):
    nodes = [("MatMul", "x w", "h"), ("Mul", "h mask", "k"), ("MatMul", "k v", "y")]
    mask = np.array([1, 0, 1], np.float32)
    graph = read_graph(build(nodes, {"w": W, "v": W.T.copy(), "mask": mask}, shape=("batch", 6)))
    stored = [onnx.numpy_helper.to_array(t) for t in onnx.ModelProto.FromString(rewrite_graph(graph)).graph.initializer]
    (kept,) = (value for value in stored if value.shape == (6, 3))
    assert np.array_equal(kept, W * mask)


def test_a_dead_divisor_becomes_one(build):
    nodes = [("Div", "x d", "q"), ("Mul", "q mask", "y")]
    divisor, mask = np.array([5, 7, 9], np.float32), np.array([1, 0, 1], np.float32)
    model = build(nodes, {"d": divisor, "mask": mask}, shape=("batch", 3))
    stored = onnx.ModelProto.FromString(rewrite_graph(read_graph(model))).graph.initializer
    assert [5, 1, 9] in [onnx.numpy_helper.to_array(tensor).tolist() for tensor in stored]
    before, after = both(model, pictures(3))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("first", [np.int64(0), np.float32(0)], ids=["whole numbers", "numbers"])
def test_a_choice_by_a_stored_mask_stays_what_it_was(build, first):
    kind = onnx.helper.np_dtype_to_tensor_dtype(first.dtype)
    nodes = [("Cast", "x", "i", {"to": kind}), ("Where", "c zero i", "k"), ("Cast", "k", "y", {"to": 1})]
    chosen = np.array([True, False, True])
    model = build(nodes, {"c": chosen}, {"zero": first}, shape=("batch", 3))
    before, after = both(model, 10 * pictures(3))
    assert np.array_equal(before, after) and not after[:, chosen].any() and after.any()


def test_a_window_of_padding_alone_is_not_taken_for_zero(build):
    """Zero is less than the largest number that padding has, so what follows is alive."""

    def live(pads):
        nodes = [
            ("GlobalMaxPool", "x", "m"),
            ("Mul", "m zero", "z"),
            ("MaxPool", "z", "p", {"kernel_shape": [2, 2], "dilations": pads, "pads": [1, 1, 1, 1]}),
            ("Clip", "p low high", "one"),
            ("Mul", "one w", "y"),
        ]
        constants = {"zero": np.float32(0), "low": np.float32(-1), "high": np.float32(0)}
        graph = read_graph(build(nodes, {"w": np.arange(1, 4, dtype=np.float32).reshape(1, 3, 1, 1)}, constants))
        return int(follow_zeros(graph).roots["w"].sum())

    assert (live([2, 2]), live([1, 1])) == (3, 0)


def test_constants_that_are_too_large_when_computed_are_refused(build, monkeypatch):
    model = build([("Add", "x w", "y")], {"w": np.ones((3, 8, 8), np.float32)})
    rewrite_graph(read_graph(model))
    monkeypatch.setattr("micronet_resources.onnx_graph.rewriting.LARGEST_FILE", 700)
    with pytest.raises(ValueError, match="more than 2 GiB"):
        rewrite_graph(read_graph(model))
