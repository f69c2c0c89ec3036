"""Where a course keeps its files, and how nbgrader is told so."""

from __future__ import annotations

import copy
import difflib
import functools
from dataclasses import dataclass
from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.errors import CourseError, UsageError

__all__ = ["Course"]

CONFIG_FILE = "nbgrader_config.py"
_STRUCTURE = "{nbgrader_step}/{student_id}/{assignment_id}"


@dataclass(frozen=True)
class Course:
    """The folders of one course.

    There are two kinds. A course with sources ``solutions/LAB/LAB.py`` has its submissions, grades and feedback under
    `grading`. Any other course with an ``nbgrader_config.py`` has source notebooks ``source/LAB/*.ipynb`` and all its
    folders and its gradebook where that file says, or else where nbgrader puts them; if `grading` is another folder
    than the default one, results go there instead.

    Nothing here creates a folder, except `nbgrader_config`, which makes `grading` for the gradebook.

    Parameters
    ----------
    root : Path
        The folder with ``nbgrader_config.py``, absolute.
    grading : Path
        The folder of submissions, grades and feedback, absolute; it may lie outside `root`.

    Examples
    --------
    >>> course = Course(Path("/course"), Path("/course/round"))
    >>> course.labs.as_posix(), course.feedback.as_posix()
    ('/course/labs', '/course/round/feedback')
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
    def has_lab_sources(self) -> bool:
        """Whether labs are authored as ``solutions/LAB/LAB.py``; otherwise as notebooks in nbgrader's source folder."""
        return bool(self._authored())

    @property
    def solutions(self) -> Path:
        """Lab sources, ``solutions/LAB/LAB.py``: what people edit."""
        return self.root / "solutions"

    @property
    def source(self) -> Path:
        """Source notebooks with answers and hidden tests, ``LAB/*.ipynb``; generated ones where there are sources."""
        return self.root / "_build" / "source" if self.has_lab_sources else self._configured("source")

    @property
    def labs(self) -> Path:
        """Released notebooks, ``labs/LAB/LAB.ipynb``: what students get."""
        return self.root / "labs"

    @property
    def release(self) -> Path:
        """nbgrader's name for what students get."""
        return self.labs if self.has_lab_sources else self._configured("release")

    @property
    def submitted(self) -> Path:
        """Collected submissions, ``submitted/STUDENT/LAB/*.ipynb``.

        Where results are put into a folder of their own, submissions are still read from the course's, unless that
        folder has a ``submitted`` as well.
        """
        own = self.grading / "submitted"
        return own if self.has_lab_sources or own.is_dir() else self._configured("submitted")

    @property
    def autograded(self) -> Path:
        """Graded notebooks, ``autograded/STUDENT/LAB/*.ipynb``."""
        return self._results("autograded")

    @property
    def feedback(self) -> Path:
        """Feedback pages, ``feedback/STUDENT/LAB/*.html``."""
        return self._results("feedback")

    @property
    def events(self) -> Path:
        """What happened to each submission, as JSON lines."""
        return self.grading / "events"

    @property
    def course_id(self) -> str:
        """nbgrader's name of the course; empty if it has none."""
        return str(self._settings().get("course_id", ""))

    @property
    def db_url(self) -> str:
        """The gradebook as SQLAlchemy names it.

        A database server that the configuration names is used whatever `grading` is; a file follows the results.
        """
        configured = str(self._settings().get("db_url", ""))
        if configured and not configured.startswith("sqlite"):
            return configured
        if self.has_lab_sources or self._is_apart:
            return f"sqlite:///{self.grading / 'gradebook.db'}"
        file = configured.removeprefix("sqlite:///") or "gradebook.db"
        return f"sqlite:///{self.root / file}"

    def lab_names(self) -> list[str]:
        """The names of the labs that have a source, sorted."""
        return self._authored() or sorted(
            {path.parent.name for path in self._configured("source").glob("[!.]*/[!.]*.ipynb")}
        )

    def source_file(self, lab: str) -> Path:
        """The source of a lab, ``solutions/LAB/LAB.py``."""
        return self.solutions / lab / f"{lab}.py"

    def source_notebooks(self, lab: str) -> list[Path]:
        """The source notebooks of a lab, sorted; for authored labs the one that is generated."""
        if self.has_lab_sources:
            return [self.source / lab / f"{lab}.ipynb"]
        return sorted((self.source / lab).glob("[!.]*.ipynb"))

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
            raise UsageError(
                f"unknown lab {name!r}: no lab source in {self.solutions} (looked for LAB/LAB.py) "
                f"and none in {self._configured('source')} (looked for LAB/*.ipynb)"
            )
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UsageError(f"unknown lab {name!r}; {hint}the labs are {', '.join(known)}")

    def nbgrader_config(self) -> Config:
        """nbgrader's configuration of this course: ``nbgrader_config.py`` with this object's folders.

        Creates the grading folder, because SQLite does not.

        Raises
        ------
        CourseError
            If the file orders the folders in another way than nbgrader does by default.
        """
        config = copy.deepcopy(_loaded(self.root))
        self.grading.mkdir(parents=True, exist_ok=True)
        directories = config.CourseDirectory
        if directories.get("directory_structure", _STRUCTURE) != _STRUCTURE:
            raise CourseError(
                f"{self.root / CONFIG_FILE}: directory_structure is {directories.directory_structure!r}, and only "
                f"nbgrader's default {_STRUCTURE!r} can be graded; move the folders and remove the setting"
            )
        directories.root = str(self.root)
        directories.db_url = self.db_url
        for step in ("source", "release", "submitted", "autograded", "feedback"):
            directories[f"{step}_directory"] = self._for_nbgrader(getattr(self, step))
        for part in ("header", "footer"):  # nbgrader looks for them in the current folder
            if part in config.IncludeHeaderFooter:
                config.IncludeHeaderFooter[part] = str(self.root / config.IncludeHeaderFooter[part])
        return config

    def _authored(self) -> list[str]:
        return sorted(path.stem for path in self.solutions.glob("*/*.py") if path.stem == path.parent.name)

    @property
    def _is_apart(self) -> bool:
        """Whether results go into another folder than the course's own."""
        return self.grading != self.root / "grading"

    def _results(self, step: str) -> Path:
        return self.grading / step if self.has_lab_sources or self._is_apart else self._configured(step)

    def _configured(self, step: str) -> Path:
        return self.root / str(self._settings().get(f"{step}_directory", step))

    def _settings(self) -> Config:
        """What the configuration says of the folders; nothing where there is no such file yet."""
        return _loaded(self.root).CourseDirectory if (self.root / CONFIG_FILE).is_file() else Config()

    def _for_nbgrader(self, folder: Path) -> str:
        """`folder` relative to the root where it lies in it; nbgrader takes an absolute folder as well."""
        return str(folder.relative_to(self.root) if folder.is_relative_to(self.root) else folder)


def _loaded(root: Path) -> Config:
    """The configuration file's content; it is run again only if it has changed. Not to be changed by the caller."""
    return _load(root, (root / CONFIG_FILE).stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _load(root: Path, changed: int) -> Config:
    return PyFileConfigLoader(CONFIG_FILE, path=str(root)).load_config()
