"""Chapters as Jupyter notebooks, made from their text.

Pages are Markdown, which JupyterLab and Colab open as text. The notebook has the same cells without outputs; what only
the site's builder understands, such as citations and labels of equations, is put in plain words.
"""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode

__all__ = ["as_notebook", "chapter_files", "is_executed"]

ROLE_WITH_TEXT = re.compile(r"\{[a-z:]+\}`([^`<]+?)\s*<[^>`]+>`")
ROLE = re.compile(r"\{([a-z:]+)\}`([^`]+)`")
EQUATION_LABEL = re.compile(r"^(\$\$) \(([\w-]+)\)$", flags=re.MULTILINE)
FENCE = re.compile(r"^:{3,}.*$\n?", flags=re.MULTILINE)
DIRECTIVE = re.compile(r"^```\{([a-z-]+)\}.*\n(?::.*\n)*\n?((?:(?!```).*\n)*?)```$", flags=re.MULTILINE)
HEADINGS = {"exercise": "**Exercise.** ", "solution": "**Solution.** ", "solution-start": "**Solution.**"}
PREFIXES = re.compile(r"^(eq|fig|tab|sec)-")
WORDS = {"eq": "equation ", "numref": "the figure on ", "cite:t": "", "cite:p": ""}
LINK = re.compile(r"\[([^\[\]]+)\]\(((?:\.\./)?[\w/]+)\.md(?:#[\w-]+)?\)")


def as_notebook(text: str) -> NotebookNode:
    """A page as a notebook.

    Parameters
    ----------
    text : str
        MyST Markdown with jupytext's front matter.

    Examples
    --------
    >>> page = "---\\nkernelspec: {name: python3, display_name: Python 3}\\n---\\n\\n# A {cite:p}`tai2016`\\n"
    >>> as_notebook(page).cells[0].source
    '# A [tai2016]'
    """
    notebook = jupytext.reads(text, fmt="md:myst")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # the same text gives the same bytes
        if cell.cell_type == "markdown":
            cell.source = _plain(cell.source)
    notebook.metadata.pop("jupytext", None)
    return notebook


def chapter_files(root: Path) -> dict[str, bytes]:
    """The chapters of a book as notebooks with the data that they read, by their paths in the repository.

    Links between chapters lead to notebooks; of links to other pages, which are not among them, the words stay. A book
    without chapters has none.

    Parameters
    ----------
    root : Path
        Folder that holds ``book/chapters/``.
    """
    folder = root / "book" / "chapters"
    pages = {page.stem: page.read_text(encoding="utf-8") for page in sorted(folder.glob("*.md"))}
    executed = {name: text for name, text in pages.items() if is_executed(text)}

    def link(found: re.Match[str]) -> str:
        words, page = found.groups()
        return f"[{words}]({page}.ipynb)" if page in executed else f"{words} (on the website)"

    files = {}
    for name, text in executed.items():
        written = jupytext.writes(as_notebook(LINK.sub(link, text)), fmt="ipynb")
        files[f"book/chapters/{name}.ipynb"] = f"{written.rstrip()}\n".encode()
    for path in sorted((folder / "data").glob("*")) if files else []:
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files


def is_executed(page: str) -> bool:
    """Whether a page of the book has cells: its front matter is jupytext's."""
    return page.startswith("---") and "jupytext:" in page.split("---")[1]


def _plain(source: str) -> str:
    source = EQUATION_LABEL.sub(r"\1", source)
    source = ROLE_WITH_TEXT.sub(r"\1", source)
    source = ROLE.sub(_in_words, source)
    return DIRECTIVE.sub(_headed, FENCE.sub("", f"{source}\n")).strip()


def _headed(directive: re.Match[str]) -> str:
    name, content = directive.groups()
    return HEADINGS.get(name, "") + content.strip()


def _in_words(role: re.Match[str]) -> str:
    name, target = role.groups()
    if name.startswith("cite"):
        return f"[{target}]"
    if name in ("eq", "numref"):
        return WORDS[name] + PREFIXES.sub("", target).replace("-", " ")
    return target
