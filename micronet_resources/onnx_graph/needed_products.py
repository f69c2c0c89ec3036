"""What is left of convolutions, linear maps and matrix products when some of their inputs are zero and some of their
outputs are not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from micronet_resources.onnx_graph.compact import any_over, channel_any, to_shape
from micronet_resources.onnx_graph.contraction import Contraction, contraction_of
from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["Arithmetic", "Call", "Masks", "needed_of_product", "spread"]

Masks = dict[int, np.ndarray]


@dataclass(frozen=True)
class Arithmetic:
    """What is left of one operator; no multiply-accumulates are given where it was not looked into."""

    live_outputs: int
    live_macs: int | None = None
    nonzero_macs: int | None = None


@dataclass(frozen=True)
class Call:
    """A node with what is known about its tensors."""

    node: Node
    graph: Graph
    values: Mapping[str, np.ndarray]  # of the feature maps: what is the same for every image, else NaN
    wanted: Sequence[np.ndarray]  # for each output: elements that are read and not zero
    varying: Sequence[np.ndarray]  # those of them that depend on the image

    def shape(self, position: int) -> tuple[int, ...]:
        return self.graph.types[self.node.inputs[position]].shape

    def positions(self) -> list[int]:
        return [position for position, name in enumerate(self.node.inputs) if name]

    def nonzero(self, position: int) -> np.ndarray:
        name = self.node.inputs[position]
        return (self.values[name] if name in self.values else self.graph.constants[name].value) != 0

    def everything(self) -> Masks:
        return {position: np.ones((1,) * len(self.shape(position)), bool) for position in self.positions()}


def needed_of_product(call: Call) -> tuple[Masks, Arithmetic | None]:
    """What a convolution, linear map or matrix product needs of its inputs, and what is left of it.

    Parameters
    ----------
    call : Call

    Returns
    -------
    masks : dict of int to array of bool
        For each input the elements that are needed, in an array that broadcasts to its shape. Positions of a
        convolution and rows of a matrix product are not told apart: as soon as one is read, all are.
    left : Arithmetic or None
        None if the product was not looked into, so that all of it counts.
    """
    found = contraction_of(call.node, call.graph)
    if found is not None:
        return _channels(call, found)
    if call.node.op == "MatMul" and len(call.shape(0)) >= 2 and len(call.shape(1)) >= 2:
        return _matrix_product(call)
    return call.everything(), None


def _channels(call: Call, found: Contraction) -> tuple[Masks, Arithmetic]:
    groups, rank = found.weight.shape[0], call.wanted[0].ndim
    read = channel_any(call.varying[0], found.axis, found.outputs).reshape(groups, -1, 1, 1)
    given = channel_any(call.nonzero(0), found.axis, found.inputs).reshape(groups, 1, -1, 1)
    effective = (found.weight != 0) & read & given
    outputs, inputs = effective.any((2, 3)), effective.any((1, 3))
    masks = {0: found.along_channels(inputs.ravel(), rank), 1: found.weight_mask(outputs, inputs)}
    if len(call.node.inputs) > 2 and call.node.inputs[2]:
        channels = channel_any(call.wanted[0], found.axis, found.outputs)
        masks[2] = channels if found.axis == 1 else to_shape(call.wanted[0], call.shape(2))
    taps, positions = found.weight.shape[3], found.positions
    output_positions = call.graph.types[call.node.outputs[0]].shape
    per_channel = int(np.prod(output_positions)) // found.outputs
    return masks, Arithmetic(
        live_outputs=int(outputs.sum()) * per_channel,
        live_macs=int((outputs.sum(1) * inputs.sum(1)).sum()) * taps * positions,
        nonzero_macs=int(np.count_nonzero(effective)) * positions,
    )


def spread(mask: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Repeat an array of length 1 along an axis."""
    shape = list(mask.shape)
    shape[axis] = size
    return np.broadcast_to(mask, shape)


def _matrix_product(call: Call) -> tuple[Masks, Arithmetic]:
    """Two matrices of which at least one depends on the image: rows x inner times inner x columns, batched."""
    shape, inner = call.graph.types[call.node.outputs[0]].shape, call.shape(0)[-1]
    # Rows are positions, such as the words of a sentence, unless the left matrix is the weight: all or none are needed.
    positions = -1 if call.node.inputs[0] in call.graph.constants else -2
    read = any_over(call.varying[0], [positions]).astype(np.float32)
    left, right = spread(call.nonzero(0), -1, inner), spread(call.nonzero(1), -2, inner)
    terms = (left.astype(np.float32) @ right.astype(np.float32)) * read
    columns, rows = max(read.shape[-1], right.shape[-1]), max(read.shape[-2], left.shape[-2])
    from_left = left & (spread(read, -1, columns) @ spread(right, -1, columns).swapaxes(-1, -2) > 0)
    from_right = right & (spread(left, -2, rows).swapaxes(-1, -2) @ spread(read, -2, rows) > 0)
    inner_live = from_left.any(-2) & from_right.any(-1)
    rows_live, columns_live = from_left.any(-1), from_right.any(-2)
    masks = {
        0: to_shape(rows_live[..., None] & inner_live[..., None, :], call.shape(0)),
        1: to_shape(inner_live[..., None] & columns_live[..., None, :], call.shape(1)),
    }
    batch = shape[:-2]
    number = {
        name: np.broadcast_to(live, (*batch, size)).sum(-1, dtype=np.int64)
        for name, live, size in (
            ("rows", rows_live, shape[-2]),
            ("inner", inner_live, inner),
            ("columns", columns_live, shape[-1]),
        )
    }
    repeated = int(np.prod(shape)) // terms.size
    return masks, Arithmetic(
        live_outputs=int((number["rows"] * number["columns"]).sum()),
        live_macs=int((number["rows"] * number["inner"] * number["columns"]).sum()),
        nonzero_macs=int(terms.sum(dtype=np.float64)) * repeated,
    )
