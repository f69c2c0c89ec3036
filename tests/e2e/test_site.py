"""The built site, opened from its folder in a browser: complete, readable and without a network."""

import html
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jupytext
import pytest
import yaml
from playwright.sync_api import Browser, Page

from autograder.commands.site import build_site
from autograder.course import Course

from ..autograder.pages import needs_browser

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
DOCUMENTS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
GUIDE_WITH_AN_EXERCISE = "book/contributors/add_a_technique"
LABS = [name for name in DOCUMENTS if name.startswith("labs/")]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800), needs_browser]  # the first build takes minutes


@dataclass
class Visit:
    """What happened while a page was open, and what it held."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    formulas: list[dict] = field(default_factory=list)
    images: list[dict] = field(default_factory=list)
    title: str = ""
    width_when_narrow: int = 0
    cut_off: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def visits(browser: Browser) -> Iterator[dict[str, Visit]]:
    """Every page of the table of contents, opened once wide and once 400 pixels wide."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield {name: visit(context.new_page(), SITE / f"{name}.html") for name in DOCUMENTS}
    context.close()


FORMULAS = """() => [...document.querySelectorAll('.math')].map(formula => ({
    source: formula.textContent.slice(0, 60),
    drawn: [...formula.querySelectorAll('mjx-container svg')].some(svg => svg.getBoundingClientRect().width > 2),
    spoken: formula.querySelector('mjx-assistive-mml math') !== null,
    error: formula.querySelector('[data-mml-node="merror"]') !== null,
}))"""
IMAGES = """() => [...document.querySelectorAll('img')].map(image => ({
    source: image.getAttribute('src'), alt: image.getAttribute('alt'), pixels: image.naturalWidth,
}))"""
# Content that sticks out on the right and that no box of its own lets the reader scroll to.
CUT_OFF = """() => {
    const scrolls = box => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    const reachable = box => { for (; box; box = box.parentElement) if (scrolls(box)) return true; return false; };
    return [...document.querySelectorAll('main article *')]
        .filter(box => box.getBoundingClientRect().width && box.getBoundingClientRect().right > innerWidth + 1)
        .filter(box => !reachable(box.parentElement) && !box.closest('mjx-assistive-mml, .visually-hidden'))
        .map(box => box.outerHTML.slice(0, 80));
}"""


