"""Dictionaries learned from the signals themselves: code with the atoms, then fit the atoms to the codes, in turn."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F
from tqdm.auto import trange

from factorkit.arguments import one_of, positive_integers
from factorkit.dictionary.pursuit import check_signals, omp

__all__ = ["DictionaryLearning", "learn_dictionary"]

RIDGE = 1e-6
# Each update goes on in the direction of the one before by this part of their difference.
MOMENTUM = 0.8


@dataclass(frozen=True)
class DictionaryLearning:
    """A learned dictionary with the codes of the signals it was learned from.

    Attributes
    ----------
    dictionary : Tensor, shape (atoms, d)
        Rows of norm 1.
    codes : Tensor, shape (n, atoms)
        At most ``nonzeros`` numbers of a row are not zero.
    errors : tuple of float
        ``errors[i]`` is the relative error after i updates of the dictionary; scikit-learn tells only the last one.
    nonzeros : int
    method : str
    """

    dictionary: torch.Tensor = field(repr=False)
    codes: torch.Tensor = field(repr=False)
    errors: tuple[float, ...] = field(repr=False)
    nonzeros: int
    method: str

    def reconstruct(self) -> torch.Tensor:
        """The signals as sums of atoms, n x d."""
        return self.codes @ self.dictionary

    @property
    def relative_error(self) -> float:
        """Frobenius norm of what is missing, divided by that of the signals."""
        return self.errors[-1]

    def __repr__(self) -> str:
        (signals, atoms), length = self.codes.shape, self.dictionary.shape[1]
        return (
            f"DictionaryLearning({self.method}: {signals} signals of {length} numbers, {self.nonzeros} of {atoms} "
            f"atoms each, relative error {self.relative_error:.4f})"
        )


@torch.no_grad()
def learn_dictionary(
    signals: torch.Tensor,
    atoms: int,
    nonzeros: int,
    *,
    method: str = "mod",
    iterations: int = 15,
    seed: int = 0,
    progress: bool = False,
) -> DictionaryLearning:
    r"""Learn atoms of which a few add up to each signal.

    The problem is to find :math:`U` (n x atoms) and :math:`V` (atoms x d) with

    .. math:: \min_{U, V} \|X - U V\|_F^2 \quad\text{with}\quad \|u_i\|_0 \le \text{nonzeros},\ \|v_m\|_2 = 1.

    One half is solved while the other is fixed: :math:`U` by orthogonal matching pursuit (:func:`omp`), :math:`V`

    * ``"mod"`` by the method of optimal directions :cite:p:`engan1999mod`, all atoms at once by least squares,
      :math:`V = (U^\top U)^{-1} U^\top X`;
    * ``"ksvd"`` after :cite:t:`aharon2006ksvd`, one atom after the other and its coefficients with it, from the signals
      that use it; one step of power iteration stands for their singular value decomposition
      :cite:p:`rubinstein2008ksvd`;
    * ``"sklearn"`` by ``sklearn.decomposition.MiniBatchDictionaryLearning``, whose codes are those of the lasso while
      it learns; the codes returned are again those of orthogonal matching pursuit.

    Both go beyond the atoms they have fitted by 0.8 of the difference from those fitted before, except the last time;
    with this momentum 15 updates go further down than 30 without it. An atom that no signal uses is replaced by the
    signal that is represented worst.

    Parameters
    ----------
    signals : Tensor, shape (n, d)
        Usually without their means. At least ``atoms`` of them are not zero.
    atoms, nonzeros : int
        Size of the dictionary, and most atoms of a signal.
    method : {"mod", "ksvd", "sklearn"}, optional
    iterations : int, optional
        Updates of the dictionary; for scikit-learn the most passes over the signals.
    seed : int, optional
        Chooses the signals that are the first atoms.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    DictionaryLearning

    Raises
    ------
    ValueError
        If there are fewer signals that are not zero than atoms, a value is not finite or a count is not possible.

    Examples
    --------
    Signals made of pairs of eight directions are taken apart again.

    >>> generator = torch.Generator().manual_seed(0)
    >>> directions = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    >>> pairs = torch.rand(500, 8, generator=generator).argsort(dim=1)[:, :2]
    >>> signals = torch.randn(500, 2, 1, generator=generator).mul(directions[pairs]).sum(dim=1)
    >>> learned = learn_dictionary(signals, atoms=8, nonzeros=2, method="ksvd", iterations=30)
    >>> learned.relative_error < 0.01
    True
    """
    one_of("method", method, ("mod", "ksvd", "sklearn"))
    positive_integers(atoms=atoms, nonzeros=nonzeros, iterations=iterations)
    check_signals(signals, signals)
    generator = torch.Generator().manual_seed(seed)
    if method == "sklearn":
        dictionary = _learn_with_sklearn(signals, atoms, iterations, seed)
        updates = 0
    else:
        dictionary, updates = _first_atoms(signals, atoms, generator), iterations
    update = _update_by_ksvd if method == "ksvd" else _update_by_mod
    codes = omp(signals, dictionary, nonzeros)
    errors = [_relative_error(signals, codes, dictionary)]
    previous = dictionary.clone()
    for number in trange(updates, disable=not progress, leave=False):
        fitted = update(signals, codes, dictionary)
        unused = (codes.count_nonzero(dim=0) == 0).nonzero()[:, 0]
        if len(unused):
            fitted[unused] = previous[unused] = _worst(signals, codes @ dictionary, len(unused))
        momentum = 0 if number == updates - 1 else MOMENTUM
        dictionary, previous = F.normalize(fitted + momentum * (fitted - previous), dim=1), fitted
        codes = omp(signals, dictionary, nonzeros)
        errors.append(_relative_error(signals, codes, dictionary))
    return DictionaryLearning(dictionary, codes, tuple(errors), nonzeros, method)


def _relative_error(signals: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor) -> float:
    return (torch.linalg.norm(signals - codes @ dictionary) / torch.linalg.norm(signals)).item()


def _first_atoms(signals: torch.Tensor, atoms: int, generator: torch.Generator) -> torch.Tensor:
    nonzero = signals[torch.linalg.vector_norm(signals, dim=1) > 0]
    if len(nonzero) < atoms:
        raise ValueError(
            f"atoms={atoms}: the first atoms are signals that are not zero, of which there are {len(nonzero)} here; "
            "learn fewer atoms or give more signals."
        )
    order = torch.randperm(len(nonzero), generator=generator)[:atoms]
    return F.normalize(nonzero[order.to(signals.device)], dim=1)


def _worst(signals: torch.Tensor, approximations: torch.Tensor, count: int) -> torch.Tensor:
    """The signals that are represented worst, as atoms."""
    missing = (signals - approximations).square().sum(dim=1)
    missing[torch.linalg.vector_norm(signals, dim=1) == 0] = -1
    return F.normalize(signals[missing.topk(count).indices], dim=1)


def _update_by_mod(signals: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    gram = codes.T @ codes
    gram.diagonal().add_(RIDGE * gram.diagonal().mean().clamp_min(RIDGE))
    fitted = torch.linalg.solve(gram, codes.T @ signals)
    norms = torch.linalg.vector_norm(fitted, dim=1, keepdim=True)
    return torch.where(norms > 0, fitted / norms, dictionary)


def _update_by_ksvd(signals: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    codes, dictionary = codes.clone(), dictionary.clone()
    residual = signals - codes @ dictionary
    for atom in range(len(dictionary)):
        users = codes[:, atom].nonzero()[:, 0]
        if not len(users):
            continue
        own = codes[users, atom]
        without = residual[users] + torch.outer(own, dictionary[atom])
        direction = own @ without
        norm = torch.linalg.vector_norm(direction)
        if norm > 0:
            dictionary[atom] = direction / norm
        own = without @ dictionary[atom]
        residual[users] = without - torch.outer(own, dictionary[atom])
        codes[users, atom] = own
    return dictionary


def _learn_with_sklearn(signals: torch.Tensor, atoms: int, iterations: int, seed: int) -> torch.Tensor:
    from sklearn.decomposition import MiniBatchDictionaryLearning

    scale = signals.square().mean().sqrt().clamp_min(torch.finfo(signals.dtype).tiny)
    learner = MiniBatchDictionaryLearning(atoms, alpha=0.1, max_iter=iterations, random_state=seed)
    learner.fit((signals / scale).cpu().numpy())
    return F.normalize(torch.from_numpy(learner.components_).to(signals), dim=1)
