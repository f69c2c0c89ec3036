"""What convolutions, matrix products and attention cost."""

from __future__ import annotations

import math
from collections.abc import Callable

from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.records import Node
from micronet_resources.onnx_graph.wiring import Wiring
from micronet_resources.operations import Operation

__all__ = ["PRODUCT_RULES", "Operations", "root_of"]

Operations = tuple[Operation, ...]


def root_of(wiring: Wiring, node: Node, position: int) -> str | None:
    """Name of the stored tensor at an input, None if there is none."""
    constant = wiring.constant(node, position)
    return None if constant is None else constant.root


def _dot(name: str, kind: str, macs: int, outputs: int, weight: str | None) -> Operation:
    return Operation(name, kind, outputs, macs, max(macs - outputs, 0), weight)


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
    product = _dot(name, "convolution", macs, math.prod(shape), root_of(wiring, node, 1))
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
    others = {name for name, number in node.attributes.items() if name not in ("scale", "is_causal") and number}
    if len(query) != 4 or len(node.inputs) > 4 or len(node.outputs) > 1 or others:
        raise EntryError(
            f"{node.name}: Attention is counted with inputs of shape (batch, heads, length, size), as many heads "
            "everywhere, a mask, a scale and is_causal; write what is more with other operators."
        )
    rows, scaled = math.prod(query[:-1]), math.prod(query) + math.prod(key)
    scores, name = rows * key[-2], "scaled_dot_product_attention"
    is_masked = len(node.inputs) > 3 and bool(node.inputs[3])
    masks = _mask(wiring, node, scores) if is_masked else ()
    if node.attributes.get("is_causal", 0):
        masks = (*masks, Operation("add", "elementwise", scores, 0, scores))
    return (
        Operation("mul", "elementwise", scaled, scaled, 0),  # queries and keys are scaled before their product
        _dot(name, "attention", scores * query[-1], scores, None),
        *masks,
        Operation("softmax", "activation", scores, 2 * scores, scores),
        _dot(name, "attention", scores * value[-1], rows * value[-1], None),
    )


def _mask(wiring: Wiring, node: Node, scores: int) -> Operations:
    constant = wiring.constant(node, 3)
    if constant is None:
        return (Operation("add", "residual", scores, 0, scores),)
    is_number = constant.literal or constant.value.size == 1 or constant.value.dtype == bool
    return (Operation("add", "elementwise" if is_number else "bias", scores, 0, scores, constant.root),)


PRODUCT_RULES: dict[str, Callable[[Wiring, Node], Operations]] = {
    "Attention": _attention,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
