"""Rebuild a network from the operations that it really runs.

A model can define its own ``parameters()``, hide weights in buffers or count differently when it is watched.
:func:`trusted_copy` answers with a network that owns exactly the tensors that the exported operations read.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from factorkit.exported import REFERENCE, describe, described_output
from factorkit.operators import is_graded
from factorkit.other_side import connected

__all__ = ["TrustedNetwork", "rebuild", "trusted_copy"]

# Arithmetic on sizes that an exported graph may contain beside tensor operators.
_ARITHMETIC = ("getitem", "add", "sub", "mul", "floordiv", "mod", "neg")
SIZE_ARITHMETIC = {f"_operator.{name}": getattr(operator, name) for name in _ARITHMETIC}
# Running mean and variance: constants that batch normalization folds into its scale and bias.
BATCH_NORM = "aten.batch_norm.default"
BATCH_NORM_STATISTICS = (3, 4)
MOST_STEPS = 20_000


class TrustedNetwork(nn.Module):
    """A network rebuilt from a description: runs these operations, owns these parameters, nothing else.

    Convolutions and linear layers are real ``nn.Conv2d`` and ``nn.Linear`` again; the rest runs as torch operators.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tensors = nn.ParameterDict()
        self.layers = nn.ModuleDict()
        self._steps: list[tuple[Callable[..., Any], int, list[Any], dict[str, Any]]] = []
        self._inputs: list[int] = []
        self._constants: dict[int, str] = {}
        self._output: Any = None

    def forward(self, *inputs: torch.Tensor) -> Any:
        values: dict[int, Any] = dict(zip(self._inputs, inputs, strict=True))
        for number, name in self._constants.items():
            values[number] = self.tensors[name] if name in self.tensors else getattr(self, name)
        for function, number, args, keywords in self._steps:
            args = described_output(args, values.__getitem__)
            values[number] = function(*args, **described_output(keywords, values.__getitem__))
        return described_output(self._output, values.__getitem__)


def trusted_copy(model: nn.Module | Callable[..., Any], *example: torch.Tensor) -> TrustedNetwork:
    """Rebuild a network or function from the operations that it runs on an example, in evaluation mode.

    The operations are those that ``torch.export`` finds; every tensor that they read becomes a parameter of the copy,
    whether the model called it a parameter, a buffer or a constant. Only the running statistics of batch normalization
    stay buffers. Tensors that nothing reads are left out; a tensor that is read twice is there once.

    A grader that runs the student's code in another process has it described there and rebuilds it here.

    Parameters
    ----------
    model : nn.Module or callable
        Left as it is found.
    *example : torch.Tensor
        Inputs N x ..., with at least two examples in the batch; the copy takes any batch size if the model does.

    Returns
    -------
    TrustedNetwork
        Gives the same outputs as ``model.eval()``.

    Raises
    ------
    ValueError
        If the model cannot be exported, for example because its ``forward`` decides on values of the input, or if
        it runs operators that are not torch's own.

    Examples
    --------
    >>> from factorkit.models import small_convnet
    >>> copy = trusted_copy(small_convnet(), torch.zeros(2, 3, 32, 32))
    >>> sum(p.numel() for p in copy.parameters())
    72954
    """
    other_side = connected()
    description = None if other_side is None else other_side.describe(model, *example)
    return rebuild(describe(model, *example) if description is None else description)


def rebuild(description: dict[str, Any]) -> TrustedNetwork:
    """The network that a description of `factorkit.exported.describe` stands for.

    Raises
    ------
    ValueError
        If it is not well formed, or contains an operator that is not graded.
    """
    copy = TrustedNetwork().eval()
    try:
        steps, reads, tensors = (description[key] for key in ("steps", "reads", "tensors"))
        if len(steps) > MOST_STEPS or not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
            raise ValueError(f"a network of {len(steps)} operations is too large to be graded.")
        copy._inputs = list(description["inputs"])
        copy._output = description["output"]
        copy._steps = [(_operator(name), number, list(args), dict(keywords)) for name, number, args, keywords in steps]
        names = [name for name, *_ in steps]
        statistics = _statistics(steps, copy._output)
        for place, tensor in enumerate(tensors):
            numbers = [number for number, read in reads.items() if read == place]
            if numbers and all(number in statistics for number in numbers):
                copy.register_buffer(f"tensor_{place}", tensor.detach().clone())
            elif numbers:
                weight = nn.Parameter(tensor.detach().clone(), requires_grad=tensor.is_floating_point())
                copy.tensors[f"tensor_{place}"] = weight
            copy._constants |= dict.fromkeys(numbers, f"tensor_{place}")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this describes no network: {type(error).__name__} {error}") from None
    _restore_layers(copy, names)
    return copy


