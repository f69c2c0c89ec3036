"""A layer that may be decomposed: its ranks by one policy or another, and what each rank costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import nn

from factorkit.compress.methods import Method, Rank, method_for
from factorkit.compress.sizes import Sizes
from factorkit.decompositions.ranks import energy_rank, vbmf_rank
from factorkit.decompositions.results import Decomposition
from factorkit.decompositions.vbmf import squared_singular_values
from factorkit.decompositions.weights import checked_weight

__all__ = ["Candidate"]

TINY = 1e-12  # of the energy: rank 1 keeps more


class Candidate:
    """One layer with the method for it.

    Parameters
    ----------
    name : str
    layer : nn.Conv2d or nn.Linear
    method : str
        Of the network; :func:`~factorkit.compress.methods.method_for` may have another one for this layer.
    calls : list of pairs of tuple of int
        Sizes of input and output in each call of the layer.
    tied : bool, optional
        Whether another module has the same weight.

    Examples
    --------
    >>> layer = Candidate("0", nn.Conv2d(32, 64, 3, padding=1), "tucker2", [((16, 16), (16, 16))])
    >>> layer.macs, layer.cost((16, 12))
    (4718592, (3136, 802816))
    """

    def __init__(
        self, name: str, layer: nn.Conv2d | nn.Linear, method: str, calls: list[Sizes], *, tied: bool = False
    ) -> None:
        self.name, self.layer, self.asked, self.calls, self.tied = name, layer, method, calls, tied
        self.method: Method = method_for(method, layer)
        self.groups: int = getattr(layer, "groups", 1)
        self.shape = tuple(layer.weight.shape)
        self.params = layer.weight.numel()
        self.macs = sum(self.params * math.prod(after) for _, after in calls)
        self.done: dict[Rank, Decomposition] = {}

    @property
    def unfit(self) -> str:
        """Why the method cannot take this layer at any rank, or empty."""
        if not self.calls:
            return "the network does not run it on the example"
        if self.groups > 1 and not self.method.grouped:
            return f"{self.asked} takes no groups, and the layer has {self.groups}"
        if not isinstance(self.layer.weight, nn.Parameter):
            return "its weight is computed at each call; make it a parameter first"
        return "another module shares its weight" if self.tied else ""

    def cost(self, ranks: Sequence[int]) -> tuple[int, int]:
        """Parameters and multiply-accumulates at these ranks, one for each unfolding."""
        outline = self.method.outline(self.shape, ranks, self.groups)
        return outline.params, sum(outline.macs(after, input_size=before) for before, after in self.calls)

    def stand_in(self, ranks: Sequence[int]) -> nn.Sequential:
        """Layers of the sizes at these ranks with weights of zero: as fast as those of a decomposition."""
        return self.method.outline(self.shape, ranks, self.groups, self.layer.weight.device).to_layers(self.layer)

    def grows(self, ranks: Sequence[int]) -> str:
        """Why nothing is saved at these ranks, or empty."""
        params, macs = self.cost(ranks)
        if params >= self.params:
            return f"would have {params:,} parameters instead of {self.params:,}"
        return f"would take {macs:,} MACs instead of {self.macs:,}" if macs >= self.macs else ""

    def macs_at(self, error: float) -> int:
        """Multiply-accumulates if the layer is decomposed to this relative error, where that saves any."""
        if self.unfit:
            return self.macs
        ranks = self.ranks_at(error)
        return self.macs if self.grows(ranks) else self.cost(ranks)[1]

    def ranks_at(self, error: float) -> tuple[int, ...]:
        r"""Smallest ranks with which each unfolding loses at most this relative error.

        A tensor train may lose a share of :math:`1 / \sqrt{n}` of it at each of n bonds. For CP, whose error no
        unfolding tells, the rank is interpolated between decompositions of rank 1, 2, 4 and so on.
        """
        if self.method.curved:
            return (self._interpolated(error),)
        lost = error**2 / (len(self._singular_values) if self.asked == "tensor_train" else 1)
        kept = max(1 - lost, TINY)
        return tuple(max(energy_rank(values, kept) for values in groups) for groups in self._singular_values)

    def vbmf_ranks(self) -> tuple[tuple[int, ...], str]:
        """Rank of each unfolding by variational Bayes, the largest of the groups; and where that found nothing."""
        ranks, without = [], 0
        for matrices in self._matrices:
            rank = max(vbmf_rank(matrix).rank for matrix in matrices)
            without += not rank
            ranks.append(rank or min(matrices[0].shape))
        note = "VBMF cannot tell its weight from noise (rank 0), and takes the full rank" if without else ""
        if without and len(ranks) > 1:
            note = f"VBMF finds rank 0 in {without} of {len(ranks)} unfoldings, and takes their full rank"
        return ((max(ranks),) if self.method.curved else tuple(ranks)), note

    def decompose(self, rank: Rank) -> Decomposition:
        """The decomposition of a rank, made once.

        Raises
        ------
        ValueError
            If the method refuses the weight or the rank.
        """
        if rank not in self.done:
            with self.named():
                self.done[rank] = self._decomposed(rank)
        return self.done[rank]

    def _decomposed(self, rank: Rank) -> Decomposition:
        return self.method.decompose(self.layer.weight, rank, self.groups)

    def rank_of(self, ranks: Sequence[int]) -> Rank:
        """The ranks as the method takes them."""
        return ranks[0] if len(ranks) == 1 else tuple(ranks)

    def ranks_of(self, made: Decomposition) -> tuple[int, ...]:
        """The ranks of a decomposition, one for each unfolding."""
        return made.rank if isinstance(made.rank, tuple) else (made.rank,)

    def _interpolated(self, error: float) -> int:
        below, above, lost = 1, 1, 1.0
        while self.decompose(above).relative_error > error and not self.grows((above,)):
            below, lost, above = above, self.decompose(above).relative_error, 2 * above
        reached = self.decompose(above).relative_error
        if above == 1 or reached >= min(error, lost):
            return above
        share = math.log(lost / error) / math.log(lost / max(reached, 1e-9))
        return math.ceil(below * 2 ** min(share, 1.0))

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors name the layer."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"layer {self.name!r}: {error}") from error

    @cached_property
    def _matrices(self) -> list[list[torch.Tensor]]:
        """For each unfolding, its matrix in each group."""
        with self.named():
            parts = checked_weight(self.layer.weight, (2, 4), groups=self.groups).chunk(self.groups)
        return [list(same) for same in zip(*map(self.method.unfoldings, parts), strict=True)]

    @cached_property
    def _singular_values(self) -> list[list[torch.Tensor]]:
        return [
            [torch.from_numpy(np.sqrt(squared_singular_values(matrix))) for matrix in matrices]
            for matrices in self._matrices
        ]
