"""Records of a long study in a JSON file, so that one that is stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["StudyRecords"]


class StudyRecords:
    """A JSON list of records, one in a line, which grows by what is missing.

    Parameters
    ----------
    path : Path
        Read if it exists; written after each new record, and whole at any time.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "study.json")
    ...     first = StudyRecords(path).get({"seed": 0}, lambda: {"accuracy": 0.5})
    ...     again = StudyRecords(path).get({"seed": 0}, lambda: {"accuracy": 0.9})
    >>> first == again, again
    (True, {'seed': 0, 'accuracy': 0.5})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def get(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The record with these entries: that of the file, or what ``measure`` finds, which is kept with the key."""
        record = next((record for record in self._kept if key.items() <= record.items()), None)
        if record is None:
            record = key | measure()
            self._kept.append(record)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.path.with_name(self.path.name + ".part")
            lines = ",\n".join(f" {json.dumps(record)}" for record in self._kept)
            unfinished.write_text(f"[\n{lines}\n]\n")
            unfinished.replace(self.path)
        return record
