"""What each ONNX operator costs, by the conventions of the profile of a torch model."""

from __future__ import annotations

import math
from collections.abc import Callable

from micronet_resources.onnx_graph.costs import ACTIVATIONS, ELEMENTWISE, FREE, GATES, NORMALIZATIONS, TORCH_NAMES
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.records import Node
from micronet_resources.onnx_graph.wiring import Wiring
from micronet_resources.operations import Operation

__all__ = ["cost_of", "is_bias"]

Operations = tuple[Operation, ...]


def _dot(name: str, kind: str, macs: int, outputs: int, weight: str | None) -> Operation:
    return Operation(name, kind, outputs, macs, max(macs - outputs, 0), weight)


def _root(wiring: Wiring, node: Node, position: int) -> str | None:
    constant = wiring.constant(node, position)
    return None if constant is None else constant.root


def _bias(wiring: Wiring, node: Node, position: int, name: str) -> Operations:
    """The addition of a bias, which is there unless it is absent or zeros written by the exporter."""
    if position >= len(node.inputs) or not node.inputs[position]:
        return ()
    constant = wiring.constant(node, position)
    outputs = math.prod(wiring.output_shape(node))
    if constant is None:
        return (Operation("add", "residual", outputs, 0, outputs),)
    if constant.literal and not constant.value.any():
        return ()
    return (Operation(name, "bias", outputs, 0, outputs, constant.root),)


def _convolution(wiring: Wiring, node: Node) -> Operations:
    weight, shape = wiring.shape(node, 1), wiring.output_shape(node)
    transposed = node.op == "ConvTranspose"
    positions = wiring.shape(node, 0) if transposed else shape
    name = f"conv{'_transpose' if transposed else ''}{len(weight) - 2}d"
    macs = math.prod(positions) * math.prod(weight[1:])
    product = _dot(name, "convolution", macs, math.prod(shape), _root(wiring, node, 1))
    return (product, *_bias(wiring, node, 2, name))


def _gemm(wiring: Wiring, node: Node) -> Operations:
    inner = wiring.shape(node, 0)[0 if node.attributes.get("transA", 0) else 1]
    outputs = math.prod(wiring.output_shape(node))
    static = wiring.constant(node, 1) or wiring.constant(node, 0)
    product = _dot(
        "linear" if static else "mm", "linear" if static else "matmul", outputs * inner, outputs, static and static.root
    )
    return (product, *_bias(wiring, node, 2, "linear"))


def _matmul(wiring: Wiring, node: Node) -> Operations:
    outputs = math.prod(wiring.output_shape(node))
    macs = outputs * wiring.shape(node, 0)[-1]
    static = wiring.constant(node, 1) or wiring.constant(node, 0)
    if static:
        return (_dot("linear", "linear", macs, outputs, static.root),)
    return (_dot("matmul", "attention" if wiring.is_attention(node) else "matmul", macs, outputs, None),)


