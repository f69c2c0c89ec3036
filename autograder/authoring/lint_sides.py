"""Rules for checks whose answers live in another process: what is compared, what is built, and on which side.

Each rule is a function from a `CheckCode` to the lines it objects to, and how to write them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from autograder.authoring.check_code import CheckCode, last_name, position

__all__ = ["SIDES_RULES"]

Objection = tuple[int, str]

_MAKERS = ("torch.", "np.", "numpy.")
_SEEDS = ("manual_seed", "seed_everything", "seed")
_DRAWS = {
    "torch": ("rand", "randn", "randint", "randperm", "normal", "rand_like", "randn_like"),
    "np.random": ("rand", "randn", "randint", "normal", "uniform", "choice", "permutation", "random"),
    "random": ("random", "randint", "choice", "shuffle", "uniform", "sample"),
}
_WALKS = ("parameters", "named_parameters", "buffers", "state_dict")


def _unparsed(node: ast.AST) -> str:
    return ast.unparse(node)


def _student_calls(check: CheckCode, tree: ast.AST) -> list[ast.Call]:
    """The calls in a tree whose function is a name of the student's."""
    students = check.students()
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in students]


def _is_students(check: CheckCode, node: ast.AST) -> bool:
    """Whether a value comes from a call of the student's code, or is the student's itself."""
    if isinstance(node, ast.Name):
        before = [value for value in check.values_of(node.id) if position(value) < position(node)]
        return node.id in check.students() or (bool(before) and _is_students(check, before[-1]))
    while isinstance(node, ast.Attribute | ast.Subscript) or _is_method_call(node):  # Net().eval().layers[0]
        node = node.func.value if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            return _is_students(check, node)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in check.students()


def _is_method_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


def _expected_first(check: CheckCode) -> Iterator[Objection]:
    """Rule 1: an array that the student's code has had in its hands is not what the expected value is made of."""
    handed: dict[str, tuple[int, int]] = {}
    for call in sorted(_student_calls(check, check.tree), key=position):
        for argument in call.args:
            made = isinstance(argument, ast.Name) and [_unparsed(value) for value in check.values_of(argument.id)]
            if made and all(text.startswith(_MAKERS) for text in made):
                handed.setdefault(argument.id, position(call))
    for node in check.nodes(ast.Assert, ast.Expr):
        students = {id(part) for call in _student_calls(check, node) for part in ast.walk(call)}
        for call in ast.walk(node):
            is_trusted = (
                isinstance(call, ast.Call)
                and id(call) not in students
                and _unparsed(call.func).startswith(("F.", "torch.nn.functional.", "torch.linalg.", "np.linalg."))
            )
            for argument in call.args if is_trusted else ():
                if isinstance(argument, ast.Name) and handed.get(argument.id, position(call)) < position(call):
                    yield (
                        call.lineno,
                        f"the answer may have changed {argument.id}; compute what is expected before the call, or pass "
                        f"{argument.id}.clone()",
                    )


def _seeded(check: CheckCode) -> Iterator[Objection]:
    """Rule 5: random numbers of a check follow from a seed that it sets itself."""
    seeds = [position(call) for call in check.calls(*_SEEDS)]
    for call in check.nodes(ast.Call):
        module, _, function = _unparsed(call.func).rpartition(".")
        seeded = any(word.arg == "generator" for word in call.keywords) or any(seed < position(call) for seed in seeds)
        if function in _DRAWS.get(module, ()) and not seeded:
            yield (
                call.lineno,
                f"{module}.{function} without a seed: call torch.manual_seed(...) before, in this cell",
            )


def _attributes(tree: ast.AST) -> list[ast.Attribute]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]


def _counted_copy(check: CheckCode) -> Iterator[Objection]:
    """Rule 7: a count of the student's network is the student's word."""
    remedy = "a class can lie about its parameters; count a trusted_copy(network, example), and score that copy too"
    for call in check.calls("profile_model", "parameters_to_vector"):
        if call.args and _is_students(check, call.args[0]):
            yield call.lineno, remedy
    for call in check.calls("sum", "len"):
        if last_name(call.func) == "sum" and not any(part.attr == "numel" for part in _attributes(call)):
            continue
        for walk in ast.walk(call):
            walks = isinstance(walk, ast.Call) and isinstance(walk.func, ast.Attribute) and walk.func.attr in _WALKS
            if walks and _is_students(check, walk.func.value):
                yield call.lineno, remedy


def _wrapped(check: CheckCode) -> Iterator[Objection]:
    for call in check.calls("Sequential", "ModuleList", "ModuleDict"):
        if any(_is_students(check, argument) for argument in call.args):
            yield (
                call.lineno,
                f"{last_name(call.func)} cannot look into a network of the student's process; give it a "
                "trusted_copy(network, example)",
            )


def _derivatives(check: CheckCode) -> Iterator[Objection]:
    for call in check.nodes(ast.Call):
        name = _unparsed(call.func)
        functional = isinstance(call.func, ast.Attribute | ast.Name) and (
            name.startswith(("torch.func.", "torch.vmap", "func.")) or name == "vmap"
        )
        if functional and any(_is_students(check, argument) for argument in call.args):
            yield call.lineno, f"{name} needs the function itself; give it a trusted_copy(module, example)"
        if last_name(call.func) != "grad" or not call.args or not name.startswith(("torch.autograd", "autograd")):
            continue
        if any(word.arg == "create_graph" for word in call.keywords) and _student_calls(check, call.args[0]):
            yield call.lineno, "a second derivative needs the function itself; use a trusted_copy(module, example)"
        elif any(
            isinstance(walk, ast.Call) and last_name(walk.func) == "parameters" and _is_students(check, walk.func.value)
            for argument in call.args[1:]
            for walk in ast.walk(argument)
        ):
            yield call.lineno, "the parameters' gradients are there after loss.backward(); read their .grad"


def _handed_over(check: CheckCode) -> Iterator[Objection]:
    for statement in check.nodes(ast.Expr):
        call = statement.value
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in check.students()):
            continue
        for argument in call.args:
            name = argument.id if isinstance(argument, ast.Name) else ""
            made = any(_unparsed(value).startswith("nn.") for value in check.values_of(name))
            walked = any(
                isinstance(node.value, ast.Name) and node.value.id == name and position(node) > position(call)
                for node in check.nodes(ast.Subscript)
            )
            if made and walked:
                yield (
                    call.lineno,
                    f"{call.func.id} changes its own {name}: write {name} = hand_over({name}) before, or use what is "
                    "returned",
                )


SIDES_RULES: dict[str, Callable[[CheckCode], Iterator[Objection]]] = {
    "expected-first": _expected_first,
    "seed-first": _seeded,
    "count-copy": _counted_copy,
    "wrapped-network": _wrapped,
    "derivative": _derivatives,
    "hand-over": _handed_over,
}
