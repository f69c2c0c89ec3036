"""A network as plain data: the operators that it runs on an example, and the tensors that they read.

The description holds nothing but lists, dictionaries, texts, numbers and tensors, so that it can be made in one process
and believed in another one only as far as :mod:`factorkit.trusted` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

__all__ = ["REFERENCE", "describe", "described_output"]

REFERENCE = "result of"  # the key of a one-entry dictionary that stands for an earlier result
_SETTINGS = (torch.memory_format, torch.layout)


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
            exported = torch.export.export(network, tuple(example), strict=False)
            if not _takes_other_batches(exported, network, example):
                sizes: Any = tuple({0: torch.export.Dim.AUTO} if tensor.ndim else None for tensor in example)
                sizes = {"inputs": sizes} if network is not model else sizes
                exported = torch.export.export(network, tuple(example), dynamic_shapes=sizes, strict=False)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{name} cannot be rebuilt for grading: its forward must be the same operations for every "
            f"image, without decisions on pixel values. torch.export says: {reason[0]}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return _as_data(exported)


def _takes_other_batches(
    exported: torch.export.ExportedProgram, network: nn.Module, example: Sequence[torch.Tensor]
) -> bool:
    """Whether the operations of an export with fixed sizes give the network's outputs on a batch of another size, too.

    They nearly always do, and an export with a free batch size takes three times as long.
    """
    if all(tensor.ndim and len(tensor) == 1 for tensor in example):
        return True  # torch.export always takes one for a fixed size
    if any(not tensor.ndim or len(tensor) < 2 for tensor in example):
        return False
    other = [tensor[:3] if len(tensor) > 3 else torch.cat([tensor, tensor, tensor[:1]]) for tensor in example]
    own, inputs = _own_tensors(exported), iter(other)
    names = [node.name for node in exported.graph.find_nodes(op="placeholder")]
    given = [own[name] if name in own else next(inputs) for name in names]
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in network.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            found = tree_leaves(fx.Interpreter(exported.graph_module).run(*given))
            expected = tree_leaves(network(*other))
        return len(found) == len(expected) and all(map(torch.equal, found, expected))
    except Exception:  # sizes that do not fit, or outputs that are no tensors: for the export with a free batch size
        return False
    finally:
        for buffer, version, before in buffers:
            if buffer._version != version:  # the network changes it, and is to be left as it was
                buffer.copy_(before)


def _own_tensors(exported: torch.export.ExportedProgram) -> dict[str, torch.Tensor]:
    """The tensors that the network has itself, by the names of the nodes that stand for them."""
    signature = exported.graph_signature
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    sources |= signature.inputs_to_lifted_tensor_constants
    store = {**exported.constants, **exported.state_dict}
    return {name: store[source] for name, source in sources.items()}


def _as_data(exported: torch.export.ExportedProgram) -> dict[str, Any]:
    own = _own_tensors(exported)
    numbers = {node: number for number, node in enumerate(exported.graph.nodes)}
    places: dict[int, int] = {}
    data: dict[str, Any] = {"inputs": [], "reads": {}, "tensors": [], "steps": [], "output": None}
    for node in exported.graph.nodes:
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
            (output,) = node.args[0] if len(node.args[0]) == 1 else (node.args[0],)
            data["output"] = _described(output, numbers)
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
