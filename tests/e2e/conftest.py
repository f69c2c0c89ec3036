"""The built website and a browser, for the tests that open its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from autograder.commands.site import build_site
from autograder.course import Course

from ..autograder.pages import chromium


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the site, built once for all tests."""
    return build_site(Course.find(Path(__file__))).parent


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Browser]:
    """A browser for the tests of one file: two of Playwright's loops cannot run in one thread."""
    with chromium() as started:
        yield started
