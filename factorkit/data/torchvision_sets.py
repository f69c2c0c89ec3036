"""The data sets that torchvision reads, from files in its layout or by its download."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tarfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factorkit.data.cache import cache_folder
from factorkit.data.image_data import ImageData
from factorkit.data.statistics import channel_statistics
from factorkit.torchvision_import import import_torchvision

__all__ = ["DOWNLOAD_TIMEOUT", "SOURCES", "load_torchvision"]

DOWNLOAD_TIMEOUT = 10.0
"""Seconds without an answer from the server after which a download is given up."""


@dataclass(frozen=True)
class _Source:
    """Where a data set comes from."""

    class_name: str
    page: str


SOURCES = {
    "cifar10": _Source("CIFAR10", "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "cifar100": _Source("CIFAR100", "https://www.cs.toronto.edu/~kriz/cifar.html"),
    "svhn": _Source("SVHN", "http://ufldl.stanford.edu/housenumbers/"),
    "mnist": _Source("MNIST", "http://yann.lecun.com/exdb/mnist/"),
}

Split = tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]


def load_torchvision(name: str, root: str | os.PathLike[str] | None, *, progress: bool) -> ImageData:
    """Read a data set with torchvision; download what is missing.

    Parameters
    ----------
    name : str
        One of :data:`SOURCES`.
    root : path or None
        Folder of the files, in torchvision's layout; None is ``torchvision`` in the cache folder.
    progress : bool
        Whether a download shows its progress bar.

    Returns
    -------
    ImageData

    Raises
    ------
    FileNotFoundError
        If files are missing or damaged and the download fails.
    ValueError
        If the files are there but are no such data set.
    """
    folder = cache_folder() / "torchvision" if root is None else Path(root).expanduser()
    dataset_class = getattr(import_torchvision().datasets, SOURCES[name].class_name)
    if _missing(name, dataset_class, folder):
        _download(name, dataset_class, folder, progress)
    try:
        with _known_warnings_ignored():
            train_images, train_labels, classes = _read(name, dataset_class, folder, train=True)
            test_images, test_labels, _ = _read(name, dataset_class, folder, train=False)
    except MemoryError:
        raise
    except Exception as error:  # torchvision trusts its files: on others it raises whatever happens first
        raise ValueError(
            f"cannot read the {name!r} files in {folder} ({type(error).__name__}: {error}): delete them and load again"
        ) from error
    mean, std = channel_statistics(train_images)
    return ImageData(name, train_images, train_labels, test_images, test_labels, classes, mean, std)


def _files(name: str, dataset_class: Any, folder: Path) -> list[tuple[Path, str | None]]:
    """The files of a data set in a folder, with the MD5 checksum that torchvision demands of each (None: any)."""
    if name == "svhn":
        return [(folder / dataset_class.split_list[s][1], dataset_class.split_list[s][2]) for s in ("train", "test")]
    if name == "mnist":
        raw = folder / dataset_class.__name__ / "raw"
        return [(raw / archive.removesuffix(".gz"), None) for archive, _ in dataset_class.resources]
    meta = [(dataset_class.meta["filename"], dataset_class.meta["md5"])]
    listed = [*dataset_class.train_list, *dataset_class.test_list, *meta]
    return [(folder / dataset_class.base_folder / file_name, md5) for file_name, md5 in listed]


def _missing(name: str, dataset_class: Any, folder: Path) -> list[Path]:
    from torchvision.datasets.utils import check_integrity

    return [path for path, md5 in _files(name, dataset_class, folder) if not check_integrity(path, md5)]


def _open(name: str, dataset_class: Any, folder: Path, *, train: bool, download: bool = False) -> Any:
    if name == "svhn":
        return dataset_class(folder, split="train" if train else "test", download=download)
    return dataset_class(folder, train=train, download=download)


def _read(name: str, dataset_class: Any, folder: Path, *, train: bool) -> Split:
    dataset = _open(name, dataset_class, folder, train=train)
    digits = tuple(str(digit) for digit in range(10))
    if name == "svhn":
        return torch.from_numpy(np.ascontiguousarray(dataset.data)), torch.from_numpy(dataset.labels), digits
    if name == "mnist":
        return dataset.data[:, None], dataset.targets, digits
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor(dataset.targets), tuple(dataset.classes)


def _download(name: str, dataset_class: Any, folder: Path, progress: bool) -> None:
    """Let torchvision fetch what is missing, or unpack an archive that lies in the folder already."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    hidden = contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO())
    try:
        with _known_warnings_ignored(), hidden:
            for train in (True, False):
                _open(name, dataset_class, folder, train=train, download=True)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
        raise FileNotFoundError(_explanation(name, dataset_class, folder, error)) from error
    finally:
        socket.setdefaulttimeout(before)


def _explanation(name: str, dataset_class: Any, folder: Path, error: Exception) -> str:
    missing = _missing(name, dataset_class, folder)
    if name == "mnist":
        wanted = ", ".join(archive for archive, _ in dataset_class.resources) + ", packed or unpacked,"
        place = folder / dataset_class.__name__ / "raw"
    elif name == "svhn":
        wanted, place = " and ".join(path.name for path in missing), folder
    else:
        wanted, place = f"{dataset_class.filename}, or the folder {dataset_class.base_folder} that is in it,", folder
    lines = [
        f"the data set {name!r} is not there, and downloading it failed "
        f"({type(error).__name__}: {' '.join(str(error).split())}).",
        f"Missing or damaged in {folder}:",
        *(f"    {path.relative_to(folder)}" for path in missing),
        f"Where to get it: {SOURCES[name].page}",
        f"Put {wanted} into {place} and load again.",
        "Another folder: load(..., root=...). Without any download: load('patterns').",
    ]
    return "\n".join(lines)


@contextlib.contextmanager
def _known_warnings_ignored() -> Iterator[None]:
    """Silence what torchvision's own code or the age of its files brings up, and no reader can change."""
    with warnings.catch_warnings():
        # The CIFAR files were pickled by Python 2, with 0 and 1 for False and True.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        # Unpacking asks for no filter; the archives are known by their checksum.
        warnings.filterwarnings("ignore", message="Python 3.14 will, by default, filter extracted tar archives")
        yield
