"""Zip archives from strangers: what is in them, and how to unpack it without being harmed.

Nothing that an archive says of itself is believed: sizes are counted while reading, names are checked before a file is
made, and only ordinary files are made at all.
"""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from autograder.receiving.filenames import is_ignored, refusal_of_name, same_name
from autograder.submissions import Finding

__all__ = ["ArchiveError", "Item", "PlainItem", "Quota", "ZippedItem", "folder_items", "zip_items"]

MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 32_000_000  # of the table of contents, which Python reads as a whole
MAX_RATIO = 200
RATIO_MATTERS_FROM = 10_000_000  # bytes: a small file of zeros is no bomb
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_UTF8 = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArchiveError(Exception):
    """An archive or a file in it that is refused; the message names the rule and what to do."""


@dataclass
class Quota:
    """How many bytes and files may still be made.

    Examples
    --------
    >>> Quota(files=1, bytes=10).take_file()
    """

    files: int
    bytes: int
    limits: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.limits = (self.files, self.bytes)

    def take_file(self) -> None:
        """Count one more file."""
        self.files -= 1
        if self.files < 0:
            raise ArchiveError(f"more than {self.limits[0]} files; hand in the notebook and what it needs")

    def take_bytes(self, count: int) -> None:
        """Count bytes that were read."""
        self.bytes -= count
        if self.bytes < 0:
            megabytes = self.limits[1] / 1e6
            raise ArchiveError(f"more than {megabytes:g} MB when unpacked; hand in the notebook and what it needs")


class Item(Protocol):
    """A file that was handed in, in an archive or in a folder."""

    name: str

    def copy_to(self, target: BinaryIO, quota: Quota) -> None:
        """Write the content; `ArchiveError` if it is refused."""


@dataclass(frozen=True)
class PlainItem:
    """A file in a folder."""

    name: str
    path: Path

    def copy_to(self, target: BinaryIO, quota: Quota) -> None:
        """Write the content, as long as the quota lasts."""
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                quota.take_bytes(len(chunk))
                target.write(chunk)


@dataclass(frozen=True)
class ZippedItem:
    """A file in a zip archive."""

    name: str
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def copy_to(self, target: BinaryIO, quota: Quota) -> None:
        """Write the content as long as the quota lasts and it does not inflate beyond measure."""
        done = 0
        try:
            with self.archive.open(self.info) as file:
                while chunk := file.read(_CHUNK):
                    done += len(chunk)
                    if done > RATIO_MATTERS_FROM and done > MAX_RATIO * max(1, self.info.compress_size):
                        raise ArchiveError(
                            f"it unpacks to more than {MAX_RATIO} times its size in the archive; hand in less, or "
                            "the file itself instead of an archive"
                        )
                    quota.take_bytes(len(chunk))
                    target.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise ArchiveError(f"it is damaged ({error}); make the archive again") from None


def zip_items(stream: BinaryIO) -> tuple[list[ZippedItem], list[Finding]]:
    """The files of a zip archive that may be unpacked, and why the others may not.

    Parameters
    ----------
    stream : file
        It has to stay open until the items have been read.

    Raises
    ------
    ArchiveError
        If it is no zip archive, or its table of contents is too large.
    """
    try:
        _check_directory_size(stream)
        archive = zipfile.ZipFile(stream)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ArchiveError(f"not a zip archive that can be read ({error}); make it again, as .zip") from None
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ArchiveError(f"{len(entries)} entries, the limit is {MAX_ENTRIES}; leave out what is not needed")
    items: list[ZippedItem] = []
    findings: list[Finding] = []
    seen: dict[str, str] = {}
    for info in entries:
        name = _name(info)
        if info.is_dir() or is_ignored(name):
            continue
        reason = _refusal(info, name)
        if reason is None and (other := seen.get(same_name(name))) is not None:
            same = "is in the archive twice" if other == name else f"differs from {other!r} only in case or accents"
            reason = f"it {same}; keep one of them"
        if reason is None:
            seen[same_name(name)] = name
            items.append(ZippedItem(name, archive, info))
        else:
            findings.append(Finding("refused", name.encode("utf-8", "replace").decode(), f"left out: {reason}"))
    return items, findings


def folder_items(folder: Path) -> tuple[list[PlainItem], list[Finding]]:
    """The files below a folder that may be copied, and why the others may not; links are not followed."""
    items: list[PlainItem] = []
    findings: list[Finding] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if is_ignored(name) or stat.S_ISDIR(mode):
            continue
        reason = refusal_of_name(name)
        if not stat.S_ISREG(mode):
            reason = "a link or no plain file; hand in the file itself"
        if reason is None:
            items.append(PlainItem(name, path))
        else:
            findings.append(Finding("refused", name, f"left out: {reason}"))
    return items, findings


def _name(info: zipfile.ZipInfo) -> str:
    """An entry's name; many programs write UTF-8 without saying so."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name.removeprefix("./"))


def _refusal(info: zipfile.ZipInfo, name: str) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link or no plain file; put the file itself into the archive"
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted; make the archive without a password"
    if info.compress_type not in _METHODS:
        return f"compressed with method {info.compress_type}; use the ordinary one of zip (deflate)"
    reason = refusal_of_name(name)
    return f"{reason}; rename it" if reason else None


def _check_directory_size(stream: BinaryIO) -> None:
    """Refuse a table of contents that would fill the memory, before it is read."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 66_000))
    tail = stream.read(66_000)
    found = tail.rfind(b"PK\x05\x06")
    if found >= 0 and len(tail) >= found + 22:
        [directory] = struct.unpack("<L", tail[found + 12 : found + 16])
        if tail[max(0, found - 20) : found][:4] == b"PK\x06\x07":  # zip64: the numbers stand elsewhere
            [offset] = struct.unpack("<Q", tail[found - 12 : found - 4])
            stream.seek(min(offset, size))
            record = stream.read(56)
            directory = struct.unpack("<Q", record[40:48])[0] if len(record) == 56 else size
        if directory > MAX_DIRECTORY_BYTES:
            raise ArchiveError(
                f"a table of contents of {directory / 1e6:.0f} MB, the limit is {MAX_DIRECTORY_BYTES / 1e6:.0f} MB; "
                "leave out what is not needed"
            )
    stream.seek(0)
