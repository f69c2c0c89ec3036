"""How many multiplications and additions operators of each kind need, written to the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor

from micronet_resources.counting.ledger import Ledger

__all__ = [
    "book_added",
    "book_attention",
    "book_bilinear",
    "book_normalization",
    "book_product",
    "book_reduction",
    "book_sum",
    "book_window",
]


def book_sum(ledger: Ledger, name: str, outputs: int, left: Any, right: Any, *, each: int = 1) -> None:
    """Book a sum or difference: of two feature maps, of a map and a parameter, or of a map and a constant.

    ``each`` is the number of additions for each result: two for complex numbers.
    """
    factors = [value for value in (left, right) if isinstance(value, Tensor)]
    static = [tensor for tensor in factors if ledger.is_static(tensor)]
    if len(factors) == 2 and not static:
        kind = "residual" if min(left.numel(), right.numel()) > 1 else "elementwise"
        ledger.book(name, kind, outputs, 0, each * outputs)
    else:
        _book_constant(ledger, name, outputs, static, each)


def book_added(ledger: Ledger, added: Any, outputs: int) -> None:
    """Book what is added to the result of a product."""
    if not isinstance(added, Tensor) or ledger.is_static(added):
        _book_constant(ledger, "add", outputs, [added] if isinstance(added, Tensor) else [])
    else:
        ledger.book("add", "residual" if added.numel() > 1 else "elementwise", outputs, 0, outputs)


def _book_constant(ledger: Ledger, name: str, outputs: int, static: list[Tensor], each: int = 1) -> None:
    used = ledger.use(static[0]) if static else None
    is_bias = used is not None and static[0].numel() > 1 and ledger.used[used].is_registered
    ledger.book(name, "bias" if is_bias else "elementwise", outputs, 0, each * outputs, used)


def book_product(
    ledger: Ledger, name: str, outputs: int, left: Any, right: Any, *, each: tuple[int, int] = (1, 0)
) -> None:
    """Book a product or quotient; with a number or a tensor of one element it only scales.

    ``each`` is the number of multiplications and additions for each result: four and two for complex numbers.
    """
    factors = [value for value in (left, right) if isinstance(value, Tensor)]
    used = [ledger.use(tensor) for tensor in factors]
    is_product = len(factors) == 2 and min(left.numel(), right.numel()) > 1
    kind, weight = "product" if is_product else "elementwise", next(filter(None, used), None)
    ledger.book(name, kind, outputs, each[0] * outputs, each[1] * outputs, weight)


def book_normalization(
    ledger: Ledger, name: str, elements: int, weight: Tensor | None, bias: Tensor | None, *, is_folded: bool = False
) -> None:
    """Book a normalization: one scale and one shift for each element if its statistics are stored."""
    multiplications, additions = (1, 1) if is_folded else (3, 4)
    used = ledger.use(weight)
    ledger.use(bias)
    ledger.book(name, "normalization", elements, multiplications * elements, additions * elements, used)


def book_window(ledger: Ledger, name: str, outputs: int, window: int, *, is_average: bool) -> None:
    """Book pooling: one comparison or addition less than the window has elements, and the division of an average."""
    ledger.book(name, "pooling", outputs, outputs if is_average else 0, (window - 1) * outputs)


def book_reduction(ledger: Ledger, name: str, inputs: int, outputs: int, cost: tuple[int, int, int]) -> None:
    """Book a reduction by its multiplications and additions per input and multiplications per output."""
    per_input, added, per_output = cost
    additions = max(added * inputs - outputs, 0) if added else 0
    ledger.book(name, "pooling", outputs, per_input * inputs + per_output * outputs, additions)


def book_attention(ledger: Ledger, name: str, query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> None:
    """Book both products of attention and the softmax between them, without the scaling."""
    rows = prod(query[:-1])
    scores, outputs = rows * key[-2], rows * value[-1]
    ledger.book_macs(name, "attention", scores, scores * query[-1])
    ledger.book("softmax", "activation", scores, 2 * scores, scores)
    ledger.book_macs(name, "attention", outputs, scores * value[-1])


def book_bilinear(ledger: Ledger, name: str, rows: int, weight: Tensor) -> None:
    """Book a bilinear form: each output has a matrix, first times the left vector, then times the right one."""
    outputs, left, right = weight.shape
    macs = rows * outputs * right * (left + 1)
    ledger.book_macs(name, "linear", rows * outputs * (right + 1), macs, ledger.use(weight))
