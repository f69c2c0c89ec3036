"""What the operators of torch's library cost that need more than a number per element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from torch import Tensor

from micronet_resources.counting.arithmetic import (
    book_added,
    book_attention,
    book_bilinear,
    book_normalization,
    book_product,
    book_reduction,
    book_sum,
    book_window,
)
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import REDUCTIONS
from micronet_resources.counting.placing_rules import PLACING_RULES
from micronet_resources.counting.tensors import tensors_in

__all__ = ["OPERATOR_RULES", "knows_complex"]

Rule = Callable[..., None]


def _convolution(
    ledger: Ledger, name: str, out: Tensor, x: Tensor, weight: Tensor, bias: Any = None, *options: Any
) -> None:
    is_transposed = len(options) > 3 and options[3] is True
    macs = (x if is_transposed else out).numel() * prod(weight.shape[1:])
    ledger.book_macs(name, "convolution", out.numel(), macs, ledger.use(weight))
    ledger.book_bias(out.numel(), bias)


def _matrix_product(ledger: Ledger, name: str, out: Tensor, left: Tensor, right: Tensor, *_: Any, **__: Any) -> None:
    weight = ledger.use(left) or ledger.use(right)
    macs = left.numel() * (right.shape[-1] if right.dim() > 1 else 1)
    ledger.book_macs(name, "linear" if weight else "matmul", out.numel(), macs, weight)


def _added_matrix_product(
    ledger: Ledger, name: str, out: Tensor, added: Tensor, left: Tensor, right: Tensor, *_: Any, beta: Any = 1,
    alpha: Any = 1, **__: Any,
) -> None:  # fmt: skip
    _matrix_product(ledger, name, out, left, right)
    _scaled(ledger, alpha, out.numel(), left, right)
    _scaled(ledger, beta, added.numel(), added)
    if beta:
        book_added(ledger, added, out.numel())


def _scaled(ledger: Ledger, factor: Any, elements: int, *maps: Any) -> None:
    """Book the multiplication with a number, unless it can be done once and for all on a static factor."""
    if factor not in (0, 1) and not any(isinstance(x, Tensor) and ledger.is_static(x) for x in maps):
        ledger.book("mul", "elementwise", elements, elements, 0)


def _linear(ledger: Ledger, name: str, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
    used = ledger.use(weight)
    ledger.book_macs(name, "linear" if used else "matmul", out.numel(), out.numel() * weight.shape[-1], used)
    ledger.book_bias(out.numel(), bias)


def _attention(
    ledger: Ledger, name: str, out: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> None:
    book_attention(ledger, name, query.shape, key.shape, value.shape)


def _distances(ledger: Ledger, name: str, out: Tensor, left: Tensor, right: Tensor, *_: Any) -> None:
    macs = out.numel() * left.shape[-1]
    ledger.book("sub", "elementwise", macs, 0, macs)
    ledger.book_macs(name, "matmul", out.numel(), macs, ledger.use(left) or ledger.use(right))
    ledger.book("sqrt", "activation", out.numel(), out.numel(), 0)


def _trilinear(ledger: Ledger, name: str, out: Tensor, left: Tensor, weight: Tensor, right: Tensor, *_: Any) -> None:
    rows = left.numel() // left.shape[-1]
    book_bilinear(ledger, name, rows, weight)


def _recurrent_layer(
    ledger: Ledger, name: str, out: Any, x: Tensor, weight: Tensor, hidden: Tensor, *rest: Any
) -> None:
    steps = x.numel() // x.shape[-1]
    macs, outputs = steps * (weight.numel() + hidden.numel()), steps * 2 * weight.shape[0]
    ledger.book_macs(name, "recurrent", outputs, macs, ledger.use(weight))
    ledger.use(hidden)
    for bias in rest[:2]:
        ledger.book_bias(steps * weight.shape[0], bias)
    # An LSTM, four gates for each cell: three sigmoids and two hyperbolic tangents; three products of what they give.
    gates, cells = steps * weight.shape[0], steps * hidden.shape[-1]
    ledger.book("add", "residual", gates, 0, gates)
    ledger.book("sigmoid", "activation", 3 * cells, 6 * cells, 3 * cells)
    ledger.book("tanh", "activation", 2 * cells, 4 * cells, 2 * cells)
    ledger.book("mul", "product", 3 * cells, 3 * cells, 0)
    ledger.book("add", "residual", cells, 0, cells)


def _sum(ledger: Ledger, name: str, out: Tensor, left: Any, right: Any, alpha: Any = 1, **named: Any) -> None:
    if isinstance(right, Tensor):
        _scaled(ledger, named.get("alpha", alpha), right.numel(), right)
    book_sum(ledger, name, out.numel(), left, right, each=2 if _complex_factors(left, right) == 2 else 1)


def _product(ledger: Ledger, name: str, out: Tensor, left: Any, right: Any, *_: Any, **__: Any) -> None:
    factors = _complex_factors(left, right)
    if factors and name == "div":
        ledger.uncounted["aten.div on complex numbers"] = None
    # (a + bi)(c + di) has four real products, a(c + di) two.
    book_product(ledger, name, out.numel(), left, right, each=((1, 0), (2, 0), (4, 2))[factors])


def _complex_factors(*values: Any) -> int:
    return sum(value.is_complex() if isinstance(value, Tensor) else type(value) is complex for value in values)


def _added_product(
    ledger: Ledger, name: str, out: Tensor, added: Tensor, left: Tensor, right: Tensor, *_: Any, value: Any = 1,
    beta: Any = 1, alpha: Any = 1,
) -> None:  # fmt: skip
    book_product(ledger, name, out.numel(), left, right)
    _scaled(ledger, value * alpha, out.numel(), left, right)
    _scaled(ledger, beta, added.numel(), added)
    book_added(ledger, added, out.numel())


def _interpolation(ledger: Ledger, name: str, out: Tensor, start: Tensor, end: Tensor, weight: Any) -> None:
    """Book start + weight * (end - start)."""
    if not (ledger.is_static(start) and ledger.is_static(end)):
        book_sum(ledger, "sub", out.numel(), end, start)
    book_product(ledger, name, out.numel(), out, weight)
    book_added(ledger, start, out.numel())


def _gated(ledger: Ledger, name: str, out: Tensor, x: Tensor, *_: Any) -> None:
    """Book one half of a map times the sigmoid of the other."""
    size = out.numel()
    ledger.book("sigmoid", "activation", size, 2 * size, size)
    ledger.book(name, "product", size, size, 0)


def _batch_norm(ledger: Ledger, name: str, out: Any, x: Tensor, weight: Any, bias: Any, *rest: Any, **__: Any) -> None:
    # The flag comes after the running statistics, where there are any; some variants have none because it is settled.
    flag = next((value for value in rest if isinstance(value, bool)), "no_training" not in name)
    book_normalization(ledger, name, x.numel(), weight, bias, is_folded=not flag)


def _layer_norm(ledger: Ledger, name: str, out: Any, x: Tensor, shape: Any, weight: Any, bias: Any, *_: Any) -> None:
    book_normalization(ledger, name, x.numel(), weight, bias)


def _group_norm(ledger: Ledger, name: str, out: Any, x: Tensor, weight: Any, bias: Any, *_: Any) -> None:
    book_normalization(ledger, name, x.numel(), weight, bias)


def _max_pool(ledger: Ledger, name: str, out: Any, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
    out = next(tensors_in(out))
    book_window(ledger, name, out.numel(), _window(kernel, name), is_average=False)


def _avg_pool(ledger: Ledger, name: str, out: Tensor, x: Tensor, kernel: Any, *_: Any, **__: Any) -> None:
    book_window(ledger, name, out.numel(), _window(kernel, name), is_average=True)


def _window(kernel: Any, name: str) -> int:
    sizes = list(kernel) if isinstance(kernel, (list, tuple)) else [kernel]
    dims = next(int(digit) for digit in name if digit.isdigit())
    return prod(sizes) if len(sizes) == dims else sizes[0] ** dims


def _adaptive_pool(ledger: Ledger, name: str, out: Any, x: Tensor, *_: Any, **__: Any) -> None:
    out = next(tensors_in(out))
    book_reduction(ledger, name, x.numel(), out.numel(), REDUCTIONS["amax" if "max" in name else "mean"])


def _rules() -> Mapping[str, Rule]:
    groups: dict[Rule, str] = {
        _convolution: "convolution _convolution convolution_overrideable mkldnn_convolution",
        _matrix_product: "mm bmm mv dot vdot _int_mm _scaled_mm",
        _added_matrix_product: "addmm _addmm_activation baddbmm addbmm addmv",
        _linear: "linear mkldnn_linear",
        _attention: """
            _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
            _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
            _scaled_dot_product_fused_attention_overrideable""",
        _distances: "_cdist_forward _euclidean_dist",
        _trilinear: "_trilinear",
        _recurrent_layer: "mkldnn_rnn_layer",
        _sum: "add sub rsub",
        _product: "mul div ger outer",
        _added_product: "addcmul addcdiv addr",
        _interpolation: "lerp",
        _gated: "glu",
        _batch_norm: """
            native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit
            _native_batch_norm_legit_no_training _batch_norm_no_update _batch_norm_with_update""",
        _layer_norm: "native_layer_norm",
        _group_norm: "native_group_norm",
        _max_pool: """
            max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices
            mkldnn_max_pool2d fractional_max_pool2d fractional_max_pool3d""",
        _avg_pool: "avg_pool1d avg_pool2d avg_pool3d",
        _adaptive_pool: """
            adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d
            adaptive_max_pool3d""",
    }
    return {name: rule for rule, names in groups.items() for name in names.split()} | PLACING_RULES


OPERATOR_RULES = _rules()


def knows_complex(rule: Rule | None) -> bool:
    """Whether a rule counts what complex numbers cost."""
    return rule in (_sum, _product)
