"""Make a trained network faster without changing what it computes.

Every function returns a copy, so that the network itself can be trained on.
"""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from factorkit.frozen import FrozenConv2d, freeze_convolutions
from factorkit.latency import GIVEN, ORIGINAL, OptimizedModel, Timing, count_macs, measure_latency

__all__ = ["fold_batch_norm", "inference_forms", "merge_depthwise", "optimize_for_inference", "to_channels_last"]

FROZEN = ", frozen"


def fold_batch_norm(model: nn.Module) -> nn.Module:
    r"""Multiply each batch normalization into the convolution before it.

    With its statistics fixed, batch normalization scales and shifts every map, which a convolution can do itself:

    .. math::
        W'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} W_o, \qquad
        b'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} (b_o - \mu_o) + \beta_o

    for output map o. A normalization is folded if it directly follows an ``nn.Conv2d`` whose output nothing else reads,
    and if the network runs both of them once; others stay.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Its ``forward`` must not decide on values or shapes of its input.

    Returns
    -------
    nn.Module
        A copy in evaluation mode with ``nn.Identity`` in place of each folded normalization. It gives the outputs of
        ``model.eval()`` up to rounding.

    Raises
    ------
    ValueError
        If the network cannot be traced to find which normalization follows which convolution.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    >>> fold_batch_norm(network)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    network = nn.Sequential(copy.deepcopy(model).eval())  # so that a model that is one layer has a name too
    try:
        graph = _LayerTracer().trace(network)
    except Exception as error:
        raise ValueError(
            f"cannot follow the forward of {type(model).__name__} ({error}): batch normalization is folded only into "
            "networks that run the same layers whatever the input is."
        ) from error
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        convolution, norm = network.get_submodule(before.target), network.get_submodule(node.target)
        once = calls[before.target] == calls[node.target] == 1
        if once and type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats:
            network.set_submodule(before.target, fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(node.target, nn.Identity())
    return network[0]


class _LayerTracer(fx.Tracer):
    """Records which layer reads which layer's output; a module with tensors of its own is one layer."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        tensors: list[Any] = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        return bool(tensors) or super().is_leaf_module(module, name)


def to_channels_last(model: nn.Module) -> nn.Module:
    """Store the weights of convolutions so that the channels of one pixel lie beside each other.

    Most processors convolve faster in this memory format, small and factorized layers above all. A convolution passes
    the format on to the layers after it; images are converted by the first one.

    Parameters
    ----------
    model : nn.Module
        Left as it is.

    Returns
    -------
    nn.Module
        A copy with the same outputs up to rounding.

    Examples
    --------
    >>> layer = to_channels_last(nn.Conv2d(4, 8, 3))
    >>> layer(torch.zeros(1, 4, 6, 6)).is_contiguous(memory_format=torch.channels_last)
    True
    """
    return copy.deepcopy(model).to(memory_format=torch.channels_last)


def merge_depthwise(model: nn.Module) -> nn.Module:
    r"""Make one depthwise convolution of a vertical and a horizontal one that follow each other.

    .. math:: W_{r,y,x} = v_{r,y} \, h_{r,x}

    A CP decomposition ends up with such pairs. One k_h x k_w kernel takes more operations than both, but the maps are
    read and written once, which is mostly faster.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Pairs are merged where they are neighbors in an ``nn.Sequential``.

    Returns
    -------
    nn.Module
        A copy with ``nn.Identity`` in place of each second layer and the same outputs up to rounding.

    Examples
    --------
    >>> vertical = nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=8, bias=False)
    >>> horizontal = nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=8, bias=False)
    >>> merge_depthwise(nn.Sequential(vertical, horizontal))
    Sequential(
      (0): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=8, bias=False)
      (1): Identity()
    )
    """
    network = copy.deepcopy(model)
    for chain in network.modules():
        if type(chain) is nn.Sequential:
            for (name, first), (after, second) in pairwise(list(chain.named_children())):
                if chain.get_submodule(name) is first and _separable_pair(first, second):
                    chain.set_submodule(name, _merged(first, second))
                    chain.set_submodule(after, nn.Identity())
    return network


def _separable_pair(first: nn.Module, second: nn.Module) -> bool:
    """Whether both are depthwise, the first along one axis and without bias, the second along the other."""
    pair = (first, second)
    if not all(type(layer) is nn.Conv2d and layer.groups == layer.in_channels == layer.out_channels for layer in pair):
        return False
    plain = first.bias is None and all(
        layer.padding_mode == "zeros" and not isinstance(layer.padding, str) for layer in pair
    )
    return plain and any(_idle(first, 1 - axis) and _idle(second, axis) for axis in (0, 1))


