"""The `autograder` command."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from autograder.commands import result_commands, round_commands  # noqa: F401 - their commands are among the application's
from autograder.commands.console import (
    AnyLab,
    CourseFolder,
    Grading,
    Json,
    Lab,
    app,
    aside,
    each_lab,
    print_json,
    screen,
)
from autograder.course import Course
from autograder.errors import CourseError, UsageError

__all__ = ["app", "main"]

# The commands import what they need when they run, so that --help answers at once.


def main() -> None:
    """Run the command; a known error ends it with a message and its own status, without a traceback."""
    # a grammar of addresses that no notebook's format asks for, and that takes longer to import than all the rest
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    try:
        app()
    except (UsageError, CourseError) as error:
        aside.print(f"autograder: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_status)


@app.command()
def build(lab: AnyLab = None, course: CourseFolder = None) -> None:
    """Make labs/LAB/LAB.ipynb from solutions/LAB/LAB.py; the same source gives the same bytes.

    Example: autograder build lab01_convolutions
    """
    from autograder.authoring.release import write_labs

    found, failed = Course.find(course), 0
    for name in each_lab(found, lab):
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
    from autograder.authoring import lint as linting
    from autograder.authoring.release import drift
    from autograder.authoring.source import read_source

    found, count = Course.find(course), 0
    for name in each_lab(found, lab):
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
def show(
    lab: Lab,
    student: Annotated[str | None, typer.Argument(metavar="STUDENT", help="A student; all without it.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only submissions with findings.")] = False,
    grading: Grading = None,
    course: CourseFolder = None,
) -> None:
    """Show points, messages and findings, exercise by exercise. For the instructor: hidden tests are named.

    Example: autograder show lab01_convolutions student-002
    """
    from autograder.commands.rounds import current_results, print_submission

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
def student(
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write it.", show_default="_build")
    ] = None,
    json_output: Json = False,
    course: CourseFolder = None,
) -> None:
    """Write what students get, as a folder and a zip: labs, chapters, packages; no answers, tests or grader.

    Example: autograder student
    """
    from autograder.student_kit import write_student_kit

    kit = write_student_kit(Course.find(course), output)
    if json_output:
        print_json({"folder": str(kit.folder), "archive": str(kit.archive), "files": list(kit.files)})
        return
    size = kit.archive.stat().st_size / 1e6
    screen.print(f"{len(kit.files)} files in {kit.folder}", markup=False, soft_wrap=True)
    screen.print(f"The same in {kit.archive} ({size:.1f} MB): hand out this file.", markup=False, soft_wrap=True)


@app.command()
def site(course: CourseFolder = None) -> None:
    """Build the website into _build/html.

    Example: autograder site
    """
    from autograder.commands.site import build_site

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
    from autograder.commands.demo import run_demo

    outcome = run_demo(Course.find(course), screen, aside, fresh=fresh, svg=svg, quiet=json_output)
    if json_output:
        print_json(outcome)
    if open_site:
        typer.launch(outcome["site"])
