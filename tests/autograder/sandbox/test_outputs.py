"""Outputs: what a notebook shows here is what nbclient would have kept of a real kernel."""

from __future__ import annotations

import json
import re
import warnings

import nbformat
import pytest
from nbclient import NotebookClient

from autograder.jobs import CellOutputs
from autograder.sandbox import results
from autograder.sandbox.limits import Limits

from .cells import errors, printed

CELLS = [
    "print('a'); import sys; print('b', file=sys.stderr); print('c')",
    "from IPython.display import display, HTML, clear_output, update_display\n"
    "display(HTML('<b>x</b>')); print('x'); display({'a':1}, 'z'); 3",
    "1/0",
    "def g():\n    raise ValueError('no')\ng()",
    "import matplotlib.pyplot as plt\nplt.plot([1,2,3]); plt.title('x'); print('plot')",
    "fig, ax = plt.subplots(); ax.bar([1,2],[3,4]); fig",
    "print('gone'); clear_output(); print('kept')",
    "print('gone'); clear_output(wait=True); print('kept')\nclear_output(wait=True)",
    "h = display('first', display_id='d1'); display('other')",
    "update_display('second', display_id='d1')\nNone",
    "import pandas as pd\npd.DataFrame({'a':[1,2],'b':['x','y']})",
    "for i in range(3): print(i, end='\\r')\nprint('abc\\bd')",
    "input('?')",
    "raise SystemExit(3)",
    "import warnings; warnings.warn('careful')",
    "%%capture c\nprint('captured')",
    "c.show(); _",
    "x = 5\nx;",
    "x",
    "_, __, Out[19]",
    "def f(:\n  pass",
    "!echo shell; echo err >&2",
    "%%bash\necho bash; echo berr >&2",
    "import logging; logging.warning('log')",
    "import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')",
    "undefined_name",
    "x = 1\nassert x == 2, 'message'",
    "import torch; torch.arange(3)",
    "plt.figure(); plt.imshow([[1,2],[3,4]]); plt.show(); print('after')",
    "__name__, __import__('sys').argv[:0]",
    "class K:\n    def __repr__(self): raise RuntimeError('bad repr')\nK()",
    "from tqdm import tqdm\n",
    "'end'",
    "import pickle\nclass A: pass\npickle.loads(pickle.dumps(A())).__class__.__module__",
    "%matplotlib inline\nplt.plot([3,1]);",
    "from IPython.display import JSON, SVG\ndisplay(JSON({'a':[1]}), metadata={'k':1}); display(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>'))",
    "raise KeyboardInterrupt",
    "e = ValueError('a'); raise RuntimeError('b') from e",
]


def comparable(output):
    """An output without addresses and the numbers in file names."""
    text = re.sub(r"0x[0-9a-f]+", "0x", json.dumps(output, sort_keys=True))
    return re.sub(r"ipykernel_\d+/\d+|\d+\.py", "FILE", text)


def test_outputs_are_those_of_a_kernel(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)  # with it a kernel leaves out what programs print
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    options = {"allow_errors": True, "coalesce_streams": True, "store_widget_state": False, "record_timing": False}
    client = NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}, **options)
    client.create_kernel_manager()
    client.km.transport, client.km.ip = "ipc", str(tmp_path / "s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own
        client.execute()
    result = run(*CELLS, limits=Limits())
    assert (result.status, result.message) == ("ok", "")
    ours = {cell.index: cell for cell in result.cells}
    for index, cell in enumerate(notebook.cells):
        if cell.source == "input('?')":  # its traceback shows the files of whoever refused
            assert [output["ename"] for output in ours[index].outputs] == [output.ename for output in cell.outputs]
            continue
        theirs = [comparable(output) for output in cell.outputs]
        assert [comparable(output) for output in ours[index].outputs] == theirs, cell.source
        assert ours[index].count == cell.execution_count


def test_what_programs_print_is_kept_with_their_cell(run):
    result = run("import subprocess; subprocess.run(['echo', 'direct']);", "import os; os.write(1, b'past Python\\n');")
    assert [printed(result, index) for index in (0, 1)] == ["direct\n", "past Python\n"]


def test_a_display_of_an_earlier_cell_can_be_changed(run):
    result = run(
        "from IPython.display import display\ndisplay('first', display_id='d')",
        "from IPython.display import update_display\nupdate_display('second', display_id='d')",
    )
    assert result.cells[0].outputs[0]["data"]["text/plain"] == "'second'"


def test_asking_for_input_is_an_error_of_the_cell(run):
    for question in ("input('?')", "import getpass; getpass.getpass()"):
        assert errors(run(question), 0) == ["StdinNotImplementedError"]


def test_leaving_python_is_an_error_of_the_cell(run):
    result = run("import sys; sys.exit(0)", "exit()", "print('still here')")
    assert errors(result, 0) == ["SystemExit"] and printed(result, 2) == "still here\n"


def test_magics_and_shells_work(run):
    result = run("%%bash\necho shell", "!echo line", "%time 1 + 1", "%%writefile note.txt\nkept", "!cat note.txt")
    assert [printed(result, index).strip() for index in (0, 1, 4)] == ["shell", "line", "kept"]


@pytest.mark.parametrize(
    "output",
    [
        None,
        [],
        {},
        {"output_type": "stream", "name": "stdin", "text": "x"},
        {"output_type": "stream", "name": "stdout"},
        {"output_type": "stream", "name": "stdout", "text": ["x"]},
        {"output_type": "error"},
        {"output_type": "display_data"},
        {"output_type": "display_data", "data": []},
        {"output_type": "update_display_data", "data": {}},
    ],
    ids=str,
)
def test_what_is_no_output_is_left_out(output):
    assert results.cell_outputs({"cell": 3, "outputs": [output]}) == CellOutputs(3, None)


def test_outputs_are_made_anew_from_parts_of_the_right_types():
    wild = {
        "output_type": "execute_result",
        "data": {"text/plain": "5", "image/png": 5, "application/json": {"a": 1}, "text/html": ["<b>", "</b>"]},
        "metadata": {"x": 1},
        "execution_count": "many",
        "more": "things",
    }
    [output] = results.cell_outputs({"cell": 0, "outputs": [wild]}).outputs
    data = {"text/plain": "5", "application/json": {"a": 1}, "text/html": ["<b>", "</b>"]}
    assert output == {"output_type": "execute_result", "data": data, "metadata": {"x": 1}, "execution_count": None}
