"""The names in a lab's code: what a cell defines, what it uses, and where a cheat can be put."""

from __future__ import annotations

import ast
from dataclasses import dataclass

__all__ = ["Names", "names_in", "targets"]


@dataclass(frozen=True)
class Names:
    """The names that a piece of code defines at its top level, and all those it uses."""

    defined: frozenset[str]
    used: frozenset[str]


def names_in(code: str) -> Names:
    """Find the names of a piece of code.

    Examples
    --------
    >>> sorted(names_in("def area(h): return h * UNIT").used), sorted(names_in("a, b = 1, 2").defined)
    (['UNIT', 'h'], ['a', 'b'])
    """
    tree = ast.parse(code)
    definitions = ast.FunctionDef | ast.ClassDef
    defined = {node.name for node in tree.body if isinstance(node, definitions)}
    for node in tree.body:
        if not isinstance(node, definitions):
            defined |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return Names(frozenset(defined), frozenset(used))


def targets(code: str) -> tuple[dict[str, str], dict[str, str]]:
    """What a cheat can be put in: the names that a cell defines, and those that no cheat fits.

    Returns
    -------
    targets : dict
        Name to ``"function"``, ``"function without inputs"``, ``"module"`` or ``"value"``.
    left_out : dict
        Name to the reason.

    Examples
    --------
    >>> targets("def area(h, w): ...\\nclass Rectangle: ...")
    ({'area': 'function'}, {'Rectangle': 'class Rectangle has no forward'})
    """
    found: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            takes = (
                arguments.posonlyargs or arguments.args or arguments.kwonlyargs or arguments.vararg or arguments.kwarg
            )
            found[node.name] = "function" if takes else "function without inputs"
        elif isinstance(node, ast.ClassDef):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
            if "forward" in methods or any(ast.unparse(base).startswith("nn.") for base in node.bases):
                found[node.name] = "module"
            else:
                left_out[node.name] = f"class {node.name} has no forward"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: "value" for target in names for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found, left_out
