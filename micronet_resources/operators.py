"""How many multiply-accumulates an operator costs, where torch's own counter has no rule.

That counter, :class:`torch.utils.flop_counter.FlopCounterMode`, gives its rules the shapes of tensors and counts
FLOPs: a multiply-accumulate (MAC) is two of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Any

import torch

__all__ = ["MAC_RULES", "PRODUCT_RULES", "is_uncounted"]

aten = torch.ops.aten
Shape = tuple[int, ...]


def _matrix_vector(matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _added_matrix_vector(added: Shape, matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _matrix_matrix(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left) * right[-1]


def _added_matrix_matrix(added: Shape, left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left) * right[-1]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _distances(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left) * right[-2]


def _bilinear(left: Shape, weight: Shape, right: Shape, *_: Any, **__: Any) -> int:
    out_features, left_features, right_features = weight
    return 2 * prod(left[:-1]) * out_features * right_features * (left_features + 1)


def _recurrent_layer(steps: Shape, weight: Shape, hidden_weight: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(steps[:-1]) * (prod(weight) + prod(hidden_weight))


def _product(left: Any, right: Any, *_: Any, out_shape: Shape, **__: Any) -> int:
    return 2 * prod(out_shape) if _is_map(left) and _is_map(right) else 0


def _added_product(added: Any, left: Any, right: Any, *_: Any, out_shape: Shape, **__: Any) -> int:
    return _product(left, right, out_shape=out_shape)


def _is_map(shape: Any) -> bool:
    return isinstance(shape, torch.Size) and prod(shape) > 1


MAC_RULES: dict[Any, Callable[..., int]] = {
    aten.mv: _matrix_vector,
    aten.dot: _matrix_vector,
    aten.vdot: _matrix_vector,
    aten.addmv: _added_matrix_vector,
    aten.addmv_: _added_matrix_vector,
    aten._int_mm: _matrix_matrix,
    aten.addmm_: _added_matrix_matrix,
    aten._addmm_activation: _added_matrix_matrix,
    aten.baddbmm_: _added_matrix_matrix,
    aten.addbmm: _added_matrix_matrix,
    aten.addbmm_: _added_matrix_matrix,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
    aten._cdist_forward: _distances,
    aten._euclidean_dist: _distances,
    aten._trilinear: _bilinear,
    aten.mkldnn_rnn_layer: _recurrent_layer,
}
PRODUCT_RULES: dict[Any, Callable[..., int]] = {
    **dict.fromkeys([aten.mul, aten.mul_, aten.div, aten.div_, aten.ger], _product),
    **dict.fromkeys([aten.addcmul, aten.addcmul_, aten.addr, aten.addr_], _added_product),
}
# Operators of torch that multiply and add, known by their names; those without a rule are refused.
COMPUTES = re.compile(
    r"mm(?![ai])|matmul|linalg_|^_fft|conv(?!ert)|attention|rnn|lstm|gru|linear|sparse_semi|"
    r"cholesky|matrix_exp|(?<!re)solve|svd|(?<!s)qr|householder|pdist"
)
CHEAP = re.compile(r"upsample|linalg_(vector_norm|cross|diagonal|_powsum)")
HARMLESS_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler"})


def is_uncounted(operator: str) -> bool:
    """Whether an operator without a rule may multiply and accumulate, by its name.

    Examples
    --------
    >>> is_uncounted("aten.linalg_inv_ex"), is_uncounted("aten.relu"), is_uncounted("my_library.fast_conv")
    (True, False, True)
    """
    namespace, _, name = operator.partition(".")
    return namespace not in HARMLESS_NAMESPACES or bool(COMPUTES.search(name) and not CHEAP.search(name))
