"""The layers of a network that can be decomposed, and what they compute for one example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from factorkit.exchange import WeightLayer, weight_layers

__all__ = ["Sizes", "Survey", "compressible_layers", "evaluation", "survey"]

Sizes = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Survey:
    """What a network does with one example.

    Parameters
    ----------
    calls : dict of str to list of pairs of tuple of int
        For each layer, the sizes of input and output of each call: (height, width) of a convolution, the number of
        vectors of a linear layer.
    macs : int
        Multiply-accumulates of the network.
    """

    calls: dict[str, list[Sizes]]
    macs: int


def compressible_layers(model: nn.Module, skip: Sequence[str] = ()) -> dict[str, WeightLayer]:
    """The convolutions and linear layers of a model by their names; a layer that is used twice has the first one.

    Raises
    ------
    ValueError
        If a name in ``skip`` is none of them, the model is itself such a layer, or none is left.

    Examples
    --------
    >>> list(compressible_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)), skip=["0"]))
    ['2']
    """
    if type(model) in (nn.Conv2d, nn.Linear):
        raise ValueError(
            f"the model is itself one {type(model).__name__}, which cannot be exchanged inside it: give "
            "nn.Sequential(layer)."
        )
    if isinstance(skip, str):
        raise ValueError(f"skip={skip!r}: give the names in a list, [{skip!r}].")
    return weight_layers(model, skip, to="decompose")


def survey(model: nn.Module, layers: dict[str, WeightLayer], input_shape: Sequence[int]) -> Survey:
    """Run one example of zeros through a network in evaluation mode, and count.

    Raises
    ------
    ValueError
        If the network does not take an example of this shape.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
    >>> survey(model, compressible_layers(model), (3, 9, 9))
    Survey(calls={'0': [((9, 9), (4, 4))]}, macs=3456)
    """
    calls: dict[str, list[Sizes]] = {name: [] for name in layers}

    def recorder(name: str):
        def record(layer: WeightLayer, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if isinstance(layer, nn.Conv2d):
                calls[name].append((tuple(inputs[0].shape[-2:]), tuple(output.shape[-2:])))
            else:
                vectors = (output.numel() // layer.out_features,)
                calls[name].append((vectors, vectors))

        return record

    first = next(model.parameters())
    hooks = [layer.register_forward_hook(recorder(name)) for name, layer in layers.items()]
    try:
        example = torch.zeros(1, *input_shape, dtype=first.dtype, device=first.device)
        with evaluation(model), torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(example)
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} does not run on an example of shape {tuple(input_shape)} ({error}): give the "
            "shape of one input without the batch as input_shape."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return Survey(calls, counter.get_total_flops() // 2)


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then every module has its own mode again."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
