"""Notebooks run in one process, as nbgrader runs them: the truth that two processes are held to.

``python plain.py`` reads notebooks as JSON, executes each, and writes what its cells showed.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import marshal
import os
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbgrader.utils import determine_grade

from autograder.jobs import JobCell

__all__ = ["one_process"]


def one_process(notebooks: Sequence[Sequence[JobCell]], *, forked: bool = False) -> list[dict[str, tuple[float, str]]]:
    """Execute notebooks, and return for each its test cells' scores as nbgrader gives them, and errors, by name.

    Each notebook has a namespace of its own; with `forked` also a process, for those that poison theirs.
    """
    texts = [[cell.source for cell in cells] for cells in notebooks]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *(["forked"] if forked else [])],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    shown = json.loads(done.stdout)
    graded = []
    for cells, each in zip(notebooks, shown, strict=True):
        assert each is not None, "the process of a notebook ended"
        found = {cell: _graded(cell, outputs) for cell, outputs in zip(cells, each, strict=True)}
        broken = {cell.name: error for cell, (_, error) in found.items() if cell.kind == "locked" and error}
        assert not broken, f"a locked cell fails: {broken}"
        graded.append({cell.name: result for cell, result in found.items() if cell.kind == "test"})
    return graded


def _graded(cell: JobCell, outputs: list[dict[str, Any]]) -> tuple[float, str]:
    made = nbformat.v4.new_code_cell(cell.source, outputs=[nbformat.v4.new_output(**output) for output in outputs])
    made.metadata["nbgrader"] = {
        "grade": True,
        "solution": False,
        "locked": True,
        "points": cell.points,
        "grade_id": cell.name,
        "cell_type": "code",
        "schema_version": 3,
    }
    errors = [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]
    try:
        return float(determine_grade(made)[0]), "; ".join(errors)
    except ValueError as error:  # more than the maximum: nbgrader gives up on the submission
        return 0.0, str(error)


def _compiled(source: str, name: str, shell: Any) -> tuple[Any, Any]:
    """The code of a cell, and that of its last expression if it ends in one."""
    try:
        text = shell.transform_cell(source)
        tree = ast.parse(text, name)
    except SyntaxError as error:
        return compile(f"raise SyntaxError({str(error)!r})", name, "exec"), None
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    return compile(tree, name, "exec"), None if last is None else compile(ast.Expression(last.value), name, "eval")


def _execute(body: Any, last: Any, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Execute a cell and return its outputs; uses little, for what it runs may have replaced anything."""
    out, err, outputs = io.StringIO(), io.StringIO(), []
    value = error = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            exec(body, namespace)
            if last is not None:
                value = eval(last, namespace)
    except BaseException as raised:  # as a kernel does
        error = raised
    for stream, text in (("stdout", out.getvalue()), ("stderr", err.getvalue())):
        if text:
            outputs.append({"output_type": "stream", "name": stream, "text": text})
    if error is not None:
        try:
            text = str(error)[:300]
        except BaseException:
            text = ""
        outputs.append({"output_type": "error", "ename": type(error).__name__, "evalue": text})
    elif value is not None:
        outputs.append({"output_type": "execute_result", "data": {"text/plain": repr(value)}, "execution_count": 1})
    return outputs


def _run(codes: list[tuple[Any, Any]], shell: Any) -> list[list[dict[str, Any]]]:
    """Execute a notebook in a namespace of its own."""
    module = types.ModuleType("__main__")
    module.__dict__["get_ipython"] = lambda: shell
    sys.modules["__main__"] = module
    return [_execute(body, last, module.__dict__) for body, last in codes]


def _run_forked(codes: list[tuple[Any, Any]], shell: Any) -> list[list[dict[str, Any]]] | None:
    """Execute a notebook in a child process; None if that ends early."""
    reads, writes = os.pipe()
    dumps, write, end = marshal.dumps, os.write, os._exit
    if (child := os.fork()) == 0:
        data = dumps(_run(codes, shell))
        while data:
            data = data[write(writes, data) :]
        end(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return marshal.loads(data) if data else None


def main() -> None:
    """Read notebooks from standard input, write their outputs to standard output."""
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    from IPython.core.interactiveshell import InteractiveShell

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            """No window opens here."""

    shell = Shell.instance()
    run = _run_forked if sys.argv[1:] else _run
    results = []
    for number, texts in enumerate(json.load(sys.stdin)):
        codes = [_compiled(text, f"<cell {number}.{place}>", shell) for place, text in enumerate(texts)]
        results.append(run(codes, shell))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
