"""Costs at the level of torch's operator library, to which every function of torch comes down in the end.

What has no shape rule is counted here: :class:`OperatorMode` sees each operator with its stand-ins and books it, or
notes that nobody has written down what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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
from micronet_resources.counting.operator_costs import (
    ACTIVATIONS,
    ELEMENTWISE,
    FREE,
    INTERPOLATIONS,
    REDUCTIONS,
    is_uncounted,
)
from micronet_resources.counting.tensors import tensors_in

__all__ = ["OPERATORS", "OperatorMode"]

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
    ledger: Ledger, name: str, out: Tensor, added: Tensor, left: Tensor, right: Tensor, *_: Any, **__: Any
) -> None:
    _matrix_product(ledger, name, out, left, right)
    book_added(ledger, added, out.numel())


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
    if named.get("alpha", alpha) != 1 and isinstance(right, Tensor) and not ledger.is_static(right):
        ledger.book("mul", "elementwise", right.numel(), right.numel(), 0)
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
    ledger: Ledger, name: str, out: Tensor, added: Any, left: Any, right: Any, *_: Any, **__: Any
) -> None:
    book_product(ledger, name, out.numel(), left, right)
    book_added(ledger, added, out.numel())


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


def _scattered(ledger: Ledger, name: str, out: Tensor, *args: Any, **__: Any) -> None:
    """Each element that is scattered is added, or compared, once, wherever it lands."""
    given = args[SOURCES[name]]
    for tensor in tensors_in(args):
        ledger.use(tensor)
    ledger.book(name, "elementwise", out.numel(), 0, given.numel())


# Position of the argument that has one element for each that is scattered.
SOURCES = {"scatter_add": 2, "scatter_reduce": 2, "index_add": 3, "index_reduce": 3, "col2im": 0}
# Position of the axis along which something is chosen.
AXES = {"sort": 0, "mode": 0, "median": 0, "nanmedian": 0, "topk": 1, "kthvalue": 1}


def _selection(ledger: Ledger, name: str, out: Any, x: Tensor, *options: Any, **named: Any) -> None:
    """Book a tournament: n - 1 comparisons find the best of n, and each further place takes log2(n), rounded up."""
    has_axis = "median" not in name or bool(options) or "dim" in named
    axis = options[AXES[name]] if len(options) > AXES[name] else named.get("dim", -1)
    size = x.shape[axis] if has_axis and x.dim() else x.numel()
    places = options[0] if AXES[name] else size // 2 + 1 if "median" in name else size
    comparisons = max(size - 1 + (places - 1) * (size - 1).bit_length(), 0) * (x.numel() // max(size, 1))
    ledger.book(name, "pooling", next(tensors_in(out)).numel(), 0, comparisons)


def _rules() -> Mapping[str, Rule]:
    groups: dict[Rule, str] = {
        _convolution: "convolution _convolution convolution_overrideable mkldnn_convolution",
        _matrix_product: "mm bmm mv dot vdot _int_mm _scaled_mm",
        _added_matrix_product: "addmm _addmm_activation baddbmm addbmm addmv",
        _linear: "linear mkldnn_linear",
        _scattered: " ".join(SOURCES),
        _selection: " ".join(AXES),
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
    return {name: rule for rule, names in groups.items() for name in names.split()}


OPERATORS = _rules()


class OperatorMode(TorchDispatchMode):
    """Books every operator that works on something from the input; notes what is computed from static tensors alone."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ledger = self.ledger
        inputs = list(tensors_in(args, kwargs))
        static = [ledger.is_static(tensor) for tensor in inputs]
        if len({tensor.is_meta for tensor in inputs}) > 1:  # a weight beside a stand-in, in code that torch runs itself
            args, kwargs = ledger.stand_ins(args), ledger.stand_ins(kwargs)
            inputs = list(tensors_in(args, kwargs))
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if all(static):
            ledger.inherit(inputs, tensors_in(out))
            return out
        name = name.rstrip("_")
        # The norms of an embedding's rows depend on the rows alone, whichever of them the input asks for.
        writes = torch.Tag.inplace in func.tags and static[0] and name != "embedding_renorm"
        reads = writes and name not in FREE
        if reads:
            book_operator(ledger, func, name, inputs, out, args, kwargs)
        if writes:
            ledger.write(inputs[0])
            ledger.statics.pop(id(inputs[0]), None)
        ledger.maps.update((id(tensor), tensor) for tensor in tensors_in(out) if not tensor.is_meta)
        if not reads:
            book_operator(ledger, func, name, inputs, out, args, kwargs)
        return out


def book_operator(
    ledger: Ledger, func: Any, name: str, inputs: list[Tensor], out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Book one operator that depends on the input."""
    result = next(tensors_in(out), None)
    size = 0 if result is None else result.numel()
    rule = OPERATORS.get(name)
    if func.namespace != "aten":
        rule = None
    if rule is not None:
        if result is not None and result.is_complex() and rule not in (_product, _sum):
            ledger.uncounted[f"{func.overloadpacket} on complex numbers"] = None
        rule(ledger, name, out, *args, **kwargs)
        return
    for tensor in inputs:
        ledger.use(tensor)
    operator = str(func.overloadpacket)
    if is_uncounted(operator):
        ledger.uncounted[operator] = None
    elif name in ACTIVATIONS:
        multiplications, additions = ACTIVATIONS[name]
        ledger.book(name, "activation", size, multiplications * size, additions * size)
    elif name in ELEMENTWISE or name in INTERPOLATIONS:
        multiplications, additions = ELEMENTWISE.get(name) or INTERPOLATIONS[name]
        ledger.book(name, "elementwise", size, multiplications * size, additions * size)
    elif name in REDUCTIONS:
        book_reduction(ledger, name, inputs[0].numel(), size, REDUCTIONS[name])
    elif torch.Tag.pointwise in func.tags and name not in FREE:
        ledger.book(name, "elementwise", size, size, 0)
    elif not (result is None or name in FREE or func.is_view or torch.Tag.inplace_view in func.tags):
        ledger.uncounted[operator] = None
