"""The methods by their names: what each makes of a layer, what that costs, and which matrices tell its ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from factorkit.decompositions.cp import cp
from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.separable import tai
from factorkit.decompositions.svd import channel_svd, linear_svd
from factorkit.decompositions.tensor_train import tensor_train
from factorkit.decompositions.tucker import tucker2

__all__ = ["METHODS", "RESPONSE_METHODS", "Method", "Outline", "method_for"]

Rank = int | tuple[int, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Method:
    """One method, for weights O x I / groups x k_h x k_w or O x I.

    Parameters
    ----------
    decompose : callable
        Takes the weight, the rank and the groups.
    chain : callable
        Takes the shape of the weight, one rank for each unfolding, and the groups; gives the shapes of the weights of
        the layers in order, without decomposing anything.
    unfoldings : callable
        Takes the weight of one group, O / groups x I / groups x k_h x k_w; gives the matrices whose ranks are the
        ranks of the method.
    grouped : bool
        Whether it takes groups.
    curved : bool
        Whether the error is not told by the singular values of the unfoldings. Then the rank is one number.
    """

    decompose: Callable[[torch.Tensor, Rank, int], Decomposition]
    chain: Callable[[Shape, tuple[int, ...], int], list[Shape]]
    unfoldings: Callable[[torch.Tensor], list[torch.Tensor]]
    grouped: bool = True
    curved: bool = False

    def outline(self, shape: Shape, ranks: Sequence[int], groups: int, device: torch.device | str = "meta") -> Outline:
        """Parameters and multiply-accumulates at these ranks; on another device than meta also layers."""
        chain = tuple(self.chain(tuple(shape), tuple(ranks), groups))
        return Outline(torch.empty(shape, device="meta"), chain, groups, device)


@dataclass(frozen=True, repr=False, eq=False)
class Outline(Decomposition):
    """The sizes of a decomposition that has not been made. Its layers have weights of zero, as fast as any others.

    Examples
    --------
    >>> METHODS["tucker2"].outline((64, 32, 3, 3), (16, 12), 1).params
    3136
    """

    chain: tuple[Shape, ...]
    groups: int = 1
    device: torch.device | str = "meta"

    def __post_init__(self, weight: torch.Tensor) -> None:
        object.__setattr__(self, "shape", tuple(weight.shape))

    def steps(self) -> tuple[Step, ...]:
        read = [self.shape[1] * self.groups, *(shape[0] for shape in self.chain)]  # maps before each step
        return tuple(
            Step(str(place), torch.zeros(shape, device=self.device), maps // shape[1])
            for place, (shape, maps) in enumerate(zip(self.chain, read, strict=False))
        )

    def reconstruct(self) -> torch.Tensor:
        raise NotImplementedError("an outline has sizes and no numbers")


def _points(shape: Shape) -> Shape:
    return (1,) * (len(shape) - 2)


def _svd(weight: torch.Tensor, rank: Rank, groups: int) -> Decomposition:
    return linear_svd(weight, rank) if weight.dim() == 2 else channel_svd(weight, rank, groups=groups)


def _svd_chain(shape: Shape, ranks: tuple[int, ...], groups: int) -> list[Shape]:
    (rank,) = ranks
    return [(groups * rank, *shape[1:]), (shape[0], rank, *_points(shape))]


def _tai_chain(shape: Shape, ranks: tuple[int, ...], groups: int) -> list[Shape]:
    (rank,), (outputs, inputs, height, width) = ranks, shape
    return [(groups * rank, inputs, height, 1), (outputs, rank, 1, width)]


def _tucker2_chain(shape: Shape, ranks: tuple[int, ...], groups: int) -> list[Shape]:
    out_rank, in_rank = ranks
    return [
        (groups * in_rank, shape[1], *_points(shape)),
        (groups * out_rank, in_rank, *shape[2:]),
        (shape[0], out_rank, *_points(shape)),
    ]


def _cp(weight: torch.Tensor, rank: Rank, groups: int) -> Decomposition:
    return cp(weight, rank, merge_spatial=1 in weight.shape[2:])


def _cp_chain(shape: Shape, ranks: tuple[int, ...], groups: int) -> list[Shape]:
    rank, (outputs, inputs, height, width) = max(ranks), shape
    spatial = [(rank, 1, height, width)] if 1 in (height, width) else [(rank, 1, height, 1), (rank, 1, 1, width)]
    return [(rank, inputs, 1, 1), *spatial, (outputs, rank, 1, 1)]


def _train(weight: torch.Tensor, rank: Rank, groups: int) -> Decomposition:
    return tensor_train(weight, rank)


def _train_axes(shape: Shape) -> list[int]:
    """Sizes of the axes of a train: inputs, those of the kernel above 1, outputs."""
    return [shape[1], *(size for size in shape[2:] if size > 1), shape[0]]


def _train_chain(shape: Shape, ranks: tuple[int, ...], groups: int) -> list[Shape]:
    outputs, inputs, *kernel = shape
    sizes, bonds = _train_axes(shape), list(ranks)
    for bond in range(len(bonds)):  # no more than the neighbors can use
        bonds[bond] = min(bonds[bond], (bonds[bond - 1] if bond else 1) * sizes[bond])
    for bond in reversed(range(len(bonds))):
        bonds[bond] = min(bonds[bond], (bonds[bond + 1] if bond + 1 < len(bonds) else 1) * sizes[bond + 1])
    chain, place = [(bonds[0], inputs, 1, 1)], 0
    for axis, size in enumerate(kernel):
        if size > 1:
            step = [1, 1]
            step[axis] = size
            chain.append((bonds[place + 1], bonds[place], *step))
            place += 1
    return [*chain, (outputs, bonds[-1], 1, 1)]


def _train_unfoldings(weight: torch.Tensor) -> list[torch.Tensor]:
    sizes = _train_axes(tuple(weight.shape))
    chain = weight.movedim(0, -1)
    return [chain.reshape(math.prod(sizes[:bond]), -1) for bond in range(1, len(sizes))]


def _by_channels(weight: torch.Tensor) -> list[torch.Tensor]:
    return [weight.flatten(1), weight.transpose(0, 1).flatten(1)]


RESPONSE_METHODS = ("response", "low_rank_sparse")  # of a layer and its data: factorkit.compress.responses
METHODS = {
    "svd": Method(_svd, _svd_chain, lambda weight: [weight.flatten(1)]),
    "tai": Method(
        lambda weight, rank, groups: tai(weight, rank, groups=groups),
        _tai_chain,
        lambda weight: [weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)],
    ),
    "tucker2": Method(
        lambda weight, ranks, groups: tucker2(weight, ranks, method="hooi", groups=groups),
        _tucker2_chain,
        _by_channels,
    ),
    "cp": Method(_cp, _cp_chain, _by_channels, grouped=False, curved=True),
    "tensor_train": Method(_train, _train_chain, _train_unfoldings, grouped=False),
}


def method_for(name: str, layer: nn.Module) -> Method:
    """The method for a layer. A matrix has one best approximation of each rank, so there all methods are the SVD."""
    matrix = all(size == 1 for size in layer.weight.shape[2:])
    return METHODS["svd" if matrix else name]
