"""Opening pages in a browser and watching what they do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run --no-default-browser-check"
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="no Chromium: install the system's chromium package"
)

# Content that sticks out on the right and that no box of its own lets the reader scroll to.
CUT_OFF = """() => {
    const scrolls = box => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    const reachable = box => { for (; box; box = box.parentElement) if (scrolls(box)) return true; return false; };
    return [...document.querySelectorAll('body *')]
        .filter(box => box.getBoundingClientRect().width && box.getBoundingClientRect().right > innerWidth + 1)
        .filter(box => !reachable(box.parentElement))
        .map(box => box.outerHTML.slice(0, 80));
}"""


@dataclass
class Opened:
    """A page in the browser, and what has happened since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def leaves(self) -> list[str]:
        """Requests for anything but the page itself and what it contains."""
        return [url for url in self.requests if not url.startswith("data:")][1:]

    def cut_off_when_narrow(self) -> list[str]:
        """What cannot be read on a telephone."""
        self.page.set_viewport_size({"width": 380, "height": 800})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        return self.page.evaluate(CUT_OFF) + ([f"the page is {wide} pixels wide"] if wide > 381 else [])


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    assert CHROMIUM, "CI must have Chromium: these tests may not be skipped there"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, path: Path) -> Iterator[Opened]:
    """A page from a file, open and at rest, with its folds unfolded."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    seen = Opened(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.console.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(path.resolve().as_uri(), wait_until="load")
    for details in page.locator("details").all():
        details.evaluate("box => box.open = true")
    yield seen
    context.close()
