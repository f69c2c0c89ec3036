"""Cells that run in the real sandbox: both servers are started once for all of these tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autograder.jobs import JobResult
from autograder.sandbox.engine import Engine
from autograder.sandbox.limits import Limits

from .cells import QUICK, job_of


@pytest.fixture
def run(engine: Engine) -> Callable[..., JobResult]:
    """A function that runs some cells."""

    def make(*cells: str, limits: Limits = QUICK, files: dict | None = None) -> JobResult:
        return engine.run(job_of(*cells, limits=limits), limits, files or {}, {})

    return make
