"""Feedback: students read what they need, and not one line of a hidden test; what they have written does not run."""

from __future__ import annotations

import base64
import html
import re

import nbformat
import pytest

from autograder.execute import Executed
from autograder.feedback import feedback, hidden_lines, student_view
from autograder.intake import Status, Submission
from autograder.pages.clean_html import clean_html, safe_markdown
from autograder.pages.exercises import exercises
from autograder.pages.feedback_page import MEANINGS
from autograder.pages.tex_math import mathml
from autograder.record import record, register_lab
from autograder.recording import events
from autograder.recording.gradebook import open_gradebook

from .graded import grade_class
from .pages import chromium, needs_browser, opened
from .scripts import SCRIPTS
from .small_course import HIDDEN, WRONG_SQ, make_course, nbgrader_metadata, source_notebook

SECRETS = ("secret_number", "the secret message", "hidden_limit")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def squeezed(text):
    return re.sub(r"\s+", "", text)


def page_text(path):
    page = re.sub(r"<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return squeezed(html.unescape(re.sub(r"<[^>]*>", "", page)))


@pytest.fixture
def graded(course, engine, hand_in):
    """A function that hands in answers, runs, records, and returns the feedback page's path."""

    def make(student="student-001", notebook=None, **answers):
        hand_in(student, notebook, **answers)
        grade_class(course, engine)
        return {page.student: page.path for page in feedback(course, "tiny")}[student]

    return make


def test_hidden_lines_are_those_that_stand_only_there(source):
    assert hidden_lines(source) == {
        "forsecret_numberin(17,23):",
        'assertdouble(secret_number)==34+12*(secret_number==23),"thesecretmessage"',
        "hidden_limit=1000",
        "assertgot<hidden_limit",
    }


def test_a_failed_hidden_test_is_named_and_not_shown(graded, right):
    page = graded(**{**right, "double": "def double(x):\n    print('asked for', x)\n    return 4"})
    text = page_text(page)
    assert not any(squeezed(secret) in text for secret in SECRETS)
    assert "askedfor17" not in text and "askedfor2" not in text  # what a function prints would show the hidden values
    assert squeezed("Exercise 1: double: a hidden test failed, 0 / 3 points") in text
    assert squeezed("Exercise 1: double, 3 points: a hidden test did not pass.") in text
    assert squeezed("4 of 10 points") in text
    assert squeezed("3 points wait for a person") in text


def test_an_error_in_a_hidden_test_says_its_name_only(graded, right):
    page = graded(
        **{**right, "share": "class Odd(int):\n    def __lt__(self, x):\n        return len(x)\nshare = lambda: Odd(3)"}
    )
    text = page_text(page)
    assert squeezed("a hidden test did not pass (it ended with ") in text
    assert not any(squeezed(secret) in text for secret in SECRETS)


@pytest.mark.parametrize(
    "double",
    [
        "def double(x):\n    if x == 2:\n        return 4\n    raise ValueError(f'asked {x * 1000 + 1}')",
        "def double(x):\n    if x == 2:\n        return 4\n    raise type(f'Asked{x * 1000 + 1}', (Exception,), {})()",
        "odd = type('Cell In[1], line 1', (Exception,), {})\n"
        "def double(x):\n    if x == 2:\n        return 4\n    raise odd(x * 1000 + 1)",
        "import sys\n\ndef double(x):\n    print(x * 1000 + 1, file=sys.stderr)\n    return 2 * x",
    ],
    ids=["message", "name", "name-like-a-traceback", "stderr"],
)
def test_the_values_of_a_hidden_test_do_not_get_out(graded, right, double):
    text = page_text(graded(**{**right, "double": double}))
    assert "17001" not in text and "23001" not in text


def test_a_failed_visible_test_is_shown_without_its_hidden_neighbors(graded, right):
    text = page_text(graded(**{**right, "double": "def double(x):\n    return 5"}))
    assert squeezed("Exercise 1: double: failed, 0 / 3 points") in text
    assert squeezed("expected 4, got 5") in text
    assert not any(squeezed(secret) in text for secret in SECRETS)


def test_a_visible_part_after_a_hidden_one_is_not_shown(course, engine, hand_in, right):
    path = course.source_file("tiny")
    after = '### END HIDDEN TESTS\nassert seen == [], f"expected none, got {seen}"\n\n# %%\nprint'
    path.write_text(path.read_text().replace("### END HIDDEN TESTS\n\n# %%\nprint", after))
    hand_in(
        "student-001", **{**right, "double": "seen = []\ndef double(x):\n    seen.append(x * 1000)\n    return 2 * x"}
    )
    [result] = grade_class(course, engine)
    [page] = feedback(course, "tiny")
    assert result.points["check_double"].score == 0
    assert "17000" not in page_text(page.path)


def test_partial_credit_is_shown_and_nothing_else_that_a_hidden_cell_ends_in(source):
    cell = next(cell for cell in source.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "check_share")
    for value, shown in (("2.5", True), ("4.0", True), ("17.0", False), ("'17'", False), ("1e0", False)):
        cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": value})]
        view = next(each for each in student_view(source).cells if each.id == cell.id)
        assert bool(view.outputs) is shown, value


def test_code_that_prints_the_hidden_tests_does_not_get_them_into_the_page(graded, answered, right):
    notebook = answered(**right)
    steal = "print(chr(10).join(In))\nfrom IPython.display import HTML\nHTML('<pre>' + chr(10).join(In) + '</pre>')"
    notebook.cells.append(nbformat.v4.new_code_cell(steal))
    text = page_text(graded(notebook=notebook))
    assert squeezed("def double(x)") in text
    for line in ("for secret_number in (17, 23):", "hidden_limit = 1000", "the secret message"):
        assert squeezed(line) not in text


def test_a_hint_stands_with_what_did_not_pass(course, engine, hand_in, right):
    path = course.source_file("tiny")
    hint = "# ## Exercise 1: double (3 points, 2 minutes)\n#\n# *Hint: a **sum** will do.*\n"
    path.write_text(path.read_text().replace("# ## Exercise 1: double (3 points, 2 minutes)\n", hint))
    hand_in("student-001", **right)
    hand_in("student-002", **{**right, "double": "def double(x):\n    return 5"})
    grade_class(course, engine)
    passed, failed = (page.path.read_text() for page in feedback(course, "tiny"))
    assert "<summary>Hint</summary><p>A <strong>sum</strong> will do.</p>" in failed
    assert "<summary>Hint</summary>" not in passed


def test_seconds_and_comments_of_a_person_are_shown(course, engine, hand_in, right):
    hand_in("student-001", **{**right, "double": "import time\ndef double(x):\n    time.sleep(0.4)\n    return 2 * x"})
    grade_class(course, engine)
    with open_gradebook(course) as gradebook:
        grade = gradebook.find_grade("why", "tiny", "tiny", "student-001")
        grade.manual_score = 2.5
        gradebook.find_comment(
            "why", "tiny", "tiny", "student-001"
        ).manual_comment = "Name *both* twos. <b onclick='x()'>"
        gradebook.db.commit()
    [page] = feedback(course, "tiny")
    text = page.path.read_text()
    assert "<strong>Comment</strong><p>Name <em>both</em> twos. <b>" in text
    assert "9.5 of 10 points" in text and "graded by a person" in text
    assert re.search(r'<td class="number">1\.[2-9] s</td>', text)  # three calls


def test_the_view_leaves_the_graded_notebook_alone(source):
    before = nbformat.writes(source)
    view = student_view(source)
    assert nbformat.writes(source) == before
    assert "# Hidden tests: the same questions with other values." in [
        line for cell in view.cells for line in cell.source.split("\n")
    ]
    assert "HIDDEN TESTS" not in nbformat.writes(view)


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (Status.MISSING, "nothing was handed in", "ask your instructor"),
        (Status.INVALID, "tiny.ipynb: not JSON <b>", "hand in the file"),
        (Status.TAMPERED, "holds none of the answer cells", "a fresh copy of the lab"),
    ],
)
def test_who_could_not_be_graded_reads_why_and_what_to_do(course, source, status, message, advice):
    register_lab(course, "tiny", {"tiny": source})
    events.append(course, record(course, Executed(Submission("student-001", "tiny", "/nowhere"), status, message)))
    [page] = feedback(course, "tiny")
    text = page.path.read_text(encoding="utf-8")
    assert page.path == course.feedback / "student-001" / "tiny" / "tiny.html"
    assert html.escape(message)[1:] in text and advice in text and MEANINGS[status] in text
    assert ("0 of 10 points" in text) is (status is not Status.MISSING)


