"""Arithmetic and stored tensors of an entry, node by node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from micronet_resources.onnx_graph.arithmetic import cost_of, is_bias
from micronet_resources.onnx_graph.constants import Constant, to_root_layout
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import SHAPE_SLOTS, STATISTICS_SLOTS
from micronet_resources.onnx_graph.records import Graph, Node
from micronet_resources.onnx_graph.wiring import Wiring
from micronet_resources.operations import Operation

__all__ = ["StoredRoot", "Use", "count_graph", "find_folded", "stored_roots"]

MULTIPLIES = {
    "Attention": (0, 1, 2),
    "Conv": (0, 1),
    "ConvTranspose": (0, 1),
    "Einsum": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
}
NORMALIZES = frozenset(
    {
        "BatchNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "RMSNormalization",
    }
)
ROLES = ("weight", "normalization", "bias", "other")


@dataclass(frozen=True)
class Use:
    """Where a stored tensor enters the arithmetic.

    Parameters
    ----------
    node : int
        Position of the node in ``graph.nodes``.
    position : int
        Of the input.
    constant : Constant
        The tensor as the node reads it.
    """

    node: int
    position: int
    constant: Constant


@dataclass(frozen=True)
class StoredRoot:
    """One tensor that the network needs for inference; views and ties of it are uses.

    Parameters
    ----------
    name : str
        That of the parameter in torch where the file knows it, otherwise layer and role.
    root : str
        Name in the graph, that of :class:`~micronet_resources.onnx_graph.graph.Constant`.
    value : array
        With the numbers that enter the arithmetic (dequantized, masked), in the shape in which they are stored.
    role : str
        ``"weight"``, ``"bias"``, ``"normalization"`` or ``"other"``.
    uses : tuple of Use
    """

    name: str
    root: str
    value: np.ndarray
    role: str
    uses: tuple[Use, ...]

    def __repr__(self) -> str:
        return f"StoredRoot({self.name!r}, {self.value.shape}, {self.role}, {len(self.uses)} uses)"


def count_graph(graph: Graph, limits: Limits | None = None) -> tuple[tuple[Node, tuple[Operation, ...]], ...]:
    """Arithmetic of each node for one image.

    Parameters
    ----------
    graph : Graph
    limits : Limits, optional
        Of which the multiply-accumulates count here; those of a challenge entry by default.

    Returns
    -------
    tuple of (Node, tuple of Operation)
        In the order of ``graph.nodes``; nodes that only move elements have no operation.

    Raises
    ------
    EntryError
        If the cost of a node is not known, or the sum exceeds the limit.

    Examples
    --------
    >>> from micronet_resources.onnx_graph.admission import admit
    >>> from micronet_resources.onnx_graph.graph import read_graph
    >>> from micronet_resources.references import reference_path
    >>> graph = read_graph(admit(reference_path().read_bytes()))
    >>> node, (convolution, *_) = count_graph(graph)[0]
    >>> node.op, convolution.kind, convolution.macs
    ('Conv', 'convolution', 442368)
    """
    limits = limits or Limits()
    wiring = Wiring(graph)
    counted = tuple((node, cost_of(wiring, node)) for node in graph.nodes)
    macs = sum(operation.macs for _, operations in counted for operation in operations)
    if macs > limits.macs:
        raise EntryError(
            f"one image takes {macs:,} multiply-accumulates; at most {limits.macs:,} are allowed. Shrink the network."
        )
    return counted


def _is_stored(node: Node, position: int, constant: Constant) -> bool:
    if constant.literal or position in SHAPE_SLOTS.get(node.op, ()) or position in STATISTICS_SLOTS.get(node.op, ()):
        return False
    # Indices in arithmetic progression along each axis say no more than the limits of a slice, which are free too.
    return not (node.op == "Gather" and position == 1 and _is_progression(constant.value))


def _is_progression(indices: np.ndarray) -> bool:
    numbers = indices.astype(np.int64)
    expected = np.full(numbers.shape, numbers.flat[0] if numbers.size else 0)
    for axis, size in enumerate(numbers.shape):
        if size > 1:
            first = numbers[tuple(slice(0, 2) if other == axis else 0 for other in range(numbers.ndim))]
            steps = np.arange(size) * (first[1] - first[0])
            expected = expected + steps.reshape([-1 if other == axis else 1 for other in range(numbers.ndim)])
    return bool((numbers == expected).all())


def _role(wiring: Wiring, use: Use) -> str:
    node = wiring.graph.nodes[use.node]
    if use.position in MULTIPLIES.get(node.op, ()):
        return "weight"
    if node.op in NORMALIZES or (node.op == "Mul" and cost_of(wiring, node)[0].kind == "normalization"):
        return "normalization"
    if (node.op in ("Conv", "ConvTranspose", "Gemm") and use.position == 2) or is_bias(wiring, node):
        return "bias"
    return "other"


def stored_roots(graph: Graph) -> tuple[StoredRoot, ...]:
    """The tensors that a network stores: every one that reaches arithmetic on the image.

    Running means and variances, shapes and numbers written in the graph are not among them. A tensor that is computed
    from constants in other ways than by moving or rounding elements is one of its own.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    tuple of StoredRoot
        In the order of their first use.
    """
    wiring = Wiring(graph)
    uses: dict[str, list[Use]] = {}
    for index, node in enumerate(graph.nodes):
        for position, name in enumerate(node.inputs):
            constant = graph.constants.get(name) if name else None
            if constant is not None and _is_stored(node, position, constant):
                uses.setdefault(constant.root, []).append(Use(index, position, constant))
    found = []
    for root, places in uses.items():
        role = min((_role(wiring, use) for use in places), key=ROLES.index)
        found.append(
            StoredRoot(_name(graph, root, role, places), root, _value(graph, root, places), role, tuple(places))
        )
    return tuple(found)


def _name(graph: Graph, root: str, role: str, uses: list[Use]) -> str:
    """A computed tensor, such as a pruned weight, has a name of the exporter's; its layer and role say more."""
    if root in graph.stored:
        return root
    return f"{graph.nodes[uses[0].node].name}.{'weight' if role in ('weight', 'normalization') else role}"


