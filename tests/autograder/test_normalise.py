"""Normalisation: what is not the student's to change has no effect, and is reported."""

from __future__ import annotations

import copy
import json
import time

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.authoring.release import release_notebook
from autograder.intake import Status, Submission
from autograder.normalise import normalise
from autograder.receiving.matching import MAX_OWN_CELLS

ANSWER_CELLS = ("double", "share", "why")


@pytest.fixture
def rebuild(source, tmp_path):
    """A function that normalises a notebook as if it was handed in."""

    def make(notebook):
        (tmp_path / "handed_in.ipynb").write_text(json.dumps(notebook))
        submission = Submission("student-001", "tiny", str(tmp_path), ("handed_in.ipynb",))
        return normalise(submission, {"tiny": source})

    return make


def kinds(result):
    return {(finding.kind, finding.cell) for finding in result.findings}


def cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def test_an_honest_notebook_is_the_source_with_the_answers(rebuild, answered, source, right):
    expected = copy.deepcopy(source)
    for name, text in right.items():
        cell(expected, name).source = text
    result = rebuild(answered(**right))
    assert result.notebooks["tiny"] == expected
    assert result.findings == () and result.problem is None


def test_a_blank_notebook_has_the_stubs_and_no_model_answer(rebuild, release):
    notebook = rebuild(release).notebooks["tiny"]
    for name in ANSWER_CELLS:
        assert cell(notebook, name).source == cell(release, name).source
    assert "hidden_limit" in cell(notebook, "check_share").source


def name_of(cell):
    return cell.get("id") or cell.metadata.nbgrader.grade_id


def edit(notebook, index, text):
    name = name_of(notebook.cells[index])
    if name not in ANSWER_CELLS and not name.startswith("free"):
        notebook.cells[index].source = text


def delete(notebook, index, _):
    if name_of(notebook.cells[index]) not in ANSWER_CELLS:
        del notebook.cells[index]


def duplicate(notebook, index, _):
    notebook.cells.insert((7 * index) % len(notebook.cells), copy.deepcopy(notebook.cells[index]))


def move(notebook, index, text):
    notebook.cells.insert(len(text) % len(notebook.cells), notebook.cells.pop(index))


def tag(notebook, index, _):
    notebook.cells[index].metadata["tags"] = ["skip-execution", "raises-exception"]


def raise_points(notebook, index, _):
    if "nbgrader" in notebook.cells[index].metadata:
        notebook.cells[index].metadata.nbgrader.update(points=100, grade=True, solution=True, locked=False)


def drop_metadata(notebook, index, _):
    notebook.cells[index].metadata.clear()


def drop_id(notebook, index, _):
    if "nbgrader" in notebook.cells[index].metadata:
        notebook.cells[index].pop("id", None)


def change_type(notebook, index, _):
    notebook.cells[index].cell_type = "markdown" if notebook.cells[index].cell_type == "code" else "code"


def forge_output(notebook, index, text):
    notebook.cells[index].outputs = [{"output_type": "execute_result", "data": {"text/plain": text}}]


def break_notebook_metadata(notebook, _, text):
    notebook.metadata = {"kernelspec": {"name": text}, "celltoolbar": text}


CHANGES = (
    edit,
    delete,
    duplicate,
    move,
    tag,
    raise_points,
    drop_metadata,
    drop_id,
    change_type,
    forge_output,
    break_notebook_metadata,
)
# What loses an id also loses the cell if the other name is lost too; one of the two at a time is survived.
STRIPPING = (drop_metadata, drop_id)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_of_the_labs_cells_reaches_the_graded_notebook(rebuild, answered, right, data):
    stripping = data.draw(st.sampled_from(STRIPPING))
    changes = [change for change in CHANGES if change not in STRIPPING or change is stripping]
    notebook = answered(**right)
    for change in data.draw(st.lists(st.sampled_from(changes), max_size=8)):
        if notebook.cells:
            change(notebook, data.draw(st.integers(0, len(notebook.cells) - 1)), data.draw(st.text(max_size=9)))
    assert rebuild(notebook).notebooks["tiny"] == rebuild(answered(**right)).notebooks["tiny"]


def test_each_change_is_reported(rebuild, answered, right):
    notebook = answered(**right)
    cell(notebook, "given_setup").source = "offset = 1"
    cell(notebook, "check_double").metadata.tags = ["skip-execution"]
    cell(notebook, "share").metadata.nbgrader.points = 50
    cell(notebook, "double").cell_type = "markdown"
    notebook.cells.remove(cell(notebook, "check_share"))
    notebook.cells.insert(0, notebook.cells.pop(notebook.cells.index(cell(notebook, "why"))))
    notebook.cells.append(copy.deepcopy(cell(notebook, "double")))
    own = nbformat.v4.new_code_cell("a = 1", metadata={"nbgrader": {"grade_id": "bonus", "grade": True, "points": 9}})
    notebook.cells.append(own)
    result = rebuild(notebook)
    assert kinds(result) == {
        ("edited", "given_setup"),
        ("tagged", "check_double"),
        ("metadata", "share"),
        ("type", "double"),
        ("deleted", "check_share"),
        ("moved", "why"),
        ("duplicated", "double"),
        ("unknown id", "bonus"),
    }
    assert sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in result.notebooks["tiny"].cells) == 10


