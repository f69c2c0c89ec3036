"""The text of cells: without IPython's own syntax where the checking process runs it, and as the student wrote it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from IPython.core.inputtransformer2 import TransformerManager

__all__ = ["has_command", "plain_source", "source_of"]


def plain_source(source: str) -> str:
    """The cell as plain Python: a magic becomes a call of ``get_ipython()``."""
    return TransformerManager().transform_cell(source)


def has_command(source: str) -> bool:
    """Whether the cell runs a shell command or is a cell magic: what it does is not for the checking process."""
    if source.lstrip().startswith("%%"):
        return True
    try:
        tree = ast.parse(plain_source(source))
    except SyntaxError:
        return False
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return bool(names & {"system", "getoutput"}) and "!" in source


def source_of(name: str, texts: Sequence[str]) -> str:
    """The definition of a function or class in the last of the texts that has it.

    Parameters
    ----------
    name : str
        ``function``, ``Class`` or ``Class.method``.
    texts : sequence of str
        The student's cells, in order.

    Raises
    ------
    OSError
        If there is none, as ``inspect.getsource`` does.
    """
    for text in reversed(texts):
        try:
            found: ast.AST | None = ast.parse(plain_source(text))
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        for part in name.split("."):
            body = getattr(found, "body", [])
            found = next((node for node in reversed(body) if getattr(node, "name", None) == part), None)
        if found is not None:
            lines = plain_source(text).split("\n")
            first = min([found.lineno, *(node.lineno for node in found.decorator_list)])  # type: ignore[attr-defined]
            return "\n".join(lines[first - 1 : found.end_lineno]) + "\n"  # type: ignore[attr-defined]
    raise OSError(f"the submission has no definition of {name}")
