"""The value of an operator whose inputs are all known: numpy in place of a runtime, with the work announced first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.operators import MOVES

__all__ = ["fold", "work"]

Value = np.ndarray
Inputs = Sequence[Value | None]
Attributes = Mapping[str, Any]

PAIRS: dict[str, np.ufunc] = {
    "Add": np.add,
    "And": np.logical_and,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mod": np.mod,
    "Mul": np.multiply,
    "Or": np.logical_or,
    "Pow": np.power,
    "Sub": np.subtract,
    "Sum": np.add,
}
SINGLES: dict[str, Callable[[Value], Value]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Dropout": lambda value: value,
    "Exp": np.exp,
    "Floor": np.floor,
    "Identity": lambda value: value,
    "Log": np.log,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Reciprocal": np.reciprocal,
    "Relu": lambda value: np.maximum(value, np.zeros((), value.dtype)),
    "Round": np.rint,
    "Sigmoid": lambda value: (1 / (1 + np.exp(-value))).astype(value.dtype),
    "Sign": np.sign,
    "Sin": np.sin,
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}
REDUCTIONS: dict[str, Callable[..., Value]] = {
    "ReduceL1": lambda value, **where: np.sum(np.abs(value), **where),
    "ReduceL2": lambda value, **where: np.sqrt(np.sum(value * value, **where)),
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceSumSquare": lambda value, **where: np.sum(value * value, **where),
}


def _numbers(inputs: Inputs, attributes: Attributes, position: int, name: str) -> tuple[int, ...] | None:
    """A list of whole numbers that newer operator sets give as an input and older ones as an attribute."""
    value = inputs[position] if len(inputs) > position else None
    if value is not None:
        return tuple(int(number) for number in np.ravel(value))
    given = attributes.get(name)
    return None if given is None else tuple(int(number) for number in given)


def _reshaped(value: Value, sizes: Sequence[int], keep_zero: bool) -> tuple[int, ...]:
    return tuple(value.shape[axis] if size == 0 and not keep_zero else int(size) for axis, size in enumerate(sizes))


def work(op: str, attributes: Attributes, inputs: Inputs) -> int:
    """Elements that folding a node reads, multiplies or writes, known before it is done.

    Parameters
    ----------
    op : str
    attributes : mapping
        As in :class:`~micronet_resources.onnx_graph.graph.Node`.
    inputs : sequence of array or None

    Returns
    -------
    int

    Examples
    --------
    >>> work("MatMul", {}, [np.ones((8, 4)), np.ones((4, 16))])
    512
    """
    shapes = [value.shape for value in inputs if value is not None]
    read = sum(math.prod(shape) for shape in shapes)
    if op == "MatMul":
        return math.prod(shapes[0]) * (shapes[1][-1] if len(shapes[1]) > 1 else 1) * math.prod(shapes[1][:-2])
    if op in PAIRS or op in ("Div", "Where", "PRelu"):
        return max(read, math.prod(np.broadcast_shapes(*shapes)))
    if op == "Expand":
        return math.prod(np.broadcast_shapes(shapes[0], tuple(int(size) for size in inputs[1])))
    if op == "ConstantOfShape":
        return math.prod(max(0, int(size)) for size in inputs[0])
    if op == "Range":
        first, end, step = (float(np.ravel(value)[0]) for value in inputs)
        return max(0, math.ceil((end - first) / step))
    if op == "Gather":
        rows = shapes[0][attributes.get("axis", 0)]
        return math.prod(shapes[0]) // max(1, rows) * math.prod(shapes[1])
    if op == "Tile":
        return math.prod(shapes[0]) * math.prod(max(0, int(times)) for times in inputs[1])
    if op == "Pad":
        return math.prod(size + abs(before) + abs(after) for size, before, after in _padding(attributes, inputs))
    if op in MOVES and (op not in ("Reshape", "Flatten") or inputs[0].flags.c_contiguous):
        return 0  # a view of the same memory
    return read


def _padding(attributes: Attributes, inputs: Inputs) -> list[tuple[int, int, int]]:
    """Of each axis: size, elements added before and after."""
    shape = inputs[0].shape
    pads = _numbers(inputs, attributes, 1, "pads")
    axes = _numbers(inputs, attributes, 3, "axes") or tuple(range(len(shape)))
    widths = [(size, 0, 0) for size in shape]
    for position, axis in enumerate(axes):
        widths[axis] = (shape[axis], pads[position], pads[position + len(axes)])
    return widths


def _slice(attributes: Attributes, inputs: Inputs) -> Value:
    starts, ends = _numbers(inputs, attributes, 1, "starts"), _numbers(inputs, attributes, 2, "ends")
    axes = _numbers(inputs, attributes, 3, "axes") or tuple(range(len(starts)))
    steps = _numbers(inputs, attributes, 4, "steps") or (1,) * len(starts)
    cut = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = inputs[0].shape[axis]
        if step < 0 and end < -size:
            end = None  # to the first element, which a negative end cannot say in Python
        cut[axis] = slice(start, end, step)
    return inputs[0][tuple(cut)]


def _pad(attributes: Attributes, inputs: Inputs) -> Value:
    if attributes.get("mode", "constant") != "constant":
        raise EntryError("a constant is padded by reflection or repetition: store the padded tensor instead.")
    widths = _padding(attributes, inputs)
    value = inputs[0]
    for axis, (size, before, after) in enumerate(widths):
        cut = [slice(None)] * value.ndim
        cut[axis] = slice(max(0, -before), size - max(0, -after))
        value = value[tuple(cut)]
    fill = inputs[2].ravel()[0] if len(inputs) > 2 and inputs[2] is not None else 0
    return np.pad(value, [(max(0, before), max(0, after)) for _, before, after in widths], constant_values=fill)


def _dequantized(attributes: Attributes, inputs: Inputs) -> Value:
    value, scale = inputs[0], inputs[1]
    if attributes.get("block_size", 0):
        raise EntryError("a constant is quantized in blocks: use one scale for the tensor or one for each channel.")
    shape = [1] * value.ndim
    if scale.size > 1:
        shape[attributes.get("axis", 1)] = -1
    zero = inputs[2].astype(np.float32).reshape(shape) if len(inputs) > 2 and inputs[2] is not None else np.float32(0)
    return ((value.astype(np.float32) - zero) * scale.reshape(shape)).astype(scale.dtype)


def _split(attributes: Attributes, inputs: Inputs) -> tuple[Value, ...]:
    axis = attributes.get("axis", 0)
    sizes = _numbers(inputs, attributes, 1, "split")
    if sizes is None:
        parts = attributes["num_outputs"]
        chunk = -(-inputs[0].shape[axis] // parts)
        return tuple(np.split(inputs[0], range(chunk, inputs[0].shape[axis], chunk), axis))
    return tuple(np.split(inputs[0], np.cumsum(sizes)[:-1], axis))


def _divided(left: Value, right: Value) -> Value:
    if left.dtype.kind == "f":
        return left / right
    quotient = np.abs(left) // np.abs(right)
    return (quotient * np.sign(left) * np.sign(right)).astype(left.dtype)  # whole numbers are divided towards zero


def fold(op: str, attributes: Attributes, inputs: Inputs) -> tuple[Value, ...]:
    """Compute a node from known inputs.

    The caller bounds the work with :func:`work` first. Operators that only move elements work on arrays of any type,
    so that labels can be sent through them.

    Parameters
    ----------
    op : str
        Name of the ONNX operator.
    attributes : mapping
        As in :class:`~micronet_resources.onnx_graph.graph.Node`.
    inputs : sequence of array or None
        ``None`` where an optional input is absent.

    Returns
    -------
    tuple of array
        One for each output.

    Raises
    ------
    EntryError
        If constants cannot be computed with this operator here.

    Examples
    --------
    >>> fold("Slice", {}, [np.arange(10), np.array([2]), np.array([8]), np.array([0]), np.array([3])])
    (array([2, 5]),)
    """
    first = inputs[0] if inputs else None
    if op in PAIRS:
        result = first
        for other in inputs[1:]:
            result = PAIRS[op](result, other)
        return (np.asarray(result, first.dtype if op in ("Mod", "Pow") else None),)
    if op in SINGLES:
        return (np.asarray(SINGLES[op](first)),)
    if op in REDUCTIONS:
        axes = _numbers(inputs, attributes, 1, "axes")
        if not axes and attributes.get("noop_with_empty_axes", 0):
            return (first,)
        reduced = REDUCTIONS[op](first, axis=axes or None, keepdims=bool(attributes.get("keepdims", 1)))
        return (np.asarray(reduced).astype(first.dtype),)
    if op == "Split":
        return _split(attributes, inputs)
    if op not in OTHERS:
        raise EntryError(
            f"{op} works on constants only: an entry may compute constants with simple arithmetic and by moving "
            "elements. Compute the result before exporting and store it."
        )
    return (np.asarray(OTHERS[op](attributes, inputs)),)


OTHERS: dict[str, Callable[[Attributes, Inputs], Value]] = {
    "Cast": lambda a, x: x[0].astype(onnx.helper.tensor_dtype_to_np_dtype(a["to"])),
    "CastLike": lambda a, x: x[0].astype(x[1].dtype),
    "Concat": lambda a, x: np.concatenate(x, a["axis"]),
    "ConstantOfShape": lambda a, x: np.broadcast_to(
        np.ravel(a["value"])[0] if "value" in a else np.float32(0), tuple(int(size) for size in x[0])
    ),
    "DequantizeLinear": _dequantized,
    "Div": lambda a, x: _divided(x[0], x[1]),
    "Expand": lambda a, x: np.broadcast_to(x[0], np.broadcast_shapes(x[0].shape, tuple(int(size) for size in x[1]))),
    "Flatten": lambda a, x: x[0].reshape(
        math.prod(x[0].shape[: a.get("axis", 1)]), math.prod(x[0].shape[a.get("axis", 1) :])
    ),
    "Gather": lambda a, x: np.take(x[0], x[1], a.get("axis", 0)),
    "MatMul": lambda a, x: np.matmul(x[0], x[1]),
    "Pad": _pad,
    "Range": lambda a, x: np.arange(np.ravel(x[0])[0], np.ravel(x[1])[0], np.ravel(x[2])[0], dtype=x[0].dtype),
    "Reshape": lambda a, x: x[0].reshape(_reshaped(x[0], x[1], bool(a.get("allowzero", 0)))),
    "Size": lambda a, x: np.array(x[0].size, np.int64),
    "Slice": _slice,
    "Squeeze": lambda a, x: np.squeeze(x[0], _numbers(x, a, 1, "axes")),
    "Tile": lambda a, x: np.tile(x[0], tuple(int(times) for times in x[1])),
    "Transpose": lambda a, x: np.transpose(x[0], a.get("perm")),
    "Unsqueeze": lambda a, x: np.expand_dims(x[0], _numbers(x, a, 1, "axes")),
    "Where": lambda a, x: np.where(x[0], x[1], x[2]),
}
