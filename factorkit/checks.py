"""What the test cells of the labs use to ask fair questions of a student's code.

A test must not take a student's object at its word. What is counted or scored goes through :func:`trusted_copy`
first: a network rebuilt from the operations that really run.
"""

from __future__ import annotations

import os
import sys
from typing import TypeVar

from factorkit.other_side import connected
from factorkit.trusted import trusted_copy

__all__ = ["being_graded", "hand_over", "not_imported", "trusted_copy"]

T = TypeVar("T")


def being_graded() -> bool:
    """Whether this notebook is being run by a grader, which skips long training cells.

    Examples
    --------
    >>> if not being_graded():
    ...     epochs = 10
    """
    return bool(os.environ.get("NBGRADER_EXECUTION"))


def not_imported(*modules: str) -> None:
    """Assert that this lab's work was not borrowed from the helper modules that hold its answers.

    Parameters
    ----------
    *modules : str
        Full names, for example ``"factorkit.costs"``.

    Raises
    ------
    AssertionError
        If one of them has been imported in this notebook.

    Examples
    --------
    >>> not_imported("factorkit.no_such_module")
    """
    other_side = connected()
    found = [name for name in modules if name in sys.modules] if other_side is None else other_side.imported(modules)
    assert not found, (
        f"this lab asks you to write what {', '.join(found)} contains: remove the import, restart the kernel and "
        "run all cells."
    )


def hand_over(obj: T) -> T:
    """Move an object that a test has made to the student's side, for functions that change it in place.

    In one process, as under ``nbgrader autograde``, both sides are the same and the object itself comes back. A
    grader that runs the tests in another process moves it there. Test cells use what is returned.

    Examples
    --------
    >>> layers = [1, 2]
    >>> hand_over(layers) is layers
    True
    """
    other_side = connected()
    return obj if other_side is None else other_side.hand_over(obj)
