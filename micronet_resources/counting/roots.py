"""What a network has to store."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["Root", "made_from"]


@dataclass(slots=True, eq=False)
class Root:
    """A static tensor that the network has to store; its views share it.

    Parameters
    ----------
    name : str or None
        Of the parameter or buffer that it is or was computed from; None for a constant that nobody has named yet.
    tensor : Tensor
    parameters : tuple of Parameter
        Those that it was computed from.
    is_registered : bool
        Whether it is a parameter, a buffer or an attribute of a module, or computed from one.
    """

    name: str | None
    tensor: Tensor
    parameters: tuple[nn.Parameter, ...]
    is_registered: bool


def made_from(parents: list[Root], tensor: Tensor) -> Root:
    """Return the root of what is computed from others; it has the name of the first one that a module holds."""
    parameters = {id(p): p for parent in parents for p in parent.parameters}
    name = next((parent.name for parent in parents if parent.is_registered), None)
    return Root(name, tensor, tuple(parameters.values()), name is not None)
