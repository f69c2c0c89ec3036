"""A folder for data sets that are made once and read many times."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_dir

__all__ = ["CACHE_VARIABLE", "cache_folder", "cached", "checksum"]

CACHE_VARIABLE = "FACTORKIT_CACHE"

Arrays = dict[str, NDArray]


def cache_folder() -> Path:
    """The folder that the environment variable ``FACTORKIT_CACHE`` names, or else the user's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("factorkit")).expanduser()


def checksum(arrays: Arrays) -> str:
    """SHA-256 of the names, types, shapes and little-endian bytes of some arrays, in their order.

    Examples
    --------
    >>> checksum({"labels": np.arange(3, dtype=np.int64)})[:12]
    '0a8cb821b9c3'
    """
    digest = hashlib.sha256()
    for name, array in arrays.items():
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def cached(file_name: str, make: Callable[[], Arrays], *, sha256: str | None = None) -> Arrays:
    """Read arrays from a file of the cache folder; make and write them if they are not there.

    A file is written beside its place and then moved there in one step, so that several processes may do this at once
    and none reads half a file.

    Parameters
    ----------
    file_name : str
        Name of an ``.npz`` file. It must change whenever ``make`` gives something else.
    make : callable
        Gives the arrays by name.
    sha256 : str, optional
        The :func:`checksum` that the arrays must have. Without it, the one noted in the file counts.

    Warns
    -----
    RuntimeWarning
        If the file is damaged (it is made again), if it cannot be written (the arrays are returned all the same), or if
        what is made has not the checksum ``sha256``.
    """
    path = cache_folder() / file_name
    try:
        return _read(path, sha256)
    except OSError:
        pass  # not there, or not for us to read: writing will tell
    except _DamagedError as error:
        warnings.warn(f"{path} is damaged ({error}): making the data set again", RuntimeWarning, stacklevel=2)
    arrays = make()
    found = checksum(arrays)
    if sha256 is not None and found != sha256:
        warnings.warn(
            f"{file_name} comes out differently on this machine (checksum {found}, expected {sha256}): results may "
            "differ from those of others",
            RuntimeWarning,
            stacklevel=2,
        )
    try:
        _write(path, arrays, found)
    except OSError as error:
        warnings.warn(
            f"cannot write {path} ({error}): the data set will be made again each time; set {CACHE_VARIABLE} to a "
            "folder that you can write to",
            RuntimeWarning,
            stacklevel=2,
        )
    return arrays


class _DamagedError(Exception):
    """A file whose content is not what was written."""


def _read(path: Path, sha256: str | None) -> Arrays:
    with path.open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as content:
                noted = str(content["sha256"])
                arrays = {name: content[name] for name in content.files if name != "sha256"}
        except Exception as error:  # the bytes may be anything, and so may what numpy and zipfile raise on them
            raise _DamagedError(f"not readable: {error}") from error
    found = checksum(arrays)
    if found != (sha256 or noted):
        raise _DamagedError(f"checksum {found[:12]}..., expected {(sha256 or noted)[:12]}...")
    return arrays


def _write(path: Path, arrays: Arrays, sha256: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            np.savez(file, sha256=np.array(sha256), **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
