"""Feedback pages for students: nbgrader's, without the hidden tests.

nbgrader shows hidden tests, in the source of a test cell and in the tracebacks, and with them the values that the next
class will be asked about. Here a student reads which exercise a hidden test belongs to and what it was worth.
"""

from __future__ import annotations

import copy
import html
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode
from nbgrader.converters import GenerateFeedback
from nbgrader.converters.base import NbGraderException

from autograder import events
from autograder.clean_html import clean_html, safe_markdown
from autograder.course import Course
from autograder.errors import CourseError
from autograder.leaderboard import MEASUREMENT
from autograder.record import SubmissionResult, graded_result, nbgrader_converter
from autograder.regions import HIDDEN_TESTS, Region, find_regions
from autograder.tables import amount

__all__ = ["FeedbackPage", "feedback", "hidden_lines", "student_view"]

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"(?:Cell In|Input In) ?\[\d+\][^\n]*?line:? (\d+)")
_MARK = re.compile(f"(BEGIN|END) {HIDDEN_TESTS}")
_SHOWN = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", MEASUREMENT)
_OWN_ERRORS = ("TimeLimit", "InterpreterDied", "NotRun")
_ADVICE = {
    "missing": "If you meant to hand it in, ask your instructor whether you still can.",
    "invalid notebook": "Open your notebook in JupyterLab, run it, save it, and hand in the file as it was saved.",
    "tampered": "Your answers are not lost: copy them into the cells of a fresh copy of the lab and hand that in.",
}
# What nbgrader's page lacks: the mark of a folded text, room between the columns of a table, figures that fit.
_STYLE = """<style>
summary { display: list-item; }
.rendered_html td, .rendered_html th, .output_html td, .output_html th { padding: 0 0.5em; }
img { max-width: 100%; height: auto; }
</style>
</head>"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{lab}: {status}</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }}</style>
</head>
<body>
<h1>{lab}: {status}</h1>
<p>{message}</p>
<p>{advice}</p>
<p>Points: {points}</p>
</body>
</html>
"""


@dataclass(frozen=True)
class FeedbackPage:
    """A page that was written."""

    student: str
    path: Path


def feedback(course: Course, lab: str) -> list[FeedbackPage]:
    """Write a feedback page for every student who has a result for the lab.

    Returns
    -------
    list of FeedbackPage
        Sorted by student; empty if the lab has not been graded.

    Raises
    ------
    CourseError
        If nbgrader cannot make a page.
    """
    pages = []
    for (_, student), recorded in sorted(events.latest(course, lab).items()):
        result = graded_result(course, recorded)
        page = course.feedback / student / lab / f"{lab}.html"
        notebook = course.autograded / student / lab / f"{lab}.ipynb"
        if result.status.was_run and notebook.is_file():
            _write_graded(course, result, notebook)
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(_problem_page(result), encoding="utf-8")
        pages.append(FeedbackPage(student, page))
    return pages


def _write_graded(course: Course, result: SubmissionResult, notebook: Path) -> None:
    """Let nbgrader write the page of a notebook that holds no secret any more."""
    view = student_view(nbformat.read(notebook, as_version=4))
    if note := _note(result):
        view.cells.insert(0, nbformat.v4.new_markdown_cell(note, id="status"))
    with tempfile.TemporaryDirectory(prefix="factorkit-") as folder:
        path = Path(folder) / result.student / result.lab / notebook.name
        path.parent.mkdir(parents=True)
        nbformat.write(view, path)
        config = course.nbgrader_config()
        config.CourseDirectory.autograded_directory = folder
        config.HTMLExporter.filters = {"markdown2html": safe_markdown}
        shutil.rmtree(course.feedback / result.student / result.lab, ignore_errors=True)
        with nbgrader_converter(GenerateFeedback, config, result.lab, result.student) as converter:
            converter.force = True
            try:
                converter.start()
            except (NbGraderException, SystemExit):
                reason = "\n".join(converter.log.handlers[0].messages).strip() or "no reason given"
                raise CourseError(
                    f"no feedback for {result.student}'s {result.lab}: {reason.splitlines()[-1]}"
                ) from None


def _note(result: SubmissionResult) -> str:
    """What stands above the notebook if something was unusual."""
    lines = []
    if result.message:
        lines.append(f"**{result.status}**: {html.escape(result.message)}. What ran before that was graded.")
    lines += [
        f"*{finding.kind}*, {html.escape(finding.cell)}: {html.escape(finding.message)}." for finding in result.findings
    ]
    if result.waiting:
        lines.append(
            f"{amount(result.waiting)} points wait for a person to read your answer; the score does not contain them."
        )
    return "\n\n".join(lines)


