"""Graphs for the tests: networks exported from torch, and small ones written node by node."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

Built = Callable[..., onnx.ModelProto]


def _export(model: nn.Module, shape: Sequence[int] = (3, 32, 32), *, opset: int = 21) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        program = torch.onnx.export(
            model.eval(),
            (torch.zeros(2, *shape),),
            dynamo=True,
            optimize=False,
            opset_version=opset,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    return program.model_proto


def _constant(name: str, value: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value), name))


def _build(
    nodes: Sequence[tuple[Any, ...] | onnx.NodeProto],
    tensors: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    *,
    shape: Sequence[Any] = ("batch", 3, 8, 8),
    output_shape: Sequence[Any] | None = None,
    output: str = "y",
    opset: int = 21,
) -> onnx.ModelProto:
    """A graph from ``x`` to ``y``; a node is (operator, inputs, outputs, attributes), names separated by spaces."""
    protos = [_constant(name, value) for name, value in (constants or {}).items()]
    for node in nodes:
        if isinstance(node, onnx.NodeProto):
            protos.append(node)
            continue
        op, inputs, outputs, *attributes = node
        sources = [name.strip("-") for name in inputs.split()]  # "-" is an input that is absent
        protos.append(helper.make_node(op, sources, outputs.split(), **(attributes[0] if attributes else {})))
    graph = helper.make_graph(
        protos,
        "entry",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (tensors or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    if output_shape is None:
        _declare_output(model)
    return model


def _declare_output(model: onnx.ModelProto) -> None:
    """Write down the shape of the output, or one that is as good as any if the graph makes no sense."""
    shape = model.graph.output[0].type.tensor_type.shape
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type
        shape.CopyFrom(inferred.shape)
    except Exception:
        shape.dim.add().dim_param = "batch"
    if not model.graph.output[0].type.tensor_type.HasField("shape"):
        shape.dim.add().dim_param = "batch"


@pytest.fixture(scope="session")
def exported() -> Callable[..., onnx.ModelProto]:
    """Export a network as entries are exported."""
    return _export


@pytest.fixture(scope="session")
def build() -> Built:
    """Write a graph node by node."""
    return _build
