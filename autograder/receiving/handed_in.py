"""The files in one folder that was handed in: which of them may be used, and their hash."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from autograder.receiving.filenames import refusal_of_name, same_name, shadowing
from autograder.submissions import Finding

__all__ = ["MAX_FILES", "MAX_FILES_BYTES", "digest_of", "usable_files"]

MAX_FILES_BYTES = 200_000_000
MAX_FILES = 500
_SKIPPED_FOLDERS = {"__pycache__", "feedback"}
_SKIPPED_FILES = {"timestamp.txt"}  # a student can write it


def usable_files(folder: Path, notebooks: Collection[str]) -> tuple[tuple[str, ...], list[Finding]]:
    """The files beside the notebooks that may be used, and why the others are left out."""
    files: list[str] = []
    findings: list[Finding] = []
    seen: dict[str, str] = {same_name(notebook): notebook for notebook in notebooks}
    total = 0
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if name in notebooks or name in _SKIPPED_FILES:
            continue
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):
            findings.append(Finding("link", _printable(name), "left out: a link or no plain file"))
        elif reason := refusal_of_name(name):
            findings.append(Finding("refused", _printable(name), f"left out: {reason}; rename it"))
        elif other := seen.get(same_name(name)):
            findings.append(
                Finding("refused", name, f"left out: it differs from {other!r} only in case or accents; rename one")
            )
        elif total + info.st_size > MAX_FILES_BYTES:
            limit = MAX_FILES_BYTES // 1_000_000
            findings.append(Finding("oversize", name, f"left out: with it the files have more than {limit} MB"))
        elif len(files) == MAX_FILES:
            findings.append(Finding("oversize", name, f"left out with all after it: more than {MAX_FILES} files"))
            break
        else:
            total += info.st_size
            files.append(name)
            seen[same_name(name)] = name
    for module, name in shadowing(files).items():
        message = f"would be imported instead of the installed module {module}; only the student's own code sees it"
        findings.append(Finding("shadows", name, message))
    return tuple(files), findings


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _walk(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, sorted, without entering links, hidden folders and caches."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _SKIPPED_FOLDERS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        else:
            yield entry


def digest_of(folder: Path, names: Iterable[str] | None = None) -> str:
    """A hash of files in a folder, by default of all that are handed in with a notebook, and of their names."""
    if names is None:
        names = [path.relative_to(folder).as_posix() for path in _walk(folder)]
        names = [name for name in names if name not in _SKIPPED_FILES]
    digest = hashlib.sha256()
    for name in sorted(names):
        with (folder / name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(content.encode() + os.fsencode(name) + b"\n")
    return digest.hexdigest()
