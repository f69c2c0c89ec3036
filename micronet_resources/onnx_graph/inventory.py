"""Everything that a rule set needs to know about an entry: counts, values, pruning and widths put together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from micronet_resources.encoding import find_encodings, has_only_signs, operand_bits
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.onnx_graph.activation_bits import input_bits
from micronet_resources.onnx_graph.constants import to_root_layout
from micronet_resources.onnx_graph.counting import StoredRoot, Use, stored_roots
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.normalizations import (
    MEAN,
    SCALE,
    SHIFT,
    VARIANCE,
    Folding,
    charge_statistics,
    find_folding,
)
from micronet_resources.onnx_graph.pairing import charge_graph
from micronet_resources.onnx_graph.pruning import LiveNode, follow_zeros
from micronet_resources.onnx_graph.records import Graph, Node
from micronet_resources.operations import Operation
from micronet_resources.report import LayerProfile

__all__ = ["take_inventory"]

FULL = 32  # bits of a factor about which nothing is known
# Where the outputs are in the weight of a node.
OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}
LONGEST_NAME = 100


def take_inventory(graph: Graph, limits: Limits | None = None) -> tuple[tuple[LayerProfile, ...], Inventory]:
    """Measure every stored tensor and every operation of an entry.

    Parameters
    ----------
    graph : Graph
    limits : Limits, optional
        As in :func:`~micronet_resources.onnx_graph.counting.count_graph`.

    Returns
    -------
    tuple of LayerProfile
        One for each module of the network, or node where modules are not known, that costs something.
    Inventory
        Its operations are those of the layers, in their order.

    Raises
    ------
    EntryError
        If the cost of a node is not known, or the sum exceeds the limit.
    """
    counted = charge_graph(graph, limits)
    roots = stored_roots(graph)
    liveness = follow_zeros(graph)
    widths = input_bits(graph)
    stored = {root.root: _measure_tensor(graph, root, liveness.roots[root.root]) for root in roots}
    stored = charge_statistics(graph, liveness, stored)
    folding = find_folding(graph, stored)
    reads = _find_reads(graph, roots)
    stored = {
        root: replace(tensor, name=_clean(tensor.name), folded=folding.readers.issuperset(reads[root]))
        for root, tensor in stored.items()
    }
    first_use = {}
    for root, tensor in stored.items():
        first_use.setdefault(reads[root][0][0], []).append(tensor)
    groups: dict[str, list[int]] = {}
    for index, (node, operations) in enumerate(counted):
        if operations or index in first_use:
            groups.setdefault(_clean(node.name), []).append(index)
    layers, measured = [], []
    for name, indices in groups.items():
        operations = []
        for index in indices:
            left = liveness.nodes[index]
            found = list(_measure_node(graph, index, counted[index][1], stored, left, widths, folding))
            operations += [each.operation for each in found]
            measured += found
        tensors = [tensor for index in indices for tensor in first_use.get(index, ())]
        layers.append(_layer(graph, name, [graph.nodes[index] for index in indices], operations, tensors))
    return tuple(layers), Inventory(tuple(stored.values()), tuple(measured))


def _clean(name: str) -> str:
    """A name from the file, fit to be shown: one short line of printable characters."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:LONGEST_NAME])
    return shown or "(model)"


def _measure_tensor(graph: Graph, root: StoredRoot, live: np.ndarray) -> StoredTensor:
    is_mask = graph.constants[root.root].value.dtype == bool
    return StoredTensor(
        name=root.name,
        shape=tuple(root.value.shape),
        role="other" if is_mask else root.role,
        live=int(live.sum()),
        nonzero=int(np.count_nonzero(root.value[live])),
        encodings=find_encodings(root.value, axis=_output_axis(graph, root), live=live),
    )


def _find_reads(graph: Graph, roots: Iterable[StoredRoot]) -> dict[str, list[tuple[int, int]]]:
    """Node and position of every use of the stored tensors; statistics stand where scale or bias would."""
    reads = {}
    for index, node in enumerate(graph.nodes):
        if node.op == "BatchNormalization":
            for position, name in ((SCALE, node.inputs[VARIANCE]), (SHIFT, node.inputs[MEAN])):
                reads.setdefault(graph.constants[name].root, []).append((index, position))
    return reads | {root.root: [(use.node, use.position) for use in root.uses] for root in roots}


def _output_axis(graph: Graph, root: StoredRoot) -> int | None:
    """Axis of the stored tensor along which the outputs lie, if all uses agree; a grid may have a scale for each."""
    axes = {_axis_of_use(graph, use) for use in root.uses} if root.role == "weight" else {None}
    return axes.pop() if len(axes) == 1 else None


def _axis_of_use(graph: Graph, use: Use) -> int | None:
    node, value = graph.nodes[use.node], use.constant.value
    axis = (0 if node.attributes.get("transB") else 1) if node.op == "Gemm" else OUTPUT_AXIS.get(node.op)
    if axis is None or use.position != 1 or value.ndim < 2:
        return None
    # Outputs are numbered and sent the way back to the stored tensor; strides say along which axis numbers change.
    numbers = np.arange(value.shape[axis]).reshape(
        [-1 if other == axis % value.ndim else 1 for other in range(value.ndim)]
    )
    moved = to_root_layout(np.broadcast_to(numbers, value.shape), use.constant)
    changing = [place for place in range(moved.ndim) if moved.shape[place] > 1 and moved.strides[place]]
    return changing[0] if len(changing) == 1 else None


def _measure_node(
    graph: Graph,
    index: int,
    operations: tuple[Operation, ...],
    stored: Mapping[str, StoredTensor],
    left: LiveNode,
    widths: Mapping[tuple[int, int], int],
    folding: Folding,
) -> Iterator[MeasuredOperation]:
    node = graph.nodes[index]
    macs = sum(operation.macs for operation in operations)
    maps = [place for place, name in enumerate(node.inputs) if name and name not in graph.constants]
    for operation in operations:
        tensor = stored.get(operation.weight)
        yield MeasuredOperation(
            operation=replace(operation, weight=tensor and tensor.name),
            weight_bits=operand_bits(tensor.encodings) if tensor else FULL,
            input_bits=max((widths[index, place] for place in maps), default=FULL),
            signs_only=has_only_signs(tensor.encodings) if tensor else False,
            live_outputs=left.live_outputs,
            live_macs=left.live_macs * operation.macs // macs if operation.macs else 0,
            nonzero_macs=left.nonzero_macs * operation.macs // macs if operation.macs else 0,
            folded=index in (folding.biases if operation.kind == "bias" else folding.normalizations),
        )


def _layer(
    graph: Graph, name: str, nodes: list[Node], operations: list[Operation], tensors: list[StoredTensor]
) -> LayerProfile:
    kinds = list(dict.fromkeys(node.op for node in nodes))
    first = next((source for source in nodes[0].inputs if source and source not in graph.constants), None)
    return LayerProfile(
        name=name,
        kind=", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else ""),
        input_shape=graph.types[first].shape[1:] if first else None,
        output_shape=graph.types[nodes[-1].outputs[0]].shape[1:],
        params=sum(math.prod(tensor.shape) for tensor in tensors),
        operations=tuple(operations),
    )
