"""The one error of challenge entries."""

from __future__ import annotations

__all__ = ["EntryError"]


class EntryError(ValueError):
    """An entry was refused: the message names what was found, the rule, and what to do."""
