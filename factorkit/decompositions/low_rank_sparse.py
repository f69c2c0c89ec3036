"""A layer as the sum of a low-rank and a column-sparse one, fitted to its responses behind the ReLU."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn

from factorkit.arguments import positive_integers
from factorkit.decompositions.admm import low_rank_and_sparse
from factorkit.decompositions.columns import LowRankAndColumns
from factorkit.decompositions.refitting import refit
from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.samples import patches, responses
from factorkit.decompositions.weights import checked_rank, checked_weight

__all__ = ["LowRankSparse", "low_rank_sparse"]


@dataclass(frozen=True, repr=False, eq=False)
class LowRankSparse(Decomposition):
    r"""A low-rank part B = U V and a part A of few columns: :math:`W \approx U V + A`.

    Together they are one pointwise layer, [U A], on the R maps of V beside the inputs that A reads.

    Attributes
    ----------
    first : Tensor, shape (R, I, k_1, ..., k_n)
        V.
    last : Tensor, shape (O, R + S, 1, ...)
        U and the S columns of A that are not zero.
    columns : Tensor of int64, shape (S,)
        Which those are, as indices into the I k_1 ... k_n numbers of a patch.
    bias : Tensor, shape (O,)
        Of the last step. It replaces the bias of the layer, and gives one to a layer without.
    response_error : float
        Frobenius norm of the change of the responses, behind the ReLU if it was taken into account, divided by that of
        the responses.
    gap : float
        How far A + B was from the weight that answers when the iterations ended, relative to the weight: above 1e-4
        they did not converge.
    """

    first: torch.Tensor
    last: torch.Tensor
    columns: torch.Tensor
    bias: torch.Tensor
    response_error: float
    gap: float

    @property
    def rank(self) -> int:
        """Rank R of the low-rank part."""
        return len(self.first)

    def steps(self) -> tuple[Step, ...]:
        """V, whose maps and the inputs that A reads go into [U A]."""
        return Step("first", self.first), Step("last", self.last)

    def parts(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A and B, both in the shape of the weight."""
        mixing = self.last.flatten(1)
        low_rank = mixing[:, : self.rank] @ self.first.flatten(1)
        sparse = torch.zeros_like(low_rank).index_copy(1, self.columns, mixing[:, self.rank :])
        return sparse.reshape(self.shape), low_rank.reshape(self.shape)

    def reconstruct(self) -> torch.Tensor:
        """A + B."""
        return sum(self.parts())

    def macs(self, output_size: int | tuple[int, ...] = 1, *, input_size: int | tuple[int, ...] | None = None) -> int:
        """Multiply-accumulates for one example; all of them are made once for each output pixel."""
        return super().macs(output_size)

    def bias_for(self, layer: nn.Module) -> torch.Tensor:
        """The bias that was fitted with the weights."""
        return self.bias

    def to_layers(self, layer: nn.Module) -> nn.Sequential:
        """Both parts as layers: the maps of V beside the inputs that A reads, then one pointwise layer."""
        made = super().to_layers(layer)
        if not len(self.columns):
            return made
        both = LowRankAndColumns(made.first, layer, self.columns.to(layer.weight.device))
        return nn.Sequential(OrderedDict(first=both, last=made.last)).train(layer.training)


