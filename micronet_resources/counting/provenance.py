"""Knows which tensors depend on the network's input, and what those that do not are made of.

A forward pass is followed with stand-ins: a tensor that depends on the input is a tensor on torch's meta device, with
a shape and a type and no values. A tensor that does not, such as a weight or what is computed from weights alone, is
*static*: it is kept as it is, with its values, and its arithmetic costs nothing because it can be done once and for
all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from micronet_resources.counting.roots import Root, made_from
from micronet_resources.counting.tensors import (
    BUILDERS,
    MAKERS,
    META,
    as_real,
    have_equal_values,
    is_random,
    is_view,
    storage_key,
)

__all__ = ["Provenance"]

_empty = torch.empty


class Provenance:
    """The origin of tensors.

    Parameters
    ----------
    named : mapping of int to (str, Tensor)
        Every tensor that the model holds, by its ``id``.
    device : torch.device
        Where the model is: what a stand-in answers when it is asked.
    """

    def __init__(self, named: Mapping[int, tuple[str, Tensor]], device: torch.device) -> None:
        self.device = device
        self.used: dict[str, Root] = {}
        self.roots: dict[int, Root] = {}
        self.origins: dict[tuple[Any, ...], Root] = {}
        # Static tensors without values, and those that were computed: kept, so that their ids stay theirs.
        self.statics: dict[int, Tensor] = {}
        self.hold(named)
        # Tensors with values that depend on the input, where the network runs for real.
        self.maps: dict[int, Tensor] = {}
        # Storage that something from the input was written into.
        self.written: dict[int, Any] = {}
        # How Python got a number that depends on the input, and all that it may have computed from it and brought back.
        self.revealed: str | None = None
        self.uncounted: dict[str, None] = {}

    def hold(self, named: Mapping[int, tuple[str, Tensor]]) -> None:
        """Set the tensors that the model holds."""
        self.named = named
        self.statics |= {key: tensor for key, (_, tensor) in named.items() if tensor.is_meta}

    def adopt(self, parameter: nn.Parameter) -> None:
        """Take a parameter that the model does not hold; whoever books costs to modules says which has it."""

    def is_map(self, value: Any) -> bool:
        """Whether a value is a stand-in for a tensor that depends on the input."""
        return type(value) is Tensor and value.is_meta and id(value) not in self.statics

    def is_static(self, tensor: Tensor) -> bool:
        """Whether a tensor does not depend on the input."""
        static = id(tensor) in self.statics if tensor.is_meta else id(tensor) not in self.maps
        return static and not (self.written and storage_key(tensor) in self.written)

    def new(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Make a stand-in for a result that depends on the input."""
        with as_real():
            return _empty(shape, dtype=dtype, device=META)

    def like(self, tensor: Tensor) -> Tensor:
        """Make a stand-in with the same shape, type and strides."""
        with as_real():
            return tensor.detach()

    def stand_in(self, tensor: Tensor) -> Tensor:
        """Return a tensor without values for any tensor; it is static if the tensor is, with the same root."""
        static = self.is_static(tensor)
        if tensor.is_meta:
            return tensor
        with as_real():
            if tensor.layout is torch.strided:
                new = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
            else:
                new = torch.empty_like(tensor, device=META)
        if static:
            self.statics[id(new)] = new
            self.roots[id(new)] = self.root(tensor)
        return new

    def stand_ins(self, value: Any, *, states: bool = False) -> Any:
        """Exchange every tensor among arguments for its stand-in.

        With ``states``, tensors that belong to no parameter depend on the input, such as the state that a recurrent
        layer begins with.
        """
        if isinstance(value, Tensor):
            if states and self.is_static(value) and not self.root(value).is_registered:
                return self.new(value.shape, value.dtype)
            return self.stand_in(value)
        if isinstance(value, dict):
            return {key: self.stand_ins(item, states=states) for key, item in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self.stand_ins(item, states=states) for item in value)
        return value

    def write(self, tensor: Tensor) -> None:
        """Note that something from the input was written into a static tensor."""
        storage = tensor.untyped_storage()
        self.written[storage._cdata] = storage

    def overwrite(self, tensors: Iterable[Tensor]) -> None:
        """Note that something from the input was written into those of the tensors that are static."""
        for tensor in tensors:
            if self.is_static(tensor):
                self.write(tensor)

    def forget(self, tensors: Iterable[Tensor]) -> None:
        """Note that tensors without values are not static, or are no more."""
        for tensor in tensors:
            self.statics.pop(id(tensor), None)

    def root(self, tensor: Tensor) -> Root:
        """Return what is stored for a static tensor."""
        root = self.roots.get(id(tensor))
        if root is None:
            name, owned = self.named.get(id(tensor), (None, tensor))
            is_parameter = isinstance(owned, nn.Parameter)
            if is_parameter and name is None:
                root = self._copied_root(owned)
                if root is None:
                    self.adopt(owned)
            elif name is None:
                self._suspect()
            if root is None:
                root = Root(name, tensor, (owned,) if is_parameter else (), name is not None or is_parameter)
            self.roots[id(tensor)] = root
        return root

    def _suspect(self) -> None:
        """Note that a constant comes from Python, which may have computed it from the input."""
        if self.revealed is not None:
            self.uncounted[f"Python on the values of Tensor.{self.revealed}"] = None

    def _copied_root(self, parameter: nn.Parameter) -> Root | None:
        """Return the root of what a parameter was made from in the forward pass, as by ``copy.deepcopy(layer)``."""
        storage, size = storage_key(parameter), parameter.numel()
        for key, tensor in self.statics.items():
            if tensor.layout is torch.strided and tensor.numel() == size and storage_key(tensor) == storage:
                return self.roots.get(key)
        return None

    def use(self, tensor: Tensor | None) -> str | None:
        """Note that an operator on the input reads a tensor; return its name if it is static."""
        if tensor is None:
            return None
        root = self.roots.get(id(tensor))
        if root is None or self.written:
            if not self.is_static(tensor):
                return None
            root = root or self.root(tensor)
        name, used = root.name, self.used
        if name is None:
            name = f"constant {sum(other.startswith('constant ') for other in used) + 1}"
        elif used.get(name, root) is not root:
            rivals = [other for other in used if other == name or other.startswith(f"{name} (")]
            same = (other for other in rivals if have_equal_values(used[other].tensor, root.tensor))
            name = next(same, f"{name} ({len(rivals) + 1})")
            root = self.roots[id(tensor)] = used.get(name, root)
        if tensor.is_floating_point():
            root.choice = None  # numbers to compute with are stored as they are
        root.name = name
        used[name] = root
        return name

    def derive(self, operator: str, inputs: list[Tensor], arguments: Any, outputs: Iterable[Tensor]) -> None:
        """Note what was computed from static tensors alone.

        Views and plain copies share the root of their source; the same arithmetic done twice is one root.
        """
        if operator in BUILDERS:
            self._suspect()
        parents = [self.root(tensor) for tensor in inputs]
        for position, output in enumerate(outputs):
            if any(output is tensor for tensor in inputs):
                continue
            pairs = zip(parents, inputs, strict=True)
            root = next((parent for parent, tensor in pairs if is_view(tensor, output, operator)), None)
            if root is None:
                # What is made to be filled, or drawn at random, is another tensor each time.
                is_unique = not parents or operator in MAKERS or is_random(operator)
                origin = (id(output),) if is_unique else (operator, position, self._pattern(arguments))
                root = self.origins.get(origin)
            if root is None:
                root = self.origins[origin] = made_from(parents, output, operator)
            # The output is kept, so that its id stays its own.
            self.roots[id(output)], self.statics[id(output)] = root, output

    def rewrite(self, tensor: Tensor, inputs: list[Tensor]) -> None:
        """Note that static values were written into a static tensor: a copy of a weight is one no more."""
        if id(tensor) not in self.named:
            parents = [self.root(tensor), *(self.root(other) for other in inputs if other is not tensor)]
            self.roots[id(tensor)], self.statics[id(tensor)] = made_from(parents, tensor), tensor

    def _pattern(self, value: Any) -> Any:
        """What distinguishes the arguments of a function: values, places of tensors, and which part of a root it is."""
        if isinstance(value, Tensor):
            place = (value.storage_offset(), value.stride()) if value.layout is torch.strided else ()
            return id(self.root(value)), tuple(value.shape), value.dtype, place
        if isinstance(value, (list, tuple)):
            return tuple(map(self._pattern, value))
        if isinstance(value, dict):
            return tuple((key, self._pattern(item)) for key, item in value.items())
        return repr(value)

    def inherit(self, inputs: list[Tensor], outputs: Iterable[Tensor]) -> None:
        """Note what is computed from static tensors inside one function: it belongs to what it is made of."""
        roots = [self.root(tensor) for tensor in inputs]
        root = next((root for root in roots if root.is_registered), roots[0] if roots else None)
        for output in outputs:
            self.statics.setdefault(id(output), output)
            if root is not None:
                self.roots.setdefault(id(output), root)
