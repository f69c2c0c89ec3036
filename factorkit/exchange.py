"""The layers of a network that methods of compression work on: found by name, and exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

__all__ = ["WeightLayer", "exchange_layers", "weight_layers"]

WeightLayer = nn.Conv2d | nn.Linear


def weight_layers(model: nn.Module, skip: Sequence[str] = (), *, to: str) -> dict[str, WeightLayer]:
    """The convolutions and linear layers of a model by their names; a layer that is used twice has the first one.

    Parameters
    ----------
    model : nn.Module
        Subclasses of the two kinds are left out.
    skip : sequence of str, optional
        Names to leave out.
    to : str
        What they are wanted for, for the message.

    Raises
    ------
    ValueError
        If a name in ``skip`` is none of them, or none is left.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    >>> list(weight_layers(model, skip=["0"], to="compress"))
    ['3']
    """
    layers = {name: module for name, module in model.named_modules() if type(module) in (nn.Conv2d, nn.Linear)}
    unknown = [name for name in skip if name not in layers]
    if unknown:
        raise ValueError(
            f"skip names {', '.join(map(repr, unknown))}: {type(model).__name__} has the convolutions and linear "
            f"layers {', '.join(map(repr, layers)) or 'none'}."
        )
    chosen = {name: layer for name, layer in layers.items() if name not in skip}
    if not chosen:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d or nn.Linear to {to}, after skip.")
    return chosen


def exchange_layers(model: nn.Module, exchanged: Mapping[nn.Module, nn.Module]) -> None:
    """Put other modules in the place of some, wherever the model holds them.

    Examples
    --------
    >>> model = nn.Sequential(nn.ReLU(), nn.Flatten())
    >>> exchange_layers(model, {model[0]: nn.Tanh()})
    >>> model[0]
    Tanh()
    """
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child in exchanged:
                setattr(module, name, exchanged[child])
