"""Where a course keeps its files, and how nbgrader is told so."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.errors import UsageError

__all__ = ["Course"]

CONFIG_FILE = "nbgrader_config.py"


@dataclass(frozen=True)
class Course:
    """The folders of one course.

    Authored and released files lie under `root`, everything that grading produces under `grading`.
    Nothing here creates a folder, except `nbgrader_config`, which makes `grading` for the gradebook.

    Parameters
    ----------
    root : Path
        The folder with ``nbgrader_config.py``, absolute.
    grading : Path
        The folder of submissions, grades and feedback, absolute; it may lie outside `root`.

    Examples
    --------
    >>> course = Course(Path("/course"), Path("/course/grading"))
    >>> course.labs.as_posix(), course.submitted.as_posix()
    ('/course/labs', '/course/grading/submitted')
    """

    root: Path
    grading: Path

    @classmethod
    def find(cls, start: Path | str | None = None, grading: Path | str | None = None) -> Course:
        """Find the course that contains a folder.

        Parameters
        ----------
        start : path, optional
            Where to begin; this folder and those above it are searched. Default: the current folder.
        grading : path, optional
            The folder for submissions, grades and feedback. Default: ``grading`` in the course's root.

        Raises
        ------
        UsageError
            If neither the folder nor one above it has an ``nbgrader_config.py``.
        """
        begin = Path(start if start is not None else ".").resolve()
        for folder in (begin, *begin.parents):
            if (folder / CONFIG_FILE).is_file():
                return cls(folder, Path(grading).resolve() if grading is not None else folder / "grading")
        raise UsageError(
            f"no course found: neither {begin} nor a folder above it has a file {CONFIG_FILE}; "
            "run the command inside the course's folder, or name that folder with --course"
        )

    @property
    def solutions(self) -> Path:
        """Lab sources, ``solutions/LAB/LAB.py``: what people edit."""
        return self.root / "solutions"

    @property
    def source(self) -> Path:
        """Generated nbgrader source notebooks (with answers and hidden tests), ``_build/source/LAB/LAB.ipynb``."""
        return self.root / "_build" / "source"

    @property
    def labs(self) -> Path:
        """Released notebooks, ``labs/LAB/LAB.ipynb``: what students get."""
        return self.root / "labs"

    @property
    def release(self) -> Path:
        """nbgrader's name for `labs`."""
        return self.labs

    @property
    def submitted(self) -> Path:
        """Collected submissions, ``submitted/STUDENT/LAB/LAB.ipynb``."""
        return self.grading / "submitted"

    @property
    def autograded(self) -> Path:
        """Graded notebooks, ``autograded/STUDENT/LAB/LAB.ipynb``."""
        return self.grading / "autograded"

    @property
    def feedback(self) -> Path:
        """Feedback pages, ``feedback/STUDENT/LAB/LAB.html``."""
        return self.grading / "feedback"

    @property
    def events(self) -> Path:
        """What happened to each submission, as JSON lines."""
        return self.grading / "events"

    @property
    def db_url(self) -> str:
        """The gradebook as SQLAlchemy names it."""
        return f"sqlite:///{self.grading / 'gradebook.db'}"

    def lab_names(self) -> list[str]:
        """The names of the labs that have a source, sorted."""
        return sorted(path.stem for path in self.solutions.glob("*/*.py") if path.stem == path.parent.name)

    def source_file(self, lab: str) -> Path:
        """The source of a lab, ``solutions/LAB/LAB.py``."""
        return self.solutions / lab / f"{lab}.py"

    def check_lab(self, name: str) -> str:
        """Return `name` if a lab of that name exists.

        Raises
        ------
        UsageError
            Otherwise; the message names the labs there are and the nearest one.
        """
        known = self.lab_names()
        if name in known:
            return name
        if not known:
            raise UsageError(f"unknown lab {name!r}: no lab source in {self.solutions} (looked for LAB/LAB.py)")
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UsageError(f"unknown lab {name!r}; {hint}the labs are {', '.join(known)}")

    def nbgrader_config(self) -> Config:
        """nbgrader's configuration of this course: ``nbgrader_config.py`` with this object's folders.

        Creates the grading folder, because SQLite does not.
        """
        config = PyFileConfigLoader(CONFIG_FILE, path=str(self.root)).load_config()
        self.grading.mkdir(parents=True, exist_ok=True)
        directories = config.CourseDirectory
        directories.root = str(self.root)
        directories.db_url = self.db_url
        for step in ("submitted", "autograded", "feedback"):
            directories[f"{step}_directory"] = self._for_nbgrader(getattr(self, step))
        return config

    def _for_nbgrader(self, folder: Path) -> str:
        """`folder` relative to the root where it lies in it; nbgrader takes an absolute folder as well."""
        return str(folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder)
