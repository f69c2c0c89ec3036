from pathlib import Path

import nbformat
import pytest
from nbgrader.utils import is_grade, is_locked, is_solution

from autograder.authoring.source import notebook_text, read_source, source_notebook
from autograder.errors import CourseError

TINY = Path(__file__).parent / "data" / "lab_tiny" / "lab_tiny.py"


def written(tmp_path: Path, text: str | bytes, name: str = "lab_bad") -> Path:
    path = tmp_path / name / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_source_is_read_with_its_front_matter_and_cells():
    lab = read_source(TINY)
    assert (lab.name, lab.minutes, lab.points, lab.not_imported) == ("lab_tiny", 12, 7, ("wave",))
    assert lab.title == "Rectangles: a lab to test the tools with"
    kinds = ["text", "given", "text", "exercise", "check", "free", "text", "exercise", "check", "text", "written"]
    assert [cell.kind for cell in lab.cells] == kinds
    check = lab.cell("check_areas")
    assert (check.name, check.points) == ("areas", 3)
    assert TINY.read_text().splitlines()[check.line - 1] == '# %% check="areas" points=3'
    assert lab.cell("area").solution.text == "surface = height * width\nreturn surface"
    with pytest.raises(KeyError, match="lab_tiny has no cell 'volume'; it has given_setup, area"):
        lab.cell("volume")


def test_the_source_notebook_carries_nbgrader_s_metadata():
    notebook = source_notebook(read_source(TINY))
    cells = {cell.id: cell for cell in notebook.cells}
    assert list(cells)[:6] == ["text-000", "given_setup", "text-002", "area", "check_area", "free-005"]
    flags = {name: (is_grade(cell), is_solution(cell), is_locked(cell)) for name, cell in cells.items()}
    assert flags["given_setup"] == (False, False, True)
    assert flags["area"] == (False, True, False)
    assert flags["check_area"] == (True, False, True)
    assert flags["mislead"] == (True, True, False)
    assert cells["check_area"].metadata.nbgrader.points == 2
    assert cells["text-000"].metadata == {"deletable": False, "editable": False}
    assert cells["free-005"].metadata == {}
    assert "jupytext" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.generated_from == "solutions/lab_tiny/lab_tiny.py"
    assert notebook.metadata.lab == {"title": read_source(TINY).title, "minutes": 12, "points": 7}


def test_the_same_source_gives_the_same_bytes(tmp_path):
    first = notebook_text(source_notebook(read_source(TINY)))
    crlf = written(tmp_path, TINY.read_bytes().replace(b"\n", b"\r\n"), "lab_tiny")
    assert notebook_text(source_notebook(read_source(crlf))) == first
    assert notebook_text(nbformat.reads(first, as_version=4)) == first
    assert first.endswith("}\n") and not first.endswith("\n\n")


