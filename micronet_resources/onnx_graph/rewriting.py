"""Writes what was measured as an ONNX model again, so that nothing else is run.

What the file holds and what was measured agree where the arithmetic of the measurement is that of a runtime, and
nearly all networks are like that. They can be made to differ: by a constant that two programs compute differently, by
the sign of a zero, by zero times infinity. So a runtime never sees the file. It gets the constants as they were
measured, without the elements that were found to do nothing, and a feature map that was found to be zero is zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from micronet_resources.onnx_graph.compact import MOVES, compact
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.needed_elements import needed_elements
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS, STATISTICS_SLOTS
from micronet_resources.onnx_graph.records import Graph, Node
from micronet_resources.onnx_graph.zero_values import KEEP_ZERO, POOLS, REDUCTIONS, fixed_values

__all__ = ["INPUT", "OUTPUT", "rewrite_graph"]

INPUT, OUTPUT = "images", "scores"
IR_VERSION = 10
LARGEST_FILE = 2**31 - 2**20  # bytes; a message of protocol buffers has less than 2 GiB
# At these inputs an element that does nothing becomes 1: zero would make infinity of what is not read.
DIVISORS = {"Div": 1, "Mod": 1, "Pow": 1}
# What is known about their outputs holds in a runtime as soon as it holds of their inputs.
FOLLOWING = MOVES | POOLS | REDUCTIONS | KEEP_ZERO | {"Abs", "LeakyRelu", "Neg", "PRelu", "QuantizeLinear", "Relu"}


def rewrite_graph(graph: Graph) -> bytes:
    """Write a graph for one image, with the numbers that were measured and no others.

    Constants are stored as they were computed, with one zero in place of +0.0 and -0.0. Elements of them that
    :func:`~micronet_resources.onnx_graph.pruning.follow_zeros` finds dead are zero (one where they divide), and
    elements of feature maps that it takes to be fixed or not read are set to what it takes them for.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    bytes
        An ONNX model with the input :data:`INPUT` and the output :data:`OUTPUT`.

    Raises
    ------
    EntryError
        If the constants, which are stored as they were computed, make a file of more than 2 GiB.

    Examples
    --------
    >>> from micronet_resources.onnx_graph.admission import admit
    >>> from micronet_resources.onnx_graph.graph import read_graph
    >>> from micronet_resources.references import reference_path
    >>> graph = read_graph(admit(reference_path().read_bytes()))
    >>> onnx.ModelProto.FromString(rewrite_graph(graph)).graph.input[0].type.tensor_type.shape.dim[0].dim_value
    1
    """
    return _Writer(graph, fixed_values(graph)).write()


@dataclass
class _Writer:
    graph: Graph
    values: Mapping[str, np.ndarray]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # those of the file may be anything
    size: int = 0

    def write(self) -> bytes:
        graph = self.graph
        masks, _, needs = needed_elements(graph, self.values)
        divisors = {node.inputs[DIVISORS[node.op]] for node in graph.nodes if node.op in DIVISORS}
        for name, live in self._live(masks).items():
            value = _measured(graph.constants[name].value, live, fill=int(name in divisors))
            self._store(self._name(name), value)
        self.names[graph.input] = INPUT
        for index, node in enumerate(graph.nodes):
            self._add(index, node, needs)
        self.nodes.append(helper.make_node("Identity", [self.names[graph.output]], [OUTPUT]))
        ends = [self._described(graph.input, INPUT)], [self._described(graph.output, OUTPUT)]
        body = helper.make_graph(self.nodes, "measured", *ends, self.tensors)
        opsets = [helper.make_opsetid("", graph.opset)]
        return helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()

    def _name(self, name: str) -> str:
        return self.names.setdefault(name, f"t{len(self.names)}") if name else ""

    def _described(self, name: str, shown: str) -> onnx.ValueInfoProto:
        kind = self.graph.types[name]
        return helper.make_tensor_value_info(shown, helper.np_dtype_to_tensor_dtype(kind.dtype), kind.shape)

    def _store(self, name: str, value: np.ndarray) -> str:
        self.size += value.nbytes
        if self.size > LARGEST_FILE:
            raise EntryError(
                "the constants of this entry, as they are when computed, take more than 2 GiB: store less, or compute "
                "them from the image."
            )
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _live(self, masks: Mapping[tuple[int, int], np.ndarray]) -> dict[str, np.ndarray]:
        """For each constant that is read, which of its elements any use needs."""
        found: dict[str, np.ndarray] = {}
        for index, node in enumerate(self.graph.nodes):
            for position, name in enumerate(node.inputs):
                if name in self.graph.constants:
                    live = np.ones((), bool) if self._is_kept(node, position) else masks[index, position]
                    found[name] = live | found.get(name, np.zeros((), bool))
        return found

    def _is_kept(self, node: Node, position: int) -> bool:
        if position in SHAPE_SLOTS.get(node.op, ()) or position in STATISTICS_SLOTS.get(node.op, ()):
            return True
        # A choice of whole numbers is not settled below, so it is made as it was.
        return node.op == "Where" and position == 0 and not self._is_float(node.outputs[0])

    def _is_float(self, name: str) -> bool:
        return self.graph.types[name].dtype.kind == "f"

    def _add(self, index: int, node: Node, needs: Mapping[str, np.ndarray]) -> None:
        outputs = [self._name(name) for name in node.outputs]
        settled = []
        for position, name in enumerate(node.outputs):
            if name and node.op not in FOLLOWING and self._is_float(name):
                choice = self._settle(name, needs.get(name, np.zeros((), bool)))
                if choice is not None:
                    outputs[position] = choice.input[1]
                    settled.append(choice)
        inputs = [self._name(name) for name in node.inputs]
        proto = helper.make_node(node.op, inputs, outputs, name=f"{node.name[:100]} ({index})")
        proto.attribute.extend(_attributes(node, self.graph.opset))
        self.nodes += [proto, *settled]

    def _settle(self, name: str, needed: np.ndarray) -> onnx.NodeProto | None:
        """The node that sets the elements of a feature map that are fixed or not read, if there are some."""
        value, dtype = self.values[name], self.graph.types[name].dtype
        varies = compact(needed & np.isnan(value))
        if varies.all():
            return None
        new = self.names[name]
        fixed = compact(np.nan_to_num(value, nan=0.0, posinf=np.inf, neginf=-np.inf).astype(dtype) + dtype.type(0))
        mask, fill = self._store(f"{new}_varies", varies), self._store(f"{new}_fixed", fixed)
        return helper.make_node("Where", [mask, f"{new}_raw", fill], [new], name=f"settle {new}")


def _measured(value: np.ndarray, live: np.ndarray, fill: int) -> np.ndarray:
    """A constant with one zero, without what is not needed of it."""
    if value.dtype.kind == "f":
        value = value + value.dtype.type(0)
    return value if live.all() else np.where(live | (value == 0), value, value.dtype.type(fill))


def _attributes(node: Node, opset: int) -> Iterator[onnx.AttributeProto]:
    known = onnx.defs.get_schema(node.op, opset, "").attributes
    for name, value in node.attributes.items():
        if isinstance(value, np.ndarray):
            value = numpy_helper.from_array(value)
        yield helper.make_attribute(name, value, attr_type=known[name].type.value)
