"""Rules for the code of check cells, so that a test gives no points for a wrong answer.

Each rule is a function from a `CheckCode` to the lines it objects to, and why. `CHECK_RULES` names them all.
The rules see forms, not meanings: what they cannot see, `autograder.proofs` tries out.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from autograder.authoring.check_code import CheckCode, is_raises, last_name, position
from autograder.authoring.lint_sides import SIDES_RULES

__all__ = ["CHECK_RULES", "CheckCode", "imported_modules", "is_assertion"]

Objection = tuple[int, str]

# Calls that check or prepare and return None, so that a cell may end in one of them.
_RETURN_NONE = ("not_imported", "seed_everything", "manual_seed")


def is_assertion(node: ast.AST) -> bool:
    """Whether a node checks something: assert, a call of assert_close and its like, or pytest.raises."""
    if isinstance(node, ast.Assert):
        return True
    return isinstance(node, ast.Call) and (last_name(node.func).startswith("assert_") or is_raises(node))


def imported_modules(tree: ast.AST) -> set[str]:
    """The modules that the code imports; ``from a import b`` counts as a and as a.b.

    Examples
    --------
    >>> sorted(imported_modules(ast.parse("import numpy as np; from factorkit import costs")))
    ['factorkit', 'factorkit.costs', 'numpy']
    """
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def _is_number(node: ast.AST) -> bool:
    operand = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(operand, ast.Constant) and isinstance(operand.value, int | float | complex)


def _measured_before(check: CheckCode, call: ast.Call, *, attributes: tuple[str, ...]) -> bool:
    """Whether the shape or the length of an argument was looked at before the call."""
    arguments = {ast.unparse(argument) for argument in call.args}
    for node in check.nodes(ast.Attribute, ast.Call):
        if position(node) >= position(call):
            continue
        if isinstance(node, ast.Attribute) and node.attr in attributes and ast.unparse(node.value) in arguments:
            return True
        is_len = isinstance(node, ast.Call) and ast.unparse(node.func) == "len"
        if is_len and any(ast.unparse(argument) in arguments for argument in node.args):
            return True
    return False


def _shape_first(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("allclose"):
        if any(_is_number(argument) for argument in call.args[:2]):
            yield (
                call.lineno,
                "allclose against a number is true of an empty array; use assert_close on the whole result",
            )
        elif not _measured_before(check, call, attributes=("shape", "size", "ndim")):
            remedy = "use torch.testing.assert_close or np.testing.assert_allclose(..., strict=True)"
            yield call.lineno, f"allclose broadcasts; {remedy}, or assert the shape before"


def _strict_shapes(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("assert_allclose", "assert_array_equal", "assert_equal", "assert_array_almost_equal"):
        if not ast.unparse(call.func).startswith(("np.testing.", "numpy.testing.")) or _is_strict(call):
            continue
        if not _measured_before(check, call, attributes=("shape", "size", "ndim")):
            yield call.lineno, "this broadcasts; write strict=True (with assert_allclose), or assert the shape before"


def _is_strict(call: ast.Call) -> bool:
    return any(
        keyword.arg == "strict" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in call.keywords
    )


def _zip_length(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("zip"):
        if not _is_strict(call) and not _measured_before(check, call, attributes=("shape",)):
            yield call.lineno, "zip stops at the shorter one, so an empty result passes; write strict=True"


def _if_raise(check: CheckCode) -> Iterator[Objection]:
    for node in check.nodes(ast.If):
        for statement in node.body:
            fails = isinstance(statement, ast.Raise) or (
                isinstance(statement, ast.Assert)
                and isinstance(statement.test, ast.Constant)
                and not statement.test.value
            )
            if fails:
                yield statement.lineno, "NaN passes `if error > tolerance: raise`; write `assert error <= tolerance`"


def _is_negated(test: ast.AST) -> bool:
    if isinstance(test, ast.UnaryOp):
        return isinstance(test.op, ast.Not)
    return isinstance(test, ast.Compare) and all(isinstance(op, ast.NotEq | ast.IsNot) for op in test.ops)


def _variables(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def _lone_negation(check: CheckCode) -> Iterator[Objection]:
    stored = {node.id for node in check.nodes(ast.Name) if isinstance(node.ctx, ast.Store)}
    positive: set[str] = set()
    negated: list[ast.Assert] = []
    for node in check.nodes(ast.Assert, ast.Call):
        if isinstance(node, ast.Assert) and _is_negated(node.test):
            negated.append(node)
        elif is_assertion(node):
            positive |= _variables(node.test if isinstance(node, ast.Assert) else node)
    for node in negated:
        if not (_variables(node.test) & stored & positive):
            yield node.lineno, "NaN and None pass a negated assertion; assert what is right about the value as well"


def _named_exception(check: CheckCode) -> Iterator[Objection]:
    for node in check.nodes(ast.Call):
        if not is_raises(node):
            continue
        expected = ast.unparse(node.args[0]) if node.args else ""
        if expected in ("Exception", "BaseException"):
            yield node.lineno, f"any mistake raises some {expected}; name the exception that is asked for"
        elif not any(keyword.arg == "match" for keyword in node.keywords):
            yield node.lineno, "say which words of the message are asked for: pytest.raises(ValueError, match=...)"
    for node in check.nodes(ast.ExceptHandler):
        caught = ast.unparse(node.type) if node.type else "everything"
        if caught in ("Exception", "BaseException", "everything"):
            yield node.lineno, f"this catches {caught}, a wrong answer's mistakes too; name the exception"


def _credit_is_float(check: CheckCode) -> Iterator[Objection]:
    last = check.tree.body[-1] if check.tree.body else None
    if not isinstance(last, ast.Expr):
        return
    name = last_name(last.value.func) if isinstance(last.value, ast.Call) else ""
    if name != "float" and name not in _RETURN_NONE and not name.startswith("assert"):
        yield last.lineno, "the last expression is the score; end in float(points earned), or assign the value"


def _no_type_of(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("type"):
        if isinstance(call.func, ast.Name) and len(call.args) == 1:
            yield call.lineno, "type(x) refuses what works as well; use isinstance(x, ...)"


def _no_magics(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("get_ipython"):
        yield call.lineno, "tests run without IPython too; write plain Python"


def _no_mock(check: CheckCode) -> Iterator[Objection]:
    for node in check.nodes(ast.Import, ast.ImportFrom, ast.Call):
        mocks = isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "patch",
            "setattr",
            "MonkeyPatch",
        )
        if mocks or any("mock" in module for module in imported_modules(node)):
            yield (
                node.lineno,
                "patching does not reach the student's process; pass what is to be replaced as an argument",
            )


def _no_classes(check: CheckCode) -> Iterator[Objection]:
    for node in check.nodes(ast.ClassDef):
        yield (
            node.lineno,
            f"class {node.name} would not reach the student's process, nor can it be a subclass of a student's class; "
            "write it in a locked cell",
        )


def _hidden_is_silent(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("print"):
        if call.lineno in check.hidden:
            yield (
                call.lineno,
                "a hidden test that prints shows itself in the feedback; put it in the assertion's message",
            )


CHECK_RULES: dict[str, Callable[[CheckCode], Iterator[Objection]]] = {
    "shape-first": _shape_first,
    "strict-shapes": _strict_shapes,
    "zip-strict": _zip_length,
    "if-raise": _if_raise,
    "lone-negation": _lone_negation,
    "named-exception": _named_exception,
    "credit-float": _credit_is_float,
    "type-of": _no_type_of,
    "magic": _no_magics,
    "mock": _no_mock,
    "class-in-check": _no_classes,
    "hidden-print": _hidden_is_silent,
    **SIDES_RULES,
}
