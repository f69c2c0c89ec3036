"""Layers that are decomposed by what they answer to images, not by their weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import nn

from factorkit.compress.candidates import Candidate
from factorkit.compress.methods import METHODS, RESPONSE_METHODS, Method, Shape
from factorkit.compress.policies import Choice
from factorkit.compress.sizes import Sizes, evaluation
from factorkit.decompositions.low_rank_sparse import LowRankSparse, low_rank_sparse
from factorkit.decompositions.response import zhang
from factorkit.decompositions.results import Decomposition
from factorkit.decompositions.samples import responses
from factorkit.exchange import WeightLayer, exchange_layers

__all__ = ["check_data", "reads", "response_candidate", "with_errors_passed_on"]

Rank = int | tuple[int, ...]
SAMPLES = 10_000  # pixels of each layer whose responses are used


def check_data(method: str, ranks: str | Mapping[str, Rank], inputs: torch.Tensor | None) -> None:
    """Refuse a method of this kind without images, or with a policy that cannot choose its ranks.

    Raises
    ------
    ValueError
        As said.
    """
    if method not in RESPONSE_METHODS:
        if inputs is not None:
            raise ValueError(f"method={method!r} reads weights only: leave out inputs, or choose 'response'.")
        return
    if inputs is None:
        raise ValueError(
            f"method={method!r} fits what the layers answer to images: give a batch of normalized training images, "
            "inputs=data.normalize(data.train_images[:200])."
        )
    if method == "low_rank_sparse" and not isinstance(ranks, Mapping):
        raise ValueError(
            f"ranks={ranks!r}: low_rank_sparse has a rank and a number of columns, and no policy chooses both; give "
            "them for each layer, as in {'3': (8, 40)}."
        )
    if ranks == "vbmf":
        raise ValueError(
            "ranks='vbmf' tells a weight from noise, and 'response' reads no weight: choose 'energy:0.9' (of the "
            "responses), 'macs:0.5', 'latency:2x' or a mapping from layers to ranks."
        )


def reads(model: nn.Module, layers: Mapping[str, WeightLayer], inputs: torch.Tensor) -> dict[str, list[torch.Tensor]]:
    """What layers read in each of their calls, in the order in which the network runs them.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> found = reads(model, {"0": model[0], "2": model[2]}, torch.zeros(5, 4))
    >>> {name: tuple(calls[0].shape) for name, calls in found.items()}
    {'0': (5, 4), '2': (5, 3)}
    """
    found: dict[str, list[torch.Tensor]] = {}

    def recorder(name: str):
        return lambda layer, given: found.setdefault(name, []).append(given[0])

    hooks = [layer.register_forward_pre_hook(recorder(name)) for name, layer in layers.items()]
    first = next(model.parameters())
    try:
        with evaluation(model), torch.no_grad():
            model(inputs.to(first.device, first.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def response_candidate(
    read: list[torch.Tensor], name: str, layer: WeightLayer, method: str, calls: list[Sizes], *, tied: bool = False
) -> Candidate:
    """A candidate for one of these methods: what the layer reads in each call, and the arguments of Candidate."""
    kind = _Response if method == "response" else _LowRankSparse
    return kind(read, name, layer, method, calls, tied=tied)


def _no_weight(weight: torch.Tensor, rank: Rank, groups: int) -> Decomposition:
    raise NotImplementedError("is decomposed from responses")


def _low_rank_sparse_chain(shape: Shape, ranks: tuple[int, ...], groups: int) -> list[Shape]:
    rank, columns = ranks
    return [(rank, *shape[1:]), (shape[0], rank + columns, *[1] * (len(shape) - 2))]


class _Response(Candidate):
    """A layer for :func:`~factorkit.decompositions.response.zhang`; its energies are those of the responses."""

    chain = staticmethod(METHODS["svd"].chain)

    def __init__(
        self, read: list[torch.Tensor], name: str, layer: WeightLayer, method: str, calls: list[Sizes], *, tied: bool
    ) -> None:
        super().__init__(name, layer, "svd", calls, tied=tied)
        self.read, self.asked = read, method
        self.method = Method(_no_weight, self.chain, lambda weight: [], grouped=False)

    @property
    def unfit(self) -> str:
        """Why the method cannot take this layer, or empty."""
        again = "the network runs it more than once" if len(self.calls) > 1 else ""
        return super().unfit or again

    def _decomposed(self, rank: Rank) -> Decomposition:
        return zhang(self.layer, self.read[0], rank, samples=SAMPLES)

    @cached_property
    def _matrices(self) -> list[list[torch.Tensor]]:
        with self.named():
            answers = responses(self.layer, self.read[0], count=SAMPLES)
        return [[(answers - answers.mean(dim=0)).T]]


class _LowRankSparse(_Response):
    """A layer for :func:`~factorkit.decompositions.low_rank_sparse.low_rank_sparse`: a rank, a number of columns."""

    chain = staticmethod(_low_rank_sparse_chain)

    def ranks_of(self, made: LowRankSparse) -> tuple[int, ...]:
        """Rank and number of columns."""
        return made.rank, len(made.columns)

    def _decomposed(self, rank: Rank) -> Decomposition:
        if not isinstance(rank, tuple) or len(rank) != 2:
            raise ValueError(f"rank={rank!r}: give a rank and a number of columns, as in (8, 40).")
        most, columns = rank
        return low_rank_sparse(self.layer, self.read[0], rank=most, columns=columns, relu=False, samples=SAMPLES)


def with_errors_passed_on(
    model: nn.Module, candidates: Mapping[str, Candidate], choices: Mapping[str, Choice], inputs: torch.Tensor
) -> None:
    """Decompose for ``"response"`` once more, each layer from what the compressed layers before it leave it to read.

    The asymmetric form of Zhang et al.: every layer still aims at the answers of the original, so that it mends what
    the layers before it changed. The results replace those of the candidates.
    """
    network = copy.deepcopy(model)
    for name, layer in candidates.items():
        choice = choices.get(name)
        if choice is None or choice.refused:
            continue
        own = network.get_submodule(name)
        changed = reads(network, {name: own}, inputs)[name][0]
        with layer.named():
            made = zhang(layer.layer, layer.read[0], choice.rank, approximate_inputs=changed, samples=SAMPLES)
        layer.done[choice.rank] = made
        exchange_layers(network, {own: made.to_layers(own)})
