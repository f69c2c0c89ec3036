"""Widths of feature maps, read from quantizers and followed as far as their grid lasts."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from factorkit.quantization import ActivationQuantizer
from micronet_resources.onnx_graph.activation_bits import input_bits
from micronet_resources.onnx_graph.counting import count_graph, stored_roots
from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.profile import profile_model

SCALE = np.float32(0.25)


def last_width(model: onnx.ModelProto) -> int:
    """Bits of what the last operator reads."""
    graph = read_graph(model)
    return input_bits(graph)[len(graph.nodes) - 1, 0]


@pytest.fixture
def after(build):
    """Width behind some operators that follow a quantizer to unsigned 8 bits; they lead from ``q`` to ``m``."""

    def measure(nodes, constants=None, *, kind=np.uint8, zero=0, before=(("Identity", "x", "p"),)):
        quantizer = [("QuantizeLinear", "p s z", "l"), ("DequantizeLinear", "l s z", "q")]
        given = {"s": SCALE, "z": kind(zero), **(constants or {})}
        return last_width(
            build([*before, *quantizer, *nodes, ("Mul", "m two", "y")], {}, {**given, "two": np.float32(2)})
        )

    return measure


def test_the_width_of_every_quantizer_is_read_back(exported):
    widths = [(bits, signed) for bits in range(1, 9) for signed in (False, True) if bits > signed]

    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.quantizers = nn.ModuleList(ActivationQuantizer(bits, signed=signed) for bits, signed in widths)
            self.convs = nn.ModuleList(nn.Conv2d(3, 2, 1) for _ in widths)

        def forward(self, maps):
            return sum(conv(quantizer(maps)) for conv, quantizer in zip(self.convs, self.quantizers, strict=True))

    graph = read_graph(exported(Beside(), (3, 4, 4)))
    bits = input_bits(graph)
    found = [bits[index, 0] for index, node in enumerate(graph.nodes) if node.op == "Conv"]
    assert found == [bits for bits, _ in widths]


def test_without_a_quantizer_the_type_decides(exported, build):
    graph = read_graph(exported(nn.Conv2d(3, 2, 1), (3, 4, 4)))
    assert set(input_bits(graph).values()) == {32}
    half = build([("Cast", "x", "h", {"to": 10}), ("Relu", "h", "r"), ("Cast", "r", "y", {"to": 1})])
    assert list(input_bits(read_graph(half)).values()) == [32, 16, 16]


@pytest.mark.parametrize(
    "nodes, constants",
    [
        ([("Relu", "q", "m")], {}),
        ([("MaxPool", "q", "m", {"kernel_shape": [2, 2]})], {}),
        ([("Transpose", "q", "m", {"perm": [0, 2, 3, 1]})], {}),
        ([("Flatten", "q", "m")], {}),
        ([("Reshape", "q shape", "m")], {"shape": np.array([0, -1, 4])}),
        ([("Slice", "q a b c", "m")], {"a": np.array([1]), "b": np.array([2]), "c": np.array([1])}),
        ([("Split", "q", "m rest", {"axis": 3, "num_outputs": 2})], {}),
        ([("Split", "q", "rest m", {"axis": 3, "num_outputs": 2})], {}),
        ([("Gather", "q i", "m", {"axis": 1})], {"i": np.array([2, 0])}),
        ([("Concat", "q q", "m", {"axis": 1})], {}),
        ([("Pad", "q pads", "m")], {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
        ([("Pad", "q pads", "m", {"mode": "reflect"})], {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
        ([("DepthToSpace", "d", "m", {"blocksize": 2}), ("Concat", "q q q q", "d", {"axis": 1})][::-1], {}),
        ([("GlobalMaxPool", "q", "m")], {}),
    ],
)
def test_operators_that_make_no_new_numbers_keep_the_width(after, nodes, constants):
    assert after(nodes, constants) == 8


@pytest.mark.parametrize(
    "nodes, constants",
    [
        ([("Add", "q q", "m")], {}),
        ([("AveragePool", "q", "m", {"kernel_shape": [2, 2]})], {}),
        ([("GlobalAveragePool", "q", "m")], {}),
        ([("Sigmoid", "q", "m")], {}),
        ([("Mul", "q three", "m")], {"three": np.float32(3)}),
        ([("Concat", "q x", "m", {"axis": 1})], {}),
        (
            [("Concat", "q other", "m", {"axis": 1}), ("DequantizeLinear", "l t z", "other")][::-1],
            {"t": np.float32(0.3)},
        ),
        ([("Pad", "q pads one", "m")], {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "one": np.float32(1)}),
        ([("Clip", "q third", "m")], {"third": np.float32(1 / 3)}),
        ([("Max", "q third", "m")], {"third": np.float32(1 / 3)}),
        ([("Max", "q x", "m")], {}),
        ([("LeakyRelu", "q", "m")], {}),
        ([("Resize", "q -- sizes", "m", {"mode": "linear"})], {"sizes": np.array([1, 1, 2, 2], np.float32)}),
        ([("Cast", "i", "m", {"to": 1}), ("MaxPool", "q", "p2 i", {"kernel_shape": [2, 2]})][::-1], {}),
    ],
)
def test_operators_that_make_new_numbers_end_the_grid(after, nodes, constants):
    assert after(nodes, constants) == 32


def test_clipping_at_levels_narrows_the_grid(after):
    ends = {"low": np.float32(0.5), "high": np.float32(0.5 + 3 * 0.25)}
    assert after([("Clip", "q low high", "m")], ends) == 2
    assert after([("Clip", "q - high", "m")], ends) == 3  # levels 0 to 5
    assert after([("Min", "q high", "c"), ("Max", "low c", "m")], ends) == 2
    assert after([("Clip", "q wide wider", "m")], {"wide": np.float32(-9), "wider": np.float32(900)}) == 8
    assert after([("Clip", "q above", "m")], {"above": np.float32(100)}) == 1  # everything is level 400
    assert after([("Relu", "q", "m")], kind=np.int8) == 7
    assert after([("Relu", "q", "m")], kind=np.uint8, zero=128) == 7


def test_a_narrow_range_in_front_of_the_quantizer_narrows_it(after):
    nodes = [("Identity", "q", "m")]
    assert after(nodes, before=[("Relu", "x", "p")], kind=np.int8) == 7
    clip = {"low": np.float32(0), "high": np.float32(15 * 0.25)}
    assert after(nodes, clip, before=[("Clip", "x low high", "p")]) == 4
    assert (
        after(nodes, clip, before=[("Clip", "x low high", "c"), ("MaxPool", "c", "p", {"kernel_shape": [2, 2]})]) == 4
    )
    assert after(nodes, clip, before=[("Relu", "x", "r"), ("Clip", "r - high", "p")], kind=np.int8) == 4
    assert after(nodes, clip, before=[("Clip", "x low high", "c"), ("Mul", "c c", "p")]) == 8


def test_an_end_between_two_levels_counts_with_the_outer_one(after):
    tie = {"low": np.float32(0), "high": np.float32(3.5 * 0.25)}
    assert after([("Identity", "q", "m")], tie, before=[("Clip", "x low high", "p")]) == 3  # levels 0 to 4


def test_a_scale_for_each_channel_is_no_single_grid(build):
    scales = {"s": np.ones(3, np.float32), "z": np.zeros(3, np.uint8), "two": np.float32(2)}
    nodes = [("QuantizeLinear", "x s z", "l"), ("DequantizeLinear", "l s z", "q"), ("Mul", "q two", "y")]
    assert last_width(build(nodes, scales)) == 32


def test_sums_in_a_residual_network_are_wide_until_they_are_quantized_again(exported):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.enter, self.leave = ActivationQuantizer(4), ActivationQuantizer(3)
            self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

        def forward(self, maps):
            maps = self.enter(maps)
            maps = maps + self.first(maps)
            return self.second(self.leave(maps)) + self.second(maps)

    graph = read_graph(exported(Residual(), (3, 4, 4)))
    bits = input_bits(graph)
    widths = [bits[index, 0] for index, node in enumerate(graph.nodes) if node.op == "Conv"]
    assert sorted(widths) == [3, 4, 32]


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from([np.int8, np.uint8]),
    scale=st.floats(0.01, 4),
    zero=st.integers(0, 127),
    steps=st.lists(
        st.one_of(
            st.just(("Relu",)),
            st.tuples(
                st.sampled_from(["Clip", "ClipInts", "ClipLevels"]), st.integers(-140, 260), st.integers(-140, 260)
            ),
            st.just(("Pad",)),
            st.just(("Concat",)),
        ),
        max_size=4,
    ),
    first=st.one_of(st.none(), st.tuples(st.floats(-300, 300), st.floats(0, 300))),
)
def test_there_are_never_more_levels_than_the_bits_can_tell_apart(build, kind, scale, zero, steps, first):
    """Against onnxruntime, on an image with every level in it."""
    scale, zero = np.float32(scale), kind(zero)
    constants = {"s": scale, "z": zero, "pads": np.array([0, 0, 0, 1, 0, 0, 0, 1])}
    nodes, name = [], "x"
    if first:
        constants |= {"first": np.float32(first[0]), "second": np.float32(first[0] + first[1])}
        nodes.append(("Clip", "x first second", "c"))
        name = "c"
    nodes.append(("QuantizeLinear", f"{name} s z", "l"))
    name = "l"
    limits = np.iinfo(kind)
    for number, (_, low, high) in enumerate(step for step in steps if step[0] == "ClipInts"):
        ends = sorted(int(np.clip(end, limits.min, limits.max)) for end in (low, high))
        constants |= {f"il{number}": kind(ends[0]), f"ih{number}": kind(ends[1])}
        nodes.append(("Clip", f"{name} il{number} ih{number}", f"i{number}"))
        name = f"i{number}"
    nodes.append(("DequantizeLinear", f"{name} s z", "q"))
    name = "q"
    for number, step in enumerate(step for step in steps if step[0] != "ClipInts"):
        out = f"m{number}"
        if step[0] == "Relu":
            nodes.append(("Relu", name, out))
        elif step[0] == "Pad":
            nodes.append(("Pad", f"{name} pads", out))
        elif step[0] == "Concat":
            nodes.append(("Concat", f"{name} q", out, {"axis": 3}))
        else:
            ends = sorted(np.float32(end) for end in step[1:])
            if step[0] == "ClipLevels":
                ends = [(end - np.float32(zero)) * scale for end in ends]
            constants |= {f"l{number}": ends[0], f"h{number}": ends[1]}
            nodes.append(("Clip", f"{name} l{number} h{number}", out))
        name = out
    model = build(
        [*nodes, ("Mul", f"{name} one", "y")], {}, {**constants, "one": np.float32(1)}, shape=("batch", 1, 1, 2001)
    )
    graph = read_graph(model)
    bits = input_bits(graph)[len(graph.nodes) - 1, 0]
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = (np.arange(2001, dtype=np.float32) - 1000)[None, None, None] * scale / 2
    levels = np.unique(session.run(None, {"x": image})[0])
    assert bits == 32 or len(levels) <= 2**bits


def test_a_quantized_network_computes_what_its_width_says_and_both_profiles_agree(exported):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), ActivationQuantizer(3, limit=1.0), nn.MaxPool2d(2), nn.Flatten()
    )
    network = nn.Sequential(*model, nn.Linear(36, 2))
    graph = read_graph(exported(network, (3, 8, 8)))
    index = next(index for index, node in enumerate(graph.nodes) if node.op == "Gemm")
    assert input_bits(graph)[index, 0] == 3
    assert len(model(torch.randn(50, 3, 8, 8)).unique()) == 8
    profile = profile_model(network, (3, 8, 8), strict=True)
    assert profile.params == sum(root.value.size for root in stored_roots(graph))
    assert profile.macs == sum(operation.macs for _, operations in count_graph(graph) for operation in operations)