def test_every_status_says_what_it_means():
    assert set(MEANINGS) == set(Status)


def test_a_lab_that_was_not_graded_has_no_feedback(course):
    assert feedback(course, "tiny") == []


def test_an_ordinary_course_with_two_notebooks_gets_a_page_for_each(tmp_path, engine):
    course = make_course(tmp_path / "course")
    second = source_notebook()
    second.cells[0].source = "# Cubes\n\n![a dot](img/dot.png) and ![elsewhere](https://example.org/a.png)"
    nbformat.write(second, course.source / "tiny" / "part2.ipynb")
    (course.source / "tiny" / "img").mkdir()
    (course.source / "tiny" / "img" / "dot.png").write_bytes(base64.b64decode(PIXEL))
    for name in ("tiny", "part2"):
        handed_in = source_notebook()
        for cell in handed_in.cells:
            cell.source = WRONG_SQ if cell.id == "sq" and name == "part2" else cell.source
        path = course.submitted / "ada" / "tiny" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(handed_in, path)
    grade_class(course, engine)
    pages = feedback(course, "tiny")
    assert [page.path.relative_to(course.feedback).as_posix() for page in pages] == [
        "ada/tiny/part2.html",
        "ada/tiny/tiny.html",
    ]
    wrong, right = (page.path.read_text() for page in pages)
    assert "<h1>Cubes</h1>" in wrong and "<h1>Squares</h1>" in right
    assert "Cubes: sq-test: a hidden test failed, 0 / 2 points" in wrong
    assert "Squares: sq-test: passed, 2 / 2 points" in right
    assert f'<img src="data:image/png;base64,{PIXEL}" alt="a dot">' in wrong and "<em>elsewhere</em>" in wrong
    assert HIDDEN not in wrong + right


