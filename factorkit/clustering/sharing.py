"""Weight sharing after Deep Compression: each layer of a network stores a few values and an index for each weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from factorkit.arguments import one_of
from factorkit.clustering.cells import settle
from factorkit.clustering.reports import SharedLayer, SharingReport
from factorkit.clustering.scalar import Codebook1D, codebook_from, gathered, kmeans_1d
from factorkit.exchange import WeightLayer, exchange_layers, weight_layers
from factorkit.layers.shared_weight import SharedWeightConv2d, SharedWeightLinear

__all__ = ["share_weights", "shareable_layers", "start_linear", "unshared"]

SHARED = {nn.Conv2d: SharedWeightConv2d, nn.Linear: SharedWeightLinear}
INITS = ("optimal", "linear", "density")
MOST_BITS = 8


def shareable_layers(model: nn.Module, skip: Sequence[str] = ()) -> dict[str, WeightLayer]:
    """The layers of a model whose weights can be shared, see :func:`factorkit.exchange.weight_layers`."""
    return weight_layers(model, skip, to="share weights in")


def share_weights(
    model: nn.Module,
    bits: int | Mapping[str, int],
    *,
    scope: str = "layer",
    init: str = "optimal",
    skip: Sequence[str] = (),
) -> SharingReport:
    r"""Let the weights of each layer share :math:`2^b` values, in place :cite:p:`han2016deep`.

    Every ``nn.Conv2d`` and ``nn.Linear`` becomes a :class:`~factorkit.layers.SharedWeightConv2d` or
    :class:`~factorkit.layers.SharedWeightLinear`, whose values are parameters: training the network goes on with them
    (*fine-tuning the centroids*). Biases and normalization stay as they are, and so do subclasses of the two.

    Parameters
    ----------
    model : nn.Module
        Its layers are exchanged inside it.
    bits : int or mapping of str to int
        Width b of an index, 1 to 8: of all layers, or of each that is named, while the others keep their weights.
        :func:`~factorkit.clustering.choose_bits` makes such a mapping.
    scope : {"layer", "network"}, optional
        Whether each layer has its own values, or all share one table.
    init : {"optimal", "linear", "density"}, optional
        ``"optimal"`` finds the values of least error, :func:`~factorkit.clustering.kmeans_1d`. The other two are starts
        of Lloyd's algorithm from the paper: evenly spaced between the smallest and the largest weight, or with equally
        many weights between them.
    skip : sequence of str, optional
        Names of layers that keep their weights.

    Returns
    -------
    SharingReport
        Shape, bits, values, error and storage of each layer.

    Raises
    ------
    ValueError
        If a name is no convolution or linear layer, a width is not from 1 to 8, widths differ in scope ``"network"``,
        the model is itself such a layer, or a weight is not finite or is computed at each call.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3))
    >>> report = share_weights(model, 4)
    >>> [(type(layer).__name__, layer.weight.unique().numel()) for layer in (model[0], model[2])]
    [('SharedWeightConv2d', 16), ('SharedWeightConv2d', 16)]
    >>> round(report.compression_factor, 2), report.relative_error < 0.08
    (7.32, True)
    """
    one_of("scope", scope, ("layer", "network"))
    one_of("init", init, INITS)
    layers = shareable_layers(model, skip)
    widths = _widths(bits, layers, scope)
    layers = {name: layers[name] for name in widths}
    for name, layer in layers.items():
        _check_layer(name, layer)
    weights = {name: layer.weight for name, layer in layers.items()}
    if scope == "network":
        whole = torch.cat([weight.detach().flatten() for weight in dict.fromkeys(weights.values())])
        codebook = _codebook(whole, next(iter(widths.values())), init)
        tables = dict.fromkeys(weights, codebook)
        parameters = dict.fromkeys(weights, nn.Parameter(codebook.centroids.to(whole.device)))
    else:
        found: dict[nn.Parameter, tuple[Codebook1D, nn.Parameter]] = {}  # tied weights keep one table
        for name, weight in weights.items():
            if weight not in found:
                codebook = _codebook(weight, widths[name], init)
                found[weight] = (codebook, nn.Parameter(codebook.centroids.to(weight.device)))
        tables = {name: found[weight][0] for name, weight in weights.items()}
        parameters = {name: found[weight][1] for name, weight in weights.items()}
    exchanged, rows = {}, []
    for name, layer in layers.items():
        index = tables[name].assign(weights[name].cpu()).to(weights[name].device)
        exchanged[layer] = SHARED[type(layer)](layer, parameters[name], index)
        rows.append(_row(name, weights[name].detach(), parameters[name].detach()[index], widths[name], scope))
    exchange_layers(model, exchanged)
    return SharingReport(tuple(rows), scope, len(codebook.centroids) * 32 if scope == "network" else 0)


def _widths(bits: int | Mapping[str, int], layers: Mapping[str, nn.Module], scope: str) -> dict[str, int]:
    widths = dict(bits) if isinstance(bits, Mapping) else dict.fromkeys(layers, bits)
    unknown = [name for name in widths if name not in layers]
    if unknown or not widths:
        raise ValueError(
            f"bits names {', '.join(map(repr, unknown)) or 'no layer'}: the layers that can share weights here are "
            f"{', '.join(map(repr, layers))}."
        )
    for name, width in widths.items():
        if type(width) is not int or not 1 <= width <= MOST_BITS:
            raise ValueError(f"bits={width!r} for layer {name!r}: give a whole number from 1 to {MOST_BITS}.")
    if scope == "network" and len(set(widths.values())) > 1:
        raise ValueError(f"bits={widths}: one table for the network has one width; use scope='layer' for several.")
    return widths


def _check_layer(name: str, layer: nn.Module) -> None:
    if not name:
        raise ValueError(
            f"the model is itself one {type(layer).__name__}, which cannot be exchanged inside it: give "
            "nn.Sequential(layer)."
        )
    if not isinstance(layer.weight, nn.Parameter):
        raise ValueError(
            f"{name}.weight is computed at each call: make it a parameter first, with torch.nn.utils.prune.remove or "
            "torch.nn.utils.parametrize.remove_parametrizations."
        )
    if not bool(torch.isfinite(layer.weight).all()):
        raise ValueError(f"{name}.weight holds a value that is not finite: no shared value is near to it.")


def _codebook(weight: torch.Tensor, bits: int, init: str) -> Codebook1D:
    if init == "optimal":
        return kmeans_1d(weight, 2**bits)
    cells, dtype = gathered(weight, 2**bits)
    start = start_linear if init == "linear" else _start_density
    return codebook_from(cells, settle(cells, start(weight.detach().cpu(), 2**bits)), dtype)


def start_linear(values: torch.Tensor, k: int) -> np.ndarray:
    """k numbers at equal distances from the smallest value to the largest."""
    low, high = values.aminmax()
    return np.linspace(float(low), float(high), k)


def _start_density(values: torch.Tensor, k: int) -> np.ndarray:
    return np.quantile(values.double().flatten().numpy(), (np.arange(k) + 0.5) / k)


def _row(name: str, weight: torch.Tensor, shared: torch.Tensor, bits: int, scope: str) -> SharedLayer:
    size = float(weight.double().norm())
    lost = float((shared.double() - weight.double()).norm())
    values = len(shared.unique())
    used = max((values - 1).bit_length(), 1) if scope == "layer" else bits  # fewer if the layer has fewer values
    return SharedLayer(
        name=name,
        shape=tuple(weight.shape),
        bits=bits,
        values=values,
        relative_error=lost / size if size else 0.0,
        stored_bits=weight.numel() * used + (32 * values if scope == "layer" else 0),
    )


def unshared(model: nn.Module) -> nn.Module:
    """Give every weight of a network with shared weights a number of its own again, in place.

    What :func:`share_weights` did is undone but for the rounding: the network computes what it computed.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    nn.Module
        The model.

    Raises
    ------
    ValueError
        If no layer of it has shared weights.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 8))
    >>> _ = share_weights(model, 1)
    >>> unshared(model)[0], len(model[0].weight.unique())
    (Linear(in_features=8, out_features=8, bias=True), 2)
    """
    kinds = tuple(SHARED.values())
    dense = {module: module.to_dense() for name, module in model.named_modules() if name and isinstance(module, kinds)}
    if not dense:
        raise ValueError(f"no layer inside {type(model).__name__} has shared weights: use share_weights first.")
    exchange_layers(model, dense)
    return model
