"""Convolutions whose weights lie ready in the order in which the processor's library reads them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from factorkit.exchange import exchange_layers

__all__ = ["FrozenConv2d", "freeze_convolutions"]


def freeze_convolutions(model: nn.Module) -> nn.Module:
    """Reorder the weights of convolutions once, not in every call.

    On a CPU oneDNN, which computes the convolutions of torch, reads weights in blocks that fit its registers. An
    ``nn.Conv2d`` puts them into that order whenever it is called, which takes longer than the convolution itself where
    few pixels meet many maps: for single images and low ranks above all. Inference with fixed weights need not.

    Parameters
    ----------
    model : nn.Module
        Left as it is.

    Returns
    -------
    nn.Module
        A copy with a :class:`FrozenConv2d` in place of each ``nn.Conv2d`` in float32 on a CPU, padded with zeros; the
        copy itself where there is none, or torch was built without oneDNN. Its outputs are the same up to rounding.

    Examples
    --------
    >>> freeze_convolutions(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU()))
    Sequential(
      (0): FrozenConv2d(
        (convolution): Conv2d(3, 8, kernel_size=(1, 1), stride=(1, 1))
      )
      (1): ReLU()
    )
    """
    network = nn.Sequential(copy.deepcopy(model))  # so that a model that is one layer is held by another
    if torch.backends.mkldnn.is_available():
        found = [module for module in network.modules() if _can_be_frozen(module)]
        exchange_layers(network, {module: FrozenConv2d(module) for module in found})
    return network[0]


def _can_be_frozen(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    return module.weight.dtype == torch.float32 and module.weight.device.type == "cpu"


class FrozenConv2d(nn.Module):
    """A convolution with fixed weights, which are reordered at the first call and for each new size of the input.

    It has no gradient. Changes of the weights after the first call are not seen.

    Parameters
    ----------
    convolution : nn.Conv2d
        In float32 on a CPU, padded with zeros.

    Examples
    --------
    >>> frozen = FrozenConv2d(nn.Conv2d(3, 8, 3, stride=2))
    >>> frozen(torch.zeros(2, 3, 9, 9)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution.requires_grad_(False)
        self._ready: tuple[torch.Size, torch.Tensor] | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Convolve N x C x H x W maps."""
        layer = self.convolution
        where = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        with torch.no_grad():
            if self._ready is None or self._ready[0] != inputs.shape:
                reorder = torch.ops.mkldnn._reorder_convolution_weight
                self._ready = inputs.shape, reorder(layer.weight, *where, list(inputs.shape))
            return torch.ops.mkldnn._convolution_pointwise(inputs, self._ready[1], layer.bias, *where, "none", [], "")

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and saved: the layer; its order is found again."""
        return self.__dict__ | {"_ready": None}
