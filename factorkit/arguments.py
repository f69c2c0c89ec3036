"""Checks of arguments that the layers and networks share."""

from __future__ import annotations

from typing import Any

__all__ = ["one_of", "positive_integers"]


def positive_integers(**values: Any) -> None:
    """Refuse counts that are not integers of at least 1.

    Parameters
    ----------
    **values : int
        The arguments by name.

    Raises
    ------
    ValueError
        Names the first argument that is no such integer.

    Examples
    --------
    >>> positive_integers(in_channels=3, stride=2)
    >>> positive_integers(in_channels=3, stride=0)
    Traceback (most recent call last):
    ValueError: stride=0: give an integer of at least 1.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={value!r}: give an integer of at least 1.")


def one_of(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuse a value that is none of the choices.

    Raises
    ------
    ValueError
        Names the value and the choices.

    Examples
    --------
    >>> one_of("form", "imagnet", ("imagenet", "cifar"))
    Traceback (most recent call last):
    ValueError: form='imagnet': choose 'imagenet' or 'cifar'.
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r}: choose {' or '.join(map(repr, choices))}.")
