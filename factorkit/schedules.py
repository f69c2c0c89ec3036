"""What changes while a network is trained, other than the learning rate: ``training.fit(..., schedules=[...])``.

A schedule is any object with ``start(model, steps)``, called before the first of so many batches, and ``step()``,
called after each one.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["TemperatureSchedule"]


class TemperatureSchedule:
    r"""Raise the inverse temperature of shift attention by the same factor after every batch.

    .. math:: T_t = T_0 \left(T_1 / T_0\right)^{t / n}

    after :math:`t` of :math:`n` batches: it multiplies the scores in
    :class:`factorkit.layers.shift_attention.ShiftAttentionConv2d`, so the attention becomes sharper as it grows.

    Parameters
    ----------
    initial, final : float, optional
        Inverse temperature at the first batch and after the last. The defaults are those of the authors' code for
        CIFAR-10.

    Raises
    ------
    ValueError
        If one of them is not positive and finite.

    Examples
    --------
    >>> from factorkit.layers.shift_attention import ShiftAttentionConv2d
    >>> layer, schedule = ShiftAttentionConv2d(3, 8), TemperatureSchedule(20.0, 80.0)
    >>> schedule.start(layer, steps=2)
    >>> for _ in range(2):
    ...     schedule.step()
    ...     print(round(float(layer.temperature), 3))
    40.0
    80.0
    """

    def __init__(self, initial: float = 20.0, final: float = 70.0) -> None:
        for name, value in (("initial", initial), ("final", final)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name}={value!r}: an inverse temperature is positive and finite, such as 20.")
        self.initial, self.final = initial, final
        self._temperatures: list[torch.Tensor] = []
        self._done, self._steps = 0, 0

    def start(self, model: nn.Module, steps: int) -> None:
        """Set the initial temperature of every layer that has one and is not hardened.

        Parameters
        ----------
        model : nn.Module
        steps : int
            Batches until the final temperature is reached; it stays there afterwards.

        Raises
        ------
        ValueError
            If there is no such layer, or no step.
        """
        if steps < 1:
            raise ValueError(f"steps={steps}: the temperature needs at least one batch to rise.")
        found = (getattr(module, "temperature", None) for module in model.modules())
        self._temperatures = [t for t in found if isinstance(t, torch.Tensor) and bool(torch.isfinite(t))]
        if not self._temperatures:
            raise ValueError(
                f"{type(model).__name__} has no layer with a finite temperature: give a model with "
                "ShiftAttentionConv2d layers that are not hardened yet, or train it without this schedule."
            )
        self._done, self._steps = 0, steps
        self._set()

    def step(self) -> None:
        """Raise the temperatures after a batch.

        Raises
        ------
        ValueError
            If the schedule was not started.
        """
        if not self._steps:
            raise ValueError("step() before start(model, steps): training.fit calls both.")
        self._done = min(self._done + 1, self._steps)
        self._set()

    def _set(self) -> None:
        temperature = self.initial * (self.final / self.initial) ** (self._done / self._steps)
        for current in self._temperatures:
            current.fill_(temperature)
