"""Which elements of which feature maps have the same value for every image, zero above all.

A pruned filter makes a map of zeros, or of one number if a bias follows. The values go forward through the network as
long as it is certain what becomes of them; an operator without a rule gives elements that vary, so that what is found
holds, though it may not be all there is. Activations are taken to be finite: zero times infinity is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from micronet_resources.onnx_graph.compact import MOVES, channel_all, compact, move
from micronet_resources.onnx_graph.contraction import contraction_of
from micronet_resources.onnx_graph.extents import has_empty_window, reduced_axes
from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["KEEP_ZERO", "POOLS", "REDUCTIONS", "fixed_values"]

Values = Sequence[np.ndarray | None]

# Functions of one element that map zero to zero; what they make of another number is left open.
KEEP_ZERO = frozenset(
    """
    Tanh Sign Sqrt Floor Ceil Round Erf Elu Selu Celu Gelu Mish HardSwish Softsign ThresholdedRelu Sin Cast
    CastLike
    """.split()  # noqa: SIM905
)
POOLS = frozenset({"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"})
REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"})
# A result this small beside what was added up may have the other sign in the arithmetic of a runtime.
CANCELLATION = 0.01


def _certain(value: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A sum, or NaN where so much of it cancels that rounding could change its sign."""
    return np.where(np.abs(value) < CANCELLATION * size, np.nan, value)


def _zero_where(condition: np.ndarray) -> np.ndarray:
    return np.where(condition, 0.0, np.nan)


def _contraction(node: Node, graph: Graph, values: Values) -> np.ndarray:
    found = contraction_of(node, graph)
    if found is None:
        return _matrix_product(values) if node.op == "MatMul" else np.array(np.nan)
    zero = channel_all(values[0] == 0, found.axis, found.inputs).reshape(found.weight.shape[0], 1, -1, 1)
    dead = ((found.weight == 0) | zero).all((2, 3)).ravel()
    bias = values[2] * found.bias_scale if len(values) > 2 and values[2] is not None else np.zeros(1)
    rank = len(graph.types[node.outputs[0]].shape)
    if found.axis == 1:
        dead, bias = found.along_channels(dead, rank), found.along_channels(bias, rank)
    return np.where(dead, bias, np.nan)


def _matrix_product(values: Values) -> np.ndarray:
    left, right = values
    if left.ndim < 2 or right.ndim < 2:
        return np.array(np.nan)
    inner = max(left.shape[-1], right.shape[-2])
    left = np.broadcast_to(left != 0, (*left.shape[:-1], inner)).astype(np.float32)
    right = np.broadcast_to(right != 0, (*right.shape[:-2], inner, right.shape[-1])).astype(np.float32)
    return _zero_where(left @ right == 0)


def _batch_normalization(node: Node, graph: Graph, values: Values) -> np.ndarray:
    shape = (1, -1) + (1,) * (values[0].ndim - 2)
    scale, bias, mean, variance = (value.reshape(shape) for value in values[1:5])
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    whole = values[0] * factor - mean * factor + bias
    size = np.abs(values[0] * factor) + np.abs(mean * factor) + np.abs(bias)
    return np.where(factor == 0, bias, _certain(whole, size))


def _clip(node: Node, graph: Graph, values: Values) -> np.ndarray:
    value = values[0]
    for bound, choose in zip(values[1:], (np.maximum, np.minimum), strict=False):
        value = value if bound is None else choose(value, bound)
    return value


def _sum(node: Node, graph: Graph, values: Values) -> np.ndarray:
    total, size = values[0], np.abs(values[0])
    for value in values[1:]:
        total = total - value if node.op == "Sub" else total + value
        size = size + np.abs(value)
    return _certain(total, size)


def _product(node: Node, graph: Graph, values: Values) -> np.ndarray:
    left, right = values
    return np.where((left == 0) | (right == 0), 0.0, left * right)


def _quotient(node: Node, graph: Graph, values: Values) -> np.ndarray:
    return np.where(values[1] == 0, np.nan, values[0] / values[1])


def _extreme(node: Node, graph: Graph, values: Values) -> np.ndarray:
    value = values[0]
    for other in values[1:]:
        value = np.maximum(value, other) if node.op == "Max" else np.minimum(value, other)
    return value


def _choice(node: Node, graph: Graph, values: Values) -> np.ndarray:
    condition, yes, no = values
    open_choice = np.where(yes == no, yes, np.nan)
    return np.where(np.isnan(condition), open_choice, np.where(condition != 0, yes, no))


def _power(node: Node, graph: Graph, values: Values) -> np.ndarray:
    return _zero_where((values[0] == 0) & (values[1] > 0))


