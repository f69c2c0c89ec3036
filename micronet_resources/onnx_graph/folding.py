"""The value of an operator whose inputs are all known: numpy in place of a runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.workload import numbers_of, padding_of

__all__ = ["fold"]

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


def _reshaped(value: Value, sizes: Sequence[int], keep_zero: bool) -> tuple[int, ...]:
    return tuple(value.shape[axis] if size == 0 and not keep_zero else int(size) for axis, size in enumerate(sizes))


def _slice(attributes: Attributes, inputs: Inputs) -> Value:
    starts, ends = numbers_of(inputs, attributes, 1, "starts"), numbers_of(inputs, attributes, 2, "ends")
    axes = numbers_of(inputs, attributes, 3, "axes") or tuple(range(len(starts)))
    steps = numbers_of(inputs, attributes, 4, "steps") or (1,) * len(starts)
    cut = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = inputs[0].shape[axis]
        if step < 0:  # from and to the first element, which a negative number cannot say in Python
            start, end = max(start, -size), None if end < -size else end
        cut[axis] = slice(start, end, step)
    return inputs[0][tuple(cut)]


def _pad(attributes: Attributes, inputs: Inputs) -> Value:
    if attributes.get("mode", "constant") != "constant":
        raise EntryError("a constant is padded by reflection or repetition: store the padded tensor instead.")
    widths = padding_of(attributes, inputs)
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
    sizes = numbers_of(inputs, attributes, 1, "split")
    if sizes is None:
        parts = attributes["num_outputs"]
        chunk = -(-inputs[0].shape[axis] // parts)
        return tuple(np.split(inputs[0], range(chunk, inputs[0].shape[axis], chunk), axis))
    return tuple(np.split(inputs[0], np.cumsum(sizes)[:-1], axis))


def _divided(left: Value, right: Value) -> Value:
    _refuse_zeros(right)
    if left.dtype.kind == "f":
        return left / right
    quotient = np.abs(left) // np.abs(right)
    return (quotient * np.sign(left) * np.sign(right)).astype(left.dtype)  # whole numbers are divided towards zero


def _remainder(attributes: Attributes, inputs: Inputs) -> Value:
    _refuse_zeros(inputs[1])
    return (np.fmod if attributes.get("fmod", 0) else np.mod)(inputs[0], inputs[1])


def _refuse_zeros(divisor: Value) -> None:
    if np.count_nonzero(divisor) < divisor.size:
        raise EntryError("a constant is divided by zero: store the quotient, or divide by other numbers.")


def fold(op: str, attributes: Attributes, inputs: Inputs) -> tuple[Value, ...]:
    """Compute a node from known inputs.

    The caller bounds the work with :func:`~micronet_resources.onnx_graph.workload.work` first. Operators that only move
    elements work on arrays of any type, so that labels can be sent through them.

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
        return (np.asarray(result, first.dtype if op == "Pow" else None),)
    if op in SINGLES:
        return (np.asarray(SINGLES[op](first)),)
    if op in REDUCTIONS:
        axes = numbers_of(inputs, attributes, 1, "axes")
        if not axes:  # over no axis each element is still squared, or loses its sign
            axes = () if attributes.get("noop_with_empty_axes", 0) else None
        reduced = REDUCTIONS[op](first, axis=axes, keepdims=bool(attributes.get("keepdims", 1)))
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
    "Mod": _remainder,
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
    "Squeeze": lambda a, x: np.squeeze(x[0], numbers_of(x, a, 1, "axes")),
    "Tile": lambda a, x: np.tile(x[0], tuple(int(times) for times in x[1])),
    "Transpose": lambda a, x: np.transpose(x[0], a.get("perm")),
    "Unsqueeze": lambda a, x: np.expand_dims(x[0], numbers_of(x, a, 1, "axes")),
    "Where": lambda a, x: np.where(x[0], x[1], x[2]),
}
