"""The built site as everybody should be able to use it: by any reader, on any screen, on paper, from a search."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree import ElementTree

import pytest
import yaml
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import BrowserContext, Page
from sphinx.application import Sphinx

from ..autograder.pages import needs_browser

ROOT = Path(__file__).parents[2]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
DOCUMENTS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
WIDTHS = (400, 768, 1280, 1600)
MEGABYTES = 1.5  # the heaviest page, without MathJax
SECONDS = 120  # for a page to open and to be checked, on a machine that is busy with other tests

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800), needs_browser]


@pytest.fixture(scope="module")
def context(browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(1000 * SECONDS)
    yield context
    context.close()


def open_page(context: BrowserContext, path: Path) -> Page:
    """A page with its formulas drawn and everything unfolded."""
    page = context.new_page()
    page.goto(path.as_uri(), wait_until="load")
    if page.locator(".math").count():
        page.evaluate("MathJax.startup.promise")
    page.evaluate("document.querySelectorAll('article details').forEach(box => box.open = true)")
    return page


# ---- Every page in the browser -------------------------------------------------------------------

# Formulas are drawings with MathML behind them, which test_site.py looks at; axe need not walk through their strokes.
# The colors of code and the list of pages at the side are the same everywhere: they are looked at on two pages.
EVERYWHERE = [["mjx-container"], [".highlight pre"], [".bd-sidebar-primary"]]
WHOLE = ("book/index", "book/chapters/svd")
AXE = """([exclude, options]) => axe.run({exclude}, {resultTypes: ['violations'], ...options}).then(found =>
    found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target} ${node.html.slice(0, 99)}`)))"""


@pytest.mark.parametrize("name", [*DOCUMENTS, "search"])
def test_page_has_no_barrier_and_fits_every_screen(context, site, name):
    page = open_page(context, site / f"{name}.html")
    page.evaluate(AXE_SCRIPT)
    barriers, exclude = {}, EVERYWHERE[:1] if name in WHOLE else EVERYWHERE
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):  # only colors differ
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        barriers[scheme] = page.evaluate(AXE, [exclude, rules])
    assert barriers == {"light": [], "dark": []}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_axe_finds_a_barrier_that_is_put_into_a_page(context, site):
    page = open_page(context, site / "book" / "bibliography.html")
    page.evaluate(AXE_SCRIPT)
    page.evaluate("document.querySelector('article').innerHTML += '<img src=x.png><button></button>'")
    found = page.evaluate(AXE, [EVERYWHERE, {}])
    page.close()
    assert {line.split(":")[0] for line in found} >= {"image-alt", "button-name"}


PRINTED = """() => {
    const seen = box => box.checkVisibility() && box.getBoundingClientRect().width > 1;
    const dark = color => Math.max(...color.match(/[\\d.]+/g).slice(0, 3).map(Number)) < 150;
    const all = selector => [...document.querySelectorAll(selector)];
    const links = all("article a[href]").filter(seen);
    return {
        besides: all('.bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .copybtn, .headerlink')
            .filter(seen).map(box => box.className),
        cut: all('article pre').filter(box => box.scrollWidth > box.clientWidth + 1)
            .map(box => box.innerText.slice(0, 60)),
        links: links.length,
        unreadable: links.filter(link => !dark(getComputedStyle(link).color)
            || !getComputedStyle(link).textDecorationLine.includes('underline'))
            .map(link => link.outerHTML.slice(0, 80)),
        text: dark(getComputedStyle(document.querySelector('article p')).color),
    };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["book/chapters/svd", "labs/lab01_convolutions/lab01_convolutions"])
def test_on_paper_stands_the_text_alone_and_all_of_it(context, site, name, scheme):
    page = open_page(context, site / f"{name}.html")
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 without margins
    page.emulate_media(media="print", color_scheme=scheme)
    for _ in range(20):
        printed = page.evaluate(PRINTED)
        if printed["text"]:
            break
        page.wait_for_timeout(250)  # colors change over a moment
    page.close()
    assert printed.pop("links") > 0 or not name.startswith("book/")
    assert printed == {"besides": [], "cut": [], "unreadable": [], "text": True}


TECHNIQUES = {
    "SVD": "svd",
    "low rank": "low_rank_convolutions",
    "Tai": "low_rank_convolutions",
    "Zhang": "low_rank_convolutions",
    "Tucker": "tucker",
    "CP": "cp",
    "VBMF": "choosing_ranks",
    "tensor train": "tensor_trains",
    "ADMM": "low_rank_sparse",
    "pruning": "pruning",
    "k-means": "clustering",
    "silhouette": "choosing_k",
    "weight sharing": "weight_sharing",
    "quantization": "weight_sharing",
    "dictionary": "dictionary_learning",
    "DCT": "double_sparsity",
    "separable": "spatially_separable",
    "depthwise": "depthwise_separable",
    "SqueezeNet": "squeezenet",
    "MobileNet": "mobilenet",
    "ResNeXt": "grouped_convolutions",
    "shuffle": "grouped_convolutions",
    "shift": "shift_attention",
    "attention": "shift_attention",
    "MicroNet": "micronet_challenge",
    "VGG-16": "vgg16_study",
}


@pytest.mark.parametrize("words", TECHNIQUES)
def test_search_finds_a_technique_by_its_name(context, site, words):
    page = context.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    page.wait_for_function("/found [0-9]+ page/.test(document.querySelector('.search-summary')?.textContent)")
    links = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    page.close()
    places = list(dict.fromkeys(link.split("#")[0].split("?")[0] for link in links))
    assert f"book/chapters/{TECHNIQUES[words]}.html" in places[:10], places


# ---- Files ---------------------------------------------------------------------------------------


class Parts(HTMLParser):
    """What a page links, loads and offers as the end of a link."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.properties: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value for key, value in attrs if value}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag == "meta" and "property" in values:
            self.properties[values["property"]] = values.get("content", "")
        for key in ("href", "src"):
            if key in values:
                (self.links if tag == "a" else self.loads).append(values[key])


@pytest.fixture(scope="module")
def parts(site) -> dict[Path, Parts]:
    """All pages of the site by their resolved path."""
    pages = {}
    for path in site.resolve().rglob("*.html"):
        if "_static" not in path.relative_to(site.resolve()).parts:
            pages[path] = Parts()
            pages[path].feed(path.read_text())
    assert len(pages) > len(DOCUMENTS)
    return pages


def target(page: Path, link: str) -> Path:
    place = unquote(urlsplit(link).path)
    return (page.parent / place).resolve() if place else page


def test_no_link_inside_the_site_is_dead(parts, site):
    dead = []
    for page, found in parts.items():
        for link in found.links + found.loads:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            end, anchor = target(page, link), unquote(urlsplit(link).fragment)
            missing = not end.exists() or (anchor and end in parts and anchor not in parts[end].anchors)
            if missing:
                dead.append(f"{page.relative_to(site.resolve())}: {link}")
    assert dead == []


def test_every_page_can_be_reached_in_the_order_of_reading(parts, site):
    """The buttons at the foot lead from the first page through all others."""
    page, read = site.resolve() / f"{TOC['root']}.html", []
    while True:
        read.append(page.relative_to(site.resolve()).with_suffix("").as_posix())
        following = re.search(r'<link rel="next"[^>]*href="([^"]+)"', page.read_text())
        if following is None:
            break
        page = target(page, following[1])
    assert read == DOCUMENTS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_page_is_light(parts, site, name):
    page = site.resolve() / f"{name}.html"
    files = {target(page, link) for link in parts[page].loads if not link.startswith("data:")} | {page}
    files = {file for file in files if file == page or file.suffix != ".html"}  # its neighbors are only named
    sizes = {file.name: file.stat().st_size for file in files if file.is_file() and "mathjax" not in file.parts}
    assert len(sizes) > 10
    assert sum(sizes.values()) < MEGABYTES * 1e6, sorted(sizes.items(), key=lambda item: -item[1])[:5]


def test_icons_of_the_pages_are_drawn(context, site):
    page = open_page(context, site / "book" / "chapters" / "svd.html")
    page.wait_for_selector("svg.svg-inline--fa", state="attached")
    empty = page.locator("svg[data-icon]").evaluate_all(
        "icons => icons.filter(icon => !icon.querySelector('path[d]')).map(icon => icon.dataset.icon)"
    )
    left = page.locator("i[class*='fa-']").evaluate_all("icons => icons.map(icon => icon.className)")
    unknown = page.locator("svg.svg-inline--fa[data-icon='question'], .fa-missing").count()
    page.close()
    assert (empty, left, unknown) == ([], [], 0)


# ---- Search engines and previews -----------------------------------------------------------------


def test_pages_describe_themselves_to_those_who_link_them(parts, site):
    descriptions = set()
    for name in DOCUMENTS:
        page = site.resolve() / f"{name}.html"
        properties = parts[page].properties
        assert properties["og:title"] and "<" not in properties["og:title"]
        assert len(properties["og:description"]) >= 40, name
        descriptions.add(properties["og:description"])
        assert "og:url" not in properties, "the site has no address yet"
        with Image.open(target(page, properties["og:image"])) as image:
            assert image.size == (1200, 630), "the size that services ask for"
    assert len(descriptions) >= 0.8 * len(DOCUMENTS)


def test_without_an_address_there_is_no_sitemap_and_with_one_there_is(site, tmp_path):
    """A sitemap needs whole addresses; a small site is built with one."""
    assert not (site / "sitemap.xml").exists()
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        (tmp_path / "index.md").write_text("# A *first* page\n\nWhat this page is about stands in its first lines.\n")
        settings = {"extensions": ["myst_parser", "social_preview"], "html_baseurl": "https://example.org/course"}
        folders = [str(tmp_path), None, str(tmp_path / "html"), str(tmp_path / "trees")]
        Sphinx(*folders, "html", confoverrides=settings, status=None).build()
    finally:
        sys.path.remove(str(ROOT / "book" / "_ext"))
    places = [place.text for place in ElementTree.parse(tmp_path / "html" / "sitemap.xml").iterfind("{*}url/{*}loc")]
    assert places == ["https://example.org/course/index.html"]
    page = Parts()
    page.feed((tmp_path / "html" / "index.html").read_text())
    assert page.properties["og:url"] == places[0]
    assert page.properties["og:image"] == urljoin(places[0], "_static/preview.png")
    assert page.properties["og:title"] == "A first page"
    assert page.properties["og:description"] == "What this page is about stands in its first lines."