def test_of_two_answers_the_last_counts_but_not_an_empty_copy(rebuild, answered, release, right):
    notebook = answered(**right)
    later = copy.deepcopy(cell(notebook, "share"))
    later.source = "def share():\n    return 3"
    notebook.cells += [later, copy.deepcopy(cell(release, "share"))]
    result = rebuild(notebook)
    assert cell(result.notebooks["tiny"], "share").source == later.source
    assert ("duplicated", "share") in kinds(result)


def test_a_missing_answer_is_a_blank_one(rebuild, answered, release, right):
    notebook = answered(**right)
    notebook.cells.remove(cell(notebook, "share"))
    result = rebuild(notebook)
    assert cell(result.notebooks["tiny"], "share").source == cell(release, "share").source
    assert kinds(result) == {("deleted", "share")}


def test_own_cells_stay_behind_their_neighbor_without_metadata(rebuild, answered, right):
    notebook = answered(**right)
    position = notebook.cells.index(cell(notebook, "double"))
    helper = nbformat.v4.new_code_cell("helper = 1", metadata={"tags": ["skip-execution"], "deletable": False})
    notebook.cells[position + 1 : position + 1] = [helper, nbformat.v4.new_markdown_cell("a note")]
    notebook.cells.insert(0, nbformat.v4.new_code_cell("first = 1"))
    notebook.cells.append(nbformat.v4.new_code_cell("  \n"))
    result = rebuild(notebook).notebooks["tiny"]
    sources = [cell.source for cell in result.cells]
    assert sources[0] == "first = 1"
    assert sources.index("helper = 1") == sources.index(right["double"]) + 1 == sources.index("a note") - 1
    assert sources[-1] == right["why"]  # an empty cell is left out
    assert all(not cell.metadata for cell in result.cells if cell.id.startswith("student-"))


def test_free_cells_are_the_students(rebuild, answered, right):
    notebook = answered(**right)
    free = next(cell for cell in notebook.cells if cell.id.startswith("free"))
    free.source = "print('mine')"
    result = rebuild(notebook)
    assert "print('mine')" in [cell.source for cell in result.notebooks["tiny"].cells] and result.findings == ()
    assert not any("a cell to play with" in cell.source for cell in result.notebooks["tiny"].cells)


def test_a_notebook_saved_without_ids_by_another_program_is_recognized(rebuild, answered, right):
    notebook = answered(**right)
    honest = rebuild(notebook).notebooks["tiny"]
    for each in notebook.cells:
        del each["id"]
    notebook.nbformat_minor = 4
    result = rebuild(notebook)
    assert result.notebooks["tiny"] == honest and result.findings == ()


def test_another_notebook_is_not_graded_as_blank(rebuild):
    result = rebuild(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('hello')")]))
    assert result.notebooks == {}
    assert result.problem.status is Status.TAMPERED
    assert "holds none of the 3 answer cells of tiny" in result.problem.message


def test_the_source_is_left_as_it_is(rebuild, source, answered, right):
    before = copy.deepcopy(source)
    rebuild(answered(**right))
    assert source == before and release_notebook(source) == release_notebook(before)


def test_the_format_before_2015_is_understood(rebuild, answered, right):
    honest = answered(**right)
    old = [
        {
            "cell_type": each.cell_type,
            "metadata": each.metadata,
            "input" if each.cell_type == "code" else "source": each.source.splitlines(keepends=True),
        }
        for each in honest.cells
    ]
    old.insert(0, {"cell_type": "heading", "level": 1, "source": "A heading", "metadata": {}})
    result = rebuild({"nbformat": 3, "worksheets": [{"cells": old[:4]}, {"cells": old[4:]}]})
    texts = [cell.source for cell in result.notebooks["tiny"].cells]
    assert texts == ["A heading", *[cell.source for cell in rebuild(honest).notebooks["tiny"].cells]]
    assert result.findings == ()


def test_metadata_that_was_removed_is_reported(rebuild, answered, right):
    notebook = answered(**right)
    cell(notebook, "check_double").metadata.clear()
    assert kinds(rebuild(notebook)) == {("metadata", "check_double")}


def test_ten_thousand_cells_are_cut_to_a_thousand_quickly(rebuild, answered, right):
    notebook = answered(**right)
    notebook.cells += [nbformat.v4.new_code_cell(f"a = {number}") for number in range(5_000)]
    notebook.cells += [copy.deepcopy(cell(notebook, "share")) for _ in range(5_000)]
    began = time.monotonic()
    result = rebuild(notebook)
    assert time.monotonic() - began < 5
    assert len(result.notebooks["tiny"].cells) == len(answered().cells) + MAX_OWN_CELLS
    assert kinds(result) == {("too many", "cells"), ("duplicated", "share")}


def test_the_instructors_notebook_goes_along(rebuild, answered, source):
    assert rebuild(answered()).references == {"tiny": source}
