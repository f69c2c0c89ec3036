"""The commands of a round: collect, due, solution-check, grade, status, and what this machine can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.sandbox.limits import Limits

__all__ = ["collect", "doctor", "due", "grade", "solution_check", "status"]

# The commands import what they need when they run, so that --help answers at once.

Sandbox = Annotated[str, typer.Option("--sandbox", metavar="KIND", help="bubblewrap, or none (then also --trusted).")]
Trusted = Annotated[bool, typer.Option("--trusted", help="You would run these submissions on your own account.")]
SameProcess = Annotated[
    bool, typer.Option("--same-process", help="Run tests beside the student's code, as plain nbgrader does.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Grade on this dask scheduler's workers.")
]
Slurm = Annotated[bool, typer.Option("--slurm", help="Grade in Slurm jobs, as the course's cluster.toml says.")]
CellTimeout = Annotated[int, typer.Option("--cell-timeout", min=1, metavar="S", help="Seconds for one cell.")]
NotebookTimeout = Annotated[
    int | None,
    typer.Option("--notebook-timeout", min=1, metavar="S", help="Seconds for a notebook [default: from the solution]."),
]
Memory = Annotated[int, typer.Option("--memory", min=64, metavar="MB", help="Memory for one notebook.")]


@app.command()
def grade(
    lab: Lab,
    grading: Grading = None,
    student: Annotated[
        list[str] | None, typer.Option("--student", metavar="ID", help="Only this student; can be repeated.")
    ] = None,
    regrade: Annotated[
        list[str] | None,
        typer.Option("--regrade", metavar="WHAT", help="changed [default], all, or a student; can be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and why.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Notebooks at a time [default: one per processor].")] = None,
    cell_timeout: CellTimeout = 60,
    notebook_timeout: NotebookTimeout = None,
    memory: Memory = 4096,
    sandbox: Sandbox = "bubblewrap",
    trusted: Trusted = False,
    same_process: SameProcess = False,
    skip_solution: Annotated[
        bool, typer.Option("--skip-solution", help="Grade although the lab's own solution may not get full points.")
    ] = False,
    scheduler: Scheduler = None,
    slurm: Slurm = False,
    json_output: Json = False,
    course: CourseFolder = None,
) -> None:
    """Run what students handed in, grade it, and record it in nbgrader's gradebook.

    Each notebook runs in a sandbox without a network, its tests in another one. The lab's own solution is graded
    first: it must get full points, and its time limits the students'. A notebook that loops or crashes keeps what it
    earned before. Unchanged submissions are not run again, and grades given by hand are kept. If the round is ended,
    however that happens, the same command goes on where it was.

    \b
      autograder grade lab01_convolutions --dry-run
      autograder grade lab01_convolutions --student student-001 --regrade student-001
      autograder grade ps1 --course ~/cs101 --json > ps1.json
      autograder grade lab01_convolutions --scheduler tcp://10.0.0.1:8786

    Example: autograder grade lab01_convolutions --jobs 4
    """
    from autograder.commands.rounds import grade_with_progress, print_plan, print_round, round_as_json
    from autograder.engines import Place

    found = Course.find(course, grading)
    found.check_lab(lab)
    place = Place(sandbox, trusted, same_process, scheduler, slurm)  # type: ignore[arg-type]
    place.check()
    limits, budget = _limits(cell_timeout, notebook_timeout, memory)
    wanted = [name for name in regrade or () if name != "changed"]
    if dry_run:
        print_plan(screen, found, lab, place, limits, budget and not skip_solution, student or (), wanted, json_output)
        return
    finished = grade_with_progress(
        found,
        lab,
        aside,
        place,
        limits=limits,
        budget=budget,
        jobs=jobs,
        students=student or (),
        regrade=wanted,
        with_solution=not skip_solution,
    )
    if json_output:
        print_json(round_as_json(finished))
    else:
        print_round(screen, found, finished)
    if finished.failures:
        raise CourseError(f"{len(finished.failures)} submission(s) not recorded; mend the reason and grade again")


def _limits(cell_timeout: int, notebook_timeout: int | None, memory: int) -> tuple[Limits, bool]:
    """The limits, and whether the time for a whole notebook is still to be found out."""
    from autograder.sandbox.limits import Limits

    return Limits(cell_timeout, notebook_timeout or 3600, memory), notebook_timeout is None


@app.command()
def status(lab: AnyLab = None, grading: Grading = None, json_output: Json = False, course: CourseFolder = None) -> None:
    """Say how the submissions ended and what they score now, grades given by hand included; also during a round.

    Example: autograder status lab01_convolutions --json
    """
    from autograder.commands.progress import round_progress
    from autograder.commands.rounds import current_results, print_progress
    from autograder.commands.tables import status_table
    from autograder.recording import events

    found = Course.find(course, grading)
    labs = each_lab(found, lab)
    running = round_progress(found)
    results = [result for name in labs for result in current_results(found, name)]
    if json_output:
        print_json([events.as_json(result) for result in results])
        return
    if running is not None and running.lab in labs:
        print_progress(screen, running)
    elif not results:
        screen.print(f"Nothing has been graded in {found.grading}; begin with: autograder grade LAB", soft_wrap=True)
    for name in sorted({result.lab for result in results}):
        screen.print(f"[bold]{name}[/]")
        screen.print(status_table([result for result in results if result.lab == name]))


@app.command("solution-check")
def solution_check(
    lab: Lab,
    grading: Grading = None,
    cell_timeout: CellTimeout = 60,
    notebook_timeout: NotebookTimeout = None,
    memory: Memory = 4096,
    sandbox: Sandbox = "bubblewrap",
    trusted: Trusted = False,
    same_process: SameProcess = False,
    course: CourseFolder = None,
) -> None:
    """Grade the lab's own solution as a student's, and say which test does not give it full points, and why.

    Example: autograder solution-check lab01_convolutions
    """
    from autograder.assignment import read_lab
    from autograder.engines import Place, open_engine
    from autograder.solution import check_solution, seconds_for_students

    found = Course.find(course, grading)
    found.check_lab(lab)
    limits, budget = _limits(cell_timeout, notebook_timeout, memory)
    place = Place(sandbox, trusted, same_process)  # type: ignore[arg-type]
    with open_engine(found, place, 1) as (engine, _), aside.status(f"Grading the solution of {lab}"):
        check = check_solution(found, read_lab(found, lab), engine, limits, fresh=True)
    allowed = seconds_for_students(check) if budget else limits.notebook_seconds
    screen.print(
        f"{lab}: the solution gets all of {check.points:g} points in {check.seconds:.1f} s; "
        f"students' notebooks may take {allowed} s",
        soft_wrap=True,
    )


@app.command()
def collect(
    lab: Lab,
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A zip file, or a folder.", show_default=False)],
    roster: Annotated[Path | None, typer.Option(metavar="FILE", help="A CSV file that says who is who.")] = None,
    received: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When handed in, as 2026-12-01T23:59+01:00 [default: now]."),
    ] = None,
    grading: Grading = None,
    json_output: Json = False,
    course: CourseFolder = None,
) -> None:
    """Unpack submissions: Moodle's or Canvas's download of all of them, or an archive for each student.

    What is refused, or replaced by a later one, is said, and stops nobody else's.

    Example: autograder collect lab01_convolutions ~/Downloads/moodle.zip --roster class.csv
    """
    from autograder.collect import collect as collect_submissions
    from autograder.commands.rounds import print_collected
    from autograder.late import parse_moment
    from autograder.plain import to_plain

    found = Course.find(course, grading)
    when = parse_moment(received) if received else None
    collected = collect_submissions(found, lab, archive, roster=roster, received=when)
    if json_output:
        print_json(to_plain(collected))
    else:
        print_collected(screen, collected)
    refused = sum(each.outcome == "refused" for each in collected)
    if refused:
        raise CourseError(f"{refused} refused, see above")


@app.command()
def due(
    lab: Lab,
    when: Annotated[str | None, typer.Argument(metavar="TIME", help="The new date, or none.")] = None,
    grading: Grading = None,
    course: CourseFolder = None,
) -> None:
    """Show or set when a lab is due; what has been graded gets the penalties of the new date.

    Example: autograder due lab01_convolutions 2026-12-01T23:59+01:00
    """
    from autograder import late

    found = Course.find(course, grading)
    found.check_lab(lab)
    moment = late.due(found, lab) if when is None else late.set_due(found, lab, when)
    screen.print(f"{lab}: due {moment.isoformat(timespec='minutes')}" if moment else f"{lab}: no due date")


@app.command()
def doctor(json_output: Json = False) -> None:
    """Say what this machine can do for grading, and what to do about what it cannot.

    Example: autograder doctor
    """
    from autograder.commands.doctor import examine
    from autograder.plain import to_plain

    checks = examine()
    if json_output:
        print_json(to_plain(checks))
    else:
        marks = {"good": "[green]good[/]   ", "missing": "[yellow]missing[/]", "bad": "[red]bad[/]    "}
        for check in checks:
            screen.print(f"{marks[check.level]} {check.name}: {check.found}", soft_wrap=True)
            if check.remedy:
                screen.print(f"        {check.remedy}", markup=False, soft_wrap=True)
    if any(check.level == "bad" for check in checks):
        raise CourseError("grading needs what is called bad above")
