r"""Low-rank layers fitted to the responses of a layer instead of its weight (Zhang et al., 2015).

The responses :math:`y = W x + b_0` to natural inputs vary in few directions, even where W itself has full rank. A layer
with r maps and a pointwise layer behind it can follow them as :math:`y \approx M y + b` with a matrix M of rank r.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.samples import responses
from factorkit.decompositions.truncation import truncated_factors
from factorkit.decompositions.weights import checked_rank, checked_weight, relative_error

__all__ = ["ResponseLowRank", "relu_step", "zhang"]

PENALTIES = (0.01,) * 25 + (1.0,) * 25


@dataclass(frozen=True, repr=False, eq=False)
class ResponseLowRank(Decomposition):
    """A layer to r maps, then a pointwise layer with a bias of its own.

    Parameters
    ----------
    weight : Tensor, shape (O, I, k_1, ..., k_n)
        The weight that was decomposed; it is not kept.
    first : Tensor, shape (r, I, k_1, ..., k_n)
    last : Tensor, shape (O, r, 1, ...)
    bias : Tensor, shape (O,)
        Of the last step. It replaces the bias of the layer, and gives one to a layer without.
    response_error : float
        Frobenius norm of the change of the responses, behind the ReLU if it was taken into account, divided by that of
        the responses.
    """

    first: torch.Tensor
    last: torch.Tensor
    bias: torch.Tensor
    response_error: float

    @property
    def rank(self) -> int:
        """Maps in the middle."""
        return len(self.first)

    def steps(self) -> tuple[Step, ...]:
        """The layer with full kernels, which strides, and the pointwise one."""
        return Step("first", self.first), Step("last", self.last)

    def reconstruct(self) -> torch.Tensor:
        """The weight O x I x k_1 ... x k_n that both steps together apply."""
        return (self.last.flatten(1) @ self.first.flatten(1)).reshape(len(self.last), *self.first.shape[1:])

    def bias_for(self, layer: nn.Module) -> torch.Tensor:
        """The bias that was fitted with the weights."""
        return self.bias


def zhang(
    layer: nn.Module,
    inputs: torch.Tensor,
    rank: int,
    *,
    relu: bool = False,
    approximate_inputs: torch.Tensor | None = None,
    samples: int = 30_000,
    generator: torch.Generator | None = None,
) -> ResponseLowRank:
    r"""Approximate the responses of a layer by those of a layer of r maps and a pointwise one.

    Without the ReLU the answer is a principal component analysis of the responses :math:`y_i`,

    .. math:: \min_{M, b} \sum_i \| y_i - (M \hat y_i + b) \|^2, \qquad \operatorname{rank} M \le r,

    with :math:`\hat y_i = y_i`. With it, errors below zero cost nothing. The problem is relaxed as

    .. math:: \min_{M, b, z_i} \sum_i \| r(y_i) - r(z_i) \|^2 + \lambda \| z_i - (M \hat y_i + b) \|^2

    and solved in turns (Zhang et al., 2015): for M and b by a regression of rank r, for each z in closed form
    (:func:`relu_step`), 25 times with a small :math:`\lambda` and 25 times with :math:`\lambda = 1`. That need not go
    down at every turn, so the best M and b that were met are returned: on the samples they are never worse than the
    answer without the ReLU.

    Parameters
    ----------
    layer : nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d
        Without groups. With batch normalization between it and the ReLU, fold that first.
    inputs : Tensor, shape (N, I, d_1, ..., d_n), or (..., I) for a linear layer
        What the layer reads in the network, for examples of the training set.
    rank : int
        From 1 to O.
    relu : bool, optional
        Whether a ReLU follows the layer.
    approximate_inputs : Tensor, optional
        What the layer will read once the layers before it are approximated, for the same examples. The new layers then
        read this and still answer what the old one answers to ``inputs``, so that errors do not add up (the asymmetric
        form: :math:`\hat y_i` are the responses to these).
    samples : int, optional
        Pixels whose responses are used, drawn from all.
    generator : torch.Generator, optional
        Draws them. Default: a new one with seed 0.

    Returns
    -------
    ResponseLowRank

    Raises
    ------
    ValueError
        If the layer or the inputs do not fit, the rank is out of range, or the two inputs have different shapes.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> layer = nn.Linear(6, 5)
    >>> inputs = torch.randn(100, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    >>> found = zhang(layer, inputs, rank=2)  # two directions are enough for these inputs, not for the weight
    >>> found.response_error < 1e-5, found.relative_error > 0.1
    (True, True)
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    state = generator.get_state()
    targets = responses(layer, inputs, count=samples, generator=generator)
    weight = checked_weight(layer.weight, (2, 3, 4, 5))
    checked_rank("rank", rank, len(weight), f"a matrix that mixes {len(weight)} maps")
    if approximate_inputs is None:
        regression = _Regression(targets)
        best = regression.principal(rank)
    else:
        if approximate_inputs.shape != inputs.shape:
            raise ValueError(
                f"inputs has shape {tuple(inputs.shape)} and approximate_inputs {tuple(approximate_inputs.shape)}: "
                "give what the layer reads for the same examples."
            )
        generator.set_state(state)  # the same pixels
        regression = _Regression(responses(layer, approximate_inputs, count=samples, generator=generator))
        best = regression.fit(targets, rank)
    if relu:
        best, error = _through_relu(regression, targets.relu(), best, rank)
    else:
        error = relative_error(targets, regression.predict(*best))
    expand, reduce, constant = best
    reduced = reduce @ weight.flatten(1).double()
    size = (torch.linalg.vector_norm(reduced, dim=1) / torch.linalg.vector_norm(expand, dim=0).clamp(min=1e-30)).sqrt()
    size = torch.where(size > 0, size, 1.0)  # both factors of a component get the same norm
    first = (reduced / size[:, None]).reshape(rank, *weight.shape[1:])
    last = (expand * size).reshape(len(weight), rank, *[1] * (weight.dim() - 2))
    old_bias = 0.0 if layer.bias is None else layer.bias.detach().double()
    bias = constant + expand @ (reduce @ (old_bias - regression.mean))
    return ResponseLowRank(weight, *(part.to(weight.dtype) for part in (first, last, bias)), error)


Solution = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class _Regression:
    r"""Regressions of rank r on the same answers :math:`\hat y`, samples x O.

    A solution is ``expand`` (O x r), ``reduce`` (r x O) and ``constant`` (O): the prediction from an answer is
    ``expand @ reduce @ (answer - mean) + constant``.
    """

    def __init__(self, answers: torch.Tensor) -> None:
        self.mean = answers.mean(dim=0, dtype=torch.float64)
        self.centered = answers - self.mean.to(answers.dtype)
        values, vectors = torch.linalg.eigh((self.centered.mT @ self.centered).double())
        self.directions = vectors.flip(-1)
        kept = values.flip(-1) > values[-1] * len(values) * torch.finfo(answers.dtype).eps
        self.whiten = self.directions[:, kept] * values.flip(-1)[kept].rsqrt()
        self.white = self.centered @ self.whiten.to(answers.dtype)  # its columns are orthonormal

    def principal(self, rank: int) -> Solution:
        """The answers themselves from r numbers: their principal components."""
        basis = self.directions[:, :rank]
        return basis, basis.T, self.mean

    def fit(self, targets: torch.Tensor, rank: int) -> Solution:
        """The targets from the answers by a matrix of rank r, with the least sum of squared errors."""
        constant = targets.mean(dim=0, dtype=torch.float64)
        slopes = ((targets - constant.to(targets.dtype)).mT @ self.white).double()
        left, values, right = truncated_factors(slopes, min(rank, *slopes.shape))
        reduce = values[:, None] * right @ self.whiten.T
        missing = rank - len(values)  # the answers vary in fewer directions than r
        return nn.functional.pad(left, (0, missing)), nn.functional.pad(reduce, (0, 0, 0, missing)), constant

    def predict(self, expand: torch.Tensor, reduce: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
        """The predictions for all answers, samples x O."""
        dtype = self.centered.dtype
        return self.centered @ reduce.T.to(dtype) @ expand.T.to(dtype) + constant.to(dtype)


def _through_relu(regression: _Regression, wanted: torch.Tensor, start: Solution, rank: int) -> tuple[Solution, float]:
    """The best solution that is met in turns of regression and :func:`relu_step`, and its error behind the ReLU."""
    predicted = regression.predict(*start)
    best, error = start, relative_error(wanted, predicted.relu())
    for penalty in PENALTIES:
        current = regression.fit(relu_step(wanted, predicted, penalty), rank)
        predicted = regression.predict(*current)
        found = relative_error(wanted, predicted.relu())
        if found < error:
            best, error = current, found
    return best, error


def relu_step(targets: torch.Tensor, linear: torch.Tensor, penalty: float) -> torch.Tensor:
    r"""What to aim at before a ReLU, near a prediction, to come near a target behind it.

    .. math:: \operatorname*{argmin}_z \; (t - r(z))^2 + \lambda (z - v)^2, \qquad r(z) = \max(0, z)

    Below zero the first term is constant, so :math:`z = \min(0, v)`; above it is a weighted mean,
    :math:`z = \max(0, (t + \lambda v) / (1 + \lambda))`. The better of the two is the minimum (Zhang et al., 2015).

    Parameters
    ----------
    targets : Tensor
        t, what the ReLU should give: not negative.
    linear : Tensor of the same shape
        v, the prediction.
    penalty : float
        :math:`\lambda`, positive.

    Returns
    -------
    Tensor of the same shape

    Examples
    --------
    A target of 0 leaves a negative prediction alone; a target of 2 pulls a positive one.

    >>> relu_step(torch.tensor([0.0, 2.0]), torch.tensor([-3.0, 1.0]), penalty=1.0)
    tensor([-3.0000,  1.5000])
    """
    below = linear.clamp(max=0)
    above = ((targets + penalty * linear) / (1 + penalty)).clamp(min=0)
    cost_below = targets.square() + penalty * (below - linear).square()
    cost_above = (targets - above).square() + penalty * (above - linear).square()
    return torch.where(cost_below < cost_above, below, above)
