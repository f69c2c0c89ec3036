"""Rebuild a network from the operations that it really runs.

A model can define its own ``parameters()``, hide weights in buffers or count differently when it is watched.
:func:`trusted_copy` answers with a network that owns exactly the tensors that the exported operations read.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

__all__ = ["TrustedNetwork", "trusted_copy"]

# Arithmetic on sizes that an exported graph may contain beside tensor operators.
SIZE_ARITHMETIC = frozenset(
    {operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.neg}
)
# Running mean and variance: constants that batch normalization folds into its scale and bias.
BATCH_NORM_STATISTICS = (3, 4)


class TrustedNetwork(nn.Module):
    """A network rebuilt from an exported graph: runs these operations, owns these parameters, nothing else.

    Convolutions and linear layers are real ``nn.Conv2d`` and ``nn.Linear`` again; the rest runs as torch operators.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tensors = nn.ParameterDict()
        self.layers = nn.ModuleDict()
        self._steps: list[tuple[fx.Node, Callable[..., Any]]] = []
        self._inputs: list[fx.Node] = []
        self._constants: dict[fx.Node, str] = {}
        self._output: Any = None

    def forward(self, *inputs: torch.Tensor) -> Any:
        values: dict[fx.Node, Any] = dict(zip(self._inputs, inputs, strict=True))
        for node, name in self._constants.items():
            values[node] = self.tensors[name] if name in self.tensors else getattr(self, name)
        for node, function in self._steps:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = function(*args, **kwargs)
        return fx.node.map_arg(self._output, values.__getitem__)


def trusted_copy(model: nn.Module, *example: torch.Tensor) -> TrustedNetwork:
    """Rebuild a network from the operations that it runs on an example, in evaluation mode.

    ``torch.export`` records the operations; every tensor that they read becomes a parameter of the copy, whether the
    model called it a parameter, a buffer or a constant. Only the running statistics of batch normalization stay
    buffers. Tensors that nothing reads are left out; a tensor that is read twice is there once.

    Parameters
    ----------
    model : nn.Module
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
    modes = {module: module.training for module in model.modules()}
    dynamic = tuple({0: torch.export.Dim.AUTO} for _ in example)
    try:
        model.eval()
        with torch.no_grad():
            exported = torch.export.export(model, tuple(example), dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{type(model).__name__} cannot be rebuilt for grading: its forward must be the same operations for every "
            f"image, without decisions on pixel values. torch.export says: {reason[0]}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    return _rebuild(exported)


def _rebuild(exported: torch.export.ExportedProgram) -> TrustedNetwork:
    copy = TrustedNetwork().eval()
    signature = exported.graph_signature
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    sources |= signature.inputs_to_lifted_tensor_constants
    store: dict[str, torch.Tensor] = {**exported.constants, **exported.state_dict}
    by_identity: dict[int, str] = {}
    weights: dict[fx.Node, nn.Parameter] = {}
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in sources:
            if not node.users:
                continue
            tensor = store[sources[node.name]]
            name = by_identity.setdefault(id(tensor), f"tensor_{len(by_identity)}")
            copy._constants[node] = name
            if _only_statistics(node) and name not in copy.tensors:
                copy.register_buffer(name, tensor.detach().clone())
            elif name not in copy.tensors:
                if hasattr(copy, name):  # first read as a statistic, now as a weight: it counts
                    delattr(copy, name)
                copy.tensors[name] = nn.Parameter(tensor.detach().clone(), requires_grad=tensor.is_floating_point())
            if name in copy.tensors:
                weights[node] = copy.tensors[name]
        elif node.op == "placeholder":
            copy._inputs.append(node)
        elif node.op == "call_function":
            copy._steps.append((node, _check_operator(node.target)))
        elif node.op == "output":
            (copy._output,) = node.args[0] if len(node.args[0]) == 1 else (node.args[0],)
        else:
            raise ValueError(f"the exported network contains {node.op} {node.target}: only torch operators are graded.")
    _restore_layers(copy, weights)
    return copy


def _only_statistics(node: fx.Node) -> bool:
    return all(
        user.target is torch.ops.aten.batch_norm.default
        and node not in [arg for i, arg in enumerate(user.args) if i not in BATCH_NORM_STATISTICS]
        for user in node.users
    )


def _check_operator(target: Any) -> Callable[..., Any]:
    if target in SIZE_ARITHMETIC:
        return target
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        return target
    raise ValueError(f"the network runs {target}: only torch's own (aten) operators are graded.")


def _restore_layers(copy: TrustedNetwork, weights: dict[fx.Node, nn.Parameter]) -> None:
    """Turn convolutions and linear maps with constant weights into real layers, one for each weight and setting."""
    layers: dict[tuple[Any, ...], nn.Module] = {}
    counts: dict[str, int] = defaultdict(int)
    steps = []
    for node, function in copy._steps:
        build = LAYER_BUILDERS.get(function)
        arguments = _arguments(node) if build else {}
        weight, bias = weights.get(arguments.get("weight")), arguments.get("bias")
        if build and weight is not None and (bias is None or bias in weights):
            settings = tuple((k, str(v)) for k, v in arguments.items() if k != "input")
            if settings not in layers:
                layer = build(weight, arguments)
                layer.weight = weight
                layer.bias = None if bias is None else weights[bias]
                kind = type(layer).__name__.lower()
                copy.layers[f"{kind}_{counts[kind]}"] = layers[settings] = layer
                counts[kind] += 1
            steps.append((node, _as_operator(layers[settings])))
        else:
            steps.append((node, function))
    copy._steps = steps


def _arguments(node: fx.Node) -> dict[str, Any]:
    schema = node.target._schema.arguments
    values = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    values |= {argument.name: value for argument, value in zip(schema, node.args, strict=False)}
    return values | dict(node.kwargs)


def _as_operator(layer: nn.Module) -> Callable[..., torch.Tensor]:
    return lambda images, *_, **__: layer(images)


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


LAYER_BUILDERS: dict[Any, Callable[[nn.Parameter, dict[str, Any]], nn.Module]] = {
    torch.ops.aten.conv2d.default: _build_conv2d,
    torch.ops.aten.conv2d.padding: _build_conv2d,
    torch.ops.aten.linear.default: _build_linear,
}
