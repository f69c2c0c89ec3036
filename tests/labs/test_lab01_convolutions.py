"""What lab 01 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import pytest

from .visible_checks import run_check

LAB = "lab01_convolutions"


PARAMS = "return out_channels * (in_channels // groups) * kernel_height * kernel_width"
OUTPUT = "out_height, out_width = output_size(input_size, kernel_size, stride, padding)\n"
WEIGHTS = "conv_params(kernel_size, in_channels, out_channels, groups=groups)"
DEPTHWISE = (
    "depthwise = conv_macs(input_size, kernel_size, in_channels, in_channels, stride=stride, padding=padding, "
    "groups=in_channels)\nmiddle_size = output_size(input_size, kernel_size, stride, padding)\n"
)
POINTWISE = "conv_macs(middle_size, (1, 1), in_channels, out_channels)"
SVD = "u, s, vh = torch.linalg.svd(kernel)\n"
RANK = "if s[1] > tolerance * s[0]:\n    raise ValueError('rank')\n"
SIZES = "sizes = conv.in_channels, conv.out_channels, conv.kernel_size\n"
BIAS = "bias=conv.bias is not None"
PARTS = "parts = zip(images.chunk(groups, dim=1), weight.chunk(groups), strict=True)\n"
MISTAKES = [
    ("conv_params", f"{PARAMS} + out_channels", "added biases although bias=False"),
    ("conv_params", PARAMS, "biases are missing"),
    ("conv_params", f"{PARAMS} + bias", "one for each output map"),
    ("conv_params", f"{PARAMS} + in_channels * bias", "for each input map"),
    ("conv_params", PARAMS.replace("//", "/"), "divide with // instead of /"),
    (
        "conv_params",
        PARAMS.replace("(in_channels // groups)", "in_channels") + " + out_channels * bias",
        "left out the",
    ),
    ("conv_params", PARAMS.replace("// groups", "* groups") + " + out_channels * bias", "multiplied by groups"),
    ("conv_params", PARAMS + " // groups + out_channels * bias", "divided by groups twice"),
    ("conv_params", PARAMS.replace("_width", "_height") + " + out_channels * bias", "height twice"),
    ("conv_params", PARAMS.replace("_height", "_width") + " + out_channels * bias", "width twice"),
    ("conv_params", "pass", "got None of type NoneType"),
    ("conv_params", "print(out_channels)", "Does the function return its result?"),
    ("conv_macs", f"return input_size[0] * input_size[1] * {WEIGHTS}", "positions of the output"),
    ("conv_macs", f"{OUTPUT}return 2 * out_height * out_width * {WEIGHTS}", "FLOPs"),
    ("conv_macs", f"{OUTPUT}return out_height * out_width * ({WEIGHTS} + out_channels)", "adding a bias is no MAC"),
    ("conv_macs", f"{OUTPUT}return out_height * out_width * {WEIGHTS.replace('groups=groups', '')}", "the groups"),
    ("conv_macs", f"{OUTPUT.replace('stride', '1')}return out_height * out_width * {WEIGHTS}", "left out the stride"),
    (
        "conv_macs",
        f"{OUTPUT.replace(', padding', '')}return out_height * out_width * {WEIGHTS}",
        "left out the padding",
    ),
    (
        "conv_macs",
        f"return output_size(input_size, kernel_size, stride, padding) * {WEIGHTS}",
        "output_size gives a pair: multiply its two numbers.",
    ),
    (
        "separable_macs",
        f"{DEPTHWISE.replace('groups=in_channels', '')}return depthwise + {POINTWISE}",
        "mixes the maps",
    ),
    ("separable_macs", f"{DEPTHWISE}return depthwise + {POINTWISE.replace('middle', 'input')}", "input's 7 x 7"),
    ("separable_macs", f"{DEPTHWISE}return depthwise + in_channels * out_channels", "once instead of at every"),
    ("separable_macs", f"{DEPTHWISE}return depthwise", "pointwise step is missing"),
    ("separable_macs", f"{DEPTHWISE}return {POINTWISE}", "depthwise step is missing"),
    ("separable_macs", f"{DEPTHWISE}return depthwise * {POINTWISE}", "their costs add"),
    ("separable_macs", f"{DEPTHWISE}return depthwise + {POINTWISE[:-1]}, stride=stride)", "stride acts twice"),
    (
        "separable_macs",
        f"{DEPTHWISE}return depthwise + {POINTWISE[:-1]}, padding=padding)",
        "pointwise step has a padding",
    ),
    (
        "separable_macs",
        f"{DEPTHWISE.replace('in_channels, stride', 'out_channels, stride')}return depthwise + {POINTWISE}",
        "already has 128 outputs",
    ),
    ("separable_macs", "return conv_macs(input_size, kernel_size, in_channels, out_channels)", "the dense convolution"),
    (
        "separable_macs",
        f"{DEPTHWISE.replace('stride=stride', 'stride=1').replace('stride,', '1,')}return depthwise + {POINTWISE}",
        "left out the stride",
    ),
    (
        "separable_macs",
        f"{DEPTHWISE.replace('padding=padding', 'padding=0').replace('padding)', '0)')}return depthwise + {POINTWISE}",
        "left out the padding",
    ),
    ("smallest_width", "return int(1 / (1 / factor - 1 / kernel_size**2))", "Do you round up?"),
    ("smallest_width", "return 1 / (1 / factor - 1 / kernel_size**2)", "Returned, and rounded up?"),
    (
        "smallest_width",
        "return 1 + math.ceil(1 / (1 / factor - 1 / kernel_size**2))",
        "expected the smallest width, got 33",
    ),
    ("smallest_width", "return math.ceil(1 / (1 / factor - 1 / kernel_size**2))", "the ratio is never below 1/9"),
    (
        "smallest_width",
        "if factor >= 9:\n    raise ValueError('impossible')\nreturn math.ceil(1 / (1 / factor - 1 / kernel_size**2))",
        "expected a message that names the limit 9, got 'impossible'",
    ),
    ("separate", f"{SVD}{RANK}return u[:, :1], vh[:1]", "Is the singular value there, exactly once?"),
    ("separate", f"{SVD}{RANK}return s[0] * u[:, 0], vh[0]", "Slices such as u[:, :1] keep both dimensions"),
    ("separate", f"{SVD}{RANK}return s[0] * u[:, :1], vh[:, :1].T", "V or V^T?"),
    ("separate", f"{SVD}return s[0] * u[:, :1], vh[:1]", "expected a ValueError for the Laplacian, which is of rank 2"),
    ("separate", f"{SVD}{RANK.replace(' * s[0]', '')}return s[0] * u[:, :1], vh[:1]", "Laplacian times 1e-6"),
    ("separate", f"{SVD}{RANK.replace('rank', 'no')}return s[0] * u[:, :1], vh[:1]", "message with the word 'rank'"),
    ("separate", f"{SVD}return (s[0] * u[:, :1]) @ vh[:1]", "expected a tuple (column, row)"),
    ("filter_separably", "return convolve(images, (column @ row)[None, None])", "expected two convolutions"),
    ("filter_separably", "return F.conv2d(images, (column @ row)[None, None])", "not F.conv2d itself"),
    (
        "filter_separably",
        "return convolve(images, column[None, None])",
        "expected the shape (1, 1, 2, 3), got (1, 1, 2, 5)",
    ),
    ("depthwise_separable", "self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size)\n", "Without groups"),
    (
        "depthwise_separable",
        "self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels)\n"
        "self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)",
        "The depthwise step has no bias",
    ),
    (
        "depthwise_separable",
        "self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels, bias=False)\n"
        "self.pointwise = nn.Conv2d(in_channels, out_channels, 1)",
        "expected no bias with bias=False",
    ),
    (
        "depthwise_separable",
        "self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels, bias=False)\n"
        "self.pointwise = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=bias)",
        "Stride and padding belong to the depthwise step, and only to it.",
    ),
    ("dense_weight", "dense[group] = weight[group]", ""),
    (
        "dense_weight",
        "part = slice(group * group_out_channels, (group + 1) * group_out_channels)\ndense[part, part] = weight[part]",
        "",
    ),
    ("grouped_by_parts", "return F.conv2d(images, weight, groups=groups)", "Call convolve once for each group"),
    (
        "grouped_by_parts",
        f"{PARTS}return torch.cat([convolve(*part) for part in parts])",
        "expected the shape (1, 4, 1, 2)",
    ),
    (
        "replace_convolutions",
        "layer = make_layer(*sizes)".replace("*sizes", "4, 8, 3, 2, 1, False"),
        "Is the new layer put into model?",
    ),
    (
        "replace_convolutions",
        f"{SIZES}layer = make_layer(*sizes, stride=1, padding=conv.padding, {BIAS})\nmodel.set_submodule(name, layer)",
        "convolution 2: expected",
    ),
    (
        "replace_convolutions",
        f"{SIZES}layer = make_layer(*sizes, stride=1, padding=1, {BIAS})\nsetattr(model, name, layer)",
        "setattr does not follow names with a dot",
    ),
]


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises((AssertionError, RuntimeError)) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


def test_numbers_in_the_text(lab, given):
    text = " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n", " ")
    namespace = dict(given)
    for cell in lab.of_kind("exercise"):
        exec(compile(cell.text, cell.name, "exec"), namespace)
    dense, separated, wider = (
        namespace["profile_model"](network, (3, 32, 32))
        for network in (
            namespace["small_network"](),
            namespace["replace_convolutions"](namespace["small_network"](), namespace["DepthwiseSeparable"]),
            namespace["replace_convolutions"](
                namespace["small_network"]((32, 64, 128)), namespace["DepthwiseSeparable"]
            ),
        )
    )
    layer = {"input_size": (32, 32), "kernel_size": (3, 3), "in_channels": 64, "out_channels": 64, "padding": 1}
    assert f"{separated.params:,} instead of {dense.params:,} parameters" in text
    assert f"the separated network needs {dense.macs / separated.macs:.1f} times fewer MACs" in text
    assert f"still with {dense.macs / wider.macs:.1f} times fewer MACs than the dense one" in text
    fewer = namespace["conv_macs"](**layer) / namespace["separable_macs"](**layer)
    assert f"the separated layer needs {fewer:.1f} times fewer MACs" in text
