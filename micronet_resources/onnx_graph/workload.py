"""How much work it is to compute a constant, known before it is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from micronet_resources.onnx_graph.operators import MOVES

__all__ = ["numbers_of", "padding_of", "work"]

Inputs = Sequence[np.ndarray | None]
Attributes = Mapping[str, Any]

# Operators whose inputs are broadcast to each other.
BROADCAST = frozenset(
    """
    Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow Sub Sum Where
    """.split()  # noqa: SIM905
)


def numbers_of(inputs: Inputs, attributes: Attributes, position: int, name: str) -> tuple[int, ...] | None:
    """A list of whole numbers that newer operator sets give as an input and older ones as an attribute."""
    value = inputs[position] if len(inputs) > position else None
    if value is not None:
        return tuple(int(number) for number in np.ravel(value))
    given = attributes.get(name)
    return None if given is None else tuple(int(number) for number in given)


def padding_of(attributes: Attributes, inputs: Inputs) -> list[tuple[int, int, int]]:
    """Of each axis: size, elements added before and after."""
    shape = inputs[0].shape
    pads = numbers_of(inputs, attributes, 1, "pads")
    axes = numbers_of(inputs, attributes, 3, "axes") or tuple(range(len(shape)))
    widths = [(size, 0, 0) for size in shape]
    for position, axis in enumerate(axes):
        widths[axis] = (shape[axis], pads[position], pads[position + len(axes)])
    return widths


def work(op: str, attributes: Attributes, inputs: Inputs) -> int:
    """Elements that folding a node reads, multiplies or writes, known before it is done.

    Parameters
    ----------
    op : str
    attributes : mapping
        As in :class:`~micronet_resources.onnx_graph.graph.Node`.
    inputs : sequence of array or None

    Returns
    -------
    int

    Examples
    --------
    >>> work("MatMul", {}, [np.ones((8, 4)), np.ones((4, 16))])
    512
    """
    shapes = [value.shape for value in inputs if value is not None]
    read = sum(math.prod(shape) for shape in shapes)
    if op == "MatMul":
        return math.prod(shapes[0]) * (shapes[1][-1] if len(shapes[1]) > 1 else 1) * math.prod(shapes[1][:-2])
    if op in BROADCAST:
        return max(read, math.prod(np.broadcast_shapes(*shapes)))
    if op == "Expand":
        return math.prod(np.broadcast_shapes(shapes[0], tuple(int(size) for size in inputs[1])))
    if op == "ConstantOfShape":
        return math.prod(max(0, int(size)) for size in inputs[0])
    if op == "Range":
        first, end, step = (float(np.ravel(value)[0]) for value in inputs)
        return max(0, math.ceil((end - first) / step))
    if op == "Gather":
        rows = shapes[0][attributes.get("axis", 0)]
        return math.prod(shapes[0]) // max(1, rows) * math.prod(shapes[1])
    if op == "Tile":
        return math.prod(shapes[0]) * math.prod(max(0, int(times)) for times in inputs[1])
    if op == "Pad":
        return math.prod(size + abs(before) + abs(after) for size, before, after in padding_of(attributes, inputs))
    if op in MOVES and (op not in ("Reshape", "Flatten") or inputs[0].flags.c_contiguous):
        return 0  # a view of the same memory
    return read
