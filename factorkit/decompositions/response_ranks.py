"""Which rank each layer of a network gets, from the energies of its responses and a budget (Zhang et al., 2015)."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping

import torch
from torch import nn

from factorkit.arguments import positive_integers
from factorkit.decompositions.samples import responses

__all__ = ["response_energies", "zhang_ranks"]


def response_energies(
    layer: nn.Module, inputs: torch.Tensor, *, samples: int = 30_000, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Variances of the responses of a layer along their principal components, largest first.

    Parameters
    ----------
    layer : nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d
        Without groups.
    inputs : Tensor, shape (N, I, d_1, ..., d_n), or (..., I) for a linear layer
    samples : int, optional
        Pixels whose responses are used, drawn from all.
    generator : torch.Generator, optional
        Draws them. Default: a new one with seed 0.

    Returns
    -------
    Tensor of float64, shape (O,)
        The sum from index r on is the mean squared error that :func:`zhang` leaves at rank r.

    Raises
    ------
    ValueError
        If the layer or the inputs do not fit.

    Examples
    --------
    >>> layer, generator = nn.Linear(6, 5), torch.Generator().manual_seed(0)
    >>> inputs = torch.randn(100, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    >>> energies = response_energies(layer, inputs)
    >>> float(energies[:2].sum() / energies.sum()) > 0.9999  # inputs of two dimensions
    True
    """
    found = responses(layer, inputs, count=samples, generator=generator)
    centered = found - found.mean(dim=0)
    return torch.linalg.eigvalsh((centered.mT @ centered).double() / len(found)).flip(-1).clamp(min=0)


def zhang_ranks(energies: Mapping[str, torch.Tensor], macs_per_rank: Mapping[str, int], budget: int) -> dict[str, int]:
    r"""Ranks for all layers at once that keep the most energy within a budget of multiply-accumulates.

    How well the network works is taken to go with the product of the energies that its layers keep,

    .. math:: \max_{r_1, r_2, \dots} \prod_l \sum_{a=1}^{r_l} \sigma_{l,a}
              \quad\text{such that}\quad \sum_l r_l \, c_l \le C .

    The search starts from full ranks. It takes one from the rank of the layer where that costs least, by the loss of
    energy relative to what the layer keeps, divided by the saving :math:`c_l`, until the budget is met.

    Parameters
    ----------
    energies : mapping of str to Tensor, shape (O,)
        For each layer :math:`\sigma_{l,a}`, largest first: :func:`response_energies`.
    macs_per_rank : mapping of str to int
        For each layer :math:`c_l`, what one more rank costs: ``(k_h * k_w * I + O) * H_out * W_out``.
    budget : int
        C, multiply-accumulates of all these layers together.

    Returns
    -------
    dict of str to int
        A rank of at least 1 for each layer.

    Raises
    ------
    ValueError
        If the layers of the two mappings differ, energies are no decreasing numbers of at least 0, or not even rank 1
        fits into the budget.

    Examples
    --------
    Of four ranks, three go to the layer whose responses vary in more directions.

    >>> energies = {"conv1": torch.tensor([9.0, 0.5, 0.1, 0.1]), "conv2": torch.tensor([4.0, 3.0, 3.0, 1.0])}
    >>> zhang_ranks(energies, {"conv1": 100, "conv2": 100}, budget=400)
    {'conv1': 1, 'conv2': 3}
    """
    if energies.keys() != macs_per_rank.keys() or not energies:
        raise ValueError(f"energies are of the layers {list(energies)} and macs_per_rank of {list(macs_per_rank)}.")
    positive_integers(budget=budget, **{f"macs_per_rank[{name!r}]": macs for name, macs in macs_per_rank.items()})
    kept = {}
    for name, values in energies.items():
        numbers = torch.as_tensor(values, dtype=torch.float64).tolist()
        falling = all(before >= after for before, after in itertools.pairwise(numbers))
        if not numbers or not falling or not 0 <= numbers[-1] <= numbers[0] < float("inf"):
            raise ValueError(f"energies[{name!r}]: give numbers of at least 0, largest first, not {values!r}.")
        kept[name] = [numbers, list(itertools.accumulate(numbers))]
    least = sum(macs_per_rank.values())
    if least > budget:
        raise ValueError(f"budget={budget}: rank 1 in every layer already takes {least} multiply-accumulates.")
    ranks = {name: len(numbers) for name, (numbers, _) in kept.items()}
    cost = sum(rank * macs_per_rank[name] for name, rank in ranks.items())

    def loss(name: str) -> float:
        numbers, sums = kept[name]
        total = sums[ranks[name] - 1]
        return (numbers[ranks[name] - 1] / total if total else 0.0) / macs_per_rank[name]

    candidates = [(loss(name), name) for name in ranks if ranks[name] > 1]
    heapq.heapify(candidates)
    while cost > budget:
        _, name = heapq.heappop(candidates)
        ranks[name] -= 1
        cost -= macs_per_rank[name]
        if ranks[name] > 1:
            heapq.heappush(candidates, (loss(name), name))
    return ranks
