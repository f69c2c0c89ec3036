"""What to write instead, where a test does what cannot cross between the two processes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from autograder.two_process.source import plain_source

__all__ = ["advice"]


def advice(source: str, error: BaseException, restructured: Iterable[str]) -> str:
    """A sentence for the author of a test that has failed, empty if the reason seems to be another one.

    Parameters
    ----------
    source : str
        The test cell.
    error : BaseException
    restructured : iterable of str
        Classes of the test's objects whose structure the student's code has changed in place.
    """
    for kind in restructured:
        return (
            f"the student's code has changed the structure of a {kind} of the test's in place: write "
            "`model = hand_over(model)` before the call, or use what the function returns"
        )
    try:
        tree = ast.parse(plain_source(source))
    except SyntaxError:
        return ""
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return next((words for applies, words in _ADVICE if applies(called, error)), "")


def _ends(*names: str) -> Callable[[set[str], BaseException], bool]:
    return lambda called, error: any(f".{name}".endswith(f".{end}") for name in called for end in names)


_ADVICE = (
    (
        _ends("mock.patch", "patch.object", "patch.dict", "monkeypatch.setattr"),
        "patching does not reach the student's process: let the function take what is to be replaced as an argument",
    ),
    (
        lambda called, error: "autograd.grad" in " ".join(called) and "not have been used" in str(error),
        "a student's parameters collect their gradients on loss.backward(): call that and read `.grad`",
    ),
)
