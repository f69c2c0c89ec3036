"""The interactive parts of the website: the same values as Python's functions, by mouse and keyboard, from a folder."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from torch import nn

from autograder.leaderboard import Entry
from autograder.pages.leaderboard_plot import pareto_front
from factorkit import models
from factorkit.clustering import kmeans_1d, share_weights
from factorkit.clustering.cells import gather, settle
from factorkit.clustering.sharing import start_linear
from factorkit.costs import conv2d_cost, depthwise_separable_cost, grouped_cost, spatially_separable_cost
from factorkit.decompositions import CP, Separable, Tucker2, energy_rank, truncated_svd
from factorkit.interactive import Part
from micronet_resources.challenge import Measurement, points
from micronet_resources.operations import Operation
from micronet_resources.profile import estimate, profile_model
from micronet_resources.references import reference_path
from micronet_resources.rules import RULES, rule_set

from ..autograder.pages import needs_browser

ROOT = Path(__file__).parents[2]
PAGES = ("cost_calculator", "score_calculator", "rank_explorer", "weight_sharing_explorer")
SECONDS = 60  # for a page to open and to answer, on a machine that is busy with other tests

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800), needs_browser]


@pytest.fixture
def visit(browser, site):
    """A function that opens the page of a part from the folder; no error and no request elsewhere may come of it."""
    contexts, wrong = [], []

    def opened(name: str | Path, *, width: int = 1280, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
        path = name if isinstance(name, Path) else site / "book" / "interactive" / f"{name}.html"
        page.goto(path.as_uri(), wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def result(page: Page, name: str) -> Locator:
    return page.locator(f"[data-result='{name}']")


def enter(page: Page, label: str, value: object) -> None:
    """Type a number into the field with this label, and leave it."""
    field = page.get_by_role("spinbutton", name=label, exact=True)
    field.fill(str(value))
    field.press("Tab")


# ---- All parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_part_takes_the_place_of_its_table(visit, name):
    page = visit(name)
    assert page.locator(".fk-part").get_attribute("data-ready") == "true"
    assert page.locator(".fk-fallback").is_hidden()
    assert page.locator(".fk-part table:visible").count() >= 1


@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_a_table_says_the_same_for_a_few_settings(visit, name):
    page = visit(name, java_script_enabled=False)
    assert page.locator(".fk-fallback table").is_visible()
    assert len(page.locator(".fk-fallback td").all()) >= 12


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_name_and_can_be_reached_by_keyboard(visit, name):
    page = visit(name)
    controls = page.locator(".fk-part :is(input, select, button):visible")
    names = controls.evaluate_all(
        "all => all.map(box => box.ariaLabel || [...box.labels ?? []].map(label => label.textContent).join() "
        "|| box.textContent)"
    )
    assert all(names) and len(set(names)) == len(names), names
    controls.first.focus()
    reached = set()
    for _ in range(len(names) + 5):
        reached.add(page.evaluate("[...document.querySelectorAll('.fk-part *')].indexOf(document.activeElement)"))
        page.keyboard.press("Tab")
    assert len(reached - {-1}) >= len(names)


@pytest.mark.parametrize("name", PAGES)
def test_part_fits_narrow_and_wide_screens(visit, name):
    page = visit(name)
    sticks_out = """() => {
        const right = box => box.getBoundingClientRect().right, limit = right(document.querySelector('.fk-part')) + 1;
        return [...document.querySelectorAll('.fk-part *')].filter(box => right(box) > limit)
            .filter(box => !box.closest('.fk-unseen')).map(box => box.outerHTML.slice(0, 90));
    }"""
    for width in (1600, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("width => (document.querySelector('.fk-chart')?.clientWidth ?? 0) < width", arg=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(sticks_out) == []


CONTRAST = """() => {
    const channels = color => color.match(/[\\d.]+/g).map(Number);
    const light = color => channels(color).slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    const behind = box => { for (; box; box = box.parentElement) {
        const color = getComputedStyle(box).backgroundColor;
        if ((channels(color)[3] ?? 1) === 1) return color;
    } return 'rgb(255, 255, 255)'; };
    const texts = [...document.querySelectorAll('.fk-body *')].filter(box => box.checkVisibility()
        && [...box.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
    return texts.map(box => {
        const style = getComputedStyle(box), svg = box.namespaceURI.endsWith('svg');
        const pair = [light(svg ? style.fill : style.color), light(behind(box))].sort((a, b) => b - a);
        return [(pair[0] + 0.05) / (pair[1] + 0.05), box.outerHTML.slice(0, 90)];
    }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("name", PAGES)
def test_text_can_be_read_in_light_and_dark(visit, name):
    page = visit(name, color_scheme="dark")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator(".fk-body *").count() > 20
    dark = page.evaluate(CONTRAST)
    page.evaluate("document.documentElement.dataset.theme = 'light'")  # as the theme's own button does
    assert (dark, page.evaluate(CONTRAST)) == ([], [])


@pytest.mark.parametrize("name", PAGES)
def test_page_is_light(site, name):
    html = (site / "book" / "interactive" / f"{name}.html").stat().st_size
    scripts = sum(path.stat().st_size for path in (site / "_static" / "interactive").iterdir())
    assert html < 300_000 and scripts < 120_000


# ---- Costs ---------------------------------------------------------------------------------------

SHAPES = [
    (128, 256, 3, 8, 1),
    (3, 64, 7, 224, 2),
    (48, 36, 4, 17, 3),
    (16, 8, 1, 9, 2),
    (1, 1, 11, 1, 1),
    (64, 64, 5, 7, 4),
]
RANKS = [(1, 1, 1, 1), (5, 7, 3, 2)]


def python_costs(shape: tuple[int, ...], ranks: tuple[int, ...], groups: int) -> list[tuple[int, int]]:
    inputs, outputs, kernel, size, stride = shape
    cp_rank, out_rank, in_rank, tai_rank = ranks
    same = (size, kernel, inputs, outputs)
    step = {"stride": stride, "padding": kernel // 2}
    costs = [
        conv2d_cost(*same, **step),
        spatially_separable_cost(*same, **step),
        depthwise_separable_cost(*same, **step),
        grouped_cost(*same, groups, **step),
    ]
    weight = torch.zeros(outputs, inputs, kernel, kernel)
    found = [
        CP(weight, torch.zeros(cp_rank), tuple(torch.zeros(n, cp_rank) for n in weight.shape)),
        Tucker2(
            weight,
            torch.zeros(out_rank, in_rank, kernel, kernel),
            torch.zeros(outputs, out_rank),
            torch.zeros(inputs, in_rank),
        ),
        Separable(weight, torch.zeros(tai_rank, inputs, kernel, 1), torch.zeros(outputs, tai_rank, 1, kernel)),
    ]
    after = (size + 2 * (kernel // 2) - kernel) // stride + 1
    return [(c.params, c.macs) for c in costs] + [(f.params, f.macs(after, input_size=size)) for f in found]


def test_costs_are_those_of_python(visit):
    page = visit("cost_calculator")
    script = """([inChannels, outChannels, kernel, inputSize, stride, cpRank, outRank, inRank, taiRank, groups]) =>
        factorkit.costs.allCosts({ inChannels, outChannels, kernel, inputSize, stride },
            { cpRank, outRank, inRank, taiRank, groups }).map(cost => [cost.params, cost.macs])"""
    for shape, ranks in product(SHAPES, RANKS):
        if ranks[1] > shape[1] or ranks[2] > shape[0]:
            continue
        for groups in [g for g in (1, 2, 4, 12) if shape[0] % g == 0 and shape[1] % g == 0]:
            got = [tuple(cost) for cost in page.evaluate(script, [*shape, *ranks, groups])]
            assert got == python_costs(shape, ranks, groups), (shape, ranks, groups)


def table_of_costs(page: Page) -> list[tuple[int, int]]:
    return [
        tuple(int(row.locator(f"[data-kind='{kind}']").inner_text().replace(",", "")) for kind in ("params", "macs"))
        for row in page.locator(".fk-body tbody tr").all()
    ]


def test_typed_numbers_change_the_table_of_costs(visit):
    page = visit("cost_calculator")
    values = {"Input channels": 24, "Output channels": 36, "Kernel height and width": 5, "Input height and width": 20}
    values |= {"Stride": 2, "Rank of CP": 9, "Output rank of Tucker-2": 11, "Input rank of Tucker-2": 6}
    for label, value in {**values, "Rank of Tai's form": 8}.items():
        enter(page, label, value)
    page.get_by_label("Groups").select_option("6")
    assert table_of_costs(page) == python_costs((24, 36, 5, 20, 2), (9, 11, 6, 8), 6)
    assert page.get_by_label("Layer", exact=True).input_value() == "own"
    expect(page.get_by_role("status")).to_contain_text("Fewest MACs: ", timeout=1000 * SECONDS)


def test_sliders_answer_to_arrow_keys(visit):
    page = visit("cost_calculator")
    page.get_by_role("slider", name="Output channels, slider").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("spinbutton", name="Output channels", exact=True).input_value() == "257"
    assert table_of_costs(page)[0][0] == 9 * 128 * 257
    assert page.get_by_label("Groups").locator("option").all_inner_texts() == ["1"], "257 is a prime number"


def test_a_wrong_number_is_named_and_then_set_right(visit):
    page = visit("cost_calculator")
    field = page.get_by_role("spinbutton", name="Kernel height and width", exact=True)
    before = table_of_costs(page)
    for wrong in ("0", "2.5", "12", ""):
        field.fill(wrong)
        assert field.get_attribute("aria-invalid") == "true"
        note = page.locator(f"[id='{field.get_attribute('aria-describedby')}']")
        assert note.inner_text() == "Give a whole number from 1 to 11."
        assert table_of_costs(page) == before
    field.fill("99")
    field.press("Tab")
    assert field.input_value() == "11" and field.get_attribute("aria-invalid") == "false"
    assert table_of_costs(page)[0][0] == 121 * 128 * 256


def test_bars_are_as_long_as_their_numbers(visit):
    page = visit("cost_calculator")
    widths = page.locator(".fk-body tbody .fk-bar rect").evaluate_all(
        "all => all.map(bar => +bar.getAttribute('width'))"
    )
    costs = [value for row in table_of_costs(page) for value in row]
    longest = [max(costs[0::2]), max(costs[1::2])]
    assert widths == pytest.approx([100 * value / longest[place % 2] for place, value in enumerate(costs)])


# ---- Scores --------------------------------------------------------------------------------------

SETTINGS = [
    {},
    {"weight_bits": 16, "activation_bits": 16},
    {"weight_bits": 15, "activation_bits": 32},
    {"weight_bits": 4, "activation_bits": 8, "pruned_structured": 0.3},
    {"weight_bits": 1, "activation_bits": 1, "pruned_unstructured": 0.2},
    {"weight_bits": 8, "activation_bits": 4, "pruned_structured": 0.25, "pruned_unstructured": 0.7},
    {"pruned_structured": 0.05, "pruned_unstructured": 0.95},
]
ESTIMATE = """({network, rules, task, settings}) => {
    const { terms, score } = factorkit.micronet.estimate(network, rules, rules.tasks[task], {
        weightBits: settings.weight_bits ?? 32, activationBits: settings.activation_bits ?? 32,
        structured: settings.pruned_structured ?? 0, unstructured: settings.pruned_unstructured ?? 0 });
    return { score, terms: Object.fromEntries(terms.map(term => [term.name, term.value])) };
}"""
NETWORKS = {
    "small_convnet": models.small_convnet,
    "small_mobilenet_v2": models.small_mobilenet_v2,
    "small_squeezenet": models.small_squeezenet,
    "resnet_cifar(20)": lambda: models.resnet_cifar(20),
}


def data_of(page: Page) -> dict:
    return json.loads(page.locator(".fk-part script[type='application/json']").inner_text())


def same_terms(got: dict, expected) -> None:
    assert got["score"] == pytest.approx(float(expected), rel=1e-9)
    assert got["terms"] == pytest.approx({term.name: term.value for term in expected.terms}, rel=1e-9)


def test_scores_are_those_of_python(visit):
    page = visit("score_calculator")
    data = data_of(page)
    assert set(data["rules"]) == set(RULES)
    known = {network["name"]: network for network in data["networks"]}
    for name, model in NETWORKS.items():
        profile = profile_model(model(), (3, 32, 32))
        for rules, settings in product(RULES, SETTINGS):
            task = "patterns" if "small" in name else "cifar10"
            asked = {"network": known[name], "rules": data["rules"][rules], "task": task, "settings": settings}
            same_terms(page.evaluate(ESTIMATE, asked), estimate(profile, rules, task, **settings))


def test_every_network_and_task_of_the_page_can_be_scored(visit):
    page = visit("score_calculator")
    data = data_of(page)
    for name, rules in data["rules"].items():
        assert set(rules["tasks"]) == set(RULES[name].tasks)
        for task, there in rules["tasks"].items():
            of_python = RULES[name].task(task)
            assert (there["reference_params"], there["reference_ops"], there["threshold_percent"]) == (
                of_python.reference_params,
                of_python.reference_ops,
                of_python.threshold_percent,
            )
            assert any(task in network["tasks"] for network in data["networks"])


def test_numbers_of_ones_own_are_scored_as_python_does(visit):
    page = visit("score_calculator")
    data = data_of(page)
    own = {"params": 72_954, "macs": 9_880_192, "outputs": 57_354, "normalized": 57_344, "activated": 50_000}
    network = page.evaluate("factorkit.micronet.ownNetwork", own)
    operations = [
        Operation("conv2d", "convolution", 57_354, 9_880_192, 9_880_192 - 57_354),
        Operation("batch_norm", "normalization", 57_344, 57_344, 57_344),
        Operation("relu", "activation", 50_000, 50_000, 0),
    ]
    costs = SimpleNamespace(params=72_954, operations=operations)
    for rules, settings in product(RULES, SETTINGS):
        asked = {"network": network, "rules": data["rules"][rules], "task": "patterns", "settings": settings}
        same_terms(page.evaluate(ESTIMATE, asked), estimate(costs, rules, "patterns", **settings))


def test_points_are_those_of_python(visit):
    page = visit("score_calculator")
    task = data_of(page)["rules"]["course2025"]["tasks"]["patterns"]
    costs = dict.fromkeys(("params", "stored_bits", "macs", "live_macs"), 1)
    for correct, score in product((0, 600, 1000, 1799, 1800, 2000), (0.0, 0.2, 0.5, 1.3, 4.0, 9.0)):
        measured = Measurement(correct=correct, total=2000, score=score, rules="course2025", task="patterns", **costs)
        got = page.evaluate("([task, accuracy, score]) => factorkit.micronet.points(task, accuracy, score, 12)",
                            [task, correct / 20, score])  # fmt: skip
        assert got == pytest.approx(points(measured, 12)), (correct, score)
    without = data_of(page)["rules"]["neurips2019"]["tasks"]["cifar100"]
    assert page.evaluate("task => factorkit.micronet.points(task, 90, 1, 12)", without) is None


def test_controls_lead_to_pythons_score(visit):
    page = visit("score_calculator")
    page.get_by_label("Rules", exact=True).select_option("neurips2019")
    page.get_by_label("Task", exact=True).select_option("patterns")
    page.get_by_label("Network", exact=True).select_option("small_mobilenet_v2")
    enter(page, "Bits of a weight", 4)
    enter(page, "Bits of a value in a feature map", 8)
    enter(page, "Weights pruned one by one", 0.5)
    settings = {"weight_bits": 4, "activation_bits": 8, "pruned_unstructured": 0.5}
    profile = profile_model(models.small_mobilenet_v2(), (3, 32, 32))
    expected = estimate(profile, "neurips2019", "patterns", **settings)
    assert result(page, "score").inner_text() == f"{float(expected):.4f}"
    for term in expected.terms:
        assert page.locator(f"[data-term='{term.name}']").inner_text() == f"{term.value:.4f}"
    for name in RULES:
        score = float(estimate(profile, name, "patterns", **settings))
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
        assert row.locator("td").first.inner_text() == f"{score:.4f}"
    expect(page.get_by_role("status")).to_contain_text(f"Score {float(expected):.4f}", timeout=1000 * SECONDS)


def test_an_entry_below_the_threshold_is_called_invalid(visit):
    page = visit("score_calculator")
    enter(page, "Accuracy in percent", 89.9)
    assert "no valid entry: patterns asks for 90 %" in page.locator(".fk-total").inner_text()
    enter(page, "Accuracy in percent", 90)
    assert "no valid entry" not in page.locator(".fk-total").inner_text()
    enter(page, "Weights pruned in whole filters", 0.6)
    enter(page, "Weights pruned one by one", 0.9)
    field = page.get_by_role("spinbutton", name="Weights pruned one by one", exact=True)
    assert field.input_value() == "0.40", "not more than all weights"


# ---- Ranks ---------------------------------------------------------------------------------------

SVD = """({ matrix, rows, columns, ranks }) => {
    const found = factorkit.ranks.svd(Float64Array.from(matrix), rows, columns);
    return { values: [...found.values], near: ranks.map(rank => [...factorkit.ranks.truncated(found, rank)]) };
}"""
NOISE = np.random.default_rng(0)
MATRICES = {
    "tall": NOISE.normal(size=(9, 5)),
    "wide": NOISE.normal(size=(6, 11)),
    "of low rank": NOISE.normal(size=(12, 2)) @ NOISE.normal(size=(2, 10)),
    "zero": np.zeros((4, 3)),
    "one number": np.array([[-2.0]]),
    "equal values": np.eye(5) * 3,
    "ill-conditioned": np.vander(np.linspace(1, 2, 8)),
}


def test_singular_values_and_truncations_are_those_of_numpy(visit):
    page = visit("rank_explorer")
    for name, matrix in MATRICES.items():
        (rows, columns), ranks = matrix.shape, [1, min(matrix.shape)]
        sent = {"matrix": matrix.flatten().tolist(), "rows": rows, "columns": columns, "ranks": ranks}
        got = page.evaluate(SVD, sent)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        size = max(values[0], 1)
        assert got["values"] == pytest.approx(values.tolist(), abs=1e-12 * size), name
        assert got["near"][1] == pytest.approx(matrix.flatten().tolist(), abs=1e-10 * size), name
        if len(values) > 1 and values[0] - values[1] > 1e-6:
            first = values[0] * np.outer(left[:, 0], right[0])
            assert got["near"][0] == pytest.approx(first.flatten().tolist(), abs=1e-10 * size), name


def unpacked(values: dict) -> np.ndarray:
    kind = np.dtype(values["type"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(values["base64"]), kind).reshape(values["shape"]).astype(float)


def arranged(subject: dict) -> np.ndarray:
    """The matrix that the script decomposes, made by NumPy."""
    numbers = unpacked(subject["values"])
    if subject["arrangement"] == "image":
        return numbers
    if subject["arrangement"] == "output":
        return numbers.reshape(len(numbers), -1)
    outputs, inputs, height, width = numbers.shape
    return numbers.transpose(1, 2, 0, 3).reshape(inputs * height, outputs * width)


def test_errors_and_storage_are_those_of_python_for_every_matrix_of_the_page(visit):
    page = visit("rank_explorer")
    subjects = data_of(page)["subjects"]
    assert {subject["arrangement"] for subject in subjects} == {"image", "output", "tai"}
    for place, subject in enumerate(subjects):
        page.get_by_label("Matrix", exact=True).select_option(str(place))
        matrix = arranged(subject)
        for rank in (1, 10, 30):
            enter(page, "Rank", rank)
            found = truncated_svd(torch.tensor(matrix), rank)
            assert result(page, "stored").inner_text() == f"{rank * sum(matrix.shape):,}"
            shown = float(result(page, "error").inner_text().removesuffix(" %"))
            assert shown == pytest.approx(100 * found.relative_error, rel=6e-3)
        page.get_by_role("button", name="90 % of the energy").click()
        rank = energy_rank(torch.tensor(matrix), 0.9)
        assert page.get_by_role("spinbutton", name="Rank", exact=True).input_value() == str(rank)
        page.get_by_role("button", name="break-even rank").click()
        rank = int(page.get_by_role("spinbutton", name="Rank", exact=True).input_value())
        assert rank * sum(matrix.shape) < matrix.size <= (rank + 1) * sum(matrix.shape)


def test_the_kernels_of_the_page_are_the_trained_ones(visit):
    subject = data_of(visit("rank_explorer"))["subjects"][3]
    assert np.array_equal(unpacked(subject["values"]), trained("10.weight"))


def test_pictures_show_the_matrix_and_what_is_left_of_it(visit):
    page = visit("rank_explorer")
    read = """canvas => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [...data].filter((_, n) => n % 4 === 0); }"""
    matrix = arranged(data_of(page)["subjects"][0])
    enter(page, "Rank", 96)
    for canvas in page.locator("canvas").all()[:2]:  # at full rank both are the photograph
        assert np.abs(np.array(canvas.evaluate(read)) - matrix.flatten()).max() <= 1
        assert len(canvas.get_attribute("aria-label").split()) >= 5
    enter(page, "Rank", 5)
    near = truncated_svd(torch.tensor(matrix), 5).reconstruct().numpy().clip(0, 255)
    assert np.abs(np.array(page.locator("canvas").nth(1).evaluate(read)) - near.flatten()).max() <= 1


# ---- Shared weights ------------------------------------------------------------------------------


def trained(name: str) -> np.ndarray:
    tensors = onnx.load(reference_path("patterns")).graph.initializer
    return next(onnx.numpy_helper.to_array(tensor) for tensor in tensors if tensor.name == name)


KMEANS = """({ values, k, rounds }) => {
    const { prepared, optimum, meanSquaredError, lloydStep, STARTS } = factorkit.kmeans;
    const weights = prepared(values), best = optimum(weights, k);
    const walk = start => { for (let n = 0; n < rounds; n++) start = lloydStep(weights, start); return start; };
    const ends = ["linear", "density"].map(name => walk(STARTS[name](weights, k)));
    return { best, ends, errors: [best, ...ends].map(each => meanSquaredError(weights, each)) };
}"""


def test_the_optimum_of_few_weights_is_pythons(visit):
    page = visit("weight_sharing_explorer")
    for name, k in product(("0.weight", "22.weight"), (1, 2, 7, 16, 64)):
        values = trained(name).flatten()
        got = page.evaluate(KMEANS, {"values": values.tolist(), "k": k, "rounds": 1})
        exact = kmeans_1d(torch.tensor(values), k)  # exact for up to 1,024 weights
        assert got["errors"][0] == pytest.approx(exact.error, rel=1e-5), (name, k)
        assert got["best"] == pytest.approx(exact.centroids.tolist(), abs=1e-6), (name, k)


def test_the_optimum_of_many_weights_is_no_worse_than_pythons(visit):
    page, values = visit("weight_sharing_explorer"), trained("3.weight").flatten()
    for k in (3, 16, 50):
        got = page.evaluate(KMEANS, {"values": values.tolist(), "k": k, "rounds": 1})["errors"][0]
        near = kmeans_1d(torch.tensor(values), k).error
        assert near / 1.002 < got <= near * (1 + 1e-6)


def test_lloyd_ends_where_python_ends(visit):
    page, values = visit("weight_sharing_explorer"), trained("0.weight").flatten()
    for k in (2, 8, 32):
        got = page.evaluate(KMEANS, {"values": values.tolist(), "k": k, "rounds": 300})
        cells = gather(values, k, exact=True)
        ends = settle(cells, start_linear(torch.tensor(values), k))
        assert got["ends"][0] == pytest.approx(ends.tolist(), abs=1e-7), k
        quantiles = np.quantile(values.astype(float), (np.arange(k) + 0.5) / k)
        assert got["ends"][1] == pytest.approx(settle(cells, quantiles).tolist(), abs=1e-7), k
        assert min(got["errors"]) >= got["errors"][0] * (1 - 1e-12)


@pytest.mark.parametrize("bits", [1, 5])
def test_the_page_shows_what_share_weights_reports(visit, bits):
    page = visit("weight_sharing_explorer", reduced_motion="reduce")
    enter(page, "Shared values K", 2**bits)
    model = nn.Sequential(nn.Conv2d(3, 16, 3))
    weight = torch.tensor(trained("0.weight"))
    model[0].weight = nn.Parameter(weight.clone())
    best = share_weights(model, bits)
    assert result(page, "bits").inner_text() == f"{best.stored_bits:,}"
    shown = float(result(page, "optimum-error").inner_text().removesuffix(" %"))
    assert shown == pytest.approx(100 * best.relative_error, rel=6e-3)
    page.get_by_role("button", name="Run").press("Enter")  # without motion, it ends at once
    assert "settled" in result(page, "state").inner_text()
    model[0] = nn.Conv2d(3, 16, 3)
    model[0].weight = nn.Parameter(weight)
    lloyd = share_weights(model, bits, init="linear")
    shown = float(result(page, "lloyd-error").inner_text().removesuffix(" %"))
    assert shown == pytest.approx(100 * lloyd.relative_error, rel=6e-3)


def test_steps_and_runs_move_the_centroids_and_never_raise_the_error(visit):
    page = visit("weight_sharing_explorer")
    excess = [float(result(page, "lloyd-excess").inner_text())]
    for rounds in range(1, 4):
        page.get_by_role("button", name="One step").press("Space")
        expect(result(page, "state")).to_have_text(f"Lloyd, {rounds} round{'s' * (rounds > 1)}")
        excess.append(float(result(page, "lloyd-excess").inner_text()))
    assert excess == sorted(excess, reverse=True) and excess[-1] < excess[0]
    page.get_by_role("button", name="Run").click()
    expect(result(page, "state")).to_contain_text("settled", timeout=1000 * SECONDS)
    assert page.get_by_role("button", name="One step").get_attribute("aria-disabled") == "true"
    page.get_by_role("button", name="Start again").click()
    expect(result(page, "state")).to_have_text("Lloyd, 0 rounds")
    assert page.locator(".fk-centroid").count() == page.locator(".fk-optimum").count() == 8


# ---- Leaderboard ---------------------------------------------------------------------------------


def entries() -> list[Entry]:
    random = np.random.default_rng(3)
    made = []
    for number in range(25):
        correct = int(random.integers(1700, 2000))
        score = float(random.uniform(0.02, 0.9))
        costs = {"params": int(random.integers(1e3, 1e5)), "stored_bits": 8000, "macs": 10_000, "live_macs": 9_000}
        name = f"student-{number:03d} <b>"
        made.append(
            Entry(name, correct, 2000, correct / 2000, score=score, rules="course2025", task="patterns", **costs)
        )
    return made


@pytest.fixture(scope="module")
def board(site) -> Iterator[Path]:
    """A page with two groups of entries, beside the site's own pages."""
    groups = []
    for rules, found in (("course2025", entries()), ("neurips2019", entries()[:3])):
        found = sorted(found, key=lambda entry: entry.score)
        needed = rule_set(rules).task("patterns").needed(2000)
        valid = [entry for entry in found if entry.correct >= needed]
        listed = [
            {"place": valid.index(entry) + 1 if entry in valid else None, **vars(entry), "rules": rules}
            for entry in found
        ]
        groups.append({"lab": "challenge", "rules": rules, "task": "patterns", "threshold": 90, "entries": listed})
    part = Part("leaderboard", "Leaderboard", {"groups": groups}, "<table><tr><td>1</td></tr></table>")
    path = site / "book" / "interactive" / "leaderboard_in_a_test.html"
    path.write_text(
        f'<!doctype html><html lang="en" data-theme="light"><title>x</title><main>{part.to_html()}</main></html>'
    )
    yield path
    path.unlink()


def column(page: Page, number: int) -> list[str]:
    return page.locator(f".fk-table tbody tr td:nth-child({number})").all_inner_texts()


def test_leaderboard_sorts_by_every_column_and_keeps_the_keyboard_there(visit, board):
    page = visit(board)
    assert len(column(page, 1)) == 25
    for number, name in enumerate(("place", "student", "accuracy", "score", "parameters", "bits each", "MACs"), 1):
        for presses in range(2):
            page.get_by_role("button", name=name, exact=True).press("Enter")
            values = [float(re.sub(r"[^\d.]", "", text) or "inf") for text in column(page, number)]
            falling = page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
            assert values == sorted(values, reverse=falling), name
            assert page.evaluate("document.activeElement.textContent") == name
            assert page.locator("th[aria-sort]").count() == 1
            first_falls = (name == "accuracy") == (presses == 0)
            assert falling == first_falls or name == "place"


def test_the_front_is_pythons(visit, board):
    page = visit(board)
    on_front = [
        row.locator("td").nth(1).inner_text()
        for row in page.locator(".fk-table tbody tr").all()
        if row.locator("td").last.inner_text() == "yes"
    ]
    assert set(on_front) == {entry.student for entry in pareto_front(entries())}
    described = page.locator(".fk-chart").get_attribute("aria-label")
    assert pareto_front(entries())[0].student in described


def test_filters_choose_rules_and_valid_entries(visit, board):
    page = visit(board, width=400)
    page.get_by_label("only valid entries").press("Space")
    needed = rule_set("course2025").task("patterns").needed(2000)
    assert len(column(page, 1)) == sum(entry.correct >= needed for entry in entries())
    assert "–" not in column(page, 1)
    page.get_by_label("only valid entries").press("Space")
    page.get_by_label("Rules", exact=True).select_option("neurips2019")
    assert len(column(page, 1)) == 3
    assert page.locator(".fk-point").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
