"""The `autograder` command."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from autograder.course import Course
from autograder.errors import CourseError, UsageError

__all__ = ["app", "main"]

# The commands import what they need when they run, so that --help answers at once.

app = typer.Typer(
    name="autograder",
    help="""Release labs, grade a class, publish its feedback and the website.

    A round, from the authored lab to the class's grades:

    \b
      autograder build lab01_convolutions      make the notebook for students
      ... put each notebook handed in into
      grading/submitted/STUDENT/lab01_convolutions/lab01_convolutions.ipynb
      autograder grade lab01_convolutions      run, grade, record
      autograder feedback lab01_convolutions   write a page for each student

    Start with `autograder demo`, which does all of it with a sample class.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Lab = Annotated[str, typer.Argument(metavar="LAB", help="A lab's name, as lab01_convolutions.", show_default=False)]
AnyLab = Annotated[str | None, typer.Argument(metavar="[LAB]", help="One lab; all of them without it.")]
Grading = Annotated[
    Path | None, typer.Option("--grading", metavar="DIR", help="The round's folder [default: grading].")
]
CourseFolder = Annotated[
    Path | None, typer.Option("--course", metavar="DIR", help="The course [default: found above].")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else, on standard output.")]

screen = Console(highlight=False)
aside = Console(stderr=True, highlight=False)


def main() -> None:
    """Run the command; a known error ends it with a message and its own status, without a traceback."""
    try:
        app()
    except (UsageError, CourseError) as error:
        aside.print(f"autograder: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_status)


def _print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def _each_lab(course: Course, lab: str | None) -> list[str]:
    return [course.check_lab(lab)] if lab else course.lab_names()


@app.command()
def build(lab: AnyLab = None, course: CourseFolder = None) -> None:
    """Make labs/LAB/LAB.ipynb from solutions/LAB/LAB.py; the same source gives the same bytes.

    Example: autograder build lab01_convolutions
    """
    from autograder.release import write_labs

    found, failed = Course.find(course), 0
    for name in _each_lab(found, lab):
        try:
            changed = [file.path for file in write_labs(found, name) if file.changed]
        except CourseError as error:  # the other labs are built all the same
            failed += 1
            aside.print(f"{name}: {error}", markup=False, soft_wrap=True)
            continue
        shown = [path.relative_to(found.root).as_posix() for path in changed]
        screen.print(f"{name}: {'wrote ' + ', '.join(shown) if shown else 'up to date'}", soft_wrap=True)
    if failed:
        raise CourseError(f"{failed} lab(s) not built, see above")


@app.command()
def lint(lab: AnyLab = None, course: CourseFolder = None) -> None:
    """Check lab sources (points, hidden and visible checks, no answer in the release ...) and that labs/ is up to date.

    Example: autograder lint
    """
    from autograder import lint as linting
    from autograder.release import drift
    from autograder.source import read_source

    found, count = Course.find(course), 0
    for name in _each_lab(found, lab):
        try:
            findings = [str(finding) for finding in linting.lint(read_source(found.source_file(name)))]
        except CourseError as error:
            findings = [str(error)]
        count += len(findings)
        for finding in findings or [f"{name}: nothing to mend"]:
            screen.print(finding, markup=False, soft_wrap=True)
    try:
        stale = [message for message in drift(found) if lab is None or message.startswith(f"{lab}: ")]
    except CourseError:  # one of the sources cannot be read: that is among the findings, or was not asked for
        stale = []
    for message in stale:
        screen.print(message, markup=False, soft_wrap=True)
    if count + len(stale):
        raise CourseError(f"{count + len(stale)} finding(s), see above")


@app.command()
def grade(
    lab: Lab,
    grading: Grading = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time [default: one per processor].")] = None,
    cell_timeout: Annotated[int, typer.Option(min=1, metavar="S", help="Seconds for one cell.")] = 60,
    notebook_timeout: Annotated[int, typer.Option(min=1, metavar="S", help="Seconds for one notebook.")] = 600,
    regrade: Annotated[bool, typer.Option("--regrade", help="Run also what has not changed since.")] = False,
    json_output: Json = False,
    course: CourseFolder = None,
) -> None:
    """Run what students handed in, grade it, and record it in nbgrader's gradebook.

    Expects grading/submitted/STUDENT/LAB/LAB.ipynb. A notebook that loops or crashes keeps what it earned before.
    Unchanged submissions are not run again; grades given by hand are kept.

    Example: autograder grade lab01_convolutions --jobs 4
    """
    from autograder.execute import Limits
    from autograder.rounds import grade_with_progress, print_round, round_as_json

    found = Course.find(course, grading)
    finished = grade_with_progress(
        found, found.check_lab(lab), aside, limits=Limits(cell_timeout, notebook_timeout), jobs=jobs, regrade=regrade
    )
    if json_output:
        _print_json(round_as_json(finished))
    else:
        print_round(screen, found, finished)
    if finished.failures:
        raise CourseError(f"{len(finished.failures)} submission(s) not recorded; mend the reason and grade again")


@app.command()
def status(lab: AnyLab = None, grading: Grading = None, json_output: Json = False, course: CourseFolder = None) -> None:
    """Say how the submissions ended and what they score now, grades given by hand included.

    Example: autograder status lab01_convolutions --json
    """
    from autograder import events
    from autograder.rounds import current_results
    from autograder.tables import status_table

    found = Course.find(course, grading)
    results = [result for name in _each_lab(found, lab) for result in current_results(found, name)]
    if json_output:
        _print_json([events.as_json(result) for result in results])
        return
    if not results:
        screen.print(f"Nothing has been graded in {found.grading}; begin with: autograder grade LAB", soft_wrap=True)
    for name in sorted({result.lab for result in results}):
        screen.print(f"[bold]{name}[/]")
        screen.print(status_table([result for result in results if result.lab == name]))


@app.command()
def show(
    lab: Lab,
    student: Annotated[str | None, typer.Argument(metavar="[STUDENT]", help="A student; all without it.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only submissions with findings.")] = False,
    grading: Grading = None,
    course: CourseFolder = None,
) -> None:
    """Show points, messages and findings, exercise by exercise. For the instructor: hidden tests are named.

    Example: autograder show lab01_convolutions student-002
    """
    from autograder.rounds import current_results, print_submission

    found = Course.find(course, grading)
    results = current_results(found, found.check_lab(lab))
    chosen = [result for result in results if student in (None, result.student)]
    if student and not chosen:
        known = [result.student for result in results]
        nearest = difflib.get_close_matches(student, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"run autograder grade {lab} first"
        raise UsageError(f"no result of {student!r} for {lab}; {hint}")
    chosen = [result for result in chosen if result.findings or not flagged]
    if not chosen:
        screen.print(f"Nothing is flagged in {lab}.")
    for result in chosen:
        print_submission(screen, found, result)


@app.command()
def feedback(lab: Lab, grading: Grading = None, course: CourseFolder = None) -> None:
    """Write a page for each student, without the hidden tests.

    Example: autograder feedback lab01_convolutions
    """
    from autograder.feedback import feedback as write_feedback

    found = Course.find(course, grading)
    with aside.status(f"Writing feedback for {lab}"):
        pages = write_feedback(found, found.check_lab(lab))
    if not pages:
        raise CourseError(f"{lab} has not been graded in {found.grading}; run autograder grade {lab} first")
    screen.print(f"{len(pages)} pages: {found.feedback}/STUDENT/{lab}/{lab}.html", soft_wrap=True)


@app.command()
def leaderboard(
    lab: AnyLab = None, grading: Grading = None, json_output: Json = False, course: CourseFolder = None
) -> None:
    """Rank the entries of the challenge, and write grading/leaderboard.json.

    Example: autograder leaderboard micronet_challenge
    """
    from autograder.leaderboard import write_leaderboards
    from autograder.rounds import print_leaderboard

    found = Course.find(course, grading)
    boards = write_leaderboards(found, found.check_lab(lab) if lab else None)
    if json_output:
        _print_json([board.to_dict() for board in boards])
        return
    if not boards:
        screen.print("No graded notebook displays a measurement; grade the challenge's lab first.")
    for board in boards:
        print_leaderboard(screen, board)


@app.command()
def site(course: CourseFolder = None) -> None:
    """Build the website into _build/html.

    Example: autograder site
    """
    from autograder.site import build_site

    with aside.status("Building the site"):
        index = build_site(Course.find(course))
    screen.print(f"Open {index.as_uri()}", soft_wrap=True)


@app.command()
def demo(
    open_site: Annotated[bool, typer.Option("--open", help="Open the site in a browser at the end.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what an earlier demo left.")] = False,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Save the graded class as a picture.")] = None,
    json_output: Json = False,
    course: CourseFolder = None,
) -> None:
    """Do a whole round with a sample class: release, hand in, grade, rank, give feedback, build the site.

    Everything lies in grading/demo; a second demo reuses it.

    Example: autograder demo --open
    """
    from autograder.demo import run_demo

    outcome = run_demo(Course.find(course), screen, aside, fresh=fresh, svg=svg, quiet=json_output)
    if json_output:
        _print_json(outcome)
    if open_site:
        typer.launch(outcome["site"])
