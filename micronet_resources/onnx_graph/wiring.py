"""Who computes what for whom: questions about neighbors in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from micronet_resources.onnx_graph.constants import Constant
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS
from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["Wiring"]

# Operators between the two products of an attention: scaling, masking and softmax.
BETWEEN_PRODUCTS = frozenset({"Mul", "Div", "Add", "Where", "Cast", "CastLike", "Identity", "Dropout", "Clip"})
STEPS = 12  # how far a pattern may reach


@dataclass(frozen=True)
class Wiring:
    """A graph with its producers and consumers."""

    graph: Graph

    @cached_property
    def producers(self) -> Mapping[str, int]:
        """Position of the node that computes each tensor."""
        return {name: index for index, node in enumerate(self.graph.nodes) for name in node.outputs if name}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[int, ...]]:
        """Positions of the nodes that read each tensor."""
        found: dict[str, list[int]] = {}
        for index, node in enumerate(self.graph.nodes):
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    def constant(self, node: Node, position: int) -> Constant | None:
        """The constant at an input, None if the input is absent or depends on the image."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        return self.graph.constants.get(name) if name else None

    def shape(self, node: Node, position: int) -> tuple[int, ...]:
        return self.graph.types[node.inputs[position]].shape

    def output_shape(self, node: Node) -> tuple[int, ...]:
        return self.graph.types[node.outputs[0]].shape

    def producer(self, name: str) -> Node | None:
        index = self.producers.get(name)
        return None if index is None else self.graph.nodes[index]

    def only_consumer(self, name: str) -> int | None:
        """The node that reads a tensor, if nobody else does."""
        readers = self.consumers.get(name, ())
        return readers[0] if len(readers) == 1 and name != self.graph.output else None

    def is_attention(self, node: Node) -> bool:
        """Whether a matrix product of two feature maps gives the scores of an attention or applies them."""
        return self._from_softmax(node.inputs[0]) or self._to_softmax(node.outputs[0])

    def _from_softmax(self, name: str) -> bool:
        for _ in range(STEPS):
            node = self.producer(name)
            if node is None or node.op == "Softmax":
                return node is not None
            if node.op not in BETWEEN_PRODUCTS:
                return False
            name = next((source for source in node.inputs if source in self.producers), "")
        return False

    def _to_softmax(self, name: str) -> bool:
        for _ in range(STEPS):
            reader = self.only_consumer(name)
            if reader is None:
                return False
            node = self.graph.nodes[reader]
            if node.op == "Softmax":
                return True
            if node.op not in BETWEEN_PRODUCTS:
                return False
            name = node.outputs[0]
        return False

    def gates_itself(self, node: Node) -> bool:
        """Whether a product is x * f(x), where f reads nothing but x and numbers written in the graph."""
        dynamic = [name for name in node.inputs if name and name not in self.graph.constants]
        if len(dynamic) != 2:
            return False
        left, right = dynamic
        return left == right or self._depends_only(right, left) or self._depends_only(left, right)

    def divides_by_own_size(self, node: Node) -> bool:
        """Whether a product is x / sqrt(mean(x * x) + epsilon), the root-mean-square normalization of x."""
        if node.op != "Mul":
            return False
        for source, factor in (node.inputs, node.inputs[::-1]):
            squares = self._behind(factor, "Reciprocal", "Sqrt", "Add", "ReduceMean")
            square = self.producer(squares)
            if square is None or source not in square.inputs:
                continue
            exponent = self.constant(square, 1)
            if square.op == "Pow" and exponent is not None and exponent.literal and (exponent.value == 2).all():
                return True
            if square.op == "Mul" and square.inputs == (source, source):
                return True
        return False

    def _behind(self, name: str, *ops: str) -> str:
        """What enters a chain of operators, of which the last computes a tensor; empty if the chain is another."""
        for op in ops:
            node = self.producer(name)
            if node is None or node.op != op:
                return ""
            dynamic = [source for source in node.inputs if source and source not in self.graph.constants]
            added = [self.graph.constants[source].value for source in node.inputs if source in self.graph.constants]
            if len(dynamic) != 1 or (op == "Add" and any(value.size > 1 for value in added)):
                return ""
            name = dynamic[0]
        return name

    def _depends_only(self, name: str, source: str) -> bool:
        """Whether a tensor is computed from one other alone, in a few steps."""
        open_names, steps = [name], 0
        while open_names:
            current = open_names.pop()
            if current == source:
                continue
            node = self.producer(current)
            steps += 1
            if node is None or steps > STEPS:
                return False
            for position, source_name in enumerate(node.inputs):
                constant = self.constant(node, position)
                if constant is None and source_name:
                    open_names.append(source_name)
                elif constant is not None and constant.value.size > 1 and position not in SHAPE_SLOTS.get(node.op, ()):
                    return False
        return name != source
