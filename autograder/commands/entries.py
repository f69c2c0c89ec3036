"""Entries of the challenge for the demo: made as a student makes them, by running the notebook, and then kept."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from autograder.authoring.answers import filled_notebook
from autograder.authoring.source import notebook_text
from autograder.commands.sample_class import Sample, solution_answers
from autograder.course import Course
from autograder.errors import CourseError
from autograder.journal import merged, read_journal
from autograder.leaderboard import ENTRY
from autograder.processes import JOB_VARIABLE, kill_job
from autograder.proofs import Lab

__all__ = ["EntryPlan", "make_entry"]

_LIMIT = 900  # seconds for all of an entry's training


@dataclass(frozen=True)
class EntryPlan:
    """An entry to be made: whose it is, what it shows, and the answers that differ from the lab's own."""

    student: str
    what: str
    answers: Mapping[str, str]


def make_entry(course: Course, lab: Lab, plan: EntryPlan, on_cell: Callable[[float], None]) -> tuple[Sample, bool]:
    """Train an entry, or take it from the last time.

    Parameters
    ----------
    course : Course
        The entries are kept in ``_build/demo`` of its root.
    lab : Lab
        The challenge's lab.
    plan : EntryPlan
    on_cell : callable
        Told again and again which share of the notebook's cells has run.

    Returns
    -------
    Sample, bool
        What is handed in, and whether it was there already.

    Raises
    ------
    CourseError
        If running the notebook writes no entry.
    """
    notebook = filled_notebook(lab.notebook, {**solution_answers(lab.source), **plan.answers})
    text = notebook_text(notebook)
    folder = course.root / "_build" / "demo" / hashlib.sha256(text.encode()).hexdigest()[:16]
    done, file = folder / "handed_in.ipynb", folder / ENTRY
    reused = done.is_file() and file.is_file()
    if not reused:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "journal").unlink(missing_ok=True)
        (folder / "notebook.ipynb").write_text(text, encoding="utf-8")
        _run(folder, sum(cell.cell_type == "code" for cell in notebook.cells), on_cell)
        executed, status, message = merged(notebook, read_journal(folder / "journal"))
        if not file.is_file():
            raise CourseError(f"the entry of {plan.student} was not trained: {status}, {message or 'no entry written'}")
        nbformat.write(executed, done)
    return Sample(plan.student, plan.what, done.read_bytes(), {ENTRY: file}), reused


def _run(folder: Path, cells: int, on_cell: Callable[[float], None]) -> None:
    """Run the notebook outside of grading, so that it trains."""
    environment = {name: value for name, value in os.environ.items() if name != "NBGRADER_EXECUTION"}
    environment |= {
        JOB_VARIABLE: uuid.uuid4().hex,
        "OMP_WAIT_POLICY": "PASSIVE",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    journal = folder / "journal"
    limits = ["--cell-timeout", str(_LIMIT), "--notebook-timeout", str(_LIMIT)]
    command = [sys.executable, "-m", "autograder.worker", str(folder / "notebook.ipynb"), str(journal), str(folder)]
    null = subprocess.DEVNULL
    process = subprocess.Popen(command + limits, env=environment, stdin=null, stdout=null, stderr=null)
    try:
        while process.poll() is None:
            on_cell(min(1.0, journal.read_bytes().count(b'"cell"') / cells) if journal.exists() else 0.0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
    finally:
        kill_job(process.pid, environment[JOB_VARIABLE])
        process.wait()
