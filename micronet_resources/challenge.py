"""Measuring an entry of the challenge and turning the measurement into points."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from factorkit.checks import trusted_copy
from factorkit.training import evaluate
from micronet_resources.profile import profile_model
from micronet_resources.report import html_table, text_table
from micronet_resources.rules import Task, rule_set
from micronet_resources.scoring import score

if TYPE_CHECKING:
    from factorkit.data import ImageData

__all__ = ["MIME_TYPE", "Measurement", "load_entry", "measure", "points"]

MIME_TYPE = "application/vnd.factorkit.measurement+json"
LARGEST_ENTRY = 64 * 2**20  # bytes


@dataclass(frozen=True, repr=False)
class Measurement:
    """What was measured on an entry: integer counts, costs and score.

    A notebook shows it as a table; the output also carries the numbers as data of type :data:`MIME_TYPE`, from which
    the leaderboard is made.

    Parameters
    ----------
    correct, total : int
        Images of the test split that were classified correctly, and all.
    params, macs : int
        Of the operations that really run; ``macs`` includes products of two feature maps.
    score : float
        MicroNet score at 32 bits; lower is better.
    rules, task : str
        Names of the rule set and of the data set.
    """

    correct: int
    total: int
    params: int
    macs: int
    score: float
    rules: str
    task: str

    @property
    def accuracy(self) -> float:
        """Fraction of the images that were classified correctly."""
        return self.correct / self.total

    @property
    def needed(self) -> int:
        """How many images must be correct for a valid entry."""
        return self._task.needed(self.total)

    @property
    def is_valid(self) -> bool:
        """Whether the entry reaches the accuracy threshold; counts are compared, nothing is rounded."""
        return self.correct >= self.needed

    @property
    def _task(self) -> Task:
        return rule_set(self.rules).task(self.task)

    def _rows(self) -> list[tuple[str, ...]]:
        verdict = "reached" if self.is_valid else f"{self.needed - self.correct:,} too few"
        return [
            ("measured", "value", "meaning"),
            ("correct", f"{self.correct:,} of {self.total:,}", f"needed {self.needed:,}: {verdict}"),
            ("accuracy", f"{100 * self.accuracy:.2f} %", f"threshold {self._task.threshold_percent} %"),
            ("parameters", f"{self.params:,}", "all tensors that the network reads"),
            ("MACs", f"{self.macs:,}", "per image"),
            ("score", f"{self.score:.4f}", f"target {self._task.target_score:g}, lower is better"),
            ("points", f"{100 * points(self, 1):.1f} %", "of those for the entry"),
        ]

    def _title(self) -> str:
        return f"Entry on {self.task}, rules {self.rules}"

    def __repr__(self) -> str:
        return f"{self._title()}\n{text_table(self._rows(), 'lrl')}"

    def _repr_html_(self) -> str:
        return html_table(self._rows(), "lrl", caption=self._title())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in ("correct", "total", "accuracy", "params", "macs", "score")}
        data |= {"rules": self.rules, "task": self.task, "points": points(self, 1)}
        return {"text/plain": repr(self), "text/html": self._repr_html_(), MIME_TYPE: data}


def measure(model: nn.Module, data: ImageData, *, rules: str = "course2025") -> Measurement:
    """Measure a network: accuracy on the test split, costs and score at 32 bits.

    Everything is measured on :func:`factorkit.checks.trusted_copy` of the network, so what counts are the operations
    that run and the tensors that they read, whatever the network says about itself. Element-wise products of two
    feature maps count as MACs here, for otherwise a convolution could be written with them and cost nothing.

    Parameters
    ----------
    model : nn.Module
        Maps normalized images N x C x H x W to scores N x num_classes, for any N.
    data : ImageData
        The test split is used; its name chooses the task.
    rules : str, optional
        Name of a rule set.

    Returns
    -------
    Measurement

    Raises
    ------
    ValueError
        If the rules are unknown or have no task on this data set, or the network cannot be rebuilt, counted or run.
    """
    task = rule_set(rules).task(data.name)
    example = data.normalize(data.test_images[:2])
    network = trusted_copy(model, example)
    profile = profile_model(network, data.input_shape)
    counted = _Costs(profile.params, profile.macs + profile.products)
    result = evaluate(network, data)
    number = float(score(counted, rules))
    return Measurement(result.correct, result.total, counted.params, counted.macs, number, rules, task.data)


@dataclass(frozen=True)
class _Costs:
    params: int
    macs: int


def points(measurement: Measurement, maximum: float) -> float:
    """Points for an entry, on the scale that its task publishes.

    Below the accuracy threshold, points grow in proportion to the accuracy from the task's floor, up to the share that
    reaching the threshold is worth. At the threshold and above, the rest is given by score, in proportion to its
    logarithm, from the start score to the target score.

    Parameters
    ----------
    measurement : Measurement
    maximum : float
        Points for a valid entry with the target score.

    Returns
    -------
    float
        Between 0 and ``maximum``.

    Examples
    --------
    >>> resnet18 = Measurement(9_100, 10_000, 11_173_962, 555_422_720, 3.979, "course2025", "cifar10")
    >>> points(resnet18, 12)
    6.0
    """
    task = measurement._task
    if not measurement.is_valid:
        floor = task.floor_percent / 100
        progress = (measurement.accuracy - floor) / (task.threshold_percent / 100 - floor)
        return maximum * task.threshold_share * _clamp(progress)
    gain = math.log(task.start_score / max(measurement.score, 1e-12)) / math.log(task.start_score / task.target_score)
    return maximum * (task.threshold_share + (1 - task.threshold_share) * _clamp(gain))


def _clamp(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def load_entry(model: nn.Module, path: str | os.PathLike[str] = "entry.pt") -> nn.Module:
    """Load the weights of an entry into a network that was just built.

    The file is a state dict, ``torch.save(model.state_dict(), "entry.pt")``, and is read with ``weights_only=True``:
    nothing in it is executed.

    Parameters
    ----------
    model : nn.Module
        Of the same architecture; changed in place.
    path : path, optional

    Returns
    -------
    nn.Module
        The model, in evaluation mode.

    Raises
    ------
    ValueError
        If the file is missing or too large, is not a state dict, or belongs to another architecture.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file.name} is missing: run the cell that trains and saves, and hand the file in as well.")
    if file.stat().st_size > LARGEST_ENTRY:
        raise ValueError(f"{file.name} has {file.stat().st_size:,} bytes: an entry has at most {LARGEST_ENTRY:,}.")
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:
        raise ValueError(
            f"{file.name} cannot be read as weights alone ({type(error).__name__}): save it with "
            "torch.save(model.state_dict(), 'entry.pt')."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{file.name} holds no state dict: save model.state_dict(), not the model.")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise ValueError(
            f"{file.name} belongs to another network than build_network() builds now: train and save again. "
            f"The first difference: {first[0].strip()}"
        ) from error
    return model.eval()
