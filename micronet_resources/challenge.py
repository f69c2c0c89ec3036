"""Measuring an entry of the challenge and turning the measurement into points."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micronet_resources import entry
from micronet_resources.encoding import cheapest
from micronet_resources.reporting.layout import html_table, text_table
from micronet_resources.rules import Task, rule_set
from micronet_resources.scoring import score

if TYPE_CHECKING:
    from factorkit.data import ImageData

__all__ = ["MIME_TYPE", "Measurement", "measure", "points"]

MIME_TYPE = "application/vnd.factorkit.measurement+json"


@dataclass(frozen=True, kw_only=True, repr=False)
class Measurement:
    """What was measured on an entry: integer counts, costs and score.

    A notebook shows it as a table; the output also carries the numbers as data of type :data:`MIME_TYPE`, from which
    the leaderboard is made.

    Parameters
    ----------
    correct, total : int
        Images of the test split that were classified correctly, and all.
    params : int
        Elements of all tensors that the network reads.
    stored_bits : int
        Bits for storing them, each in its cheapest exact encoding.
    macs, live_macs : int
        Per image, products of two feature maps included: all, and those that pruned filters and channels leave.
    score : float
        MicroNet score; lower is better.
    rules, task : str
        Names of the rule set and of the data set.
    """

    correct: int
    total: int
    params: int
    stored_bits: int
    macs: int
    live_macs: int
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
        bits = self.stored_bits / self.params if self.params else 0
        rows = [
            ("measured", "value", "meaning"),
            ("correct", f"{self.correct:,} of {self.total:,}", f"needed {self.needed:,}: {verdict}"),
            ("accuracy", f"{100 * self.accuracy:.2f} %", f"threshold {self._task.threshold_percent} %"),
            ("parameters", f"{self.params:,}", "all tensors that the network reads"),
            ("stored", f"{self.stored_bits:,} bits", f"{bits:.1f} for each parameter"),
            ("MACs", f"{self.macs:,}", "per image"),
            ("live MACs", f"{self.live_macs:,}", "without pruned filters and channels"),
        ]
        if not self._task.has_points:
            return [*rows, ("score", f"{self.score:.4f}", "lower is better")]
        return [
            *rows,
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
        data = asdict(self) | {"accuracy": self.accuracy}
        if self._task.has_points:
            data["points"] = points(self, 1)
        return {"text/plain": repr(self), "text/html": self._repr_html_(), MIME_TYPE: data}


def measure(path: str | os.PathLike[str], data: ImageData, *, rules: str = "course2025") -> Measurement:
    """Measure an entry: accuracy on the test split, costs and score.

    Nothing is declared: bits, zeros and pruned filters are found in the file by
    :func:`micronet_resources.entry.measure`, and :func:`micronet_resources.entry.evaluate` asks the same file.

    Parameters
    ----------
    path : path
        A file that :func:`micronet_resources.entry.export` wrote.
    data : ImageData
        The test split is used; its name is the task.
    rules : str, optional
        Name of a rule set.

    Returns
    -------
    Measurement

    Raises
    ------
    ValueError
        If the rules are unknown or have no task on this data set, the file is missing or was exported for another
        task, or an :class:`~micronet_resources.entry.EntryError` says why it is no entry.
    """
    chosen = rule_set(rules)
    task = chosen.task(data.name)
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file.name} is missing: run the cell that trains and exports, and hand the file in as well.")
    profile = entry.measure(file)
    if profile.task != task.data:
        found = f"was exported for the task {profile.task!r}" if profile.task else "does not say what task it is for"
        raise ValueError(
            f"{file.name} {found} and is measured on {task.data!r}: write it with "
            f"entry.export(model, {file.name!r}, task={task.data!r})."
        )
    answers = entry.evaluate(file, data.normalize(data.test_images), data.test_labels)
    multiplied = [m for m in profile.inventory.operations if m.operation.macs or m.operation.kind == "product"]
    return Measurement(
        correct=answers.correct,
        total=answers.total,
        params=profile.params,
        stored_bits=sum(
            cheapest(tensor.encodings, chosen.mask_bits).total_bits(chosen.mask_bits)
            for tensor in profile.inventory.tensors
        ),
        macs=sum(m.operation.macs or m.operation.outputs for m in multiplied),
        live_macs=sum(m.live_macs if m.operation.macs else m.live_outputs for m in multiplied),
        score=float(score(profile, rules, task.data)),
        rules=rules,
        task=task.data,
    )


def points(measurement: Measurement, maximum: float) -> float:
    """Points for an entry, on the scale that its task publishes.

    Below the accuracy threshold, points rise linearly with the accuracy from the task's floor, up to the share that
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

    Raises
    ------
    ValueError
        If the task has no scale of points.

    Examples
    --------
    >>> resnet18 = Measurement(
    ...     correct=9_100, total=10_000, params=11_173_962, stored_bits=357_566_784, macs=555_422_720,
    ...     live_macs=555_422_720, score=3.979, rules="course2025", task="cifar10",
    ... )
    >>> points(resnet18, 12)
    6.0
    """
    task = measurement._task
    if not task.has_points:
        raise ValueError(f"{measurement.rules} gives no points on {task.data!r}: entries are only ranked by score.")
    if not measurement.is_valid:
        floor = task.floor_percent / 100
        progress = (measurement.accuracy - floor) / (task.threshold_percent / 100 - floor)
        return maximum * task.threshold_share * _clamp(progress)
    gain = math.log(task.start_score / max(measurement.score, 1e-12)) / math.log(task.start_score / task.target_score)
    return maximum * (task.threshold_share + (1 - task.threshold_share) * _clamp(gain))


def _clamp(share: float) -> float:
    return min(max(share, 0.0), 1.0)