def visit(page: Page, path: Path) -> Visit:
    seen = Visit()
    page.on("console", lambda message: seen.console.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("requestfailed", lambda request: seen.failed.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    if page.locator(".math").count():
        page.evaluate("MathJax.startup.promise")
    for details in page.locator("article details").all():
        details.evaluate("box => box.open = true")
    seen.title = page.title()
    seen.formulas = page.evaluate(FORMULAS)
    seen.images = page.evaluate(IMAGES)
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(200)
    seen.width_when_narrow = page.evaluate("document.documentElement.scrollWidth")
    seen.cut_off = page.evaluate(CUT_OFF)
    page.close()
    return seen


@pytest.mark.parametrize("name", DOCUMENTS)
def test_page_opens_without_an_error(visits, name):
    assert visits[name].title
    assert visits[name].console == []
    assert visits[name].failed == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_request_leaves_the_folder(visits, name):
    assert visits[name].requests
    folder = SITE.as_uri()
    assert [url for url in visits[name].requests if not url.startswith((folder, "data:"))] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_formulas_are_drawn_and_spoken(visits, name):
    formulas = visits[name].formulas
    if "/chapters/" in name:
        assert len(formulas) > 10
    wrong = [f for f in formulas if f["error"] or not f["drawn"] or not f["spoken"]]
    assert wrong == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_image_is_shown_and_described(visits, name):
    images = visits[name].images
    if "/chapters/" in name:
        assert len([image for image in images if "_images/" in image["source"]]) >= 2
    for image in images:
        assert image["pixels"] > 0, image
        assert image["alt"] and len(image["alt"].split()) >= 2, image
        assert not re.search(r"\.(png|svg|jpe?g)$|_images/", image["alt"]), image


@pytest.mark.parametrize("name", DOCUMENTS)
def test_page_fits_a_phone(visits, name):
    assert visits[name].width_when_narrow <= 400
    assert visits[name].cut_off == []


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    """The address of the site on this machine, as a web server would publish it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", LABS)
def test_lab_can_be_downloaded_as_students_get_it(browser, server, name, tmp_path):
    page = browser.new_page(accept_downloads=True)
    page.goto(f"{server}/{name}.html")
    page.get_by_role("button", name="Download this page").first.click()
    with page.expect_download() as download:
        page.locator("a.btn-download-source-button").first.click()
    download.value.save_as(tmp_path / "lab.ipynb")
    page.close()
    assert download.value.suggested_filename == f"{Path(name).name}.ipynb"
    assert (tmp_path / "lab.ipynb").read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize("name", LABS)
def test_lab_is_beside_its_page_in_the_folder(browser, name):
    page = browser.new_page()
    page.goto((SITE / f"{name}.html").as_uri())
    target = page.locator("a.btn-download-source-button").first.evaluate("link => link.href")
    page.close()
    assert Path(target.removeprefix("file://")).read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


def test_dark_mode_can_be_chosen_and_read(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto((SITE / "book/chapters/convolution_cost.html").as_uri())
    brightness = """selector => {
        const style = getComputedStyle(document.querySelector(selector));
        const shade = color => Math.max(...color.match(/[\\d.]+/g).slice(0, 3).map(Number));
        return [shade(getComputedStyle(document.body).backgroundColor), shade(style.color)];
    }"""
    background, text = page.evaluate(brightness, "article p")
    assert background > 200 and text < 100
    for _ in range(3):  # automatic, light and dark take turns
        page.locator("button.theme-switch-button:visible").first.click()
        if page.locator("html").get_attribute("data-theme") == "dark":
            break
    background, text = page.evaluate(brightness, "article p")
    assert background < 60 and text > 150
    page.close()


def test_search_works_from_the_folder(browser):
    page = browser.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=depthwise")
    page.wait_for_selector("#search-results li a")
    links = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    page.close()
    assert any("depthwise_separable" in link for link in links)


def test_first_page_leads_to_the_book(browser):
    page = browser.new_page()
    page.goto((SITE / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    for link in ("students/getting_started", "instructors/getting_started", "chapters/why_factorize"):
        assert page.locator(f"article a[href^='{link}']").count()
    assert "CC-BY-4.0" in page.locator("footer.bd-footer-content").inner_text()
    page.close()


class RemoteParts(HTMLParser):
    """Collect what a page would load from elsewhere; links that a reader follows are no part of it."""

    LOADED = {"script", "link", "img", "iframe", "source", "video", "audio", "embed", "object"}

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.LOADED:
            values = [value or "" for key, value in attrs if key in ("src", "href", "data", "srcset", "poster")]
            self.found += [f"<{tag}> {value}" for value in values if value.startswith(("http:", "https:", "//"))]


def test_no_page_names_a_remote_part(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(DOCUMENTS)
    remote = {}
    for path in pages:
        text = path.read_text()
        parser = RemoteParts()
        parser.feed(text)
        found = parser.found + re.findall(r"https?://(?:unpkg|cdn)[\w.]*[^\s\"']*", text)
        if found:
            remote[path.relative_to(site).as_posix()] = found
    assert remote == {}
    styles = [path for path in site.rglob("*.css") if re.search(r"(@import|url\()\s*[\"']?https?:", path.read_text())]
    assert styles == []


def answers_and_hidden_tests() -> set[str]:
    """Lines that stand in a lab's source between solution or hidden-test markers, and nowhere in what students get."""
    lines = set()
    for source in (ROOT / "solutions").glob("*/*.py"):
        for cell in jupytext.read(source).cells:
            for region in re.findall(
                r"### BEGIN (?:SOLUTION|HIDDEN TESTS|MARK SCHEME)[^\n]*\n(.*?)### END", cell.source, re.DOTALL
            ):
                lines |= {line.strip() for line in region.splitlines() if len(line.strip()) >= 25}
    released = "\n".join((ROOT / f"{name}.ipynb").read_text() for name in LABS).replace('\\"', '"')
    return {line for line in lines if line not in released}


def test_the_site_holds_no_answer_and_no_hidden_test(site):
    secrets = answers_and_hidden_tests()
    assert len(secrets) > 20, "the labs have answers to look for"
    labs = [path for name in LABS for path in (site / f"{name}.html", site / "_sources" / f"{name}.ipynb")]
    for path in labs:
        text = path.read_text()
        text = html.unescape(re.sub(r"<[^>]*>", "", text)) if path.suffix == ".html" else text.replace('\\"', '"')
        assert [line for line in secrets if line in text] == [], path.name
    marks = re.compile(r"BEGIN SOLUTION|BEGIN HIDDEN TESTS|BEGIN MARK SCHEME")
    texts = [path for path in site.rglob("*") if path.suffix in {".html", ".ipynb", ".md", ".js", ".json", ".txt"}]
    leaks = {path.relative_to(site) for path in texts if marks.search(path.read_text(errors="ignore"))}
    # The contributor's guide shows a whole exercise, which is in no lab of the kit.
    assert {path.with_suffix("").as_posix().removeprefix("_sources/") for path in leaks} <= {GUIDE_WITH_AN_EXERCISE}
    assert not any("solutions" in path.relative_to(site).parts for path in site.rglob("*"))


def test_second_build_executes_nothing(site):
    build_site(Course.find(ROOT))
    assert not re.search(r"Executing notebook|^executed ", (ROOT / "_build" / "site.log").read_text(), re.MULTILINE)
