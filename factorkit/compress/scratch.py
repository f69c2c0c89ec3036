"""Networks that are low-rank from the start: built from an architecture, and trained as they are."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from factorkit.arguments import one_of
from factorkit.compress.methods import METHODS
from factorkit.compress.network import compress
from factorkit.compress.policies import parse_policy
from factorkit.compress.report import CompressionReport
from factorkit.exchange import exchange_layers

__all__ = ["build_low_rank"]

Rank = int | tuple[int, ...]


def build_low_rank(
    model: nn.Module,
    method: str = "tai",
    ranks: str | Mapping[str, Rank] = "macs:0.5",
    *,
    skip: Sequence[str] = (),
    input_shape: Sequence[int] = (3, 32, 32),
    batch_norm: bool = True,
) -> CompressionReport:
    """Give the layers of an architecture low rank and fresh weights, in place, for training from scratch.

    A decomposition of a trained network starts from good weights and a rank that they allow. The same chains of layers
    can also be trained from nothing :cite:p:`tai2016convolutional`. The network is then deeper than the one that it
    comes from, so a batch normalization stands between the factors of each convolution, without which such networks
    are hard to train. At inference :func:`factorkit.inference.fold_batch_norm` takes it away.

    Parameters
    ----------
    model : nn.Module
        The architecture. Its layers are exchanged inside it; those that stay keep their weights. Fresh weights come
        from the global generator of torch: seed it before building the architecture, as always.
    method : {"tai", "svd", "tucker2", "cp", "tensor_train"}, optional
        Form of the layers, as in :func:`compress`.
    ranks : str or mapping of str to int or tuple of int, optional
        ``"macs:0.5"`` or ``"latency:2x"`` as in :func:`compress`, where fresh weights, which prefer no direction, give
        all layers about the same part of their full ranks; or the ranks themselves, for example those that another
        network was compressed to: ``report.ranks_by_layer``.
    skip, input_shape : optional
        As in :func:`compress`.
    batch_norm : bool, optional
        Whether to normalize between the factors of convolutions.

    Returns
    -------
    CompressionReport
        As from :func:`compress`. The relative errors are NaN: fresh weights approximate nothing.

    Raises
    ------
    ValueError
        As :func:`compress`, or if the policy reads ranks from weights, which are not trained here.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 16, 3, bias=False), nn.ReLU(), nn.Conv2d(16, 32, 3, bias=False))
    >>> report = build_low_rank(model, "tai", {"2": 8})
    >>> [f"{name} {tuple(layer.weight.shape)}" for name, layer in model[2].named_children()]
    ['vertical (8, 16, 3, 1)', 'vertical_norm (8,)', 'horizontal (32, 8, 1, 3)']
    """
    one_of("method", method, tuple(METHODS))
    if not isinstance(ranks, Mapping) and parse_policy(ranks).name in ("vbmf", "energy"):
        raise ValueError(
            f"ranks={ranks!r} reads the ranks from trained weights, and these are fresh: choose 'macs:0.5', "
            "'latency:2x' or a mapping from layers to ranks."
        )
    report = compress(model, method, ranks, skip=skip, input_shape=input_shape)
    chains = [model.get_submodule(row.name) for row in report.decomposed]
    for chain in chains:
        _start_afresh(chain)
    if batch_norm:
        exchange_layers(model, {chain: _normalized(chain) for chain in chains})
    layers = tuple(row if row.refused else replace(row, relative_error=math.nan) for row in report.layers)
    return replace(report, layers=layers, params_after=sum(parameter.numel() for parameter in model.parameters()))


def _start_afresh(chain: nn.Sequential) -> None:
    """Weights that keep the variance from factor to factor, with the bias that torch gives the last."""
    for layer in chain:
        layer.reset_parameters()
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")


def _normalized(chain: nn.Sequential) -> nn.Sequential:
    """The chain with a normalization after each convolution but the last."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in chain.named_children():
        parts[name] = layer
        if isinstance(layer, nn.Conv2d) and layer is not chain[-1]:
            parts[f"{name}_norm"] = nn.BatchNorm2d(
                layer.out_channels, device=layer.weight.device, dtype=layer.weight.dtype
            )
    return nn.Sequential(parts).train(chain.training)
