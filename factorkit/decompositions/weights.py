"""Checks of what a decomposition is given, and the error that all of them report."""

from __future__ import annotations

import math

import torch

from factorkit.arguments import positive_integers

__all__ = ["checked_rank", "checked_weight", "relative_error", "shape_text"]


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as messages show it.

    Examples
    --------
    >>> shape_text((64, 3, 3, 3))
    '64 x 3 x 3 x 3'
    """
    return " x ".join(map(str, shape))


def checked_weight(weight: torch.Tensor, dims: tuple[int, ...], *, groups: int = 1) -> torch.Tensor:
    """Return the weight detached, refusing what cannot be decomposed.

    Parameters
    ----------
    weight : Tensor of float32 or float64
        Of a linear layer, O x I, or of a convolution, O x I / groups x k_1 ... x k_n.
    dims : tuple of int
        Numbers of dimensions that the method takes.
    groups : int, optional
        Of the convolution; must divide O.

    Raises
    ------
    ValueError
        If the weight is no such tensor, is empty, or holds a value that is not finite.

    Examples
    --------
    >>> checked_weight(torch.ones(8, 4, 3, 3), (4,)).shape
    torch.Size([8, 4, 3, 3])
    >>> checked_weight(torch.ones(8), (2, 4))
    Traceback (most recent call last):
    ValueError: weight has shape (8,): give one with 2 or 4 dimensions.
    """
    if not isinstance(weight, torch.Tensor):
        raise ValueError(f"weight is a {type(weight).__name__}: give a tensor, for example layer.weight.")
    if weight.dim() not in dims:
        choices = " or ".join(map(str, dims))
        raise ValueError(f"weight has shape {tuple(weight.shape)}: give one with {choices} dimensions.")
    if weight.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"weight is of {weight.dtype}: give float32 or float64, for example weight.float().")
    if not weight.numel() or not _finite(weight):
        raise ValueError(
            f"weight, of shape {tuple(weight.shape)}, is empty or holds NaN or infinity: nothing can approximate it."
        )
    positive_integers(groups=groups)
    if len(weight) % groups:
        raise ValueError(f"groups={groups} does not divide the {len(weight)} output channels of the weight.")
    return weight.detach()


def checked_rank(name: str, rank: int, largest: int, of: str) -> int:
    """Return the rank, refusing one that is no integer from 1 to ``largest``.

    Parameters
    ----------
    name : str
        Of the argument.
    rank : int
    largest : int
        Rank that is always exact, so that a larger one would only waste parameters.
    of : str
        What has this largest rank, for the message.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> checked_rank("rank", 70, 64, "a 64 x 576 matrix")
    Traceback (most recent call last):
    ValueError: rank=70: a 64 x 576 matrix has rank at most 64.
    """
    positive_integers(**{name: rank})
    if rank > largest:
        raise ValueError(f"{name}={rank}: {of} has rank at most {largest}.")
    return rank


def relative_error(weight: torch.Tensor, approximation: torch.Tensor) -> float:
    r"""Frobenius norm of the difference, divided by that of the weight.

    .. math:: \| W - \hat W \|_F / \| W \|_F

    Parameters
    ----------
    weight, approximation : Tensor of the same shape

    Returns
    -------
    float
        0 if both are zero, infinity if only the weight is.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> relative_error(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.0]))
    0.2
    """
    if weight.shape != approximation.shape:
        raise ValueError(
            f"the approximation has shape {tuple(approximation.shape)} and the weight {tuple(weight.shape)}: give two "
            "tensors of the same shape."
        )
    difference = float(torch.linalg.vector_norm(weight - approximation, dtype=torch.float64))
    norm = float(torch.linalg.vector_norm(weight, dtype=torch.float64))
    if norm == 0:
        return 0.0 if difference == 0 else math.inf
    return difference / norm


def _finite(weight: torch.Tensor) -> bool:
    """Whether no entry is NaN or infinite; their sum tells in almost all cases, and much quicker."""
    return math.isfinite(float(weight.detach().sum())) or bool(torch.isfinite(weight).all())
