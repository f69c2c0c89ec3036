"""What is known about each ONNX operator that an entry may use."""

from __future__ import annotations

__all__ = ["ALLOWED", "FOLDED_ONLY", "MOVES", "OPSETS", "SEQUENCES", "SHAPE_SLOTS", "STATISTICS_SLOTS", "VIEWS"]

# Versions of the standard operator set whose meaning the counts follow; the exporter is asked for 21.
OPSETS = range(18, 24)

# Operators that may work on the image. Not on the list: sub-graphs (If, Loop, Scan), random numbers, operators whose
# output shape depends on values (NonZero, Unique), running sums, recurrent cells, sequences and strings.
_ALLOWED = """
Conv ConvTranspose Gemm MatMul Einsum Attention
BatchNormalization LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LpNormalization LRN
Relu LeakyRelu PRelu Clip HardSwish HardSigmoid Sigmoid Tanh Softmax LogSoftmax Gelu Elu Selu Celu Mish Softplus
Softsign ThresholdedRelu Erf Exp Log Sqrt Reciprocal Abs Neg Sign Floor Ceil Round Sin Cos Pow Add Sub Mul Div Max Min
Sum Mean Where Equal Greater Less GreaterOrEqual LessOrEqual Not And Or Mod
MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2
ReduceSumSquare ReduceProd
Concat Split Slice Gather Pad Resize DepthToSpace SpaceToDepth Reshape Transpose Flatten Squeeze Unsqueeze Expand Tile
Identity Dropout Cast CastLike QuantizeLinear DequantizeLinear
"""
ALLOWED = frozenset(_ALLOWED.split())
# Operators that make constants; they never see the image.
FOLDED_ONLY = frozenset({"Shape", "Size", "Constant", "ConstantOfShape", "Range"})

# How the exporter of torch writes chunk and split; each part is read as a slice.
SEQUENCES = frozenset({"SplitToSequence", "SequenceAt"})

# Operators that leave every element of their first input what it is.
MOVES = frozenset({"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"})
# With those that may round each element: what comes out holds nothing that was not in the first input.
VIEWS = MOVES | {"Cast", "CastLike"}

# Inputs that say how to shape, cut or pad; what they hold does not enter the arithmetic.
SHAPE_SLOTS: dict[str, frozenset[int]] = {
    "CastLike": frozenset({1}),
    "Dropout": frozenset({1, 2}),
    "Expand": frozenset({1}),
    "Pad": frozenset({1, 3}),
    "ReduceL1": frozenset({1}),
    "ReduceL2": frozenset({1}),
    "ReduceMax": frozenset({1}),
    "ReduceMean": frozenset({1}),
    "ReduceMin": frozenset({1}),
    "ReduceProd": frozenset({1}),
    "ReduceSum": frozenset({1}),
    "ReduceSumSquare": frozenset({1}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({1, 2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Squeeze": frozenset({1}),
    "Tile": frozenset({1}),
    "Unsqueeze": frozenset({1}),
}
# Running mean and variance, which no rule set counts as parameters.
STATISTICS_SLOTS: dict[str, frozenset[int]] = {"BatchNormalization": frozenset({3, 4})}
