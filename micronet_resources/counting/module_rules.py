"""Shortcuts for modules of torch.nn that call one function: its shape rule, without the detour through the module.

They hold for exactly these classes, as torch defines them and without hooks. Everything else runs its own code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.shape_rules import SHAPE_RULES

__all__ = ["module_rules"]

Rule = Callable[..., Any]


def _is_whole(held: Mapping[str, Any]) -> bool:
    """Whether weight and bias are parameters, or None; some tools put other tensors in their place."""
    return "weight" in held and "bias" in held


def _convolution(rule: Rule) -> Rule:
    def shortcut(ledger: Ledger, module: Any, x: Tensor) -> Any:
        held = module._parameters
        if module.padding_mode != "zeros" or not _is_whole(held):
            return NotImplemented
        options = module.stride, module.padding, module.dilation, module.groups
        return rule(ledger, x, held["weight"], held["bias"], *options)

    return shortcut


def _batch_norm(rule: Rule) -> Rule:
    def shortcut(ledger: Ledger, module: Any, x: Tensor) -> Any:
        held, buffers = module._parameters, module._buffers
        mean, variance = buffers.get("running_mean"), buffers.get("running_var")
        if mean is None or variance is None or x.dim() != DIMS[type(module)] or not _is_whole(held):
            return NotImplemented
        return rule(ledger, x, mean, variance, held["weight"], held["bias"], False)

    return shortcut


def _layer_norm(rule: Rule) -> Rule:
    def shortcut(ledger: Ledger, module: Any, x: Tensor) -> Any:
        held = module._parameters
        if not _is_whole(held):
            return NotImplemented
        return rule(ledger, x, module.normalized_shape, held["weight"], held["bias"])

    return shortcut


def _linear(rule: Rule) -> Rule:
    def shortcut(ledger: Ledger, module: Any, x: Tensor) -> Any:
        held = module._parameters
        return rule(ledger, x, held["weight"], held["bias"]) if _is_whole(held) else NotImplemented

    return shortcut


def _activation(rule: Rule) -> Rule:
    def shortcut(ledger: Ledger, module: Any, x: Tensor) -> Any:
        return rule(ledger, x, inplace=module.inplace)

    return shortcut


def _max_pool(rule: Rule) -> Rule:
    def shortcut(ledger: Ledger, module: Any, x: Tensor) -> Any:
        options = module.stride, module.padding, module.dilation, module.ceil_mode, module.return_indices
        return rule(ledger, x, module.kernel_size, *options)

    return shortcut


def _identity(ledger: Ledger, module: Any, x: Tensor) -> Any:
    return x


DIMS: Mapping[type, int] = {nn.BatchNorm2d: 4, nn.BatchNorm3d: 5}
# The class, the function that it calls, and how.
_CALLS = [
    (nn.Conv1d, torch.conv1d, _convolution),
    (nn.Conv2d, torch.conv2d, _convolution),
    (nn.Conv3d, torch.conv3d, _convolution),
    (nn.BatchNorm2d, F.batch_norm, _batch_norm),
    (nn.BatchNorm3d, F.batch_norm, _batch_norm),
    (nn.LayerNorm, F.layer_norm, _layer_norm),
    (nn.Linear, F.linear, _linear),
    (nn.ReLU, torch.relu, _activation),
    (nn.ReLU6, F.relu6, _activation),
    (nn.SiLU, F.silu, _activation),
    (nn.Hardswish, F.hardswish, _activation),
    (nn.MaxPool2d, F.max_pool2d, _max_pool),
    (nn.Identity, None, lambda _: _identity),
    (nn.Dropout, None, lambda _: _identity),
]
_SHORTCUTS = [(kind, kind.forward, function, make) for kind, function, make in _CALLS]


def module_rules(rules: Mapping[Any, Rule] = SHAPE_RULES) -> dict[type, Rule]:
    """Shortcuts for the classes that nobody has changed and whose function has a shape rule."""
    return {
        kind: make(rules.get(function))
        for kind, forward, function, make in _SHORTCUTS
        if kind.forward is forward and (function is None or function in rules)
    }
