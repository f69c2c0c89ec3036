"""Building the website."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from autograder.course import Course
from autograder.errors import CourseError

__all__ = ["build_site", "publish_leaderboard", "site_is_current"]

_INPUTS = ("book", "labs", "factorkit", "micronet_resources")
_MARKED = re.compile(r"<!-- leaderboard -->.*?<!-- end of leaderboard -->", re.DOTALL)


def build_site(course: Course) -> Path:
    """Build the book with warnings as errors and return the path of its first page.

    The builder's output goes to ``_build/site.log``. A build of the same course in another process is waited for; what
    it built is taken if nothing has changed since.

    Raises
    ------
    CourseError
        If the book cannot be built; the message ends with the last lines of the log.
    """
    if not (course.root / "book" / "_config.yml").is_file():
        raise CourseError(f"no book to build: {course.root / 'book' / '_config.yml'} does not exist")
    (course.root / "_build").mkdir(exist_ok=True)
    lock = FileLock(course.root / "_build" / "site.lock")
    try:
        held, waited = lock.acquire(blocking=False), False
    except Timeout:
        held, waited = lock.acquire(), True
    with held:
        return (site_is_current(course) if waited else None) or _build(course)


def _build(course: Course) -> Path:
    log = course.root / "_build" / "site.log"
    _stamp(course).unlink(missing_ok=True)
    digest = _digest(course)
    # The labs are pages of the book too, so it is built in the course's root.
    start = "from jupyter_book.cli.main import main; main()"  # `jupyter-book`, wherever its script may be
    command = [sys.executable, "-c", start, "build", ".", "-W", "-n", "--keep-going"]
    environment = {name: value for name, value in os.environ.items() if name != "NBGRADER_EXECUTION"}  # draws figures
    command += ["--config", "book/_config.yml", "--toc", "book/_toc.yml"]
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run(
            command, cwd=course.root, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if ended.returncode != 0 or not _index(course).is_file():
        raise CourseError(f"the site was not built; from {log}:\n{_complaints(log)}")
    _insert_leaderboard(course)
    _stamp(course).write_text(digest, encoding="utf-8")
    return _index(course)


def publish_leaderboard(course: Course, content: str) -> Path | None:
    """Put a leaderboard into the website, now and whenever the site is built again.

    Parameters
    ----------
    course : Course
    content : str
        HTML.

    Returns
    -------
    Path or None
        The page of the site; None if it has not been built yet.
    """
    _leaderboard(course).parent.mkdir(parents=True, exist_ok=True)
    _leaderboard(course).write_text(content, encoding="utf-8")
    return _insert_leaderboard(course)


def _insert_leaderboard(course: Course) -> Path | None:
    page = course.root / "_build" / "html" / "book" / "leaderboard.html"
    if not page.is_file() or not _leaderboard(course).is_file():
        return None
    content = f"<!-- leaderboard -->{_leaderboard(course).read_text(encoding='utf-8')}<!-- end of leaderboard -->"
    page.write_text(_MARKED.sub(lambda _: content, page.read_text(encoding="utf-8")), encoding="utf-8")
    return page


def _leaderboard(course: Course) -> Path:
    return course.grading / "leaderboard-of-the-site.html"


def _complaints(log: Path) -> str:
    """The warnings and errors of a log, or its end if there are none."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(encoding="utf-8", errors="replace")).splitlines()
    found = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL):", line)]
    return "\n".join(found[:10] or lines[-15:])


def site_is_current(course: Course) -> Path | None:
    """The first page of a site that was built from exactly what is there now, or None."""
    if _index(course).is_file() and _stamp(course).is_file() and _stamp(course).read_text() == _digest(course):
        return _index(course)
    return None


def _index(course: Course) -> Path:
    return course.root / "_build" / "html" / "index.html"


def _stamp(course: Course) -> Path:
    return course.root / "_build" / "site.sha256"


def _digest(course: Course) -> str:
    """A hash of all that the pages are made from."""
    digest = hashlib.sha256()
    for folder in _INPUTS:
        for path in sorted((course.root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{content}  {path.relative_to(course.root).as_posix()}\n".encode())
    return digest.hexdigest()
