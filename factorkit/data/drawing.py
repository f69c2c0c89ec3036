"""Drawing with exactly rounded arithmetic: the same bytes on every machine.

The functions here are the brushes of :mod:`factorkit.data.patterns`. A drawing must not depend on the processor, on the
operating system or on the version of numpy, or else two students would train on two different data sets. Three rules
give that, and each function keeps them:

- Only operations that the IEEE 754 standard rounds exactly: ``+ - * /``, square root, floor, absolute value, minimum,
  maximum and comparisons. No ``sin``, ``exp`` or ``pow``: their last bit is the choice of the mathematics library.
- One operation at a time, each in its own numpy call, so that no compiler fuses a multiplication and an addition.
- No sum, mean or matrix product over an array: their result depends on the order that the processor prefers.

Everything is ``float32``. Images are ``N x C x H x W``; one number per image is ``N x 1 x 1 x 1``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUTLINES", "Array", "mix", "pixel_grid", "sine", "smooth_field", "smooth_step"]

Array = NDArray[np.float32]


def sine(turns: Array) -> Array:
    """Sine of an angle in turns (1 turn = 360 degrees), correct to 0.0011.

    A parabola through the zeros and the extremes of the sine, corrected once: far more exact than a picture needs.

    Examples
    --------
    >>> sine(np.array([0, 0.25, 0.5, 0.75, 7.25], dtype=np.float32)).tolist()
    [0.0, 1.0, 0.0, -1.0, 1.0]
    """
    turns = turns - np.floor(turns + 0.5)
    parabola = 8 * turns - 16 * turns * np.abs(turns)
    return parabola * (0.775 + 0.225 * np.abs(parabola))


def smooth_step(x: Array) -> Array:
    """0 up to ``x = 0``, 1 from ``x = 1``, and a smooth cubic between.

    Examples
    --------
    >>> smooth_step(np.array([-3, 0, 0.5, 1, 9], dtype=np.float32)).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    x = np.minimum(np.maximum(x, 0), 1)
    return x * x * (3 - 2 * x)


def mix(below: Array, above: Array, coverage: Array) -> Array:
    """Lay one picture over another: ``below`` where coverage is 0, ``above`` where it is 1."""
    return below + (above - below) * coverage


def pixel_grid(size: int) -> tuple[Array, Array]:
    """Coordinates of the pixel centers, from -1 to 1: x as ``1 x 1 x 1 x size``, y as ``1 x 1 x size x 1``.

    Examples
    --------
    >>> x, y = pixel_grid(4)
    >>> x.ravel().tolist(), y.shape
    ([-0.75, -0.25, 0.25, 0.75], (1, 1, 4, 1))
    """
    centers = (2 * np.arange(size) + 1 - size).astype(np.float32) / np.float32(size)
    return centers.reshape(1, 1, 1, size), centers.reshape(1, 1, size, 1)


def smooth_field(knots: Array, size: int) -> Array:
    """Stretch a coarse grid of values to a smooth picture.

    Parameters
    ----------
    knots : array, N x C x K x K
        Values at K x K equally spaced points, the first and the last on the border.
    size : int
        Height and width of the picture.

    Returns
    -------
    array, N x C x size x size
        Every pixel is a weighted mean of its four neighboring knots.

    Examples
    --------
    >>> corners = np.array([[0, 0], [1, 1]], dtype=np.float32).reshape(1, 1, 2, 2)
    >>> smooth_field(corners, 2)[0, 0, :, 0].tolist()
    [0.15625, 0.84375]
    """
    count = knots.shape[-1]
    centers, _ = pixel_grid(size)
    position = (centers.ravel() + 1) * np.float32((count - 1) / 2)
    weights = [smooth_step(1 - np.abs(position - k)) for k in range(count)]
    rows = knots[:, :, 0, None, :] * weights[0][:, None]
    for k in range(1, count):
        rows = rows + knots[:, :, k, None, :] * weights[k][:, None]
    field = rows[..., 0, None] * weights[0]
    for k in range(1, count):
        field = field + rows[..., k, None] * weights[k]
    return field


def _disc(u: Array, v: Array) -> Array:
    return np.sqrt(u * u + v * v) - 1


def _triangle(u: Array, v: Array) -> Array:
    # The normals of the sides point at 0, 120 and 240 degrees.
    slanted = 0.8660254 * np.abs(v) - 0.5 * u
    return np.maximum(slanted, u) - 0.64


def _square(u: Array, v: Array) -> Array:
    return np.maximum(np.abs(u), np.abs(v)) - 0.8


def _star(u: Array, v: Array) -> Array:
    # cos(5 a) is the real part of (u + iv)^5 / r^5, so five rounded lobes need no angle.
    uu, vv = u * u, v * v
    square = np.maximum(uu + vv, 1e-6)
    radius = np.sqrt(square)
    cosine = u * (uu * uu - 10 * (uu * vv) + 5 * (vv * vv)) / (square * square * radius)
    return radius - (1 + 0.33 * cosine)


def _ring(u: Array, v: Array) -> Array:
    radius = np.sqrt(u * u + v * v)
    return np.maximum(radius - 1, 0.5 - radius)


OUTLINES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": _disc,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "ring": _ring,
}
"""Five outlines. Each gives, for coordinates of about unit size, a distance: negative inside, positive outside."""