def _problem_page(result: SubmissionResult) -> str:
    points = "none yet" if result.score is None else f"{amount(result.score)} of {amount(result.maximum)}"
    return _PAGE.format(
        lab=html.escape(result.lab),
        status=result.status,
        message=html.escape(result.message[:1].upper() + result.message[1:]) + ".",
        advice=_ADVICE.get(result.status, ""),
        points=points,
    )


def hidden_lines(notebook: NotebookNode) -> set[str]:
    """The lines of a notebook's hidden tests, without white space.

    Lines of less than 8 characters and lines that also stand in the open give nothing away and are left out.
    """
    hidden: set[str] = set()
    visible: set[str] = set()
    for cell in notebook.cells:
        regions = _hidden_regions(cell)
        for number, line in enumerate(cell.source.split("\n")):
            inside = any(region.start < number < region.stop for region in regions)
            (hidden if inside else visible).add(_squeezed(line))
    return {line for line in hidden - visible if len(line) >= 8}


def student_view(notebook: NotebookNode) -> NotebookNode:
    """A copy of a graded notebook as its author may see it."""
    notebook = copy.deepcopy(notebook)
    hidden = hidden_lines(notebook)
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not cell.id.startswith("student-"):
            headings = re.findall(r"^#+ +(.*?)(?: \(.*\))?$", cell.source, re.MULTILINE)
            heading = headings[-1] if headings else heading
        if cell.cell_type != "code":
            continue
        if regions := _hidden_regions(cell):
            name = f"{heading or cell.metadata.nbgrader.grade_id}, {cell.metadata.nbgrader.points:g} points"
            outputs = [_shown(output, regions, name) for output in cell.outputs]
            cell.outputs = [output for output in outputs if output is not None]
            for region in reversed(regions):
                cell.source = region.replaced(cell.source, "# Hidden tests: the same questions with other values.")
        cell.outputs = [_without(output, hidden) for output in cell.outputs]
    return notebook


def _hidden_regions(cell: NotebookNode) -> list[Region]:
    locked = cell.metadata.get("nbgrader", {}).get("locked", False)  # a student's own cell may contain any mark
    return [region for region in find_regions(cell.source) if region.label == HIDDEN_TESTS] if locked else []


def _shown(output: NotebookNode, regions: list[Region], name: str) -> NotebookNode | None:
    """An output of a test cell with hidden tests; None if it may show what they ask."""
    if output.output_type == "execute_result" or MEASUREMENT in output.get("data", {}):
        return output
    if output.output_type != "error" or output.ename == "KeyboardInterrupt":
        return None
    frame = _FRAME.search(_ANSI.sub("", "\n".join(output.traceback)))
    line = int(frame.group(1)) - 1 if frame else None
    if output.ename in _OWN_ERRORS or (line is not None and not any(r.start <= line <= r.stop for r in regions)):
        return output
    how = "" if output.ename == "AssertionError" else f" (it ended with {output.ename})"
    message = (
        f"{name}: a hidden test did not pass{how}. The visible ones did; hidden ones ask the same with other values. "
        "Try your code with other sizes and seeds, and read the text of the exercise again."
    )
    text = f"HiddenTest: {message}"
    return nbformat.v4.new_output("error", ename="HiddenTest", evalue=message, traceback=[text])


def _without(output: NotebookNode, hidden: set[str]) -> NotebookNode:
    """An output without the lines that repeat a hidden test, as a traceback's or those that a student's code prints."""
    if output.output_type == "stream":
        output.text = _clean(output.text, hidden)
    elif output.output_type == "error":
        output.traceback = _clean("\n".join(output.traceback), hidden).split("\n")
        output.evalue = _clean(output.evalue, hidden)
    else:
        output.data = {mime: data for mime, data in output.data.items() if mime in _SHOWN}  # no scripts, no drawings
        for mime, data in output.data.items():
            if mime.startswith("text/"):
                output.data[mime] = _clean(clean_html(data) if mime == "text/html" else data, hidden)
    return output


def _clean(text: str, hidden: set[str]) -> str:
    kept = []
    for line in text.split("\n"):
        plain = _squeezed(html.unescape(re.sub(r"<[^>]*>", "", _ANSI.sub("", line)))) + _squeezed(_ANSI.sub("", line))
        if not _MARK.search(line) and not any(secret in plain for secret in hidden):
            kept.append(line)
    return "\n".join(kept)


def _squeezed(line: str) -> str:
    return re.sub(r"\s+", "", line)
