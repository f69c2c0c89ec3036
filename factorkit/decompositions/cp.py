"""Canonical polyadic (CP) decomposition of convolution kernels, and the correction of degenerate ones."""

from __future__ import annotations

import math

import torch

from factorkit.arguments import positive_integers
from factorkit.decompositions.als import Fit, Kernel, alternate, bounded_step, sweep
from factorkit.decompositions.cp_results import CP
from factorkit.decompositions.weights import checked_weight, shape_text

__all__ = ["CP", "cp", "error_preserving_correction"]

LARGE = 2**25  # operations of a product from which float32 is faster and a compressed start pays


def cp(
    weight: torch.Tensor,
    rank: int,
    *,
    merge_spatial: bool = False,
    ridge: float = 1e-5,
    restarts: int = 1,
    iterations: int = 100,
    tolerance: float = 1e-5,
    target: float = 0.0,
    seed: int = 0,
) -> CP:
    r"""Decompose a kernel into a sum of rank-one tensors.

    Minimizes :math:`\| W - \hat W \|^2 / \| W \|^2 + \lambda \sum_r \| w_r \|^2 / \| W \|^2` over the components
    :math:`w_r` by extrapolated alternating least squares from leading singular vectors. A best approximation of given
    rank need not exist: components may grow without limit and cancel each other while the error still falls
    :cite:p:`desilva2008tensor`. The ridge keeps them small; what it costs in error is of the order of
    :math:`\lambda`.

    Large kernels of small rank are first compressed to their leading channel subspaces, and the factors found there
    are the start on the whole kernel :cite:p:`bro1998improving`.

    Parameters
    ----------
    weight : Tensor of float32 or float64, shape (O, I, k_1, ..., k_n)
        Of a convolution along one, two or three axes.
    rank : int
        Number of components, R. It may be larger than any size.
    merge_spatial : bool, optional
        Whether one factor stands for all spatial modes. It costs more parameters and makes fewer layers, and its best
        error is no larger.
    ridge : float, optional
        :math:`\lambda`, at least 0.
    restarts : int, optional
        Starts, each with other random spatial factors; the one with the smallest error is returned.
    iterations : int, optional
        Sweeps over all factors, at most; as many on the compressed kernel.
    tolerance : float, optional
        Stop when three sweeps in a row lower the error by less than this fraction.
    target : float, optional
        Stop at this relative error.
    seed : int, optional
        Of the random part of the starts.

    Returns
    -------
    CP
        Components from the largest to the smallest, factors with columns of norm 1.

    Raises
    ------
    ValueError
        If the weight is no kernel of finite numbers, or an argument is out of its range.

    Examples
    --------
    >>> weight = torch.randn(64, 64, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> cp(weight, 20, merge_spatial=True)
    CP(64 x 64 x 3 x 3, rank 20, relative error 0.919, 2,740 parameters instead of 36,864: 13.5 times fewer)
    """
    weight = checked_weight(weight, (3, 4, 5))
    positive_integers(rank=rank, restarts=restarts, iterations=iterations)
    for name, value in (("ridge", ridge), ("tolerance", tolerance), ("target", target)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}={value!r}: give a finite number of at least 0.")
    tensor, norm = _normalized(weight, rank)
    if merge_spatial:
        tensor = tensor.flatten(2)
    if norm == 0:
        zeros = [torch.zeros(rank, size, dtype=tensor.dtype, device=tensor.device) for size in tensor.shape]
        return _result(weight, zeros, 0.0)
    options = {"ridge": ridge, "iterations": iterations, "tolerance": tolerance, "target": target}
    kernel = Kernel.of(tensor)
    bases = [_leading(matrix, rank) for matrix in (kernel.outputs, kernel.inputs)]
    best = None
    for start in range(restarts):
        factors = _start(tensor, bases, rank, seed + start, options)
        fit = alternate(kernel, factors, **options)
        if best is None or fit.error < best.error:
            best = fit
    return _result(weight, best.factors, norm)


