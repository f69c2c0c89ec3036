"""Knowledge distillation: a small network learns from what a trained one says of every image."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Distillation"]


class Distillation:
    r"""A loss for :func:`factorkit.training.fit` that lets a trained network teach.

    The scores of the teacher tell which wrong classes it finds likely, which a label does not. With both scores divided
    by a temperature T, at which small probabilities show :cite:p:`hinton2015distilling`,

    .. math:: L = (1 - \alpha) \, H(y, p_s) + \alpha \, T^2 \, \mathrm{KL}\left(p_t^{(T)} \,\|\, p_s^{(T)}\right),
              \qquad p^{(T)} = \operatorname{softmax}(z / T),

    with the cross-entropy H of the labels y. The factor :math:`T^2` keeps the gradients of the second term as large as
    those of the first, whatever the temperature.

    Parameters
    ----------
    teacher : nn.Module
        Trained. A copy in evaluation mode is kept, so that the teacher itself may be compressed and trained.
    temperature : float, optional
        T, positive.
    weight : float, optional
        :math:`\alpha`, from 0, which leaves the labels only, to 1, which leaves the teacher only.

    Raises
    ------
    ValueError
        If the temperature is not positive and finite, or the weight is outside its range.

    Examples
    --------
    A student that says what the teacher says loses nothing.

    >>> teacher = nn.Linear(4, 3)
    >>> loss, images, labels = Distillation(teacher, weight=1.0), torch.ones(2, 4), torch.tensor([0, 1])
    >>> bool(loss(teacher(images), labels, images) < 1e-6 < loss(torch.zeros(2, 3), labels, images))
    True
    >>> loss
    Distillation(temperature=4.0, weight=1.0)
    """

    def __init__(self, teacher: nn.Module, *, temperature: float = 4.0, weight: float = 0.9) -> None:
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature={temperature!r}: give a positive, finite number, such as 4.")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight={weight!r}: give the share of the teacher in the loss, from 0 to 1.")
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        self.temperature, self.weight = float(temperature), float(weight)

    def __call__(self, scores: torch.Tensor, labels: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The loss of a batch.

        Parameters
        ----------
        scores : Tensor, shape (N, num_classes)
            Of the student.
        labels : Tensor of int64, shape (N,)
        images : Tensor, shape (N, C, H, W)
            Normalized, as the student saw them.

        Returns
        -------
        Tensor, shape ()

        Raises
        ------
        ValueError
            If the teacher tells other classes apart than the student.
        """
        with torch.no_grad():
            taught = self.teacher.to(images.device)(images)
        if taught.shape != scores.shape:
            raise ValueError(
                f"the teacher returned {tuple(taught.shape)} and the student {tuple(scores.shape)}: both must give one "
                "score per image and class."
            )
        wanted = F.log_softmax(taught / self.temperature, dim=1)
        said = F.log_softmax(scores / self.temperature, dim=1)
        soft = F.kl_div(said, wanted, reduction="batchmean", log_target=True) * self.temperature**2
        return (1 - self.weight) * F.cross_entropy(scores, labels) + self.weight * soft

    def __repr__(self) -> str:
        return f"Distillation(temperature={self.temperature}, weight={self.weight})"
