"""Sparse codes by iterative shrinkage: a gradient step, then everything that is small becomes exactly zero."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from factorkit.arguments import positive_integers
from factorkit.dictionary.pursuit import check_signals

__all__ = ["SparseCodes", "fista", "ista"]


@dataclass(frozen=True)
class SparseCodes:
    """Codes of signals in a dictionary, and how the objective went down.

    Attributes
    ----------
    codes : Tensor, shape (n, atoms)
    dictionary : Tensor, shape (atoms, d)
    objectives : tuple of float
        The objective, averaged over the signals, before the first iteration and after each.
    """

    codes: torch.Tensor = field(repr=False)
    dictionary: torch.Tensor = field(repr=False)
    objectives: tuple[float, ...] = field(repr=False)

    def reconstruct(self) -> torch.Tensor:
        """The signals that the codes stand for, n x d."""
        return self.codes @ self.dictionary

    @property
    def nonzeros(self) -> float:
        """Mean number of atoms that a signal uses."""
        return self.codes.count_nonzero().item() / len(self.codes)

    def __repr__(self) -> str:
        signals, atoms = self.codes.shape
        return (
            f"SparseCodes({signals} signals, {self.nonzeros:.1f} of {atoms} atoms each, "
            f"objective {self.objectives[0]:.4g} -> {self.objectives[-1]:.4g})"
        )


def ista(signals: torch.Tensor, dictionary: torch.Tensor, penalty: float, *, iterations: int = 100) -> SparseCodes:
    r"""Iterative shrinkage and thresholding for the lasso :cite:p:`daubechies2004ista`.

    Of each signal :math:`x` it looks for the code :math:`u` that minimizes

    .. math:: \tfrac12 \|x - u V\|_2^2 + \alpha \|u\|_1

    by a gradient step on the first term and the proximal step of the second, which shrinks each coefficient by
    :math:`\alpha / L` toward zero and stops there:

    .. math:: u \leftarrow S_{\alpha / L}\bigl(u - \tfrac1L (u V - x) V^\top\bigr), \qquad
              S_t(v) = \operatorname{sign}(v) \max(|v| - t, 0).

    With :math:`L` the largest eigenvalue of :math:`V V^\top` the objective never rises, and its distance from the
    minimum falls as one over the number of iterations.

    Parameters
    ----------
    signals : Tensor, shape (n, d)
    dictionary : Tensor, shape (atoms, d)
        :math:`V`; its rows need not have norm 1.
    penalty : float
        :math:`\alpha`: the larger, the sparser.
    iterations : int, optional

    Returns
    -------
    SparseCodes

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is not finite or the penalty is negative.

    Examples
    --------
    With an orthonormal dictionary one iteration is the solution: shrink the coefficients.

    >>> ista(torch.tensor([[3.0, -0.5, 1.0]]), torch.eye(3), penalty=1.0, iterations=1).codes.tolist()
    [[2.0, -0.0, 0.0]]
    """
    return _shrink_iteratively(signals, dictionary, penalty, iterations, accelerated=False)


def fista(signals: torch.Tensor, dictionary: torch.Tensor, penalty: float, *, iterations: int = 100) -> SparseCodes:
    r"""The same problem as :func:`ista`, with the momentum of :cite:t:`beck2009fista`.

    The gradient step starts not from the last code :math:`u_k` but from a point beyond it,

    .. math:: z_k = u_k + \frac{t_{k-1} - 1}{t_k} (u_k - u_{k-1}), \qquad
              t_k = \tfrac12\Bigl(1 + \sqrt{1 + 4 t_{k-1}^2}\Bigr),

    so that the distance from the minimum falls as one over the *square* of the number of iterations. The price: the
    objective may rise for a while.

    Parameters, returns and errors are those of :func:`ista`.

    Examples
    --------
    >>> atoms = F.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    >>> signals = 2 * atoms[:5] + atoms[5:10]
    >>> slow, fast = (solve(signals, atoms, 0.1, iterations=30).objectives[-1] for solve in (ista, fista))
    >>> fast < slow
    True
    """
    return _shrink_iteratively(signals, dictionary, penalty, iterations, accelerated=True)


@torch.no_grad()
def _shrink_iteratively(
    signals: torch.Tensor, dictionary: torch.Tensor, penalty: float, iterations: int, *, accelerated: bool
) -> SparseCodes:
    check_signals(signals, dictionary)
    positive_integers(iterations=iterations)
    if not 0 <= penalty < float("inf"):
        raise ValueError(f"penalty={penalty!r}: give a number of at least 0; the larger, the sparser the codes.")
    lipschitz = torch.linalg.matrix_norm(dictionary, 2).item() ** 2
    if not lipschitz:
        raise ValueError(f"dictionary, {tuple(dictionary.shape)}, is zero everywhere: no code makes a signal of it.")

    def objective(codes: torch.Tensor) -> float:
        fit = (codes @ dictionary - signals).square().sum() / 2
        return ((fit + penalty * codes.abs().sum()) / len(signals)).item()

    codes = signals.new_zeros(len(signals), len(dictionary))
    point, momentum = codes, 1.0
    objectives = [objective(codes)]
    for _ in range(iterations):
        gradient = (point @ dictionary - signals) @ dictionary.T
        previous, codes = codes, F.softshrink(point - gradient / lipschitz, penalty / lipschitz)
        point = codes
        if accelerated:
            following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            point = codes + (momentum - 1) / following * (codes - previous)
            momentum = following
        objectives.append(objective(codes))
    return SparseCodes(codes, dictionary, tuple(objectives))
