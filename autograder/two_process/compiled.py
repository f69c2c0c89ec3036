"""Cells as the checking process runs them: compiled once for a class, by the grader, and sent along."""

from __future__ import annotations

import ast
import base64
import functools
import marshal
import types

from autograder.two_process.source import plain_source

__all__ = ["TYPE_OF", "compile_cell", "compiled", "read_compiled"]

TYPE_OF = "__type_of__"
"""The name under which a cell finds what it takes for ``type``."""

Compiled = tuple[types.CodeType, types.CodeType | None, bool]


class _TypeOf(ast.NodeTransformer):
    """``type(x)`` gives what ``isinstance`` would say for a handle too."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1 and not node.keywords:
            node.func = ast.copy_location(ast.Name(TYPE_OF, ast.Load()), node.func)
        return node


def compile_cell(source: str, filename: str) -> Compiled:
    """A cell's statements, its last expression, and whether a notebook would show the value of that.

    Raises
    ------
    SyntaxError

    Examples
    --------
    >>> body, last, is_shown = compile_cell("x = 2\\nx + 1", "<cell>")
    >>> names = {}
    >>> exec(body, names)
    >>> eval(last, names), is_shown
    (3, True)
    """
    tree = ast.fix_missing_locations(_TypeOf().visit(ast.parse(plain_source(source), filename)))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = compile(ast.Expression(tree.body.pop().value), filename, "eval", dont_inherit=True)
    return compile(tree, filename, "exec", dont_inherit=True), last, not _is_quiet(source)


def _is_quiet(source: str) -> bool:
    lines = [line for line in source.rstrip().split("\n") if not line.lstrip().startswith("#")]
    return bool(lines) and lines[-1].rstrip().endswith(";")


@functools.lru_cache(maxsize=1000)
def compiled(source: str, filename: str) -> str | None:
    """A compiled cell as text; None if it does not compile, which then is for the checking process to say.

    Only the instructor's own cells may be given: they are the same for a class, and a parser can be brought down.
    """
    try:
        return base64.b64encode(marshal.dumps(compile_cell(source, filename))).decode()
    except Exception:
        return None


def read_compiled(text: str | None, source: str, filename: str) -> Compiled:
    """What `compiled` wrote, in a process of the same Python, or else the cell compiled here.

    Raises
    ------
    SyntaxError
    """
    return compile_cell(source, filename) if text is None else marshal.loads(base64.b64decode(text))
