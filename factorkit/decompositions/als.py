"""Alternating least squares for canonical polyadic decompositions: sweeps with few large products, and extrapolation.

Factors are kept as R x n here, one row for each component, because every product then reads memory in order. Public
results have them as n x R, as TensorLy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["Fit", "Kernel", "alternate", "bounded_step", "khatri_rao", "ridge_step", "sweep"]

Factors = list[torch.Tensor]
Solver = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

FIRST_STEP, GROWTH, GROWTH_OF_BOUND, SHRINKAGE, LARGEST_STEP = 0.5, 1.05, 1.01, 1.5, 1.2
SLOW_SWEEPS = 3
TINY = 1e-30
JITTERS = (1e-14, 1e-12, 1e-10, 1e-8)


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of norm 1, or the core of one, laid out for the two large products of a sweep.

    Parameters
    ----------
    outputs : Tensor, shape (O, I k_1 ... k_n)
    inputs : Tensor, shape (I, O k_1 ... k_n)
    sizes : tuple of int
        k_1 ... k_n.
    """

    outputs: torch.Tensor
    inputs: torch.Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Kernel:
        """Lay out a tensor, O x I x k_1 ... k_n."""
        return cls(tensor.flatten(1), tensor.transpose(0, 1).flatten(1).contiguous(), tuple(tensor.shape[2:]))


@dataclass(frozen=True, eq=False)
class Fit:
    """Factors and how well they fit.

    Parameters
    ----------
    factors : list of Tensor, shapes (R, O), (R, I), (R, k_1) ... (R, k_n)
        Rows of norm 1, but those of the input channels, which have the norms of the components.
    error : float
        Squared distance to the kernel.
    penalty : float
        Sum of the squared norms of the components.
    """

    factors: Factors
    error: float
    penalty: float


def khatri_rao(factors: Factors) -> torch.Tensor:
    """Row-wise Kronecker product, R x n_1 ... n_m.

    Examples
    --------
    >>> khatri_rao([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])])
    tensor([[3., 4., 6., 8.]])
    """
    product = factors[0]
    for factor in factors[1:]:
        product = (product[:, :, None] * factor[:, None, :]).flatten(1)
    return product


def _gram(factor: torch.Tensor) -> torch.Tensor:
    factor = factor.double()
    return factor @ factor.T


def _product(matrices: list[torch.Tensor]) -> torch.Tensor:
    """Elementwise product, a tensor of its own."""
    product = matrices[0].clone()
    for matrix in matrices[1:]:
        product *= matrix
    return product


def ridge_step(ridge: float) -> Solver:
    r"""The update of one factor: least squares with a penalty on the squared norms of the components.

    Solves :math:`(G + \lambda \, \mathrm{diag}(G)) X = M`, where :math:`G` is the R x R matrix of inner products of
    the other modes' components. :math:`G_{rr} \| x_r \|^2` is the squared norm of component r, so each update lowers
    the same objective, :math:`\| W - \hat W \|^2 + \lambda \sum_r \| w_r \|^2`, which no components that grow without
    limit and cancel each other can lower.
    """

    def step(gram: torch.Tensor, matched: torch.Tensor) -> torch.Tensor:
        matrix, size = gram.clone(), gram.diagonal().mean().clamp_min(TINY)
        matrix.diagonal().mul_(1 + ridge)
        for jitter in JITTERS:  # without a ridge, components that are alike make the matrix singular
            lower, failed = torch.linalg.cholesky_ex(matrix)
            if not failed:
                return torch.cholesky_solve(matched.double(), lower).to(matched.dtype)
            matrix.diagonal().add_(jitter * size)
        return (torch.linalg.pinv(matrix, hermitian=True) @ matched.double()).to(matched.dtype)

    return step


def bounded_step(bound: float) -> Solver:
    r"""The update of one factor that makes the components as small as a bound on the squared error allows.

    Minimizes :math:`\sum_r \| w_r \|^2` subject to :math:`\| W - \hat W \|^2 \le \delta^2`: the ridge update whose
    :math:`\lambda` is the root of one increasing function, evaluated from one eigendecomposition
    :cite:p:`phan2019error`.
    """

    def step(gram: torch.Tensor, matched: torch.Tensor) -> torch.Tensor:
        scale = gram.diagonal().clamp_min(1e-300).rsqrt()
        values, vectors = torch.linalg.eigh(scale[:, None] * gram * scale)
        values = values.clamp_min(0)
        turned = vectors.T @ (scale[:, None] * matched.double())
        energies = turned.square().sum(1)

        def error(ridge: float) -> float:
            damped = values + ridge
            return 1 + float((energies * (values / damped - 2) / damped).sum())

        low, high = 1e-14 * float(values[-1]), 1e3 * float(values[-1])
        for _ in range(40):  # a factor of 1e17 down to one of 1 + 1e-10
            middle = math.sqrt(low * high)
            low, high = (middle, high) if error(middle) <= bound else (low, middle)
        return (scale[:, None] * (vectors @ (turned / (values + low)[:, None]))).to(matched.dtype)

    return step


