"""Codes with a given number of nonzeros: orthogonal matching pursuit of many signals at once."""

from __future__ import annotations

import torch

from factorkit.arguments import positive_integers

__all__ = ["check_signals", "omp"]

# Signals that are coded together: what they need of memory fits the cache of a core.
SIGNALS_AT_ONCE = 2048
# An atom whose part outside the chosen ones is shorter than this adds nothing but rounding errors.
SHORTEST = 1e-3


@torch.no_grad()
def omp(
    signals: torch.Tensor,
    dictionary: torch.Tensor,
    nonzeros: int,
    *,
    tolerance: float | None = None,
    known: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Orthogonal matching pursuit :cite:p:`pati1993omp`, all signals in step.

    To each signal it chooses the atom that has the largest correlation with what is not yet explained, then projects
    the signal onto all chosen atoms, ``nonzeros`` times. The projection grows by Gram-Schmidt: the new atom :math:`v`
    loses what the chosen ones span and is scaled to norm 1, so the residual :math:`r` loses a single component,

    .. math:: q = \frac{v - Q^\top Q v}{\|v - Q^\top Q v\|}, \qquad r \leftarrow r - \langle q, r \rangle q.

    As in the batch version of :cite:t:`rubinstein2008ksvd` the gain is that thousands of signals share each matrix
    product with the dictionary.

    Parameters
    ----------
    signals : Tensor, shape (n, d)
    dictionary : Tensor, shape (atoms, d)
        Rows of norm 1.
    nonzeros : int
        Most atoms of a signal, at most ``atoms`` and ``d``.
    tolerance : float, optional
        A signal whose residual has at most this mean square, over its known entries, takes no further atoms.
    known : Tensor of bool, shape (n, d), optional
        The entries that count; the others are missing. The atoms' missing entries are left out likewise.

    Returns
    -------
    Tensor, shape (n, atoms)
        The codes: at most ``nonzeros`` numbers in a row are not zero.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, an atom has not norm 1 or there are too many nonzeros.

    Examples
    --------
    >>> atoms = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> omp(torch.tensor([[3.0, 4.0], [2.0, 0.0]]), atoms, nonzeros=1)
    tensor([[0., 0., 5.],
            [2., 0., 0.]])
    """
    check_signals(signals, dictionary)
    positive_integers(nonzeros=nonzeros)
    if nonzeros > min(dictionary.shape):
        raise ValueError(
            f"nonzeros={nonzeros}: a dictionary of {len(dictionary)} atoms with {dictionary.shape[1]} entries each has "
            f"at most {min(dictionary.shape)} independent ones."
        )
    norms = torch.linalg.vector_norm(dictionary, dim=1)
    if (norms - 1).abs().max() > 1e-3:
        atom = int((norms - 1).abs().argmax())
        raise ValueError(
            f"atom {atom} has norm {norms[atom]:.4g}: atoms are compared by correlation, so each needs norm 1; divide "
            "the rows by their norms."
        )
    if known is not None and (known.dtype != torch.bool or known.shape != signals.shape):
        raise ValueError(
            f"known is {known.dtype} of shape {tuple(known.shape)}: give one bool for each entry of the signals, "
            f"{tuple(signals.shape)}."
        )
    codes = signals.new_zeros(len(signals), len(dictionary))
    for start in range(0, len(signals), SIGNALS_AT_ONCE):
        part = slice(start, start + SIGNALS_AT_ONCE)
        mask = None if known is None else known[part].to(signals.dtype)
        chosen, coefficients = _pursue(signals[part], dictionary, nonzeros, tolerance, mask)
        codes[part].scatter_add_(1, chosen, coefficients)
    return codes


def check_signals(signals: torch.Tensor, dictionary: torch.Tensor) -> None:
    """Refuse signals and a dictionary that are no matrices of equally long rows of finite numbers."""
    for name, rows in (("signals", signals), ("dictionary", dictionary)):
        if rows.dim() != 2 or not rows.numel():
            raise ValueError(f"{name} of shape {tuple(rows.shape)}: give a matrix, a row for each vector.")
        if rows.dtype not in (torch.float32, torch.float64) or not rows.isfinite().all():
            raise ValueError(
                f"{name} of {rows.dtype}: give finite numbers of float32 or float64, as x.float(); NaN and infinity "
                "have no code."
            )
    if signals.dtype != dictionary.dtype:
        raise ValueError(
            f"signals of {signals.dtype} and a dictionary of {dictionary.dtype}: give both in one type, as "
            "dictionary.to(signals)."
        )
    if signals.shape[1] != dictionary.shape[1]:
        raise ValueError(
            f"signals are {tuple(signals.shape)} and the dictionary is {tuple(dictionary.shape)}: signals and atoms "
            "need the same number of entries."
        )


def _pursue(
    signals: torch.Tensor, dictionary: torch.Tensor, nonzeros: int, tolerance: float | None, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the chosen atoms and their coefficients, both (signals, nonzeros)."""
    atoms = dictionary.T.contiguous()
    chosen = torch.zeros(len(signals), nonzeros, dtype=torch.long, device=signals.device)
    components = signals.new_zeros(nonzeros, len(signals))
    # Chosen atoms = directions @ triangle, for each signal.
    triangle = torch.eye(nonzeros).to(signals)[:, :, None].repeat(1, 1, len(signals))
    rows = torch.arange(len(signals), device=signals.device)  # of the signals that still take atoms
    residual = signals.clone() if mask is None else signals * mask
    directions: list[torch.Tensor] = []
    for step in range(nonzeros):
        if tolerance is not None:
            entries = signals.shape[1] if mask is None else mask.sum(dim=1)
            busy = (residual.square().sum(dim=1) > tolerance * entries).nonzero()[:, 0]
            rows, residual = rows[busy], residual[busy]
            directions = [direction[busy] for direction in directions]
            mask = None if mask is None else mask[busy]
            if not len(rows):
                break
        correlations = (residual @ atoms).abs_()
        if mask is not None:  # of the atoms' known parts, scaled to norm 1
            correlations /= (mask @ atoms.square()).sqrt_().clamp_min_(SHORTEST)
        correlations.scatter_(1, chosen[rows, :step], -1)
        best = _largest(correlations)
        direction = dictionary[best] if mask is None else dictionary[best] * mask
        chosen[rows, step] = best
        for earlier, previous in enumerate(directions):
            overlap = torch.linalg.vecdot(previous, direction)
            triangle[earlier, step, rows] = overlap
            direction.addcmul_(previous, overlap[:, None], value=-1)
        norm = torch.linalg.vector_norm(direction, dim=1)
        usable = norm > SHORTEST
        norm = torch.where(usable, norm, 1)
        direction *= (usable / norm)[:, None]
        component = torch.linalg.vecdot(direction, residual)
        residual.addcmul_(direction, component[:, None], value=-1)
        directions.append(direction)
        triangle[step, step, rows], components[step, rows] = norm, component
    for step in reversed(range(nonzeros)):  # solve triangle @ coefficients = components from below
        components[step] -= (triangle[step, step + 1 :] * components[step + 1 :]).sum(dim=0)
        components[step] /= triangle[step, step]
    return chosen, components.T


def _largest(rows: torch.Tensor) -> torch.Tensor:
    """Index of the largest entry of each row; on a CPU NumPy finds it up to ten times as fast as torch."""
    return torch.from_numpy(rows.numpy().argmax(axis=1)) if rows.device.type == "cpu" else rows.argmax(dim=1)
