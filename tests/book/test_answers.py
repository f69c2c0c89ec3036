"""The answers to the questionnaires and the front page's table, beside the chapters and labs that they are about."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
ANSWERS = BOOK / "appendix" / "questionnaire_answers.md"
LISTED = [
    chapter["file"] for part in yaml.safe_load((BOOK / "_toc.yml").read_text())["parts"] for chapter in part["chapters"]
]
CHAPTERS = [Path(file).name for file in LISTED if file.startswith("book/chapters/")]
LABS = [Path(file).name for file in LISTED if file.startswith("labs/")]
NUMBERED = re.compile(r"^(\d+)\. (.+(?:\n {3}.+)*)", flags=re.MULTILINE)


def chapter_text(name: str) -> str:
    return (BOOK / "chapters" / f"{name}.md").read_text()


def questions(text: str) -> list[str]:
    """The numbers of a chapter's questions."""
    asked = text.split("## Questionnaire\n")[1].split("\n## ")[0]
    return [number for number, _ in NUMBERED.findall(asked)]


def answers() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Title and numbered answers by the name of the chapter."""
    found = {}
    for section in ANSWERS.read_text().split("\n## ")[1:]:
        title, name = re.match(r"\[(.+)\]\(\.\./chapters/(\w+)\.md\)\n", section).groups()
        found[name] = title, NUMBERED.findall(section)
    return found


def test_chapters_come_in_the_order_of_the_table_of_contents():
    assert len(CHAPTERS) > 20
    assert list(answers()) == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_question_has_an_answer_and_none_is_left_over(name):
    asked = questions(chapter_text(name))
    assert len(asked) >= 5
    assert [number for number, _ in answers()[name][1]] == asked


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_answer_names_a_section_of_its_chapter(name):
    text = chapter_text(name)
    title, given = answers()[name]
    assert re.search(r"^# (.+)$", text, flags=re.MULTILINE)[1] == title
    headings = set(re.findall(r"^## (.+)$", text, flags=re.MULTILINE))
    named = [re.search(r"\*\(([^*]+)\)\*$", " ".join(answer.split())) for _, answer in given]
    assert all(named), given
    assert {section[1] for section in named} <= headings


def syllabus() -> list[list[str]]:
    """The cells of the front page's table of chapters."""
    rows = re.findall(r"^\| (\d+ \|.+) \|$", (BOOK / "index.md").read_text(), flags=re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def test_the_front_page_lists_every_chapter_in_order_after_what_it_needs():
    rows = syllabus()
    assert [re.search(r"chapters/(\w+)\.md", row[1])[1] for row in rows] == CHAPTERS
    assert [int(row[0]) for row in rows] == list(range(1, len(CHAPTERS) + 1))
    for row in rows:
        assert all(int(needed) < int(row[0]) for needed in re.findall(r"\d+", row[3]))


def test_the_front_page_lists_every_lab_with_its_own_minutes():
    minutes = {}
    for row in syllabus():
        for lab in re.findall(r"labs/(\w+)/", row[4]):
            first = lab not in minutes
            minutes.setdefault(lab, row[5])
            assert first or row[5] == "", "the minutes of a lab stand once, where it begins"
    assert list(minutes) == LABS
    for lab, printed in minutes.items():
        source = (ROOT / "solutions" / lab / f"{lab}.py").read_text()
        assert printed == re.search(r"^#     minutes: (\d+)$", source, flags=re.MULTILINE)[1], lab


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_links_the_lab_that_the_front_page_gives_it(name):
    (row,) = [row for row in syllabus() if f"chapters/{name}.md" in row[1]]
    assert [lab for lab in re.findall(r"labs/(\w+)/", row[4]) if f"labs/{lab}/" not in chapter_text(name)] == []


def test_the_citation_names_the_version():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)[1]
    assert f"Version {version}" in (BOOK / "index.md").read_text()
    assert f"## {version}" in (BOOK / "changelog.md").read_text()
