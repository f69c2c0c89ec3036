"""What is called zero is zero and what is not needed is not: random networks in onnxruntime, with noise put there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.onnx_graph.needed_elements import needed_elements
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS, STATISTICS_SLOTS
from micronet_resources.onnx_graph.pruning import follow_zeros
from micronet_resources.onnx_graph.records import Graph
from micronet_resources.onnx_graph.zero_values import fixed_values


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def disturbed(graph: Graph, seed: int, *, weights: bool) -> tuple[onnx.ModelProto, int]:
    """The graph with elements that are said to be fixed replaced by their values, and noise where nothing is needed.

    Noise comes into the constants, where they are not zero, while feature maps are zero where they are not needed; or
    into the feature maps; not into both, since their product is what a slimmed network leaves out. Also the number of
    noisy elements.
    """
    random = np.random.default_rng(seed)
    values = fixed_values(graph)
    masks, _, needs = needed_elements(graph, values)
    nodes, tensors, replaced = [], [], 0

    def add(name: str, array: np.ndarray) -> str:
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def replace(name: str) -> None:
        nonlocal replaced
        kind = graph.types[name]
        value = np.broadcast_to(values[name], kind.shape)
        needed = np.broadcast_to(needs.get(name, np.zeros((), bool)), kind.shape)
        noise = random.normal(size=kind.shape) * 3 if kind.dtype.kind == "f" else random.integers(0, 3, kind.shape)
        fixed = ~np.isnan(value)
        silent = fixed & (needed | (value == 0))
        keep = needed & ~fixed
        instead = np.where(silent, np.nan_to_num(value), 0 if weights else noise).astype(kind.dtype)
        replaced += 0 if weights else int((~keep & ~silent).sum())
        if keep.all():
            nodes.append(helper.make_node("Identity", [f"{name}_raw"], [f"{name}_"]))
        else:
            names = [add(f"{name}_keep", keep), f"{name}_raw", add(f"{name}_instead", instead)]
            nodes.append(helper.make_node("Where", names, [f"{name}_"]))

    replace(graph.input)
    for index, node in enumerate(graph.nodes):
        inputs = []
        for position, name in enumerate(node.inputs):
            if name not in graph.constants:
                inputs.append(f"{name}_")
                continue
            value = graph.constants[name].value
            silent = position in SHAPE_SLOTS.get(node.op, ()) or position in STATISTICS_SLOTS.get(node.op, ())
            if weights and not silent and value.dtype.kind == "f":
                unneeded = ~np.broadcast_to(masks[index, position], value.shape) & (value != 0)
                noise = random.normal(size=value.shape).astype(value.dtype)
                replaced += int(unneeded.sum())
                value = np.where(unneeded, noise, value)
            inputs.append(add(f"{name}_{index}_{position}", value))
        inputs = ["" if name == "_" else name for name in inputs]
        nodes.append(helper.make_node(node.op, inputs, [f"{name}_raw" for name in node.outputs], **node.attributes))
        for name in node.outputs:
            replace(name)
    image, answer = graph.types[graph.input], graph.types[graph.output]
    described = helper.make_graph(
        nodes,
        "disturbed",
        [helper.make_tensor_value_info(f"{graph.input}_raw", onnx.TensorProto.FLOAT, image.shape)],
        [helper.make_tensor_value_info(f"{graph.output}_", onnx.TensorProto.FLOAT, answer.shape)],
        tensors,
    )
    return helper.make_model(described, opset_imports=[helper.make_opsetid("", graph.opset)], ir_version=10), replaced


@dataclass
class Network:
    """A random network under construction; maps are batch x channels x size x size."""

    draw: st.DrawFn
    random: np.random.Generator
    nodes: list[tuple] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    maps: list[tuple[str, int, int]] = field(default_factory=lambda: [("x", 4, 6)])

    def tensor(self, *shape: int) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = self.random.normal(size=shape).astype(np.float32)
        return name

    def zeroed(self, name: str) -> str:
        """Set some filters, some inputs and some single weights to zero."""
        weight = self.tensors[name]
        for axis in range(min(2, weight.ndim)):
            chosen = self.draw(st.sets(st.integers(0, weight.shape[axis] - 1), max_size=weight.shape[axis]))
            weight[(slice(None),) * axis + (sorted(chosen),)] = 0
        if self.draw(st.booleans()):
            weight[self.random.random(weight.shape) < 0.3] = 0
        return name

    def vector(self, channels: int, shape: tuple[int, ...] = ()) -> str:
        name = self.tensor(channels, *shape)
        chosen = self.draw(st.sets(st.integers(0, channels - 1), max_size=channels))
        self.tensors[name][sorted(chosen)] = self.draw(st.sampled_from([0.0, -1.0, 1.0]))
        return name

    def add(self, op: str, inputs: str, channels: int, size: int, **attributes) -> None:
        name = f"m{len(self.nodes)}"
        self.nodes.append((op, inputs, name, attributes))
        self.maps.append((name, channels, size))

    def constant(self, value) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = np.asarray(value)
        return name

    def grow(self, kind: str) -> None:
        maps, channels, size = self.maps[-1]
        draw = self.draw
        if kind == "conv":
            groups = draw(st.sampled_from([g for g in (1, 2, channels) if channels % g == 0]))
            outputs = groups * draw(st.integers(1, 3))
            weight = self.zeroed(self.tensor(outputs, channels // groups, 3, 3))
            bias = f" {self.vector(outputs)}" if draw(st.booleans()) else ""
            self.add("Conv", f"{maps} {weight}{bias}", outputs, size, pads=[1] * 4, group=groups)
        elif kind == "transposed":
            groups = draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
            weight = self.zeroed(self.tensor(channels, 2, 1, 1))
            bias = f" {self.vector(2 * groups)}" if draw(st.booleans()) else ""
            self.add("ConvTranspose", f"{maps} {weight}{bias}", 2 * groups, size, group=groups)
        elif kind == "norm":
            mean = self.tensor(channels)
            if draw(st.booleans()):
                self.tensors[mean][:] = 0
            variance = self.tensor(channels)
            self.tensors[variance] = np.abs(self.tensors[variance]) + 0.5
            vectors = f"{self.vector(channels)} {self.vector(channels)}"
            self.add("BatchNormalization", f"{maps} {vectors} {mean} {variance}", channels, size)
        elif kind == "unary":
            op = draw(
                st.sampled_from(
                    [
                        "Relu",
                        "LeakyRelu",
                        "Sigmoid",
                        "Tanh",
                        "HardSwish",
                        "HardSigmoid",
                        "Neg",
                        "Abs",
                        "Exp",
                        "Erf",
                        "Elu",
                    ]
                )
            )
            self.add(op, maps, channels, size)
        elif kind == "clip":
            low = self.constant(np.float32(draw(st.sampled_from([-1, 0, 0.5]))))
            self.add("Clip", f"{maps} {low} {self.constant(np.float32(2))}", channels, size)
        elif kind == "prelu":
            self.add("PRelu", f"{maps} {self.vector(channels, (1, 1))}", channels, size)
        elif kind == "vector":
            op = draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min"]))
            self.add(op, f"{maps} {self.vector(channels, (1, 1))}", channels, size)
        elif kind == "two":
            other = draw(st.sampled_from([name for name, c, s in self.maps if (c, s) == (channels, size)]))
            self.add(draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Sum"])), f"{other} {maps}", channels, size)
        elif kind == "where":
            condition = self.constant(self.random.random((channels, 1, 1)) < 0.5)
            self.add("Where", f"{condition} {maps} {self.vector(channels, (1, 1))}", channels, size)
        elif kind == "concat":
            other, more, _ = draw(st.sampled_from([entry for entry in self.maps if entry[2] == size]))
            self.add("Concat", f"{other} {maps}", channels + more, size, axis=1)
        elif kind == "gather":
            order = self.random.permutation(channels)[: max(1, channels - 1)]
            self.add("Gather", f"{maps} {self.constant(order)}", len(order), size, axis=1)
        elif kind == "cut" and channels > 1:
            ends = [self.constant(np.array([end])) for end in (1, channels, 1)]
            self.add("Slice", f"{maps} {' '.join(ends)}", channels - 1, size)
        elif kind == "crop" and size > 2:
            ends = [self.constant(np.array(end)) for end in ([1, 0], [size, size - 1], [2, 3])]
            self.add("Slice", f"{maps} {' '.join(ends)}", channels, size - 1)
        elif kind == "shuffle" and channels % 2 == 0:
            wide = self.constant(np.array([0, 2, channels // 2, size, size]))
            self.nodes.append(("Reshape", f"{maps} {wide}", f"r{len(self.nodes)}", {}))
            self.nodes.append(("Transpose", self.nodes[-1][2], f"r{len(self.nodes)}", {"perm": [0, 2, 1, 3, 4]}))
            self.add(
                "Reshape", f"{self.nodes[-1][2]} {self.constant(np.array([0, channels, size, size]))}", channels, size
            )
        elif kind == "pad":
            pads = self.constant(np.array([0, 0, 1, 1, 0, 1, 0, 0]))
            grown = self.constant(np.array([0, 0, 1, 1, 0, 0, 0, 0]))
            mode = draw(st.sampled_from(["constant", "reflect", "edge"])) if size > 1 else "constant"
            if draw(st.booleans()):  # a channel of zeros
                self.nodes.append(("Pad", f"{maps} {pads}", f"r{len(self.nodes)}", {}))
                self.add("Pad", f"{self.nodes[-1][2]} {grown}", channels + 1, size + 2)
                self.nodes[-1][3].update(mode="constant")
                ends = [self.constant(np.array(end)) for end in ([0, 0], [size, size], [2, 3])]
                self.add("Slice", f"{self.maps[-1][0]} {' '.join(ends)}", channels + 1, size)
            else:
                self.add("Pad", f"{maps} {grown}", channels, size + 1, mode=mode)
        elif kind == "pool" and size > 1:
            op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
            self.add(op, maps, channels, size - 1, kernel_shape=[2, 2])
        elif kind == "gate":
            self.nodes.append(("GlobalAveragePool", maps, f"r{len(self.nodes)}", {}))
            weight = self.zeroed(self.tensor(channels, channels, 1, 1))
            self.nodes.append(("Conv", f"{self.nodes[-1][2]} {weight}", f"r{len(self.nodes)}", {}))
            self.nodes.append(("Sigmoid", self.nodes[-1][2], f"r{len(self.nodes)}", {}))
            self.add("Mul", f"{maps} {self.nodes[-1][2]}", channels, size)
        elif kind == "softmax":
            self.add("Softmax", maps, channels, size, axis=draw(st.sampled_from([1, -1])))
        elif kind == "instance":
            self.add("InstanceNormalization", f"{maps} {self.vector(channels)} {self.vector(channels)}", channels, size)
        elif kind == "layernorm":
            self.add("LayerNormalization", f"{maps} {self.vector(size)} {self.vector(size)}", channels, size)
        elif kind == "quantize":
            zero = self.constant(np.uint8(draw(st.sampled_from([0, 128]))))
            scale = self.constant(np.float32(0.1))
            self.nodes.append(("QuantizeLinear", f"{maps} {scale} {zero}", f"r{len(self.nodes)}", {}))
            self.add("DequantizeLinear", f"{self.nodes[-1][2]} {scale} {zero}", channels, size)
        elif kind == "attend":
            self.add("MatMul", f"{maps} {self.maps[draw(st.integers(0, len(self.maps) - 1))][0]}", channels, size)
            if self.maps[-1][2] != next(s for name, _, s in self.maps if name == self.nodes[-1][1].split()[1]) or next(
                c for name, c, _ in self.maps if name == self.nodes[-1][1].split()[1]
            ) not in (1, channels):
                self.nodes.pop()
                self.maps.pop()
        elif kind == "matmul":
            left = draw(st.booleans())
            weight = self.zeroed(self.tensor(size, size))
            self.add("MatMul", f"{weight} {maps}" if left else f"{maps} {weight}", channels, size)
        elif kind == "mean":
            axes = self.constant(np.array([2]))
            self.nodes.append(("ReduceMean", f"{maps} {axes}", f"r{len(self.nodes)}", {}))
            self.add("Add", f"{maps} {self.nodes[-1][2]}", channels, size)

    def finish(self) -> None:
        maps, channels, size = self.maps[-1]
        self.nodes.append(("Flatten", maps, "flat", {}))
        weight = self.zeroed(self.tensor(3, channels * size * size))
        self.nodes.append(("Gemm", f"flat {weight} {self.vector(3)}", "y", {"transB": 1}))


KINDS = """conv conv conv transposed norm unary clip prelu vector two where concat gather cut crop shuffle pad pool gate
softmax instance layernorm quantize attend matmul mean""".split()  # noqa: SIM905


@st.composite
def networks(draw):
    network = Network(draw, np.random.default_rng(draw(st.integers(0, 2**31))))
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=9)):
        network.grow(kind)
    network.finish()
    return network


@settings(deadline=None, max_examples=150)
@given(network=networks(), seed=st.integers(0, 2**31))
def test_noise_where_nothing_is_needed_does_not_change_the_answer(build, network, seed):
    model = build(network.nodes, network.tensors, shape=("batch", 4, 6, 6), output_shape=("batch", 3))
    graph = read_graph(model)
    images = np.random.default_rng(seed).normal(size=(1, 4, 6, 6)).astype(np.float32)
    expected = run(model, images)
    for weights in (True, False) if np.isfinite(expected).all() else ():
        got = run(disturbed(graph, seed, weights=weights)[0], images)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max() + 1e-5)


@settings(deadline=None, max_examples=60)
@given(network=networks())
def test_what_is_left_lies_between_the_nonzero_and_the_dense_work(build, network):
    from micronet_resources.onnx_graph.counting import count_graph

    graph = read_graph(build(network.nodes, network.tensors, shape=("batch", 4, 6, 6), output_shape=("batch", 3)))
    liveness = follow_zeros(graph)
    for index, (node, operations) in enumerate(count_graph(graph)):
        left = liveness.nodes[index]
        macs = sum(operation.macs for operation in operations)
        outputs = sum(int(np.prod(graph.types[name].shape)) for name in node.outputs)
        assert 0 <= left.nonzero_macs <= left.live_macs <= macs
        assert 0 <= left.live_outputs <= outputs
        assert (left.live_macs > 0) <= (left.live_outputs > 0)


def test_the_disturbance_reaches_a_network_whose_zeros_are_denied(build):
    """The test above can fail: a filter that is not zero after all changes the answer."""
    random = np.random.default_rng(0)
    tensors = {"w": random.normal(size=(4, 4, 3, 3)), "v": random.normal(size=(3, 4 * 16)), "b": np.zeros(3)}
    tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
    tensors["w"][1] = 0
    nodes = [("Conv", "x w", "c"), ("Flatten", "c", "f"), ("Gemm", "f v b", "y", {"transB": 1})]
    pruned = build(nodes, tensors, shape=("batch", 4, 6, 6))
    changed, noisy = disturbed(read_graph(pruned), 1, weights=True)
    assert noisy == 3 * 16  # what met the map of the filter
    tensors["w"][1] = 1
    image = random.normal(size=(1, 4, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(run(changed, image), run(pruned, image), rtol=1e-4, atol=1e-4)
    assert not np.allclose(run(changed, image), run(build(nodes, tensors, shape=("batch", 4, 6, 6)), image), atol=1e-2)
