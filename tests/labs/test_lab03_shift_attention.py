"""What lab 03 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch

from autograder.authoring.source import LabSource

from .visible_checks import run_check

LAB = "lab03_shift_attention"


STD = "scores.std(dim=-1, keepdim=True)"
CONVOLVED = "return F.conv2d(images, {}, stride=stride, padding=padding)"
WEIGHT = "self.weight = nn.Parameter(weight)\n"
SCORES = "self.scores = nn.Parameter(torch.rand(out_channels, in_channels, kernel_size**2))\n"
BUFFER = "self.register_buffer('temperature', torch.tensor(float(temperature)))\n"
POSITIONS = "positions = attention.argmax(dim=-1)\n"
GATHERED = "gather(2, positions.unsqueeze(2)).squeeze(2)"
INPUTS = "inputs = torch.arange(images.shape[1])\n"
PRODUCT = "kept[o][None, :, None, None]"
SIZES = (
    "weights, bits = in_channels * out_channels, math.ceil(math.log2(kernel_height * kernel_width))\n"
    "rows = (height + 2 * padding - kernel_height) // stride + 1\n"
    "columns = (width + 2 * padding - kernel_width) // stride + 1\n"
)
MISTAKES = [
    ("normalize", "return scores / (scores.std(dim=-1, keepdim=True, correction=0) + eps)", "the formula has S - 1"),
    ("normalize", f"return (scores - scores.mean(-1, keepdim=True)) / ({STD} + eps)", "you subtracted the mean"),
    ("normalize", "return scores / (scores.var(dim=-1, keepdim=True) + eps)", "you divided by the variance"),
    ("normalize", "return scores", "the first slice was not divided at all"),
    ("normalize", "return scores / (scores.std() + eps)", "one deviation of all scores"),
    ("normalize", "return scores / (scores.std(dim=0, keepdim=True) + eps)", "another dimension than the last"),
    ("normalize", f"return scores / {STD}", "Add eps"),
    ("normalize", "return scores / (scores.std(dim=-1) + eps)", "must match"),
    ("normalize", f"{STD}", "expected a tensor, got None"),
    ("attend", "return torch.softmax(temperature * scores, dim=-1)", "the scores are not normalized"),
    ("attend", "return torch.softmax(normalize(scores) / temperature, dim=-1)", "you divided by the temperature"),
    ("attend", "return torch.softmax(normalize(temperature * scores), dim=-1)", "the temperature has no effect"),
    ("attend", "return torch.softmax(temperature * normalize(scores), dim=0)", "another dimension than the last one"),
    ("attend", "return temperature * normalize(scores)", "take their softmax"),
    (
        "attend",
        "e = torch.exp(temperature * normalize(scores))\nreturn e / e.sum(-1, keepdim=True)",
        "expected finite numbers also at a temperature of 10,000",
    ),
    ("growth_factor", "return (final - initial) / batches", "what to add after every batch"),
    ("growth_factor", "return final / initial / batches", "take a root"),
    ("growth_factor", "return final / initial", "of the whole training"),
    ("growth_factor", "return (final / initial) ** (1 / (batches - 1))", "one batch too few"),
    ("growth_factor", "return (initial / final) ** (1 / batches)", "have changed places"),
    ("growth_factor", "return math.log(final / initial) / batches", "take its exponential"),
    ("growth_factor", "return torch.tensor(final / initial) ** (1 / batches)", "with .item()"),
    ("attended_conv", CONVOLVED.format("weight + attention.reshape(weight.shape)"), "the attention was added"),
    ("attended_conv", CONVOLVED.format("weight"), "the attention has no effect"),
    (
        "attended_conv",
        CONVOLVED.format("weight * attention.unflatten(2, weight.shape[:1:-1]).mT"),
        "the positions run column after column",
    ),
    (
        "attended_conv",
        "return F.conv2d(images, weight * attention.reshape(weight.shape), stride=stride)",
        "expected the shape (1, 1, 2, 2), got (1, 1, 1, 1). Hand the stride and the padding",
    ),
    ("shift_attention", f"{SCORES}{BUFFER}self.weight = weight", "nn.Parameter(...) makes it a parameter"),
    (
        "shift_attention",
        f"{WEIGHT}{SCORES}self.temperature = nn.Parameter(torch.tensor(float(temperature)))",
        "The temperature is not trained: make it a buffer",
    ),
    ("shift_attention", f"{WEIGHT}{SCORES}self.temperature = float(temperature)", "is not saved with the layer"),
    ("shift_attention", f"{WEIGHT}{SCORES.replace('rand', 'randn')}{BUFFER}", "uniformly between 0 and 1"),
    (
        "shift_attention",
        f"{WEIGHT}{SCORES.replace('out_channels, in_channels', 'in_channels, out_channels')}{BUFFER}",
        "expected a parameter scores of shape (6, 4, 9), got (4, 6, 9). Outputs come first",
    ),
    ("empty_slices", "return int((attention.amax(-1) < 0.5).sum())", "round takes 0.5 to 0"),
    ("empty_slices", "return int((attention.round() == 0).sum())", "count the slices in which all do"),
    ("empty_slices", "return (attention.round().sum(-1) == 0).sum()", "with .item()"),
    ("empty_slices", "return float((attention.round().sum(-1) == 0).sum())", "This is a count, a whole number"),
    ("keep_one", "return attention.round()", "at its largest entry, also below 0.5"),
    (
        "keep_one",
        "return F.one_hot(attention.argmax(-1), attention.shape[-1])",
        "expected numbers of type torch.float32",
    ),
    (
        "keep_one",
        "return F.one_hot(attention.argmax(-1)).to(attention.dtype)",
        "expected the shape (2, 2, 3), got (2, 2, 2)",
    ),
    ("keep_one", "return (attention == attention.amax(-1, keepdim=True)).float()", "also where entries are equal"),
    (
        "to_shift",
        f"{POSITIONS.replace('attention', 'weight.flatten(2).abs()')}return weight.flatten(2).{GATHERED}, positions",
        "you took the largest absolute weight: the attention decides",
    ),
    (
        "to_shift",
        f"{POSITIONS}return (weight.flatten(2) * attention).{GATHERED}, positions",
        "you multiplied by the attention",
    ),
    ("to_shift", f"{POSITIONS}return weight.flatten(2).{GATHERED}", "expected a tuple (kept weights, positions)"),
    ("to_shift", f"{POSITIONS}return positions, weight.flatten(2).{GATHERED}", "integers of shape O x I"),
    ("shift_conv", f"outputs.append(convolve(copies[:, :, 0], {PRODUCT}))", "index has no effect"),
    ("shift_conv", f"{INPUTS}outputs.append(convolve(copies[:, inputs, index[:, o]], {PRODUCT}))", "a column of index"),
    (
        "shift_conv",
        f"{INPUTS}outputs.append(convolve(copies[:, inputs, index[o]], torch.ones(1, len(inputs), 1, 1)))",
        "kept has no effect",
    ),
    (
        "shift_conv",
        f"{INPUTS}outputs.append(F.conv2d(copies[:, inputs, index[o]], {PRODUCT}))",
        "and not F.conv2d itself",
    ),
    ("shift_cost", f"{SIZES}return weights, weights * bits, weights * rows * columns", "expected a LayerCost"),
    ("shift_cost", f"{SIZES}return LayerCost(9 * weights, 0, 0)", "one of nine is left"),
    ("shift_cost", f"{SIZES}return LayerCost(weights, 9 * weights, 0)", "a number from 0 to 8 needs fewer"),
    ("shift_cost", f"{SIZES}return LayerCost(weights, 3 * weights, 0)", "three bits tell only eight positions apart"),
    ("shift_cost", f"{SIZES}return LayerCost(weights, bits, 0)", "each of the 24 weights has its own"),
    (
        "shift_cost",
        f"{SIZES}return LayerCost(weights, bits * weights, weights * height * width)",
        "you counted the positions of the input",
    ),
    (
        "shift_cost",
        f"{SIZES}return LayerCost(weights, bits * weights, 9 * weights * rows * columns)",
        "you counted the dense convolution",
    ),
    (
        "shift_cost",
        f"{SIZES.replace('2 * padding', '0')}return LayerCost(weights, bits * weights, weights * rows * columns)",
        "you left out the padding",
    ),
]


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises((AssertionError, RuntimeError)) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


def test_numbers_in_the_text(lab, solved):
    text = " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n", " ")
    cost = solved["shift_cost"]((32, 32), (3, 3), 64, 64, padding=1)
    assert f"{9 * 32 * cost.weights / cost.bits(32):.1f} times for a 3 x 3 kernel at 32 bits" in text
    assert f"$9 / (1 + 4) = {9 * cost.weights / cost.bits(1):.1f}$" in text
    dense, learned = (
        solved["network_cost"](solved["small_network"](solved[make_layer])).bits() for make_layer in ("dense", "shifts")
    )
    shown = f"from {dense / 1000:,.0f} to {learned / 1000:,.0f} kbit, {dense / learned:.1f} times"
    assert shown in text
    torch.manual_seed(0)
    scores = torch.rand(100, 100, 9)
    attention = {t: solved["attend"](scores, t) for t in (2.0, 20.0, 70.0)}
    assert 0.9 < attention[20.0].amax(-1).mean() < 0.95
    shares = {t: solved["empty_slices"](attention[t]) / 100 for t in attention}  # percent of 10,000 slices
    assert f"happens to {shares[2.0]:.0f} % of the slices at T = 2 and still to {shares[20.0]:.1f} % at T = 20" in text
    assert 0 < shares[70.0] < 0.5


def test_converted_network_equals_the_hardened_one(solved):
    """With random weights, so no graded number depends on training."""
    torch.manual_seed(0)
    network = solved["small_network"](solved["shifts"]).eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        one_kept = solved["fixed_attention"](network, solved["keep_one"])
        difference = one_kept(images) - solved["converted"](one_kept)(images)
    assert difference.abs().max() < 1e-5
