"""What ONNX operators cost per element, and the names that torch gives them."""

from __future__ import annotations

__all__ = ["ACTIVATIONS", "ELEMENTWISE", "FREE", "GATES", "NORMALIZATIONS", "TORCH_NAMES"]

# Multiplications and additions of one element.
ACTIVATIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("Relu", "Clip", "LeakyRelu", "ThresholdedRelu"), (1, 0)),
    **dict.fromkeys(("Sigmoid", "Tanh", "HardSigmoid", "Softmax", "LogSoftmax"), (2, 1)),
    **dict.fromkeys(("Elu", "Selu", "Celu", "Softplus", "Softsign"), (2, 1)),
    **dict.fromkeys(("HardSwish", "Gelu", "Mish"), (3, 1)),
    **dict.fromkeys(("Exp", "Log", "Erf", "Sin", "Cos", "Sqrt", "Pow"), (1, 0)),
}
ELEMENTWISE: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("Reciprocal", "Mod"), (1, 0)),
    **dict.fromkeys(
        ("Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Max", "Min", "Where", "Equal", "Greater"), (0, 1)
    ),
    **dict.fromkeys(("Less", "GreaterOrEqual", "LessOrEqual", "Not", "And", "Or"), (0, 1)),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (1, 1)),
}
NORMALIZATIONS: dict[str, tuple[int, int]] = {
    "BatchNormalization": (1, 1),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "InstanceNormalization"), (3, 4)),
    **dict.fromkeys(("RMSNormalization", "LpNormalization", "LRN"), (3, 4)),
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

TORCH_NAMES = {
    "Add": "add",
    "Clip": "clamp",
    "Div": "div",
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish",
    "LeakyRelu": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "MaxPool": "max_pool",
    "AveragePool": "avg_pool",
    "Mean": "mean",
    "Mul": "mul",
    "ReduceMax": "amax",
    "ReduceMean": "mean",
    "ReduceMin": "amin",
    "ReduceSum": "sum",
    "BatchNormalization": "batch_norm",
    "LayerNormalization": "layer_norm",
    "GroupNormalization": "group_norm",
    "InstanceNormalization": "instance_norm",
    "Sub": "sub",
    "Sum": "add",
}
