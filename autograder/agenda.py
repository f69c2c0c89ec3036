"""What a round has to do for each submission, and why: decided before anything is run."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from autograder.assignment import LabNotebooks
from autograder.course import Course
from autograder.errors import UsageError
from autograder.execute import Limits
from autograder.intake import intake
from autograder.recording import events
from autograder.recording.gradebook import enrolled, graded_results
from autograder.recording.kept import kept_runs
from autograder.results import SubmissionResult
from autograder.submissions import Submission

__all__ = ["Planned", "Settings", "chosen", "keys_of", "plan", "preview"]

Action = Literal["run", "record", "reuse"]
Found = Callable[[str, str], SubmissionResult | None]


@dataclass(frozen=True)
class Settings:
    """How a lab is graded, as far as results depend on it.

    Attributes
    ----------
    limits : Limits
        For each notebook.
    budget : bool
        Whether the time for a whole notebook follows from that of the instructor's solution; ``limits`` then says how
        long the solution may take.
    same_process : bool
        Whether tests run beside the student's code.
    """

    limits: Limits = Limits(notebook_seconds=3600)
    budget: bool = True
    same_process: bool = False

    @property
    def sha256(self) -> str:
        """A hash of all of them."""
        values = self.limits.to_dict() | ({"notebook_seconds": "budget"} if self.budget else {})
        return hashlib.sha256(json.dumps([values, self.same_process], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Planned:
    """What is to be done for one submission.

    Attributes
    ----------
    submission : Submission
    key : str
        Hashes of the files, the lab and the settings, see `keys_of`; empty where nothing is run.
    action : str
        ``run``; ``record``: there is nothing to run, or it has been run already; ``reuse``: nothing to do.
    reason : str
    result : SubmissionResult or None
        What is reused.
    """

    submission: Submission
    key: str
    action: Action
    reason: str
    result: SubmissionResult | None = None


def keys_of(submissions: Sequence[Submission], notebooks: LabNotebooks, settings: Settings) -> dict[str, str]:
    """For each student all that the result depends on, in three hashes: the files, the lab, the settings.

    Empty for what cannot be run.
    """
    common = hashlib.sha256(notebooks.text.encode()).hexdigest()[:32] + "-" + settings.sha256[:32]
    return {each.student: "" if each.problem is not None else f"{each.sha256[:32]}-{common}" for each in submissions}


def chosen(
    submissions: Sequence[Submission], students: Collection[str], regrade: Collection[str] = ()
) -> list[Submission]:
    """The submissions of some students; of all if none are named.

    Raises
    ------
    UsageError
        If one of the students, or of those to be graded again, is neither enrolled nor has handed in anything.
    """
    known = [submission.student for submission in submissions]
    for student in (*students, *(name for name in regrade if name != "all")):
        if student not in known:
            nearest = difflib.get_close_matches(student, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"{len(known)} students are known"
            raise UsageError(f"{student!r} is not in the gradebook and has handed in nothing; {hint}")
    return [submission for submission in submissions if not students or submission.student in students]


def plan(
    submissions: Sequence[Submission],
    keys: dict[str, str],
    earlier: dict[str, SubmissionResult],
    reusable: Found,
    regrade: Collection[str] = (),
    finished: Collection[str] = (),
) -> list[Planned]:
    """Decide what is to be done.

    Parameters
    ----------
    submissions : sequence of Submission
    keys, earlier : dict
        For each student the key of today, and the last result if there is one.
    reusable : callable
        From a student and a key to the result that need not be made again, or None.
    regrade : collection of str
        Students who are graded again in any case, or ``all``.
    finished : collection of str
        Students whose run a killed round has left to be recorded.
    """
    return [
        _planned(submission, keys[submission.student], earlier.get(submission.student), reusable, regrade, finished)
        for submission in submissions
    ]


def _planned(
    submission: Submission,
    key: str,
    before: SubmissionResult | None,
    reusable: Found,
    regrade: Collection[str],
    finished: Collection[str],
) -> Planned:
    student = submission.student
    if submission.problem is not None:
        return Planned(submission, key, "record", submission.problem.message)
    if student in regrade or "all" in regrade:
        return Planned(submission, key, "run", "it was asked for")
    if student in finished:
        return Planned(submission, key, "record", "it was run already, and the round ended before it was recorded")
    result = reusable(student, key)
    if result is not None:
        return Planned(submission, key, "reuse", "nothing has changed since it was graded", result)
    return Planned(submission, key, "run", _reason(key, before))


def _reason(key: str, before: SubmissionResult | None) -> str:
    """Why a submission is run."""
    if before is None:
        return "it has not been graded yet"
    if not before.sha256:
        return f"there was nothing to run before ({before.status})"
    if before.sha256 == key:
        return "the gradebook, or the folder of graded notebooks, no longer has it"
    names = ("its files", "the lab", "the limits")
    parts = zip(names, before.sha256.split("-"), key.split("-"), strict=False)
    changed = [name for name, old, new in parts if old != new]
    verb = "has" if changed == ["the lab"] else "have"
    return f"{' and '.join(changed)} {verb} changed since it was graded"


def preview(
    course: Course,
    notebooks: LabNotebooks,
    settings: Settings,
    students: Collection[str] = (),
    regrade: Collection[str] = (),
) -> list[Planned]:
    """What a round would do now; nothing is changed, and no gradebook made."""
    lab, file = notebooks.lab, course.db_url.removeprefix("sqlite:///")
    has_gradebook = not course.db_url.startswith("sqlite") or (course.root / file).is_file()
    submissions = intake(course, lab, enrolled(course) if has_gradebook else ())
    keys = keys_of(submissions, notebooks, settings)
    earlier = {student: result for (_, student), result in events.latest(course, lab).items()}
    current = graded_results(course, earlier.values()) if has_gradebook else []
    recorded = {result.student: result for result in current if result.score is not None}

    def reusable(student: str, key: str) -> SubmissionResult | None:
        result = recorded.get(student)
        if result is None or result.sha256 != key:
            return None
        return result if not result.status.was_run or (course.autograded / student / lab).is_dir() else None

    kept = {run.executed.submission.student: run.sha256 for run in kept_runs(course, lab)}
    finished = [student for student, key in kept.items() if keys.get(student) == key]
    return plan(chosen(submissions, students, regrade), keys, earlier, reusable, regrade, finished)