ERRORS = {
    "unknown key": (
        '# %% check="area" points=2',
        '# %% check="area" points=2 weight=3',
        "unknown 'weight' in the header",
    ),
    "unknown word": ('# %% check="area" points=2', '# %% area check="area" points=2', "unknown 'area' in the header"),
    "two kinds": ('# %% given="setup"', '# %% given="setup" exercise="setup"', "its header names given and exercise"),
    "duplicate id": ('# %% exercise="areas"', '# %% exercise="area"', "id 'area' is taken by line 29"),
    "check without exercise": (
        'check="area" points=2',
        'check="volume" points=2',
        "check 'volume' has no exercise of that name before it; the exercises are 'area', 'areas'",
    ),
    "points missing": ('check="area" points=2', 'check="area"', "check 'area': points are missing; write points=2"),
    "points negative": ('check="area" points=2', 'check="area" points=-2', "points=-2 is not a number of at least 0"),
    "points a word": ('check="area" points=2', 'check="area" points="two"', "points='two' is not a number"),
    "points of an exercise": ('exercise="area"', 'exercise="area" points=2', "this cell is exercise"),
    "not a name": ('# %% given="setup"', '# %% given="set up"', "given='set up' is no name"),
    "markdown exercise": ('# %% given="setup"', '# %% [markdown] given="setup"', "given is for code cells"),
    "code written": ('# %% [markdown] written="mislead"', '# %% written="mislead"', "written is for .markdown. cells"),
    "raw cell": ('# %% given="setup"', "# %% [raw]", "a raw cell; a lab has code and .markdown. cells only"),
    "solution open": ('    ### END SOLUTION\n\n\n# %% check="area"', '# %% check="area"', "BEGIN SOLUTION without"),
    "hidden open": ("### END HIDDEN TESTS\n\n# %%\n", "# %%\n", "BEGIN HIDDEN TESTS without an END HIDDEN TESTS"),
    "scheme open": ("# ### BEGIN MARK SCHEME\n", "", "END MARK SCHEME without a BEGIN MARK SCHEME"),
    "region misplaced": ('UNIT = "cm"', "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS", "cannot stand in a given cell"),
    "no solution": ("return surface\n    ### END SOLUTION", "return surface", "without an END"),
    "syntax": ("credit = 1.0", "credit = = 1.0", r"not plain Python \(invalid syntax\)"),
    "magic": ('UNIT = "cm"', "# %matplotlib inline", "not plain Python .*; labs use no magics"),
    "no front matter": ("# ---\n", "", "the front matter is missing"),
    "bad yaml": ("#   kernelspec: {", "#   kernelspec: {{", "the front matter is not YAML: .* line 3"),
    "no title": (
        '#     title: "Rectangles: a lab to test the tools with"\n',
        "",
        "the lab needs a title in quotes, got None",
    ),
    "no minutes": ("#     minutes: 12\n", "", "lab minutes must be a number of at least 0, got None"),
    "points not a number": ("#     points: 7", "#     points: many", "lab points must be a number .* got 'many'"),
    "lab key": (
        "#     points: 7",
        "#     points: 7\n#     author: nobody",
        "unknown lab key 'author'; the keys are title",
    ),
    "imports": ("[wave]", "wave", "not_imported must be a list of module names, got 'wave'"),
    "kernelspec": ("language: python, ", "", "the kernelspec needs name, display_name and language"),
    "code before cells": ("# %% [markdown]\n# # Rect", "x = 1\n# %% [markdown]\n# # Rect", "put nothing between"),
}


@pytest.mark.parametrize(("old", "new", "message"), ERRORS.values(), ids=ERRORS)
def test_a_bad_source_is_refused_with_file_and_line(tmp_path, old, new, message):
    text = TINY.read_text()
    assert old in text
    path = written(tmp_path, text.replace(old, new))
    with pytest.raises(CourseError, match=message) as caught:
        read_source(path)
    assert str(caught.value).startswith(str(path))


def test_the_line_named_is_the_line_that_is_wrong(tmp_path):
    text = TINY.read_text().replace("credit = 1.0", "credit = = 1.0")
    path = written(tmp_path, text)
    line = text.splitlines().index("credit = = 1.0") + 1
    with pytest.raises(CourseError, match=f"^{path}:{line}: not plain Python"):
        read_source(path)


def test_a_solution_cell_needs_exactly_one_region(tmp_path):
    text = TINY.read_text()
    start, stop = text.index("    ### BEGIN SOLUTION"), text.index("    ### END SOLUTION")
    path = written(tmp_path, text[:start] + "    return 1\n" + text[stop + len("    ### END SOLUTION") :])
    with pytest.raises(CourseError, match="exercise 'area' has 0 SOLUTION regions, expected one"):
        read_source(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(CourseError, match="no such lab source"):
        read_source(tmp_path / "lab" / "lab.py")
    with pytest.raises(CourseError, match="not UTF-8 at byte 2; save the file as UTF-8"):
        read_source(written(tmp_path, b"# \xff"))
    stray = tmp_path / "lab_a" / "lab_b.py"
    stray.parent.mkdir()
    stray.write_text(TINY.read_text())
    with pytest.raises(CourseError, match="folder and file share one name .* expected lab_a/lab_a.py"):
        read_source(stray)
