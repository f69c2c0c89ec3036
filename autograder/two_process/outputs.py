"""What a test cell shows and earns, such that nbgrader's own rule reads the same score from it.

nbgrader gives no points for an error or anything on stderr, a number's worth for a number as the cell's value, and all
points otherwise. So a failure is an error, partial credit a number between 0 and the cell's points, and what would give
all points by accident (NaN, a negative number, text) an error that says so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from autograder.two_process.proxies import link_of

__all__ = ["NotANumber", "error_output", "earned", "number_output", "stream_output"]

_MOST_TEXT = 100_000
_MOST_MESSAGE = 5000


class NotANumber(Exception):
    """A cell ended in a value that is no score."""


def earned(value: Any, maximum: float) -> float | None:
    """The points that a cell's last value stands for; None if there is none, which means all points.

    Raises
    ------
    NotANumber
        If it is neither None, a truth value nor a finite number.

    Examples
    --------
    >>> earned(0.5, 2.0), earned(7, 2.0), earned(None, 2.0), earned(True, 2.0)
    (0.5, 2.0, None, None)
    """
    if value is None or value is True:
        return None
    number = _plain_number(value)
    if number is None:
        kind = "an object of the student's" if link_of(value) is not None else f"{type(value).__name__} {value!r:.80}"
        raise NotANumber(
            f"the cell ends in {kind}, which is no number of points: end it in float(points) or in nothing"
        )
    if not math.isfinite(number):
        raise NotANumber(f"the cell ends in {number}, which is no number of points")
    return min(max(number, 0.0), maximum)


def _plain_number(value: Any) -> float | None:
    if value is False:
        raise NotANumber("the cell ends in False: what it compares is not so")
    if type(value) in (int, float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    is_array = (isinstance(value, np.generic) or type(value) is np.ndarray) and np.ndim(value) == 0
    if is_array and np.asarray(value).dtype.kind in "iuf":
        return float(value)
    is_tensor = type(value) in (torch.Tensor, torch.nn.Parameter) and value.ndim == 0
    return float(value.detach()) if is_tensor and not value.is_complex() and value.dtype is not torch.bool else None


def number_output(points: float, count: int) -> dict[str, Any]:
    """Partial credit, as the value of the cell."""
    data = {"text/plain": repr(float(points))}
    return {"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}}


def stream_output(text: str) -> dict[str, Any]:
    """What was printed."""
    kept = text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "\n... the rest is left out ...\n"
    return {"output_type": "stream", "name": "stdout", "text": _well_formed(kept)}


def error_output(name: str, message: str, traceback: list[str]) -> dict[str, Any]:
    """What went wrong."""
    lines = [_well_formed(line) for line in traceback]
    message = _well_formed(message[:_MOST_MESSAGE])
    return {"output_type": "error", "ename": _well_formed(name), "evalue": message, "traceback": lines}


def _well_formed(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()
