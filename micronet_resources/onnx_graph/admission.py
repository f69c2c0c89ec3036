"""Which files are looked at at all: cheap refusals, before anything is folded, shaped or run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from micronet_resources.onnx_graph.errors import AGAIN, EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import ALLOWED, FOLDED_ONLY, OPSETS, SEQUENCES
from micronet_resources.onnx_graph.shapes import TYPES

__all__ = ["admit"]

NUMBERS = frozenset(
    {
        AttributeProto.FLOAT,
        AttributeProto.INT,
        AttributeProto.STRING,
        AttributeProto.TENSOR,
        AttributeProto.FLOATS,
        AttributeProto.INTS,
    }
)
STANDARD = ("", "ai.onnx")


def admit(
    data: bytes,
    *,
    input_shape: Sequence[int] | None = None,
    outputs: int | None = None,
    limits: Limits | None = None,
) -> onnx.ModelProto:
    """Take an ONNX file apart without running anything in it.

    Parameters
    ----------
    data : bytes
        The file.
    input_shape : sequence of int, optional
        Shape of one image that the graph must accept, such as ``(3, 32, 32)``.
    outputs : int, optional
        Numbers that the graph must give for each image.
    limits : Limits, optional
        Bounds on its size; those of a challenge entry by default.

    Returns
    -------
    ModelProto
        One graph of standard operators with one input, one output and finite weights, all inside the file.

    Raises
    ------
    EntryError
        Naming what was found, the rule, and what to do.
    """
    limits = limits or Limits()
    if len(data) > limits.file_bytes:
        raise EntryError(
            f"the file has {len(data):,} bytes; at most {limits.file_bytes:,} are allowed. Shrink the network."
        )
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception:
        raise EntryError(
            f"a file of {len(data):,} bytes is not an ONNX model: write it with micronet_resources.entry.export."
        ) from None
    try:
        _check_model(model, limits)
        _check_interface(model.graph, input_shape, outputs)
        _check_nodes(model.graph)
        _check_names(model.graph)
        for tensor in _tensors(model.graph):
            _check_tensor(tensor, len(data), limits)
        onnx.checker.check_model(model)
    except EntryError:
        raise
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split())[:200]
        raise EntryError(f"not a valid ONNX model: {reason}. {AGAIN}") from None
    except Exception as error:  # a damaged file can fail anywhere, and what that says helps nobody
        raise EntryError(f"the file is damaged, so that it cannot be read to its end. {AGAIN}") from error
    return model


def _check_model(model: onnx.ModelProto, limits: Limits) -> None:
    graph = model.graph
    if len(graph.node) > limits.nodes or len(graph.initializer) > limits.nodes:
        raise EntryError(
            f"the graph has {len(graph.node):,} nodes and {len(graph.initializer):,} tensors; at most {limits.nodes:,} "
            "of each are allowed. Write loops over channels as grouped convolutions or matrix products."
        )
    references = sum(len(node.input) + len(node.output) for node in graph.node)
    if references > 10 * limits.nodes:
        raise EntryError(
            f"the nodes have {references:,} inputs and outputs in all; at most {10 * limits.nodes:,} are allowed."
        )
    domains = sorted({entry.domain for entry in model.opset_import} - set(STANDARD))
    if domains:
        raise EntryError(f"the file uses operator domains {domains}: only the standard operators of ONNX are allowed.")
    versions = [entry.version for entry in model.opset_import]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise EntryError(
            f"the file is written for operator sets {versions}; one from {OPSETS[0]} to {OPSETS[-1]} is needed. "
            "micronet_resources.entry.export writes 21."
        )
    for what, found in (
        ("local functions", model.functions),
        ("training information", model.training_info),
        ("sparse tensors", graph.sparse_initializer),
        ("device configurations", model.configuration),
    ):
        if len(found):
            raise EntryError(f"the file holds {what}: an entry is one graph of standard operators and dense tensors.")


def _check_interface(graph: onnx.GraphProto, input_shape: Sequence[int] | None, outputs: int | None) -> None:
    if len(graph.input) != 1 or len(graph.output) != 1:
        found = [value.name[:40] for value in (*graph.input, *graph.output)][:8]
        raise EntryError(
            f"the graph has {len(graph.input)} inputs and {len(graph.output)} outputs ({', '.join(found)}): images go "
            "in, one score per class comes out, and weights are not inputs."
        )
    for value, what in ((graph.input[0], "input"), (graph.output[0], "output")):
        if not value.type.HasField("tensor_type") or value.type.tensor_type.elem_type not in (
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
        ):
            raise EntryError(f"the {what} {value.name[:40]!r} is not a tensor of type float32 or float16.")
    sizes = graph.input[0].type.tensor_type.shape.dim
    shape = tuple(size.dim_value for size in sizes)
    if len(sizes) < 2 or any(size < 1 for size in shape[1:]) or sizes[0].HasField("dim_value"):
        shown = [size.dim_param[:20] or size.dim_value for size in sizes][:9]
        raise EntryError(
            f"the input has shape {shown}: the first dimension is the batch and stays open, the others are numbers. "
            "Export with dynamic_shapes=({0: Dim('batch')},)."
        )
    if input_shape is not None and shape[1:] != tuple(input_shape):
        raise EntryError(f"the input takes images of shape {shape[1:]}; the task has {tuple(input_shape)}.")
    sizes = graph.output[0].type.tensor_type.shape.dim
    shape = tuple(size.dim_value for size in sizes)
    if outputs is not None and (shape[1:] != (outputs,) or sizes[0].HasField("dim_value")):
        shown = [size.dim_param[:20] or size.dim_value for size in sizes][:9]
        raise EntryError(f"the output has shape {shown}; the task needs [batch, {outputs}], one score for each class.")


def _check_nodes(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        where = f"node {(node.name or '/'.join(node.output))[:60]!r} ({node.op_type[:40]})"
        if node.domain not in STANDARD:
            raise EntryError(f"{where} is of domain {node.domain[:60]!r}: only the standard operators are allowed.")
        for attribute in node.attribute:
            if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                raise EntryError(
                    f"{where} holds a sub-graph: entries have no control flow. Unroll the loop, or compute both "
                    "branches and choose with Where."
                )
            if attribute.ref_attr_name or attribute.type not in NUMBERS or _stray(attribute):
                raise EntryError(
                    f"{where}: attribute {attribute.name[:40]!r} is not a number, list of numbers or tensor."
                )
        if node.op_type not in ALLOWED | FOLDED_ONLY | SEQUENCES:
            raise EntryError(
                f"{where}: entries may not use this operator. Build the network from convolutions, matrix products, "
                "normalization, pooling and the usual element-wise operators."
            )


def _stray(attribute: AttributeProto) -> bool:
    """Whether an attribute carries a graph or sparse tensor beside what its type says."""
    held = ("g", "sparse_tensor", "tp")
    return any(attribute.HasField(name) for name in held) or any(
        len(found) for found in (attribute.graphs, attribute.sparse_tensors, attribute.type_protos, attribute.tensors)
    )


def _check_names(graph: onnx.GraphProto) -> None:
    seen: set[str] = {graph.input[0].name}
    names = [tensor.name for tensor in graph.initializer]
    names += [name for node in graph.node for name in node.output if name]
    for name in names:
        if "\0" in name:
            raise EntryError(f"the name {name[:60]!r} contains a null character. {AGAIN}")
        if name in seen:
            raise EntryError(f"the name {name[:60]!r} is defined twice: every tensor has one name and one origin.")
        seen.add(name)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _check_tensor(tensor: TensorProto, file_bytes: int, limits: Limits) -> None:
    where = f"tensor {tensor.name[:60]!r}"
    if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
        raise EntryError(f"{where} lies in another file: export with external_data=False, an entry is one file.")
    if tensor.HasField("segment"):
        raise EntryError(f"{where} is one segment of a tensor: store the whole tensor.")
    if tensor.data_type not in TYPES:
        raise EntryError(
            f"{where} is of type {_type_name(tensor.data_type)}: use float32, float16 or whole numbers of 4, 8, 32 "
            "or 64 bits."
        )
    shape = tuple(tensor.dims)
    # Two 4-bit numbers share a byte, and no other type is smaller: more elements than that cannot be in the file.
    if len(shape) > limits.rank or any(size < 0 for size in shape) or math.prod(shape) > 2 * file_bytes:
        raise EntryError(
            f"{where} claims shape {shape[:9]}: up to {limits.rank} dimensions, none negative, and no more elements "
            "than the file can hold."
        )
    try:
        value = onnx.numpy_helper.to_array(tensor)
    except Exception:
        raise EntryError(f"{where} of shape {shape} holds data of another size. {AGAIN}") from None
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise EntryError(
            f"{where} holds infinity or NaN: every weight must be finite. Train again, or clip the weights."
        )


def _type_name(number: int) -> str:
    return TensorProto.DataType.Name(number) if number in TensorProto.DataType.values() else f"number {number}"
