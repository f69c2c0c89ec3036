"""Make a trained network faster without changing what it computes.

Both functions return a copy, so that the network itself can be trained on.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norm", "to_channels_last"]


def fold_batch_norm(model: nn.Module) -> nn.Module:
    r"""Multiply each batch normalization into the convolution before it.

    With its statistics fixed, batch normalization scales and shifts every map, which a convolution can do itself:

    .. math::
        W'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} W_o, \qquad
        b'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} (b_o - \mu_o) + \beta_o

    for output map o. A normalization is folded if it directly follows an ``nn.Conv2d`` whose output nothing else reads,
    and if the network runs both of them once; others stay.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Its ``forward`` must not decide on values or shapes of its input.

    Returns
    -------
    nn.Module
        A copy in evaluation mode with ``nn.Identity`` in place of each folded normalization. It gives the outputs of
        ``model.eval()`` up to rounding.

    Raises
    ------
    ValueError
        If the network cannot be traced to find which normalization follows which convolution.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    >>> fold_batch_norm(network)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    network = nn.Sequential(copy.deepcopy(model).eval())  # so that a model that is one layer has a name too
    try:
        graph = _LayerTracer().trace(network)
    except Exception as error:
        raise ValueError(
            f"cannot follow the forward of {type(model).__name__} ({error}): batch normalization is folded only into "
            "networks that run the same layers whatever the input is."
        ) from error
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        convolution, norm = network.get_submodule(before.target), network.get_submodule(node.target)
        once = calls[before.target] == calls[node.target] == 1
        if once and type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
            network.set_submodule(before.target, fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(node.target, nn.Identity())
    return network[0]


class _LayerTracer(fx.Tracer):
    """Records which layer reads which layer's output; a module with tensors of its own is one layer."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        tensors: list[Any] = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        return bool(tensors) or super().is_leaf_module(module, name)


def to_channels_last(model: nn.Module) -> nn.Module:
    """Store the weights of convolutions so that the channels of one pixel lie beside each other.

    Most processors convolve faster in this memory format, small and factorized layers above all. A convolution passes
    the format on to the layers after it; images are converted by the first one.

    Parameters
    ----------
    model : nn.Module
        Left as it is.

    Returns
    -------
    nn.Module
        A copy with the same outputs up to rounding.

    Examples
    --------
    >>> layer = to_channels_last(nn.Conv2d(4, 8, 3))
    >>> layer(torch.zeros(1, 4, 6, 6)).is_contiguous(memory_format=torch.channels_last)
    True
    """
    return copy.deepcopy(model).to(memory_format=torch.channels_last)
