"""What a submission is: who handed in what, what is wrong with it, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Problem", "Status", "Submission"]


class Status(StrEnum):
    """How a submission ended: every submission ends in exactly one of these."""

    OK = "ok"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    MEMORY = "out of memory"
    OUTPUT = "output limit"
    TAMPERED = "tampered"
    INVALID = "invalid notebook"
    MISSING = "missing"

    @property
    def was_run(self) -> bool:
        """Whether the notebook was executed, wholly or in part."""
        return self in (Status.OK, Status.TIMEOUT, Status.CRASHED, Status.MEMORY, Status.OUTPUT)


@dataclass(frozen=True)
class Problem:
    """Why a submission cannot be graded, in words for the student."""

    status: Status
    message: str


@dataclass(frozen=True)
class Finding:
    """Something worth a look in a submission that did not keep it from being graded.

    Attributes
    ----------
    kind : str
        A short name: ``edited``, ``deleted``, ``duplicated``, ``moved``, ``tagged``, ``link``, ``shadows`` ...
    cell : str
        The id of the cell, or the name of the file.
    message : str
        What was found, and what the grader did about it.
    """

    kind: str
    cell: str
    message: str


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab.

    Attributes
    ----------
    student, lab : str
        Who, and for what.
    folder : str
        The absolute path of the folder handed in.
    notebooks : tuple of str
        The file names of the notebooks in that folder, in the order of the lab's own.
    files : tuple of str
        The other files in it, as paths relative to `folder`.
    received : str or None
        When it was handed in, in UTC, ISO 8601: as noted when it was collected, or else the time of the file.
    sha256 : str
        A hash of the notebooks and the files; empty where there is none.
    problem : Problem or None
        Why it cannot be graded.
    findings : tuple of Finding
        What else is odd about the files.
    """

    student: str
    lab: str
    folder: str
    notebooks: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    received: str | None = None
    sha256: str = ""
    problem: Problem | None = None
    findings: tuple[Finding, ...] = ()
