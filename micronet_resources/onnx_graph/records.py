"""The records of a graph that was read: operators and types for one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from micronet_resources.onnx_graph.constants import Constant

__all__ = ["Graph", "Node", "TensorType"]


@dataclass(frozen=True)
class TensorType:
    """Type of a tensor for one image: the batch dimension is 1."""

    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator that depends on the image.

    Parameters
    ----------
    name : str
        Path of the module that it comes from, such as ``"layer1.0.conv1"``, if the exporter wrote it down; otherwise
        that of the function or of the node. Several nodes may have the same name.
    op : str
        ONNX operator.
    attributes : mapping
        Numbers, strings, tuples of them, arrays.
    inputs, outputs : tuple of str
        Names of tensors, ``""`` for an optional one that is absent.
    function : str
        Function of torch that was exported, such as ``"silu"``, as the file says it. It is a hint: nothing may become
        cheaper by it unless the operators themselves bear it out.
    """

    name: str
    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: str = ""


@dataclass(frozen=True)
class Graph:
    """What an entry computes for one image.

    Parameters
    ----------
    nodes : tuple of Node
        Those that depend on the image, in an order in which they can run.
    constants : mapping of str to Constant
        Every tensor that does not depend on the image.
    types : mapping of str to TensorType
        Of all tensors, constants included.
    input, output : str
    opset : int
    metadata : mapping of str to str
        What the file says about itself.
    stored : frozenset of str
        Names of the tensors in the file's list of weights, whether they are used or not.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    types: Mapping[str, TensorType]
    input: str
    output: str
    opset: int
    metadata: Mapping[str, str]
    stored: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        image, answer = self.types[self.input], self.types[self.output]
        return f"Graph({len(self.nodes)} operators, {image.shape} -> {answer.shape}, operator set {self.opset})"
