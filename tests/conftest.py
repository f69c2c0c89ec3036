"""Settings for the whole test run."""

import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

# One drawing of the data set for all tests, in the repository's own folder for built output; kernels inherit it.
os.environ.setdefault("FACTORKIT_CACHE", str(Path(__file__).parents[1] / "_build" / "test-cache"))
os.environ.setdefault("MPLBACKEND", "Agg")

# Tests that open the site, which takes minutes to build, stay with one worker.
SITE_TESTS = ("tests/e2e/test_site.py", "tests/e2e/test_site_quality.py", "tests/e2e/test_interactive.py")
SLOW_FIRST = ("site", "tests/e2e/", "tests/autograder/test_resume.py", "tests/labs/test_proofs.py")


def scope_of(nodeid: str) -> str:
    """What must stay with one worker: a file, all tests of the site, or the proofs of one lab."""
    file, _, name = nodeid.partition("::")
    if file in SITE_TESTS:
        return "site"
    if file == "tests/labs/test_proofs.py" and "[" in name:
        return f"{file}::{name.partition('[')[2].partition('-')[0]}"
    return file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no worker is left alone with it at the end."""

    def place(item: pytest.Item) -> int:
        scope = scope_of(item.nodeid)
        return next((n for n, start in enumerate(SLOW_FIRST) if scope.startswith(start)), len(SLOW_FIRST))

    items.sort(key=place)


class InScopes(LoadFileScheduling):
    """Give the workers scopes in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> InScopes | None:
    """Refine ``--dist loadfile``; other distributions stay as they are."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return InScopes(config, log)
