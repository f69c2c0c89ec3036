"""A profile as a tree of nested modules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from micronet_resources.reporting.columns import COLUMNS
from micronet_resources.reporting.layout import text_table

if TYPE_CHECKING:
    from micronet_resources.reporting.views import Views

__all__ = ["draw_tree"]

SUMS = ("params", "macs", "share")


@dataclass
class _Module:
    """A module with what it costs itself, if it has a row of its own in the profile, and what it contains."""

    own: dict[str, Any] | None = None
    children: dict[str, _Module] = field(default_factory=dict)

    def total(self, name: str) -> Any:
        own = self.own[name] if self.own else 0
        return own + sum(child.total(name) for child in self.children.values())

    def layers(self) -> int:
        """How many layers are inside."""
        return sum((child.own is not None) + child.layers() for child in self.children.values())


class _Text(str):
    """A text that shows itself as it is, also where nobody prints it."""

    def __repr__(self) -> str:
        return str(self)


def draw_tree(profile: Views, depth: int | None = None) -> str:
    """Draw the modules of a profile as a tree, each with the sums of what it contains.

    Parameters
    ----------
    profile : ModelProfile
    depth : int, optional
        Levels to unfold; all by default.

    Raises
    ------
    ValueError
        If ``depth`` is not a positive integer.

    Examples
    --------
    >>> from torch import nn
    >>> from micronet_resources.profile import profile_model
    >>> block = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU())
    >>> draw_tree(profile_model(nn.Sequential(block, nn.Flatten(), nn.Linear(200, 10)), (3, 7, 7)))
    Sequential, input 3 x 7 x 7: 2,226 parameters, 7,400 MACs per example
      layer  kind     params   MACs    share
      --------------------------------------
      0                  216  5,400   73.0 %
      ├─ 0   Conv2d      216  5,400   73.0 %
      └─ 1   ReLU          0      0        -
      1      Flatten       0      0        -
      2      Linear    2,010  2,000   27.0 %
      --------------------------------------
      total            2,226  7,400  100.0 %
    """
    if depth is not None and (type(depth) is not int or depth < 1):
        raise ValueError(f"depth={depth!r}: give the number of levels to unfold, 1 or more.")
    root = _Module()
    for layer in profile._layer_values(measured=False):
        module = root
        for part in layer["name"].split("."):
            module = module.children.setdefault(part, _Module())
        module.own = layer
    share = "of score" if profile.layer_scores else "share"
    rows = [("layer", "kind", "params", "MACs", share)]
    for name, module in root.children.items():
        rows += _draw(name, module, "", "", depth)
    rows.append(("total", "", *_sums(root)))
    return _Text(f"{profile._title()}\n{text_table(rows, 'llrrr')}")


def _draw(name: str, module: _Module, first: str, rest: str, depth: int | None) -> Iterator[tuple[str, ...]]:
    """One row for a module and those of its children; ``first`` and ``rest`` are the branches to their left."""
    kind = module.own["kind"] if module.own else ""
    folded = depth == 1 and module.children
    if folded:
        kind = f"{kind} ({module.layers()} layers)".strip()
    yield (first + name, kind, *_sums(module))
    if folded:
        return
    children = list(module.children.items())
    if children and module.own and (module.own["params"] or module.own["macs"]):
        children.insert(0, ("(itself)", _Module(own=module.own)))
    for position, (child_name, child) in enumerate(children):
        last = position == len(children) - 1
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _draw(child_name, child, rest + branch, rest + below, depth and depth - 1)


def _sums(module: _Module) -> tuple[str, ...]:
    return tuple(COLUMNS[name].write(module.total(name)) for name in SUMS)
