"""The profile of an entry, and its way from the guarded process as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from micronet_resources.encoding import Encoding
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.operations import Operation
from micronet_resources.report import LayerProfile
from micronet_resources.reporting.views import Views

__all__ = ["EntryProfile", "pack", "unpack"]


@dataclass(frozen=True, repr=False)
class EntryProfile(Views):
    """What an entry costs for one image, measured on its graph and the values in its file.

    It shows itself like the profile of a model and is scored like one.

    Parameters
    ----------
    model : str
        Name of the file.
    input_shape : tuple of int
        Of one image.
    layers : tuple of LayerProfile
        One for each operator that costs something or reads a stored tensor, in the order in which they run.
    inventory : Inventory
        Every stored tensor with its encodings, and every operation with its widths and what pruning leaves of it.
    rules, task : str or None
        Names of the rule set and of the task under which the profile shows a score.
    notes : tuple of str
        What to know about this measurement.
    """

    model: str
    input_shape: tuple[int, ...]
    layers: tuple[LayerProfile, ...]
    inventory: Inventory
    rules: str | None = None
    task: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def params(self) -> int:
        """Elements of all stored tensors that the graph reads; running statistics of batch normalization are free."""
        return self.inventory.params

    @property
    def params_used(self) -> int:
        """The same: an entry has no others."""
        return self.inventory.params


def pack(layers: Sequence[LayerProfile], inventory: Inventory) -> dict[str, Any]:
    """Return plain numbers, texts, lists and dictionaries for JSON."""
    return {
        "layers": [asdict(layer) for layer in layers],
        "tensors": [asdict(tensor) for tensor in inventory.tensors],
        "operations": [asdict(measured) for measured in inventory.operations],
    }


def unpack(record: Mapping[str, Any]) -> tuple[tuple[LayerProfile, ...], Inventory]:
    """Build the records of :func:`pack` again.

    Raises
    ------
    EntryError
        If these are not the records of :func:`pack`.
    """
    try:
        return _unpack(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EntryError("the process that reads the entry answered nonsense.") from error


def _unpack(record: Mapping[str, Any]) -> tuple[tuple[LayerProfile, ...], Inventory]:
    layers = tuple(
        LayerProfile(
            **{
                **layer,
                "input_shape": _shape(layer["input_shape"]),
                "output_shape": _shape(layer["output_shape"]),
                "operations": tuple(Operation(**operation) for operation in layer["operations"]),
            }
        )
        for layer in record["layers"]
    )
    tensors = tuple(
        StoredTensor(
            **{
                **tensor,
                "shape": _shape(tensor["shape"]),
                "encodings": tuple(Encoding(**encoding) for encoding in tensor["encodings"]),
            }
        )
        for tensor in record["tensors"]
    )
    operations = tuple(
        MeasuredOperation(**{**measured, "operation": Operation(**measured["operation"])})
        for measured in record["operations"]
    )
    return layers, Inventory(tensors, operations)


def _shape(sizes: Any) -> Any:
    return tuple(_shape(size) for size in sizes) if isinstance(sizes, list) else sizes
