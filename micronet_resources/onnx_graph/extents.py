"""Which elements of their input reductions and poolings look at."""

from __future__ import annotations

from micronet_resources.onnx_graph.records import Graph, Node

__all__ = ["has_empty_window", "reduced_axes"]


def reduced_axes(node: Node, graph: Graph) -> tuple[int, ...]:
    """The axes that a reduction sums over, not negative."""
    rank = len(graph.types[node.inputs[0]].shape)
    axes = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        axes = graph.constants[node.inputs[1]].value
    if axes is None or len(axes) == 0:
        axes = () if node.attributes.get("noop_with_empty_axes", 0) else range(rank)
    return tuple(int(axis) % rank for axis in axes)


def has_empty_window(node: Node, graph: Graph) -> bool:
    """Whether a window of a pooling can lie in the padding as a whole: the largest of nothing is not zero."""
    sizes, outputs = (graph.types[name].shape[2:] for name in (node.inputs[0], node.outputs[0]))
    windows, pads = node.attributes["kernel_shape"], node.attributes.get("pads", (0,) * 2 * len(sizes))
    strides, dilations = (node.attributes.get(name, (1,) * len(sizes)) for name in ("strides", "dilations"))
    for axis, size in enumerate(sizes):
        pad, dilation = pads[axis], dilations[axis]
        last_start = (outputs[axis] - 1) * strides[axis] - pad
        ends_early = (windows[axis] - 1) * dilation < pad
        if ends_early or last_start >= size or (pad and dilation > size):  # the last one steps over the map
            return True
    return False