def error_preserving_correction(
    found: CP, weight: torch.Tensor, *, error: float | None = None, iterations: int = 100, tolerance: float = 1e-3
) -> CP:
    r"""Make the components of a decomposition as small as its error allows.

    Minimizes :math:`\sum_r \| w_r \|^2` subject to :math:`\| W - \hat W \| \le \delta \| W \|`, one factor at a time,
    each in closed form :cite:p:`phan2019error`. What was degenerate becomes fit for rounding and fine-tuning
    :cite:p:`phan2020stable`.

    Parameters
    ----------
    found : CP
    weight : Tensor
        The weight that ``found`` stands for.
    error : float, optional
        :math:`\delta`, the relative error that is allowed. By default that of ``found``.
    iterations : int, optional
        Sweeps over all factors, at most.
    tolerance : float, optional
        Stop when a sweep lowers the sum by less than this fraction.

    Returns
    -------
    CP

    Raises
    ------
    ValueError
        If the weight has another shape than that of ``found``, is zero, or ``error`` is smaller than that of
        ``found``.

    Examples
    --------
    The sum of three rank-one tensors that two large ones approach, however closely one likes:

    >>> a, b = torch.eye(2, dtype=torch.float64)
    >>> outer = lambda x, y, z: torch.einsum("i,j,k->ijk", x, y, z)
    >>> weight = outer(a, a, b) + outer(a, b, a) + outer(b, a, a)
    >>> near = a + 0.01 * b
    >>> pair = CP(weight, torch.tensor([100.0, -100.0]).double(), tuple(torch.stack([near, a], 1) for _ in range(3)))
    >>> round(pair.relative_error, 4), round(pair.largest_norm, 1)
    (0.01, 57.7)
    >>> corrected = error_preserving_correction(pair, weight, error=0.1)
    >>> round(corrected.relative_error, 4), round(corrected.largest_norm, 1)
    (0.1, 0.9)
    """
    weight = checked_weight(weight, (3, 4, 5))
    positive_integers(iterations=iterations)
    if tuple(weight.shape) != found.shape:
        raise ValueError(
            f"weight has shape {shape_text(weight.shape)} and the decomposition {shape_text(found.shape)}: give the "
            "weight that was decomposed."
        )
    allowed = found.relative_error if error is None else error
    if not found.relative_error <= allowed < math.inf:
        raise ValueError(
            f"error={error!r}: the correction keeps an error and does not lower it; give at least that of the "
            f"decomposition, {found.relative_error:.6g}, or decompose with more iterations."
        )
    tensor, norm = _normalized(weight.double(), found.rank)
    if norm == 0:
        raise ValueError("weight is zero: no component of it can be made smaller.")
    kernel = Kernel.of(tensor.flatten(2) if found.merged else tensor)
    outputs, *others = (factor.double().T for factor in found.balanced())
    fit = Fit([outputs / norm, *others], found.relative_error**2, float(found.component_norms.square().sum()) / norm**2)
    solver = bounded_step(allowed**2)
    for _ in range(iterations):
        before, fit = fit, sweep(kernel, fit.factors, solver)
        if fit.penalty >= (1 - tolerance) * before.penalty:
            break
    return _result(weight, fit.factors if fit.penalty < before.penalty else before.factors, norm)


def _normalized(weight: torch.Tensor, rank: int) -> tuple[torch.Tensor, float]:
    """The weight divided by its norm, in float64 unless products with it are large; and the norm."""
    norm = float(torch.linalg.vector_norm(weight, dtype=torch.float64))
    dtype = torch.float64 if weight.numel() * rank < LARGE else weight.dtype
    return (weight.double() / norm if norm else weight).to(dtype), norm


def _leading(unfolded: torch.Tensor, rank: int) -> torch.Tensor:
    """At most R leading left singular vectors as rows, from the Gram matrix."""
    return torch.linalg.eigh(unfolded @ unfolded.T)[1].flip(1)[:, :rank].T.contiguous()


def _start(
    tensor: torch.Tensor, bases: list[torch.Tensor], rank: int, seed: int, options: dict[str, float]
) -> list[torch.Tensor]:
    """Leading singular vectors of the channel modes and random spatial factors, or the best of a compressed kernel."""
    generator = torch.Generator().manual_seed(seed)

    def rows(count: int, size: int) -> torch.Tensor:
        drawn = torch.randn(count, size, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(drawn).to(tensor)

    channels = [torch.cat([basis, rows(rank - len(basis), basis.shape[1])]) for basis in bases]
    spatial = [rows(rank, size) for size in tensor.shape[2:]]
    few = 4 * len(bases[0]) * len(bases[1]) <= len(tensor) * tensor.shape[1]
    if not few or tensor.numel() * rank < LARGE:
        return [*channels, *spatial]
    core = (bases[0] @ tensor.flatten(1)).view(len(bases[0]), *tensor.shape[1:]).movedim(1, -1) @ bases[1].T
    core = core.movedim(-1, 1).double()
    inside = [torch.eye(rank, len(basis), dtype=core.dtype, device=core.device) for basis in bases]
    fit = alternate(Kernel.of(core), [*inside, *(factor.double() for factor in spatial)], **options)
    outputs, inputs, *spatial = (factor.to(tensor.dtype) for factor in fit.factors)
    return [outputs @ bases[0], inputs @ bases[1], *spatial]


def _result(weight: torch.Tensor, factors: list[torch.Tensor], norm: float) -> CP:
    """Components with columns of norm 1, the largest first, in the type of the weight."""
    factors = [factor.double() for factor in factors]
    lengths = [torch.linalg.vector_norm(factor, dim=1, keepdim=True) for factor in factors]
    norms = norm * torch.cat(lengths, 1).prod(1)
    order = norms.argsort(descending=True)
    rows = (factor / length.clamp_min(1e-300) for factor, length in zip(factors, lengths, strict=True))
    columns = tuple(row[order].T.to(weight.dtype).contiguous() for row in rows)
    return CP(weight, norms[order].to(weight.dtype), columns)
