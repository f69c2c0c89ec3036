"""What a layer reads and what it answers, as matrices with one row for each sample."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.arguments import positive_integers

__all__ = ["paddings", "patches", "responses"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def patches(
    layer: nn.Module, inputs: torch.Tensor, *, count: int | None = None, generator: torch.Generator | None = None
) -> torch.Tensor:
    """The numbers that each output pixel of a layer is computed from: the rows of im2col.

    Parameters
    ----------
    layer : nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d
        A convolution must have one group.
    inputs : Tensor, shape (N, I, *input_size), or (..., I) for a linear layer
    count : int, optional
        Only so many rows, drawn without replacement; all if there are no more. Default: all.
    generator : torch.Generator, optional
        Draws them. Default: a new one with seed 0.

    Returns
    -------
    Tensor, shape (samples, I * k_1 * ... * k_n)
        ``patches @ layer.weight.flatten(1).T`` are the outputs without bias, image by image and row by row.

    Raises
    ------
    ValueError
        If the layer is of another kind or has groups, the inputs do not fit, or ``count`` is not positive.

    Examples
    --------
    >>> layer = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    >>> patches(layer, torch.zeros(2, 3, 10, 10)).shape
    torch.Size([50, 27])
    """
    inputs = checked_inputs(layer, inputs)
    if isinstance(layer, nn.Linear):
        rows = inputs.reshape(-1, inputs.shape[-1])
        return rows[sampled(len(rows), count, generator).to(rows.device)]
    axes = len(layer.kernel_size)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = F.pad(inputs, paddings(layer), mode=mode) if any(paddings(layer)) else inputs
    for axis, (size, stride, step) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True), 2):
        windows = windows.unfold(axis, step * (size - 1) + 1, stride)[..., ::step]
    windows = windows.movedim(1, 1 + axes)  # N x output_size x I x kernel_size, still a view of the inputs
    places = windows.shape[: 1 + axes]
    chosen = sampled(math.prod(places), count, generator)
    return windows[torch.unravel_index(chosen.to(windows.device), places)].flatten(1)


def responses(
    layer: nn.Module, inputs: torch.Tensor, *, count: int | None = None, generator: torch.Generator | None = None
) -> torch.Tensor:
    """What a layer answers at each output pixel, with its bias.

    Parameters
    ----------
    layer, inputs, count, generator
        As in :func:`patches`. Generators in the same state choose the same pixels.

    Returns
    -------
    Tensor, shape (samples, O)

    Raises
    ------
    ValueError
        As :func:`patches`.

    Examples
    --------
    >>> layer = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    >>> responses(layer, torch.zeros(2, 3, 10, 10), count=20).shape
    torch.Size([20, 8])
    """
    inputs = checked_inputs(layer, inputs)
    with torch.no_grad():
        outputs = layer(inputs)
    rows = (outputs if isinstance(layer, nn.Linear) else outputs.movedim(1, -1)).reshape(-1, len(layer.weight))
    return rows[sampled(len(rows), count, generator).to(rows.device)]


def sampled(total: int, count: int | None, generator: torch.Generator | None) -> torch.Tensor:
    """``count`` different numbers below ``total``, in order; all of them by default."""
    if count is None:
        return torch.arange(total)
    positive_integers(count=count)
    if count >= total:
        return torch.arange(total)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    return torch.randperm(total, generator=generator, device=generator.device)[:count].sort().values.cpu()


def checked_inputs(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return the inputs detached, refusing a layer or inputs whose samples cannot be taken."""
    if not isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
        raise ValueError(
            f"layer is a {type(layer).__name__}: give an nn.Linear or an nn.Conv1d, nn.Conv2d or nn.Conv3d."
        )
    if getattr(layer, "groups", 1) != 1:
        raise ValueError(
            f"the layer has groups={layer.groups}: methods that fit responses mix all output maps, which a grouped "
            "convolution does not. channel_svd and tai decompose each group for itself."
        )
    if not isinstance(inputs, torch.Tensor):
        raise ValueError(f"inputs is a {type(inputs).__name__}: give the tensor that the layer reads.")
    wanted, where = layer.weight.shape[1], -1 if isinstance(layer, nn.Linear) else 1
    dims = inputs.dim() if isinstance(layer, nn.Linear) else 2 + len(layer.kernel_size)
    if inputs.dim() != dims or not inputs.numel() or inputs.shape[where] != wanted:
        shape = f"(..., {wanted})" if isinstance(layer, nn.Linear) else f"(N, {wanted}, *input_size)"
        raise ValueError(f"inputs has shape {tuple(inputs.shape)}: this {type(layer).__name__} reads {shape}, N > 0.")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs holds NaN or infinity: no response to it can be approximated.")
    return inputs.detach()


def paddings(layer: nn.Module) -> list[int]:
    """Pixels that a convolution adds before and after each axis, last axis first, as ``F.pad`` takes them.

    Examples
    --------
    >>> paddings(nn.Conv2d(3, 8, (3, 2), padding="same"))
    [0, 1, 1, 1]
    """
    found = []
    for axis in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            both = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            found += [both // 2, both - both // 2]
        else:
            found += [0, 0] if layer.padding == "valid" else [layer.padding[axis]] * 2
    return found
