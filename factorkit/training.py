"""Training and evaluation of small networks, on a laptop without a GPU first.

The loop is short enough to read: AdamW or another optimizer, a one-cycle learning rate, label smoothing, horizontal
flips. Everything random comes from ``seed``; the global random state of torch is left as it was found.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from factorkit.checkpoint import resume_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from factorkit.data import ImageData

__all__ = ["Evaluation", "Schedule", "evaluate", "fit", "seed_everything"]

# A mirrored digit is another digit, or none; a mirrored object is the same object.
MIRRORABLE = frozenset({"patterns", "cifar10", "cifar100"})
# Takes the scores N x num_classes, the labels and the normalized images of a batch.
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Schedule(Protocol):
    """What :func:`fit` tells how far training is, such as :class:`factorkit.schedules.TemperatureSchedule`."""

    def start(self, model: nn.Module, steps: int) -> None:
        """Called before the first batch; ``steps`` batches will follow."""

    def step(self) -> None:
        """Called after each batch."""


def seed_everything(seed: int) -> None:
    """Seed the global random states of Python, NumPy and torch (all devices).

    Parameters
    ----------
    seed : int
        Between 0 and 2**32 - 1.

    Raises
    ------
    ValueError
        If ``seed`` is outside this range.

    Examples
    --------
    >>> seed_everything(0)
    >>> a = torch.rand(2)
    >>> seed_everything(0)
    >>> bool((a == torch.rand(2)).all())
    True
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r}: NumPy takes seeds from 0 to 2**32 - 1.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class Evaluation:
    """Integer counts of one evaluation, and the mean cross-entropy in nats.

    Examples
    --------
    >>> Evaluation(correct=940, total=1000, loss=0.21)
    Evaluation: 940 of 1000 correct (94.00 %), loss 0.2100
    """

    correct: int
    total: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Fraction of the images that were classified correctly, between 0 and 1."""
        return self.correct / self.total

    def __repr__(self) -> str:
        percent = 100 * self.accuracy
        return f"Evaluation: {self.correct} of {self.total} correct ({percent:.2f} %), loss {self.loss:.4f}"


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put the model into one mode and give every submodule back its own afterwards."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, flag in before.items():
            module.training = flag


def _inputs(data: ImageData, images: torch.Tensor, device: torch.device, channels_last: bool) -> torch.Tensor:
    images = data.normalize(images.to(device))
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def evaluate(
    model: nn.Module,
    data: ImageData,
    split: str = "test",
    *,
    batch_size: int = 500,
    device: str | torch.device = "cpu",
    channels_last: bool = False,
) -> Evaluation:
    """Count the images of one split that a network classifies correctly.

    The network is moved to ``device``, run in evaluation mode and then put back into the mode it was in.

    Parameters
    ----------
    model : nn.Module
        Maps normalized images N x C x H x W to scores N x num_classes.
    data : ImageData
        As returned by :func:`factorkit.data.load`.
    split : {"test", "train"}, optional
    batch_size : int, optional
        Changes speed and memory, not the result.
    device : str or torch.device, optional
    channels_last : bool, optional
        Use the memory format in which most CPUs and GPUs convolve faster.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If the network returns another shape than N x num_classes, or scores that are not finite.
    """
    device = torch.device(device)
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    correct, total, loss = 0, 0, 0.0
    with _mode(model, training=False), torch.no_grad():
        for images, labels in data.loader(split, batch_size):
            labels = labels.to(device)
            scores = model(_inputs(data, images, device, channels_last))
            _check_scores(scores, len(labels), data.num_classes)
            correct += int((scores.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(scores.float(), labels, reduction="sum"))
            total += len(labels)
    return Evaluation(correct, total, loss / total)


def _check_scores(scores: torch.Tensor, batch: int, num_classes: int) -> None:
    shape = tuple(getattr(scores, "shape", ()))
    if shape != (batch, num_classes):
        raise ValueError(
            f"the network returned {shape or type(scores).__name__} for a batch of {batch} images: expected one score "
            f"per image and class, {(batch, num_classes)}."
        )
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("the network returned scores that are NaN or infinite: check its weights and learning rate.")


def fit(
    model: nn.Module,
    data: ImageData,
    *,
    epochs: int,
    lr: float = 0.01,
    batch_size: int = 128,
    weight_decay: float = 0.01,
    label_smoothing: float = 0.05,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    augment: bool | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    channels_last: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    schedules: Sequence[Schedule] = (),
    loss: Loss | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network with a one-cycle learning rate.

    Parameters
    ----------
    model : nn.Module
        Trained in place; maps normalized images N x C x H x W to scores N x num_classes.
    data : ImageData
        As returned by :func:`factorkit.data.load`.
    epochs : int
        Passes over the training images.
    lr : float, optional
        Largest learning rate of the cycle.
    batch_size, weight_decay, label_smoothing : optional
        Of the loader, the optimizer and the cross-entropy.
    optimizer : callable, optional
        Called as ``optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)``; for other settings of it use
        :func:`functools.partial`, as in ``partial(ProximalSGD, l1=1e-4)``. Momentum follows the cycle too, from 0.95
        down to 0.85 and back.
    augment : bool, optional
        Mirror half of the training images. Default: where a mirrored image keeps its class (not for digits).
    seed : int, optional
        Order of the images, flips and dropout. The initial weights are the model's own: seed before building it.
    device : str or torch.device, optional
    channels_last : bool, optional
        Use the memory format in which most CPUs and GPUs convolve faster.
    checkpoint : path, optional
        Saved after every epoch. If the file exists, training goes on from it, with the same result as an
        undisturbed run; when all epochs are done, it only loads the weights.
    schedules : sequence of Schedule, optional
        Each is started with the model and the number of batches of all epochs, and stepped after every batch.
    loss : callable, optional
        Called as ``loss(scores, labels, images)`` for each batch of training, such as
        :class:`factorkit.distillation.Distillation`. Default: cross-entropy with ``label_smoothing``, which only the
        default uses. A checkpoint knows it by its ``__qualname__`` or its repr.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: ``epoch``, ``train_loss`` (nats), ``train_accuracy``, ``test_accuracy`` (fractions),
        ``seconds``.

    Raises
    ------
    ValueError
        If ``epochs`` or ``batch_size`` is below 1, the loss is not finite, or a checkpoint belongs to other settings.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: give an integer of at least 1.")
    device = torch.device(device)
    augment = data.name in MIRRORABLE if augment is None else augment
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    steps = epochs * len(data.loader("train", batch_size))
    updates = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    given = dict(updates.defaults)
    schedule = torch.optim.lr_scheduler.OneCycleLR(updates, max_lr=lr, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    settings = {
        "data": (data.name, len(data.train_labels)),
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "optimizer": (type(updates).__name__, given),
        "augment": augment,
        "seed": seed,
    }
    settings["loss"] = None if loss is None else getattr(loss, "__qualname__", repr(loss))
    loss = _smoothed_cross_entropy(label_smoothing) if loss is None else loss
    history: list[dict[str, float]] = []
    parts = {"model": model, "optimizer": updates, "schedule": schedule}
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), _mode(model, training=True):
        torch.manual_seed(seed)
        if checkpoint is not None and Path(checkpoint).exists():
            history = resume_checkpoint(Path(checkpoint), parts, generator, settings)
        done = len(history) * (steps // epochs)
        for each in schedules:
            each.start(model, steps)
            for _ in range(done):
                each.step()
        bar = tqdm(
            total=steps,
            initial=done,
            disable=not progress,
            file=sys.stdout,
            unit="batch",
            desc="training",
        )
        with bar:
            for epoch in range(len(history) + 1, epochs + 1):
                row = _train_epoch(
                    model,
                    data,
                    updates,
                    (schedule, *schedules),
                    generator,
                    bar,
                    batch_size=batch_size,
                    augment=augment,
                    loss_of=loss,
                    device=device,
                    channels_last=channels_last,
                )
                tested = evaluate(model, data, device=device, channels_last=channels_last)
                history.append({"epoch": epoch, **row, "test_accuracy": tested.accuracy})
                bar.set_postfix_str(f"epoch {epoch}/{epochs}, test accuracy {100 * tested.accuracy:.1f} %")
                if checkpoint is not None:
                    save_checkpoint(Path(checkpoint), parts, generator, settings, history)
    frame = pd.DataFrame(history, columns=["epoch", "train_loss", "train_accuracy", "test_accuracy", "seconds"])
    return frame.astype({"epoch": int})


def _smoothed_cross_entropy(label_smoothing: float) -> Loss:
    return lambda scores, labels, images: F.cross_entropy(scores, labels, label_smoothing=label_smoothing)


def _train_epoch(
    model: nn.Module,
    data: ImageData,
    optimizer: torch.optim.Optimizer,
    schedules: Sequence[Schedule | torch.optim.lr_scheduler.LRScheduler],
    generator: torch.Generator,
    bar: tqdm,
    *,
    batch_size: int,
    augment: bool,
    loss_of: Loss,
    device: torch.device,
    channels_last: bool,
) -> dict[str, float]:
    start, total, loss_sum, correct = time.perf_counter(), 0, 0.0, 0
    for images, labels in data.loader("train", batch_size, shuffle=True, generator=generator):
        if augment:
            flip = torch.rand(len(images), generator=generator) < 0.5
            images = torch.where(flip[:, None, None, None], images.flip(-1), images)
        labels = labels.to(device)
        images = _inputs(data, images, device, channels_last)
        scores = model(images)
        if not total:
            _check_scores(scores, len(labels), data.num_classes)
        loss = loss_of(scores, labels, images)
        if not bool(torch.isfinite(loss)):
            raise ValueError(
                f"the loss became {loss.item()} after {bar.n} batches: training diverged. Use a lower lr "
                f"(now {optimizer.param_groups[0]['lr']:.2g}) or check the initial weights."
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for schedule in schedules:
            schedule.step()
        total += len(labels)
        loss_sum += float(loss.detach()) * len(labels)
        correct += int((scores.argmax(1) == labels).sum())
        bar.update()
    seconds = time.perf_counter() - start
    return {"train_loss": loss_sum / total, "train_accuracy": correct / total, "seconds": seconds}
