"""Costs of operators that add elements where indices say, and of those that order and choose elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from micronet_resources.counting.arithmetic import book_product, book_reduction
from micronet_resources.counting.ledger import Ledger
from micronet_resources.counting.operator_costs import REDUCTIONS
from micronet_resources.counting.tensors import tensors_in

__all__ = ["PLACING_RULES"]


def _scattered(ledger: Ledger, name: str, out: Tensor, *args: Any, **__: Any) -> None:
    """Each element that is scattered is added, or compared, once, wherever it lands."""
    elements = args[SOURCES[name]].numel()
    for tensor in tensors_in(args):
        ledger.use(tensor)
    reduction = args[4] if len(args) > 4 else None
    multiplications, additions = (elements, 0) if reduction == "prod" else (0, elements)
    if reduction == "mean":
        multiplications = out.numel()
    ledger.book(name, "elementwise", out.numel(), multiplications, additions)


def _placed(ledger: Ledger, name: str, out: Tensor, *args: Any, reduce: str | None = None, **named: Any) -> None:
    """Elements that are put in their places are moved, unless they are added to what is there, or multiplied."""
    for tensor in tensors_in(args):
        ledger.use(tensor)
    if reduce is not None:
        elements = args[2].numel()
        ledger.book(name, "elementwise", out.numel(), *((elements, 0) if reduce == "multiply" else (0, elements)))
    elif name != "scatter" and (named.get("accumulate") or args[3:4] == (True,)):
        places = args[1].numel() if name == "put" else _places(args[0].shape, args[1])
        ledger.book(name, "elementwise", out.numel(), 0, max(args[2].numel(), places))


def _places(shape: torch.Size, indices: Any) -> int:
    """How many elements of a tensor the indices of some of its dimensions name; 0 if only their values tell."""
    given = [index for index in indices if index is not None]
    if any(index.dtype in (torch.bool, torch.uint8) for index in given):
        return 0
    rest = [size for d, size in enumerate(shape) if d >= len(indices) or indices[d] is None]
    return prod(torch.broadcast_shapes(*(index.shape for index in given))) * prod(rest)


def _bag(
    ledger: Ledger, name: str, out: Any, weight: Tensor, indices: Tensor, offsets: Tensor, scale: Any = False,
    mode: int = 0, sparse: Any = False, factors: Tensor | None = None, *_: Any,
) -> None:  # fmt: skip
    """Book the sum, mean or maximum of the rows of each bag, and the factors of the rows.

    With stored factors, the rows of a feature map are summed as by the sparse matrix that has them in its rows.
    """
    bags = next(tensors_in(out))
    ledger.use(weight)
    ledger.use(indices)
    root = ledger.roots.get(id(offsets))
    if root is not None and not root.tensor.is_meta:  # else torch made them itself, for bags of one length
        ledger.use(offsets)
    elements = indices.numel() * weight.shape[-1]
    if factors is not None and ledger.is_static(factors) and not ledger.is_static(weight):
        ledger.book_macs(name, "linear", bags.numel(), elements, ledger.use(factors))
        return
    if factors is not None:
        book_product(ledger, "mul", elements, weight, factors)
    book_reduction(ledger, name, elements, bags.numel(), REDUCTIONS[("sum", "mean", "amax")[mode]])


# Position of the argument that has one element for each that is scattered.
SOURCES = {"scatter_add": 2, "scatter_reduce": 2, "index_add": 3, "index_reduce": 3, "col2im": 0}
# Position of the axis along which something is chosen.
AXES = {"sort": 0, "mode": 0, "median": 0, "nanmedian": 0, "topk": 1, "kthvalue": 1, "unique_dim": 0, "_unique2": 0}
WHOLE = ("median", "nanmedian", "_unique2")  # they look at all elements where no axis is given


def _selection(ledger: Ledger, name: str, out: Any, x: Tensor, *options: Any, **named: Any) -> None:
    """Book a tournament: n - 1 comparisons find the best of n, and each further place takes log2(n), rounded up."""
    has_axis = name != "_unique2" and (name not in WHOLE or bool(options) or "dim" in named)
    axis = options[AXES[name]] if len(options) > AXES[name] else named.get("dim", -1)
    size = x.shape[axis] if has_axis and x.dim() else x.numel()
    places = options[0] if AXES[name] else size // 2 + 1 if "median" in name else size
    comparisons = max(size - 1 + (places - 1) * (size - 1).bit_length(), 0) * (x.numel() // max(size, 1))
    ledger.book(name, "pooling", next(tensors_in(out)).numel(), 0, comparisons)


PLACING_RULES: Mapping[str, Callable[..., None]] = {
    **dict.fromkeys(SOURCES, _scattered),
    **dict.fromkeys(["scatter", "index_put", "_index_put_impl", "_unsafe_index_put", "put"], _placed),
    **dict.fromkeys(["_embedding_bag", "_embedding_bag_forward_only"], _bag),
    **dict.fromkeys(AXES, _selection),
}
