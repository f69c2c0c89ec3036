"""Which names a cell takes from the cells before it, read from its text alone."""

from __future__ import annotations

import ast
import dis
import types

from autograder.two_process.source import plain_source

__all__ = ["GLOBAL_READS", "needs"]

GLOBAL_READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS")
"""Instructions of a cell's code that read a name which may be global."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def needs(source: str) -> set[str]:
    """Names that a cell may read before it has surely bound them itself.

    Parameters
    ----------
    source : str
        Of a cell that compiles; of another one nothing is known, and nothing runs.

    Examples
    --------
    >>> sorted(needs("images = draw(3)\\nfor image in images:\\n    total = image.sum()\\nprint(total)"))
    ['draw', 'print', 'total']
    """
    try:
        tree = ast.parse(plain_source(source))
    except SyntaxError:
        return set()
    try:
        return _of_statements(tree.body, set())
    except SyntaxError:  # a return or an await that stands in no function: who knows
        return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _of_statements(statements: list[ast.stmt], bound: set[str]) -> set[str]:
    """What these read that is not bound; `bound` grows by what they bind in any case."""
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.With):
            for item in statement.items:
                found |= _reads(item.context_expr) - bound
                bound |= _stores(item.optional_vars)
            found |= _of_statements(statement.body, bound)
        elif isinstance(statement, ast.For):
            found |= _reads(statement.iter) - bound
            found |= _of_statements(statement.body, bound | _stores(statement.target))
            found |= _of_statements(statement.orelse, set(bound))
        elif isinstance(statement, ast.If):
            found |= _reads(statement.test) - bound
            found |= _of_statements(statement.body, set(bound)) | _of_statements(statement.orelse, set(bound))
        elif isinstance(statement, ast.Try):
            after = set(bound)
            found |= _of_statements(statement.body, after) | _of_statements(statement.orelse, after)
            for handler in statement.handlers:
                found |= _reads(handler.type) - bound if handler.type else set()
                found |= _of_statements(handler.body, bound | {handler.name or ""})
            found |= _of_statements(statement.finalbody, set(bound))
        elif not isinstance(statement, ast.Break | ast.Continue):  # these do not compile on their own
            found |= _reads(statement) - bound
            bound |= _bound_by(statement)
    return found


def _bound_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign):
        return set().union(*map(_stores, statement.targets))
    return _stores(statement.target) if isinstance(statement, ast.AnnAssign) and statement.value else set()


def _stores(target: ast.expr | None) -> set[str]:
    if isinstance(target, ast.Tuple | ast.List):
        return set().union(*map(_stores, target.elts))
    return {target.id} if isinstance(target, ast.Name) else set()


def _reads(node: ast.stmt | ast.expr) -> set[str]:
    """The global names that it may read, those of its own functions among them."""
    tree = ast.Expression(node) if isinstance(node, ast.expr) else ast.Module([node], [])
    return _global_reads(compile(tree, "<cell>", "eval" if isinstance(node, ast.expr) else "exec", dont_inherit=True))


def _global_reads(code: types.CodeType) -> set[str]:
    found = {step.argval for step in dis.get_instructions(code) if step.opname in GLOBAL_READS}
    return found.union(*(_global_reads(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)))
