"""Weights and feature maps of few bits, written so that an exported network keeps them.

A uniform grid is a scale times whole numbers. :func:`quantize_weights` moves the weights of a network onto such grids
once, after training; :class:`ActivationQuantizer` is a layer that moves feature maps onto one, in training as in
inference, and :func:`calibrate` chooses its scale from examples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

__all__ = ["ActivationQuantizer", "calibrate", "quantize_weights"]

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
REFINEMENTS = 20  # the error stops falling after a few
NOTABLE_SHARE = 0.01  # of negative values in front of a quantizer without a sign


class _RoundStraightThrough(torch.autograd.Function):
    """Rounds to even; the gradient passes as if nothing had been rounded (Bengio et al., 2013)."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return torch.round(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def _check_bits(bits: int, *, lowest: int = 1, why: str = "") -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not lowest <= bits <= 8:
        raise ValueError(f"bits={bits!r}: give a whole number from {lowest} to 8{why}.")


class ActivationQuantizer(nn.Module):
    """Rounds a feature map to the nearest of 2**bits levels, ``scale`` times a whole number.

    Put one in front of each layer whose input should be narrow. In training the rounding lets the gradient pass
    (straight-through) and ``scale`` is learned with the weights; values outside the range are clipped to its ends,
    where only ``scale`` has a gradient (Esser et al., 2020, with the gradient of the scale divided by
    :math:`\\sqrt{n Q}` for n elements of one example and a largest level Q).

    In a file that ``torch.onnx.export`` writes with opset 21 or later the layer is ``QuantizeLinear [Clip]
    DequantizeLinear``, from which the width can be read; the exporter needs no translation table for it. It gives the
    same values in onnxruntime with the session option ``session.disable_quant_qdq`` set to ``"1"``; without it,
    onnxruntime quantizes the weights of a layer between two quantizers too.

    Parameters
    ----------
    bits : int
        Width of a level, 1 to 8, and at least 2 with a sign.
    signed : bool, optional
        Levels from -2**(bits - 1) to 2**(bits - 1) - 1 instead of 0 to 2**bits - 1. Behind a ReLU no sign is needed.
    limit : float, optional
        Largest value that can be represented before training or calibration, positive.

    Attributes
    ----------
    scale : nn.Parameter
        Distance of two levels, one number; its sign does not matter.
    lowest, highest : int
        The first and the last level.

    Raises
    ------
    ValueError
        If ``bits`` or ``limit`` is out of its range.

    Examples
    --------
    >>> quantizer = ActivationQuantizer(2, limit=3.0)
    >>> quantizer(torch.tensor([-1.0, 0.4, 1.6, 9.0])).tolist()
    [0.0, 0.0, 2.0, 3.0]
    """

    def __init__(self, bits: int, *, signed: bool = False, limit: float = 6.0) -> None:
        super().__init__()
        _check_bits(bits, lowest=2 if signed else 1, why=", of which one is the sign" if signed else "")
        if not (math.isfinite(limit) and limit > 0):
            raise ValueError(f"limit={limit}: the largest value that can be represented must be positive and finite.")
        self.bits, self.signed = bits, signed
        self.lowest, self.highest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        self.scale = nn.Parameter(torch.tensor(limit / self.highest))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            return self._exported(maps)
        scale = self.scale.abs()
        if self.training:
            fixed = scale.detach()
            scale = fixed + (scale - fixed) / math.sqrt(maps[:1].numel() * self.highest)
        levels = _RoundStraightThrough.apply(maps / scale)
        return levels.clamp(self.lowest, self.highest) * scale

    def _exported(self, maps: torch.Tensor) -> torch.Tensor:
        """The layer as operators of ONNX: eight-bit numbers, clipped where fewer bits are asked for."""
        symbolic = torch.onnx.ops.symbolic
        numbers = torch.int8 if self.signed else torch.uint8
        scale, zero = self.scale.abs(), torch.zeros((), dtype=numbers)
        levels = symbolic("QuantizeLinear", (maps, scale, zero), dtype=numbers, shape=maps.shape)
        if self.bits < 8:  # on the levels, where the ends are written in the code and not stored
            ends = [torch.full((), end, dtype=numbers) for end in (self.lowest, self.highest)]
            levels = symbolic("Clip", (levels, *ends), dtype=numbers, shape=maps.shape)
        return symbolic("DequantizeLinear", (levels, scale, zero), dtype=maps.dtype, shape=maps.shape)

    def extra_repr(self) -> str:
        return f"{self.bits}, signed={self.signed}"


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Choose the scale of every :class:`ActivationQuantizer` so that its range just covers what enters on examples.

    The model runs in evaluation mode with its quantizers switched off, so that one quantizer's error does not shape
    the next one's range. A quantizer that only met zeros keeps its scale.

    Parameters
    ----------
    model : nn.Module
        Its scales are changed, everything else is left as found.
    batches : iterable of torch.Tensor
        Inputs of the model, such as ``[images]`` with a few hundred normalized training images.

    Raises
    ------
    ValueError
        If ``batches`` is a single tensor or holds images of 8-bit integers; if the model has no quantizer, or if one of
        them was not reached or met a value that is not finite.

    Warns
    -----
    UserWarning
        If more than 1 % of the values that enter a quantizer without a sign are negative, for it makes them zero.

    Examples
    --------
    >>> model = nn.Sequential(nn.ReLU(), ActivationQuantizer(4))
    >>> calibrate(model, [torch.tensor([[-7.0, 3.0, 1.0]])])
    >>> round(model[1].scale.item(), 6)  # 3 is level 15
    0.2
    """
    quantizers = {module: name for name, module in model.named_modules() if isinstance(module, ActivationQuantizer)}
    if not quantizers:
        raise ValueError(f"{type(model).__name__} has no ActivationQuantizer: there is nothing to calibrate.")
    if isinstance(batches, torch.Tensor):
        raise ValueError(
            f"batches is one tensor of shape {tuple(batches.shape)}: give a list of batches of normalized images, "
            "as calibrate(model, [images])."
        )
    scales: dict[nn.Module, float] = {}
    counts: dict[nn.Module, tuple[int, int]] = {}  # of the values that entered: how many are negative, and all

    def observe(quantizer: ActivationQuantizer, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        ends = args[0].aminmax()
        needed = ends.max.item() / quantizer.highest
        if quantizer.signed:
            needed = max(needed, ends.min.item() / quantizer.lowest)
        scales[quantizer] = max(scales.get(quantizer, 0.0), needed)
        negative, seen = counts.get(quantizer, (0, 0))
        counts[quantizer] = (negative + int((args[0] < 0).sum()), seen + args[0].numel())
        if not (math.isfinite(ends.min.item()) and math.isfinite(ends.max.item())):
            raise ValueError(f"{quantizers[quantizer] or 'the quantizer'} met a value that is not finite.")
        return args[0]

    modes = {module: module.training for module in model.modules()}
    hooks = [quantizer.register_forward_hook(observe) for quantizer in quantizers]
    try:
        model.eval()
        for batch in batches:
            if isinstance(batch, torch.Tensor) and batch.dtype == torch.uint8:
                raise ValueError(
                    "a batch holds whole numbers from 0 to 255 (torch.uint8): give a list of batches of normalized "
                    "images, as [data.normalize(data.train_images[:256])]."
                )
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    missed = [name for quantizer, name in quantizers.items() if quantizer not in scales]
    if missed:
        raise ValueError(f"{', '.join(missed)} met no example: give batches that the forward pass sends through them.")
    for quantizer, scale in scales.items():
        negative, seen = counts[quantizer]
        if not quantizer.signed and negative > NOTABLE_SHARE * seen:
            name = quantizers[quantizer] or "the quantizer"
            warnings.warn(
                f"{name} clips every negative value: use signed=True ({negative / seen:.0%} of its input is negative).",
                UserWarning,
                stacklevel=3,  # calibrate is wrapped by torch.no_grad
            )
        if scale > 0:
            quantizer.scale.fill_(scale)


@torch.no_grad()
def quantize_weights(model: nn.Module, bits: int, *, per_channel: bool = True) -> dict[str, float]:
    """Move the weights of all convolutions and linear layers onto uniform grids, in place.

    Every weight becomes exactly a scale times a whole number from -(2**(bits - 1) - 1) to 2**(bits - 1) - 1; with one
    bit, the scale with the weight's sign. The scale is the one of least squared error that alternating between the
    numbers and the scale finds, shortened to so few binary digits that no product with a number is rounded. Zeros
    stay zero. Biases, normalization and raw parameters are left alone.

    Parameters
    ----------
    model : nn.Module
    bits : int
        Width of a number, 1 to 8.
    per_channel : bool, optional
        Whether each output channel has its own scale, rather than each layer.

    Returns
    -------
    dict of str to float
        Relative error (Frobenius norm) of each weight that was moved, by its name; tied weights once.

    Raises
    ------
    ValueError
        If ``bits`` is out of its range; if a weight is not a parameter, as with ``torch.nn.utils.prune`` before
        ``remove``; or if it holds a value that is not finite.

    Examples
    --------
    >>> layer = nn.Linear(3, 1)
    >>> _ = nn.init.constant_(layer.weight, 0.3)
    >>> errors = quantize_weights(layer, 2)
    >>> layer.weight.unique().numel(), errors["weight"] < 1e-3
    (1, True)
    """
    _check_bits(bits)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}
    weights: dict[nn.Parameter, tuple[str, int]] = {}
    for prefix, layer in layers.items():
        name = f"{prefix}.weight".lstrip(".")
        if not isinstance(layer.weight, nn.Parameter):
            raise ValueError(
                f"{name} is computed at each call and would lose its grid: make it a parameter first, with "
                "torch.nn.utils.prune.remove or torch.nn.utils.parametrize.remove_parametrizations."
            )
        if not layer.weight.isfinite().all():
            raise ValueError(f"{name} holds a value that is not finite: no grid contains it.")
        weights.setdefault(layer.weight, (name, 1 if isinstance(layer, TRANSPOSED) else 0))
    errors = {}
    for weight, (name, axis) in weights.items():
        snapped = _nearest_grid(weight, bits, axis if per_channel else None)
        size = weight.double().norm().item()
        errors[name] = (snapped.double() - weight).norm().item() / size if size else 0.0
        weight.copy_(snapped)
    return errors


def _nearest_grid(weight: torch.Tensor, bits: int, axis: int | None) -> torch.Tensor:
    """The weight on one grid, or on one for each index of an axis."""
    rows = weight.double().reshape(1, -1) if axis is None else weight.double().movedim(axis, 0).flatten(1)
    highest = max(2 ** (bits - 1) - 1, 1)

    def levels(scale: torch.Tensor) -> torch.Tensor:
        if bits == 1:
            return rows.sign()
        return torch.where(scale > 0, rows / scale, 0.0).round().clamp(-highest, highest)

    scale = rows.abs().amax(1, keepdim=True) / highest
    for _ in range(REFINEMENTS):
        whole = levels(scale)
        scale = (rows * whole).sum(1, keepdim=True) / whole.square().sum(1, keepdim=True).clamp_min(1)
    kind = torch.finfo(weight.dtype)
    digits = 2 - bits - round(math.log2(kind.eps))  # what the numbers leave of the mantissa
    unit = torch.ldexp(torch.ones_like(scale), torch.frexp(scale).exponent - digits)
    unit = unit.clamp_min(kind.smallest_normal * kind.eps)
    scale = (scale / unit).round() * unit
    snapped = levels(scale) * scale
    if axis is not None:
        snapped = snapped.reshape(weight.movedim(axis, 0).shape).movedim(0, axis)
    else:
        snapped = snapped.reshape(weight.shape)
    return snapped.to(weight.dtype)
