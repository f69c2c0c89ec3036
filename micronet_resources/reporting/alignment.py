"""Which layers of two networks stand for each other where their names only number them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["align"]

Layer = Mapping[str, Any]


@dataclass(slots=True)
class _Module:
    """A module: its own costs if it is a layer, and the modules inside."""

    layer: Layer | None = None
    children: dict[str, _Module] = field(default_factory=dict)

    @property
    def is_numbered(self) -> bool:
        return bool(self.children) and all(name.isdecimal() for name in self.children)


def align(before: Mapping[str, Layer], after: Mapping[str, Layer]) -> dict[str, str]:
    """Find the name in the first network of each layer and module of the second.

    Where both have modules that are only numbered, as in ``nn.Sequential``, and not as many, an inserted layer has
    moved all behind it: there, layers of the same kind and shape are paired in their order, if that finds more that are
    alike than the numbers do, and those that are left over are called new.

    Parameters
    ----------
    before, after : mapping of str to mapping
        ``kind``, ``params`` and ``output_shape`` of each layer, by its name, in the order of running.

    Examples
    --------
    >>> conv, relu = {"kind": "Conv2d", "params": 9, "output_shape": (3,)}, {"kind": "ReLU", "params": 0}
    >>> norm = {"kind": "BatchNorm2d", "params": 6, "output_shape": (3,)}
    >>> align({"0": conv, "1": relu}, {"0": conv, "1": norm, "2": relu})
    {'0': '0', '1': '1 (new)', '2': '1'}
    """
    names: dict[str, str] = {}
    _align(_tree(before), _tree(after), "", "", names)
    return names


def _tree(layers: Mapping[str, Layer]) -> _Module:
    root = _Module()
    for name, layer in layers.items():
        module = root
        for part in name.split("."):
            module = module.children.setdefault(part, _Module())
        module.layer = layer
    return root


def _align(before: _Module, after: _Module, first: str, second: str, names: dict[str, str]) -> None:
    """Name what is inside a pair of modules, whose names the prefixes ``first`` and ``second`` end."""
    is_shifted = before.is_numbered and after.is_numbered and len(before.children) != len(after.children)
    pairs = _pairs(before.children, after.children) if is_shifted else {name: name for name in after.children}
    for name, module in after.children.items():
        partner = pairs.get(name)
        names[second + name] = key = first + (f"{name} (new)" if partner is None else partner)
        twin = before.children.get(partner, _Module()) if partner is not None else _Module()
        _align(twin, module, f"{key}.", f"{second}{name}.", names)


def _pairs(before: Mapping[str, _Module], after: Mapping[str, _Module]) -> dict[str, str]:
    """Pair modules in their order so that as much as possible is alike; names of the second with those of the first."""
    first, second = list(before.values()), list(after.values())
    likeness = [[_likeness(one, other) for other in second] for one in first]
    best = _best_sums(likeness, len(first), len(second))
    pairs, i, j = {}, 0, 0
    names, others = list(before), list(after)
    same = sum(likeness[names.index(name)][j] for j, name in enumerate(others) if name in before)
    if best[0][0] <= same:
        return {name: name for name in others}
    while i < len(first) and j < len(second):
        if likeness[i][j] and best[i][j] == best[i + 1][j + 1] + likeness[i][j]:
            pairs[others[j]] = names[i]
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _best_sums(likeness: Sequence[Sequence[int]], rows: int, columns: int) -> list[list[int]]:
    """The largest sum of likeness that pairs from each place on can have."""
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + likeness[i][j])
    return best


def _likeness(one: _Module, other: _Module) -> int:
    """How much alike two modules are; 0 if they are not worth to be compared."""
    shapes, has_params = [], []
    for module in (one, other):
        layers = list(_layers(module))
        shapes.append(layers[-1].get("output_shape") if layers else None)
        has_params.append(any(layer["params"] for layer in layers))
    is_same_shape = shapes[0] == shapes[1]
    if one.layer and other.layer and one.layer["kind"] == other.layer["kind"]:
        return 4 + is_same_shape + (one.layer["params"] == other.layer["params"])
    if bool(one.children) and bool(other.children):
        return 3 + is_same_shape
    # A layer that became another one, or several, with the same task.
    is_replaced = bool(one.children) != bool(other.children)
    return int(is_replaced and is_same_shape and all(has_params))


def _layers(module: _Module) -> list[Layer]:
    own = [module.layer] if module.layer else []
    return own + [layer for child in module.children.values() for layer in _layers(child)]
