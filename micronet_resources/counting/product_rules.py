"""Shape rules of linear maps, matrix products and attention."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from micronet_resources.counting.arithmetic import book_attention, book_reduction
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import REDUCTIONS

__all__ = ["PRODUCT_RULES"]


def _linear(ledger: Ledger, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    if not ledger.is_map(input) or weight.dim() != 2 or not input.dim() or input.shape[-1] != weight.shape[1]:
        return NotImplemented
    if input.dtype != weight.dtype or input.dtype.is_complex:
        return NotImplemented
    out = ledger.new((*input.shape[:-1], weight.shape[0]), input.dtype)
    used = ledger.use(weight)
    ledger.book_macs("linear", "linear" if used else "matmul", out.numel(), out.numel() * weight.shape[1], used)
    ledger.book_bias(out.numel(), bias)
    return out


def _matmul(ledger: Ledger, input: Tensor, other: Tensor) -> Any:
    if not (isinstance(other, Tensor) and (ledger.is_map(input) or ledger.is_map(other))):
        return NotImplemented
    left, right = input.shape, other.shape
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        return NotImplemented
    if input.dtype != other.dtype or input.dtype.is_complex:
        return NotImplemented
    batch = left[:-2] if left[:-2] == right[:-2] or len(right) == 2 else None
    if batch is None:
        return NotImplemented
    used = ledger.use(input) or ledger.use(other)
    out = ledger.new((*batch, left[-2], right[-1]), input.dtype)
    ledger.book_macs("matmul", "linear" if used else "matmul", out.numel(), out.numel() * left[-1], used)
    return out


def _matmul_of(dims: int) -> Callable[..., Any]:
    def rule(ledger: Ledger, input: Tensor, mat2: Tensor) -> Any:
        return _matmul(ledger, input, mat2) if input.dim() == mat2.dim() == dims else NotImplemented

    return rule


def _attention(
    ledger: Ledger, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if not ledger.is_map(query) or attn_mask is not None or dropout_p or is_causal or enable_gqa:
        return NotImplemented
    if query.dim() < 2 or query.shape[:-2] != key.shape[:-2] or query.shape[:-2] != value.shape[:-2]:
        return NotImplemented
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2] or query.dtype.is_complex:
        return NotImplemented
    ledger.use(key), ledger.use(value)
    _scaled(ledger, query.numel() + key.numel())
    book_attention(ledger, "scaled_dot_product_attention", query.shape, key.shape, value.shape)
    return ledger.new((*query.shape[:-1], value.shape[-1]), query.dtype)


def _scaled(ledger: Ledger, elements: int) -> None:
    ledger.book("mul", "elementwise", elements, elements, 0)


def _multi_head_attention(
    ledger: Ledger, query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Any, bias_v: Any, add_zero_attn: bool,
    dropout_p: float, out_proj_weight: Tensor, out_proj_bias: Tensor | None, training: bool = True,
    key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None,
    v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:  # fmt: skip
    rare = (bias_k, bias_v, key_padding_mask, attn_mask, static_k, static_v, in_proj_weight)
    if any(option is not None for option in rare[:-1]) or rare[-1] is None or add_zero_attn or use_separate_proj_weight:
        return NotImplemented
    maps = (query, key, value)
    if not all(map(ledger.is_map, maps)) or training or is_causal or out_proj_weight is None:
        return NotImplemented
    width = query.shape[-1]
    if (
        width != embed_dim_to_check
        or width % num_heads
        or any(x.dim() not in (2, 3) or x.shape[-1] != width for x in maps)
    ):
        return NotImplemented
    if query.shape[1:] != key.shape[1:] or key.shape != value.shape or in_proj_weight.shape != (3 * width, width):
        return NotImplemented
    if {x.dtype for x in (key, value, in_proj_weight, out_proj_weight)} != {query.dtype}:
        return NotImplemented
    elements, batch = sum(x.numel() for x in maps), query.shape[1] if query.dim() == 3 else 1
    ledger.book_macs("linear", "linear", elements, elements * width, ledger.use(in_proj_weight))
    ledger.book_bias(elements, in_proj_bias)
    steps, sources, size = query.shape[0], key.shape[0], width // num_heads
    _scaled(ledger, query.numel() if need_weights else query.numel() + key.numel())
    shapes = [(batch * num_heads, length, size) for length in (steps, sources, sources)]
    book_attention(ledger, "multi_head_attention", *shapes)
    ledger.book_macs("linear", "linear", query.numel(), query.numel() * width, ledger.use(out_proj_weight))
    ledger.book_bias(query.numel(), out_proj_bias)
    out = ledger.new(query.shape, query.dtype)
    if not need_weights:
        return out, None
    heads = (batch, steps, sources) if average_attn_weights else (batch, num_heads, steps, sources)
    if average_attn_weights:
        averaged = prod(heads)
        book_reduction(ledger, "mean", averaged * num_heads, averaged, REDUCTIONS["mean"])
    return out, ledger.new(heads if query.dim() == 3 else heads[1:], query.dtype)


PRODUCT_RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys([F.linear, torch._C._nn.linear], _linear),
    **dict.fromkeys([torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__], _matmul),
    **dict.fromkeys([torch.bmm, torch.Tensor.bmm], _matmul_of(3)),
    **dict.fromkeys([torch.mm, torch.Tensor.mm], _matmul_of(2)),
    **dict.fromkeys([F.scaled_dot_product_attention, torch._C._nn.scaled_dot_product_attention], _attention),
    F.multi_head_attention_forward: _multi_head_attention,
}
