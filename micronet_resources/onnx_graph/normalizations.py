"""What batch normalization stores: which of its scales disappear in a layer, and which statistics stand in for them.

Running means and variances are free because they can be computed into scale and bias. So what they are worth there is
what scale and bias cost at least. A scale disappears in the layer in front where the layer stores a number of its own
for each channel, be it a weight or the scale of a grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from micronet_resources.encoding import Encoding, cheapest, find_encodings
from micronet_resources.inventory import StoredTensor
from micronet_resources.onnx_graph.constants import Constant
from micronet_resources.onnx_graph.counting import find_folded
from micronet_resources.onnx_graph.pruning import Liveness
from micronet_resources.onnx_graph.records import Graph

__all__ = ["MEAN", "SCALE", "SHIFT", "VARIANCE", "Folding", "charge_statistics", "find_folding"]

SCALE, SHIFT, MEAN, VARIANCE = 1, 2, 3, 4  # inputs of a BatchNormalization
HALF, FULL = 16, 32  # bits
MASK = 1  # bit for each element


@dataclass(frozen=True)
class Folding:
    """What disappears when batch normalizations are folded into the layers in front of them.

    Parameters
    ----------
    normalizations : frozenset of int
        Nodes whose scale disappears.
    biases : frozenset of int
        Nodes that add the bias of such a layer, which merges with that of the normalization.
    readers : frozenset of (int, int)
        Node and position of the scales and of these biases.
    """

    normalizations: frozenset[int]
    biases: frozenset[int]
    readers: frozenset[tuple[int, int]]


def charge_statistics(graph: Graph, liveness: Liveness, stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Stored tensors by their root, where scales and biases cost what statistics are worth in their place.

    Parameters
    ----------
    graph : Graph
    liveness : Liveness
    stored : mapping of str to StoredTensor
        By root, as they are in the file.

    Returns
    -------
    dict of str to StoredTensor
        A scale or bias costs 16 bits for each element if it would cost less by itself and the statistics need that. If
        there is none of its own, because it is a number in the graph or another normalization has the same one, the
        running variance or mean is a stored tensor, by its root.
    """
    charged, taken = dict(stored), {}
    for index, node in enumerate(graph.nodes):
        if node.op != "BatchNormalization":
            continue
        tensors = [graph.constants[name] for name in node.inputs[SCALE : VARIANCE + 1]]
        scale, shift, mean, variance = (constant.value.astype(np.float64) for constant in tensors)
        with np.errstate(all="ignore"):
            factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
            shifted = shift - mean * factor
        for position, worth, statistic in ((SCALE, factor, variance), (SHIFT, shifted, mean)):
            live = np.broadcast_to(liveness.constants[index, position], worth.shape)
            if len(np.unique(statistic[live])) < 2:
                continue
            own, source = tensors[position - 1], tensors[MEAN - 1 + (position == SCALE)]
            key = own.root if taken.setdefault(own.root, source.root) == source.root else None
            root = key or source.root
            if root is not None:
                charged[root] = _at_least(charged.get(root), node.name, position, source, worth, live)
    return charged


def _at_least(
    tensor: StoredTensor | None, layer: str, position: int, source: Constant, worth: np.ndarray, live: np.ndarray
) -> StoredTensor:
    """A scale or bias with the encodings of what it is worth, at half precision, if its own are cheaper."""
    values = worth[live].astype(np.float32)
    needed = tuple(_half(encoding) for encoding in find_encodings(values, axis=None))
    if tensor is None:
        name = f"{layer}.running_{'var' if position == SCALE else 'mean'}"
        tensor = StoredTensor(name, source.value.shape, "normalization", int(live.sum()), 0, needed)
    elif cheapest(needed, MASK).total_bits(MASK) <= cheapest(tensor.encodings, MASK).total_bits(MASK):
        return tensor
    return replace(tensor, nonzero=int(np.count_nonzero(values)), encodings=needed)


def _half(encoding: Encoding) -> Encoding:
    if encoding.values != "dense":
        return encoding
    return replace(encoding, bits=min(encoding.bits, HALF), operand_bits=min(encoding.operand_bits, HALF))


def find_folding(graph: Graph, stored: Mapping[str, StoredTensor]) -> Folding:
    """Batch normalizations that are folded into the layers in front of them, as far as the layers store their scales.

    Parameters
    ----------
    graph : Graph
    stored : mapping of str to StoredTensor
        By root.

    Returns
    -------
    Folding
    """
    producers = {name: index for index, node in enumerate(graph.nodes) for name in node.outputs}
    normalizations, biases, readers = set(), set(), set()
    for normalization, layer in find_folded(graph).items():
        node = graph.nodes[normalization]
        weight = graph.constants[graph.nodes[layer].inputs[1]].root
        scale, shift, mean, variance = (graph.constants[name].root for name in node.inputs[SCALE : VARIANCE + 1])
        if sum(stored[root].live for root in {scale, variance} & stored.keys()) > _places(stored.get(weight)):
            continue
        normalizations.add(normalization)
        readers.add((normalization, SCALE))
        between = producers[node.inputs[0]]
        adder = between if between != layer else layer
        positions = [2] if adder == layer else range(len(graph.nodes[adder].inputs))
        added = {graph.constants[name].root for name in graph.nodes[adder].inputs if name in graph.constants} - {weight}
        shifts = [stored[root] for root in (shift, mean) if root in stored]
        if all(_is_merged(stored[root], shifts) for root in added if root in stored):
            biases.add(adder)
            readers.update((adder, position) for position in positions)
    return Folding(frozenset(normalizations), frozenset(biases), frozenset(readers))


def _places(weight: StoredTensor | None) -> int:
    """For how many channels a weight stores a number that can take a scale over."""
    if weight is None:
        return 0
    best = cheapest(weight.encodings, MASK)
    if best.values == "grid" and best.bits < HALF:
        return best.overhead // FULL
    return best.stored if best.bits >= HALF else 0


def _is_merged(bias: StoredTensor, shifts: Iterable[StoredTensor]) -> bool:
    """Whether the bias of a normalization is stored, so that it can take the layer's bias over at the same cost."""
    room = sum(cheapest(shift.encodings, MASK).total_bits(MASK) for shift in shifts)
    return room >= min(cheapest(bias.encodings, MASK).total_bits(MASK), HALF * bias.nonzero)
