"""Books every operation to the module that runs, and knows which tensors depend on the network's input.

A forward pass is followed with stand-ins: a tensor that depends on the input is a tensor on torch's meta device, with
a shape and a type and no values. A tensor that does not, such as a weight or what is computed from weights alone, is
*static*: it is kept as it is, with its values, and its arithmetic costs nothing because it can be done once and for
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from micronet_resources.counting.operator_costs import words
from micronet_resources.operations import Operation

__all__ = ["Ledger", "Root", "Tally", "as_real", "tensors_in"]

META = torch.device("meta")
# Within it, tensors are made and viewed without passing through the dispatch mode that counts: a microsecond each.
as_real = torch._C._DisableTorchDispatch
_empty = torch.empty
_plain_functions = torch._C.DisableTorchFunction
_transform_level = torch._C._functorch.maybe_current_level
# Operators that give the same numbers again, in other places or of another type.
COPIES = frozenset(
    words("clone contiguous to _to_copy type half float double bfloat16 cuda cpu detach reshape flatten type_as")
)


def tensors_in(*values: Any) -> Iterator[Tensor]:
    """Every tensor among arguments, in lists, tuples and dictionaries too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(*value)
        elif isinstance(value, dict):
            yield from tensors_in(*value.values())


class Tally:
    """What one module did itself, outside the modules that it called."""

    __slots__ = ("calls_modules", "foreign", "given", "operations", "output")

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.given: tuple[Any, ...] = ()
        self.output: Any = None
        self.calls_modules = False
        self.foreign: list[nn.Parameter] = []


@dataclass(slots=True, eq=False)
class Root:
    """A static tensor that the network has to store; its views share it.

    Parameters
    ----------
    name : str or None
        Of the parameter or buffer that it is or was computed from; None for a constant that nobody has named yet.
    tensor : Tensor
    parameters : tuple of Parameter
        Those that it was computed from.
    is_registered : bool
        Whether it is a parameter, a buffer or an attribute of a module, or computed from one.
    """

    name: str | None
    tensor: Tensor
    parameters: tuple[nn.Parameter, ...]
    is_registered: bool


