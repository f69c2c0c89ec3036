"""What ONNX operators cost: as much as the operators of torch that they are exported from."""

from __future__ import annotations

from micronet_resources.counting import operator_costs as torch_costs

__all__ = ["ELEMENT_COSTS", "FREE", "GATES", "NORMALIZATIONS", "REDUCTIONS", "TORCH_NAMES", "shown_name"]


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


# Names in torch's operator library.
TORCH_NAMES = _pairs(
    """
    Relu:relu Clip:clamp LeakyRelu:leaky_relu PRelu:prelu ThresholdedRelu:threshold Sigmoid:sigmoid Tanh:tanh
    HardSigmoid:hardsigmoid Softmax:_softmax LogSoftmax:_log_softmax Elu:elu Selu:selu Celu:celu Softplus:softplus
    HardSwish:hardswish Gelu:gelu Mish:mish Exp:exp Log:log Erf:erf Sin:sin Cos:cos Sqrt:sqrt Pow:pow
    Reciprocal:reciprocal Mod:remainder Abs:abs Neg:neg Sign:sign Floor:floor Ceil:ceil Round:round Max:maximum
    Min:minimum Where:where Equal:eq Greater:gt Less:lt GreaterOrEqual:ge LessOrEqual:le Not:logical_not And:logical_and
    Or:logical_or
    ReduceMean:mean ReduceSum:sum ReduceMax:amax ReduceMin:amin ReduceProd:prod ReduceL1:linalg_vector_norm
    ReduceL2:linalg_vector_norm GlobalAveragePool:mean GlobalMaxPool:amax
    Add:add Sub:sub Sum:add Mean:mean Mul:mul Div:div MaxPool:max_pool AveragePool:avg_pool
    BatchNormalization:batch_norm LayerNormalization:layer_norm GroupNormalization:group_norm
    InstanceNormalization:instance_norm RMSNormalization:rms_norm LpNormalization:normalize LRN:local_response_norm
    """
)


def _table(costs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: costs[torch_name] for name, torch_name in TORCH_NAMES.items() if torch_name in costs}


# Kind, multiplications and additions of one element.
ELEMENT_COSTS: dict[str, tuple[str, int, int]] = {
    **{name: ("activation", *cost) for name, cost in _table(torch_costs.ACTIVATIONS).items()},
    "Softsign": ("activation", 2, 1),  # torch has no operator of its own for it
    **{name: ("elementwise", *cost) for name, cost in _table(torch_costs.ELEMENTWISE).items()},
    # Divided by the scale and rounded; times the scale, after a zero point is taken off that is not zero.
    "QuantizeLinear": ("elementwise", 1, 1),
    "DequantizeLinear": ("elementwise", 1, 0),
}
# Multiplications and additions per element that goes in, multiplications per element that comes out.
REDUCTIONS: dict[str, tuple[int, int, int]] = {**_table(torch_costs.REDUCTIONS), "ReduceSumSquare": (1, 1, 0)}
del REDUCTIONS["Mean"]  # of several tensors, not of one
# Multiplications and additions of one element.
NORMALIZATIONS: dict[str, tuple[int, int]] = {
    "BatchNormalization": (1, 1),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "InstanceNormalization"), (3, 4)),
}
# Functions of torch that are exported as several operators, one of which multiplies a feature map by a function of
# itself. In the profile of the model they are no products.
GATES = {
    "silu": "activation",
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), "pooling"),
}
# Without arithmetic: they move, copy, cut or convert.
_FREE = """
Concat Split Slice Gather Pad DepthToSpace SpaceToDepth Reshape Transpose Flatten Squeeze Unsqueeze Expand Tile
Identity Dropout Cast CastLike
"""
FREE = frozenset(_FREE.split())


def shown_name(op: str) -> str:
    """How an operation is called in a profile.

    Examples
    --------
    >>> shown_name("Softmax"), shown_name("QuantizeLinear")
    ('softmax', 'quantizelinear')
    """
    return TORCH_NAMES.get(op, op.lower()).lstrip("_")