def low_rank_sparse(
    layer: nn.Module,
    inputs: torch.Tensor,
    *,
    sparse: float = 0.5,
    low_rank: float = 0.5,
    rank: int | None = None,
    columns: int | None = None,
    relu: bool = True,
    samples: int = 10_000,
    iterations: int = 100,
    generator: torch.Generator | None = None,
) -> LowRankSparse:
    r"""Approximate a layer by a low-rank plus a column-sparse one, so that its responses stay.

    .. math:: \min_{A, B} \frac{\| Y - r((A + B) X + b) \|_F^2}{\| Y \|_F^2}
        + \lambda_1 \frac{\| A \|_{2,1}}{\| W \|_{2,1}} + \lambda_2 \frac{\| B \|_*}{\| W \|_*}, \qquad Y = r(W X + b)

    where a column of X is a patch of the inputs and r the ReLU :cite:p:`ma2019unified`. The sum of the columns' norms
    makes whole columns of A zero, so that the numbers which they multiply need not be read; the sum of the singular
    values makes the rank of B small. The alternating direction method of multipliers :cite:p:`boyd2011admm` splits
    this into steps that all have a closed form: :func:`shrink_columns` for A, :func:`shrink_singular_values` for B,
    :func:`relu_step` for the responses before the ReLU, and least squares for the weight M = A + B that ties them.

    Penalties also make small what they keep. So, with the columns of A and the rank of B fixed, both parts and a bias
    are fitted again without them, by regressions of reduced rank.

    Parameters
    ----------
    layer : nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d
        Without groups. With batch normalization between it and the ReLU, fold that first.
    inputs : Tensor, shape (N, I, d_1, ..., d_n), or (..., I) for a linear layer
        What the layer reads in the network, for examples of the training set.
    sparse, low_rank : float, optional
        :math:`\lambda_1` and :math:`\lambda_2`, positive: larger ones leave fewer columns and a lower rank.
    rank, columns : int, optional
        Keep at most so many components of B and columns of A: the largest. B always keeps one.
    relu : bool, optional
        Whether a ReLU follows the layer; without, r is left out.
    samples : int, optional
        Pixels whose responses are used, drawn from all; more than I k_1 ... k_n.
    iterations : int, optional
        At most.
    generator : torch.Generator, optional
        Draws the pixels. Default: a new one with seed 0.

    Returns
    -------
    LowRankSparse

    Raises
    ------
    ValueError
        If the layer or the inputs do not fit, a number is outside its range, or all responses are zero.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> layer = nn.Linear(12, 8)
    >>> with torch.no_grad():  # rank 1, and one more column
    ...     _ = layer.weight.copy_(torch.randn(8, 1, generator=generator) @ torch.randn(1, 12, generator=generator))
    ...     layer.weight[:, 3] += torch.randn(8, generator=generator)
    >>> found = low_rank_sparse(layer, torch.randn(500, 12, generator=generator), sparse=0.1, low_rank=0.1, columns=1)
    >>> found.rank, found.columns.tolist(), found.response_error < 0.01
    (1, [3], True)
    """
    weight = checked_weight(layer.weight, (2, 3, 4, 5))
    for name, value in (("sparse", sparse), ("low_rank", low_rank)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r}: give a positive, finite penalty.")
    positive_integers(iterations=iterations)
    matrix = weight.flatten(1).double()
    checked_rank("rank", 1 if rank is None else rank, min(matrix.shape), f"a {len(matrix)} x {matrix.shape[1]} matrix")
    if columns is not None:
        positive_integers(columns=columns)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    state = generator.get_state()
    read = patches(layer, inputs, count=samples, generator=generator).double()
    generator.set_state(state)  # the same pixels
    targets = responses(layer, inputs, count=samples, generator=generator).double()
    targets = targets.relu() if relu else targets
    bias = matrix.new_zeros(len(matrix)) if layer.bias is None else layer.bias.detach().double()
    energy = float(targets.square().sum())
    if energy == 0 or not matrix.any():
        raise ValueError("all responses or all weights are zero: prune the layer instead.")
    lengths = torch.linalg.vector_norm(matrix, dim=0).sum()
    penalties = (sparse * energy / float(lengths), low_rank * energy / float(torch.linalg.svdvals(matrix).sum()))
    found = low_rank_and_sparse(matrix, read, targets, bias, penalties, relu=relu, iterations=iterations)
    sparse_part, low_rank_part, gap = found
    kept, rank = _support(sparse_part, low_rank_part, weight, rank, columns)
    predicted = read @ (sparse_part + low_rank_part).T + bias
    fit = refit(read, targets, predicted, kept, rank, relu=relu)
    first = fit.inner.reshape(-1, *weight.shape[1:])
    last = torch.cat([fit.outer, fit.sparse], dim=1).reshape(len(weight), -1, *[1] * (weight.dim() - 2))
    parts = (part.to(weight.dtype) for part in (first, last))
    return LowRankSparse(weight, *parts, kept, fit.bias.to(weight.dtype), fit.error, gap)


def _support(
    sparse: torch.Tensor, low_rank: torch.Tensor, weight: torch.Tensor, rank: int | None, columns: int | None
) -> tuple[torch.Tensor, int]:
    """The columns of A that stay, in the order in which a layer gathers them, and the rank of B."""
    lengths = torch.linalg.vector_norm(sparse, dim=0)
    most = min(int((lengths > 0).sum()), len(lengths) - 1)  # one is left for B
    kept = lengths.argsort(descending=True)[:most][:columns]
    taps = math.prod(weight.shape[2:])
    kept = kept[(kept % taps * weight.shape[1] + kept // taps).argsort()]
    values = torch.linalg.svdvals(low_rank)
    found = max(int((values > 1e-9 * values[0]).sum()), 1)
    return kept, found if rank is None else min(found, rank)
