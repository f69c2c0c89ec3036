"""Who is in the class: which student a learning platform means by a name or a number.

A roster is a CSV file: Moodle's grading worksheet, Canvas's exported gradebook, or one of your own with the columns
``student`` (the name of the student's folder), ``name``, ``email``, ``moodle`` and ``canvas``, of which only the first
is needed.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import UsageError

__all__ = ["Person", "Roster", "read_roster"]

# Each of ours, and the columns of the platforms that say the same, the first one that is filled counts.
_COLUMNS = {
    "student": ("student id", "username", "sis login id", "sis user id", "id number", "email address", "email"),
    "name": ("name", "full name", "student"),
    "email": ("email", "email address"),
    "moodle": ("moodle", "identifier"),
    "canvas": ("canvas", "id"),
    "sis_user": ("sis user id",),
    "sis_login": ("sis login id",),
    "section": ("section",),
}


@dataclass(frozen=True)
class Person:
    """One student, as the grader and as the platforms know them; empty where unknown.

    Attributes
    ----------
    student : str
        The name of the folder in ``submitted``.
    name, email : str
    moodle : str
        Moodle's number of the participant, which is another one for each assignment.
    canvas : str
        Canvas's number of the user.
    sis_user, sis_login, section : str
        What else Canvas's gradebook says of a student.
    """

    student: str
    name: str = ""
    email: str = ""
    moodle: str = ""
    canvas: str = ""
    sis_user: str = ""
    sis_login: str = ""
    section: str = ""


@dataclass(frozen=True)
class Roster:
    """The people of a course."""

    people: tuple[Person, ...]

    def __iter__(self) -> Iterator[Person]:
        return iter(self.people)

    def find(self, *, student: str = "", name: str = "", moodle: str = "", canvas: str = "") -> Person | None:
        """The one person of this number, folder or name, in this order; None if there is none, or more than one."""
        wanted = {"moodle": moodle, "canvas": canvas, "student": student, "name": name}
        for column, value in wanted.items():
            found = [person for person in self if value and _plain(getattr(person, column)) == _plain(value)]
            if len(found) == 1:
                return found[0]
        return None


def read_roster(path: Path | str) -> Roster:
    """Read a class's CSV file.

    Raises
    ------
    UsageError
        If it cannot be read, or no column tells students apart.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as UTF-8 text ({error}); save it as CSV") from None
    rows = list(csv.DictReader(text.splitlines()))
    headings = {heading.strip().casefold(): heading for heading in (rows[0] if rows else {}) if heading}
    own = "student" in headings and "id" not in headings  # in Canvas's file, "Student" is the name
    columns = {
        field: ["student", *names] if own and field == "student" else list(names) for field, names in _COLUMNS.items()
    }
    if not any(name in headings for name in columns["student"]):
        wanted = ", ".join(("student", *_COLUMNS["student"]))
        raise UsageError(f"{path}: no column names the students; expected one of {wanted}, found {', '.join(headings)}")
    people = []
    for row in rows:
        values = {
            field: next((row[headings[name]].strip() for name in names if row.get(headings.get(name, ""))), "")
            for field, names in columns.items()
        }
        values["moodle"] = "".join(re.findall(r"\d+$", values["moodle"]))
        values["canvas"] = values["canvas"] if values["canvas"].isdigit() else ""
        if own and values["name"] == values["student"]:
            values["name"] = ""
        if values["student"]:
            people.append(Person(**values))
    return Roster(tuple(people))


def _plain(name: str) -> str:
    """A name as one compares it; "Lovelace, Ada" is Ada Lovelace."""
    last, comma, first = unicodedata.normalize("NFC", name).casefold().partition(",")
    return " ".join((f"{first} {last}" if comma else last).split())
