"""Real kernels: for notebooks that need one, in the same sandbox, and reported."""

from __future__ import annotations

import json
import socket

import nbformat
import pytest

from autograder.journal import merged, read_journal
from autograder.sandbox.environment import data_cache
from autograder.sandbox.kernel import reason_for_kernel, run_in_kernel
from autograder.sandbox.limits import Limits

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
LIMITS = Limits(cell_seconds=20, notebook_seconds=90, memory_mb=1000, processes=100, file_mb=64)


def notebook_of(*cells, kernel=KERNEL):
    made = [nbformat.v4.new_code_cell(text, id=f"cell{index}") for index, text in enumerate(cells)]
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs cells in a kernel: the notebook with its outputs, status, message, and what was exceeded."""
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "cache"))

    def make(*cells, limits=LIMITS, files=None):
        notebook = notebook_of(*cells)
        with run_in_kernel(notebook, files or {}, limits, isolated=True, cache=data_cache()) as done:
            return *merged(notebook, read_journal(done.journal)), done.exceeded

    return make


@pytest.mark.parametrize(
    ("notebook", "reason"),
    [
        (notebook_of("x = 1"), None),
        (notebook_of("import ipywidgets as w"), "it uses ipywidgets"),
        (
            notebook_of("x = 1", kernel={"name": "ir", "display_name": "R", "language": "R"}),
            "its kernel 'ir' is not Python's",
        ),
        (notebook_of("x = 1", kernel={"name": "xeus", "display_name": "?"}), "its kernel 'xeus' is not Python's"),
    ],
)
def test_only_notebooks_that_need_a_kernel_get_one(notebook, reason):
    assert reason_for_kernel(notebook) == reason


def test_widgets_work(run):
    notebook, status, message, _ = run(
        "import ipywidgets\nslider = ipywidgets.IntSlider(value=3)\nslider", "print(slider.value)"
    )
    assert (status, message) == ("ok", "")
    assert "application/vnd.jupyter.widget-view+json" in notebook.cells[0].outputs[0].data
    assert text_of(notebook.cells[1]) == "3\n"


def test_the_sandbox_is_the_same(run, tmp_path):
    (tmp_path / "canary").write_text("secret")
    data = tmp_path / "data.txt"
    data.write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as server:
        look = (
            "import json, os, socket\nfound = []\n"
            f"found.append(os.path.exists({str(tmp_path / 'canary')!r}))\n"
            f"try:\n    socket.create_connection({server.getsockname()!r}, 2); found.append(True)\n"
            "except OSError:\n    found.append(False)\n"
            "try:\n    open('/usr/mine', 'w'); found.append(True)\nexcept OSError:\n    found.append(False)\n"
            "status = open('/proc/self/status').read()\nfound.append('CapEff:\\t0000000000000000' not in status)\n"
            "print(json.dumps([open('data.txt').read(), found]))"
        )
        notebook, status, _, _ = run(look, files={"data.txt": data})
    assert status == "ok" and json.loads(text_of(notebook.cells[0])) == ["mine", [False] * 4]


def test_memory_is_limited_too(run):
    bomb = "bomb = []\nwhile True:\n    bomb.append(b'x' * (1 << 20))"
    limits = Limits(cell_seconds=20, notebook_seconds=90, memory_mb=300)
    notebook, status, _, exceeded = run("x = 1", bomb, limits=limits)
    assert exceeded == "memory" and status != "ok"
    assert notebook.cells[1].outputs[-1].output_type == "error"
