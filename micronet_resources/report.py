"""What a profile records: the costs of a network and of each of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from micronet_resources.operations import Operation
from micronet_resources.reporting.comparison import Comparison, compare
from micronet_resources.reporting.views import Views
from micronet_resources.rules import rule_set

if TYPE_CHECKING:
    import torch

    from micronet_resources.inventory import Inventory

__all__ = ["Comparison", "LayerProfile", "ModelProfile", "compare"]

Shape = tuple[int, ...]
Version = tuple[int | None, int | None]


@dataclass(frozen=True)
class LayerProfile:
    """What one module costs by itself, without its children.

    Parameters
    ----------
    name : str
        Path in the model, as in ``named_modules``; ``"(model)"`` for the model itself.
    kind : str
        Class name.
    input_shape : tuple of int, tuple of such tuples, or None
        Of the input of the last call, without the batch dimension; of each input if there are several; None if the
        module did not run.
    output_shape : tuple of int or None
        Of the last output, without the batch dimension; None if the module did not run.
    params : int
        Elements of the parameters that this module owns and no earlier one.
    operations : tuple of Operation
        Per example, of all calls together.
    """

    name: str
    kind: str
    input_shape: Shape | tuple[Shape, ...] | None
    output_shape: Shape | None
    params: int
    operations: tuple[Operation, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return sum(operation.macs for operation in self.operations)

    @property
    def multiplications(self) -> int:
        """Multiplications of all kinds."""
        return sum(operation.multiplications for operation in self.operations)

    @property
    def additions(self) -> int:
        """Additions of all kinds."""
        return sum(operation.additions for operation in self.operations)

    @property
    def products(self) -> int:
        """Products of two feature maps, element by element; not among ``macs``."""
        return sum(operation.multiplications for operation in self.operations if operation.kind == "product")


@dataclass(frozen=True, repr=False)
class ModelProfile(Views):
    """What a network costs for one example.

    Parameters
    ----------
    model : str
        Class name of the network.
    input_shape : tuple of int, or tuple of such tuples
        Of one example; of each input if there are several.
    params : int
        Elements of all parameters; one that several modules share counts once.
    layers : tuple of LayerProfile
        Each with its own costs; they add up to those of the network.
    params_used : int
        Elements of the parameters that the forward pass reads.
    buffers : int
        Elements of all registered buffers, such as running statistics; not among ``params``.
    uncounted : tuple of str
        Operators that compute and have no counting rule.
    notes : tuple of str
        What to know about this count.
    rules, task : str or None
        Names of the rule set and of the task under which the profile shows a score.
    output_shape : tuple of int or None
        Of one example, if the network returns a single tensor; a score is refused if it does not fit the task.
    depends_on_input : bool
        Whether the output does; otherwise a score is refused, for the network computes nothing.
    tensors : mapping of str to Tensor
        The network's own parameters and buffers, no copies, from which its encodings are measured.

    Raises
    ------
    ValueError
        If there are no such rules or no such task, or a task is given without rules.
    """

    model: str
    input_shape: Shape | tuple[Shape, ...]
    params: int
    layers: tuple[LayerProfile, ...]
    params_used: int = field(kw_only=True)
    buffers: int = field(kw_only=True)
    uncounted: tuple[str, ...] = field(default=(), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    rules: str | None = field(default=None, kw_only=True)
    task: str | None = field(default=None, kw_only=True)
    output_shape: Shape | None = field(default=None, kw_only=True)
    depends_on_input: bool = field(default=True, kw_only=True)
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict, kw_only=True, compare=False, repr=False)
    # What tells whether the tensors still have the values of the time when the profile was made.
    versions: Mapping[str, Version] | None = field(default=None, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.rules is not None:
            rule_set(self.rules).task(self.task)
        elif self.task is not None:
            raise ValueError(f"task={self.task!r} needs rules, such as rules='course2025'.")
        if self.versions is None:
            object.__setattr__(self, "versions", {name: _version(tensor) for name, tensor in self.tensors.items()})

    @cached_property
    def inventory(self) -> Inventory:
        """What the values of the tensors tell: encodings, zeros, widths.

        Measured once, when it is first asked for, on the network's own tensors.

        Raises
        ------
        ValueError
            If one was trained, pruned or moved since the profile was made. A change through ``tensor.data`` that keeps
            its place in memory cannot be seen: measure before it, or write under ``torch.no_grad()``.
        """
        from micronet_resources.measuring import measure_tensors

        self._check_unchanged()
        return measure_tensors(self.layers, {name: tensor.detach() for name, tensor in self.tensors.items()})

    def _check_unchanged(self) -> None:
        changed = [name for name, tensor in self.tensors.items() if _version(tensor) != self.versions[name]]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise ValueError(
                f"{changed[0]}{more} changed after this profile of {self.model} was made: profile the model again. To "
                "keep a profile from before a change, ask for its inventory or its score before it."
            )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of; the tensors of a copy have versions of their own."""
        if "inventory" not in vars(self):
            self._check_unchanged()
        return {**vars(self), "versions": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"buffers": self.buffers, "uncounted": list(self.uncounted)}


def _version(tensor: torch.Tensor) -> Version:
    """Count of what was written into a tensor, and where it lies; None where torch does not keep track."""
    try:
        return (None if tensor.is_inference() else tensor._version), tensor.data_ptr()
    except RuntimeError:  # sparse tensors lie in no single place
        return tensor._version, None
