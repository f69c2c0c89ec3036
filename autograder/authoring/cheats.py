"""Generic wrong answers that a lab's tests must not reward.

Each cheat takes a right function and returns one that behaves like it where that is easy, and is wrong in a way that
careless tests let pass: it returns NaN, something empty, its own input, or an object that equals everything.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.authoring.names import targets

__all__ = ["CHEATS", "EqualsEverything", "Fit", "cheated", "fit_cheats"]


class EqualsEverything:
    """An object that is equal to, less and greater than everything, and whose parts and results are itself.

    Examples
    --------
    >>> thing = EqualsEverything()
    >>> thing == 3, abs(thing - 3) < 1e-6, thing.shape == (2, 3)
    (True, True, True)
    """

    __hash__ = None  # type: ignore[assignment]

    def _yes(self, *_: Any) -> bool:
        return True

    def _no(self, *_: Any) -> bool:
        return False

    def _itself(self, *_: Any, **__: Any) -> EqualsEverything:
        return self

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _yes  # type: ignore[assignment]
    __ne__ = _no  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _itself
    __floordiv__ = __mod__ = __pow__ = __matmul__ = __neg__ = __abs__ = __round__ = _itself
    __call__ = __getitem__ = _itself

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getattr__(self, name: str) -> EqualsEverything:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def _is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch for labs that do not use it."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def _like(value: Any, number: float) -> Any:
    """A value of the same structure and shapes, with `number` in each place that can hold it."""
    if _is_tensor(value):
        filled = value.detach().clone()
        return filled.fill_(number if value.is_floating_point() or math.isfinite(number) else 0)
    if isinstance(value, np.ndarray):
        return np.full_like(value, number if value.dtype.kind in "fc" or math.isfinite(number) else 0)
    if isinstance(value, dict):
        return {key: _like(item, number) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_like(item, number) for item in value)
    return number


def _zero_in_place(values: Any) -> None:
    """Set the arrays and lists of numbers among the arguments to zero."""
    for value in values:
        if _is_tensor(value):
            value.detach().zero_()
        elif isinstance(value, np.ndarray) and value.flags.writeable:
            value[...] = 0
        elif isinstance(value, list) and all(isinstance(item, int | float) for item in value):
            value[:] = [0] * len(value)


def _first(args: tuple[Any, ...], kwargs: dict[str, Any], skip: int) -> Any:
    return [*args, *kwargs.values()][skip]


def _constant(make: Callable[[], Any]) -> Callable[..., Any]:
    return lambda function, args, kwargs, skip: make()


def _nan_like(function: Callable[..., Any], args: Any, kwargs: Any, skip: int) -> Any:
    return _like(function(*args, **kwargs), math.nan)


def _zeros(function: Callable[..., Any], args: Any, kwargs: Any, skip: int) -> Any:
    result = _like(function(*args, **kwargs), 0)
    _zero_in_place([*args, *kwargs.values()][skip:])
    return result


def _raises(function: Callable[..., Any], args: Any, kwargs: Any, skip: int) -> Any:
    raise ValueError("no answer")


def _empty_tensor() -> Any:
    import torch

    return torch.empty(0)


CHEATS: dict[str, Callable[..., Any]] = {
    "none": _constant(lambda: None),
    "nan": _constant(lambda: math.nan),
    "nan-like": _nan_like,
    "empty-list": _constant(list),
    "empty-array": _constant(lambda: np.empty(0)),
    "empty-tensor": _constant(_empty_tensor),
    "first-input": lambda function, args, kwargs, skip: _first(args, kwargs, skip),
    "zeros": _zeros,
    "equals-everything": _constant(EqualsEverything),
    "raise": _raises,
}


@dataclass(frozen=True)
class Fit:
    """How the cheats fit an exercise.

    Attributes
    ----------
    targets : tuple of str
        The functions and modules that they are put into; where there are none, the values it sets.
    cheats : tuple of str
        Those that apply.
    left_out : dict
        Those that do not, and classes that none can be put into, each with the reason.
    """

    targets: tuple[str, ...]
    cheats: tuple[str, ...]
    left_out: dict[str, str]


def fit_cheats(code: str) -> Fit:
    """Find the cheats for the code of an exercise.

    Examples
    --------
    >>> fit_cheats("def area(h, w): ...").targets
    ('area',)
    >>> fit_cheats("size = 3").left_out
    {'first-input': 'size takes no input', 'raise': 'size is a value, not called'}
    """
    found, left_out = targets(code)
    chosen = {name: kind for name, kind in found.items() if kind != "value"} or found
    kinds, names = set(chosen.values()), ", ".join(chosen)
    if not kinds:
        return Fit((), (), left_out or {"all": "the exercise defines nothing by name"})
    if kinds <= {"value", "function without inputs"}:
        left_out["first-input"] = f"{names} takes no input"
    if kinds == {"value"}:
        left_out["raise"] = f"{names} is a value, not called"
    return Fit(tuple(chosen), tuple(cheat for cheat in CHEATS if cheat not in left_out), left_out)


def cheated(name: str, target: Any) -> Any:
    """The target with a cheat in it: a function, the forward of a module class, or another value.

    Examples
    --------
    >>> cheated("first-input", lambda height, width: height * width)(2, 3)
    2
    >>> cheated("zeros", lambda values: sum(values))([1, 2])
    0
    """
    cheat = CHEATS[name]
    if inspect.isclass(target):
        target.forward = _wrapped(cheat, target.forward, skip=1)
        return target
    if inspect.isfunction(target):
        return _wrapped(cheat, target, skip=0)
    return cheat(lambda: target, (), {}, 0)


def _wrapped(cheat: Callable[..., Any], function: Callable[..., Any], skip: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return cheat(function, args, kwargs, skip)

    return wrapper