class Ledger:
    """Operations by module, and the origin of tensors.

    Parameters
    ----------
    named : mapping of int to (str, Tensor)
        Every tensor that the model holds, by its ``id``.
    device : torch.device
        Where the model is: what a stand-in answers when it is asked.
    """

    def __init__(self, named: Mapping[int, tuple[str, Tensor]], device: torch.device) -> None:
        self.device = device
        # What stands for the forward pass of modules of torch's own classes.
        self.shortcuts: Mapping[type, Callable[..., Any]] = {}
        self.tallies: dict[nn.Module, Tally] = {}
        self.running: list[nn.Module] = []
        self.operations: list[Operation] = []
        self.stopped: tuple[BaseException, nn.Module, tuple[Any, ...]] | None = None
        # Kinds that an operator's inner operators get: those of an LSTM are "recurrent", not "linear".
        self.kinds: Mapping[str, str] = {}
        self.uncounted: dict[str, None] = {}
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

    def hold(self, named: Mapping[int, tuple[str, Tensor]]) -> None:
        """Set the tensors that the model holds."""
        self.named = named
        self.statics |= {key: tensor for key, (_, tensor) in named.items() if tensor.is_meta}

    # --- Modules ------------------------------------------------------------------------------------------------------

    def call(self, module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
        """Run a module and book what it does to it."""
        tally = self.tallies.get(module)
        if tally is None:
            tally = self.tallies[module] = Tally()
        tally.given = (*args, *kwargs.values()) if kwargs else args
        running = self.running
        if running:
            self.tallies[running[-1]].calls_modules = True
        outer, self.operations = self.operations, tally.operations
        running.append(module)
        try:
            shortcut = self.shortcuts.get(type(module))
            output = NotImplemented
            if shortcut is not None and len(args) == 1 and not (kwargs or _is_changed(module)):
                with _plain_functions():
                    if self.is_map(args[0]):
                        output = shortcut(self, module, args[0])
            if output is NotImplemented:
                output = module._call_impl(*args, **kwargs)
            tally.output = output
        except Exception as error:
            if self.stopped is None or self.stopped[0] is not error:
                self.stopped = (error, module, tally.given)
            raise
        finally:
            running.pop()
            self.operations = outer
        return output

    # --- Tensors ------------------------------------------------------------------------------------------------------

    def is_map(self, value: Any) -> bool:
        """Whether a value is a stand-in for a tensor that depends on the input."""
        return type(value) is Tensor and value.is_meta and id(value) not in self.statics

    def is_static(self, tensor: Tensor) -> bool:
        """Whether a tensor does not depend on the input."""
        static = id(tensor) in self.statics if tensor.is_meta else id(tensor) not in self.maps
        return static and not (self.written and _storage_key(tensor) in self.written)

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

    def root(self, tensor: Tensor) -> Root:
        """Return what is stored for a static tensor."""
        root = self.roots.get(id(tensor))
        if root is None:
            name, owned = self.named.get(id(tensor), (None, tensor))
            parameters = (owned,) if isinstance(owned, nn.Parameter) else ()
            if parameters and name is None and self.running:
                self.tallies[self.running[-1]].foreign.append(owned)
            root = self.roots[id(tensor)] = Root(name, tensor, parameters, name is not None or bool(parameters))
        return root

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
            name = f"{name} ({sum(other.startswith(f'{name} (') for other in used) + 2})"
        root.name = name
        used[name] = root
        return name

    def derive(self, operator: str, inputs: list[Tensor], options: Any, outputs: Iterable[Tensor]) -> None:
        """Note what was computed from static tensors alone.

        Views and plain copies share the root of their source; the same arithmetic done twice is one root.
        """
        parents = [self.root(tensor) for tensor in inputs]
        for position, output in enumerate(outputs):
            if any(output is tensor for tensor in inputs):
                continue
            pairs = zip(parents, inputs, strict=True)
            root = next((parent for parent, tensor in pairs if _is_view(tensor, output, operator)), None)
            if root is None:
                origin = (operator, position, *map(id, parents), repr(options)) if parents else (id(output),)
                root = self.origins.get(origin)
            if root is None:
                parameters = {id(p): p for parent in parents for p in parent.parameters}
                name = next((parent.name for parent in parents if parent.is_registered), None)
                root = self.origins[origin] = Root(name, output, tuple(parameters.values()), name is not None)
            # The output is kept, so that its id stays its own.
            self.roots[id(output)], self.statics[id(output)] = root, output

    def inherit(self, inputs: list[Tensor], outputs: Iterable[Tensor]) -> None:
        """Note what is computed from static tensors inside one function: it belongs to what it is made of."""
        roots = [self.root(tensor) for tensor in inputs]
        root = next((root for root in roots if root.is_registered), roots[0] if roots else None)
        for output in outputs:
            self.statics.setdefault(id(output), output)
            if root is not None:
                self.roots.setdefault(id(output), root)

    # --- Operations ---------------------------------------------------------------------------------------------------

    def book(
        self, name: str, kind: str, outputs: int, multiplications: int, additions: int, weight: str | None = None
    ) -> None:
        """Book one operation to the module that runs."""
        if self.kinds:
            kind = self.kinds.get(kind, kind)
        if multiplications or additions:
            self.operations.append(Operation(name, kind, outputs, multiplications, additions, weight))

    def book_macs(self, name: str, kind: str, outputs: int, macs: int, weight: str | None = None) -> None:
        """Book dot products: one addition less than multiplications for each output."""
        self.book(name, kind, outputs, macs, max(macs - outputs, 0), weight)

    def book_bias(self, outputs: int, bias: Tensor | None) -> None:
        """Book the addition of a bias to each output."""
        if bias is not None:
            self.book("add", "bias", outputs, 0, outputs, self.use(bias))


def _is_changed(module: Any) -> bool:
    """Whether a module does more than its class says, or runs inside a transformation such as vmap."""
    attributes = vars(module)
    return bool(
        attributes["_forward_hooks"]
        or attributes["_forward_pre_hooks"]
        or "forward" in attributes
        or _transform_level() is not None
    )


def _storage_key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _is_view(source: Tensor, output: Tensor, operator: str) -> bool:
    if operator in COPIES:
        return source.numel() == output.numel()
    if source.layout is not torch.strided or output.layout is not torch.strided:
        return False
    return source.numel() <= output.numel() and _storage_key(source) == _storage_key(output)
