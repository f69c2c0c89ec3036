"""Unpacking what one student handed in, into a folder that holds nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from autograder.intake import MAX_NOTEBOOK_BYTES
from autograder.receiving.archives import ArchiveError, Item, Quota, zip_items
from autograder.receiving.filenames import same_name
from autograder.receiving.handed_in import MAX_FILES, MAX_FILES_BYTES
from autograder.receiving.layouts import Bundle
from autograder.submissions import Finding

__all__ = ["unpack"]

_QUOTA = (MAX_FILES, MAX_FILES_BYTES + MAX_NOTEBOOK_BYTES)


def unpack(bundle: Bundle, notebooks: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Write a student's files into ``folder/files``; an archive handed in instead of a notebook is unpacked as well.

    Parameters
    ----------
    bundle : Bundle
        It gets a finding for each file that is left out.
    notebooks : sequence of str
        The file names of the lab's notebooks.
    folder : Path
        An empty folder; nothing is written outside it.

    Returns
    -------
    tuple of str
        The files, by their path in ``folder/files``.

    Raises
    ------
    ArchiveError
        If there is no notebook, or more than may be.
    """
    with contextlib.ExitStack() as opened:
        return _unpacked(bundle, notebooks, folder, opened)


def _unpacked(bundle: Bundle, notebooks: Sequence[str], folder: Path, opened: contextlib.ExitStack) -> tuple[str, ...]:
    quota = Quota(*_QUOTA)
    items = bundle.items
    names = [name for name, _ in items]
    if len(names) == 1 and names[0].endswith(".zip"):
        inner = folder / "inner"
        with inner.open("wb") as file:
            items[0][1].copy_to(file, Quota(*_QUOTA))
        found, findings = zip_items(opened.enter_context(inner.open("rb")))
        bundle.findings += findings
        items = [(item.name, item) for item in found]
    written: dict[str, str] = {}
    for name, item in _within(items, notebooks, bundle.findings):
        other = written.setdefault(same_name(name), name)
        if other != name:
            bundle.findings.append(
                Finding("refused", name, f"left out: it differs from {other!r} only in case or accents; rename one")
            )
            continue
        quota.take_file()
        target = folder / "files" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            item.copy_to(file, quota)
    return tuple(sorted(written.values()))


def _within(
    items: Sequence[tuple[str, Item]], notebooks: Sequence[str], findings: list[Finding]
) -> list[tuple[str, Item]]:
    """The files of the folder that holds the notebook, by their path in it; what lies outside is left out."""
    places = {name.rpartition("/")[0] for name, _ in items if name.rpartition("/")[2] in notebooks}
    places = places or {name.rpartition("/")[0] for name, _ in items if name.endswith(".ipynb")}
    if not places:
        raise ArchiveError(f"there is no notebook in it; hand in {' and '.join(notebooks)}")
    depth = min(place.count("/") + bool(place) for place in places)
    nearest = sorted(place for place in places if place.count("/") + bool(place) == depth)
    if len(nearest) > 1:
        raise ArchiveError(f"notebooks lie in the folders {', '.join(nearest)}; hand in one of them")
    [place] = nearest
    prefix = f"{place}/" if place else ""
    for name, _ in items:
        if not name.startswith(prefix):
            findings.append(Finding("refused", name, f"left out: it does not lie beside the notebook, in {place}"))
    return [(name.removeprefix(prefix), item) for name, item in items if name.startswith(prefix)]
