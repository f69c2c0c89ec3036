"""What lab 06 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import math

import pytest
import torch

from micronet_resources.profile import profile_model

from .visible_checks import run_check

LAB = "lab06_low_rank"

STEPS = "x = start\nfor _ in range(steps):\n    x = matrix @ x\n    x = x / {}\n"
PAIR = "return (x @ matrix @ x).item(), x"
TRIPLE = (
    "value, v = power_iteration(remaining, start, steps)\nvalues.append(math.sqrt(value))\n"
    "left.append(matrix @ v / values[-1])\nright.append(v)\n"
)
SVD = "u, s, vt = torch.linalg.svd(matrix, full_matrices=False)\n"
NAMED = "s = singular_values\n"
ENERGY = "energy = singular_values.square().cumsum(0)\n"
TWO = "left, right = factors(layer.weight, rank)\nreturn nn.Sequential({})"
CHANNEL = (
    "left, right = factors(layer.weight.flatten(1), rank)\nspatial = right.reshape(rank, *layer.weight.shape[1:])\n"
    "return nn.Sequential(make_conv(spatial, {}), make_conv(left[:, :, None, None], {}))"
)
SIZES = "o, i, h, w = weight.shape\n"
VERTICAL = "make_conv(left.T.reshape(rank, inputs, height, 1), None, (layer.stride[0], 1), (layer.padding[0], 0))"
HORIZONTAL = "right.reshape(rank, outputs, 1, width).transpose(0, 1)"
PAIR_OF = "return nn.Sequential({}, make_conv({}, layer.bias, (1, layer.stride[1]), (0, layer.padding[1])))"
LATE = PAIR_OF.replace("(1, layer.stride[1])", "layer.stride")
LOSSES = "losses = {{n: {} for n, v in spectra.items() if {}}}\nreturn min(losses, key=losses.get)"
LOSS = "(v[ranks[n] - 1] / v.norm()).item() ** 2 / macs[n]"
MISTAKES = [
    ("power_iteration", "x = matrix @ start\nreturn (x @ matrix @ x).item(), x", "is not divided by its length"),
    ("power_iteration", STEPS.format("x.abs().max()") + PAIR, "you divided by the largest entry"),
    ("power_iteration", STEPS.format("x.sum()") + PAIR, "you divided by the sum of the entries"),
    ("power_iteration", STEPS.format("x.norm()") + "return (start @ matrix @ start).item(), x", "you took the start"),
    ("power_iteration", STEPS.format("x.norm()") + "return (matrix @ x).norm().item(), x", "the length of M x"),
    ("power_iteration", STEPS.format("x.norm()") + "return abs((x @ matrix @ x).item()), x", "the sign is lost"),
    ("power_iteration", STEPS.format("x.norm()") + "return x @ matrix @ x, x", "with .item()"),
    ("power_iteration", STEPS.format("x.norm()").replace("@ x\n", "@ start\n") + PAIR, "every step begins with start"),
    ("power_iteration", STEPS.format("1") + "x = x / x.norm()\n" + PAIR, "Divide by the length in every step"),
    ("power_iteration", STEPS.format("x.norm()"), "expected a tuple (value, vector), got None"),
    ("svd_by_power", TRIPLE, "The first component was found twice"),
    ("svd_by_power", TRIPLE + "remaining - value * torch.outer(v, v)", "assign the result to remaining"),
    ("svd_by_power", TRIPLE + "remaining = remaining - torch.outer(v, v)", "v alone has length one"),
    ("svd_by_power", TRIPLE + "remaining = remaining - values[-1] * torch.outer(v, v)", "which is sigma squared"),
    (
        "svd_by_power",
        TRIPLE.replace("math.sqrt(value)", "value") + "remaining = remaining - value * torch.outer(v, v)",
        "take square roots",
    ),
    (
        "svd_by_power",
        TRIPLE.replace(" / values[-1]", "") + "remaining = remaining - value * torch.outer(v, v)",
        "Divide A v by sigma",
    ),
    (
        "svd_by_power",
        TRIPLE.replace("left.append(matrix @ v / values[-1])", "left.append(v)")
        + "remaining = remaining - value * torch.outer(v, v)",
        "Append u, with 7 entries, to left",
    ),
    (
        "svd_by_power",
        TRIPLE.replace("matrix @ v /", "-matrix @ v /") + "remaining = remaining - value * torch.outer(v, v)",
        "has the right sign",
    ),
    ("factors", SVD + "return u[:, :rank], vt[:rank]", "the singular values are missing"),
    ("factors", SVD + "return u[:, :rank] * s[:rank].sqrt(), vt[:rank]", "a root on each side"),
    ("factors", SVD + "return u[:, :rank] * s[:rank], s[:rank, None] * vt[:rank]", "together they must have it once"),
    ("factors", SVD + "return u[:, :rank] * s[:rank], vt.T[:rank]", "which is transposed already"),
    ("factors", SVD + "return u[:rank], vt[:rank]", "expected L of the shape (7, 2)"),
    ("factors", SVD.replace("matrix,", "matrix.float(),") + "return u[:, :rank], vt[:rank]", "expected float64"),
    ("factors", SVD + "return u[:, :rank] * s[:rank] @ vt[:rank]", "expected a tuple (L, R)"),
    ("relative_error", NAMED + "return (s[rank:].square().sum() / s.square().sum()).item()", "the root"),
    ("relative_error", NAMED + "return s[rank:].norm().item()", "not divided by the length"),
    ("relative_error", NAMED + "return (s[rank:].sum() / s.sum()).item()", "instead of their squares"),
    ("relative_error", NAMED + "return (s[:rank].norm() / s.norm()).item()", "that are kept"),
    ("relative_error", NAMED + "return (s[rank + 1:].norm() / s.norm()).item()", "one component too few"),
    ("relative_error", NAMED + "return s[rank:].norm() / s.norm()", "with .item()"),
    ("energy_rank", ENERGY + "return int((energy / energy[-1] < share).sum())", "the rank is one more"),
    ("energy_rank", ENERGY + "return int((energy / energy[-1] <= share).sum()) + 1", "with exactly 0.75 is enough"),
    ("energy_rank", ENERGY.replace(".square()", "") + "return int((energy / energy[-1] < share).sum()) + 1", "square"),
    ("energy_rank", ENERGY + "return (energy / energy[-1] < share).sum() + 1", "with .item()"),
    ("energy_rank", ENERGY + "return 1.0 + (energy / energy[-1] < share).sum().item()", "a whole number"),
    ("low_rank_linear", TWO.format("make_linear(right), make_linear(left)"), "then 2 to 3 (L, with the bias)"),
    ("low_rank_linear", TWO.format("make_linear(left), make_linear(right, layer.bias)"), "First 5 to 2 features"),
    ("low_rank_linear", TWO.format("make_linear(right), make_linear(left, 2 * layer.bias)"), "must be the given bias"),
    ("low_rank_linear", TWO.format("make_linear(2 * right), make_linear(left, layer.bias)"), "must not change a thing"),
    ("low_rank_linear", "return factors(layer.weight, rank)", "expected nn.Sequential(first, second)"),
    ("largest_useful_rank", "return inputs * outputs // (inputs + outputs)", "at which nothing is saved"),
    ("largest_useful_rank", "return -(-inputs * outputs // (inputs + outputs))", "you rounded up"),
    ("largest_useful_rank", "return min(inputs, outputs)", "this is the full rank"),
    ("largest_useful_rank", "return inputs * outputs / (inputs + outputs)", "// gives one"),
    ("channel_layers", CHANNEL.format("None, layer.stride, layer.padding", "None"), "with the layer's bias"),
    ("channel_layers", CHANNEL.format("None", "layer.bias"), "The first step has the stride and the padding"),
    ("channel_layers", CHANNEL.format("None, 1, layer.padding", "layer.bias, layer.stride"), "1 x 1 step has neither"),
    (
        "channel_layers",
        CHANNEL.format("None, layer.stride, layer.padding", "layer.bias").replace("layer.weight.", "layer.weight.mT."),
        "rank 2 must not change a thing",
    ),
    ("separable_matrix", SIZES + "return weight.reshape(i * h, o * w)", "Permute, then reshape"),
    ("separable_matrix", SIZES + "return weight.permute(0, 2, 1, 3).reshape(o * h, i * w)", "stands at the upper left"),
    ("separable_matrix", SIZES + "return weight.permute(1, 3, 0, 2).reshape(i * w, o * h)", "the shape (4, 6)"),
    ("separable_layers", PAIR_OF.format(VERTICAL, "right.reshape(outputs, rank, 1, width)"), "change places"),
    ("separable_layers", PAIR_OF.format(VERTICAL.replace("left.T", "left"), HORIZONTAL), "Is L transposed"),
    (
        "separable_layers",
        LATE.format(VERTICAL.replace("layer.stride[0]", "1"), HORIZONTAL),
        "The vertical step has stride and padding of the rows",
    ),
    ("separable_layers", PAIR_OF.format(VERTICAL, HORIZONTAL).replace("layer.bias", "None"), "with the layer's bias"),
    ("separable_macs", "return after[0] * after[1] * rank * (kernel[0] * inputs + kernel[1] * outputs)", "all 12"),
    (
        "separable_macs",
        "return rank * (before[0] * before[1] * kernel[0] * inputs + after[0] * after[1] * kernel[1] * outputs)",
        "its map has 5 of them, not 10",
    ),
    (
        "separable_macs",
        "return after[0] * (before[1] * kernel[0] * inputs + after[1] * kernel[1] * outputs)",
        "you left out the rank",
    ),
    ("cheapest", LOSSES.format("(v[ranks[n] - 1] / v.norm()).item() ** 2", "ranks[n] > 1"), "divide by them"),
    ("cheapest", LOSSES.format("v[ranks[n] - 1].item() ** 2 / macs[n]", "ranks[n] > 1"), "the layer's own energy"),
    ("cheapest", LOSSES.format("(v[-1] / v.norm()).item() ** 2 / macs[n]", "ranks[n] > 1"), "look at the second ones"),
    ("cheapest", LOSSES.format("(v[ranks[n] - 1] / v.norm() ** 2).item() / macs[n]", "ranks[n] > 1"), "0.09/0.45"),
    ("cheapest", LOSSES.format(LOSS.replace("v.norm()", "v[: ranks[n]].norm()"), "ranks[n] > 1"), "of ALL the energy"),
    ("cheapest", LOSSES.format(LOSS, "True"), "has one component left, and keeps it"),
    ("cheapest", LOSSES.format("(v[ranks[n] - 1] / v.sum()).item() / macs[n]", "ranks[n] > 1"), "energy means squares"),
    ("cheapest", LOSSES.format(LOSS, "ranks[n] > 1").replace("min(", "max("), "1/14 and 1/11"),
    ("cheapest", "return 0", "expected the name of a layer"),
]  # fmt: skip


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises(AssertionError) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


@pytest.fixture(scope="module")
def text(lab) -> str:
    return " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n", " ")


def test_ratings_of_the_text(solved, text):
    ratings = solved["movie_ratings"]()
    values = torch.linalg.svdvals(ratings)
    assert "12.48, 9.51 and 1.35" in text
    assert [round(value, 2) for value in values[:3].tolist()] == [12.48, 9.51, 1.35]
    kept = [100 * (1 - solved["relative_error"](values, rank) ** 2) for rank in (1, 2)]
    assert f"with {kept[1]:.1f} % of the energy; rank 1 has only {kept[0]:.1f} %" in text
    left, right = solved["factors"](ratings, 2)
    fifth = (left @ right)[4].tolist()
    assert f"{fifth[0]:.2f}. User 5" in text and f"{fifth[1]:.2f} instead of 2" in text


def test_costs_of_the_text(solved, text):
    network = solved["build_network"]()
    dense = profile_model(network, (1, 8, 8))
    assert f"{dense.params:,} parameters, {dense.macs:,} MACs" in solved["build_network"].__doc__
    assert f"from {dense.macs:,} to" in text
    macs = solved["component_macs"]()
    layers = {layer.name: layer.macs for layer in dense.layers}
    assert layers["2"] / macs["2"] == 48 and layers["4"] / macs["4"] == 48
    assert "Break-even is at rank 48" in text and "the break-even is at 48" in text
    assert f"= {39 * macs['2']:,}$ MACs".replace(",", "{,}") in text
    assert f"instead of {layers['2']:,}, {layers['2'] / (39 * macs['2']):.2f} times fewer" in text
    assert f"{64 * macs['7']:,} instead of {layers['7']:,}" in text


def test_compressed_layers_cost_what_the_lab_says(solved):
    """The MACs of a component, times the ranks, are what the profiler counts; full rank changes no output."""
    network = solved["build_network"]()
    dense, macs = profile_model(network, (1, 8, 8)), solved["component_macs"]()
    others = sum(layer.macs for layer in dense.layers if layer.name not in macs)
    for ranks in solved["make_plans"](network).values():
        costs = profile_model(solved["compress"](network, ranks), (1, 8, 8))
        assert costs.macs == others + sum(macs[name] * rank for name, rank in ranks.items())
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    full = solved["compress"](network, {"2": 96, "4": 96, "7": 64})
    torch.testing.assert_close(full(images), network(images), rtol=1e-4, atol=1e-5)


def test_plans_keep_their_budgets(solved):
    network = solved["build_network"]()
    macs, spectra = solved["component_macs"](), solved["network_spectra"](network)
    for budget in (50_000, 200_000, 10**7):
        ranks = solved["ranks_within"](spectra, macs, budget)
        assert sum(macs[name] * rank for name, rank in ranks.items()) <= budget
    assert ranks == {name: len(values) for name, values in spectra.items()}
    with pytest.raises(ValueError, match="one component of each layer needs 19,520 MACs"):
        solved["ranks_within"](spectra, macs, 1000)


def test_the_energy_of_the_photograph_is_in_one_component(lab, solved, text):
    cell = next(cell for cell in lab.cells if "china.jpg" in cell.text)
    namespace = dict(solved)
    exec(compile(cell.text.partition("fig, axes")[0], "photograph", "exec"), namespace)
    ranks = [solved["energy_rank"](namespace["spectrum"], share) for share in (0.9, 0.99)]
    assert "A single column times a row has 90 % of the energy" in text
    assert ranks[0] == 1 and ranks[1] > 10
    assert math.isclose(solved["relative_error"](torch.tensor([3.0, 1.0]), 1), math.sqrt(0.1), rel_tol=1e-6)
