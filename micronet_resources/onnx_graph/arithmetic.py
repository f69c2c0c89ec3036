"""What each ONNX operator costs, by the conventions of the profile of a torch model."""

from __future__ import annotations

import math
from collections.abc import Callable

from micronet_resources.onnx_graph.costs import ELEMENT_COSTS, FREE, GATES, NORMALIZATIONS, REDUCTIONS, shown_name
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.products import PRODUCT_RULES, Operations, root_of
from micronet_resources.onnx_graph.records import Node
from micronet_resources.onnx_graph.wiring import Wiring
from micronet_resources.operations import Operation

__all__ = ["cost_of", "is_bias"]


def _window(wiring: Wiring, node: Node) -> Operations:
    outputs, window = math.prod(wiring.output_shape(node)), math.prod(node.attributes["kernel_shape"])
    multiplications = {"MaxPool": 0, "AveragePool": outputs, "LpPool": outputs * (window + 1)}[node.op]
    return (Operation(shown_name(node.op), "pooling", outputs, multiplications, outputs * (window - 1)),)


def _reduction(wiring: Wiring, node: Node) -> Operations:
    outputs, inputs = math.prod(wiring.output_shape(node)), math.prod(wiring.shape(node, 0))
    per_input, added, per_output = REDUCTIONS[node.op]
    multiplications = per_input * inputs + per_output * outputs
    additions = max(added * inputs - outputs, 0) if added else 0
    return (Operation(shown_name(node.op), "pooling", outputs, multiplications, additions),)


def _normalization(wiring: Wiring, node: Node) -> Operations:
    """Normalization by statistics of the image, or by stored ones; the sum of squares alone for some."""
    shape, name = wiring.output_shape(node), shown_name(node.op)
    elements, rank = math.prod(shape), len(shape)
    if node.op in NORMALIZATIONS:
        multiplications, additions = (cost * elements for cost in NORMALIZATIONS[node.op])
    elif node.op == "LRN":  # squares, their mean over the neighbors, scaled, plus a number, a power, a quotient
        multiplications, additions = 5 * elements, node.attributes["size"] * elements
    else:
        axis = node.attributes.get("axis", -1) % rank
        rows = elements // (shape[axis] if node.op == "LpNormalization" else math.prod(shape[axis:]))
        multiplications, additions = 2 * elements + rows, elements - rows
        if node.op == "RMSNormalization":  # a mean, plus a number, a root, and the scale unless it is ones
            multiplications, additions = multiplications + rows, additions + rows
            scale = wiring.constant(node, 1)
            if not (scale.literal and (scale.value == 1).all()):
                multiplications += elements
    return (Operation(name, "normalization", elements, multiplications, additions, root_of(wiring, node, 1)),)


def _quantization(wiring: Wiring, node: Node) -> Operations:
    kind, multiplications, additions = ELEMENT_COSTS[node.op]
    outputs, zero = math.prod(wiring.output_shape(node)), wiring.constant(node, 2)
    if node.op == "DequantizeLinear" and zero is not None and zero.value.any():
        additions += 1
    return (Operation(shown_name(node.op), kind, outputs, multiplications * outputs, additions * outputs),)


def is_bias(wiring: Wiring, node: Node) -> bool:
    """Whether an addition gives a feature map a stored bias, or a position embedding, of more than one number."""
    constants = [wiring.constant(node, position) for position in range(len(node.inputs))]
    return node.op in ("Add", "Sub") and any(
        constant is not None and not constant.literal and constant.value.size > 1 for constant in constants
    )


def _addition(wiring: Wiring, node: Node) -> Operations:
    outputs = math.prod(wiring.output_shape(node))
    dynamic = [name for name in node.inputs if name not in wiring.graph.constants]
    maps = len(dynamic) > 1 and all(math.prod(wiring.graph.types[name].shape) > 1 for name in dynamic)
    kind = "residual" if maps else "bias" if is_bias(wiring, node) else "elementwise"
    root = next((constant.root for constant in map(wiring.graph.constants.get, node.inputs) if constant), None)
    multiplications = outputs if node.op == "Mean" else 0
    return (Operation(shown_name(node.op), kind, outputs, multiplications, outputs * (len(node.inputs) - 1), root),)


def _multiplication(wiring: Wiring, node: Node) -> Operations:
    outputs = math.prod(wiring.output_shape(node))
    name = shown_name(node.op)
    large = all(math.prod(wiring.shape(node, position)) > 1 for position in (0, 1))
    kind = "product" if large else "elementwise"
    if large and node.function in GATES and wiring.gates_itself(node):
        kind = GATES[node.function]
    elif large and (wiring.divides_by_own_size(node) or _scales_norm(wiring, node)):
        kind = "normalization"
    root = root_of(wiring, node, 0) or root_of(wiring, node, 1)
    return (Operation(name, kind, outputs, outputs, 0, root),)


def _scales_norm(wiring: Wiring, node: Node) -> bool:
    """Whether a stored scale is applied to a feature map that was divided by its own root mean square."""
    dynamic = [name for name in node.inputs if name not in wiring.graph.constants]
    producer = wiring.producer(dynamic[0]) if len(dynamic) == 1 else None
    return node.op == "Mul" and producer is not None and wiring.divides_by_own_size(producer)


def _prelu(wiring: Wiring, node: Node) -> Operations:
    outputs = math.prod(wiring.output_shape(node))
    slope = wiring.constant(node, 1)
    return (
        Operation("prelu", "product" if slope is None else "activation", outputs, outputs, 0, slope and slope.root),
    )


def _resize(wiring: Wiring, node: Node) -> Operations:
    """Linear interpolation weights two values along each axis of the image, cubic four; the nearest costs nothing."""
    if node.attributes.get("mode", "nearest") == "nearest":
        return ()
    outputs = math.prod(wiring.output_shape(node))
    values = (4 if node.attributes["mode"] == "cubic" else 2) ** (len(wiring.output_shape(node)) - 2)
    return (Operation("interpolate", "elementwise", outputs, values * outputs, (values - 1) * outputs),)


RULES: dict[str, Callable[[Wiring, Node], Operations]] = {
    **PRODUCT_RULES,
    "PRelu": _prelu,
    "Resize": _resize,
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean"), _addition),
    **dict.fromkeys(("Mul", "Div"), _multiplication),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _window),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys((*NORMALIZATIONS, "RMSNormalization", "LpNormalization", "LRN"), _normalization),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _quantization),
}


def cost_of(wiring: Wiring, node: Node) -> tuple[Operation, ...]:
    """Arithmetic of one node for one image.

    Parameters
    ----------
    wiring : Wiring
        Of the graph.
    node : Node
        One of its nodes.

    Returns
    -------
    tuple of Operation
        Empty if the node moves elements only; a convolution with bias gives two.

    Raises
    ------
    EntryError
        If the cost of the node is not known.
    """
    if node.op in FREE:
        return ()
    if node.op in RULES:
        return RULES[node.op](wiring, node)
    if node.op in ELEMENT_COSTS:
        kind, multiplications, additions = ELEMENT_COSTS[node.op]
        outputs = math.prod(wiring.output_shape(node))
        return (Operation(shown_name(node.op), kind, outputs, multiplications * outputs, additions * outputs),)
    raise EntryError(f"{node.name}: the cost of {node.op} is not known; build the network from other operators.")