def _einsum(wiring: Wiring, node: Node) -> Operations:
    equation = node.attributes["equation"].replace(" ", "")
    terms, _, result = equation.partition("->")
    operands = terms.split(",")
    outputs = math.prod(wiring.output_shape(node))
    if len(operands) > 2:
        raise EntryError(
            f"{node.name}: einsum {equation!r} multiplies {len(operands)} tensors in an order that is not said: write "
            "it as a chain of products of two."
        )
    if len(operands) == 1:
        elements = math.prod(wiring.shape(node, 0))
        return (Operation("einsum", "pooling", outputs, 0, max(elements - outputs, 0)),)
    if "->" not in equation or "." in equation:
        raise EntryError(
            f"{node.name}: einsum {equation!r} must name every index and, after '->', those of the result."
        )
    sizes: dict[str, int] = {}
    for operand, position in zip(operands, range(2), strict=True):
        for letter, size in zip(operand, wiring.shape(node, position), strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    # An index of one operand only, not in the result, is summed before anything is multiplied.
    early = (set(operands[0]) ^ set(operands[1])) - set(result)
    macs = math.prod(size for letter, size in sizes.items() if letter not in early)
    summed = sum(
        math.prod(sizes[letter] for letter in set(operand))
        - math.prod(sizes[letter] for letter in set(operand) - early)
        for operand in operands
    )
    static = wiring.constant(node, 1) or wiring.constant(node, 0)
    kind = "linear" if static else "attention" if wiring.is_attention(node) else "matmul"
    product = _dot("einsum", kind, macs, outputs, static and static.root)
    return (product, Operation("sum", "pooling", summed, 0, summed)) if summed else (product,)


def _attention(wiring: Wiring, node: Node) -> Operations:
    query, key, value = (wiring.shape(node, position) for position in range(3))
    if len(query) != 4 or len(node.inputs) > 4 or len(node.outputs) > 1:
        raise EntryError(f"{node.name}: Attention is counted with inputs of shape (batch, heads, length, size) only.")
    scores = math.prod(query[:-1]) * key[-2]
    return (
        _dot("scaled_dot_product_attention", "attention", scores * query[-1], scores, None),
        Operation("softmax", "activation", scores, 2 * scores, scores),
        _dot("scaled_dot_product_attention", "attention", scores * value[-1], math.prod(query[:-1]) * value[-1], None),
    )


def _pooling(wiring: Wiring, node: Node) -> Operations:
    outputs, inputs = math.prod(wiring.output_shape(node)), math.prod(wiring.shape(node, 0))
    average = node.op in ("AveragePool", "GlobalAveragePool", "ReduceMean")
    if node.op in ("MaxPool", "AveragePool", "LpPool"):
        additions = outputs * (math.prod(node.attributes["kernel_shape"]) - 1)
    else:
        additions = max(inputs - outputs, 0)
    multiplications = outputs if average else 0
    if node.op in ("ReduceL2", "ReduceSumSquare", "LpPool"):
        multiplications = inputs + outputs
    if node.op == "ReduceProd":
        additions, multiplications = 0, inputs
    return (Operation(TORCH_NAMES.get(node.op, node.op.lower()), "pooling", outputs, multiplications, additions),)


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
    return (Operation(TORCH_NAMES[node.op], kind, outputs, multiplications, outputs * (len(node.inputs) - 1), root),)


def _multiplication(wiring: Wiring, node: Node) -> Operations:
    outputs = math.prod(wiring.output_shape(node))
    name = TORCH_NAMES[node.op]
    large = all(math.prod(wiring.shape(node, position)) > 1 for position in (0, 1))
    kind = "product" if large else "elementwise"
    if large and node.function in GATES and wiring.gates_itself(node):
        kind = GATES[node.function]
    elif large and node.function == "glu" and wiring.gates_other_half(node):
        kind = "activation"
    elif large and (wiring.divides_by_own_size(node) or _scales_norm(wiring, node)):
        kind = "normalization"
    root = _root(wiring, node, 0) or _root(wiring, node, 1)
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
    "Attention": _attention,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Resize": _resize,
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean"), _addition),
    **dict.fromkeys(("Mul", "Div"), _multiplication),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"), _pooling),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"), _pooling),
    **dict.fromkeys(("ReduceSumSquare", "ReduceProd"), _pooling),
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
    name, outputs = TORCH_NAMES.get(node.op, node.op.lower()), math.prod(wiring.output_shape(node))
    for table, kind in ((ACTIVATIONS, "activation"), (ELEMENTWISE, "elementwise"), (NORMALIZATIONS, "normalization")):
        if node.op in table:
            multiplications, additions = table[node.op]
            root = _root(wiring, node, 1) if kind == "normalization" else None
            return (Operation(name, kind, outputs, multiplications * outputs, additions * outputs, root),)
    raise EntryError(f"{node.name}: the cost of {node.op} is not known; build the network from other operators.")
