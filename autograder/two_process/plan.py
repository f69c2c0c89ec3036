"""Which name is whose, read from the instructor's text alone.

What a solution cell binds is the student's. A locked cell that reads such a name while it runs, or calls a locked
function that reads one later, is not run in the checking process, and what it binds becomes the student's too.
Imports in solution cells are the instructor's: a student who imports something else under the name changes nothing.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import json
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from autograder.jobs import Job, JobCell
from autograder.two_process.compiled import compiled
from autograder.two_process.needs import GLOBAL_READS, needs
from autograder.two_process.source import has_command, plain_source

__all__ = ["STUDENTS_MODULES", "Step", "plan", "read_steps", "checked_text", "written_steps"]

# Modules with a state of the whole process that students' code draws on: they are asked on the student's side.
STUDENTS_MODULES = ("matplotlib.pyplot", "pylab", "matplotlib.pylab")
# What gives data and no classes, takes a second to import, and is left out where no cell that is run uses it.
_ONLY_DATA = ("sklearn.datasets",)
_ANY_NAME = {"eval", "exec", "globals", "locals", "vars"}  # what reads names that stand nowhere
_INLINE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


@dataclass(frozen=True)
class Step:
    """What the checking process does at a cell.

    Attributes
    ----------
    cell : JobCell
    run : bool
        Whether the whole cell is run (a locked cell that needs nothing of the student's, or a test).
    theirs : frozenset of str
        The names that are the student's from here on.
    ours : frozenset of str
        The names that the instructor's text binds for the checking process, until here: never asked for.
    imports : tuple of str
        Import statements of the cell, to be executed where the cell is not run.
    is_used_later : bool
        Whether a test leaves something behind that a later cell may use.
    filename : str
        What tracebacks call the cell.
    compiled : str or None
        A cell that is run, as `autograder.two_process.compiled.compiled` gives it.
    """

    cell: JobCell
    run: bool
    theirs: frozenset[str]
    ours: frozenset[str]
    imports: tuple[str, ...]
    is_used_later: bool = False
    filename: str = ""
    compiled: str | None = None


@dataclass
class _Names:
    """What a cell does with names."""

    now: set[str] = field(default_factory=set)  # read while it runs
    later: dict[str, set[str]] = field(default_factory=dict)  # read when its functions are called
    binds: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)  # whose objects it changes
    imported: set[str] = field(default_factory=set)
    imports: tuple[str, ...] = ()
    command: bool = False


def plan(cells: Sequence[JobCell]) -> list[Step]:
    """What to do at each cell.

    Parameters
    ----------
    cells : sequence of JobCell
        Of solution cells only `reference` is read; cells that the student added have none and bind nothing.

    Examples
    --------
    >>> given = JobCell(0, "given", "locked", "import math")
    >>> answer = JobCell(1, "answer", "solution", "...", reference="def area(r): return math.pi * r**2")
    >>> test = JobCell(2, "test", "test", "assert area(0) == 0", points=1)
    >>> [(step.run, sorted(step.theirs)) for step in plan([given, answer, test])]
    [(True, []), (False, ['area']), (True, ['area'])]
    """
    theirs: set[str] = set()
    ours: set[str] = set()
    reads: dict[str, set[str]] = {}  # what functions of locked cells read when they are called
    modules: set[str] = set()
    steps = []
    left: list[set[str]] = []  # what a test may leave behind
    for count, cell in enumerate(cells, start=1):
        names = _scan("" if cell.kind == "extra" else cell.reference if cell.kind == "solution" else cell.source)
        hollow = set(theirs)  # theirs, and our functions that end up calling theirs
        while more := {name for name, used in reads.items() if used & hollow} - hollow:
            hollow |= more
        modules |= names.imported
        run = cell.kind == "test" or (cell.kind == "locked" and not names.now & hollow and not names.command)
        if cell.kind == "test":
            ours |= names.binds - theirs
        elif run:
            theirs -= names.binds
            ours |= names.binds | names.imported
            reads.update(names.later)
        else:
            theirs |= names.binds | (names.changes - modules)
            theirs -= names.imported - names.binds
            ours = (ours - theirs) | names.imported
        filename = f"<cell {count}: {cell.name}>"
        code = compiled(cell.source, filename) if run else None
        steps.append(Step(cell, run, frozenset(theirs), frozenset(ours), names.imports, False, filename, code))
        left.append((names.binds | names.imported | names.changes - modules - theirs) if cell.kind == "test" else set())
    needed = set().union(*reads.values())
    for number in reversed(range(len(steps))):
        if left[number] & needed:
            steps[number] = replace(steps[number], is_used_later=True)
        if steps[number].run:
            needed |= _needs(cells[number].source)
        elif not needed & _ANY_NAME:
            kept = [text for text in steps[number].imports if not (data := _data_names(text)) or data & needed]
            steps[number] = replace(steps[number], imports=tuple(kept))
    return steps


def checked_text(cells: Sequence[JobCell]) -> str:
    """What the checking process runs of a notebook."""
    return "\n".join(step.cell.source if step.run else "\n".join(step.imports) for step in plan(cells))


def written_steps(job: Job) -> bytes:
    """A job and its plan, for the process that checks: the same for a whole class, so it is not read there again."""
    steps = [
        [s.run, sorted(s.theirs), sorted(s.ours), s.imports, s.is_used_later, s.filename, s.compiled]
        for s in plan(job.cells)
    ]
    return json.dumps({"job": asdict(job), "steps": steps}).encode()


def read_steps(data: bytes) -> tuple[Job, list[Step]]:
    """What `written_steps` wrote."""
    content = json.loads(data)
    job = Job.from_values(content["job"])
    return job, [
        Step(cell, run, frozenset(theirs), frozenset(ours), tuple(imports), *rest)
        for cell, (run, theirs, ours, imports, *rest) in zip(job.cells, content["steps"], strict=True)
    ]


_needs = functools.lru_cache(maxsize=1000)(needs)


@functools.lru_cache(maxsize=1000)
def _data_names(statement: str) -> frozenset[str]:
    """The names that an import takes from a module that only gives data; empty for any other."""
    [node] = ast.parse(statement).body
    if not isinstance(node, ast.ImportFrom) or node.module not in _ONLY_DATA or node.names[0].name == "*":
        return frozenset()
    return frozenset(alias.asname or alias.name for alias in node.names)


@functools.lru_cache(maxsize=1000)
def _scan(source: str) -> _Names:
    names = _Names(command=has_command(source))
    try:
        tree = ast.parse(plain_source(source))
        code = compile(tree, "<cell>", "exec", dont_inherit=True)
    except SyntaxError:
        return _Names(command=True)
    _walk_code(code, names, deferred=False, owner=None)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = [node for node in nodes if not _modules(node) & set(STUDENTS_MODULES)]
    asked = {(a.asname or a.name).partition(".")[0] for node in nodes if node not in ours for a in node.names}
    outside = [node for node in ours if _is_outside(tree, node)]
    names.imports = tuple(map(ast.unparse, outside))
    names.imported = {(a.asname or a.name).partition(".")[0] for node in outside for a in node.names}
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names.binds -= (names.imported | asked) - assigned - defined
    for statement in tree.body:
        _find_changes(statement, names.changes)
    return names


def _walk_code(code: types.CodeType, names: _Names, *, deferred: bool, owner: str | None) -> None:
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in GLOBAL_READS:
            (names.later.setdefault(owner or "", set()) if deferred else names.now).add(name)
        if (owner is None and instruction.opname == "STORE_NAME") or instruction.opname == "STORE_GLOBAL":
            names.binds.add(name)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inline = constant.co_name in _INLINE or not constant.co_flags & inspect.CO_OPTIMIZED
            _walk_code(constant, names, deferred=deferred or not inline, owner=owner or constant.co_name)


def _modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}


def _is_outside(tree: ast.Module, node: ast.stmt) -> bool:
    """Whether an import stands outside functions and classes, and for sure is executed."""
    return any(statement is node for statement in tree.body)


def _find_changes(node: ast.AST, found: set[str]) -> None:
    """Names whose objects a statement changes: what it stores into, and methods called for their effect."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        found |= _root(node)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        found |= _root(node.value.func)
    for child in ast.iter_child_nodes(node):
        _find_changes(child, found)


def _root(node: ast.AST) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
