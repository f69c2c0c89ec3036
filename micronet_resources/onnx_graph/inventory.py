"""Everything that a rule set needs to know about an entry: counts, values, pruning and widths put together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from micronet_resources.encoding import find_encodings, has_only_signs, operand_bits
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.onnx_graph.activation_bits import input_bits
from micronet_resources.onnx_graph.constants import to_root_layout
from micronet_resources.onnx_graph.counting import StoredRoot, Use, count_graph, find_folded, stored_roots
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.pruning import LiveNode, follow_zeros
from micronet_resources.onnx_graph.records import Graph, Node
from micronet_resources.operations import Operation
from micronet_resources.report import LayerProfile

__all__ = ["take_inventory"]

FULL = 32  # bits of a factor about which nothing is known
# Where the outputs are in the weight of a node.
OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}
LONGEST_NAME = 100


@dataclass(frozen=True)
class _Folding:
    """What disappears when batch normalizations are folded into the layers in front of them."""

    normalizations: frozenset[int]
    biases: frozenset[int]  # nodes that add the bias of such a layer
    readers: frozenset[tuple[int, int]]  # (node, position) of the scales and of these biases


def _find_folding(graph: Graph) -> _Folding:
    pairs = find_folded(graph)
    biases, readers = set(), set()
    producers = {name: index for index, node in enumerate(graph.nodes) for name in node.outputs}
    for normalization, layer in pairs.items():
        readers.add((normalization, 1))
        between = producers[graph.nodes[normalization].inputs[0]]
        adder = between if between != layer else layer
        biases.add(adder)
        if adder == layer:
            readers.add((layer, 2))
        else:
            readers.update((adder, position) for position in range(len(graph.nodes[adder].inputs)))
    return _Folding(frozenset(pairs), frozenset(biases), frozenset(readers))


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
    counted = count_graph(graph, limits)
    roots = stored_roots(graph)
    folding = _find_folding(graph)
    liveness = follow_zeros(graph)
    widths = input_bits(graph)
    stored = {root.root: _measure_tensor(graph, root, liveness.roots[root.root], folding) for root in roots}
    first_use = {}
    for root in roots:
        first_use.setdefault(root.uses[0].node, []).append(stored[root.root])
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


def _measure_tensor(graph: Graph, root: StoredRoot, live: np.ndarray, folding: _Folding) -> StoredTensor:
    return StoredTensor(
        name=_clean(root.name),
        shape=tuple(root.value.shape),
        role=root.role,
        live=int(live.sum()),
        nonzero=int(np.count_nonzero(root.value[live])),
        encodings=find_encodings(root.value, axis=_output_axis(graph, root), live=live),
        folded=all((use.node, use.position) in folding.readers for use in root.uses),
    )


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
    folding: _Folding,
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
