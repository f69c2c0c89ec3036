"""What a network costs: parameters and multiply-accumulates, layer by layer, and its MicroNet score.

In Python::

    from micronet_resources.profile import profile_model, score
    profile = profile_model(model, (3, 32, 32))
    score(profile, weight_bits=16, activation_bits=16)

On the command line::

    python -m micronet_resources.profile factorkit.models:resnet18_cifar --input 3x32x32 --bits 16
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from micronet_resources.borrowing import leaves
from micronet_resources.counting import Tally, UncountedOperatorError, count_forward
from micronet_resources.report import LayerProfile, ModelProfile
from micronet_resources.scoring import Score, score

__all__ = ["LayerProfile", "ModelProfile", "Score", "UncountedOperatorError", "profile_model", "score"]

ROOT = "(model)"


def profile_model(model: nn.Module, input_shape: Sequence[int]) -> ModelProfile:
    """Count parameters and multiply-accumulates (MACs) of any network, per example.

    The network runs once on torch's meta device, in evaluation mode: shapes are followed operator by operator and
    nothing is computed, so functional code and raw parameters are counted like layers. Convolutions of any dimension,
    groups, dilation and direction, linear layers, ``matmul``, ``einsum``, recurrent layers and attention count one
    MAC per multiplication; biases, normalization, activations, pooling and additions count none.

    Parameters
    ----------
    model : nn.Module
        Left exactly as found: mode, weights, buffers, gradients, hooks, random state.
    input_shape : sequence of int
        Shape of one example, such as ``(3, 32, 32)``, without the batch dimension.

    Returns
    -------
    ModelProfile

    Raises
    ------
    ValueError
        If ``input_shape`` is not made of positive integers, or the model does not run on such an example.
    UncountedOperatorError
        If the model computes with an operator that has no counting rule. It is a ``ValueError`` too.

    Notes
    -----
    Where the forward pass needs values (``if x.sum() > 0``), a copy of the model runs for real on the CPU, on one
    random example, and the profile says so in its notes.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 128, 3, bias=False), nn.ReLU())
    >>> profile_model(model, (3, 7, 7))
    Sequential, input 3 x 7 x 7: 3,456 parameters, 86,400 MACs per example
      layer  kind    output       params    MACs
      ------------------------------------------
      0      Conv2d  128 x 5 x 5   3,456  86,400
      1      ReLU    128 x 5 x 5       0       0
      ------------------------------------------
      total                        3,456  86,400
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is a {type(model).__name__}: give an nn.Module, such as nn.Sequential(...).")
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    shape = _check_shape(input_shape)
    names: dict[nn.Module, str] = {}
    _walk(model, "", names)
    _check_modules(names)
    tallies, note = count_forward(model, names, shape, _input_dtype(names))
    registered = set(model.modules())
    used = [module for module in names if module in registered or module in tallies]
    layers = _layers({module: names[module] for module in used}, tallies)
    params = sum(layer.params for layer in layers)
    notes = [note] if note else []
    visible = _sizes(p for module in registered for p in module._parameters.values())
    if params > visible:
        notes.append(
            f"{params - visible:,} of the parameters stand in plain lists or attributes, where model.parameters() and "
            "an optimizer do not see them: use nn.ModuleList or nn.ParameterList"
        )
    return ModelProfile(
        model=type(model).__name__,
        input_shape=shape,
        params=params,
        macs=sum(layer.macs for layer in layers),
        layers=layers,
        buffers=_sizes(buffer for module in registered for buffer in module._buffers.values()),
        products=sum(tally.products for tally in tallies.values()),
        notes=tuple(notes),
    )


def _check_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else None
    if not sizes or any(type(size) is not int or size < 1 for size in sizes):
        raise ValueError(
            f"input_shape={input_shape!r}: give the shape of one example as positive integers, such as (3, 32, 32) "
            "for a color image of 32 x 32 pixels."
        )
    return sizes


def _walk(module: nn.Module, name: str, names: dict[nn.Module, str]) -> None:
    """Name every module once, depth first, those that are kept in plain lists, dictionaries or attributes too."""
    names[module] = name or ROOT
    children = {key: child for key, child in module._modules.items() if child is not None}
    for attribute, value in vars(module).items():
        if attribute != "_modules" and not attribute.endswith("_hooks"):
            found = [leaf for leaf in leaves(value) if isinstance(leaf, nn.Module)]
            children |= {f"{attribute}[{i}]": child for i, child in enumerate(found)}
    for key, child in children.items():
        if child not in names:
            _walk(child, f"{name}.{key}" if name else key, names)


def _check_modules(names: dict[nn.Module, str]) -> None:
    for module, name in names.items():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(f"{name} is a TorchScript module, whose layers cannot be seen: give the Python module.")
        if any(is_lazy(tensor) for tensor in _parameters(module)):
            raise ValueError(f"{name} ({type(module).__name__}) is lazy and has no weights yet: run one batch first.")


def _parameters(module: nn.Module) -> list[nn.Parameter]:
    """The module's own parameters, raw ones in lists and dictionaries too, without those of other modules."""
    attributes = {name: value for name, value in vars(module).items() if name != "_modules"}
    return [leaf for leaf in leaves(attributes) if isinstance(leaf, nn.Parameter)]


def _input_dtype(names: dict[nn.Module, str]) -> torch.dtype:
    tensors = [t for module in names for t in (*_parameters(module), *module._buffers.values()) if t is not None]
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.get_default_dtype())


def _sizes(tensors: Any) -> int:
    return sum({id(tensor): tensor.numel() for tensor in tensors if tensor is not None}.values())


def _layers(names: dict[nn.Module, str], tallies: dict[nn.Module, Tally]) -> tuple[LayerProfile, ...]:
    """One row for each module that owns parameters, computes by itself or is a leaf that ran, in order of running."""
    order = {module: position for position, module in enumerate(tallies)}
    layers, seen = [], set[int]()
    for module in sorted(names, key=lambda module: order.get(module, len(order))):
        tally = tallies.get(module, Tally())
        own = {id(p): p.numel() for p in _parameters(module) if id(p) not in seen}
        seen |= own.keys()
        is_leaf = module in tallies and not tally.calls_modules
        if own or tally.macs or is_leaf:
            kind = type(module).__name__
            layers.append(LayerProfile(names[module], kind, tally.output_shape, sum(own.values()), tally.macs))
    return tuple(layers)


if __name__ == "__main__":
    from micronet_resources.command import main

    raise SystemExit(main())
