"""Building the website."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autograder.course import Course
from autograder.errors import CourseError

__all__ = ["build_site"]


def build_site(course: Course) -> Path:
    """Build the book with warnings as errors and return the path of its first page.

    The builder's output goes to ``_build/site.log``.

    Raises
    ------
    CourseError
        If the book cannot be built; the message ends with the last lines of the log.
    """
    if not (course.root / "book" / "_config.yml").is_file():
        raise CourseError(f"no book to build: {course.root / 'book' / '_config.yml'} does not exist")
    log = course.root / "_build" / "site.log"
    log.parent.mkdir(exist_ok=True)
    # The labs are pages of the book too, so it is built in the course's root.
    command = [sys.executable, "-m", "jupyter_book", "build", ".", "-W", "-n", "--keep-going"]
    command += ["--config", "book/_config.yml", "--toc", "book/_toc.yml"]
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run(command, cwd=course.root, stdout=file, stderr=subprocess.STDOUT, check=False)
    index = course.root / "_build" / "html" / "index.html"
    if ended.returncode != 0 or not index.is_file():
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise CourseError(f"the site was not built, status {ended.returncode}; the end of {log}:\n{last}")
    return index
