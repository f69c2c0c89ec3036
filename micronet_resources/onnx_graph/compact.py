"""Arrays about every element of a feature map that take little room: an axis along which nothing changes has length 1.

What is known about a feature map is mostly the same at all positions of a channel, so that one number stands for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from micronet_resources.onnx_graph.folding import fold
from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["MOVES", "any_over", "channel_all", "channel_any", "compact", "count", "move", "to_shape"]

# Operators whose output elements are elements of their inputs, or a padding.
MOVES = frozenset(
    """
    Reshape Transpose Flatten Squeeze Unsqueeze Identity Dropout DepthToSpace SpaceToDepth Slice Gather Concat Expand
    Split Pad Tile
    """.split()  # noqa: SIM905
)


def compact(values: np.ndarray) -> np.ndarray:
    """Shorten every axis along which nothing changes to length 1; NaN equals NaN.

    Examples
    --------
    >>> compact(np.array([[1.0, np.nan], [1.0, np.nan]]))
    array([[ 1., nan]])
    """
    for axis, size in enumerate(values.shape):
        if size == 1:
            continue
        first = values[(slice(None),) * axis + (slice(0, 1),)]
        if values.strides[axis] != 0:
            same = values == first
            if values.dtype.kind == "f":
                same |= np.isnan(values) & np.isnan(first)
            if not same.all():
                continue
        values = first
    return values


def count(mask: np.ndarray, shape: tuple[int, ...]) -> int:
    """Number of true elements of a mask when it is spread over a shape.

    Examples
    --------
    >>> count(np.array([[True], [False]]), (2, 10))
    10
    """
    return int(mask.sum()) * (math.prod(shape) // mask.size)


def to_shape(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which elements of an operand of this shape reach a true element, when the operand is broadcast to the mask.

    Examples
    --------
    >>> to_shape(np.array([[True, False], [True, False]]), (2,))
    array([ True, False])
    """
    while mask.ndim > len(shape):
        mask = mask.any(0)
    mask = mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)
    for axis, size in enumerate(shape):
        if size == 1 and mask.shape[axis] > 1:
            mask = mask.any(axis, keepdims=True)
    return mask


def any_over(mask: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Whether any element along the axes is true; the axes stay, with length 1."""
    return mask.any(tuple(axes), keepdims=True)


def _others(values: np.ndarray, axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(values.ndim) if other != axis % values.ndim)


def channel_any(mask: np.ndarray, axis: int, channels: int) -> np.ndarray:
    """For each channel, whether any of its elements is true."""
    return np.broadcast_to(mask.any(_others(mask, axis)), channels)


def channel_all(mask: np.ndarray, axis: int, channels: int) -> np.ndarray:
    """For each channel, whether all of its elements are true."""
    return np.broadcast_to(mask.all(_others(mask, axis)), channels)


def _blocks(node: Node, values: np.ndarray) -> np.ndarray:
    size, (batch, channels, height, width) = node.attributes["blocksize"], values.shape
    if node.op == "SpaceToDepth":
        values = values.reshape(batch, channels, height // size, size, width // size, size)
        return values.transpose(0, 3, 5, 1, 2, 4).reshape(batch, -1, height // size, width // size)
    rest = channels // size**2
    if node.attributes.get("mode", "DCR") == "DCR":
        values = values.reshape(batch, size, size, rest, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        values = values.reshape(batch, rest, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
    return values.reshape(batch, rest, height * size, width * size)


def _repeated(node: Node, values: np.ndarray, lists: Sequence[np.ndarray | None]) -> np.ndarray:
    """Padding by reflection, by repetition or around."""
    pads = [int(pad) for pad in lists[1]]
    axes = lists[3] if len(lists) > 3 and lists[3] is not None else range(values.ndim)
    widths = [(0, 0)] * values.ndim
    for position, axis in enumerate(axes):
        widths[int(axis)] = (pads[position], pads[position + len(pads) // 2])
    return np.pad(values, widths, mode=node.attributes["mode"])


def _joined(node: Node, graph: Graph, values: Sequence[np.ndarray]) -> np.ndarray:
    shape = list(np.broadcast_shapes(*(_without(value.shape, node.attributes["axis"]) for value in values)))
    parts = []
    for name, value in zip(node.inputs, values, strict=True):
        shape[node.attributes["axis"]] = graph.types[name].shape[node.attributes["axis"]]
        parts.append(np.broadcast_to(value, shape))
    return np.concatenate(parts, node.attributes["axis"])


def _without(shape: tuple[int, ...], axis: int) -> list[int]:
    sizes = list(shape)
    sizes[axis] = 1
    return sizes


def move(node: Node, graph: Graph, values: Sequence[np.ndarray | None], fill: float) -> tuple[np.ndarray, ...] | None:
    """Send an array for each input through an operator that only moves elements.

    Parameters
    ----------
    node : Node
        One of :data:`MOVES`.
    graph : Graph
    values : sequence of array or None
        For each input that holds elements, an array that broadcasts to its shape; anything for the others.
    fill : number
        What an absent padding value stands for.

    Returns
    -------
    tuple of array or None
        One for each output; None if the node takes elements from positions that depend on the image.
    """
    if node.op == "Concat":
        return (_joined(node, graph, values),)
    inputs: list[np.ndarray | None] = []
    for position, name in enumerate(node.inputs):
        if position == 0:
            inputs.append(np.broadcast_to(values[0], graph.types[name].shape))
        elif node.op == "Pad" and position == 2:
            inputs.append(np.asarray(values[2] if name else fill))
        elif name and name not in graph.constants:
            return None
        else:
            inputs.append(graph.constants[name].value if name else None)
    if node.op in ("DepthToSpace", "SpaceToDepth"):
        return (_blocks(node, inputs[0]),)
    if node.op == "Pad":
        if node.attributes.get("mode", "constant") != "constant":
            return (_repeated(node, inputs[0], inputs),)
        if len(inputs) == 2:
            inputs.append(np.asarray(fill))
        inputs[2] = np.asarray(fill) if inputs[2] is None else inputs[2]
    return fold(node.op, node.attributes, inputs)
