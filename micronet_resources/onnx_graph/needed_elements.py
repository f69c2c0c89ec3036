"""Which elements of which tensors the answer of a network can depend on, followed from the output to the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from micronet_resources.onnx_graph.compact import (
    MOVES,
    any_over,
    channel_any,
    compact,
    count,
    move,
    to_shape,
)
from micronet_resources.onnx_graph.extents import reduced_axes
from micronet_resources.onnx_graph.needed_products import Arithmetic, Call, Masks, needed_of_product, spread
from micronet_resources.onnx_graph.records import Graph, Node
from micronet_resources.onnx_graph.zero_values import POOLS, REDUCTIONS

__all__ = ["needed_elements"]

# One output element for each element of the inputs, which are broadcast.
ELEMENTWISE = frozenset(
    """
    Relu LeakyRelu PRelu HardSwish HardSigmoid Sigmoid Tanh Gelu Elu Selu Celu Mish Softplus Softsign
    ThresholdedRelu Erf Exp Log Sqrt Reciprocal Abs Neg Sign Floor Ceil Round Sin Cos Pow Add Sub Mul Div Max Min Sum
    Mean Where Equal Greater Less GreaterOrEqual LessOrEqual Not And Or Mod Clip Cast CastLike
    """.split()  # noqa: SIM905
)
ALONG_ONE_AXIS = frozenset({"Softmax", "LogSoftmax", "LpNormalization"})
ALONG_LAST_AXES = frozenset({"LayerNormalization", "RMSNormalization"})

# Operators whose output has every element of the input once.
REORDERS = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth"})


def _elementwise(call: Call) -> Masks:
    return {position: to_shape(call.wanted[0], call.shape(position)) for position in call.positions()}


def _per_element_of_the_first(call: Call) -> Masks:
    """Scales and zero points are read whole."""
    return {**call.everything(), 0: call.wanted[0]}


def _batch_normalization(call: Call) -> Masks:
    channels = call.shape(1)[0]
    varying = channel_any(call.varying[0], 1, channels)
    return {
        0: call.varying[0],
        1: varying,
        2: channel_any(call.wanted[0], 1, channels),  # a channel that is one number stores it here
        3: varying,
        4: varying,
    }


def _channelwise(call: Call) -> Masks:
    """Each channel of the output reads the same channel of the input, all of it."""
    wanted = call.wanted[0]
    for other in call.wanted[1:]:
        wanted = wanted | other
    masks = call.everything()
    masks[0] = any_over(wanted, [axis for axis in range(wanted.ndim) if axis > 1])
    if call.node.op == "InstanceNormalization":
        masks[1] = masks[2] = channel_any(wanted, 1, call.shape(1)[0])
    return masks


def _resize(call: Call) -> Masks:
    before, after = call.shape(0), call.graph.types[call.node.outputs[0]].shape
    return _channelwise(call) if before[:2] == after[:2] else call.everything()


def _along_axes(call: Call) -> Masks:
    rank = len(call.shape(0))
    axis = call.node.attributes.get("axis", -1) % rank
    axes = [axis] if call.node.op in ALONG_ONE_AXIS else range(axis, rank)
    wanted = call.wanted[0]
    masks = {position: to_shape(wanted, call.shape(position)) for position in call.positions()}
    masks[0] = any_over(wanted, axes)
    return masks


def _reduction(call: Call) -> Masks:
    wanted = call.wanted[0]
    if not call.node.attributes.get("keepdims", 1):
        wanted = np.expand_dims(wanted, reduced_axes(call.node, call.graph))
    return {**call.everything(), 0: wanted}


def _moved(call: Call) -> Masks:
    """Label the elements of the input, move the labels and look which arrive where something is read."""
    shape = call.shape(0)
    masks = call.everything()
    if call.node.op in ("Identity", "Dropout"):
        return {**masks, 0: call.wanted[0]}
    if call.node.op in REORDERS and call.wanted[0].size == 1:
        return masks
    size = int(np.prod(shape))
    labels = [np.arange(size).reshape(shape), *[np.array(-1)] * (len(call.node.inputs) - 1)]
    moved = move(call.node, call.graph, labels, fill=-1)
    if moved is None:
        return masks
    needed = np.zeros(size + 1, bool)  # the last one stands for padding
    for arrived, wanted in zip(moved, call.wanted, strict=False):
        needed[arrived[np.broadcast_to(wanted, arrived.shape)]] = True
    return {**masks, 0: needed[:-1].reshape(shape)}


def _joined(call: Call) -> Masks:
    axis = call.node.attributes["axis"]
    wanted = spread(call.wanted[0], axis, call.graph.types[call.node.outputs[0]].shape[axis])
    ends = np.cumsum([call.shape(position)[axis] for position in call.positions()])
    return dict(enumerate(np.split(wanted, ends[:-1], axis)))


RULES: dict[str, Callable[[Call], Masks]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(POOLS | {"InstanceNormalization"}, _channelwise),
    **dict.fromkeys(ALONG_ONE_AXIS | ALONG_LAST_AXES, _along_axes),
    **dict.fromkeys(REDUCTIONS | {"ReduceProd"}, _reduction),
    **dict.fromkeys(MOVES, _moved),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _per_element_of_the_first),
    "BatchNormalization": _batch_normalization,
    "Concat": _joined,
    "Resize": _resize,
}


def _call(node: Node, graph: Graph, values: Mapping[str, np.ndarray], needs: Mapping[str, np.ndarray]) -> Call:
    wanted, varying = [], []
    for name in node.outputs:
        need = needs.get(name, np.zeros((), bool))
        value = values.get(name, np.array(np.nan))
        wanted.append(compact(need & (value != 0)))
        varying.append(compact(need & np.isnan(value)))
    return Call(node, graph, values, wanted, varying)


def needed_elements(
    graph: Graph, values: Mapping[str, np.ndarray]
) -> tuple[dict[tuple[int, int], np.ndarray], dict[int, Arithmetic], dict[str, np.ndarray]]:
    """Follow what is read from the output of a network to its input.

    An element that is zero for every image needs nothing. One that is another fixed number needs the constants that it
    is computed from, but no filter that is zero.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to array
        As :func:`~micronet_resources.onnx_graph.zero_values.fixed_values` gives them.

    Returns
    -------
    constants : dict of (int, int) to array of bool
        For each node, by its position in ``graph.nodes``, and each of its inputs that is constant: the elements that
        are needed, in an array that broadcasts to the shape of the constant.
    arithmetic : dict of int to Arithmetic
        For every node, by its position.
    needs : dict of str to array of bool
        For each feature map the elements that are needed, in an array that broadcasts to its shape.
    """
    needs = {graph.output: np.ones((1,) * len(graph.types[graph.output].shape), bool)}
    constants: dict[tuple[int, int], np.ndarray] = {}
    arithmetic: dict[int, Arithmetic] = {}
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        call = _call(node, graph, values, needs)
        masks: Masks = {position: np.zeros((1,) * len(call.shape(position)), bool) for position in call.positions()}
        left = Arithmetic(0, 0, 0)  # unless something is read
        if any(wanted.any() for wanted in call.wanted):
            shapes = [graph.types[name].shape if name else () for name in node.outputs]
            left = Arithmetic(sum(map(count, call.varying, shapes)))
            if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
                masks, followed = needed_of_product(call)
                left = followed or left
            else:
                masks = RULES.get(node.op, Call.everything)(call)
        arithmetic[index] = left
        for position, mask in masks.items():
            name = node.inputs[position]
            if name in graph.constants:
                constants[index, position] = mask
            else:
                needs[name] = compact(needs.get(name, np.zeros((), bool)) | mask)
    return constants, arithmetic, needs
