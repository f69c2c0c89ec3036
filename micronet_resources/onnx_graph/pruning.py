"""Structured sparsity followed through a network: what a pruned filter takes with it, forward and backward.

A filter that is zero makes a zero map, so the weights of the next layer that meet the map do nothing; a map that nobody
reads needs no filter. What is left is as large as the network from which the dead channels were cut out by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from micronet_resources.onnx_graph.arithmetic import cost_of
from micronet_resources.onnx_graph.constants import to_root_layout
from micronet_resources.onnx_graph.needed_elements import needed_elements
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS, STATISTICS_SLOTS
from micronet_resources.onnx_graph.records import Graph
from micronet_resources.onnx_graph.wiring import Wiring
from micronet_resources.onnx_graph.zero_values import fixed_values

__all__ = ["LiveNode", "Liveness", "follow_zeros"]


@dataclass(frozen=True)
class LiveNode:
    """What is left of one operator.

    Parameters
    ----------
    live_outputs : int
        Elements of the output that depend on the image and that the answer depends on; of a convolution or linear map
        all elements of the channels that have one.
    live_macs : int
        Multiply-accumulates between live inputs and live outputs, zero weights among them included.
    nonzero_macs : int
        Those of them whose weight is not zero.
    """

    live_outputs: int
    live_macs: int
    nonzero_macs: int


@dataclass(frozen=True, repr=False)
class Liveness:
    """What is left of a network when everything that a pruned filter makes useless is gone.

    Parameters
    ----------
    nodes : mapping of int to LiveNode
        By position in ``graph.nodes``, all of them.
    constants : mapping of (int, int) to array of bool
        For each node and each of its inputs that holds constant numbers (not sizes, nor running means and
        variances), in the shape of the constant: what is needed of it there. Of a weight those elements that connect
        a live input channel to a live output channel; of a bias or normalization those of live channels, and of a
        channel that is one number for every image the bias alone.
    roots : mapping of str to array of bool
        The same for each stored tensor, in its own shape: live where any use of it needs it.
    """

    nodes: Mapping[int, LiveNode]
    constants: Mapping[tuple[int, int], np.ndarray]
    roots: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        live = sum(int(mask.sum()) for mask in self.roots.values())
        macs = sum(node.live_macs for node in self.nodes.values())
        return f"Liveness({live:,} of {sum(m.size for m in self.roots.values()):,} elements, {macs:,} MACs)"


def follow_zeros(graph: Graph) -> Liveness:
    """Find what is left of a network without its pruned filters and all that depends on them.

    Forward, an output channel is the same for every image if all its weights are zero or meet an input that is zero;
    normalization, activations, sums, products, pooling and rearrangements pass that on where it is certain. Backward,
    an element is needed if the answer can depend on it. An operator without a rule counts as live as a whole.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Liveness

    Examples
    --------
    >>> from micronet_resources.onnx_graph.admission import admit
    >>> from micronet_resources.onnx_graph.graph import read_graph
    >>> from micronet_resources.references import reference_path
    >>> graph = read_graph(admit(reference_path().read_bytes()))
    >>> follow_zeros(graph)
    Liveness(72,954 of 72,954 elements, 9,880,192 MACs)
    """
    values = fixed_values(graph)
    masks, arithmetic, _ = needed_elements(graph, values)
    wiring = Wiring(graph)
    nodes = {}
    for index, node in enumerate(graph.nodes):
        left = arithmetic[index]
        macs, nonzero = left.live_macs, left.nonzero_macs
        if macs is None:
            macs = nonzero = sum(operation.macs for operation in cost_of(wiring, node))
        nodes[index] = LiveNode(left.live_outputs, macs, nonzero)
    constants, roots = {}, {}
    for (index, position), mask in sorted(masks.items()):
        node = graph.nodes[index]
        if position in SHAPE_SLOTS.get(node.op, ()) or position in STATISTICS_SLOTS.get(node.op, ()):
            continue
        constant = graph.constants[node.inputs[position]]
        constants[index, position] = np.broadcast_to(mask, constant.value.shape)
        if constant.root is not None:
            seen = to_root_layout(constants[index, position], constant)
            roots[constant.root] = roots[constant.root] | seen if constant.root in roots else seen
    return Liveness(MappingProxyType(nodes), MappingProxyType(constants), MappingProxyType(roots))
