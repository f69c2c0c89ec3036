"""What a network has to store."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["Root", "made_from"]

ADDITIONS = ("add", "__add__", "__radd__")


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
    choice : Tensor or None
        Where whole numbers were added to row numbers, the whole numbers: as indices, they are all there is to store.
    is_row_numbers : bool
        Whether it is what ``arange`` gives: three numbers tell all of it.
    """

    name: str | None
    tensor: Tensor
    parameters: tuple[nn.Parameter, ...]
    is_registered: bool
    choice: Tensor | None = None
    is_row_numbers: bool = False


def made_from(parents: list[Root], tensor: Tensor, operator: str = "") -> Root:
    """Return the root of what is computed from others; it has the name of the first one that a module holds."""
    parameters = {id(p): p for parent in parents for p in parent.parameters}
    name = next((parent.name for parent in parents if parent.is_registered), None)
    root = Root(name, tensor, tuple(parameters.values()), name is not None)
    root.is_row_numbers = operator == "arange" and not parents
    others = [parent for parent in parents if not parent.is_row_numbers]
    if operator in ADDITIONS and len(others) == 1 and len(parents) == 2:
        added = others[0].tensor
        if others[0].is_registered and not added.is_floating_point() and added.numel() == tensor.numel():
            root.choice = added
    return root