def _idle(layer: nn.Conv2d, axis: int) -> bool:
    return (layer.kernel_size[axis], layer.stride[axis], layer.padding[axis]) == (1, 1, 0)


def _merged(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    vertical, horizontal = (first, second) if _idle(first, 1) and _idle(second, 0) else (second, first)
    merged = nn.utils.skip_init(
        nn.Conv2d,
        first.in_channels,
        first.out_channels,
        (vertical.kernel_size[0], horizontal.kernel_size[1]),
        stride=(vertical.stride[0], horizontal.stride[1]),
        padding=(vertical.padding[0], horizontal.padding[1]),
        dilation=(vertical.dilation[0], horizontal.dilation[1]),
        groups=first.groups,
        bias=False,
    )
    merged.weight = nn.Parameter(vertical.weight.detach() * horizontal.weight.detach())
    merged.bias = second.bias
    return merged.train(first.training)


def optimize_for_inference(
    model: nn.Module, example: torch.Tensor, *, original: nn.Module | None = None, rounds: int = 15
) -> OptimizedModel:
    """Find the fastest form of a network by measuring: folded, merged, channels last, frozen.

    Which form is fastest depends on the network, the batch and the processor, so all are timed in turn on the example:
    as given, with :func:`fold_batch_norm`, with :func:`merge_depthwise` too, each of these with
    :func:`to_channels_last`, and the last two with :func:`~factorkit.frozen.freeze_convolutions`. Forms that would
    change nothing are left out, and so is folding where the forward cannot be followed.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    example : Tensor, shape (N, C, H, W)
        A batch of the size that is to be fast, on the device of the model.
    original : nn.Module, optional
        The network that ``model`` is a compression of. It gets the same choice of forms, and its fastest is what the
        result is compared with.
    rounds : int, optional
        Of :func:`~factorkit.latency.measure_latency`.

    Returns
    -------
    OptimizedModel
        ``.model`` is the copy to use, in evaluation mode and without gradients; its repr shows the latency of every
        form beside its number of operations.

    Raises
    ------
    ValueError
        If ``rounds`` is not positive.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    >>> found = optimize_for_inference(network, torch.zeros(4, 3, 16, 16), rounds=3)
    >>> [timing.form for timing in found.timings][:4]
    ['as given', 'channels last', 'folded', 'folded, channels last']
    """
    networks = {GIVEN: model} if original is None else {ORIGINAL: original, GIVEN: model}
    forms = {
        (name, form): made for name, network in networks.items() for form, made in inference_forms(network).items()
    }
    macs = {  # no counter follows frozen convolutions
        (name, form): count_macs(forms[name, form.removesuffix(FROZEN)], example) for name, form in forms
    }
    times = measure_latency(forms, example, rounds=rounds)
    timings = {key: Timing(*key, milliseconds=1000 * seconds, macs=macs[key]) for key, seconds in times.items()}
    fastest = {
        name: min((key for key in timings if key[0] == name), key=lambda key: timings[key].milliseconds)
        for name in networks
    }
    return OptimizedModel(
        model=forms[fastest[GIVEN]],
        chosen=timings[fastest[GIVEN]],
        reference=timings[(GIVEN, "as given") if original is None else fastest[ORIGINAL]],
        timings=tuple(timings.values()),
        batch=len(example),
    )


def inference_forms(model: nn.Module) -> dict[str, nn.Module]:
    """The copies of a network that :func:`optimize_for_inference` chooses from, by what was done to them.

    Parameters
    ----------
    model : nn.Module
        Left as it is.

    Returns
    -------
    dict of str to nn.Module
        In evaluation mode and without gradients. All compute the same up to rounding.

    Examples
    --------
    >>> list(inference_forms(nn.Linear(2, 2)))
    ['as given', 'channels last']
    """
    made = {"as given": copy.deepcopy(model).eval()}
    try:
        folded = fold_batch_norm(model)
    except ValueError:
        folded = made["as given"]  # its forward cannot be followed
    if _count(folded, nn.Identity) > _count(model, nn.Identity):
        made["folded"] = folded
    last, base = list(made.items())[-1]
    merged = merge_depthwise(base)
    if _count(merged, nn.Identity) > _count(base, nn.Identity):
        made["merged" if last == "as given" else f"{last}, merged"] = merged
    forms = {}
    for form, network in made.items():
        forms[form] = network.requires_grad_(False)
        forms["channels last" if form == "as given" else f"{form}, channels last"] = to_channels_last(network)
    for form, network in list(forms.items())[-2:]:
        frozen = freeze_convolutions(network)
        if _count(frozen, FrozenConv2d):
            forms[form + FROZEN] = frozen
    return forms


def _count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())