def test_cells_are_named_by_the_exercise_above_them():
    make, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    graded = [nbgrader_metadata(name, 1, grade=True, locked=True) for name in ("a", "b", "c", "d")]
    cells = [
        make("# A lab"),
        make("## Exercise 1: *add* `two` (2 points, 3 minutes)\n\n```\n# no heading\n```\n**Hint:** count"),
        make("### What it is good for"),
        code("", metadata=graded[0]),
        make("## Reading"),
        code("", metadata=graded[1]),
        code("", metadata=graded[2]),
        make("## Exercise 9: faked", id="student-004"),
        code("", metadata=graded[3]),
    ]
    found = exercises({"lab": nbformat.v4.new_notebook(cells=cells)})
    assert [each.title for each in found] == ["Exercise 1: add two", "Reading: b", "Reading: c", "Reading: d"]
    assert found[0].hints == ("count",)


@needs_browser
@pytest.mark.browser
def test_nothing_of_a_students_runs_or_is_fetched(course, engine, hand_in, answered, right, tmp_path):
    notebook = answered(**{**right, "why": "\n\n".join(SCRIPTS)})
    show = "from IPython.display import HTML, Markdown, Javascript, SVG, Latex, display"
    for script in SCRIPTS:
        notebook.cells.append(nbformat.v4.new_code_cell(f"{show}\ndisplay(HTML({script!r}), Markdown({script!r}))"))
        notebook.cells.append(
            nbformat.v4.new_code_cell(f"{show}\ndisplay(Latex({script!r}), {{'image/png': {script!r}}}, raw=True)")
        )
        notebook.cells.append(nbformat.v4.new_markdown_cell(script))
    notebook.cells.append(
        nbformat.v4.new_code_cell(
            f"{show}\ndisplay(Javascript('alert(1)'))\n"
            'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>\'))'
        )
    )
    notebook.cells.append(
        nbformat.v4.new_code_cell(
            "raise type('<img src=x onerror=alert(1)>', (Exception,), {})('<script>alert(1)</script>')"
        )
    )
    hand_in("student-001", notebook)
    grade_class(course, engine)
    [page] = feedback(course, "tiny")
    text = page.path.read_text()
    unguarded = tmp_path / "unguarded.html"  # cleaning alone must do, without the page's own policy
    unguarded.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text))
    assert "Content-Security-Policy" in text and "Content-Security-Policy" not in unguarded.read_text()
    with chromium() as browser:
        for path in (page.path, unguarded):
            with opened(browser, path) as seen:
                for link in seen.page.locator("main a[href]").all():
                    assert re.match(r"(https?|mailto):|#", link.get_attribute("href").strip()), link.get_attribute(
                        "href"
                    )
                seen.page.wait_for_timeout(300)
                assert seen.page.evaluate("window.hacked") is None
                assert (seen.dialogs, seen.leaves, seen.console) == ([], [], [])
                active = "script, iframe, object, embed, form, input, svg, link, base, main style, [onload], [onerror]"
                assert seen.page.locator(active).count() == 0


