"""What lab 04 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch

from autograder.authoring.source import LabSource

from .visible_checks import run_check

LAB = "lab04_weight_sharing"


DISTANCES = "(points[:, None] - centroids)"
MEANS = (
    "moved = centroids.clone()\nfor k in range(len(centroids)):\n    if (labels == k).any():\n        moved[k] = {}\n"
)
ROUND = (
    "centroids = move(points, labels, centroids)\nbefore, labels = labels, nearest(points, centroids)\n"
    "errors.append(mean_squared_distance(points, centroids, labels))\n"
)
SQUARED = "squared = (points - centroids[nearest(points, centroids)]).square().sum(dim=1)\n"
BITS = "bits = math.ceil(math.log2(k))\n"
FOUND = (
    "values = weight.reshape(-1, 1)\nstart = torch.linspace(values.min(), values.max(), k)[:, None]\n"
    "found = lloyd(values, start)\n"
)
COPY = "shared = copy.deepcopy(network)\n"
REPLACED = "for name, b in bits.items():\n    {0}.set_submodule(name, SharedConv2d({0}.get_submodule(name), {1}))\n"
FREEZE = "network.requires_grad_(False)\nlayers = [x for x in network.modules() if isinstance(x, SharedConv2d)]\n"
MISTAKES = [
    ("nearest", f"return {DISTANCES}.abs().sum(2).argmin(1)", "differences instead of squares"),
    ("nearest", f"return {DISTANCES}.square().sum(2).argmax(1)", "argmin, not argmax"),
    ("nearest", f"return {DISTANCES}.square().sum(2).argmin(0)", "expected the shape (4,), got (2,)"),
    (
        "nearest",
        f"return {DISTANCES}.square().sum(2).amin(1)",
        "expected numbers of type torch.int64, got torch.float32",
    ),
    ("nearest", f"{DISTANCES}.square().sum(2).argmin(1)", "expected a tensor, got None"),
    ("move", "return torch.stack([points[labels == k].mean(0) for k in range(3)])", "the mean of no points"),
    (
        "move",
        "return torch.stack([points[labels == k].sum(0) / max(1, sum(labels == k)) for k in range(3)])",
        "became zero",
    ),
    ("move", MEANS.format("points[labels == k].sum(0) / len(points)") + "return moved", "the number of all points"),
    ("move", MEANS.format("points[labels == k].sum(0)") + "return moved", "without dividing"),
    ("move", MEANS.format("points[labels == k].mean(0)"), "expected a tensor, got None"),
    ("move", "return centroids", "the centroids did not move"),
    (
        "move",
        MEANS.replace("centroids.clone()", "centroids").format("points[labels == k].mean(0)") + "return moved",
        "clone first",
    ),
    ("lloyd", "pass", "the centroids never move"),
    ("lloyd", ROUND + "break", "it stops after one round"),
    ("lloyd", ROUND + "if len(errors) == 3:\n    break", "it stops after two rounds"),
    ("lloyd", ROUND, "stop after the first round that changes no label"),
    (
        "lloyd",
        ROUND.replace("errors.append", "") + "if torch.equal(labels, before):\n    break",
        "Append one in each round",
    ),
    (
        "lloyd",
        "centroids = move(points, labels, centroids)\n"
        "errors.append(mean_squared_distance(points, centroids, labels))\n"
        "before, labels = labels, nearest(points, centroids)\nif torch.equal(labels, before):\n    break",
        "Take the error after the points are labeled anew",
    ),
    ("chances", SQUARED + "return squared.sqrt() / squared.sqrt().sum()", "without the square"),
    ("chances", SQUARED + "return squared", "do not sum to one"),
    ("chances", "s = (points - centroids[0]).square().sum(1)\nreturn s / s.sum()", "to the first centroid only"),
    ("chances", "s = (points - centroids[-1]).square().sum(1)\nreturn s / s.sum()", "to the last centroid only"),
    ("chances", f"s = {DISTANCES}.square().sum((1, 2))\nreturn s / s.sum()", "to all centroids together"),
    ("stored_bits", "return k * size * value_bits", "you left out the indices"),
    ("stored_bits", "return k * size * value_bits + count * int(math.log2(k))", "you rounded down"),
    ("stored_bits", "return k * size * value_bits + count * k", "you counted k bits for an index"),
    ("stored_bits", "return k * size * value_bits + count * value_bits", "you counted 32 bits for an index"),
    ("stored_bits", BITS + "return k * value_bits + count * bits", "one value for an entry"),
    ("stored_bits", BITS + "return k * size * value_bits + bits", "each of the 10 points has its own"),
    ("stored_bits", BITS + "return count * size * value_bits + count * bits", "a codebook entry for each point"),
    ("stored_bits", BITS + "return k * size * 32 + count * bits", "value_bits has no effect"),
    ("stored_bits", BITS + "return float(k * size * value_bits + count * bits)", "math.ceil and // give one"),
    ("share_weight", FOUND + "return found", "expected a tuple (centroids, index)"),
    ("share_weight", FOUND + "return start.flatten(), found.labels.reshape(weight.shape)", "before k-means"),
    ("share_weight", FOUND + "return found.centroids, found.labels", "expected the shape (3,), got (3, 1)"),
    ("share_weight", FOUND + "return found.centroids.flatten(), found.labels", "in the shape of the weight"),
    (
        "share_weight",
        "values = weight.reshape(-1, 1)\nstart = torch.quantile(values, torch.linspace(0, 1, k))[:, None]\n"
        "found = lloyd(values, start)\nreturn found.centroids.flatten(), found.labels.reshape(weight.shape)",
        "nobody chooses the second one",
    ),
    ("shared_conv", "self.centroids, self.index = centroids, index", "got none. nn.Parameter(...)"),
    ("shared_conv", "self.centroids = nn.Parameter(centroids)\nself.index = index", "Use self.register_buffer"),
    (
        "shared_conv",
        "self.centroids = nn.Parameter(centroids.flip(0))\nself.register_buffer('index', index)",
        "sharing three must not change a thing",
    ),
    (
        "centroid_gradient",
        "return torch.stack([gradient[index == j].sum() / max(1, sum(index.flatten() == j)) for j in range(k)])",
        "you took means",
    ),
    ("centroid_gradient", "return torch.stack([gradient[index == j].mean() for j in range(k)])", "zero by zero"),
    (
        "centroid_gradient",
        "sums = torch.zeros(k)\nfor i, g in zip(index.flatten(), gradient.flatten()):\n    sums[i] = g\nreturn sums",
        "only one gradient of each value was kept",
    ),
    ("centroid_gradient", "return index.flatten().bincount(minlength=k).float()", "you counted the weights"),
    (
        "centroid_gradient",
        "return torch.stack([gradient[index == j].sum() for j in range(3)])",
        "expected the shape (4,)",
    ),
    ("share_network", COPY + REPLACED.format("shared", "b") + "return shared", "2**b for b bits"),
    ("share_network", COPY + REPLACED.format("shared", "2**b"), "expected a network, got None"),
    ("share_network", REPLACED.format("network", "2**b") + "return network", "make a deep copy, and change the copy"),
    ("share_network", COPY + "return shared", "got none: 2**b for b bits"),
    ("train_only_codebooks", FREEZE + "return len(layers)", "you counted the layers"),
    ("train_only_codebooks", "return sum(p.numel() for p in network.parameters())", "you counted all parameters"),
    ("train_only_codebooks", FREEZE + "return sum(x.centroids.numel() for x in layers)", "trained, got []"),
    ("train_only_codebooks", "return 6", "expected the centroids alone to be trained, got ['0.centroids', '1.bias'"),
]


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises(AssertionError) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


def test_numbers_in_the_text(lab, solved):
    text = " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n# ", " ").replace("\n", " ")
    network = solved["small_convnet"]((16, 32), in_channels=1)
    total = sum(parameter.numel() for parameter in network.parameters())
    convolutions = [layer for layer in network if isinstance(layer, torch.nn.Conv2d)]
    weights = sum(layer.weight.numel() for layer in convolutions)
    assert f"The network has {total:,} parameters before" in text
    assert f"whose {weights:,} convolution weights" in text
    bits = {
        b: solved["network_bits"](solved["share_network"](network, solved["all_convolutions"](network, b)))
        for b in (1, 2, 3)
    }
    whole = solved["network_bits"](network)
    assert whole == 32 * total
    others = total - weights
    assert (
        f"The {others} parameters that are not shared took {32 * others / whole:.0%} of the".replace("%", " %") in text
    )
    assert f"from {whole / 1000:.0f} to {bits[1] / 1000:.0f} kbit, {whole / bits[1]:.0f} times" in text
    assert 0.45 < 32 * others / bits[1] < 0.55  # "half of what is left"
    assert f"{whole / bits[2]:.1f} times smaller. 3 bits" in text
    assert f"still {whole / bits[3]:.1f} times smaller" in text
    largest = convolutions[-1].weight.numel()
    assert f"2 values instead of {largest:,}, so {1 - 2 / largest:.2%}".replace("%", " %") in text
    true_factor = 1 - solved["stored_bits"](largest, 1, 16) / (32 * largest)
    assert f"{1 - 16 / largest:.2%} is really {true_factor:.0%}".replace("%", " %") in text


def test_worked_example_of_the_text(lab, solved):
    points = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0]])
    errors = solved["lloyd"](points, torch.tensor([[0.0], [1.0]])).errors
    text = " ".join(cell.text for cell in lab.of_kind("text")).replace("\n", " ")
    assert f"$E = {errors[0]:.0f}$" in text
    assert f"change over to the first: {errors[1]:.1f}." in text
    assert f"3 changes over: {errors[2]:.1f}." in text
    assert f"no label to change: {errors[3]:.2f}." in text
