"""Convolutions and linear maps with a fixed weight, seen alike: groups, outputs, inputs, taps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["Contraction", "contraction_of"]


@dataclass(frozen=True)
class Contraction:
    """A node that multiplies a feature map by a constant weight and sums over channels.

    Parameters
    ----------
    weight : array
        Groups x outputs of a group x inputs of a group x taps of the kernel, a view of the constant.
    axis : int
        Channel axis of the input and of the output.
    positions : int
        How often each weight multiplies for one image.
    bias_scale : float
        What the bias is multiplied by.
    """

    weight: np.ndarray
    axis: int
    positions: int
    bias_scale: float
    _node: Node
    _shape: tuple[int, ...]

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.weight.shape[0] * self.weight.shape[1]

    @property
    def inputs(self) -> int:
        """Channels of the input."""
        return self.weight.shape[0] * self.weight.shape[2]

    def along_channels(self, values: np.ndarray, rank: int) -> np.ndarray:
        """Reshape one value for each channel so that it broadcasts to a feature map."""
        shape = [1] * rank
        shape[self.axis] = -1
        return values.reshape(shape)

    def weight_mask(self, outputs: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Mask, in the shape of the constant, of the weights between marked outputs and inputs.

        Parameters
        ----------
        outputs, inputs : array of bool
            Groups x outputs of a group, groups x inputs of a group.
        """
        mask = outputs[:, :, None, None] & inputs[:, None, :, None]
        if self._node.op == "Conv":
            mask = mask.reshape(self._shape[:2] + (1,) * (len(self._shape) - 2))
        elif self._node.op == "ConvTranspose":
            mask = mask.swapaxes(1, 2).reshape(self._shape[:2] + (1,) * (len(self._shape) - 2))
        else:
            mask = mask[0, :, :, 0]
            if not self._node.attributes.get("transB", 0):
                mask = mask.T
        return np.broadcast_to(mask, self._shape)


def contraction_of(node: Node, graph: Graph) -> Contraction | None:
    """The contraction that a node does, None if it does none with a constant weight on its right.

    Parameters
    ----------
    node : Node
    graph : Graph

    Returns
    -------
    Contraction or None
    """
    if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or node.inputs[1] not in graph.constants:
        return None
    weight = graph.constants[node.inputs[1]].value
    input_shape, output_shape = graph.types[node.inputs[0]].shape, graph.types[node.outputs[0]].shape
    if node.op in ("Conv", "ConvTranspose"):
        groups = node.attributes.get("group", 1)
        grouped = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        if node.op == "Conv":
            return Contraction(grouped, 1, math.prod(output_shape[2:]), 1.0, node, weight.shape)
        return Contraction(grouped.swapaxes(1, 2), 1, math.prod(input_shape[2:]), 1.0, node, weight.shape)
    attributes = node.attributes
    if weight.ndim != 2 or len(input_shape) < 2 or attributes.get("transA", 0) or attributes.get("alpha", 1.0) == 0:
        return None
    matrix = weight if attributes.get("transB", 0) else weight.T
    bias_scale = attributes.get("beta", 1.0)
    return Contraction(matrix[None, :, :, None], -1, math.prod(output_shape[:-1]), bias_scale, node, weight.shape)
