"""An instructor's report on a lab, as a page."""

from __future__ import annotations

import os
from difflib import SequenceMatcher
from html import escape
from pathlib import Path
from urllib.parse import quote

from autograder.commands.tables import amount
from autograder.course import Course
from autograder.pages.html_page import html_page
from autograder.report import BINS, Report, Spread, TestSummary
from autograder.similarity import SimilarPair, code_tokens
from autograder.submissions import Status

__all__ = ["report_page"]

_STYLE = """
body { max-width: 72rem; }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; padding: 0; margin: .75rem 0; list-style: none; }
.facts b { display: block; font-size: 1.35rem; }
.name { white-space: nowrap; }
.bars { width: 100%; max-width: 44rem; }
.bars td:last-child { width: 60%; }
.bar { display: block; height: 1rem; background: var(--link); min-width: 1px; print-color-adjust: exact; }
.stack { display: flex; height: 1rem; min-width: 8rem; background: var(--soft); }
.stack span { height: 100%; print-color-adjust: exact; }
.passed { background: #2b8a57; } .partial { background: #d9a521; } .failed { background: #c0392b; }
.timeout { background: #8a63c2; } .crashed { background: #4b2e83; } .notrun { background: #8d949c; }
.waiting { background: #7fb2e5; }
.legend span { display: inline-block; margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; print-color-adjust: exact; }
.beside { table-layout: fixed; width: 100%; min-width: 40rem; font-size: .8rem; }
.beside td { border: 0; padding: 0 .4rem; width: 50%; white-space: pre-wrap; overflow-wrap: anywhere;
  font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.same td { background: #fdf3d7; } .alike td { background: #e6f0fb; }
.key { padding: 0 .3rem; } .key.same { background: #fdf3d7; } .key.alike { background: #e6f0fb; }
"""
_OUTCOMES = {
    "passed": "passed",
    "partial": "partly passed",
    "failed": "failed",
    "timeout": "time limit",
    "crashed": "crashed",
    "not run": "not run",
    "waiting": "waits for a person",
}
_PAIRS_WITH_TEXT = 20


def report_page(course: Course, report: Report, folder: Path) -> str:
    """The page as HTML.

    Parameters
    ----------
    course : Course
    report : Report
    folder : Path
        Where the page will lie: links to the students' feedback begin there.
    """
    parts = [
        f"<header><h1>{escape(report.lab)}: report</h1>",
        '<p class="quiet">For the instructor: it names hidden tests and students.</p></header>',
        "<main>",
        _overview(report),
        "<h2>Scores</h2>",
        _scores(report),
        "<h2>Exercises</h2>",
        _tests(report),
        "<h2>How submissions ended</h2>",
        _statuses(report),
        "<h2>Time and memory</h2>",
        _costs(course, report, folder),
        "<h2>Flagged submissions</h2>",
        _flagged(course, report, folder),
        "<h2>Similar submissions</h2>",
        _similar(course, report, folder),
        "</main>",
    ]
    return html_page(f"{report.lab}: report", "\n".join(parts), _STYLE)


def _overview(report: Report) -> str:
    scores = Spread.of(report.scores)
    facts = [("submissions", str(len(report.results))), ("points at most", amount(report.maximum))]
    if scores:
        facts += [("median score", amount(scores.median)), ("mean score", amount(scores.mean))]
    if waiting := sum(result.waiting > 0 for result in report.results):
        facts.append(("wait for a person", str(waiting)))
    facts += [("flagged", str(len(report.flagged))), ("similar pairs", str(len(report.pairs)))]
    return '<ul class="facts">' + "".join(f"<li><b>{value}</b>{name}</li>" for name, value in facts) + "</ul>"


def _scores(report: Report) -> str:
    most = max(report.histogram, default=0)
    rows = []
    for place, count in enumerate(report.histogram):
        low, high = (amount(report.maximum * edge / BINS) for edge in (place, place + 1))
        until = f"to {high}" if place == BINS - 1 else f"to below {high}"
        rows.append(_bar_row(f"{low} {until}", count, most))
    return _table(["points", "submissions", ""], rows, "bars", "How many submissions have how many points")


