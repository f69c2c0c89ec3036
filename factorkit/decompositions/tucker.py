r"""Tucker decompositions of a convolution along its channels.

A convolution weight is full of correlated channels: few combinations of them carry most of its energy. Tucker-2
:cite:p:`tucker1966,kim2016compression` finds such combinations for the outputs and for the inputs and leaves the
spatial axes, which are small, as they are:

.. math:: W_{o,i,y,x} \approx \sum_{a=1}^{R_o} \sum_{b=1}^{R_i} U_{o,a} \, V_{i,b} \, C_{a,b,y,x}

with orthonormal columns in U and V. It becomes three layers: 1 x 1 from I to R_i channels, k_h x k_w from R_i to R_o,
and 1 x 1 from R_o to O. Tucker-1 has only one of the two factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from factorkit.arguments import one_of, positive_integers
from factorkit.decompositions.leading import gram_is_coarse, improved_vectors, leading_pairs, leading_vectors
from factorkit.decompositions.tucker_results import Tucker1, Tucker2, blocks, mode_product, unfolded
from factorkit.decompositions.weights import checked_rank, checked_weight

__all__ = ["Tucker1", "Tucker2", "tucker1", "tucker2"]

DIMS = (3, 4, 5)
FEW = 6  # subspace iteration where the channels are so many times the rank


def tucker2(
    weight: torch.Tensor,
    ranks: int | tuple[int, int],
    *,
    method: str = "hosvd",
    groups: int = 1,
    iterations: int = 20,
    tolerance: float = 1e-4,
) -> Tucker2:
    r"""Tucker-2 decomposition of a convolution weight :cite:p:`kim2016compression`.

    The truncated higher-order SVD takes as V the leading singular vectors of the weight unfolded along its inputs, and
    as U those of what is left, unfolded along its outputs; with fewer outputs than inputs, the other way round. Its
    squared error is at most twice the smallest possible :cite:p:`vannieuwenhoven2012`. Higher-order orthogonal
    iteration starts there and takes in turn the best U for the V found and the best V for the U found, which never
    increases the error :cite:p:`delathauwer2000`. The singular vectors come from Gram matrices, whose size is that of
    the channels; for ranks far below it, each half of a sweep is two steps of subspace iteration instead.

    Parameters
    ----------
    weight : Tensor, shape (O, I / groups, k_1, ..., k_n)
        Of a convolution along 1, 2 or 3 axes.
    ranks : int or (int, int)
        R_o and R_i of each group, in the order of the modes of the weight; one integer stands for both.
    method : {"hosvd", "hooi"}, optional
        Truncated higher-order SVD, or higher-order orthogonal iteration from there.
    groups : int, optional
        Of the convolution. Each group is decomposed by itself.
    iterations : int, optional
        Most sweeps over both factors in ``"hooi"``.
    tolerance : float, optional
        ``"hooi"`` ends when a sweep lowers the relative error by less.

    Returns
    -------
    Tucker2

    Raises
    ------
    ValueError
        If the weight is not that of a convolution, or a rank exceeds the channels of a group.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> weight = torch.randn(64, 64, 3, 3, generator=generator)
    >>> tucker2(weight, 10).params
    2180
    >>> tucker2(weight, (64, 64)).relative_error < 1e-6
    True
    """
    weight = checked_weight(weight, DIMS, groups=groups)
    one_of("method", method, ("hosvd", "hooi"))
    positive_integers(iterations=iterations)
    pair = tuple(ranks) if isinstance(ranks, tuple | list) else (ranks, ranks)
    if len(pair) != 2:
        raise ValueError(f"ranks={ranks!r}: give one integer, or two for the output and the input channels.")
    out_rank, in_rank = pair
    outputs, inputs = len(weight) // groups, weight.shape[1]
    checked_rank("ranks[0]", out_rank, outputs, f"the mode of the {outputs} output channels of a group")
    checked_rank("ranks[1]", in_rank, inputs, f"the mode of the {inputs} input channels of a group")
    sweeps = iterations if method == "hooi" else 0

    def decomposed(values: torch.Tensor) -> Tucker2:
        parts = [_tucker2(part, out_rank, in_rank, sweeps, tolerance) for part in blocks(values, groups).flatten(3)]
        core, out_factor, in_factor = (torch.cat(same).to(weight.dtype) for same in zip(*parts, strict=True))
        return Tucker2(
            weight, core.reshape(groups * out_rank, in_rank, *weight.shape[2:]), out_factor, in_factor, groups
        )

    result = decomposed(weight)
    return decomposed(weight.double()) if gram_is_coarse(weight, result.relative_error) else result


def tucker1(weight: torch.Tensor, rank: int, *, mode: int) -> Tucker1:
    r"""Tucker-1 decomposition of a convolution weight: one mode is reduced, with the smallest possible error.

    .. math:: W \approx C \times_m U, \qquad C = W \times_m U^T

    Parameters
    ----------
    weight : Tensor, shape (O, I, k_1, ..., k_n)
        Of a convolution along 1, 2 or 3 axes.
    rank : int
    mode : {0, 1}
        0 reduces the outputs (k_h x k_w and then 1 x 1), 1 the inputs (1 x 1 and then k_h x k_w).

    Returns
    -------
    Tucker1

    Raises
    ------
    ValueError
        If the weight is not that of a convolution, or the rank exceeds the channels of the mode.

    Examples
    --------
    >>> weight = torch.ones(16, 8, 3, 3)
    >>> tucker1(weight, 1, mode=1).to_layers(torch.nn.Conv2d(8, 16, 3, bias=False))
    Sequential(
      (reduce): Conv2d(8, 1, kernel_size=(1, 1), stride=(1, 1), bias=False)
      (core): Conv2d(1, 16, kernel_size=(3, 3), stride=(1, 1), bias=False)
    )
    """
    weight = checked_weight(weight, DIMS)
    one_of("mode", mode, (0, 1))
    channels = weight.shape[mode]
    checked_rank("rank", rank, channels, f"the mode of the {channels} {('output', 'input')[mode]} channels")

    def decomposed(values: torch.Tensor) -> Tucker1:
        values = values.flatten(2)
        factor = leading_vectors(unfolded(values, mode), rank)
        core = mode_product(values, factor.T, mode).reshape(
            *(rank if m == mode else n for m, n in enumerate(weight.shape))
        )
        return Tucker1(weight, core.to(weight.dtype), factor.to(weight.dtype), mode)

    result = decomposed(weight)
    return decomposed(weight.double()) if gram_is_coarse(weight, result.relative_error) else result


def _tucker2(
    weight: torch.Tensor, out_rank: int, in_rank: int, sweeps: int, tolerance: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Core, U and V of one group, whose weight has shape (O, I, k)."""
    outputs, inputs, pixels = weight.shape
    if outputs < inputs:  # the smaller mode first: its Gram matrix is cheaper and what it leaves is smaller
        core, in_factor, out_factor = _tucker2(weight.transpose(0, 1), in_rank, out_rank, sweeps, tolerance)
        return core.transpose(0, 1), out_factor, in_factor
    by_input = unfolded(weight, 1)
    over_inputs = _product(weight, 1, in_rank, by_input)
    in_factor = leading_vectors(by_input, in_rank)
    reduced = over_inputs(in_factor)
    out_factor, kept = leading_pairs(reduced, out_rank)
    if sweeps and out_rank < outputs and in_rank < inputs:  # else the singular vectors are the best
        over_outputs = _product(weight, 0, out_rank, weight.flatten(1))
        energy = _energy(weight)
        error = _error(energy, kept)
        for _ in range(sweeps):
            in_factor, _ = _better(over_outputs(out_factor), in_factor)
            reduced = over_inputs(in_factor)
            out_factor, known = _better(reduced, out_factor)
            kept = _energy(out_factor.T @ reduced) if known is None else known
            before, error = error, _error(energy, kept)
            if before - error < tolerance:
                break
    core = out_factor.T @ reduced
    return core.reshape(out_rank, pixels, in_rank).transpose(1, 2), out_factor, in_factor


def _product(
    weight: torch.Tensor, mode: int, rank: int, unfolding: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What multiplies mode 0 or 1 of an (O, I, k) weight by a factor and unfolds the product along the other mode.

    Columns are in the order (k, rank). Which of two ways is fast depends on the rank: to move the axes of a small
    product, or those of the weight, once for all factors.
    """
    other, pixels = weight.shape[1 - mode], weight.shape[2]
    if FEW * rank <= weight.shape[mode]:
        return lambda factor: (factor.T @ unfolding).reshape(rank, other, pixels).permute(1, 2, 0).flatten(1)
    matrix = weight.movedim(mode, 2).reshape(other * pixels, -1)
    return lambda factor: (matrix @ factor).reshape(other, -1)


def _better(reduced: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, float | None]:
    """The best factor for the other one and the energy that it keeps; where that costs much, a step towards it."""
    rows, rank = factor.shape
    if FEW * rank <= rows:
        return improved_vectors(reduced, factor), None
    return leading_pairs(reduced, rank)


def _energy(tensor: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def _error(energy: float, kept: float) -> float:
    """Relative error, from what an orthogonal projection keeps of the energy."""
    return math.sqrt(max(1 - kept / energy, 0)) if energy else 0.0
