"""The parsed code of a check cell, as the rules of the lint look at it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["CheckCode", "is_raises", "last_name", "position"]

# What a check may use without an import of its own, because some given cell of nearly every lab has it.
_NEVER_THEIRS = {"torch", "nn", "F", "np", "pd", "plt", "math", "pytest", "trusted_copy", "hand_over", "display"}


@dataclass(frozen=True)
class CheckCode:
    """The parsed code of one check cell.

    Attributes
    ----------
    tree : ast.Module
        The whole cell, hidden tests included.
    hidden : frozenset of int
        The lines that stand in hidden regions, counted from 1.
    given : frozenset of str
        The names that the lab's given cells define.
    """

    tree: ast.Module
    hidden: frozenset[int]
    given: frozenset[str] = frozenset()

    def nodes(self, *types: type[ast.AST]) -> Iterator[ast.AST]:
        """All nodes of the given types, in the order of the text."""
        found = (node for node in ast.walk(self.tree) if isinstance(node, types))
        return iter(sorted(found, key=position))

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """The calls of functions or methods of these names."""
        return (node for node in self.nodes(ast.Call) if last_name(node.func) in names)

    def students(self) -> set[str]:
        """The names that this cell calls or reads and that neither it, nor a given cell, nor Python defines."""
        stored = {node.id for node in self.nodes(ast.Name) if not isinstance(node.ctx, ast.Load)}
        stored |= {node.arg for node in self.nodes(ast.arg)}
        stored |= {node.name for node in self.nodes(ast.FunctionDef, ast.ClassDef)}
        for node in self.nodes(ast.Import, ast.ImportFrom):
            stored |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        loaded = {node.id for node in self.nodes(ast.Name) if isinstance(node.ctx, ast.Load)}
        return {name for name in loaded - stored - self.given - _NEVER_THEIRS if not hasattr(builtins, name)}

    def values_of(self, name: str) -> list[ast.AST]:
        """The expressions that this cell assigns to a name, by itself or among others."""
        found = []
        for node in self.nodes(ast.Assign):
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(names)
                pairs = zip(names, values, strict=False)
                found += [value for each, value in pairs if isinstance(each, ast.Name) and each.id == name]
        return found


def position(node: ast.AST) -> tuple[int, int]:
    """Where a node stands in the text."""
    return node.lineno, node.col_offset


def last_name(node: ast.AST) -> str:
    """The last part of a dotted name.

    Examples
    --------
    >>> last_name(ast.parse("np.testing.close").body[0].value)
    'close'
    """
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_raises(node: ast.AST) -> bool:
    """Whether a node is a call of ``pytest.raises``."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.raises", "raises")
