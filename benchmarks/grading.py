"""How fast the grader is beside ``nbgrader autograde``, and what a submission costs as the class grows.

A class of honest submissions of lab 01, no two with the same text, is graded in blocks; between two blocks nbgrader
grades a few of the same submissions, in a course of its own. So both meet the same load of the machine. nbgrader's
start is measured on its own and taken off its time; ours is counted. With ``--class N`` a simulated class hands in a
small lab, and the table shows time and memory as it grows to N.

    python benchmarks/grading.py                       lab 01, 200 submissions, 10 of them with nbgrader as well
    python benchmarks/grading.py --class 2000          the simulated class
    python benchmarks/grading.py --submissions 4 --sample 2 --blocks 2    a short run
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import nbformat
import psutil
from nbformat.notebooknode import NotebookNode

from autograder.authoring.answers import filled_notebook
from autograder.authoring.release import release_notebook, write_labs
from autograder.commands.sample_class import solution_answers
from autograder.course import Course
from autograder.execute import Engine
from autograder.pipeline import cores, grade
from autograder.proofs import Lab, load_proofs

ROOT = Path(__file__).resolve().parents[1]
LAB = "lab01_convolutions"
SMALL = '''\
# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Small"
#     minutes: 5
#     points: 3
# ---
# %% [markdown]
# # Squares

# %% exercise="square"
def square(x):
    """x times x."""
    ### BEGIN SOLUTION stub="Exercise 1: return the square"
    return x * x
    ### END SOLUTION

# %% check="square" points=3
got = square(3)
assert got == 9, f"expected 9, got {got}"
### BEGIN HIDDEN TESTS
assert square(-4) == 16
### END HIDDEN TESTS
'''


@dataclass(frozen=True)
class Comparison:
    """Lab 01 with both graders.

    Attributes
    ----------
    submissions, sample, jobs : int
        How many were graded here, how many of these by nbgrader as well, and how many at a time here.
    seconds, nbgrader_seconds : float
        For one submission; nbgrader's without its start.
    nbgrader_start : float
        What each call of nbgrader takes before the first submission.
    ratio : float
        How many times as many submissions are graded here in the same time.
    same_scores : bool
        Of the sample, test by test.
    """

    submissions: int
    sample: int
    jobs: int
    seconds: float
    nbgrader_seconds: float
    nbgrader_start: float
    ratio: float
    same_scores: bool


@dataclass(frozen=True)
class Growth:
    """One stage of the simulated class: the submissions from the last stage to this one."""

    submissions: int
    seconds_each: float
    servers_mb: float
    grader_mb: float


def make_course(root: Path, sources: Mapping[str, str]) -> Course:
    """A course with labs of these texts."""
    for lab, text in sources.items():
        path = root / "solutions" / lab / f"{lab}.py"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    course = Course.find(root)
    write_labs(course)
    return course


def hand_in(course: Course, lab: str, student: str, notebook: NotebookNode) -> None:
    """Put a notebook into the course."""
    path = course.submitted / student / lab / f"{lab}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def honest(lab: Lab, number: int) -> NotebookNode:
    """A right notebook with a text of its own: the solution, every third time with an answer written in another way."""
    answers = solution_answers(lab.source)
    if number % 3 == 0 and lab.variants:
        variant = lab.variants[number // 3 % len(lab.variants)]
        answers[variant.exercise] = variant.answer
    notebook = filled_notebook(release_notebook(lab.notebook), answers)
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source += f"\n# as student {number} wrote it"
    return notebook


def nbgrader(course: Course, *arguments: str) -> float:
    """The seconds that a call of nbgrader's command takes."""
    began = time.monotonic()
    command = [sys.executable, "-W", "ignore", "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"nbgrader {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.monotonic() - began


def scores(course: Course, student: str) -> dict[str, float | None]:
    """The points of each test that the gradebook has."""
    from nbgrader.api import Gradebook

    with Gradebook(course.db_url, "factorkit") as gradebook:
        [notebook] = gradebook.find_submission(LAB, student).notebooks
        return {each.name: each.auto_score for each in notebook.grades}


def compare(submissions: int, sample: int, blocks: int, jobs: int) -> Comparison:
    """Grade lab 01 with both."""
    proofs = load_proofs(ROOT / "tests" / "labs" / "proofs" / f"{LAB}.py")
    text = (ROOT / "solutions" / LAB / f"{LAB}.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = (make_course(Path(folder, name), {LAB: text}) for name in ("ours", "theirs"))
        students = [f"student-{number:04d}" for number in range(submissions)]
        for number, student in enumerate(students):
            hand_in(ours, LAB, student, honest(proofs, number))
        chosen = students[:: max(1, submissions // sample)][:sample]
        nbgrader(theirs, "generate_assignment", LAB, "--create", "--force")
        start = nbgrader(theirs, "--version")
        own = other = 0.0
        for block in range(blocks):
            mine, yours = students[block::blocks], chosen[block::blocks]
            began = time.monotonic()
            if block == 0:
                engine = Engine()
            finished = grade(ours, LAB, engine=engine, jobs=jobs, students=mine)
            own += time.monotonic() - began
            if finished.failures:
                sys.exit(f"not graded: {finished.failures[0]}")
            for student in yours:
                shutil.copytree(ours.submitted / student, theirs.submitted / student)
            if yours:  # one call for all that are not graded yet
                other += nbgrader(theirs, "autograde", LAB, "--create") - start
        engine.__exit__()
        same = all(scores(ours, student) == scores(theirs, student) for student in chosen)
    each, their_each = own / submissions, other / len(chosen)
    return Comparison(submissions, len(chosen), jobs, each, their_each, start, their_each / each, same)


def grow(largest: int, jobs: int) -> list[Growth]:
    """Grade a simulated class in stages."""
    stages = sorted({min(largest, size) for size in (20, 200, 500, 1000, 2000)} | {largest})
    found = []
    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        course = make_course(Path(folder, "course"), {"small": SMALL})
        released = nbformat.read(course.labs / "small" / "small.ipynb", as_version=4)
        grade(course, "small", engine=engine, jobs=jobs)
        engine.warm_up()
        before = 0
        for stage in stages:
            for number in range(before, stage):
                notebook = copy.deepcopy(released)
                filled = filled_notebook(notebook, {"square": f"return x * x  # {number}"})
                hand_in(course, "small", f"student-{number:05d}", filled)
            began = time.monotonic()
            finished = grade(course, "small", engine=engine, jobs=jobs)
            seconds = time.monotonic() - began
            if finished.failures or {result.score for result in finished.results} != {3.0}:
                sys.exit(f"not graded as it should be: {finished.failures[:1] or finished.results[:1]}")
            found.append(Growth(stage, seconds / (stage - before), _servers_mb(), _own_mb()))
            before = stage
    return found


def _servers_mb() -> float:
    """The memory of the warm servers and of what they have started; shared pages count once."""
    children = psutil.Process().children(recursive=True)
    return sum(process.memory_full_info().pss for process in children) / 2**20


def _own_mb() -> float:
    return psutil.Process().memory_full_info().pss / 2**20


def main() -> None:
    """Measure, print a table, and JSON for a machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=200, metavar="N", help="of lab 01 [default: 200]")
    parser.add_argument("--sample", type=int, default=10, metavar="N", help="of these with nbgrader [default: 10]")
    parser.add_argument("--blocks", type=int, default=5, metavar="N", help="turns that both take [default: 5]")
    parser.add_argument("--jobs", type=int, default=cores(), metavar="N", help="at a time [default: processors]")
    parser.add_argument("--class", type=int, dest="largest", metavar="N", help="simulate a class of N instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    arguments = parser.parse_args()
    data: Any
    if arguments.largest:
        stages = grow(arguments.largest, arguments.jobs)
        print("submissions   s each   servers MB   grader MB")
        for stage in stages:
            print(
                f"{stage.submissions:>11}   {stage.seconds_each:>6.3f}   "
                f"{stage.servers_mb:>10.0f}   {stage.grader_mb:>9.0f}"
            )
        data = [asdict(stage) for stage in stages]
    else:
        found = compare(arguments.submissions, arguments.sample, arguments.blocks, arguments.jobs)
        print(f"{LAB}, {found.submissions} submissions here, {found.sample} of them with nbgrader as well")
        print(f"  autograder grade    {found.seconds:7.2f} s each, {found.jobs} at a time, start included")
        print(f"  nbgrader autograde  {found.nbgrader_seconds:7.2f} s each, and {found.nbgrader_start:.1f} s to start")
        print(f"  throughput ratio    {found.ratio:7.1f}")
        print(f"  same scores         {'yes' if found.same_scores else 'NO'}")
        data = asdict(found)
    print(json.dumps(data))
    if arguments.json:
        arguments.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if not arguments.largest and not found.same_scores:
        sys.exit("the scores differ")


if __name__ == "__main__":
    main()
