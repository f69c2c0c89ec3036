"""Tensors of an entry that do not depend on the image, and what of each is stored in the file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from micronet_resources.onnx_graph.errors import AGAIN, EntryError
from micronet_resources.onnx_graph.folding import fold
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import MOVES, VIEWS
from micronet_resources.onnx_graph.workload import work

__all__ = ["Constant", "ConstantTable", "is_uniform", "to_root_layout"]

# A shape, or what is computed from shapes, has at most as many elements as a tensor has dimensions.
SHAPE_ELEMENTS = 8


@dataclass(frozen=True)
class Constant:
    """A tensor that is the same for every image.

    Parameters
    ----------
    value : array
        Read only.
    root : str or None
        Name of the stored tensor behind it, the same for views and ties; None for a literal.
    literal : bool
        Whether it is a number written in the graph, such as the 6 of a ReLU6 or the zeros of a bias that the network
        does not have, and so no parameter.
    layout : tuple of (str, tuple of int)
        How the elements of the root were moved: ``("transpose", permutation)`` and ``("reshape", shape before)``, first
        step first.
    """

    value: np.ndarray
    root: str | None
    literal: bool
    layout: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __repr__(self) -> str:
        kind = "literal" if self.literal else f"of {self.root}"
        return f"Constant({self.value.dtype} {self.value.shape}, {kind})"


def to_root_layout(values: np.ndarray, constant: Constant) -> np.ndarray:
    """Move an array with one entry for each element of a constant to the shape of the constant's root.

    Parameters
    ----------
    values : array
        Such as a mask, in the shape of ``constant.value``.
    constant : Constant

    Returns
    -------
    array
        In the shape of the stored tensor.

    Examples
    --------
    >>> seen = Constant(np.ones((3, 2)), "weight", False, (("transpose", (1, 0)),))
    >>> to_root_layout(np.array([[1, 2], [3, 4], [5, 6]]), seen)
    array([[1, 3, 5],
           [2, 4, 6]])
    """
    for step, numbers in reversed(constant.layout):
        values = values.reshape(numbers) if step == "reshape" else values.transpose(np.argsort(numbers))
    return values


def is_uniform(value: np.ndarray) -> bool:
    """Whether all elements have the same bits: 0.0 and -0.0 are two numbers, since 1/x tells them apart."""
    if value.size <= 1 or not any(value.strides):
        return True
    # The first elements first: most tensors are told apart after a few bytes.
    bits = np.ascontiguousarray(value).reshape(-1).view(np.uint8).reshape(value.size, -1)
    return bool((bits[: 2 * SHAPE_ELEMENTS] == bits[0]).all() and (bits == bits[0]).all())


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass
class ConstantTable:
    """All constants of a graph; the work of computing them is bounded."""

    limits: Limits
    constants: dict[str, Constant] = field(default_factory=dict)
    folded: int = 0
    # What each constant is computed from, so that the same arithmetic done twice is one stored tensor.
    _origins: dict[str, str] = field(default_factory=dict)
    _roots: dict[str, str] = field(default_factory=dict)
    # Constants made only from numbers in the graph and from shapes, small or with equal elements.
    _written: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self.constants

    def __getitem__(self, name: str) -> Constant:
        return self.constants[name]

    def store(self, name: str, value: np.ndarray) -> None:
        """Add a tensor of the file's list of weights: it counts, whatever it holds."""
        self._add(name, value, _digest("stored", name), root=name, written=False)

    def write(self, name: str, value: np.ndarray) -> None:
        """Add the tensor of a Constant node, or a shape: free where it is one number."""
        uniform = is_uniform(value)
        origin = _digest("written", str(value.dtype), value.shape, value.ravel()[:1].tobytes() if uniform else name)
        self._add(name, value, origin, None if uniform else name, uniform or value.size <= SHAPE_ELEMENTS)

    def _add(
        self, name: str, value: np.ndarray, origin: str, root: str | None, written: bool, layout: Any = ()
    ) -> None:
        if value.flags.writeable:
            value.flags.writeable = False
        self.constants[name] = Constant(value, root, root is None, layout)
        self._origins[name] = origin
        if written:
            self._written.add(name)

    def compute(
        self, node: str, op: str, attributes: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Add the outputs of a node whose inputs are all constants.

        Raises
        ------
        EntryError
            If it is too much work, if the result is not finite or if the operator cannot work on constants.
        """
        values = [self.constants[name].value if name else None for name in inputs]
        try:
            self._pay(node, work(op, attributes, values))
            with np.errstate(all="ignore"):
                results = fold(op, attributes, values)
        except EntryError:
            raise
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EntryError(f"{node} cannot compute a constant from its inputs: {reason}. {AGAIN}") from None
        written = all(name in self._written for name in inputs if name)
        origin = _digest(op, sorted(attributes.items()), [self._origins[name] if name else "" for name in inputs])
        for position, (name, value) in enumerate(zip(outputs, results, strict=False)):
            if not name:
                continue
            if op not in MOVES and value.dtype.kind == "f" and not np.isfinite(value).all():
                raise EntryError(
                    f"{node} computes infinity or NaN from constants: every number of an entry must be finite."
                )
            self._name(name, value, _digest(origin, position), op, attributes, inputs, written)

    def _name(
        self,
        name: str,
        value: np.ndarray,
        origin: str,
        op: str,
        attributes: Mapping[str, Any],
        inputs: Sequence[str],
        written: bool,
    ) -> None:
        before = self.constants[inputs[0]] if inputs and inputs[0] else None
        if before.literal if op in MOVES else written and is_uniform(value):
            self._add(name, value, origin, None, True)
            return
        same = before is not None and before.root is not None and before.value.size == value.size
        if same and (op in VIEWS or op == "Expand" or (op == "DequantizeLinear" and self._one_number(inputs[1:]))):
            step = ("reshape", before.value.shape)
            if op == "Transpose":
                step = ("transpose", attributes.get("perm") or tuple(reversed(range(value.ndim))))
            moved = op == "Transpose" or value.shape != before.value.shape
            root = self._roots.setdefault(origin, before.root)
            layout = (*before.layout, step) if moved else before.layout
        else:
            root, layout = self._roots.setdefault(origin, name), ()
        self._add(name, value, origin, root, written and value.size <= SHAPE_ELEMENTS, layout)

    def _one_number(self, names: Sequence[str]) -> bool:
        return all(not name or self.constants[name].literal for name in names)

    def _pay(self, node: str, elements: int) -> None:
        if elements > self.limits.constant_elements:
            raise EntryError(
                f"{node} makes or reads {elements:,} elements of constants at once; at most "
                f"{self.limits.constant_elements:,} are allowed. Compute the constant before exporting, or shrink it."
            )
        self.folded += elements
        if self.folded > self.limits.folding:
            raise EntryError(
                f"the constants of this entry take more than {self.limits.folding:,} elements of arithmetic: compute "
                "them before exporting."
            )
