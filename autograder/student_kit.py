"""What students get: labs, chapters, helper package, profiler, how to install them; no answers, tests or grader."""

from __future__ import annotations

import json
import shutil
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring.chapters import chapter_files
from autograder.authoring.release import drift
from autograder.authoring.source import read_source
from autograder.course import Course
from autograder.errors import CourseError

__all__ = ["StudentKit", "write_student_kit"]

PACKAGES = ("factorkit", "micronet_resources")
LICENSES = ("LICENSE", "LICENSE-TEXT.md")
_LEFT_OUT = {"__pycache__", ".ipynb_checkpoints"}
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can say: the same files give the same bytes


@dataclass(frozen=True)
class StudentKit:
    """Where the students' kit was written.

    Attributes
    ----------
    folder, archive : Path
        The same files as a folder and as a zip archive that unpacks into a folder of that name.
    files : tuple of str
        Paths inside, in order.
    """

    folder: Path
    archive: Path
    files: tuple[str, ...]


def write_student_kit(course: Course, output: Path | None = None) -> StudentKit:
    """Write the students' kit as a folder and as a zip archive; an earlier one in its place is replaced.

    Parameters
    ----------
    course : Course
        With lab sources, and ``factorkit/`` and ``micronet_resources/`` in its root.
    output : Path, optional
        Folder in which both are made. Default ``_build`` in the course.

    Raises
    ------
    CourseError
        If the course lacks one of these parts, or its labs are not up to date with their sources.
    """
    root = course.root
    if not course.has_lab_sources:
        raise CourseError(f"{root} has no solutions/LAB/LAB.py: hand out the release folder of nbgrader instead")
    if missing := [name for name in (*PACKAGES, *LICENSES, "pyproject.toml") if not (root / name).exists()]:
        raise CourseError(f"{root} has no {', '.join(missing)}: students would miss it")
    if stale := drift(course):
        raise CourseError(stale[0])
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = (output or root / "_build") / f"{project['name']}-student"
    shutil.rmtree(folder, ignore_errors=True)
    leave_out = shutil.ignore_patterns(*_LEFT_OUT)
    for name in PACKAGES:
        shutil.copytree(root / name, folder / name, ignore=leave_out)
    for lab in course.lab_names():
        shutil.copytree(course.labs / lab, folder / "labs" / lab, ignore=leave_out)
    chapters = chapter_files(root)
    for name, content in chapters.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for name in LICENSES:
        shutil.copy(root / name, folder)
    texts = {
        "pyproject.toml": _pyproject(project),
        "environment.yml": _environment(project),
        "README.md": _read_me(course, bool(chapters)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return StudentKit(folder, _zipped(folder, files), files)


def _zipped(folder: Path, files: tuple[str, ...]) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as written:
        for name in files:
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", _DATE)
            entry.external_attr = 0o644 << 16
            written.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return archive


def _pyproject(project: dict) -> str:
    """The distribution without the grader and without what only authors need."""
    requirements = "".join(f"    {json.dumps(each)},\n" for each in project["dependencies"])
    packages = json.dumps([f"{name}*" for name in PACKAGES])
    return f"""[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = {json.dumps(project["name"])}
version = {json.dumps(project["version"])}
description = "Labs on factorizing deep neural networks: the students' kit"
readme = "README.md"
requires-python = {json.dumps(project["requires-python"])}
license = {json.dumps(project["license"])}
license-files = {json.dumps(list(LICENSES))}
dependencies = [
{requirements}]

[tool.setuptools.packages.find]
include = {packages}

[tool.setuptools.package-data]
micronet_resources = ["*.md", "references/*.onnx"]
"""


def _environment(project: dict) -> str:
    """The same requirements for conda users."""
    requirements = "".join(f"      - {each}\n" for each in project["dependencies"])
    return f"""# conda env create -f environment.yml && conda activate {project["name"]}
name: {project["name"]}
channels:
  - conda-forge
dependencies:
  - python{project["requires-python"]}
  - pip
  - pip:
{requirements}      - --editable .
"""


def _read_me(course: Course, has_chapters: bool) -> str:
    chapters = "The chapters are notebooks too: see `book/chapters/`.\n\n" if has_chapters else ""
    rows = []
    for lab in course.lab_names():
        source = read_source(course.source_file(lab))
        rows.append(f"| {source.title} | {source.minutes} | `labs/{lab}/{lab}.ipynb` |")
    labs = "\n".join(rows)
    first = course.lab_names()[0]
    return f"""# Labs on factorizing deep neural networks

You need Python 3.11, 3.12 or 3.13 and about 2 GB of disk space. A GPU is welcome and nowhere required.

## Install

In this folder, on Linux and macOS:

```
python3 -m venv .venv
source .venv/bin/activate
pip install --editable .
```

On Windows, in PowerShell:

```
py -m venv .venv
.venv\\Scripts\\Activate.ps1
pip install --editable .
```

With conda: `conda env create --file environment.yml` and `conda activate factorkit`.

On Linux, `pip` fetches a torch that comes with CUDA, some gigabytes. Without a GPU, install PyTorch's CPU build first;
pytorch.org says how.

## Check

```
python -m factorkit.check
```

It looks at Python, the packages, the data and JupyterLab, and says what to do about what is in the way.

## Work

```
jupyter lab labs/{first}/{first}.ipynb
```

| lab | minutes | notebook |
|---|---:|---|
{labs}

Every exercise has a gap that says what to write, and a check below it that says what it expected and what it got.
Do not delete, copy or rename cells; add as many of your own as you like. Before you hand in, restart the kernel and
run all cells.

{chapters}`python -m micronet_resources.profile --help` counts the parameters and the operations of any network of
yours. The rules of the challenge are in `micronet_resources/RULES.md`.

Code: BSD-3-Clause. Text: CC-BY-4.0.
"""