def _bar_row(name: str, count: int, most: int) -> str:
    width = 100 * count / most if most else 0
    bar = f'<span class="bar" style="width: {width:.1f}%"></span>' if count else ""
    return f'<tr><td>{escape(name)}</td><td class="number">{count}</td><td>{bar}</td></tr>'


def _tests(report: Report) -> str:
    rows = "".join(_test_row(test) for test in report.tests)
    legend = "".join(f'<span><i class="{_css(name)}"></i>{text}</span>' for name, text in _OUTCOMES.items())
    heads = ["exercise", "points", "mean", "passed", "", "median s", "longest s"]
    table = _table(heads, [rows], "", "How the class did in each exercise; * has hidden tests")
    return f'{table}<p class="legend quiet">{legend}</p>'


def _test_row(test: TestSummary) -> str:
    each, total = test.exercise, sum(test.outcomes.values())
    spans = "".join(
        f'<span class="{_css(name)}" style="width: {100 * test.outcomes[name] / total:.2f}%" '
        f'title="{text}: {test.outcomes[name]}"></span>'
        for name, text in _OUTCOMES.items()
        if test.outcomes.get(name)
    )
    spoken = ", ".join(f"{test.outcomes[name]} {text}" for name, text in _OUTCOMES.items() if test.outcomes.get(name))
    star = ' <abbr title="has hidden tests">*</abbr>' if each.hidden else ""
    share = "–" if test.share is None else f"{100 * test.share:.0f} %"
    seconds = [f"{value:.1f}" for value in (test.seconds.median, test.seconds.most)] if test.seconds else ["–", "–"]
    return (
        f'<tr><td>{escape(each.title)}{star}<div class="quiet">{escape(each.key)}</div></td>'
        f'<td class="number">{amount(each.maximum)}</td><td class="number">{share}</td>'
        f'<td class="number">{test.outcomes.get("passed", 0)} of {total}</td>'
        f'<td><div class="stack" role="img" aria-label="{spoken}">{spans}</div></td>'
        + "".join(f'<td class="number">{value}</td>' for value in seconds)
        + "</tr>"
    )


def _css(outcome: str) -> str:
    return outcome.replace(" ", "")


def _statuses(report: Report) -> str:
    most = max(report.statuses.values(), default=0)
    table = _table(["status", "submissions", ""], [_bar_row(*each, most) for each in report.statuses.items()], "bars")
    others = [result for result in report.results if result.status is not Status.OK]
    lines = [
        f"<li><strong>{escape(result.student)}</strong>, {escape(result.status)}: {escape(result.message)}</li>"
        for result in others
    ]
    return table + (f"<ul>{''.join(lines)}</ul>" if lines else "")


def _costs(course: Course, report: Report, folder: Path) -> str:
    rows = [
        f"<tr><td>{name}</td>" + "".join(f'<td class="number">{value:,.1f}</td>' for value in values) + "</tr>"
        for name, spread in (("seconds", report.seconds), ("MB of memory", report.memory_mb))
        if spread
        for values in [(spread.least, spread.median, spread.mean, spread.most)]
    ]
    slowest = sorted((r for r in report.results if r.status.was_run), key=lambda r: -r.seconds)[:5]
    names = ", ".join(f"{_student(course, report, r.student, folder)} ({r.seconds:,.1f} s)" for r in slowest)
    table = _table(["of one submission", "least", "median", "mean", "most"], rows)
    return table + (f"<p>Longest: {names}.</p>" if names else "")


