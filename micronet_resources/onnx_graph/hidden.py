"""Refuses networks whose weights or products hide where no rule set charges for them.

Some things are free in every rule set, because in an honest network they are few: running statistics, numbers written
in the graph, the multiplications of normalization and activations. A convolution can be taken apart into them. Each of
them therefore has a bound far above what networks need.
"""

from __future__ import annotations

import math

from micronet_resources.onnx_graph.counting import count_graph, stored_roots
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import STATISTICS_SLOTS
from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["refuse_hidden_work"]

# Operators that scale a feature map by the numbers at these inputs.
SCALED_BY = {
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
SCALED_BY_ATTRIBUTE = frozenset({"Celu", "Elu", "HardSigmoid", "LeakyRelu", "Selu", "ThresholdedRelu"})
UNCHARGED = ("normalization", "activation", "elementwise")


def refuse_hidden_work(graph: Graph, limits: Limits | None = None) -> None:
    """Refuse a network that computes mostly with what costs nothing.

    Parameters
    ----------
    graph : Graph
    limits : Limits, optional
        Of which ``free_numbers`` and ``macs`` count here; those of a challenge entry by default.

    Raises
    ------
    EntryError
        If too many numbers written in the graph scale feature maps, if there are more running statistics than stored
        parameters, or more multiplications outside of convolutions, matrix products and products than inside.
    """
    limits = limits or Limits()
    numbers = sum(_is_scaled(graph, node) for node in graph.nodes)
    if numbers > limits.free_numbers:
        raise EntryError(
            f"{numbers:,} operators scale feature maps by numbers written in the graph; at most "
            f"{limits.free_numbers:,} are allowed. Numbers that were trained are parameters: keep them in tensors."
        )
    statistics = _statistics(graph)
    stored = sum(root.value.size for root in stored_roots(graph))
    if statistics > stored:
        raise EntryError(
            f"batch normalization has {statistics:,} running means and variances, which are free, and the network "
            f"stores {stored:,} parameters: weights belong into parameters. Normalize the outputs of layers only."
        )
    operations = [operation for _, found in count_graph(graph, limits) for operation in found]
    charged = sum(operation.multiplications for operation in operations if operation.kind not in UNCHARGED)
    uncharged = sum(operation.multiplications for operation in operations if operation.kind in UNCHARGED)
    if uncharged > charged:
        raise EntryError(
            f"{uncharged:,} multiplications are in normalization, activations and scaling by a number, and "
            f"{charged:,} in convolutions, matrix products and products of tensors: an entry computes mostly with the "
            "latter. Replace element-wise arithmetic by layers."
        )


def _is_scaled(graph: Graph, node: Node) -> bool:
    if node.op in SCALED_BY_ATTRIBUTE:
        return True
    if node.op == "Gemm" and {node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)} != {1.0}:
        return True
    constants = [graph.constants.get(node.inputs[position]) for position in SCALED_BY.get(node.op, ())]
    return any(constant is not None and (constant.literal or constant.value.size == 1) for constant in constants)


def _statistics(graph: Graph) -> int:
    """Elements of running means and variances, each tensor once."""
    found = {}
    for node in graph.nodes:
        for position in STATISTICS_SLOTS.get(node.op, ()):
            constant = graph.constants[node.inputs[position]]
            if constant.root is not None:
                found[constant.root] = math.prod(constant.value.shape)
    return sum(found.values())
