"""Types of what a node computes, for one image; attributes that shape inference does not check are checked here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from micronet_resources.onnx_graph.constants import ConstantTable
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS

__all__ = ["TYPES", "infer_outputs", "shape_of"]

# Types of numbers that an entry may use. bfloat16 is not computed by onnxruntime before operator set 22.
TYPES = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.INT64,
        TensorProto.INT32,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.BOOL,
        TensorProto.INT4,
        TensorProto.UINT4,
    }
)
# Constants up to this size are shown to shape inference, which reads lists of dimensions only.
SHOWN = 64
# No kernel, stride, dilation or padding of an image network comes near.
LARGEST_STEP = 4096
WINDOWED = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"})
# Inputs that multiply, but are not counted as products: they must not be feature maps.
CONSTANT_SLOTS = {
    "BatchNormalization": (1, 2, 3, 4),
    "DequantizeLinear": (1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "QuantizeLinear": (1, 2),
    "RMSNormalization": (1,),
}
# Operators that divide by their second input.
DIVIDING = frozenset({"Div", "Mod", "QuantizeLinear"})
# Operators that keep the type of their first input and for which shape inference has no rule.
KEEPS = frozenset({"GroupNormalization"})


def shape_of(proto: onnx.TypeProto) -> tuple[int, ...]:
    """Shape of a type of which every dimension is known."""
    return tuple(dimension.dim_value for dimension in proto.tensor_type.shape.dim)


def _check_window(where: str, op: str, attributes: Mapping[str, Any]) -> None:
    for name in ("kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape"):
        smallest = 0 if name in ("pads", "output_padding") else 1
        numbers = attributes.get(name, ())
        if any(not smallest <= number <= LARGEST_STEP for number in numbers):
            raise EntryError(
                f"{where} has {name} {list(numbers)}: each must be from {smallest} to {LARGEST_STEP}. Export the "
                "network again from a layer with usual settings."
            )
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise EntryError(f"{where} has auto_pad {attributes['auto_pad']}: write the padding as numbers.")


def _check_weight(where: str, op: str, attributes: Mapping[str, Any], shapes: list[tuple[int, ...] | None]) -> None:
    image, weight = shapes[0], shapes[1]
    groups = attributes.get("group", 1)
    if len(weight) < 3 or len(weight) != len(image):
        raise EntryError(f"{where} has a weight of shape {weight} for an input of shape {image}: ranks must agree.")
    channels = image[1]
    if op == "Conv":
        fits = groups >= 1 and weight[1] * groups == channels and weight[0] % groups == 0
        outputs = weight[0]
    else:
        fits = groups >= 1 and weight[0] == channels and channels % groups == 0
        outputs = weight[1] * groups
    if not fits:
        raise EntryError(
            f"{where} has a weight of shape {weight} for {channels} channels in {groups} groups, which does not fit."
        )
    if tuple(attributes.get("kernel_shape", weight[2:])) != weight[2:]:
        raise EntryError(f"{where} has kernel_shape {list(attributes['kernel_shape'])} and a weight of shape {weight}.")
    if len(shapes) > 2 and shapes[2] not in (None, (outputs,)):
        raise EntryError(f"{where} has a bias of shape {shapes[2]} for {outputs} channels.")


def _check(
    where: str, op: str, attributes: Mapping[str, Any], shapes: list[tuple[int, ...] | None], opset: int
) -> None:
    if op in WINDOWED:
        _check_window(where, op, attributes)
    if op in ("Conv", "ConvTranspose"):
        _check_weight(where, op, attributes, shapes)
    if op == "BatchNormalization":
        if attributes.get("training_mode", 0):
            raise EntryError(f"{where} is in training mode: call model.eval() before exporting.")
        if any(shape != shapes[0][1:2] for shape in shapes[1:]):
            raise EntryError(f"{where} has scale, bias, mean and variance of shapes {shapes[1:]} for {shapes[0]}.")
    if op == "GroupNormalization":
        groups, channels = attributes["num_groups"], shapes[0][1]
        fits = ((channels,),) if opset >= 21 else ((groups,),)
        if groups < 1 or channels % groups or any(shape not in fits for shape in shapes[1:]):
            raise EntryError(f"{where} has {groups} groups, scale and bias of shapes {shapes[1:]} for {shapes[0]}.")
    if op == "Dropout" and len(shapes) > 2 and shapes[2] is not None:
        raise EntryError(f"{where} may be in training mode: call model.eval() before exporting.")


def _check_numbers(
    where: str, node: onnx.NodeProto, attributes: Mapping[str, Any], shape: tuple[int, ...], constants: ConstantTable
) -> None:
    """Refuse constants with which an operator gives no numbers."""
    if len(node.input) < 2 or node.input[1] not in constants:
        return
    numbers = constants[node.input[1]].value
    zeros = numbers.size - int(np.count_nonzero(numbers))
    if node.op_type in DIVIDING and zeros:
        raise EntryError(
            f"{where} divides by a constant of which {zeros:,} of {numbers.size:,} elements are zero. Divide by other "
            "numbers; what is to be left out is multiplied by 0."
        )
    if node.op_type == "Gather" and numbers.size:
        size = shape[attributes.get("axis", 0)]
        first, last = int(numbers.min()), int(numbers.max())
        if first < -size or last >= size:
            raise EntryError(
                f"{where} looks up elements {first} to {last} of {size}: count from 0 to {size - 1}, or from the end "
                "with negative numbers."
            )


def infer_outputs(
    where: str,
    node: onnx.NodeProto,
    attributes: Mapping[str, Any],
    types: Mapping[str, onnx.TypeProto],
    constants: ConstantTable,
    model: onnx.ModelProto,
    opset: int,
    limits: Limits,
) -> dict[str, onnx.TypeProto]:
    """Types of the outputs of a node that depends on the image.

    Parameters
    ----------
    where : str
        How errors name the node.
    node : NodeProto
    attributes : mapping
        Of the node, as Python values.
    types : mapping
        Of everything that was computed before.
    constants : ConstantTable
    model : ModelProto
    opset : int
    limits : Limits

    Returns
    -------
    dict of str to TypeProto
        With every dimension known.

    Raises
    ------
    EntryError
        If inputs do not fit, or a dimension of an output is unknown, not positive or too large.
    """
    for name in node.input:
        if name and name not in types:
            raise EntryError(
                f"{where} reads {name[:60]!r}, which no node before it computes: order the nodes, without cycles."
            )
    for position, name in enumerate(node.input):
        if not name or name in constants or node.op_type == "CastLike":
            continue
        if position in CONSTANT_SLOTS.get(node.op_type, ()):
            raise EntryError(
                f"{where} computes input {position} from the image: scales and statistics of a normalization or "
                "quantizer are constants; multiply feature maps with a product."
            )
        if position in SHAPE_SLOTS.get(node.op_type, ()):
            raise EntryError(
                f"{where} computes input {position} from the image: shapes, axes and limits must be the same for every "
                "image, so that every image costs the same."
            )
    shapes = [shape_of(types[name]) if name else None for name in node.input]
    _check(where, node.op_type, attributes, shapes, opset)
    _check_numbers(where, node, attributes, shapes[0], constants)
    shown = {
        name: onnx.numpy_helper.from_array(np.ascontiguousarray(constants[name].value), name)
        for name in node.input
        if name in constants and constants[name].value.size < SHOWN
    }
    try:
        found = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, opset, ""),
            node,
            {name: types[name] for name in node.input if name},
            shown,
            opset_imports=list(model.opset_import),
            ir_version=model.ir_version,
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise EntryError(f"{where} cannot work on its inputs: {reason}.") from None
    outputs = {name: found[name] for name in node.output if name and name in found}
    if node.op_type in KEEPS:
        outputs[node.output[0]] = types[node.input[0]]
    for name in node.output:
        if name:
            _check_output(f"{where}, output {name[:60]!r},", outputs.get(name), limits)
    return outputs


def _check_output(where: str, proto: onnx.TypeProto | None, limits: Limits) -> None:
    if proto is None or not proto.tensor_type.HasField("shape"):
        raise EntryError(f"{where} has no shape that follows from the shape of the image.")
    if proto.tensor_type.elem_type not in TYPES:
        kind = TensorProto.DataType.Name(proto.tensor_type.elem_type)
        raise EntryError(f"{where} is of type {kind}: use float32, float16 or whole numbers of 4, 8, 32 or 64 bits.")
    if any(not dimension.HasField("dim_value") for dimension in proto.tensor_type.shape.dim):
        raise EntryError(f"{where} has a shape that depends on more than the shape of the image.")
    shape = shape_of(proto)
    if len(shape) > limits.rank or any(size < 1 for size in shape):
        raise EntryError(f"{where} has shape {shape}: up to {limits.rank} dimensions of at least 1 are allowed.")
    if math.prod(shape) > limits.elements:
        raise EntryError(
            f"{where} has shape {shape}, {math.prod(shape):,} elements for one image: at most {limits.elements:,} are "
            "allowed. Work at a lower resolution or with fewer channels."
        )
