"""How many bits the feature maps of an entry have, read from its quantize and dequantize operators.

A feature map lies on a grid if every element is a scale times a whole number between two levels. The grid is followed
through operators that make no new numbers; where that is not certain, the width is that of the type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["input_bits"]

# Operators whose output elements are all elements of their first input.
KEEPS = frozenset(
    """
    Reshape Transpose Flatten Squeeze Unsqueeze Identity Dropout DepthToSpace SpaceToDepth Slice Gather Expand Split
    Tile MaxPool GlobalMaxPool ReduceMax ReduceMin
    """.split()  # noqa: SIM905
)
LEVELS = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7), "uint4": (0, 15)}
SLACK = 1e-3
WIDTHS = {"bool": 1, "int4": 4, "uint4": 4}


@dataclass(frozen=True)
class _Grid:
    """``scale * (level - zero)`` for whole levels from ``lowest`` to ``highest``; on whole numbers the level itself."""

    scale: float
    zero: int
    lowest: int
    highest: int

    @property
    def bits(self) -> int:
        return max(1, math.ceil(math.log2(self.highest - self.lowest + 1)))

    def including(self, level: int) -> _Grid:
        return replace(self, lowest=min(self.lowest, level), highest=max(self.highest, level))

    def clipped_at(self, lowest: float, highest: float, kind: Callable[[float], Any]) -> _Grid | None:
        """What is left when values of a type are clipped, the upper bound last; None if a bound is no level."""

        def value(level: int) -> float:
            return float(kind(level - self.zero) * kind(self.scale))

        def level(bound: float) -> int | None:
            nearest = round(bound / self.scale) + self.zero if math.isfinite(bound) else None
            return nearest if nearest is not None and value(nearest) == bound else None

        first = self.lowest if lowest <= value(self.lowest) else level(lowest)
        if first is None:
            return None
        last = max(self.highest, first)
        if highest < value(last):
            last = level(highest)
        if last is None:
            return None
        ends = (min(max(end, first), last) for end in (self.lowest, self.highest))
        return _Grid(self.scale, self.zero, *ends)


class _Follower:
    """Grids and ranges of the tensors of one graph, filled in the order of its nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.grids: dict[str, _Grid] = {}
        self.ranges: dict[str, tuple[float, float]] = {}

    def bits(self, name: str) -> int:
        if name in self.grids:
            return self.grids[name].bits
        dtype = self.graph.types[name].dtype
        return WIDTHS.get(dtype.name, 8 * dtype.itemsize)

    def number(self, node: Node, position: int, absent: float) -> float | None:
        """The one number that a constant input holds; None if it is not one number."""
        name = node.inputs[position] if len(node.inputs) > position else ""
        if not name:
            return absent
        constant = self.graph.constants.get(name)
        return float(constant.value.item()) if constant is not None and constant.value.size == 1 else None

    def follow(self, node: Node) -> None:
        source = node.inputs[0]
        dtype = self.graph.types[node.outputs[0]].dtype.name
        if node.op in KEEPS and source in self.ranges:
            self.ranges.update((name, self.ranges[source]) for name in node.outputs if name)
        grid = None
        if node.op == "QuantizeLinear":
            grid = self._quantized(node, dtype)
        elif node.op == "DequantizeLinear":
            grid = self._dequantized(node)
        elif node.op == "Concat":
            grid = self._joined(node)
        elif node.op in ("Clip", "Relu", "Max", "Min"):
            grid = self._cut(node)
        elif node.op == "Pad":
            grid = self._padded(node)
        elif node.op in KEEPS:
            grid = self.grids.get(source)
        if grid is not None:
            # MaxPool can give positions beside the elements: those lie on no grid.
            names = node.outputs if node.op == "Split" else node.outputs[:1]
            self.grids.update((name, grid) for name in names if name)

    def _quantized(self, node: Node, dtype: str) -> _Grid | None:
        scale, zero = self.number(node, 1, 1.0), self.number(node, 2, 0.0)
        if scale is None or zero is None or dtype not in LEVELS or not (0 < scale < math.inf):
            return None
        first, last = LEVELS[dtype]
        lowest, highest = (end / scale + zero for end in self.ranges.get(node.inputs[0], (-math.inf, math.inf)))
        # An end near the middle between two levels counts with the outer one: a runtime may round it either way.
        if lowest > first:
            first = min(math.ceil(lowest - 0.5 - SLACK * abs(lowest)), last) if lowest < last else last
        if highest < last:
            last = max(math.floor(highest + 0.5 + SLACK * abs(highest)), first) if highest > first else first
        return _Grid(1.0, 0, first, last)

    def _dequantized(self, node: Node) -> _Grid | None:
        scale, zero = self.number(node, 1, 1.0), self.number(node, 2, 0.0)
        dtype = self.graph.types[node.inputs[0]].dtype.name
        if scale is None or zero is None or dtype not in LEVELS or not (0 < scale < math.inf):
            return None
        levels = self.grids.get(node.inputs[0], _Grid(1.0, 0, *LEVELS[dtype]))
        return replace(levels, scale=scale, zero=int(zero))

    def _joined(self, node: Node) -> _Grid | None:
        grids = [self.grids.get(name) for name in node.inputs]
        if None in grids or len({(grid.scale, grid.zero) for grid in grids}) > 1:
            return None
        lowest, highest = min(grid.lowest for grid in grids), max(grid.highest for grid in grids)
        return replace(grids[0], lowest=lowest, highest=highest)

    def _cut(self, node: Node) -> _Grid | None:
        """Keep the range that a cut leaves; the grid too, if the ends of the cut are levels of it."""
        source, bounds = node.inputs[0], (0.0, math.inf)
        if node.op == "Clip":
            bounds = (self.number(node, 1, -math.inf), self.number(node, 2, math.inf))
        elif node.op != "Relu":
            if len(node.inputs) != 2:
                return None
            position = 1 if node.inputs[1] in self.graph.constants else 0
            source, bound = node.inputs[1 - position], self.number(node, position, 0.0)
            bounds = (bound, math.inf) if node.op == "Max" else (-math.inf, bound)
        if None in bounds or any(math.isnan(bound) for bound in bounds):
            return None
        lowest, highest = bounds
        before = self.ranges.get(source, (-math.inf, math.inf))
        self.ranges[node.outputs[0]] = tuple(min(max(end, lowest), highest) for end in before)
        grid = self.grids.get(source)
        if grid is None:
            return None
        kind = self.graph.types[source].dtype.type
        return grid.clipped_at(*bounds, kind)

    def _padded(self, node: Node) -> _Grid | None:
        grid = self.grids.get(node.inputs[0])
        if grid is None or node.attributes.get("mode", "constant") != "constant":
            return grid
        return grid.including(grid.zero) if self.number(node, 2, 0.0) == 0 else None


def input_bits(graph: Graph) -> Mapping[tuple[int, int], int]:
    """Width of every feature map where an operator reads it.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    mapping of (int, int) to int
        For each node, by its position in ``graph.nodes``, and each of its inputs that depends on the image: the bits
        that tell the levels apart which can occur, if the map lies on a grid with one scale; otherwise those of its
        type, 16 for float16 and 32 for float32.

    Examples
    --------
    >>> from micronet_resources.onnx_graph.admission import admit
    >>> from micronet_resources.onnx_graph.graph import read_graph
    >>> from micronet_resources.references import reference_path
    >>> graph = read_graph(admit(reference_path().read_bytes()))
    >>> input_bits(graph)[0, 0]
    32
    """
    follower = _Follower(graph)
    found = {}
    for index, node in enumerate(graph.nodes):
        for position, name in enumerate(node.inputs):
            if name and name not in graph.constants:
                found[index, position] = follower.bits(name)
        follower.follow(node)
    return found