@needs_browser
@pytest.mark.browser
def test_the_page_can_be_read_on_a_telephone_and_formulas_are_drawn(course, engine, hand_in, right):
    formula = (
        r"Because $$\sum_{i=1}^n \frac{a_i}{b_i} = \begin{bmatrix} 1 & 2 \end{bmatrix}$$ and $x_1 \le 3$. "
        + "long" * 90
    )
    hand_in("student-001", **{**right, "why": formula, "double": "def double(x):\n    return " + "x + " * 80 + "0"})
    grade_class(course, engine)
    [page] = feedback(course, "tiny")
    with chromium() as browser, opened(browser, page.path) as seen:
        drawn = seen.page.evaluate("[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().width)")
        assert len(drawn) == 2 and min(drawn) > 20
        assert seen.leaves == [] and seen.console == []
        assert seen.cut_off_when_narrow() == []
        seen.page.emulate_media(media="print")
        assert seen.page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_survives_the_cleaning(script):
    for cleaned in (clean_html(script), safe_markdown(script)):
        tags = re.findall(r"<[^>]*>", cleaned)
        assert not [
            tag for tag in tags if re.match(r"</?(script|style|iframe|svg|object|embed|form|link|base|meta)", tag)
        ]
        assert not [tag for tag in tags if re.search(r"\son\w+=|javascript:|srcdoc|\sstyle=", tag, re.IGNORECASE)]


def test_what_is_too_long_to_be_cleaned_is_shown_as_text():
    assert clean_html("<div>" * 5_000).startswith("<pre>&lt;div&gt;")
    assert safe_markdown("<b>" * 5_000).startswith("<pre>&lt;b&gt;")


@pytest.mark.parametrize(
    "tex",
    [
        "x",
        r"\frac12",
        r"\sqrt[3]{x}",
        r"\left( \frac{a}{b} \right]",
        r"\hat{w}_{ij}^{\top}",
        r"\underbrace{a+b}_{c}",
        "f'(x)",
    ]
    + [
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\mathbb{R}^{n \times m}",
        r"50\,\% \ldots \quad \min_x",
    ],
)
def test_formulas_of_lab_texts_become_mathml(tex):
    assert mathml(tex).startswith("<math><semantics><mrow>")
    assert mathml(tex, display=True).count("<m") == mathml(tex, display=True).count("</m") + mathml(tex).count(
        "<mspace"
    )


@pytest.mark.parametrize(
    "tex", [r"\href{javascript:f()}{x}", r"\unknown", "{", "a_b_c", r"\begin{x}", "}" * 9, "{" * 99, "x" * 9999]
)
def test_other_formulas_stay_as_they_were_typed(tex):
    assert mathml(tex) == f"<code>{html.escape(tex)}</code>"
