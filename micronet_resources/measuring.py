"""What the values of a model's tensors tell: encodings, zeros, filters that are zero as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from micronet_resources.encoding import find_encodings, has_only_signs, operand_bits
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.operations import MAC_KINDS, Operation

__all__ = ["measure_tensors"]


class Layer(Protocol):
    """A layer of a profile: its name and what it does."""

    @property
    def name(self) -> str: ...
    @property
    def operations(self) -> tuple[Operation, ...]: ...


@dataclass(frozen=True)
class _Facts:
    """What is known of a tensor: its record, the axis of its outputs and how many of these are not pruned."""

    stored: StoredTensor
    axis: int | None
    live_outputs: int


def measure_tensors(layers: Sequence[Layer], tensors: Mapping[str, torch.Tensor]) -> Inventory:
    """Measure the tensors of a model and what they mean for its operations.

    A filter that is zero as a whole, and an input channel that no filter reads, are pruned. Each tensor is looked at by
    itself: what a pruned filter means for the next layer shows in the exported entry.

    Parameters
    ----------
    layers : sequence of LayerProfile
        Of which the names and the operations are used.
    tensors : mapping of str to Tensor
        What the model stores, each tensor once, under the names that the operations have for their weights; where a
        weight is computed from parameters, such as a pruned one from its mask, the result.

    Returns
    -------
    Inventory
        The tensors in their order; the operations in the order of the layers.

    Raises
    ------
    ValueError
        If a tensor has no values, as on torch's meta device.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> weight = torch.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]) / 3
    >>> linear = Operation("linear", "linear", outputs=2, multiplications=8, additions=6, weight="fc.weight")
    >>> layer = SimpleNamespace(name="fc", operations=(linear,))
    >>> (operation,) = measure_tensors([layer], {"fc.weight": weight}).operations
    >>> operation.signs_only, operation.live_macs, operation.live_outputs
    (True, 4, 1)
    """
    uses: dict[str, list[Operation]] = {}
    for layer in layers:
        for operation in layer.operations:
            if operation.weight is not None:
                uses.setdefault(operation.weight, []).append(operation)
    kinds = {layer.name: {operation.kind for operation in layer.operations} for layer in layers}
    facts = {}
    for name, tensor in tensors.items():
        # Whole numbers that no operation multiplies or adds choose and move elements, whatever their layer does.
        role = _role(name, uses.get(name, ()), kinds if tensor.is_floating_point() or tensor.is_complex() else {})
        facts[name] = _examine(name, _to_numpy(name, tensor), role, uses.get(name, ()))
    widths = {8 * tensor.element_size() for tensor in tensors.values() if tensor.is_floating_point()}
    input_bits = 16 if widths and max(widths) <= 16 else 32
    operations = (operation for layer in layers for operation in layer.operations)
    return Inventory(
        tuple(fact.stored for fact in facts.values()),
        tuple(_measure(operation, facts.get(operation.weight), input_bits) for operation in operations),
    )


def _role(name: str, uses: Sequence[Operation], kinds: Mapping[str, set[str]]) -> str:
    """What a tensor is for, told by the operations that multiply it or else by those of the layer that holds it."""
    used_in = {operation.kind for operation in uses}
    if used_in & set(MAC_KINDS):
        return "weight"
    around = used_in or kinds.get(name.rpartition(".")[0] or "(model)", set())
    if "normalization" in around:
        return "normalization"
    return "bias" if "bias" in around else "other"


def _to_numpy(name: str, tensor: torch.Tensor) -> np.ndarray:
    if tensor.is_meta:
        raise ValueError(f"{name} is on the meta device and has no values to measure: give a model that holds its own.")
    tensor = tensor.detach().cpu()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()  # bfloat16 and narrower, which numpy does not know and float32 holds
    return tensor.numpy()


def _examine(name: str, values: np.ndarray, role: str, uses: Sequence[Operation]) -> _Facts:
    products = [operation for operation in uses if operation.kind in MAC_KINDS]
    axes = {_output_axis(operation, values.shape) for operation in products}
    axis = axes.pop() if len(axes) == 1 else None
    live, live_outputs = None, values.shape[axis] if axis is not None else 0
    if products and values.ndim > 1:
        # Filters and input channels: the first two axes of a layer's weight, the last two of a matrix.
        pair = (-2, -1) if any(operation.kind == "matmul" for operation in products) else (0, 1)
        used = {place % values.ndim: _used(values, place % values.ndim) for place in pair}
        if not all(some.all() for some in used.values()):
            live = np.broadcast_to(np.logical_and(*used.values()), values.shape)
        if axis in used:
            live_outputs = int(np.count_nonzero(used[axis]))
    encodings = find_encodings(values, axis=axis, live=live)
    if role == "other" and values.dtype.kind in "iu":
        encodings = tuple(encoding for encoding in encodings if not encoding.masked)  # an index of 0 chooses as well
    left = values.size if live is None else int(np.count_nonzero(live))
    stored = StoredTensor(name, values.shape, role, left, int(np.count_nonzero(values)), encodings)
    return _Facts(stored, axis, live_outputs)


def _used(values: np.ndarray, axis: int) -> np.ndarray:
    """Which indices of an axis hold anything but zeros."""
    return values.any(axis=tuple(other for other in range(values.ndim) if other != axis), keepdims=True)


def _output_axis(operation: Operation, shape: tuple[int, ...]) -> int | None:
    """The axis of a weight along which the outputs lie, which no product sums over; None if that is not certain."""
    if len(shape) < 2:
        return None
    if operation.kind == "convolution":
        return 1 if "transpose" in operation.name else 0
    if operation.kind in ("linear", "recurrent"):
        return 0
    if operation.kind == "matmul" and operation.outputs:
        summed = operation.macs // operation.outputs
        rows, columns = len(shape) - 2, len(shape) - 1
        if (shape[rows] == summed) != (shape[columns] == summed):
            return columns if shape[rows] == summed else rows
    return None


def _measure(operation: Operation, fact: _Facts | None, input_bits: int) -> MeasuredOperation:
    outputs, macs = operation.outputs, operation.macs
    if fact is None:
        return MeasuredOperation(operation, 32, input_bits, False, outputs, macs, macs)
    stored = fact.stored
    size = max(int(np.prod(stored.shape, dtype=object)), 1)
    if fact.axis is not None and stored.shape[fact.axis]:
        outputs = outputs * fact.live_outputs // stored.shape[fact.axis]
    # Every element of a weight is in as many products as every other.
    return MeasuredOperation(
        operation,
        operand_bits(stored.encodings),
        input_bits,
        has_only_signs(stored.encodings),
        outputs,
        macs * stored.live // size,
        macs * stored.nonzero // size,
    )