def _flagged(course: Course, report: Report, folder: Path) -> str:
    if not report.flagged:
        return "<p>None.</p>"
    rows = []
    for result in report.flagged:
        alike: dict[tuple[str, str], list[str]] = {}
        for finding in result.findings:
            alike.setdefault((finding.kind, finding.message), []).append(finding.cell)
        for (kind, message), cells in alike.items():
            name, where = _student(course, report, result.student, folder), escape(", ".join(cells))
            rows.append(f"<tr><td>{name}</td><td>{escape(kind)}</td><td>{where}</td><td>{escape(message)}</td></tr>")
    return _table(["student", "finding", "where", "what the grader did about it"], rows)


def _similar(course: Course, report: Report, folder: Path) -> str:
    text = (
        "<p>Answers are compared without names, numbers, comments and layout; what the lab has given and what much of "
        "the class has written is left out. <strong>Similarity is no proof of copying.</strong> Short exercises have "
        "few right answers, and people who learn together write alike. Read both, look at what is unusual in them, and "
        "talk with the students before you conclude anything.</p>"
    )
    if not report.pairs:
        return text + "<p>No two submissions are conspicuously alike.</p>"
    rows = []
    for pair in report.pairs:
        first, second = (_student(course, report, student, folder) for student in (pair.first, pair.second))
        cells, share = escape(", ".join(pair.cells)), f"{100 * pair.similarity:.0f} %"
        rows.append(f'<tr><td>{first}</td><td>{second}</td><td class="number">{share}</td><td>{cells}</td></tr>')
    table = _table(["student", "student", "similarity", "in the answers"], rows)
    return text + table + "".join(_pair(report, pair) for pair in report.pairs[:_PAIRS_WITH_TEXT])


def _pair(report: Report, pair: SimilarPair) -> str:
    """The answers of two students side by side."""
    first, second = report.answers.texts[pair.first], report.answers.texts[pair.second]
    tables = "".join(
        f"<h4>{escape(cell)}</h4>{_beside(pair, first.get(cell, ''), second.get(cell, ''))}" for cell in pair.cells
    )
    key = '<p class="quiet">Lines that are <span class="key same">the same</span> or '
    key += '<span class="key alike">the same but for names and numbers</span>.</p>'
    names = f"{escape(pair.first)} and {escape(pair.second)}: {100 * pair.similarity:.0f} %"
    return f"<details><summary>{names}, side by side</summary>{key}{tables}</details>"


def _beside(pair: SimilarPair, left: str, right: str) -> str:
    lines = left.split("\n"), right.split("\n")
    bare = [[_bare(line) for line in side] for side in lines]
    rows = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, *bare, autojunk=False).get_opcodes():
        for place in range(max(i2 - i1, j2 - j1)):
            one = lines[0][i1 + place] if i1 + place < i2 else ""
            other = lines[1][j1 + place] if j1 + place < j2 else ""
            kind = "" if tag != "equal" or not one.strip() else "same" if one.strip() == other.strip() else "alike"
            rows.append(f'<tr class="{kind}"><td>{escape(one)}</td><td>{escape(other)}</td></tr>')
    return _table([escape(pair.first), escape(pair.second)], rows, "beside")


def _bare(line: str) -> str:
    """A line as it is compared: its tokens, or its words where it is none of Python's."""
    return " ".join(code_tokens(line.strip())) or " ".join(line.split())


def _student(course: Course, report: Report, student: str, folder: Path) -> str:
    """A student's name, as a link to the feedback where there is some."""
    pages = sorted((course.feedback / student / report.lab).glob("*.html"))
    if not pages:
        return escape(student)
    address = quote(os.path.relpath(pages[0], folder).replace(os.sep, "/"))
    return f'<a class="name" href="{address}">{escape(student)}</a>'


def _table(heads: list[str], rows: list[str], kind: str = "", caption: str = "") -> str:
    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in heads)
    title = f"<caption>{caption}</caption>" if caption else ""
    body = "\n".join(["<tbody>", *rows, "</tbody>"])
    return f'<div class="scroll"><table class="{kind}">{title}<thead><tr>{head}</tr></thead>{body}</table></div>'