def sweep(kernel: Kernel, factors: Factors, step: Solver) -> Fit:
    r"""Update every factor once: the input channels, the spatial modes, the output channels.

    The kernel is multiplied twice only, by the factors of its output and its input channels, at
    :math:`2 R O I k_1 \cdots k_n` operations each. The first product gives the update of the input channels and those
    of all spatial modes, the second that of the output channels (a dimension tree :cite:p:`phan2013fast`). No
    Khatri-Rao product with a channel mode is ever made, and the error follows from R x R matrices.

    Parameters
    ----------
    kernel : Kernel
    factors : list of Tensor, shapes (R, O), (R, I), (R, k_1) ... (R, k_n)
        Those of the input channels are not read.
    step : callable
        Solves for one factor: :func:`ridge_step` or :func:`bounded_step`.

    Returns
    -------
    Fit
    """
    outputs, _, *spatial = factors
    rank = len(outputs)
    gram_outputs, grams = _gram(outputs), [_gram(factor) for factor in spatial]

    contracted = (outputs @ kernel.outputs).view(rank, -1, math.prod(kernel.sizes))
    matched = torch.bmm(contracted, khatri_rao(spatial)[:, :, None])[:, :, 0]
    inputs = step(_product([gram_outputs, *grams]), matched)
    gram_inputs = _gram(inputs)

    window = torch.bmm(inputs[:, None], contracted).view(rank, *kernel.sizes)
    for mode, size in enumerate(kernel.sizes):
        others = spatial[:mode] + spatial[mode + 1 :]
        matched = window.movedim(1 + mode, 1).reshape(rank, size, -1)
        matched = torch.bmm(matched, khatri_rao(others)[:, :, None])[:, :, 0] if others else matched[:, :, 0]
        other_grams = grams[:mode] + grams[mode + 1 :]
        spatial[mode] = step(_product([gram_outputs, gram_inputs, *other_grams]), matched)
        grams[mode] = _gram(spatial[mode])

    contracted = (inputs @ kernel.inputs).view(rank, -1, math.prod(kernel.sizes))
    matched = torch.bmm(contracted, khatri_rao(spatial)[:, :, None])[:, :, 0]
    gram = _product([gram_inputs, *grams])
    outputs = step(gram, matched)
    gram_outputs = _gram(outputs)
    error = 1 - 2 * float((outputs * matched).sum(dtype=torch.float64)) + float((gram_outputs * gram).sum())
    penalty = float((gram_outputs.diagonal() * gram.diagonal()).sum())
    lengths = [torch.linalg.vector_norm(factor, dim=1, keepdim=True) for factor in (outputs, *spatial)]
    outputs, *spatial = (f / length.clamp_min(TINY) for f, length in zip((outputs, *spatial), lengths, strict=True))
    return Fit([outputs, inputs * math.prod(lengths), *spatial], max(error, 0.0), penalty)


def alternate(
    kernel: Kernel, factors: Factors, *, ridge: float, iterations: int, tolerance: float, target: float
) -> Fit:
    r"""Sweep with extrapolation until the error stands still.

    Each sweep starts from :math:`x_t + \beta (x_t - x_{t-1})`. A sweep that raises the objective is undone, and
    :math:`\beta` and its bound shrink; otherwise both grow :cite:p:`ang2020extrapolated`.

    Parameters
    ----------
    kernel : Kernel
    factors : list of Tensor, shapes (R, O), (R, I), (R, k_1) ... (R, k_n)
    ridge : float
    iterations : int
        Sweeps at most.
    tolerance : float
        Stop after three sweeps in a row that lower the error by less than this fraction.
    target : float
        Stop at this relative error.

    Returns
    -------
    Fit
        The best that a sweep ended with.
    """
    step, extrapolation, bound = ridge_step(ridge), FIRST_STEP, 1.0
    best, slow = None, 0
    for _ in range(iterations):
        fit = sweep(kernel, factors, step)
        before = math.inf if best is None else best.error + ridge * best.penalty
        now = fit.error + ridge * fit.penalty
        if best is not None and now > before:
            bound, extrapolation = extrapolation, extrapolation / SHRINKAGE
            factors, slow = best.factors, slow + 1
        else:
            previous, best = best, fit
            slow = slow + 1 if math.sqrt(now) > (1 - tolerance) * math.sqrt(before) else 0
            factors = fit.factors
            if previous is not None:
                extrapolation = min(bound, extrapolation * GROWTH)
                bound = min(LARGEST_STEP, bound * GROWTH_OF_BOUND)
                pairs = zip(fit.factors, previous.factors, strict=True)
                factors = [new + extrapolation * (new - old) for new, old in pairs]
        if slow == SLOW_SWEEPS or best.error <= target**2:
            break
    return best
