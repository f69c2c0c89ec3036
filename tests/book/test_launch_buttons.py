"""A page's buttons for Colab and Binder lead to notebooks that stand in the students' repository."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from autograder.authoring.chapters import chapter_files

ROOT = Path(__file__).parents[2]
CHAPTER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3}
---

# Ranks

See [this page](ranks.md), [the other](other.md) and {cite:t}`tai2016`.

```{code-cell} ipython3
1 + 1
```
"""
OPTIONS = {
    "repository_url": "https://github.com/you/your-labs",
    "repository_branch": "main",
    "launch_buttons": {
        "colab_url": "https://colab.research.google.com",
        "binderhub_url": "https://mybinder.org",
        "notebook_interface": "jupyterlab",
    },
}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("course")
    for folder, name in (("book/chapters", "ranks.md"), ("labs/lab", "lab.ipynb")):
        (root / folder).mkdir(parents=True)
        (root / folder / name).touch()
    (root / "book" / "chapters" / "ranks.md").write_text(CHAPTER)
    (root / "book" / "chapters" / "other.md").write_text("# Other\n\nNothing is executed here.\n")
    cells = [nbformat.v4.new_markdown_cell("# A lab"), nbformat.v4.new_code_cell("2")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "labs" / "lab" / "lab.ipynb")
    toc = "```{toctree}\nbook/chapters/ranks\nbook/chapters/other\nlabs/lab/lab\n```\n"
    (root / "index.md").write_text(f"# First\n\n{toc}")
    return root


@pytest.fixture(scope="module")
def pages(course) -> Path:
    settings = {
        "extensions": ["myst_nb", "notebook_downloads"],
        "html_theme": "sphinx_book_theme",
        "html_theme_options": OPTIONS,
        "nb_execution_mode": "off",
    }
    lines = [f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})"]
    lines += [f"{name} = {value!r}" for name, value in settings.items()]
    (course / "conf.py").write_text("\n".join(lines))
    build = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(course), str(course / "_build" / "html")]
    subprocess.run(build, check=True)
    return course / "_build" / "html"


@pytest.mark.parametrize("name", ["book/chapters/ranks", "labs/lab/lab"])
def test_buttons_open_the_notebook(pages, course, name):
    page = BeautifulSoup((pages / f"{name}.html").read_text(), "html.parser")
    links = {link.get_text(strip=True): link["href"] for link in page.select(".dropdown-launch-buttons a")}
    notebook = f"{name}.ipynb"
    assert links == {
        "Colab": f"https://colab.research.google.com/github/you/your-labs/blob/main/{notebook}",
        "Binder": f"https://mybinder.org/v2/gh/you/your-labs/main?urlpath=lab/tree/{notebook}",
    }
    assert notebook in chapter_files(course) or (course / notebook).is_file(), "it is in the students' kit"


def test_the_download_is_the_notebook_in_plain_words(pages, course):
    downloaded = nbformat.read(pages / "_sources" / "book" / "chapters" / "ranks.ipynb", 4)
    first, second = (cell.source for cell in downloaded.cells)
    assert first == "# Ranks\n\nSee [this page](ranks.md), [the other](other.md) and [tai2016]."
    assert second == "1 + 1"


def test_in_the_students_kit_chapters_link_notebooks_and_name_other_pages(course):
    (kept,) = chapter_files(course).values()
    source = nbformat.reads(kept.decode(), 4).cells[0].source
    assert "[this page](ranks.ipynb), the other (on the website) and" in source


def test_a_page_that_is_not_executed_has_no_buttons(pages):
    page = BeautifulSoup((pages / "book" / "chapters" / "other.html").read_text(), "html.parser")
    assert not page.select(".dropdown-launch-buttons")
