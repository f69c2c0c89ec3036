"""What lab 02 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import pytest

from .visible_checks import run_check

LAB = "lab02_mobilenet"


DEPTHWISE = "depthwise = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)\n"
POINTWISE = "pointwise = conv_norm(in_channels, out_channels, 1)\n"
BLOCK = "return nn.Sequential(*depthwise, nn.ReLU(), *pointwise, nn.ReLU())"
SCALED = "scaled = round_channels(width * out_channels)\n"
AFFORDABLE = "affordable = [width for width in widths if macs_of(width) <= budget]\n"
HIDDEN = "hidden = expansion * in_channels\n"
EXPAND = "layers = [*conv_norm(in_channels, hidden, 1), nn.ReLU6()] if expansion > 1 else []\n"
FILTER = "layers += [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()]\n"
PROJECT = "layers += conv_norm(hidden, out_channels, 1)\n"
LAYERS = "return nn.Sequential(*layers)"
FITS = "changed = self.layers(maps)\nfits = self.stride == 1 and self.in_channels == self.out_channels\n"
MISTAKES = [
    ("separable_block", DEPTHWISE + POINTWISE + "nn.Sequential(*depthwise)", "got None"),
    (
        "separable_block",
        DEPTHWISE.replace("groups=in_channels", "groups=1") + POINTWISE + BLOCK,
        "The depthwise step has the stride, and in_channels outputs and groups",
    ),
    (
        "separable_block",
        DEPTHWISE.replace("stride=stride, ", "") + POINTWISE + BLOCK,
        "expected convolutions with the strides [2, 1], got [1, 1]. The depthwise step has the stride",
    ),
    (
        "separable_block",
        DEPTHWISE + POINTWISE + BLOCK.replace("nn.ReLU(), *p", "*p"),
        "convolution, normalization, ReLU",
    ),
    (
        "separable_block",
        DEPTHWISE + POINTWISE + BLOCK.replace("*depthwise", "depthwise[0]"),
        "expected batch normalization of [4, 6] maps, got [6]",
    ),
    (
        "separable_block",
        "return nn.Sequential(nn.Conv2d(4, 4, 3, stride, 1, groups=4), nn.BatchNorm2d(4), nn.ReLU(), "
        "nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.ReLU())",
        "expected no bias in any convolution",
    ),
    (
        "round_channels",
        "return 1.0 * multiple * int(channels / multiple + 0.5)",
        "expected an int for 64 channels, got 64.0",
    ),
    ("round_channels", "pass", "got None"),
    ("round_channels", "return multiple * int(channels / multiple)", "middles go up"),
    (
        "round_channels",
        "r = max(multiple, multiple * round(channels / multiple))\nreturn r if r >= 0.9 * channels else r + multiple",
        "Python's round() goes to the even neighbor",
    ),
    ("round_channels", "return multiple * int(channels / multiple + 0.5)", "expected 8 for 3 channels, got 0"),
    ("round_channels", "return multiple * max(1, int(channels / multiple + 0.5))", "16 is nearest, but less than 0.9"),
    ("build_mobilenet", SCALED + "layers.append(separable_block(channels, scaled, stride))", "next block's input"),
    (
        "build_mobilenet",
        SCALED + "layers.append(separable_block(channels, scaled))\nchannels = scaled",
        "Does each block take its stride from the plan?",
    ),
    ("widest_within", AFFORDABLE + "return max(affordable)", ""),
    ("widest_within", AFFORDABLE + "return affordable[-1] if affordable else 0", "expected the width 1.0"),
    (
        "widest_within",
        AFFORDABLE + "return max(affordable, default=None)",
        "where even the cheapest costs 100, got None",
    ),
    (
        "widest_within",
        AFFORDABLE.replace("<=", "<") + "return max(affordable)",
        "at most: 4000 is within 4000",
    ),
    (
        "widest_within",
        AFFORDABLE + "if not affordable:\n    raise ValueError('too little')\nreturn max(affordable)",
        "expected a message with the smallest cost, 100, got 'too little'",
    ),
    ("through_layer", "return nonlinearity(points @ matrix.T)", "expected the shape (3, 2), got (3, 3)"),
    ("through_layer", "return torch.relu(points @ matrix.T) @ torch.linalg.pinv(matrix).T", "Without a nonlinearity"),
    ("through_layer", "return points @ matrix.T @ torch.linalg.pinv(matrix).T", "only the ReLU is left"),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND + FILTER + PROJECT + "return layers",
        "expected a network (an nn.Module), got [",
    ),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND + FILTER + PROJECT + LAYERS.replace("*layers", "*layers, nn.ReLU6()"),
        "There is ReLU6 behind the projection: the bottleneck is linear.",
    ),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND + FILTER + PROJECT + LAYERS.replace("*layers", "*layers, nn.ReLU()"),
        "There is ReLU behind the projection: the bottleneck is linear.",
    ),
    (
        "bottleneck_layers",
        (HIDDEN + EXPAND + FILTER + PROJECT + LAYERS).replace("ReLU6", "ReLU"),
        "There is ReLU instead of ReLU6.",
    ),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND.replace(", nn.ReLU6()", "") + FILTER + PROJECT + LAYERS,
        "There is no ReLU6 behind the expansion.",
    ),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND + FILTER.replace(", nn.ReLU6()", "") + PROJECT + LAYERS,
        "There is no ReLU6 behind the depthwise step.",
    ),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND.replace(" if expansion > 1 else []", "") + FILTER + PROJECT + LAYERS,
        "With expansion 1, nothing is expanded.",
    ),
    (
        "bottleneck_layers",
        HIDDEN + EXPAND + FILTER.replace("groups=hidden", "groups=in_channels") + PROJECT + LAYERS,
        "filter the 12 depthwise",
    ),
    ("inverted_residual", "return self.layers(maps)", "expected the input plus the layers' output"),
    ("inverted_residual", FITS + "return F.relu6(maps + changed) if fits else changed", "Stride 1 and 4 maps"),
    (
        "inverted_residual",
        FITS + "if fits:\n    maps += changed\n    return maps\nreturn changed",
        "use +, not +=",
    ),
    (
        "build_mobilenet_v2",
        SCALED + "for number in range(repeats):\n"
        "    layers.append(InvertedResidual(channels, scaled, stride, expansion))\n    channels = scaled",
        "Has only the first block of a stage its stride?",
    ),
    (
        "build_mobilenet_v2",
        SCALED + "layers.append(InvertedResidual(channels, scaled, stride, expansion))\nchannels = scaled",
        "Each stage has `repeats` blocks.",
    ),
    ("write_entry", "torch.onnx", "expected write_entry(network, path) to write practice.onnx, got no file"),
]


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises((AssertionError, ValueError)) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


def test_numbers_in_the_text(lab, given):
    text = " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n", " ")
    answers = "".join(cell.text for cell in lab.of_kind("written")).replace("\n", " ")
    namespace = dict(given)
    for cell in lab.of_kind("exercise"):
        exec(compile(cell.text, cell.name, "exec"), namespace)
    shape = (3, 32, 32)
    macs = {
        width: namespace["profile_model"](namespace["build_mobilenet"](width), shape).macs for width in (0.25, 0.5, 1)
    }
    assert f"Half the width needs {macs[1] / macs[0.5]:.1f} times fewer MACs, not 4" in text
    assert f"a quarter {macs[1] / macs[0.25]:.1f} times fewer, not 16" in text
    assert f"the first version needs {macs[1] / macs[0.25]:.1f} times the MACs that it needs at 0.25" in text
    assert f"v1 needs {macs[0.5]:,} instead of {macs[1]:,} MACs" in answers
    macs_v2 = {
        width: namespace["profile_model"](namespace["build_mobilenet_v2"](width), shape).macs for width in (0.5, 1)
    }
    assert f"(v2 comes to {macs_v2[1] / macs_v2[0.5]:.1f}" in answers
    shortcuts = {
        width: sum(
            block.stride == 1 and block.in_channels == block.out_channels
            for block in namespace["build_mobilenet_v2"](width).modules()
            if isinstance(block, namespace["InvertedResidual"])
        )
        for width in (0.5, 1.0)
    }
    assert shortcuts == {0.5: 3, 1.0: 2}
    assert "Two at $\\alpha = 1$" in text
    assert "Three at $\\alpha = 0.5$" in text
    weights = [layer.weight.numel() for layer in namespace["bottleneck_layers"](32, 32, 1, 4)[::3]]
    assert f"= {sum(weights):,}".replace(",", "{,}") in text