def _value(graph: Graph, root: str, uses: list[Use]) -> np.ndarray:
    first = uses[0].constant
    used = to_root_layout(first.value, first)
    for use in uses[1:]:
        other = use.constant
        if other.value is first.value or np.may_share_memory(other.value, first.value):
            continue
        if other.value.dtype != first.value.dtype or not np.array_equal(to_root_layout(other.value, other), used):
            # Seen rounded in one place and not in another: what is stored is what all of them come from.
            return graph.constants[root].value
    return used


def _is_linear_bias(wiring: Wiring, node: Node) -> bool:
    """Whether an addition gives each output feature of a matrix product its own number."""
    sizes = [constant.value.shape for constant in map(wiring.graph.constants.get, node.inputs) if constant is not None]
    return node.op == "Add" and len(sizes) == 1 and sizes[0] == wiring.output_shape(node)[-1:]


def find_folded(graph: Graph) -> dict[int, int]:
    """Batch normalizations that a convolution or linear map directly before them can take over.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict of int to int
        Position of the BatchNormalization in ``graph.nodes`` -> position of the node whose output only it reads, and
        whose weight no other node reads. The bias of a linear map may be added in between.
    """
    wiring = Wiring(graph)
    constants = (graph.constants[name] for node in graph.nodes for name in node.inputs if name in graph.constants)
    uses = Counter(constant.root for constant in constants)
    folded = {}
    for index, node in enumerate(graph.nodes):
        if node.op != "BatchNormalization":
            continue
        source = node.inputs[0]
        producer = wiring.producer(source)
        if producer is not None and wiring.only_consumer(source) is not None and _is_linear_bias(wiring, producer):
            source = next(name for name in producer.inputs if name not in graph.constants)
            producer = wiring.producer(source)
        if producer is None or wiring.only_consumer(source) is None:
            continue
        weight = wiring.constant(producer, 1)
        if producer.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or weight is None:
            continue
        # Behind a linear map of more dimensions, channels are positions; a shared weight takes over one scale only.
        is_positional = producer.op == "MatMul" and len(wiring.output_shape(producer)) != 2
        if not is_positional and weight.root is not None and uses[weight.root] == 1:
            folded[index] = wiring.producers[source]
    return folded
