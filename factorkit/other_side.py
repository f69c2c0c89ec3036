"""Where the student's code is, if a grader runs it in another process than the tests.

In one process, as in a notebook or under ``nbgrader autograde``, nothing is connected and the checks ask this process.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["OtherSide", "connect", "connected"]


class OtherSide(Protocol):
    """What a grader offers to the checks of a lab."""

    def describe(self, model: Any, *example: Any) -> dict[str, Any] | None:
        """`factorkit.exported.describe` on the student's side; None if the model is not there."""

    def hand_over(self, obj: Any) -> Any:
        """A handle for an object of the test's that has been moved to the student's side."""

    def imported(self, modules: tuple[str, ...]) -> list[str]:
        """Those of the modules that the student's process has imported."""


_connected: list[OtherSide] = []


def connect(other_side: OtherSide | None) -> None:
    """Tell the checks where the student's code is; None: in this process."""
    _connected[:] = [] if other_side is None else [other_side]


def connected() -> OtherSide | None:
    """Where the student's code is; None: in this process."""
    return _connected[0] if _connected else None