def _pool(node: Node, graph: Graph, values: Values) -> np.ndarray:
    channels, shape = graph.types[node.inputs[0]].shape[1], (1, -1) + (1,) * (values[0].ndim - 2)
    zero = channel_all(values[0] == 0, 1, channels).reshape(shape)
    if node.op in ("MaxPool", "AveragePool") and has_empty_window(node, graph):
        return np.array(np.nan)
    if node.op in ("MaxPool", "GlobalMaxPool"):  # the largest of equal numbers
        same = compact(values[0])
        if all(size == 1 for axis, size in enumerate(same.shape) if axis != 1):
            return same
    return _zero_where(zero)


def _resize(node: Node, graph: Graph, values: Values) -> np.ndarray:
    before, after = graph.types[node.inputs[0]].shape, graph.types[node.outputs[0]].shape
    outside = node.attributes.get("extrapolation_value", 0.0)
    if before[:2] != after[:2] or outside != 0:
        return np.array(np.nan)
    return _pool(node, graph, values)


def _reduction(node: Node, graph: Graph, values: Values) -> np.ndarray:
    keep = bool(node.attributes.get("keepdims", 1))
    return _zero_where((values[0] == 0).all(axis=reduced_axes(node, graph), keepdims=keep))


def _zero_point(node: Node, values: Values) -> np.ndarray | None:
    zero = values[2] if len(values) > 2 and values[2] is not None else np.zeros(())
    if zero.size == 1:
        return zero.reshape(())
    if node.attributes.get("block_size", 0) or zero.ndim != 1:
        return None
    shape = [1] * values[0].ndim
    shape[node.attributes.get("axis", 1)] = -1
    return zero.reshape(shape)


def _quantize(node: Node, graph: Graph, values: Values) -> np.ndarray:
    zero = _zero_point(node, values)
    return np.array(np.nan) if zero is None else np.where(values[0] == 0, zero, np.nan)


def _dequantize(node: Node, graph: Graph, values: Values) -> np.ndarray:
    zero = _zero_point(node, values)
    return np.array(np.nan) if zero is None else _zero_where(values[0] == zero)


def _leaky(node: Node, graph: Graph, values: Values) -> np.ndarray:
    slope = values[1] if node.op == "PRelu" else node.attributes.get("alpha", 0.01)
    return np.where(values[0] < 0, values[0] * slope, values[0])


RULES: dict[str, Callable[[Node, Graph, Values], np.ndarray]] = {
    "Abs": lambda node, graph, values: np.abs(values[0]),
    "Add": _sum,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Conv": _contraction,
    "ConvTranspose": _contraction,
    "DequantizeLinear": _dequantize,
    "Div": _quotient,
    "Gemm": _contraction,
    "LeakyRelu": _leaky,
    "MatMul": _contraction,
    "Max": _extreme,
    "Min": _extreme,
    "Mul": _product,
    "Neg": lambda node, graph, values: -values[0],
    "PRelu": _leaky,
    "Pow": _power,
    "QuantizeLinear": _quantize,
    "Relu": lambda node, graph, values: np.maximum(values[0], 0),
    "Resize": _resize,
    "Sub": _sum,
    "Sum": _sum,
    "Where": _choice,
    **dict.fromkeys(KEEP_ZERO, lambda node, graph, values: _zero_where(values[0] == 0)),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(REDUCTIONS, _reduction),
}


def _outputs(node: Node, graph: Graph, values: Values) -> tuple[np.ndarray, ...]:
    if node.op in MOVES:
        elements = values if node.op == "Concat" else values[:1]
        if node.op != "Pad" and all(value.size == 1 and np.isnan(value).all() for value in elements):
            return (np.array(np.nan),) * len(node.outputs)
        moved = move(node, graph, values, fill=0.0)
        return (np.array(np.nan),) * len(node.outputs) if moved is None else moved
    rule = RULES.get(node.op)
    return (np.array(np.nan) if rule is None else rule(node, graph, values),)


def fixed_values(graph: Graph) -> dict[str, np.ndarray]:
    """Find the elements of all feature maps that have the same value for every image.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict of str to array of float64
        For each tensor that depends on the image an array that broadcasts to its shape: the value of an element, NaN
        where it varies. Zeros are exact; other values may differ from those of a runtime in their last digits.
    """
    rank = {name: len(kind.shape) for name, kind in graph.types.items()}
    values = {graph.input: np.full((1,) * rank[graph.input], np.nan)}

    def known(node: Node, position: int, name: str) -> np.ndarray | None:
        if not name:
            return None
        if name in values:
            return values[name]
        if position == 1 and contraction_of(node, graph) is not None:
            return None  # the weight itself is read where it is used
        return np.asarray(graph.constants[name].value).astype(np.float64)

    with np.errstate(all="ignore"):
        for node in graph.nodes:
            inputs = [known(node, position, name) for position, name in enumerate(node.inputs)]
            results = _outputs(node, graph, inputs)
            for position, name in enumerate(node.outputs):
                if name:
                    value = np.asarray(results[position] if position < len(results) else np.nan, np.float64)
                    values[name] = compact(value.reshape((1,) * (rank[name] - value.ndim) + value.shape))
    return values
