"""Refuses networks whose weights or products hide where no rule set charges for them.

Some things are free in some rule sets, because in an honest network they are few: numbers written in the graph, sums,
the arithmetic of normalization and activations. A convolution can be taken apart into them. Each of them therefore has
a bound far above what networks need.
"""

from __future__ import annotations

from collections.abc import Iterator

from micronet_resources.onnx_graph.constants import is_uniform
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS, STATISTICS_SLOTS
from micronet_resources.onnx_graph.pairing import CHARGED, charge_graph
from micronet_resources.onnx_graph.pruning import follow_zeros
from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["refuse_hidden_work"]

# Operators that scale a feature map by the numbers at these inputs.
SCALED_BY = {
    "BatchNormalization": (1,),
    "Conv": (1,),
    "ConvTranspose": (1,),
    "DequantizeLinear": (1,),
    "Div": (0, 1),
    "Einsum": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "Mul": (0, 1),
    "PRelu": (1,),
}
SCALED_BY_ATTRIBUTE = frozenset({"Celu", "Elu", "HardSigmoid", "LRN", "LeakyRelu", "Selu", "ThresholdedRelu"})


def refuse_hidden_work(graph: Graph, limits: Limits | None = None) -> None:
    """Refuse a network that computes mostly with what costs nothing.

    What is left without pruned filters counts on both sides.

    Parameters
    ----------
    graph : Graph
    limits : Limits, optional
        Of which ``free_numbers`` and ``macs`` count here; those of a challenge entry by default.

    Raises
    ------
    EntryError
        If too many numbers are written in the graph, or scale feature maps, or if there are more multiplications or
        more additions outside of convolutions, matrix products and products than multiplications inside.
    """
    limits = limits or Limits()
    _refuse_numbers(graph, limits)
    liveness = follow_zeros(graph)
    charged = multiplications = additions = 0.0
    for index, (_, operations) in enumerate(charge_graph(graph, limits)):
        left = liveness.nodes[index]
        charged += left.live_macs
        for operation in operations:
            share = left.live_outputs / max(operation.outputs, 1)
            if operation.kind == "product":
                charged += share * operation.multiplications
                additions -= share * operation.multiplications  # a sum of products adds each of them
            elif operation.kind not in CHARGED:
                multiplications += share * operation.multiplications
                additions += share * operation.additions
    for count, name, where in (
        (multiplications, "multiplications", "normalization, activations and scaling by a number"),
        (additions, "additions and comparisons", "sums, pooling, normalization and element-wise operators"),
    ):
        if count > charged:
            raise EntryError(
                f"{round(count):,} {name} are in {where}, and {round(charged):,} multiplications in convolutions, "
                "matrix products and products of tensors that the answer depends on: an entry computes mostly with "
                "the latter. Replace element-wise arithmetic by layers."
            )


def _refuse_numbers(graph: Graph, limits: Limits) -> None:
    scaling = sum(_is_scaled(graph, node) for node in graph.nodes)
    if scaling > limits.free_numbers:
        raise EntryError(
            f"{scaling:,} operators scale feature maps by numbers written in the graph; at most "
            f"{limits.free_numbers:,} are allowed. Numbers that were trained are parameters: keep them in tensors."
        )
    different = {number for node in graph.nodes for number in _numbers(graph, node)}
    if len(different) > limits.free_numbers:
        raise EntryError(
            f"{len(different):,} different numbers are written in the graph and enter its arithmetic; at most "
            f"{limits.free_numbers:,} are free. Numbers that were trained are parameters: keep them in tensors."
        )


def _is_scaled(graph: Graph, node: Node) -> bool:
    if node.op in SCALED_BY_ATTRIBUTE:
        return True
    if node.op == "Gemm" and {node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)} != {1.0}:
        return True
    inputs = [node.inputs[position] for position in SCALED_BY.get(node.op, ()) if position < len(node.inputs)]
    constants = [graph.constants.get(name) for name in inputs]
    return any(constant is not None and (constant.literal or constant.value.size == 1) for constant in constants)


def _numbers(graph: Graph, node: Node) -> Iterator[float]:
    """Free numbers that a node computes with, or brings in beside a feature map."""
    yield from (value for value in node.attributes.values() if isinstance(value, float))
    for position, name in enumerate(node.inputs):
        constant = graph.constants.get(name) if name else None
        if constant is None or position in SHAPE_SLOTS.get(node.op, ()) or not constant.value.size:
            continue
        is_statistic = position in STATISTICS_SLOTS.get(node.op, ())
        if constant.literal or (is_statistic and is_uniform(constant.value)):
            yield float(constant.value.flat[0])