def _operator(name: str) -> Callable[..., Any]:
    if name in SIZE_ARITHMETIC:
        return SIZE_ARITHMETIC[name]
    if is_graded(name):
        _, packet, overload = name.split(".")
        return getattr(getattr(torch.ops.aten, packet), overload)
    raise ValueError(f"the network runs {name}: only torch's own (aten) operators are graded.")


def _references(value: Any) -> Iterator[int]:
    if type(value) is dict and set(value) == {REFERENCE}:
        yield value[REFERENCE]
    elif type(value) in (list, tuple, dict):
        for item in value.values() if type(value) is dict else value:
            yield from _references(item)


def _statistics(steps: list[Any], output: Any) -> set[int]:
    """The numbers that are read as running mean or variance of batch normalization and as nothing else."""
    found, other = set(), set(_references(output))
    for name, _, args, keywords in steps:
        places = BATCH_NORM_STATISTICS if name == BATCH_NORM else ()
        found |= {number for place in places for number in _references(args[place])}
        other |= {number for place, arg in enumerate(args) if place not in places for number in _references(arg)}
        other |= set(_references(keywords))
    return found - other


def _restore_layers(copy: TrustedNetwork, names: list[str]) -> None:
    """Turn convolutions and linear maps with constant weights into real layers, one for each weight and setting."""
    layers: dict[tuple[Any, ...], nn.Module] = {}
    counts: dict[str, int] = defaultdict(int)
    steps = []
    for name, (function, number, args, keywords) in zip(names, copy._steps, strict=True):
        build = LAYER_BUILDERS.get(name)
        arguments = _arguments(function, args, keywords) if build else {}
        weight, bias = (_parameter(copy, arguments.get(role)) for role in ("weight", "bias"))
        if build and weight is not None and (bias is not None or arguments["bias"] is None):
            settings = tuple(
                (key, str(value)) for key, value in arguments.items() if key not in ("weight", "bias", "input")
            )
            settings += (id(weight), id(bias))
            if settings not in layers:
                layer = build(weight, arguments)
                layer.weight, layer.bias = weight, bias
                kind = type(layer).__name__.lower()
                copy.layers[f"{kind}_{counts[kind]}"] = layers[settings] = layer
                counts[kind] += 1
            steps.append((layers[settings], number, [arguments["input"]], {}))
        else:
            steps.append((function, number, args, keywords))
    copy._steps = steps


def _parameter(copy: TrustedNetwork, argument: Any) -> nn.Parameter | None:
    number = next(_references(argument), None)
    name = copy._constants.get(number)
    return copy.tensors[name] if name in copy.tensors else None  # noqa: SIM401 - a ParameterDict's get is no dict's


def _arguments(function: Any, args: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    schema = function._schema.arguments
    values = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    values |= {argument.name: value for argument, value in zip(schema, args, strict=False)}
    return values | keywords


def _build_conv2d(weight: nn.Parameter, arguments: dict[str, Any]) -> nn.Conv2d:
    out_channels, group_channels, *kernel_size = weight.shape
    groups = arguments["groups"]
    padding = arguments["padding"]
    return nn.Conv2d(
        group_channels * groups,
        out_channels,
        tuple(kernel_size),
        stride=tuple(arguments["stride"]),
        padding=padding if isinstance(padding, str) else tuple(padding),
        dilation=tuple(arguments["dilation"]),
        groups=groups,
        bias=False,
        device="meta",
    )


def _build_linear(weight: nn.Parameter, arguments: dict[str, Any]) -> nn.Linear:
    return nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")


LAYER_BUILDERS: dict[str, Callable[[nn.Parameter, dict[str, Any]], nn.Module]] = {
    "aten.conv2d.default": _build_conv2d,
    "aten.conv2d.padding": _build_conv2d,
    "aten.linear.default": _build_linear,
}
