"""What Tucker decompositions of a convolution give: a core and one or two factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from factorkit.decompositions.results import Decomposition, Step

__all__ = ["Tucker1", "Tucker2", "blocks", "mode_product", "unfolded"]


@dataclass(frozen=True, repr=False, eq=False)
class Tucker2(Decomposition):
    """A convolution weight as a small core with a factor for its outputs and one for its inputs.

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_1, ..., k_n)
        The weight that was decomposed; it is not kept.
    core : Tensor, shape (groups * R_o, R_i, k_1, ..., k_n)
        Of one group after the other.
    out_factor : Tensor, shape (O, R_o)
        U; the rows of each group have orthonormal columns.
    in_factor : Tensor, shape (I, R_i)
        V; the rows of each group have orthonormal columns.
    groups : int, optional

    Attributes
    ----------
    rank : (int, int)
        R_o and R_i, in the order of the modes of the weight.

    Notes
    -----
    ``(core, [out_factor, in_factor])`` is what ``tensorly.decomposition.partial_tucker`` returns for the modes 0 and 1.
    """

    core: torch.Tensor
    out_factor: torch.Tensor
    in_factor: torch.Tensor
    groups: int = 1

    @property
    def rank(self) -> tuple[int, int]:
        """R_o and R_i."""
        return self.out_factor.shape[1], self.in_factor.shape[1]

    def steps(self) -> tuple[Step, ...]:
        """To R_i channels, the core, from R_o channels."""
        return (
            Step("reduce", _pointwise(blocks(self.in_factor, self.groups).mT, self.core), self.groups),
            Step("core", self.core, self.groups),
            Step("expand", _pointwise(blocks(self.out_factor, self.groups), self.core), self.groups),
        )

    def reconstruct(self) -> torch.Tensor:
        """The weight that core and factors stand for."""
        core = blocks(self.core, self.groups).flatten(3).transpose(2, 3)  # inputs last: two products of large matrices
        parts = []
        for part, outputs, inputs in zip(
            core, blocks(self.out_factor, self.groups), blocks(self.in_factor, self.groups), strict=True
        ):
            over_inputs = (part.reshape(-1, part.shape[2]) @ inputs.T).reshape(len(part), -1)
            parts.append((outputs @ over_inputs).reshape(len(outputs), -1, len(inputs)).transpose(1, 2))
        return torch.cat(parts).reshape(len(self.out_factor), -1, *self.core.shape[2:])


@dataclass(frozen=True, repr=False, eq=False)
class Tucker1(Decomposition):
    """A convolution weight as a core with one factor, for its outputs or for its inputs.

    Parameters
    ----------
    weight : Tensor, shape (O, I, k_1, ..., k_n)
        The weight that was decomposed; it is not kept.
    core : Tensor, shape (R, I, k_1, ..., k_n) for mode 0, (O, R, k_1, ..., k_n) for mode 1
    factor : Tensor, shape (O, R) for mode 0, (I, R) for mode 1
        Has orthonormal columns.
    mode : {0, 1}
    """

    core: torch.Tensor
    factor: torch.Tensor
    mode: int

    @property
    def rank(self) -> int:
        """Number of channels between the two layers."""
        return self.factor.shape[1]

    def steps(self) -> tuple[Step, ...]:
        """The core and then the outputs from it, or the reduced inputs and then the core."""
        core = Step("core", self.core)
        if self.mode == 0:
            return core, Step("expand", _pointwise(self.factor, self.core))
        return Step("reduce", _pointwise(self.factor.T, self.core)), core

    def reconstruct(self) -> torch.Tensor:
        """The weight that core and factor stand for."""
        return mode_product(self.core.flatten(2), self.factor, self.mode).reshape(self.shape)


def unfolded(tensor: torch.Tensor, mode: int) -> torch.Tensor:
    """The (a, b, k) tensor as a matrix with the rows of mode 0 or 1, columns in TensorLy's order."""
    return tensor.transpose(0, mode).flatten(1)


def mode_product(tensor: torch.Tensor, factor: torch.Tensor, mode: int) -> torch.Tensor:
    """Multiply mode 0 or 1 of an (a, b, k) tensor by a matrix."""
    product = torch.tensordot(factor, tensor, dims=([1], [mode]))
    return product.transpose(0, 1) if mode else product


def blocks(tensor: torch.Tensor, groups: int) -> torch.Tensor:
    """(groups * n, ...) as (groups, n, ...)."""
    return tensor.reshape(groups, -1, *tensor.shape[1:])


def _pointwise(matrix: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
    """A matrix, or one for each group, as the weight of a convolution of size 1."""
    return matrix.reshape(-1, matrix.shape[-1], *[1] * (core.dim() - 2))
