"""The data sets by name."""

from __future__ import annotations

import difflib
import operator
import os

import numpy as np
import torch

from factorkit.data.image_data import ImageData
from factorkit.data.patterns import CLASSES, TRAIN_COUNT, load_patterns
from factorkit.data.statistics import channel_statistics
from factorkit.data.torchvision_sets import SOURCES, load_torchvision

__all__ = ["load", "names"]


def names() -> tuple[str, ...]:
    """Names of the data sets that :func:`load` knows.

    Examples
    --------
    >>> names()
    ('patterns', 'digits', 'cifar10', 'cifar100', 'svhn', 'mnist')
    """
    return ("patterns", "digits", *SOURCES)


def load(
    name: str = "patterns",
    *,
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> ImageData:
    """Load a data set of images.

    ============ ============================================ =============== ============= ==========
    name         content                                      train / test    image         needs
    ============ ============================================ =============== ============= ==========
    ``patterns`` five outlines times two textures, in color   12,000 / 2,000  3 x 32 x 32   nothing
    ``digits``   handwritten digits of scikit-learn           1,437 / 360     1 x 8 x 8     nothing
    ``cifar10``  photographs of animals and vehicles          50,000 / 10,000 3 x 32 x 32   a download
    ``cifar100`` photographs, 100 classes                     50,000 / 10,000 3 x 32 x 32   a download
    ``svhn``     house numbers, the digit in the middle       73,257 / 26,032 3 x 32 x 32   a download
    ``mnist``    handwritten digits                           60,000 / 10,000 1 x 28 x 28   a download
    ============ ============================================ =============== ============= ==========

    Parameters
    ----------
    name : str, optional
        One of :func:`names`.
    root : path, optional
        Folder of the files of ``cifar10``, ``cifar100``, ``svhn`` and ``mnist``; by default ``torchvision`` in the
        cache folder. Files that are not there are downloaded to it.
    seed : int, optional
        Another seed, from 0 to 2**64 - 1, gives another set of ``patterns`` of the same kind: a held-out set. The other
        sets have no seed.
    progress : bool, optional
        Whether to show a progress bar while drawing or downloading.

    Returns
    -------
    ImageData

    Raises
    ------
    ValueError
        If the name is unknown, the seed is not a whole number in its range, or ``seed`` or ``root`` is given to a set
        that has none.
    FileNotFoundError
        If files are missing and cannot be downloaded; the message says which, and where to get them.

    Notes
    -----
    The patterns are drawn once (a few seconds) and then read from the cache folder: the user's, or the one that the
    environment variable ``FACTORKIT_CACHE`` names.

    Examples
    --------
    >>> data = load("patterns", progress=False)
    >>> data.input_shape, data.classes[:3]
    ((3, 32, 32), ('disc-striped', 'disc-spotted', 'triangle-striped'))
    """
    if name not in names():
        close = difflib.get_close_matches(str(name).lower(), names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown data set {name!r}: known are {', '.join(names())}{hint}")
    seed = _checked_seed(seed)
    if name != "patterns" and seed != 0:
        raise ValueError(f"seed={seed} for {name!r}: only 'patterns' is drawn from a seed; leave it out")
    if name not in SOURCES and root is not None:
        raise ValueError(f"root={str(root)!r} for {name!r}: this set reads no files; leave it out")
    if name == "patterns":
        return _patterns(seed, progress)
    if name == "digits":
        return _digits()
    return load_torchvision(name, root, progress=progress)


def _checked_seed(seed: int) -> int:
    rule = "must be a whole number from 0 to 2**64 - 1"
    if isinstance(seed, bool | np.bool_):
        raise ValueError(f"seed={seed!r}: {rule}")
    try:
        number = operator.index(seed)
    except TypeError as error:
        raise ValueError(f"seed={seed!r}: {rule}") from error
    if not 0 <= number < 2**64:
        raise ValueError(f"seed={seed!r}: {rule}")
    return number


def _patterns(seed: int, progress: bool) -> ImageData:
    arrays = load_patterns(seed, progress=progress)
    images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    return _image_data(
        "patterns", images[:TRAIN_COUNT], labels[:TRAIN_COUNT], images[TRAIN_COUNT:], labels[TRAIN_COUNT:], CLASSES
    )


def _digits() -> ImageData:
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    bunch = load_digits()
    # Values 0 ... 16 become 0 ... 255, rounded; the steps are so wide that each value stays distinct.
    images = torch.from_numpy(((bunch.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    # Every fifth image, counted class by class, is a test image.
    test = torch.zeros(len(labels), dtype=torch.bool)
    test[torch.argsort(labels, stable=True)[::5]] = True
    classes = tuple(str(digit) for digit in bunch.target_names)
    return _image_data("digits", images[~test], labels[~test], images[test], labels[test], classes)


def _image_data(name: str, train_images, train_labels, test_images, test_labels, classes) -> ImageData:
    mean, std = channel_statistics(train_images)
    return ImageData(name, train_images, train_labels, test_images, test_labels, classes, mean, std)
