"""The commands for what comes out of a round: reports, exports, the leaderboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from autograder.commands.console import AnyLab, CourseFolder, Grading, Json, Lab, app, aside, print_json, screen
from autograder.course import Course
from autograder.errors import CourseError, UsageError

__all__ = ["export", "leaderboard", "report"]

# The commands import what they need when they run, so that --help answers at once.


@app.command()
def report(lab: Lab, grading: Grading = None, json_output: Json = False, course: CourseFolder = None) -> None:
    """Write a page for the instructor: scores, exercises, time, flagged and similar submissions.

    It lies in grading/report/LAB.html, and what it says in LAB.json beside it.

    Example: autograder report lab01_convolutions
    """
    from autograder.report import write_report

    found = Course.find(course, grading)
    with aside.status(f"Looking through {lab}"):
        page = write_report(found, found.check_lab(lab))
    if json_output:
        print_json(json.loads(page.with_suffix(".json").read_text(encoding="utf-8")))
        return
    screen.print(f"Open {page.as_uri()}", soft_wrap=True)


@app.command()
def export(
    lab: AnyLab = None,
    kind: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv, canvas, moodle or gradescope.")] = "csv",
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The file to write; for gradescope a folder [default: grading/export/...]."),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file that Canvas or Moodle exports: its numbers of students."),
    ] = None,
    assignment: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column's name in Canvas, as 'Lab 1 (4711)'.")
    ] = None,
    grading: Grading = None,
    course: CourseFolder = None,
) -> None:
    """Write grades for a spreadsheet or another system; without LAB, one table of all labs.

    \b
    Examples:
      autograder export lab01_convolutions --format canvas --roster canvas.csv --assignment "Lab 1 (4711)"
      autograder export --out grades.csv
    """
    from autograder.commands.tables import names
    from autograder.exports import export as write_export
    from autograder.exports import write_gradebook

    found = Course.find(course, grading)
    folder = found.grading / "export"
    if lab is None:
        if kind != "csv":
            raise UsageError(f"a table of all labs has the format csv, not {kind}; name the lab to export")
        screen.print(f"Wrote {write_gradebook(found, found.lab_names(), out or folder / 'grades.csv')}", soft_wrap=True)
        return
    name = {"csv": f"{lab}.csv", "gradescope": f"{lab}-gradescope"}.get(kind, f"{lab}-{kind}.csv")
    done = write_export(found, found.check_lab(lab), kind, out or folder / name, roster=roster, assignment=assignment)
    screen.print(f"Wrote {done.path}: {len(done.students)} students", soft_wrap=True)
    if done.left_out:
        screen.print(f"Nothing handed in: {names(done.left_out, 10)}", markup=False, soft_wrap=True)


@app.command()
def leaderboard(
    lab: AnyLab = None,
    pseudonyms: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A CSV file with the columns student and pseudonym: no name is shown."),
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Put it into the website.")] = False,
    grading: Grading = None,
    json_output: Json = False,
    course: CourseFolder = None,
) -> None:
    """Rank the entries of the challenge, as grading/leaderboard.json and leaderboard.html.

    Example: autograder leaderboard micronet_challenge --pseudonyms names.csv --publish
    """
    from autograder.commands.rounds import print_leaderboard
    from autograder.leaderboard import write_leaderboards
    from autograder.pages.leaderboard_page import read_pseudonyms, write_page

    found = Course.find(course, grading)
    instead = read_pseudonyms(pseudonyms) if pseudonyms else None
    boards = write_leaderboards(found, found.check_lab(lab) if lab else None, instead)
    page, published = write_page(found, boards, publish=publish)
    if json_output:
        print_json([board.to_dict() for board in boards])
        return
    if not boards:
        screen.print("No graded notebook displays a measurement; grade the challenge's lab first.")
    for board in boards:
        print_leaderboard(screen, board)
    screen.print(f"Page: {page.as_uri()}", soft_wrap=True)
    if publish and published is None:
        raise CourseError("the website is not built yet: run autograder site, which will show the leaderboard too")
    if published:
        screen.print(f"Published: {published.as_uri()}", soft_wrap=True)
