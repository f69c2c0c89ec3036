"""What the commands share: the application, where it prints, and the options that several of them have."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from autograder.course import Course

__all__ = ["AnyLab", "CourseFolder", "Grading", "Json", "Lab", "app", "aside", "each_lab", "print_json", "screen"]


class _InOrder(TyperGroup):
    """Lists the commands in the order in which a round needs them, not in that of their modules."""

    ORDER = (
        *("doctor", "build", "lint", "solution-check", "due", "collect", "grade", "status", "show", "feedback"),
        *("report", "export", "leaderboard", "site", "demo"),
    )

    def list_commands(self, ctx: typer.Context) -> list[str]:
        places = {name: place for place, name in enumerate(self.ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: places.get(name, len(places)))


app = typer.Typer(
    name="autograder",
    cls=_InOrder,
    help="""Release labs, grade a class, publish its feedback and the website.

    A round, from the authored lab to the class's grades:

    \b
      autograder doctor                        what this machine can do
      autograder build lab01_convolutions      make the notebook for students
      autograder solution-check lab01_convolutions
                                               your own answers get full points
      autograder due lab01_convolutions 2026-12-01T23:59+01:00
      autograder collect lab01_convolutions ~/Downloads/moodle.zip
      autograder grade lab01_convolutions      run, grade, record
      autograder show lab01_convolutions --flagged
                                               what a person should look at
      autograder feedback lab01_convolutions   write a page for each student
      autograder report lab01_convolutions     a page for you: what was hard
      autograder export lab01_convolutions --format moodle

    Start with `autograder demo`, which does all of it with a sample class.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Lab = Annotated[str, typer.Argument(metavar="LAB", help="A lab's name, as lab01_convolutions.", show_default=False)]
AnyLab = Annotated[str | None, typer.Argument(metavar="LAB", help="One lab; all of them without it.")]
Grading = Annotated[
    Path | None, typer.Option("--grading", metavar="DIR", help="The round's folder [default: grading].")
]
CourseFolder = Annotated[
    Path | None, typer.Option("--course", metavar="DIR", help="The course [default: found above].")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else, on standard output.")]

screen = Console(highlight=False)
aside = Console(stderr=True, highlight=False)


def print_json(data: Any) -> None:
    """Print data as JSON, nothing else, on standard output."""
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def each_lab(course: Course, lab: str | None) -> list[str]:
    """One lab, or all of them."""
    return [course.check_lab(lab)] if lab else course.lab_names()
