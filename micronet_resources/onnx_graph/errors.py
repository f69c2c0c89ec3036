"""The one error of challenge entries."""

from __future__ import annotations

__all__ = ["AGAIN", "EntryError"]

# What to do about a file that is damaged.
AGAIN = "Write it again with entry.export(model, path), and hand in that file as it is."


class EntryError(ValueError):
    """An entry was refused: the message names what was found, the rule, and what to do."""
