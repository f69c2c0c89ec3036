"""A network as plain data: the operators that it runs on an example, and the tensors that they read.

The description holds nothing but lists, dictionaries, texts, numbers and tensors, so that it can be made in one process
and believed in another one only as far as :mod:`factorkit.trusted` checks it.
"""

from __future__ import annotations

import operator
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

__all__ = ["REFERENCE", "describe", "described_output"]

REFERENCE = "result of"  # the key of a one-entry dictionary that stands for an earlier result
_SETTINGS = (torch.memory_format, torch.layout)
_CONTAINERS = (dict, OrderedDict, defaultdict, list, set)


class _Function(nn.Module):
    """A function as a network without parameters."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self._function(*inputs)


def describe(model: nn.Module | Callable[..., Any], *example: torch.Tensor) -> dict[str, Any]:
    """What a network or function runs on an example, in evaluation mode.

    Parameters
    ----------
    model : nn.Module or callable
        Left as it is found.
    *example : torch.Tensor

    Returns
    -------
    dict
        ``steps``: for each operator its name, the number of its result, its arguments; ``inputs``: the numbers that
        stand for the inputs; ``reads``: for the numbers that stand for a tensor its place in ``tensors``; ``output``.

    Raises
    ------
    ValueError
        If it cannot be exported.
    """
    network = model if isinstance(model, nn.Module) else _Function(model)
    name = type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", "the function")
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        with torch.no_grad():
            graph = _traced(network, example) or _exported(network, example)
            if not _takes_other_batches(graph, network, example):
                sizes: Any = tuple({0: torch.export.Dim.AUTO} if tensor.ndim else None for tensor in example)
                graph = _exported(network, example, {"inputs": sizes} if network is not model else sizes)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{name} cannot be rebuilt for grading: its forward must be the same operations for every "
            f"image, without decisions on pixel values. torch.export says: {reason[0]}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return _as_data(graph)


@dataclass(frozen=True)
class _Graph:
    """The operations of a network, and its own tensors by the names of the nodes that stand for them."""

    module: fx.GraphModule
    own: dict[str, torch.Tensor]


def _traced(network: nn.Module, example: Sequence[torch.Tensor]) -> _Graph | None:
    """What `torch.export` finds in an ordinary network, in half of its time; None if there is anything else to it."""
    try:
        return _trace(network, example)
    except Exception:
        return None


def _trace(network: nn.Module, example: Sequence[torch.Tensor]) -> _Graph | None:
    modules = list(network.modules())
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    real = {id(tensor) for part in modules for tensor in (*part._parameters.values(), *part._buffers.values())}
    count = sum(1 for _ in network.named_modules(remove_duplicate=False))
    if count != len(modules) or not all(id(tensor) in real for tensor in own.values()):
        return None  # a part under two names, which functional_call does not put back, or names that are not true

    def run(own: dict[str, torch.Tensor], *inputs: torch.Tensor) -> Any:
        return torch.func.functional_call(network, own, inputs)

    trace = make_fx(run, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=False)
    before = _kept(modules)
    try:
        with torch.backends.cudnn.flags(enabled=False):  # as torch.export does: batch normalization writes it down
            module = trace(own, *example)
    finally:
        is_changed = _put_back(before)  # it has kept what it saw, which now are no real tensors
    nodes = [node for node in module.graph.nodes if node.op not in ("placeholder", "output")]
    if is_changed or not all(node.op == "call_function" and _is_plain(node.target) for node in nodes):
        return None
    names = [node.name for node in module.graph.find_nodes(op="placeholder")]
    return _Graph(module, dict(zip(names, own.values(), strict=False)))


def _kept(modules: Sequence[nn.Module]) -> list[tuple[Any, Any]]:
    """What modules keep: their attributes, and what dictionaries, lists and sets among these hold."""
    places = [vars(module) for module in modules]
    places += [value for place in places for value in place.values() if type(value) in _CONTAINERS]
    return [(place, place.copy()) for place in places]


def _put_back(kept: Sequence[tuple[Any, Any]]) -> bool:
    """Put back what modules kept before; whether anything was different."""
    changed = [(place, before) for place, before in kept if not _holds_the_same(place, before)]
    for place, before in changed:
        place.clear()
        place.extend(before) if isinstance(place, list) else place.update(before)
    return bool(changed)


def _holds_the_same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return list(first) == list(second) and all(first[key] is second[key] for key in second)
    return len(first) == len(second) and {id(one) for one in first} == {id(one) for one in second}


def _is_plain(target: Any) -> bool:
    """Whether an operator changes nothing."""
    return target is operator.getitem or (isinstance(target, torch._ops.OpOverload) and not target._schema.is_mutable)


def _exported(network: nn.Module, example: Sequence[torch.Tensor], sizes: Any = None) -> _Graph:
    """What `torch.export` makes of a network."""
    exported = torch.export.export(network, tuple(example), dynamic_shapes=sizes, strict=False)
    signature = exported.graph_signature
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    sources |= signature.inputs_to_lifted_tensor_constants
    store = {**exported.constants, **exported.state_dict}
    return _Graph(exported.graph_module, {name: store[source] for name, source in sources.items()})


def _takes_other_batches(graph: _Graph, network: nn.Module, example: Sequence[torch.Tensor]) -> bool:
    """Whether the operations found with fixed sizes give the network's outputs on a batch of another size, too.

    They nearly always do, and an export with a free batch size takes three times as long.
    """
    if all(tensor.ndim and len(tensor) == 1 for tensor in example):
        return True  # torch.export always takes one for a fixed size
    if any(not tensor.ndim or len(tensor) < 2 for tensor in example):
        return False
    other = [tensor[:3] if len(tensor) > 3 else torch.cat([tensor, tensor, tensor[:1]]) for tensor in example]
    inputs = iter(other)
    names = [node.name for node in graph.module.graph.find_nodes(op="placeholder")]
    given = [graph.own[name] if name in graph.own else next(inputs) for name in names]
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in network.buffers()]
    tables = [(module._buffers, module._buffers.copy()) for module in network.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            found = tree_leaves(fx.Interpreter(graph.module).run(*given))
            expected = tree_leaves(network(*other))
        return len(found) == len(expected) and all(map(torch.equal, found, expected))
    except Exception:  # sizes that do not fit, or outputs that are no tensors: for the export with a free batch size
        return False
    finally:
        _put_back(tables)
        for buffer, version, before in buffers:
            if buffer._version != version:  # the network changes it, and is to be left as it was
                buffer.copy_(before)


def _as_data(graph: _Graph) -> dict[str, Any]:
    own, nodes = graph.own, graph.module.graph.nodes
    numbers = {node: number for number, node in enumerate(nodes)}
    places: dict[int, int] = {}
    data: dict[str, Any] = {"inputs": [], "reads": {}, "tensors": [], "steps": [], "output": None}
    for node in nodes:
        if node.op == "placeholder" and node.name in own:
            if node.users:
                tensor = own[node.name]
                if id(tensor) not in places:
                    places[id(tensor)] = len(data["tensors"])
                    data["tensors"].append(tensor.detach().clone())
                data["reads"][numbers[node]] = places[id(tensor)]
        elif node.op == "placeholder":
            data["inputs"].append(numbers[node])
        elif node.op == "call_function":
            args, keywords = _described((node.args, node.kwargs), numbers)
            data["steps"].append([_name_of(node.target), numbers[node], list(args), keywords])
        elif node.op == "output":
            leaves = tuple(tree_leaves(node.args[0]))
            data["output"] = _described(leaves[0] if len(leaves) == 1 else leaves, numbers)
        else:
            raise ValueError(f"the exported network contains {node.op} {node.target}: only torch operators are graded.")
    return data


def described_output(value: Any, result_of: Callable[[int], Any]) -> Any:
    """A described argument with results in place of the references to them."""
    if type(value) is dict and set(value) == {REFERENCE}:
        return result_of(value[REFERENCE])
    if type(value) in (list, tuple):
        return type(value)(described_output(item, result_of) for item in value)
    if type(value) is dict:
        return {key: described_output(item, result_of) for key, item in value.items()}
    if type(value) is str and value.startswith("torch."):
        setting = getattr(torch, value.removeprefix("torch."), None)
        return setting if isinstance(setting, _SETTINGS) else value
    return value


def _described(value: Any, numbers: dict[fx.Node, int]) -> Any:
    if isinstance(value, fx.Node):
        return {REFERENCE: numbers[value]}
    if isinstance(value, tuple):
        return tuple(_described(item, numbers) for item in value)
    if isinstance(value, list):
        return [_described(item, numbers) for item in value]
    if isinstance(value, dict):
        return {str(key): _described(item, numbers) for key, item in value.items()}
    if isinstance(value, slice):
        raise ValueError(f"the network slices with {value}: only torch's own (aten) operators are graded.")
    return str(value) if isinstance(value, _SETTINGS) else value


def _name_of(target: Any) -> str:
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', target)}"
