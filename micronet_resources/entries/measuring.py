"""Measures and evaluates challenge entries in a guarded process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from micronet_resources.entries.guard import GuardedWorker, read_entry
from micronet_resources.entries.records import EntryProfile, unpack
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.rules import rule_set

__all__ = ["Evaluation", "evaluate", "measure", "profile_in", "run"]

GIB = 2**30
CHUNK = 256 * 2**20  # bytes of images that are sent at once
Entry = str | os.PathLike[str] | bytes


@dataclass(frozen=True)
class Evaluation:
    """Integer counts of one evaluation.

    Examples
    --------
    >>> Evaluation(correct=1_900, total=2_000)
    Evaluation: 1900 of 2000 correct (95.00 %)
    """

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """Fraction of the images that were classified correctly, between 0 and 1."""
        return self.correct / self.total

    def __repr__(self) -> str:
        return f"Evaluation: {self.correct} of {self.total} correct ({100 * self.accuracy:.2f} %)"


def measure(
    entry: Entry,
    *,
    rules: str | None = None,
    task: str | None = None,
    limits: Limits | None = None,
    seconds: float = 120,
    memory: int = 6 * GIB,
) -> EntryProfile:
    """Measure what an entry costs, from its graph and the values in its file.

    Nothing that the file says about its costs is believed, nothing in it is executed, and it is read in a process of
    its own with limits on time and memory.

    Parameters
    ----------
    entry : path or bytes
        An ONNX file, such as :func:`~micronet_resources.entry.export` writes.
    rules, task : str, optional
        Names of a rule set and of a task: the profile shows its score under them, and input and output must fit the
        task. By default those that the file was exported for, if it names some; rules alone keep its task. Who grades
        gives both.
    limits : Limits, optional
        How large an entry may be; those of a challenge entry by default.
    seconds : float, optional
        Time limit.
    memory : int, optional
        Bytes of address space that reading it may take.

    Returns
    -------
    EntryProfile

    Raises
    ------
    EntryError
        If the file is no entry: what was found, the rule, and what to do.
    ValueError
        If there are no such rules or no such task.

    Examples
    --------
    >>> from micronet_resources.references import reference_path
    >>> profile = measure(reference_path("patterns"))
    >>> profile.params, profile.macs
    (72954, 9880192)
    """
    limits = limits or Limits()
    _check_goal(rules, task)
    data = read_entry(entry, limits.file_bytes)
    with GuardedWorker(memory=memory, processor_seconds=_processor_seconds(seconds)) as worker:
        return profile_in(worker, data, _name(entry), rules=rules, task=task, limits=limits, seconds=seconds)


def _check_goal(rules: str | None, task: str | None) -> None:
    if rules is not None:
        rule_set(rules).task(task)
    elif task is not None:
        raise ValueError(f"task={task!r} needs rules, such as rules='course2025'.")


def _processor_seconds(seconds: float) -> int:
    return int(seconds) + 5  # the clock ends it first; this is for a process that nobody watches any more


def _name(entry: Entry) -> str:
    return "entry" if isinstance(entry, bytes | bytearray | memoryview) else Path(entry).name


def profile_in(
    worker: GuardedWorker,
    data: bytes,
    name: str = "entry",
    *,
    rules: str | None = None,
    task: str | None = None,
    limits: Limits | None = None,
    seconds: float = 120,
) -> EntryProfile:
    """Measure one of many entries in a worker that is there already; see :func:`measure`."""
    question = {"do": "measure", "rules": rules, "task": task, "limits": asdict(limits or Limits())}
    record = worker.ask(question, [data], seconds=seconds)
    layers, inventory = unpack(record)
    return EntryProfile(
        model=name,
        input_shape=tuple(record["input_shape"]),
        layers=layers,
        inventory=inventory,
        rules=record["rules"],
        task=record["task"],
        notes=tuple(record["notes"]),
    )


def evaluate(
    entry: Entry,
    images: Any,
    labels: Any,
    *,
    progress: Callable[[int, int], None] | None = None,
    limits: Limits | None = None,
    seconds: float = 900,
    memory: int = 6 * GIB,
) -> Evaluation:
    """Count the images that an entry classifies correctly.

    onnxruntime runs the graph on the CPU, one image after the other, as it was measured: an entry that treats a batch
    otherwise than a single image gains nothing. One thread and a fixed level of optimization make the counts the same
    again on the same kind of processor. The process that runs the entry never sees the labels.

    Parameters
    ----------
    entry : path or bytes
    images : array or tensor of float
        N x C x H x W, normalized: ``data.normalize(data.test_images)``.
    labels : array or tensor of int
        N classes, counted from 0.
    progress : callable, optional
        Called now and then with the number of images that are done and of all.
    limits, seconds, memory : optional
        As in :func:`measure`.

    Returns
    -------
    Evaluation
        An image counts as correct if its class alone has the largest score; a tie is wrong.

    Raises
    ------
    EntryError
        If the file is no entry, cannot be run within the limits, or gives scores that are not finite or too few.
    ValueError
        If images and labels do not fit together.

    Examples
    --------
    >>> from factorkit.data import load
    >>> from micronet_resources.references import reference_path
    >>> data = load("patterns", progress=False)
    >>> result = evaluate(reference_path(), data.normalize(data.test_images[:50]), data.test_labels[:50])
    >>> result.total
    50
    """
    pixels, classes = _array(images), _array(labels)
    _check_images(pixels, classes)
    predictions = np.asarray(_run("predict", entry, pixels, progress, limits, seconds, memory), np.int64)
    if predictions.shape != classes.shape:
        raise EntryError(f"the entry gave {len(predictions)} answers for {len(classes)} images.")
    return Evaluation(correct=int((predictions == classes).sum()), total=len(classes))


def run(entry: Entry, images: Any, *, limits: Limits | None = None, seconds: float = 120) -> np.ndarray:
    """Return the scores that an entry gives to a few images, N x num_classes, as :func:`evaluate` runs it."""
    scores = _run("run", entry, _array(images), None, limits, seconds, 6 * GIB)
    return np.asarray(scores, np.float32)


def _run(
    do: str,
    entry: Entry,
    images: np.ndarray,
    progress: Callable[[int, int], None] | None,
    limits: Limits | None,
    seconds: float,
    memory: int,
) -> list[Any]:
    limits = limits or Limits()
    data = read_entry(entry, limits.file_bytes)
    step = max(1, CHUNK // max(images[0].nbytes, 1))
    started = time.monotonic()
    answers: list[Any] = []
    with GuardedWorker(memory=memory, processor_seconds=_processor_seconds(seconds)) as worker:
        for first in range(0, len(images), step):
            pixels = np.ascontiguousarray(images[first : first + step], np.float32)
            question = {"do": do, "shape": pixels.shape, "limits": asdict(limits)}
            report = progress and partial(_report, progress, first, len(images))
            blobs = [data, memoryview(pixels).cast("B")]
            answers += worker.ask(question, blobs, seconds=seconds, started=started, progress=report)
    return answers


def _report(progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu()) if hasattr(values, "detach") else np.asarray(values)


def _check_images(images: np.ndarray, labels: np.ndarray) -> None:
    if images.ndim != 4 or not len(images) or images.dtype.kind != "f":
        raise ValueError(
            f"images of shape {images.shape} and type {images.dtype}: give normalized images N x C x H x W, such as "
            "data.normalize(data.test_images)."
        )
    if not np.isfinite(images).all():
        raise ValueError("images hold infinity or NaN: every pixel must be finite.")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"labels of shape {labels.shape} and type {labels.dtype} for {len(images)} images: give one class number, "
            "0 or more, for each."
        )
