"""The text of the book: its skeleton, its size, its figures, its citations and its table of contents."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import pytest
import yaml

from ..slide_numbers import SLIDE_NUMBERS

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PAGES = sorted(BOOK.rglob("*.md"))
CHAPTERS = sorted((BOOK / "chapters").glob("*.md"))
SKELETON = ("What you will be able to do", "The question", "Take-away", "Questionnaire", "Exercises")
# What MyST's other tools understand too, so that the sources are not tied to one builder.
DIRECTIVES = {
    *("code-cell", "exercise", "solution", "solution-start", "solution-end", "bibliography", "glossary"),
    *("grid", "grid-item-card", "note", "tip", "warning", "nb-exec-table", "include", "eval-rst"),
}
ROLES = {"eq", "numref", "cite:p", "cite:t"}


def by_name(path: Path) -> str:
    return path.relative_to(BOOK).as_posix()


def cells(chapter: Path) -> list:
    """The cells of a chapter; the line with options that jupytext leaves out of a cell is not part of its source."""
    return jupytext.read(chapter).cells


def code_cells(chapter: Path) -> list:
    return [cell for cell in cells(chapter) if cell.cell_type == "code"]


def figures(chapter: Path) -> Iterator:
    return (cell for cell in code_cells(chapter) if "figure" in cell.metadata.get("mystnb", {}))


def prose(markdown: str) -> str:
    """Markdown without what nobody reads as a word: displayed formulas, fences, options of directives, labels."""
    markdown = re.sub(r"^\$\$.*?^\$\$[^\n]*$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    markdown = re.sub(r"^(```|:::).*$", "", markdown, flags=re.MULTILINE)
    markdown = re.sub(r"^:\w+:.*$", "", markdown, flags=re.MULTILINE)
    return re.sub(r"\$[^$]*\$", "x", markdown)


def sentences(markdown: str) -> str:
    """The prose without headings, lists of table rows and empty lines."""
    lines = [line for line in prose(markdown).splitlines() if line.strip() and not line.startswith(("#", "|"))]
    return " ".join(lines)


def test_there_are_the_four_first_chapters():
    names = {path.stem for path in CHAPTERS}
    assert names >= {"why_factorize", "convolution_cost", "spatially_separable", "depthwise_separable"}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_chapter_has_the_skeleton_in_order(chapter):
    text = "\n".join(cell.source for cell in cells(chapter) if cell.cell_type == "markdown")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert [heading for heading in headings if heading in SKELETON] == list(SKELETON)
    assert headings[:2] == list(SKELETON[:2]) and headings[-3:] == list(SKELETON[-3:])
    assert len(headings) >= 8, "a chapter has sections of its own between the question and the take-away"
    assert re.match(r"# \S", text), "the first line of the text is the title"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_chapter_has_the_right_size(chapter):
    words = sum(len(prose(cell.source).split()) for cell in cells(chapter) if cell.cell_type == "markdown")
    assert 1200 <= words <= 2200
    assert len(code_cells(chapter)) <= 25
    long = [cell.source for cell in code_cells(chapter) if len(cell.source.splitlines()) > 15]
    assert long == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_every_code_cell_stands_between_sentences(chapter):
    found = cells(chapter)
    for index, cell in enumerate(found):
        if cell.cell_type != "code":
            continue
        for neighbor in (index - 1, index + 1):
            assert 0 <= neighbor < len(found) and found[neighbor].cell_type == "markdown", cell.source
            assert len(sentences(found[neighbor].source).split()) >= 6, cell.source


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_imports_stand_once_at_the_top(chapter):
    first, *others = code_cells(chapter)
    assert first.source.startswith(("import", "from"))
    assert [cell.source for cell in others if re.search(r"^\s*(import|from) ", cell.source, re.MULTILINE)] == []


@pytest.mark.parametrize("page", [BOOK / "index.md", *CHAPTERS], ids=by_name)
def test_code_is_formatted_and_fits_the_page(page, tmp_path):
    """88 columns are what the page shows without a scroll bar."""
    notebook = tmp_path / "page.ipynb"
    jupytext.write(jupytext.read(page), notebook)
    for command in (
        ("format", "--check", "--line-length=88"),
        ("check", "--select=E,F,I,UP,B,SIM", "--line-length=88"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", command[0], "--isolated", *command[1:], str(notebook)],
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_chapter_checks_itself(chapter):
    assert sum("assert " in cell.source for cell in code_cells(chapter)) >= 5


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_every_figure_has_labels_a_caption_and_a_description(chapter):
    assert any(figures(chapter))
    for cell in code_cells(chapter):
        assert ("plt.show()" in cell.source) == ("figure" in cell.metadata.get("mystnb", {})), cell.source
    for cell in figures(chapter):
        options = cell.metadata["mystnb"]
        assert options["figure"]["name"].startswith("fig-")
        assert 2 <= len(options["figure"]["caption"].split()) <= 9, options["figure"]["caption"]
        assert len(options["image"]["alt"].split()) >= 12, "the alt text says what is to be seen"
        if "plt.subplots" in cell.source:
            assert "xlabel" in cell.source and "ylabel" in cell.source, cell.source


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_every_figure_is_read_in_the_text(chapter):
    text = chapter.read_text()
    for cell in figures(chapter):
        assert "{numref}`" + cell.metadata["mystnb"]["figure"]["name"] + "`" in text


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_questionnaire_and_exercises_are_complete(chapter):
    text = chapter.read_text()
    questions = text.split("## Questionnaire")[1].split("## Exercises")[0]
    assert 5 <= len(re.findall(r"^\d+\. ", questions, flags=re.MULTILINE)) <= 8
    exercises = re.findall(r"^:label: (\S+)$", text.split("## Exercises")[1], flags=re.MULTILINE)
    solutions = re.findall(r"^```\{solution(?:-start)?\} (\S+)\n:class: dropdown", text, flags=re.MULTILINE)
    assert exercises and exercises == solutions


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_page_is_portable_and_local(page):
    text = page.read_text()
    assert set(re.findall(r"^`{3,}\{([\w:-]+)\}|^:{3,}\{([\w:-]+)\}", text, flags=re.MULTILINE)) <= {
        pair for name in DIRECTIVES for pair in ((name, ""), ("", name))
    }
    assert set(re.findall(r"\{([\w:]+)\}`", text)) <= ROLES
    assert not re.search(r"<script|<iframe|<link|!\[[^\]]*\]\(http|^%\w|^!\w", text, flags=re.MULTILINE)
    assert max(len(line) for line in text.splitlines() if "alt:" not in line and "|" not in line) <= 120


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_spelling_is_american(page):
    british = r"\b\w*(colour|normalis|factoris|neighbour|optimis|generalis|labelled|centre)\w*"
    text = re.sub(r"`[^`\n]*`", "", page.read_text())  # names in code are what they are
    assert re.findall(british, text, flags=re.IGNORECASE) == []


def test_citations_and_bibliography_agree():
    cited = {number.source for number in SLIDE_NUMBERS} - {""}
    for page in PAGES:
        for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", page.read_text()):
            cited |= {key.strip() for key in keys.split(",")}
    for module in (ROOT / "factorkit").rglob("*.py"):
        for keys in re.findall(r":cite:[pt]:`([^`]+)`", module.read_text()):
            cited |= {key.strip() for key in keys.split(",")}
    entries = re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), flags=re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert cited == set(entries)


def test_table_of_contents_is_complete():
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    listed = [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    pages = {page.relative_to(ROOT).with_suffix("").as_posix() for page in PAGES}
    labs = {lab.relative_to(ROOT).with_suffix("").as_posix() for lab in (ROOT / "labs").glob("*/*.ipynb")}
    assert len(listed) == len(set(listed))
    assert set(listed) == pages | labs


def test_guides_name_only_commands_that_exist():
    from autograder.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    named = set()
    for page in PAGES:
        named |= set(re.findall(r"(?:^|`)autograder ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
    assert named
    assert named <= commands


def test_the_guide_for_instructors_names_every_status_and_command():
    from autograder.cli import app
    from autograder.intake import Status

    guide = (BOOK / "instructors" / "grading.md").read_text()
    assert [status for status in Status if f"| `{status}` |" not in guide] == []
    begin = (BOOK / "instructors" / "getting_started.md").read_text()
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert [name for name in commands - {"demo"} if f"autograder {name}" not in begin] == []


def test_the_guide_names_only_options_that_their_command_has():
    import click
    from typer.main import get_command

    from autograder.cli import app

    application = get_command(app)
    found = 0
    for page in PAGES:
        for name, rest in re.findall(r"(?:^|`)autograder ([a-z-]+)([^`\n]*)", page.read_text(), flags=re.MULTILINE):
            options = set(re.findall(r"(?<= )--[a-z-]+", rest))
            command = application.get_command(click.Context(application), name)
            known = {option for parameter in command.params for option in parameter.opts}
            assert options <= known, f"{page.name}: autograder {name}{rest}"
            found += len(options)
    assert found


def test_the_threat_model_names_tests_that_exist():
    text = (BOOK / "instructors" / "threat_model.md").read_text()
    named = set(re.findall(r"`(test_\w+\.py)`", text))
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(named) > 10
    assert named <= there
