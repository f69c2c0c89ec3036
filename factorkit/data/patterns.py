"""The embedded data set: striped and spotted shapes, drawn from a seed.

Ten classes, five outlines times two surface textures, in color, 32 x 32 pixels. Position, size, rotation, shear,
colors, background, distractors, light and noise vary from image to image and say nothing about the class, so a network
must learn shape *and* texture. The set is hard enough that a small network of 6,000 parameters fails on four images in
ten, and easy enough that one of 70,000 parameters learns it within minutes on two cores.

**Why it is drawn this way.** A seed must mean one data set, bit for bit, on every platform and with every version of
numpy: accuracies are compared between students, and a held-out set must be the same wherever it is made. Hence

- random numbers are the raw 64-bit words of the published Philox 4x64-10 counter generator, keyed by the seed; numpy
  promises to keep that stream, while it does not promise to keep the stream of ``Generator.uniform`` or ``.normal``;
- a word becomes a number by exact integer and power-of-two arithmetic;
- pictures are made of exactly rounded operations alone (:mod:`factorkit.data.drawing` says which and why);
- every image has its own words of the stream, so the result does not depend on how many are drawn at once.

The SHA-256 checksum of the set with seed 0 is written down below; loading compares it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from factorkit.data.cache import Arrays, cached
from factorkit.data.drawing import OUTLINES, Array, mix, pixel_grid, sine, smooth_field, smooth_step

__all__ = [
    "CLASSES",
    "RECIPE_VERSION",
    "SHA256_SEED_0",
    "SIZE",
    "TEST_COUNT",
    "TRAIN_COUNT",
    "draw_patterns",
    "load_patterns",
]

RECIPE_VERSION = 1
"""Raised whenever a change of this module changes a pixel."""

SHA256_SEED_0 = "ee494108ff47c359c2c49cfec86fe8b3e417ab9ed8838759d5d04a2410e6bfdf"
"""Checksum of all 14,000 images and labels with seed 0 (see :func:`factorkit.data.cache.checksum`)."""

SIZE = 32
TRAIN_COUNT = 12_000
TEST_COUNT = 2_000
CLASSES = tuple(f"{outline}-{texture}" for outline in OUTLINES for texture in ("striped", "spotted"))

# The random words of one image: its place in the order of classes, its parameters, the noise of its pixels.
_PARAMETERS = 128
_WORDS = 1 + _PARAMETERS + 3 * SIZE * SIZE
_CHUNK = 50  # images drawn at once: a multiple of ten, small enough for the processor's cache


def draw_patterns(count: int, seed: int = 0, *, progress: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw the first ``count`` images of the set that belongs to a seed.

    Parameters
    ----------
    count : int
        How many images. The first ten have one of each class, and so does every following ten.
    seed : int, optional
        Key of the random stream, from 0 to 2**64 - 1.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    images : uint8 array, count x 3 x 32 x 32
    labels : int64 array, count
        Index into :data:`CLASSES`.

    Examples
    --------
    >>> images, labels = draw_patterns(20, seed=7)
    >>> images.shape, images.dtype, sorted(labels[:10].tolist())
    ((20, 3, 32, 32), dtype('uint8'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    stream = np.random.Philox(key=seed)
    images = np.empty((count, 3, SIZE, SIZE), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    with tqdm(total=count, desc="drawing patterns", unit=" images", leave=False, disable=not progress) as bar:
        for start in range(0, count, _CHUNK):
            stop = min(start + _CHUNK, count)
            drawn = math.ceil((stop - start) / len(CLASSES)) * len(CLASSES)
            words = stream.random_raw(drawn * _WORDS).reshape(drawn, _WORDS)
            some_labels = _shuffled_labels(words[:, 0])
            some_images = _draw(words, some_labels)
            images[start:stop] = some_images[: stop - start]
            labels[start:stop] = some_labels[: stop - start]
            bar.update(stop - start)
    return images, labels


def load_patterns(seed: int = 0, *, progress: bool = False) -> Arrays:
    """Read all images and labels of a seed from the cache folder, where they are put the first time.

    Parameters
    ----------
    seed : int, optional
    progress : bool, optional
        Whether to show a progress bar while drawing.

    Returns
    -------
    dict of ndarray
        ``images`` and ``labels`` as :func:`draw_patterns` gives them, first the training set, then the test set.
    """

    def make() -> Arrays:
        images, labels = draw_patterns(TRAIN_COUNT + TEST_COUNT, seed, progress=progress)
        return {"images": images, "labels": labels}

    return cached(f"patterns-v{RECIPE_VERSION}-seed{seed}.npz", make, sha256=SHA256_SEED_0 if seed == 0 else None)


class _Draws:
    """Hands out uniform numbers, the same ones for the same image whatever is drawn around it."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        # The upper 24 bits of a word are a float32 exactly.
        self._uniforms = (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        self._used = 0

    def uniform(self, low: float, high: float, channels: int = 1, height: int = 1, width: int = 1) -> Array:
        """Uniform numbers in [low, high) as N x channels x height x width."""
        start, self._used = self._used, self._used + channels * height * width
        values = self._uniforms[:, start : self._used]
        return (low + (high - low) * values).reshape(len(values), channels, height, width)


def _shuffled_labels(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """One of each class in every ten images, in an order given by random words."""
    return np.argsort(words.reshape(-1, len(CLASSES)), axis=1, kind="stable").reshape(-1)


def _gaussian(words: NDArray[np.uint64]) -> Array:
    """Nearly Gaussian noise of variance 1: each word is the sum of its four 16-bit quarters."""
    low_of_pair = np.uint64(0x0000FFFF0000FFFF)
    pairs = (words & low_of_pair) + ((words >> np.uint64(16)) & low_of_pair)
    total = (pairs & np.uint64(0xFFFFFFFF)) + (pairs >> np.uint64(32))
    return (total.astype(np.float32) - np.float32(131070)) * np.float32(1.7320508 / 65536)


def _pose(draws: _Draws, x: Array, y: Array, scale: tuple[float, float], offset: float) -> tuple[Array, Array, Array]:
    """Object coordinates of every pixel under a random position, rotation, size, aspect and shear, and that size."""
    angle, size = draws.uniform(0, 1), draws.uniform(*scale)
    dx, dy = x - draws.uniform(-offset, offset), y - draws.uniform(-offset, offset)
    cosine, sine_ = sine(angle + 0.25), sine(angle)
    u, v = dx * cosine + dy * sine_, dy * cosine - dx * sine_
    u = u + draws.uniform(-0.2, 0.2) * v
    aspect = draws.uniform(0.75, 1.3)
    return u * (aspect / size), v / (aspect * size), size


def _grating(draws: _Draws, u: Array, v: Array, cycles: Array) -> tuple[Array, Array]:
    """Two crossed waves with a random orientation and random phases."""
    angle = draws.uniform(0, 1)
    cosine, sine_ = sine(angle + 0.25) * cycles, sine(angle) * cycles
    along = sine(u * cosine + v * sine_ + draws.uniform(0, 1))
    across = sine(v * cosine - u * sine_ + draws.uniform(0, 1))
    return along, across


def _draw(words: NDArray[np.uint64], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Draw one image per row of random words. The order of the draws is part of the recipe."""
    draws = _Draws(words[:, 1 : 1 + _PARAMETERS])
    x, y = pixel_grid(SIZE)
    outline, spotted = labels // 2, (labels % 2 == 1).reshape(-1, 1, 1, 1)

    # Background: a smooth field of color, a faint grating, and small discs that are no object.
    tint = draws.uniform(0, 0.5, 3)
    scene = tint + 0.5 * smooth_field(draws.uniform(0, 1, 3, 4, 4), SIZE)
    scene = scene + draws.uniform(0, 0.12) * _grating(draws, x, y, draws.uniform(1, 2.2))[0]
    for _ in range(2):
        u, v, _ = _pose(draws, x, y, (0.08, 0.2), 0.9)
        shown = draws.uniform(0, 1) < 0.6
        scene = mix(scene, draws.uniform(0, 1, 3), shown * smooth_step(0.5 - OUTLINES["disc"](u, v) / 0.9))

    # The object: its outline as a soft mask, its texture in its own coordinates, its color away from the background's.
    u, v, size = _pose(draws, x, y, (0.42, 0.74), 0.28)
    distance = np.empty_like(u)
    for index, distance_to in enumerate(OUTLINES.values()):
        rows = np.flatnonzero(outline == index)
        distance[rows] = distance_to(u[rows], v[rows])
    mask = smooth_step(0.5 - distance / draws.uniform(0.24, 0.6))

    along, across = _grating(draws, u * size, v * size, draws.uniform(1.9, 2.9))
    spots = 2 * smooth_step(0.15 + 0.75 * (along + across)) - 1
    spots = np.where(draws.uniform(-1, 1) < 0, -spots, spots)  # darker or brighter than the rest
    relief = np.where(spotted, spots, along) * draws.uniform(0.4, 0.8)

    direction = draws.uniform(-0.5, 0.5, 3)
    red, green, blue = direction[:, :1], direction[:, 1:2], direction[:, 2:]
    length = np.maximum(np.sqrt(red * red + green * green + blue * blue), 0.01)
    color = tint + 0.25 + direction / length * draws.uniform(0.45, 1.1)
    color = np.minimum(np.maximum(color, 0.12), 0.88)  # or else the texture is lost where a channel saturates
    surface = color + 0.3 * (smooth_field(draws.uniform(0, 1, 3, 3, 3), SIZE) - 0.5)
    surface = surface + relief * draws.uniform(0.18, 0.6, 3)
    image = mix(scene, surface, mask)

    # The camera: light from a side, exposure per channel, contrast, noise.
    light = 1 + draws.uniform(-0.35, 0.35) * x + draws.uniform(-0.35, 0.35) * y
    image = image * (light * draws.uniform(0.75, 1.25))
    image = (image - 0.5) * draws.uniform(0.75, 1.2) + 0.5
    noise = _gaussian(words[:, 1 + _PARAMETERS :]).reshape(-1, 3, SIZE, SIZE)
    image = image + noise * draws.uniform(0, 0.05)
    return np.floor(np.minimum(np.maximum(image, 0), 1) * 255 + 0.5).astype(np.uint8)
