"""Training with exact zeros: soft thresholding (shrinkage), and the optimizer and records that go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ProximalSGD", "SparsityHistory", "shrink", "sparsity_of"]


def shrink(weights: Tensor, threshold: float) -> Tensor:
    r"""Move every number towards zero by the threshold, and to exactly zero what is nearer than that.

    .. math:: S_\tau(w) = \operatorname{sign}(w) \max(|w| - \tau, 0) = \arg\min_v \tfrac12 (v - w)^2 + \tau |v|,

    the proximal operator of the L1 norm: where a step against its gradient ``sign(w)`` would jump back and forth across
    zero, this one stops there.

    Parameters
    ----------
    weights : Tensor
        Any shape.
    threshold : float
        :math:`\tau`, not negative.

    Returns
    -------
    Tensor
        The same shape.

    Raises
    ------
    ValueError
        If the threshold is negative or not a number.

    Examples
    --------
    >>> shrink(torch.tensor([-0.5, -0.125, 0.0, 0.125, 1.0]), 0.25)
    tensor([-0.2500,  0.0000,  0.0000,  0.0000,  0.7500])
    """
    _not_negative(threshold=threshold)
    return F.softshrink(weights, threshold) + 0.0  # which turns -0.0 into 0.0


class ProximalSGD(torch.optim.Optimizer):
    r"""Stochastic gradient descent with momentum whose L1 penalty makes exact zeros.

    .. math:: w_{t+1} = S_{\epsilon\zeta}\bigl(w_t + \eta\,(w_t - w_{t-1})
              - \epsilon\,[\nabla E(w_t) + \mu w_t]\bigr),

    with learning rate :math:`\epsilon`, momentum :math:`\eta`, weight decay :math:`\mu` and :math:`S` the function
    :func:`shrink`: the inertial proximal step of :cite:t:`ochs2014ipiano` for the loss
    :math:`E(w) + \tfrac\mu2 \lVert w\rVert_2^2 + \zeta \lVert w\rVert_1`. A weight at zero stays there as long as its
    gradient is at most :math:`\zeta` in magnitude.

    Parameters
    ----------
    params : iterable of nn.Parameter or of dict
        As for every optimizer of torch; groups may have settings of their own.
    lr : float
        Learning rate.
    momentum : float, optional
        At least 0 and below 1.
    weight_decay, l1 : float, optional
        :math:`\mu` and :math:`\zeta`, not negative.
    spare_vectors : bool, optional
        Leave biases and the scales of normalizations, whose tensors have at most one axis, out of the L1 penalty.

    Raises
    ------
    ValueError
        If a setting is outside its range.

    Notes
    -----
    The report on double sparsity :cite:p:`hoffer2015sparse` prints
    :math:`w_{t+1} = \eta (w_t - w_{t-1}) + (1 - \eta) [w_t - \epsilon \nabla E + \mu w_t + \zeta \operatorname{sign}
    w_t]`. There the factor before :math:`w_t` lets weights vanish where no gradient asks for it, the penalties have the
    wrong sign and lack the learning rate, as does the threshold :math:`\zeta` of its shrinkage. Without penalty
    and at a constant learning rate the rule above is that of ``torch.optim.SGD``.

    Examples
    --------
    The minimum of :math:`\tfrac12 (w - b)^2 + 0.25 |w|` is ``shrink(b, 0.25)``.

    >>> b = torch.tensor([1.0, 0.125, -0.75])
    >>> w = torch.zeros(3, requires_grad=True)
    >>> optimizer = ProximalSGD([w], lr=0.5, momentum=0.5, l1=0.25)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     (0.5 * (w - b) ** 2).sum().backward()
    ...     optimizer.step()
    >>> w.detach()
    tensor([ 0.7500,  0.0000, -0.5000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        l1: float = 0.0,
        spare_vectors: bool = False,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "l1": l1, "spare_vectors": spare_vectors},
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; those that are missing are the optimizer's.

        Raises
        ------
        ValueError
            If a setting is outside its range.
        """
        settings = {**self.defaults, **param_group}
        _not_negative(**{name: settings[name] for name in ("lr", "momentum", "weight_decay", "l1")})
        if settings["momentum"] >= 1:
            raise ValueError(f"momentum={settings['momentum']!r}: weights would never come to rest; give less than 1.")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update all parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients again, as for every optimizer of torch.

        Returns
        -------
        Tensor or None
            What the closure returns.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._update(weights, group)
        return loss

    def _update(self, weights: Tensor, group: dict[str, Any]) -> None:
        lr, state = group["lr"], self.state[weights]
        before = weights.clone()
        moved = weights.add(weights.grad.add(weights, alpha=group["weight_decay"]), alpha=-lr)
        if "previous" in state:
            moved.add_(before - state["previous"], alpha=group["momentum"])
        if group["l1"] and not (group["spare_vectors"] and weights.ndim <= 1):
            moved = shrink(moved, lr * group["l1"])
        weights.copy_(moved)
        state["previous"] = before


def sparsity_of(model: nn.Module) -> pd.DataFrame:
    """Count the trained weights of convolutions and linear layers that are exactly zero.

    Parameters
    ----------
    model : nn.Module
        Fixed weights, such as those of :class:`factorkit.layers.DCTConv2d`, and biases are left out.

    Returns
    -------
    pandas.DataFrame
        One row for each layer, named as in ``model.named_modules()``: ``weights``, ``zeros`` (counts) and ``sparsity``,
        the fraction of zeros.

    Raises
    ------
    ValueError
        If no layer has trained weights.

    Examples
    --------
    >>> layer = nn.Linear(4, 2)
    >>> with torch.no_grad():
    ...     _ = layer.weight.copy_(shrink(torch.linspace(-1, 1, 8).reshape(2, 4), 0.5))
    >>> sparsity_of(nn.Sequential(layer))
       weights  zeros  sparsity
    0        8      4       0.5
    """
    rows = {name: (weight.numel(), int((weight == 0).sum())) for name, weight in _weights(model).items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["weights", "zeros"])
    return frame.assign(sparsity=frame["zeros"] / frame["weights"])


class SparsityHistory:
    """Record the sparsity of every layer while a network is trained: ``training.fit(..., schedules=[history])``.

    Parameters
    ----------
    every : int, optional
        Batches between two records. The last batch is always recorded.

    Raises
    ------
    ValueError
        If ``every`` is not positive.

    Notes
    -----
    Where training goes on from a checkpoint, the records of the batches before it are those of the loaded weights.

    Examples
    --------
    >>> layer, history = nn.Linear(2, 2), SparsityHistory(every=10)
    >>> history.start(layer, steps=15)
    >>> for _ in range(15):
    ...     history.step()
    >>> history.frame.index.tolist()
    [0, 10, 15]
    """

    def __init__(self, every: int = 50) -> None:
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every={every!r}: give the number of batches between two records, at least 1.")
        self.every = every
        self._records: dict[int, pd.Series] = {}
        self._model: nn.Module | None = None
        self._done, self._steps = 0, 0

    def start(self, model: nn.Module, steps: int) -> None:
        """Forget earlier records and make the first one, before any batch."""
        self._model, self._done, self._steps, self._records = model, 0, steps, {}
        self._record()

    def step(self) -> None:
        """Count a batch, and record where it is due.

        Raises
        ------
        ValueError
            If the history was not started.
        """
        if self._model is None:
            raise ValueError("step() before start(model, steps): training.fit calls both.")
        self._done += 1
        if self._done % self.every == 0 or self._done == self._steps:
            self._record()

    def _record(self) -> None:
        self._records[self._done] = sparsity_of(self._model)["sparsity"]

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each record, by the number of ``batches`` trained, and one column for each layer: fractions."""
        return pd.DataFrame(self._records).T.rename_axis("batches")


def _weights(model: nn.Module) -> dict[str, Tensor]:
    found = {
        name: module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.requires_grad
    }
    if not found:
        raise ValueError(f"{type(model).__name__} has no convolution or linear layer with trained weights.")
    return found


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name}={value!r}: give a finite number of at least 0.")
