"""A student's feedback on one notebook, as a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from nbformat.notebooknode import NotebookNode

from autograder.commands.tables import amount
from autograder.pages.clean_html import safe_markdown
from autograder.pages.exercises import Exercise
from autograder.pages.html_page import html_page
from autograder.pages.notebook_html import CODE_STYLE, NotebookHtml
from autograder.pages.student_view import HIDDEN_TEST, plain
from autograder.results import Points, SubmissionResult
from autograder.submissions import Status

__all__ = ["MEANINGS", "Feedback", "Verdict", "feedback_page", "verdict"]

MEANINGS = {
    Status.OK: "Your notebook ran to its end.",
    Status.TIMEOUT: "Something in your notebook took longer than it may. What was earned before counts.",
    Status.CRASHED: "The Python process that ran your notebook broke off. What was earned before counts.",
    Status.MEMORY: "Your notebook needed more memory than it may use. What was earned before counts.",
    Status.OUTPUT: "Your notebook printed or drew more than can be kept. What was earned before counts.",
    Status.TAMPERED: "None of the lab's answer cells is in what you handed in, so there was nothing to grade.",
    Status.INVALID: "What you handed in cannot be opened as a notebook.",
    Status.MISSING: "Nothing was handed in.",
}
"""What each status means, for students."""
_ADVICE = {
    Status.TIMEOUT: "Look for a loop that does not end, or for training that is not meant for grading.",
    Status.CRASHED: "Restart the kernel, run all cells, and see where it ends.",
    Status.MEMORY: "Look for a list or an array that grows without end, or is much larger than the exercise needs.",
    Status.OUTPUT: "Look for a print inside of a loop.",
    Status.MISSING: "If you meant to hand it in, ask your instructor whether you still can.",
    Status.INVALID: "Open your notebook in JupyterLab, run it, save it, and hand in the file as it was saved.",
    Status.TAMPERED: "Your answers are not lost: copy them into the cells of a fresh copy of the lab and hand that in.",
}
_NOT_FOR_STUDENTS = ("same process",)  # how far the grader trusts the points
_STYLE = """
.facts { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .5rem 0 1rem; padding: 0; list-style: none; }
.score { font-size: 1.5rem; font-weight: 700; }
.results { width: 100%; }
@media (max-width: 36rem) {
  .results, .results tbody, .results tr, .results td { display: block; border: 0; padding: 0; white-space: normal; }
  .results thead { display: none; }
  .results tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .results td + td { display: inline-block; margin-right: 1rem; }
}
.results .quiet { font-size: .9rem; }
.cell { margin: .9rem 0; }
.cell > pre, .cell > .scroll > pre { background: var(--soft); padding: .6rem .75rem; border-radius: .25rem; }
.answer { border-left: .25rem solid var(--link); padding-left: .75rem; }
.answer::before { content: "Your answer"; font-size: .8rem; color: #5a626c; }
.test { border: 1px solid var(--line); border-left: .25rem solid currentColor; border-radius: .25rem;
  padding: .6rem .9rem; }
.test > * { color: #1d2126; }
.test > .verdict, .test > .verdict * { color: inherit; }
.verdict { font-weight: 600; margin: 0 0 .25rem; }
.output { margin: .4rem 0 .4rem .75rem; }
.output table { font-size: .9rem; }
.comment { background: #eef4fb; padding: .5rem .9rem; border-radius: .25rem; }
"""


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise, in words for its author.

    Attributes
    ----------
    state : str
        A few words: ``passed``, ``partly passed``, ``a hidden test failed`` ...
    mood : str
        ``good``, ``some`` or ``bad``.
    message : str
        What the test said; empty if it passed.
    """

    state: str
    mood: str
    message: str = ""


@dataclass(frozen=True)
class Feedback:
    """All that a page is made from.

    Attributes
    ----------
    result : SubmissionResult
    title : str
        The lab's, or the notebook's name.
    exercises : sequence of Exercise
        Those of this page's notebook.
    view : NotebookNode or None
        The notebook as its author may see it; None if it was not run.
    comments : mapping
        A person's remarks by grade_id.
    pictures : mapping
        The lab's pictures as data addresses, by path.
    """

    result: SubmissionResult
    title: str
    exercises: Sequence[Exercise] = ()
    view: NotebookNode | None = None
    comments: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)


def verdict(exercise: Exercise, points: Points | None, cell: NotebookNode | None) -> Verdict:
    """Say what became of an exercise.

    Parameters
    ----------
    exercise : Exercise
    points : Points or None
        None if the gradebook has none.
    cell : NotebookNode or None
        The graded cell in the author's view of the notebook.
    """
    if points is None:
        return Verdict("not graded", "bad")
    if points.score is None:
        return Verdict("waits for a person", "some")
    errors = [output for output in (cell.get("outputs", []) if cell else []) if output.output_type == "error"]
    if exercise.by_hand:
        return Verdict("graded by a person", "good" if points.score > 0 else "some")
    if errors:
        states = {"TimeLimit": "time limit", "InterpreterDied": "crashed", "NotRun": "not run"}
        state = "a hidden test failed" if errors[0].ename == HIDDEN_TEST else states.get(errors[0].ename, "failed")
        return Verdict(state, "bad" if points.score < points.maximum else "some", _message(errors[0]))
    if points.score >= points.maximum:
        return Verdict("passed", "good")
    return Verdict("partly passed", "some") if points.score > 0 else Verdict("no points", "bad")


def _message(error: NotebookNode) -> str:
    text = plain(error.evalue).strip()
    if error.ename not in (HIDDEN_TEST, "AssertionError", "TimeLimit", "InterpreterDied", "NotRun"):
        text = f"{plain(error.ename)}: {text}"
    return text if len(text) <= 600 else text[:600] + " ..."


def feedback_page(feedback: Feedback) -> str:
    """The page as HTML."""
    result = feedback.result
    parts = [f"<header>\n<h1>{escape(feedback.title)}</h1>", _facts(result), "</header>", _notices(result)]
    cells = {
        cell.metadata.nbgrader.grade_id: cell
        for cell in (feedback.view.cells if feedback.view else [])
        if "grade_id" in cell.metadata.get("nbgrader", {})
    }
    verdicts = {
        each.grade_id: verdict(each, result.points.get(each.key), cells.get(each.grade_id))
        for each in feedback.exercises
    }
    if feedback.exercises:
        parts.append(_table(feedback, verdicts))
    if feedback.view is not None:
        body = NotebookHtml(feedback.pictures)
        tests = {each.grade_id: _test(feedback, each, verdicts[each.grade_id]) for each in feedback.exercises}
        parts += ["<main>\n<h2>Your notebook</h2>", body.render(feedback.view, tests), "</main>"]
    return html_page(f"{feedback.title}: feedback for {result.student}", "\n".join(parts), _STYLE + CODE_STYLE)


def _facts(result: SubmissionResult) -> str:
    score = "no points yet" if result.score is None else f"{amount(result.score)} of {amount(result.maximum)} points"
    facts = [f'<span class="score">{score}</span>', f"Handed in by <strong>{escape(result.student)}</strong>"]
    if result.received:
        facts.append(f"received {escape(result.received.replace('T', ' ').replace('+00:00', ' UTC'))}")
    if result.seconds:
        facts.append(f"ran for {amount(round(result.seconds, 1))} s")
    mood = "good" if result.status is Status.OK else "some" if result.status.was_run else "bad"
    state = f'<p><strong class="{mood}">Status: {escape(result.status)}.</strong> {MEANINGS[result.status]}</p>'
    return f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>\n{state}'


def _notices(result: SubmissionResult) -> str:
    lines = []
    if result.message:
        lines.append(f"{escape(result.message[:1].upper() + result.message[1:])}.")
    if advice := _ADVICE.get(result.status):
        lines.append(advice)
    if result.waiting:
        lines.append(
            f"{amount(result.waiting)} points wait for a person to read your answer; the score does not contain them."
        )
    if result.penalty:
        lines.append(f"{amount(result.penalty)} points were taken off because it came late.")
    lines += [
        f"<em>{escape(finding.kind)}</em>, {escape(finding.cell)}: {escape(finding.message)}."
        for finding in result.findings
        if finding.kind not in _NOT_FOR_STUDENTS
    ]
    return f'<div class="note" role="note">{"".join(f"<p>{line}</p>" for line in lines)}</div>' if lines else ""


def _table(feedback: Feedback, verdicts: Mapping[str, Verdict]) -> str:
    rows = []
    timed = any(points.seconds for points in feedback.result.points.values())
    for each in feedback.exercises:
        points, said = feedback.result.points.get(each.key), verdicts[each.grade_id]
        title = escape(each.title)
        link = f'<a href="#{_anchor(each)}">{title}</a>' if feedback.view is not None else title
        message = f'<div class="quiet">{escape(said.message)}</div>' if said.message else ""
        seconds = f'<td class="number">{points.seconds:.1f} s</td>' if timed and points else "<td></td>" * timed
        rows.append(
            f'<tr><td>{link}{message}</td><td class="state {said.mood}">{said.state}</td>'
            f'<td class="number">{_points(points, each)}</td>{seconds}</tr>'
        )
    heads = '<th scope="col">Exercise</th><th scope="col">Result</th><th scope="col" class="number">Points</th>'
    heads += '<th scope="col" class="number">Time</th>' * timed
    table = "\n".join([f'<table class="results"><thead><tr>{heads}</tr></thead>', "<tbody>", *rows, "</tbody></table>"])
    return f'<div class="scroll">{table}</div>'


def _points(points: Points | None, exercise: Exercise) -> str:
    score = "–" if points is None else "?" if points.score is None else amount(points.score)
    return f"{score} / {amount(points.maximum if points else exercise.maximum)}"


def _anchor(exercise: Exercise) -> str:
    return "exercise-" + re.sub(r"[^A-Za-z0-9_-]", "-", exercise.grade_id)


def _test(feedback: Feedback, exercise: Exercise, said: Verdict) -> tuple[str, str]:
    """What stands before a graded cell and after it."""
    points = feedback.result.points.get(exercise.key)
    sign = {"good": "✓", "some": "◐", "bad": "✗"}[said.mood]
    before = f'<section class="test {said.mood}" id="{_anchor(exercise)}">\n<p class="verdict">'
    before += f'<span aria-hidden="true">{sign} </span>{escape(exercise.title)}: '
    before += f"{said.state}, {_points(points, exercise)} points</p>"
    if said.message:
        before += f"<p>{escape(said.message)}</p>"
    if said.mood != "good" and not exercise.by_hand:
        for number, hint in enumerate(exercise.hints):
            name = "Hint" if number == 0 else "Next hint"
            state = " open" if number == 0 else ""
            text = safe_markdown(hint[:1].upper() + hint[1:], feedback.pictures)
            before += f"<details{state}><summary>{name}</summary>{text}</details>"
    after = ""
    if comment := feedback.comments.get(exercise.grade_id):
        after = f'<div class="comment"><strong>Comment</strong>{safe_markdown(comment)}</div>'
    return before, after + "</section>"
