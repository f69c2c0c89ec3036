"""Shape rules of layers: what torch's common functions give back and cost, from the shapes of their inputs.

A rule has the signature of its function behind the ledger. It books the arithmetic and returns a stand-in, or returns
``NotImplemented`` where the general way through torch's operator library has to be taken: for static inputs, rare
options, and inputs that do not fit, so that torch itself says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from micronet_resources.counting.arithmetic import book_normalization, book_reduction, book_window
from micronet_resources.counting.elementwise_rules import ELEMENTWISE_RULES
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import REDUCTIONS
from micronet_resources.counting.product_rules import PRODUCT_RULES

__all__ = ["SHAPE_RULES"]


def _per_axis(value: Any, dims: int) -> tuple[int, ...]:
    if type(value) is tuple and len(value) == dims:
        return value
    if isinstance(value, int):
        return (value,) * dims
    return tuple(value) if len(value) == dims else (value[0],) * dims


@lru_cache(maxsize=4096)  # networks repeat their layers
def _window_sizes(
    dims: int, shape: torch.Size, kernel: torch.Size, stride: Any, padding: Any, dilation: Any, groups: int
) -> tuple[int, ...] | None:
    """Shape of the result of a convolution; None where torch should say what is wrong."""
    extra = len(shape) - dims - 1
    if not 0 <= extra <= 1 or len(kernel) != dims + 2 or shape[extra] != kernel[1] * groups or kernel[0] % groups:
        return None
    strides, dilations = _per_axis(stride, dims), _per_axis(dilation, dims)
    pads = (0,) * dims if padding == "valid" else _per_axis(padding, dims)
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(shape[extra + 1 :], pads, dilations, kernel[2:], strides, strict=True)
    ]
    return None if min(sizes) < 1 else (*shape[:extra], kernel[0], *sizes)


def _convolution(dims: int) -> Callable[..., Any]:
    name = f"conv{dims}d"

    def rule(
        ledger: Ledger, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> Any:  # fmt: skip
        dtype = input.dtype
        if not ledger.is_map(input) or dtype != weight.dtype or dtype.is_complex or padding == "same":
            return NotImplemented
        kernel = weight.shape
        options = (tuple(value) if type(value) is list else value for value in (stride, padding, dilation))
        shape = _window_sizes(dims, input.shape, kernel, *options, groups)
        if shape is None:
            return NotImplemented
        outputs = prod(shape)
        ledger.book_macs(name, "convolution", outputs, outputs * prod(kernel[1:]), ledger.use(weight))
        if bias is not None:
            ledger.book_bias(outputs, bias)
        return ledger.new(shape, dtype)

    return rule


def _transposed(dims: int) -> Callable[..., Any]:
    name = f"conv_transpose{dims}d"

    def rule(
        ledger: Ledger, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    ) -> Any:  # fmt: skip
        if not ledger.is_map(input):
            return NotImplemented
        shape, kernel = input.shape, weight.shape
        extra = len(shape) - dims - 1
        if not 0 <= extra <= 1 or len(kernel) != dims + 2 or shape[extra] != kernel[0] or kernel[0] % groups:
            return NotImplemented
        if input.dtype != weight.dtype or input.dtype.is_complex:
            return NotImplemented
        options = (_per_axis(option, dims) for option in (stride, padding, output_padding, dilation))
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + o + 1
            for n, k, s, p, o, d in zip(shape[extra + 1 :], kernel[2:], *options, strict=True)
        ]
        if min(sizes) < 1:
            return NotImplemented
        channels = kernel[1] * groups
        outputs = (shape[0] if extra else 1) * channels * prod(sizes)
        ledger.book_macs(name, "convolution", outputs, input.numel() * prod(kernel[1:]), ledger.use(weight))
        ledger.book_bias(outputs, bias)
        return ledger.new((*shape[:extra], channels, *sizes), input.dtype)

    return rule


def _batch_norm(
    ledger: Ledger, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:  # fmt: skip
    if not ledger.is_map(input) or input.dim() < 2 or (running_mean is None and not training):
        return NotImplemented
    channels = input.shape[1]
    for held in (running_mean, weight, bias):
        if held is not None and held.numel() != channels:
            return NotImplemented
    book_normalization(ledger, "batch_norm", input.numel(), weight, bias, is_folded=not training)
    return ledger.like(input)


def _layer_norm(
    ledger: Ledger, input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:  # fmt: skip
    if not ledger.is_map(input) or input.shape[-len(normalized_shape) :] != tuple(normalized_shape):
        return NotImplemented
    book_normalization(ledger, "layer_norm", input.numel(), weight, bias)
    return ledger.like(input)


def _group_norm(
    ledger: Ledger, input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:  # fmt: skip
    if not ledger.is_map(input) or input.dim() < 2 or input.shape[1] % num_groups:
        return NotImplemented
    book_normalization(ledger, "group_norm", input.numel(), weight, bias)
    return ledger.like(input)


def _pooled(
    input: Tensor, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> list[int] | None:
    """Sizes after pooling; None where torch should say what is wrong."""
    dims = len(kernel)
    if input.dim() not in (dims + 1, dims + 2):
        return None
    strides = kernel if stride is None or stride == [] else _per_axis(stride, dims)
    pads, dilations = _per_axis(padding, dims), _per_axis(dilation, dims)
    sizes = []
    for n, k, s, p, d in zip(input.shape[-dims:], kernel, strides, pads, dilations, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        size = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (size - 1) * s >= n + p:  # the last window would begin in the padding
            size -= 1
        if size < 1 or 2 * p > k:
            return None
        sizes.append(size)
    return sizes


def _max_pool(dims: int) -> Callable[..., Any]:
    def rule(
        ledger: Ledger, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        if return_indices or not ledger.is_map(input):
            return NotImplemented
        kernel = _per_axis(kernel_size, dims)
        sizes = _pooled(input, kernel, stride, padding, dilation, ceil_mode)
        if sizes is None:
            return NotImplemented
        out = ledger.new((*input.shape[:-dims], *sizes), input.dtype)
        book_window(ledger, f"max_pool{dims}d", out.numel(), prod(kernel), is_average=False)
        return out

    return rule


def _avg_pool(dims: int) -> Callable[..., Any]:
    def rule(
        ledger: Ledger, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        if not ledger.is_map(input):
            return NotImplemented
        kernel = _per_axis(kernel_size, dims)
        sizes = _pooled(input, kernel, stride, padding, 1, ceil_mode)
        if sizes is None:
            return NotImplemented
        out = ledger.new((*input.shape[:-dims], *sizes), input.dtype)
        book_window(ledger, f"avg_pool{dims}d", out.numel(), prod(kernel), is_average=True)
        return out

    return rule


def _adaptive_pool(dims: int, name: str, cost: tuple[int, int, int]) -> Callable[..., Any]:
    def rule(ledger: Ledger, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        if return_indices or not ledger.is_map(input) or input.dim() not in (dims + 1, dims + 2):
            return NotImplemented
        wanted = (output_size,) * dims if output_size is None or isinstance(output_size, int) else output_size
        sizes = [n if size is None else size for n, size in zip(input.shape[-dims:], wanted, strict=False)]
        if len(sizes) != dims or min(sizes) < 1:
            return NotImplemented
        out = ledger.new((*input.shape[:-dims], *sizes), input.dtype)
        book_reduction(ledger, name, input.numel(), out.numel(), cost)
        return out

    return rule


def _mean(ledger: Ledger, input: Tensor, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
    if not ledger.is_map(input) or options or not input.dtype.is_floating_point:
        return NotImplemented
    dims = (dim,) if isinstance(dim, int) else dim or range(input.dim())
    if any(not -input.dim() <= d < input.dim() for d in dims):
        return NotImplemented
    gone = {d % input.dim() for d in dims} if input.dim() else set()
    shape = [1 if d in gone else n for d, n in enumerate(input.shape) if keepdim or d not in gone]
    out = ledger.new(shape, input.dtype)
    book_reduction(ledger, "mean", input.numel(), out.numel(), REDUCTIONS["mean"])
    return out


SHAPE_RULES: dict[Any, Callable[..., Any]] = {
    **ELEMENTWISE_RULES,
    **PRODUCT_RULES,
    torch.conv1d: _convolution(1),
    torch.conv2d: _convolution(2),
    torch.conv3d: _convolution(3),
    torch.conv_transpose1d: _transposed(1),
    torch.conv_transpose2d: _transposed(2),
    torch.conv_transpose3d: _transposed(3),
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    **dict.fromkeys([F.max_pool1d, torch.max_pool1d], _max_pool(1)),
    **dict.fromkeys([F.max_pool2d, torch.max_pool2d, torch.nn.functional._max_pool2d], _max_pool(2)),
    **dict.fromkeys([F.max_pool3d, torch.max_pool3d], _max_pool(3)),
    torch.avg_pool1d: _avg_pool(1),
    F.avg_pool2d: _avg_pool(2),
    F.avg_pool3d: _avg_pool(3),
    F.adaptive_avg_pool1d: _adaptive_pool(1, "adaptive_avg_pool1d", REDUCTIONS["mean"]),
    F.adaptive_avg_pool2d: _adaptive_pool(2, "adaptive_avg_pool2d", REDUCTIONS["mean"]),
    F.adaptive_avg_pool3d: _adaptive_pool(3, "adaptive_avg_pool3d", REDUCTIONS["mean"]),
    F.adaptive_max_pool1d: _adaptive_pool(1, "adaptive_max_pool1d", REDUCTIONS["amax"]),
    F.adaptive_max_pool2d: _adaptive_pool(2, "adaptive_max_pool2d", REDUCTIONS["amax"]),
    F.adaptive_max_pool3d: _adaptive_pool(3, "adaptive_max_pool3d", REDUCTIONS["amax"]),
    torch.mean: _mean,
    torch.Tensor.mean: _mean,
}
