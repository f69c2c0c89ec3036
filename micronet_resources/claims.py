"""Holds what is declared about a network's widths and pruning against what its tensors show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import floor

from micronet_resources.inventory import Inventory, StoredTensor
from micronet_resources.operations import MAC_KINDS

__all__ = ["ClaimError", "check_claims"]

WORST = 3  # tensors that an error names
SLACK = 1e-9  # of a fraction, for the rounding of a sum such as 0.1 + 0.2


class ClaimError(ValueError):
    """A declared width or pruned fraction is better than what the tensors show."""


def check_claims(
    inventory: Inventory,
    *,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    pruned_structured: float | None = None,
    pruned_unstructured: float | None = None,
) -> None:
    """Check declared values: each may be worse than what is found, none may be better.

    Parameters
    ----------
    inventory : Inventory
        What was measured.
    weight_bits : int, optional
        Width of the weights of convolutions, linear maps and matrix products: as they are stored, and as they multiply
        unless the feature map is wider anyhow. Biases and normalization may be wider, as they usually are.
    activation_bits : int, optional
        Width of the widest feature map that enters such an operation.
    pruned_structured, pruned_unstructured : float, optional
        Fractions of all stored elements: those of filters and channels that are pruned as a whole, and the other zeros.
        What is pruned in whole filters may be declared as unstructured, not the other way round.

    Raises
    ------
    ClaimError
        If a declared value is not borne out: what was claimed, what was found, in which tensors, and what to do.

    Examples
    --------
    >>> from micronet_resources.encoding import Encoding
    >>> dense = Encoding("dense", bits=32, stored=90, overhead=0, masked=0, operand_bits=32)
    >>> tensor = StoredTensor("conv.weight", (1, 10, 3, 3), "weight", live=90, nonzero=90, encodings=(dense,))
    >>> check_claims(Inventory((tensor,), ()), weight_bits=32, pruned_unstructured=0.0)
    >>> check_claims(Inventory((tensor,), ()), weight_bits=8)
    Traceback (most recent call last):
        ...
    micronet_resources.claims.ClaimError: weight_bits=8 was claimed, and 32 bits were found: conv.weight 32 bits. ...
    """
    if activation_bits is not None:
        _check_activations(inventory, activation_bits)
    if weight_bits is not None:
        _check_weights(inventory, weight_bits, activation_bits)
    if pruned_structured is not None or pruned_unstructured is not None:
        _check_pruning(inventory, pruned_structured or 0.0, pruned_unstructured or 0.0)


def _check_activations(inventory: Inventory, claimed: int) -> None:
    found: dict[str, int] = {}
    for measured in _products(inventory):
        name = measured.operation.weight or measured.operation.name
        found[name] = max(found.get(name, 0), measured.input_bits)
    wide = {name: bits for name, bits in found.items() if bits > claimed}
    if wide:
        raise ClaimError(
            f"activation_bits={claimed} was claimed, and {max(wide.values())} bits were found in what enters "
            f"{_worst(wide, lambda bits: f'{bits} bits')}. Only a feature map that is quantized and dequantized in the "
            "network's own graph is narrower than its type: put an ActivationQuantizer (factorkit.quantization) in "
            "front of each of these layers, export the entry and measure that."
        )


def _check_weights(inventory: Inventory, claimed: int, activation_bits: int | None) -> None:
    maps = activation_bits or max((measured.input_bits for measured in _products(inventory)), default=0)
    found = {
        tensor.name: _width(tensor, maps) for tensor in inventory.tensors if tensor.role == "weight" and tensor.nonzero
    }
    wide = {name: bits for name, bits in found.items() if bits > claimed}
    if wide:
        raise ClaimError(
            f"weight_bits={claimed} was claimed, and {max(wide.values())} bits were found: "
            f"{_worst(wide, lambda bits: f'{bits} bits')}. Quantize these weights and store the quantized values: each "
            "a whole number times a scale of its tensor or output channel, exactly, as quantize_weights "
            "(factorkit.quantization) leaves them; folding batch normalization into them afterwards undoes it."
        )


def _width(tensor: StoredTensor, maps: int) -> int:
    """Of a stored value, or of the factor it becomes where that is wider than the feature maps."""
    return min(
        encoding.bits if encoding.operand_bits <= maps else max(encoding.bits, encoding.operand_bits)
        for encoding in tensor.encodings
    )


def _check_pruning(inventory: Inventory, structured: float, unstructured: float) -> None:
    total = max(inventory.params, 1)
    live = sum(tensor.live for tensor in inventory.tensors)
    nonzero = sum(tensor.nonzero for tensor in inventory.tensors)
    filters, zeros = (inventory.params - live) / total, (inventory.params - nonzero) / total
    if structured > filters + SLACK:
        kept = {tensor.name: tensor.live for tensor in inventory.tensors if tensor.role == "weight" and tensor.live}
        raise ClaimError(
            f"pruned_structured={structured:g} was claimed, and {_down(filters)} was found: of {inventory.params:,} "
            f"stored elements, {live:,} are in filters and channels that are not zero as a whole: "
            f"{_worst(kept, lambda count: f'{count:,}')}. The fraction is of all elements, not of filters. Write the "
            "zeros of whole filters into the weights; that a pruned filter also removes the inputs of the next layer "
            "shows when the entry is exported and measured."
        )
    if structured + unstructured > zeros + SLACK:
        kept = {tensor.name: tensor.nonzero for tensor in inventory.tensors if tensor.nonzero}
        raise ClaimError(
            f"pruned_structured={structured:g} and pruned_unstructured={unstructured:g} were claimed, and "
            f"{_down(zeros)} was found for both together: of {inventory.params:,} stored elements, {nonzero:,} are not "
            f"zero: {_worst(kept, lambda count: f'{count:,}')}. The fractions are of all elements, biases and "
            "normalization included. Masks of torch.nn.utils.prune are seen through and need not be removed; weights "
            "that were pruned and have been trained or loaded again since are not zero any more."
        )


def _products(inventory: Inventory) -> Iterator:
    """The operations that are left and multiply and accumulate."""
    return (
        measured
        for measured in inventory.operations
        if measured.operation.kind in MAC_KINDS and measured.live_macs and measured.operation.macs
    )


def _worst(found: dict[str, int], write: Callable[[int], str]) -> str:
    names = sorted(found, key=lambda name: -found[name])
    shown = ", ".join(f"{name} {write(found[name])}" for name in names[:WORST])
    return shown + (f" and {len(names) - WORST} more" if len(names) > WORST else "")


def _down(fraction: float) -> str:
    """A fraction rounded down, so that what an error says can be claimed."""
    return f"{floor(fraction * 1e4) / 1e4:g}"
