"""Every way to look at a profile, on real networks: table, tree, DataFrame, JSON, HTML, plot, and two side by side."""

import json
import re
import unicodedata
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from factorkit.models import resnet18_cifar, small_convnet
from micronet_resources.profile import profile_model, score
from micronet_resources.report import ModelProfile
from micronet_resources.reporting.columns import COLUMNS
from micronet_resources.reporting.comparison import compare
from micronet_resources.reporting.layout import WIDTH, Table, html_table, shapes_text, text_table

IMAGE = (3, 32, 32)
SUMS = [name for name, column in COLUMNS.items() if column.is_sum and not column.is_measured]


class TwoInputs(nn.Module):
    """Two branches that meet: an image and a vector, with a product and a sum of feature maps."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 5))
        self.vector = nn.Linear(7, 5)

    def forward(self, x, y):
        a, b = self.image(x), self.vector(y)
        return a * b + a


def separable_twin():
    """small_convnet with every 3 x 3 convolution after the first replaced by two."""
    model = small_convnet()
    for name, layer in list(model.named_children()):
        if isinstance(layer, nn.Conv2d) and layer.in_channels > 3:
            channels = layer.in_channels
            depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            pointwise = nn.Conv2d(channels, layer.out_channels, 1, bias=False)
            setattr(model, name, nn.Sequential(depthwise, pointwise))
    return model


def two_inputs():
    return profile_model(TwoInputs(), [(3, 8, 8), (7,)])


def dense():
    """small_convnet without zeros or repeated values, as training leaves it."""
    model = small_convnet()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model


PROFILES = {
    "small": lambda: profile_model(small_convnet(), IMAGE),
    "resnet": lambda: profile_model(resnet18_cifar(), IMAGE),
    "two inputs": two_inputs,
    "scored": lambda: profile_model(dense(), IMAGE, rules="course2025", task="patterns"),
}


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture(params=PROFILES)
def profile(request, made):
    return made.setdefault(request.param, PROFILES[request.param]())


@pytest.fixture
def small(made):
    return made.setdefault("small", PROFILES["small"]())


@pytest.fixture
def scored(made):
    return made.setdefault("scored", PROFILES["scored"]())


@pytest.fixture
def comparison(small, made):
    return compare(small, made.setdefault("twin", profile_model(separable_twin(), IMAGE)))


def number(text):
    return int(text.replace(",", ""))


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_column_add_up_to_its_total(profile):
    frame = profile.to_frame()
    for name in SUMS:
        if name != "share":
            assert frame[name].sum() == getattr(profile, name)
    assert frame["share"].sum() == pytest.approx(1)
    for name in ("params", "macs", "multiplications", "additions"):
        heading, *body, total = (row[0] for row in profile.table([name]).rows)
        assert sum(map(number, body)) == number(total) == getattr(profile, name)
        assert heading == COLUMNS[name].heading


def test_the_arithmetic_by_kind_adds_up(profile):
    multiplications, additions = map(sum, zip(*profile.kinds.values(), strict=True))
    assert (multiplications, additions) == (profile.multiplications, profile.additions)
    text = repr(profile)
    for kind, (m, a) in profile.kinds.items():
        assert re.search(rf"^  {kind} +{m:,} +{a:,}$", text, re.MULTILINE)


def test_kinds_of_the_small_network(small):
    kinds = small.kinds
    assert kinds["convolution"] == (9_879_552, 9_822_208)
    assert kinds["linear"] == (640, 630)
    assert kinds["bias"] == (0, 10)
    assert kinds["normalization"] == (57_344, 57_344)
    assert kinds["activation"] == (57_344, 0)
    assert "residual" not in kinds


def test_the_table_says_what_it_is_about_and_fits_a_terminal(profile):
    text = repr(profile)
    assert text.startswith(f"{profile.model}, input")
    assert f"{profile.params:,} parameters, {profile.macs:,} MACs per example" in text.splitlines()[0]
    table = profile.table()
    rows = str(table).splitlines()[1:]
    assert max(map(len, rows)) <= WIDTH
    assert len(table.rows) == len(profile.layers) + 2
    for layer in profile.layers:
        assert any(row.split()[0] == layer.name for row in rows)


def test_all_columns_fit_a_terminal_or_say_which_are_left_out(made, profile):
    table = profile.table("all")
    text = str(table).splitlines()
    assert max(map(len, text[1:])) <= WIDTH
    headings = [heading for heading in table.rows[0] if heading not in text[1]]
    assert text[-1].startswith("  Left out for want of width: ") == bool(headings)
    for heading in headings:
        assert heading in text[-1]
    assert all(f">{COLUMNS[name].heading}<" in table._repr_html_() for name in SUMS if name != "share")


def test_shapes_of_several_inputs_are_all_shown():
    profile = two_inputs()
    assert "inputs 3 x 8 x 8, 7:" in repr(profile).splitlines()[0]
    frame = profile.to_frame().set_index("name")
    assert frame.loc["(model)", "input_shape"] == ((3, 8, 8), (7,))
    assert frame.loc["vector", "input_shape"] == (7,)
    assert "3 x 8 x 8, 7" in str(profile.table(["name", "input_shape"]))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["name", "flops"], "no column is called 'flops': choose from name, kind"),
        ("flops", "no column is called 'flops'"),
        ([], "columns is empty"),
        (["name", "score"], "give rules, as in profile_model"),
    ],
)
def test_wrong_columns_are_refused(small, columns, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        small.table(columns)


def test_a_module_that_did_not_run_says_so():
    model = nn.Sequential(nn.Linear(4, 4))
    model.spare = nn.Linear(2, 2)
    model.forward = lambda x: model[0](x)
    assert "did not run" in repr(profile_model(model, (4,)))


def test_long_names_are_shortened_in_the_middle_and_numbers_are_not():
    inner = nn.Sequential(nn.Linear(1000, 1000))
    for level in range(12):
        inner = nn.Sequential(*[nn.Identity()] * level, inner)
        inner.add_module(f"a_block_with_a_long_name_{level}", inner._modules.pop(str(level)))
    profile = profile_model(inner, (1000,))
    text = str(profile.table())
    assert max(map(len, text.splitlines()[1:])) <= WIDTH
    assert "…" in text
    assert text.count("1,001,000  1,000,000") == 2
    assert profile.layers[-1].name in profile._repr_html_()


# --- Rules: bits, shares of the score, the score below ----------------------------------------------------------------


def test_without_rules_nothing_is_measured(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("measured")

    monkeypatch.setattr("micronet_resources.measuring.measure_tensors", refuse)
    profile = profile_model(small_convnet(), IMAGE)
    assert "Score" not in repr(profile)
    assert "weight_bits" not in profile.to_frame()
    profile.to_json()
    profile.tree()
    with pytest.raises(AssertionError, match="measured"):
        profile.to_frame(bits=True)


def test_bits_are_measured_when_asked_for():
    model = small_convnet()
    with torch.no_grad():
        model[3].weight.copy_(torch.sign(model[3].weight))
        model[7].weight.copy_(model[7].weight.half().float())
    frame = profile_model(model, IMAGE).to_frame(bits=True).set_index("name")
    assert frame.loc["0", "weight_bits"] == 32
    assert frame.loc["3", "weight_bits"] <= 2
    assert frame.loc["7", "weight_bits"] == 16
    assert frame.loc["0", "input_bits"] == 32
    assert frame["weight_bits"].isna()["2"]
    assert str(frame["weight_bits"].dtype) == "Int64"  # whole numbers, although some are missing


def test_with_rules_the_score_stands_below_and_its_shares_in_the_table(scored):
    text = repr(scored)
    value = score(scored, "course2025", "patterns")
    assert str(value) in text
    assert float(value) == pytest.approx(4)
    assert "of score" in text
    assert "32/32" in text
    frame = scored.to_frame()
    assert frame["score"].sum() == pytest.approx(float(value))
    assert frame["share"].tolist() == pytest.approx((frame["score"] / float(value)).tolist())
    # Half of this score is storage, half MACs, each relative to the same network.
    last = frame.set_index("name").loc["17"]
    assert last["share"] == pytest.approx((36_864 / 72_954 + 2_359_296 / 9_880_192) / 2)


@pytest.mark.parametrize(("rules", "task"), [("course2025", "cifar10"), ("course2023", None), ("neurips2019", None)])
def test_the_parts_of_the_layers_add_up_to_the_score_under_all_rules(rules, task):
    classes = 100 if rules == "neurips2019" else 10
    profile = profile_model(small_convnet(num_classes=classes), IMAGE, rules=rules, task=task)
    assert sum(profile.to_frame()["score"]) == pytest.approx(float(score(profile, rules, task)))


def test_where_there_is_no_score_the_profile_says_why():
    class Transform(nn.Module):
        def forward(self, x):
            return torch.fft.fft2(x).real

    model = nn.Sequential(Transform(), nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    profile = profile_model(model, IMAGE, rules="course2025")
    assert "No score:" in repr(profile)
    assert "fft" in repr(profile)
    assert "No score:" in profile._repr_html_()
    record = profile.to_dict()
    assert record["score"] is None
    assert record["notes"][-1].startswith("No score:")
    assert profile.to_frame()["share"].sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="fft"):
        profile.plot(by="score")


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ({"rules": "course2024"}, "did you mean 'course2025'"),
        ({"rules": "course2025", "task": "pattern"}, "did you mean 'patterns'"),
        ({"task": "patterns"}, "needs rules"),
    ],
)
def test_unknown_rules_and_tasks_are_refused(goal, words):
    with pytest.raises(ValueError, match=words):
        profile_model(nn.Linear(2, 2), (2,), **goal)


# --- The tree ---------------------------------------------------------------------------------------------------------


def branches(text):
    """Rows of a tree as (depth, name, params, MACs)."""
    rows = []
    for line in text.splitlines()[3:-2]:
        label = re.match(r"  ((?:│  |   )*(?:├─ |└─ )?)(\S+)", line)
        params, macs = re.findall(r"(?<= )([\d,]+)(?= )", line[label.end() :])[-2:]
        rows.append((len(label[1]) // 3, label[2], number(params), number(macs)))
    return rows


def test_a_module_of_the_tree_has_the_sum_of_what_it_contains(profile):
    rows = branches(profile.tree())
    assert sum(params for depth, _, params, _ in rows if depth == 0) == profile.params
    assert sum(macs for depth, _, _, macs in rows if depth == 0) == profile.macs
    for place, (depth, name, params, macs) in enumerate(rows):
        inside = []
        for row in rows[place + 1 :]:
            if row[0] <= depth:
                break
            if row[0] == depth + 1:
                inside.append(row)
        if inside:
            assert (params, macs) == (sum(row[2] for row in inside), sum(row[3] for row in inside)), name


def test_own_costs_of_a_module_with_others_inside_are_a_branch():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            return self.attention(x, x, x)[0]

    rows = {name: (params, macs) for _, name, params, macs in branches(profile_model(Attend(), (7, 8)).tree())}
    assert rows["attention"][0] == sum(p.numel() for p in attention.parameters())
    assert rows["(itself)"][0] == 3 * 8 * 8 + 3 * 8
    assert rows["out_proj"][0] == 8 * 8 + 8


def test_a_tree_can_be_folded(made):
    resnet = made.setdefault("resnet", PROFILES["resnet"]())
    whole, folded = resnet.tree(), resnet.tree(depth=1)
    assert all(depth == 0 for depth, *_ in branches(folded))
    assert any(depth == 2 for depth, *_ in branches(whole))
    assert [row for row in branches(whole) if row[0] == 0] == branches(folded)
    assert re.search(r"\(\d+ layers\)", folded)
    assert repr(folded) == str(folded)  # a console shows it as print does
    for depth in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="levels to unfold"):
            resnet.tree(depth)


# --- DataFrame and JSON -----------------------------------------------------------------------------------------------


def test_json_gives_back_what_the_dictionary_holds(profile):
    record = json.loads(profile.to_json())
    assert record == profile.to_dict()
    assert list(record)[:4] == ["model", "input_shape", "params", "params_used"]
    assert record["params"] == sum(layer["params"] for layer in record["layers"]) == profile.params
    assert record["macs"] == sum(layer["macs"] for layer in record["layers"]) == profile.macs
    assert [layer["name"] for layer in record["layers"]] == [layer.name for layer in profile.layers]
    kinds = record["kinds"].values()
    assert sum(kind["multiplications"] for kind in kinds) == record["multiplications"] == profile.multiplications
    assert {"buffers", "uncounted", "notes", "rules", "task", "score"} <= record.keys()
    assert (record["score"] is None) == (profile.rules is None)


def test_json_of_a_scored_profile_has_terms_and_bits(scored):
    record = scored.to_dict()
    assert record["score"]["score"] == pytest.approx(4)
    assert record["score"]["task"] == record["task"] == "patterns"
    assert {"weight_bits", "input_bits", "score", "share"} <= record["layers"][0].keys()


def test_the_frame_has_every_column(profile):
    names = [name for name, column in COLUMNS.items() if not column.is_measured]
    frame = profile.to_frame()
    assert set(names) <= set(frame.columns)
    assert len(frame) == len(profile.layers)
    assert frame.query("macs > 0")["macs"].sum() == profile.macs


# --- HTML -------------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Checks that tags are closed in order, and collects tags with their attributes, and the texts of cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append((tag, dict(attributes)))
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.cells and {"td", "th", "caption"} & set(self.open):
            self.cells[-1] += text

    def count(self, tag, **attributes):
        return sum(name == tag and attributes.items() <= found.items() for name, found in self.tags)


def test_html_is_well_formed_and_accessible(profile):
    page = Reader(profile._repr_html_())
    tables = page.count("table")
    assert tables >= 2
    assert page.count("caption") == page.count("thead") == page.count("tfoot") == tables
    assert page.count("th") == page.count("th", scope="col") + page.count("th", scope="row")
    assert page.count("th", scope="row") >= len(profile.layers) + 1
    assert f"{profile.macs:,}" in page.cells
    styles = {attributes.get("style") for tag, attributes in page.tags if tag == "td"}
    assert {"text-align: right", "text-align: left"} <= styles


def test_the_bars_of_the_share_are_hidden_from_screen_readers_and_the_largest_is_full(small):
    page = Reader(small._repr_html_())
    assert page.count("span", **{"aria-hidden": "true"}) == len(small.layers)
    widths = [float(w) for w in re.findall(r"currentColor; opacity: 0.5; width: ([\d.]+)%", small._repr_html_())]
    assert len(widths) == len(small.layers)
    assert max(widths) == 100
    assert widths[0] == pytest.approx(100 * 442_368 / 2_359_296, abs=0.1)


def test_hostile_names_are_escaped():
    hostile = "<script>alert('x')</script>&<b"
    kind = type(hostile, (nn.Linear,), {})
    model = nn.Sequential(nn.Linear(4, 4))
    model.add_module(hostile, kind(4, 4))
    profile = profile_model(model, (4,))
    other = profile_model(nn.Sequential(kind(4, 4)), (4,))
    for view in (profile, profile.table("all"), compare(profile, other), compare(other, profile)):
        page = Reader(view._repr_html_())
        assert page.count("script") == page.count("b") == 0
    assert hostile in Reader(profile._repr_html_()).cells
    figure = profile.plot().figure
    figure.canvas.draw()  # no mathematics or markup in a tick label
    plt.close(figure)


def test_a_name_with_dollars_is_drawn_as_it_is():
    model = nn.Sequential()
    model.add_module(r"a$\frac$b", nn.Linear(4, 4))
    figure = profile_model(model, (4,)).plot().figure
    figure.canvas.draw()
    plt.close(figure)


# --- Plots ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.mark.parametrize(
    ("by", "label"), [("macs", "MACs per example"), ("params", "parameters"), ("score", "MicroNet score")]
)
def test_a_plot_has_labels_and_one_bar_for_each_layer_that_costs(scored, ax, by, label):
    assert scored.plot(ax, by) is ax
    assert ax.get_xlabel() == label
    assert ax.get_ylabel() == "layer"
    frame = scored.to_frame().query(f"{by} > 0")
    assert [text.get_text() for text in ax.get_yticklabels()] == frame["name"].tolist()
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(frame[by].tolist())
    assert ax.yaxis_inverted()  # the first layer is at the top


def test_many_layers_are_summed_in_a_last_bar(ax):
    widths = [4 + i % 7 for i in range(61)]
    model = nn.Sequential(*[nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)])
    profile = profile_model(model, (4,))
    profile.plot(ax)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert len(labels) <= 24
    assert labels[-1] == f"{60 - len(labels) + 1} other layers"
    assert sum(bar.get_width() for bar in ax.patches) == profile.macs
    assert labels[:-1] == sorted(labels[:-1], key=int)


def test_many_layers_of_few_modules_share_a_bar_for_each_module(ax):
    blocks = [nn.Sequential(*[nn.Linear(size, size) for _ in range(9)]) for size in (4, 4, 4, 4)]
    profile = profile_model(nn.Sequential(*blocks, nn.Linear(4, 2)), (4,))
    profile.plot(ax)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2", "3", "4"]
    assert [bar.get_width() for bar in ax.patches] == [9 * 16] * 4 + [8]
    assert ax.get_ylabel() == "module"


def test_plots_leave_pyplot_as_it_was(small, comparison, ax):
    other, current = plt.subplots()
    settings, figures = dict(plt.rcParams), plt.get_fignums()
    small.plot(ax)
    comparison.plot(ax)
    assert plt.gca() is current
    assert plt.get_fignums() == figures
    assert dict(plt.rcParams) == settings
    plt.close(other)
    alone = small.plot().figure
    assert dict(plt.rcParams) == settings
    plt.close(alone)


def test_wrong_plots_are_refused(small, ax):
    with pytest.raises(ValueError, match="by='flops': draw by 'macs', 'params', 'score'"):
        small.plot(ax, by="flops")
    with pytest.raises(ValueError, match="give rules"):
        small.plot(ax, by="score")
    with pytest.raises(ValueError, match="nothing to draw"):
        profile_model(nn.Sequential(nn.ReLU()), (4,)).plot(ax)


# --- Two profiles side by side ----------------------------------------------------------------------------------------


def test_a_replaced_layer_is_compared_with_the_sum_of_its_factors(comparison):
    rows = {row.name: row for row in comparison.rows}
    assert list(rows) == [layer.name for layer in comparison.before.layers]
    assert rows["3"].before["macs"] == 2_359_296
    assert rows["3"].after == {"kind": "2 layers", "params": 16 * 9 + 16 * 16, "macs": 1024 * (16 * 9 + 16 * 16)}
    assert rows["3"].ratio("params") == pytest.approx(1 / 16 + 1 / 9)
    assert rows["0"].ratio("macs") == 1
    assert rows["2"].ratio("macs") is None


def test_a_comparison_adds_up_on_both_sides(comparison):
    for side in ("before", "after"):
        profile = getattr(comparison, side)
        for cost in ("params", "macs"):
            assert sum(getattr(row, side).get(cost, 0) for row in comparison.rows) == getattr(profile, cost)
    text = repr(comparison)
    assert re.search(r"total +72,954 +10,906 +14\.9 % +9,880,192 +1,804,928 +18\.3 %$", text)
    assert re.search(r"^  unchanged +\d+ layers ", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "after / before: params 14.9 %, MACs 18.3 %" in text


def test_layers_of_one_network_only_stand_where_they_run():
    before = nn.Sequential()
    after = nn.Sequential()
    for name, layer in {"first": nn.Linear(4, 4), "old": nn.Linear(4, 4), "last": nn.Linear(4, 2)}.items():
        before.add_module(name, layer)
        after.add_module("new" if name == "old" else name, layer)
    result = compare(profile_model(before, (4,)), profile_model(after, (4,)))
    assert [row.name for row in result.rows] == ["first", "new", "old", "last"]
    rows = {row.name: row for row in result.rows}
    assert rows["old"].after == rows["new"].before == {}
    frame = result.to_frame().set_index("name")
    assert frame.loc["old", "params_before"] == 20
    assert frame["params_after"].isna()["old"]
    assert str(frame["params_after"].dtype) == "Int64"
    assert frame["kind_before"].isna()["new"]


def test_scores_are_compared_if_both_have_rules(scored, small):
    twin = profile_model(separable_twin(), IMAGE, rules="course2025", task="patterns")
    result = compare(scored, twin)
    total = result.to_dict()["total"]
    assert total["score_before"] == pytest.approx(4)
    assert total["score_after"] == pytest.approx(float(score(twin, "course2025", "patterns")))
    assert total["score_ratio"] == pytest.approx(total["score_after"] / total["score_before"])
    assert "score" in repr(result).splitlines()[1]
    assert max(map(len, repr(result).splitlines())) <= WIDTH
    assert "score_before" not in compare(scored, small).to_frame()
    other = profile_model(small_convnet(), IMAGE, rules="course2023")
    with pytest.raises(ValueError, match="two scales"):
        compare(scored, other)


def test_views_of_a_comparison(comparison, ax):
    page = Reader(comparison._repr_html_())
    assert page.count("caption") == page.count("table") == 1
    assert "17.4 %" in page.cells
    record = json.loads(comparison.to_json())
    assert record == comparison.to_dict()
    assert record["total"]["macs_ratio"] == pytest.approx(1_804_928 / 9_880_192)
    assert [row["name"] for row in record["layers"]] == comparison.to_frame()["name"].tolist()
    assert comparison.plot(ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("MACs per example", "layer")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "after"]
    assert len(ax.patches) == 2 * len(ax.get_yticklabels())
    with pytest.raises(ValueError, match="by='flops'"):
        comparison.plot(ax, by="flops")


def test_only_profiles_are_compared(small):
    with pytest.raises(ValueError, match="after is a Sequential: give a profile"):
        compare(small, small_convnet())


# --- Layout -----------------------------------------------------------------------------------------------------------


def test_text_tables_align_and_never_cut_numbers():
    rows = [("name", "n"), ("x" * 200, "1,000,000"), ("y", "2"), ("total", "1,000,002")]
    lines = text_table(rows, "lr").splitlines()
    assert {len(line) for line in lines} == {WIDTH}
    assert lines[2].endswith("1,000,000")
    wide = text_table([("n",), ("1" * 200,), ("1" * 200,)], "r")
    assert "1" * 200 in wide


def test_every_symbol_of_a_table_is_one_column_wide(small, comparison):
    text = repr(small) + small.tree() + repr(comparison)
    assert {unicodedata.east_asian_width(symbol) for symbol in text} <= {"Na", "N", "A"}


def test_a_table_of_nothing_has_heading_and_total():
    page = Reader(Table("empty", [("a", "b"), ("total", "0")], "lr")._repr_html_())
    assert page.cells == ["empty", "a", "b", "total", "0"]
    assert Reader(html_table([("a",), ("<i>",), ("total",)], "l", "x & y")).count("i") == 0


def test_shapes_are_written_with_crosses():
    assert shapes_text(None) == "did not run"
    assert shapes_text(()) == "scalar"
    assert shapes_text(((3, 8), ())) == "3 x 8, scalar"


def test_profiles_are_equal_if_their_costs_are():
    first, second = (profile_model(small_convnet(), IMAGE) for _ in range(2))
    assert first == second
    assert "tensors" not in ModelProfile.__repr__(first)
