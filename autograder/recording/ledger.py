"""The order of writes that makes a round resumable.

For each submission: the run is kept on disk, then the event log says ``finished``, then the gradebook gets the points
and the graded notebook its folder, then the log says ``recorded``, and last the kept run is forgotten. Each step can be
repeated without harm, so whenever a round is killed, the next one begins by recording what is kept, and runs only what
is neither kept nor recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from autograder.assignment import LabNotebooks
from autograder.course import Course
from autograder.execute import Executed
from autograder.record import Recorder, open_recorder
from autograder.recording import events
from autograder.recording.gradebook import enrolled
from autograder.recording.kept import Kept, drop, keep, kept_runs
from autograder.recording.locking import grading_lock
from autograder.recording.registration import register_lab
from autograder.results import SubmissionResult, graded_names

__all__ = ["Ledger", "open_ledger"]


@contextmanager
def open_ledger(course: Course, notebooks: LabNotebooks) -> Iterator[Ledger]:
    """Begin to write a round of a lab: as the only process, the lab registered, penalties up to date.

    Raises
    ------
    CourseError
        If another process grades, or the gradebook refuses the lab.
    GradebookError
        If the gradebook cannot be used.
    """
    lab = notebooks.lab
    with grading_lock(course, f"grade {lab}"):
        register_lab(course, lab, notebooks.authored)
        with open_recorder(course, lab, graded_names(notebooks.graded), notebooks.files) as recorder:
            recorder.renew_penalties()
            yield Ledger(course, lab, recorder)


class Ledger:
    """The results of one lab while a round is graded; made by `open_ledger`, used by one thread.

    Attributes
    ----------
    enrolled : set of str
        The students that the gradebook knows.
    """

    def __init__(self, course: Course, lab: str, recorder: Recorder) -> None:
        self._course, self._lab, self._recorder = course, lab, recorder
        self.enrolled = enrolled(course)
        self._earlier = {student: result for (_, student), result in events.latest(course, lab).items()}
        self._current = {result.student: result for result in recorder.current(self._earlier.values())}

    def reusable(self, student: str, key: str) -> SubmissionResult | None:
        """The result of an earlier round, if the gradebook has it and nothing that it depends on has changed.

        Parameters
        ----------
        student : str
        key : str
            The hash of all that the student's result depends on; empty where nothing is run.
        """
        current = self._current.get(student)
        if current is None or not key or current.sha256 != key or current.score is None:
            return None
        if current.status.was_run and not (self._course.autograded / student / self._lab).is_dir():
            return None
        return replace(current, reused=True)

    def resume(self, keys: Mapping[str, str]) -> list[SubmissionResult]:
        """Record what an earlier round has run and could not record.

        Parameters
        ----------
        keys : mapping
            From each student to the hash that the result depends on now: a run that depended on another is forgotten.
        """
        results = []
        for kept in kept_runs(self._course, self._lab):
            student = kept.executed.submission.student
            if keys.get(student) == kept.sha256:
                results.append(self._record(kept))
            else:
                drop(self._course, self._lab, student)
        return results

    def record(self, executed: Executed, key: str) -> SubmissionResult:
        """Record one submission such that nothing is lost or repeated, whenever this process is killed.

        Raises
        ------
        CourseError
            If this submission cannot be recorded.
        GradebookError
            If the gradebook cannot be used. The run is kept: `resume`, or the next round, records it.
        """
        kept = Kept(executed, key)
        if executed.status.was_run:
            keep(self._course, kept)
            events.note(
                self._course,
                "finished",
                lab=self._lab,
                student=executed.submission.student,
                status=executed.status.value,
                seconds=executed.seconds,
                sha256=key,
            )
        return self._record(kept)

    def _record(self, kept: Kept) -> SubmissionResult:
        result = replace(self._recorder.record(kept.executed), sha256=kept.sha256)
        if result != self._earlier.get(result.student):
            events.append(self._course, result)
            self._earlier[result.student] = result
        drop(self._course, self._lab, result.student)
        return result
