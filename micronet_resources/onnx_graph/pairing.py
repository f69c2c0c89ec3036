"""Charges element-wise work that does what a matrix product does.

Every way to apply a matrix of weights without a matrix product first copies a feature map, once for each row of the
matrix, and then puts each copy together with weights: by a scale, a mask, a sum inside of an exponential, a power, a
look-up. Ordinary networks put every element that a layer computed together with one number or two, such as a bias.
So element-wise work on copies costs one multiplication for each copy, whichever operator does it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from micronet_resources.onnx_graph.costs import FREE
from micronet_resources.onnx_graph.counting import count_graph
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS
from micronet_resources.onnx_graph.records import Graph, Node
from micronet_resources.operations import MAC_KINDS, Operation

__all__ = ["CHARGED", "charge_graph"]

CHARGED = frozenset({*MAC_KINDS, "product"})
# They multiply elements of one feature map with each other.
MULTIPLIES_ELEMENTS = frozenset({"LpPool", "ReduceProd", "ReduceSumSquare"})
# They put several elements of one input together.
COMBINES = frozenset({"LogSoftmax", "LpNormalization", "Softmax"})
COMBINING_KINDS = frozenset({"bias", "normalization", "pooling", "residual"})
# A feature map may have so many times the elements that were computed; resizing, padding and overlaps repeat some.
REPEATS = 2


def charge_graph(graph: Graph, limits: Limits | None = None) -> tuple[tuple[Node, tuple[Operation, ...]], ...]:
    """Arithmetic of each node for one image, where element-wise work on copies of a feature map counts as products.

    Parameters
    ----------
    graph : Graph
    limits : Limits, optional
        As in :func:`~micronet_resources.onnx_graph.counting.count_graph`.

    Returns
    -------
    tuple of (Node, tuple of Operation)
        As :func:`~micronet_resources.onnx_graph.counting.count_graph` gives it.

    Raises
    ------
    EntryError
        If the cost of a node is not known, or the sum exceeds the limit.
    """
    tracker = _Copies(graph)
    return tuple((node, tracker.follow(node, operations)) for node, operations in count_graph(graph, limits))


class _Copies:
    """How many elements of each feature map were computed, and are no copies of others."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.computed: dict[str, int] = {}
        # Tensors that a map is made of, each with its elements: copies of one tensor do not add up.
        self.origins: dict[str, dict[str, int]] = {}
        self._start(graph.input)

    def _size(self, name: str) -> int:
        return math.prod(self.graph.types[name].shape)

    def _start(self, name: str) -> None:
        self.computed[name] = self._size(name)
        self.origins[name] = {name: self.computed[name]}

    def follow(self, node: Node, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        """Operations of a node as they are charged."""
        maps = [name for name in node.inputs if name in self.computed]
        largest = max(self._size(name) for name in (*maps, node.outputs[0]))
        origins: dict[str, int] = {}
        for name in maps:
            origins |= self.origins[name]
        counts = [self.computed[name] for name in dict.fromkeys(maps)]
        computed = min(sum(counts), sum(origins.values())) if node.op == "Concat" else max(counts)
        if node.op in MULTIPLIES_ELEMENTS or (self._combines(node, operations) and largest > REPEATS * computed):
            operations = tuple(_as_products(operation, largest) for operation in operations)
        is_charged = any(operation.kind in CHARGED for operation in operations)
        for name in filter(None, node.outputs):
            if is_charged:
                self._start(name)
            else:
                self.computed[name], self.origins[name] = min(computed, self._size(name)), origins
        return operations

    def _combines(self, node: Node, operations: tuple[Operation, ...]) -> bool:
        """Whether an operator puts elements together, and is not charged for it."""
        if node.op in FREE or any(operation.kind in CHARGED for operation in operations):
            return False
        if node.op in COMBINES or any(operation.kind in COMBINING_KINDS for operation in operations):
            return True
        shape_slots = SHAPE_SLOTS.get(node.op, ())
        inputs = [name for position, name in enumerate(node.inputs) if name and position not in shape_slots]
        return sum(self._has_numbers(name) for name in inputs) > 1

    def _has_numbers(self, name: str) -> bool:
        constant = self.graph.constants.get(name)
        return self._size(name) > 1 and not (constant is not None and constant.literal)


def _as_products(operation: Operation, elements: int) -> Operation:
    return replace(operation, kind="product", multiplications=max(operation.multiplications, elements))
