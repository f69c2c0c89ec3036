"""How many bits each layer should have, when all together may have so many."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from factorkit.clustering.scalar import kmeans_1d
from factorkit.clustering.sharing import MOST_BITS, shareable_layers

__all__ = ["choose_bits"]


def choose_bits(model: nn.Module, mean_bits: float, *, skip: Sequence[str] = ()) -> dict[str, int]:
    r"""Widths of the indices, layer by layer, for :func:`~factorkit.clustering.share_weights`, by a budget.

    The widths :math:`b_l` shall make the sum of the squared relative errors
    :math:`\sum_l \lVert W_l - \hat W_l \rVert^2 / \lVert W_l \rVert^2` small while the storage
    :math:`\sum_l n_l b_l + 32 \cdot 2^{b_l}` of indices and tables stays within ``mean_bits`` for each weight. From one
    bit everywhere, the step that lowers the sum most for each bit that it costs is taken again and again.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    mean_bits : float
        Budget for each weight, tables included.
    skip : sequence of str, optional
        Names of layers that keep their weights and are not in the budget.

    Returns
    -------
    dict of str to int

    Raises
    ------
    ValueError
        If a name is no convolution or linear layer, or not even one bit for each weight fits the budget.

    Notes
    -----
    The relative error is what a batch normalization behind the layer leaves of the scale. How much accuracy an error
    costs still differs from layer to layer; the budget does not know it.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))
    >>> choose_bits(model, 4)
    {'0': 8, '2': 8, '4': 3}
    """
    layers = shareable_layers(model, skip)
    widths = range(1, MOST_BITS + 1)
    sizes, errors = {}, {}
    for name, layer in layers.items():
        weight = layer.weight.detach()
        power = float(weight.double().square().mean()) or 1.0
        sizes[name] = {bits: weight.numel() * bits + 32 * 2**bits for bits in widths}
        errors[name] = {bits: kmeans_1d(weight, 2**bits).error / power for bits in widths}
    chosen = dict.fromkeys(layers, 1)
    left = mean_bits * sum(layer.weight.numel() for layer in layers.values())
    left -= sum(size[1] for size in sizes.values())
    if left < 0:
        raise ValueError(
            f"mean_bits={mean_bits}: one bit for each weight and the tables take "
            f"{mean_bits - left / sum(layer.weight.numel() for layer in layers.values()):.3f} bits a weight already."
        )
    while True:
        steps = []
        for name, now in chosen.items():
            for bits in range(now + 1, MOST_BITS + 1):
                cost, gain = sizes[name][bits] - sizes[name][now], errors[name][now] - errors[name][bits]
                if cost <= left and gain > 0:
                    steps.append((gain / cost, cost, name, bits))
        if not steps:
            return chosen
        _, cost, name, bits = max(steps)
        chosen[name] = bits
        left -= cost
