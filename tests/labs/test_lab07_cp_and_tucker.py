"""What lab 07 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import math

import pytest
import torch

from .visible_checks import run_check

LAB = "lab07_cp_and_tucker"

OTHERS = "others = [factor for m, factor in enumerate(factors) if m != mode]\n"
GRAM = "gram = torch.stack([factor.T @ factor for factor in others]).prod(dim=0)\n"
RIDGE = "gram = gram + ridge * torch.diag(gram.diagonal())\n"
SOLVE = "return torch.linalg.solve(gram, (unfold(tensor, mode) @ khatri_rao(others)).T).T"
STEP = OTHERS + GRAM + RIDGE + SOLVE
FACTORS = (
    "factors = [torch.linalg.svd(unfold(weight, m), full_matrices=False)[0][:, :r] "
    "for m, r in ((0, out_rank), (1, in_rank))]\n"
)
CORE = "core = mode_product(mode_product(weight, factors[0].T, 0), factors[1].T, 1)\n"
TUCKER2 = "return Tucker2(core, *factors)"
REDUCE = "convolution_of(found.in_factor.T[:, :, None, None])"
EXPAND = "convolution_of(found.out_factor[:, :, None, None], bias=convolution.bias)"
TUCKER = f"return nn.Sequential({REDUCE}, convolution_of(found.core, stride=convolution.stride, "
TUCKER += f"padding=convolution.padding), {EXPAND})"
CP = (
    "return nn.Sequential(convolution_of(inputs.T[:, :, None, None]), "
    "convolution_of(vertical.T[:, None, :, None], stride=(down, 1), padding=(above, 0), groups=rank), "
    "convolution_of(horizontal.T[:, None, None, :], stride=(1, right), padding=(0, beside), groups=rank), "
    "convolution_of(outputs[:, :, None, None], bias=convolution.bias))"
)
SQUARED = (
    "squared = tensor.square().sum() - 2 * (unfold(tensor, 0) @ khatri_rao(factors[1:]) * factors[0]).sum() "
    "+ torch.stack([factor.T @ factor for factor in factors]).prod(dim=0).sum()\n"
)
RANK = "(values.cumsum(0) < energy * values.sum()).sum().item() + 1"
RANKS = (
    f"ranks = []\nfor mode in (0, 1):\n    values = torch.linalg.svdvals(unfold(weight, mode)) ** 2\n"
    f"    ranks.append({RANK})\nreturn tuple(ranks)"
)
COPY = "small = copy.deepcopy(network)\n"
REPLACE = "for name, rank in plan.items():\n    old = small.get_submodule(name)\n    new = make_layers(old, rank)\n"
SMALLER = "    if count(new) < count(old):\n        small.set_submodule(name, new)\n"

MISTAKES = [
    ("unfold", "tensor.movedim(mode, 0).reshape(tensor.shape[mode], -1)", "expected a tensor, got None"),
    ("unfold", "return tensor.reshape(tensor.shape[mode], -1)", "you only reshaped: bring the mode to the front"),
    (
        "unfold",
        "return tensor.transpose(0, mode).reshape(tensor.shape[mode], -1)",
        "transpose swaps two modes, movedim takes one to the front",
    ),
    (
        "unfold",
        "return tensor.movedim(mode, 0).permute(0, *range(tensor.dim() - 1, 0, -1)).reshape(tensor.shape[mode], -1)",
        "the first of the other modes varies fastest",
    ),
    ("unfold", "return tensor.movedim(mode, 0).reshape(tensor.shape[mode], -1).T", "this is the transpose"),
    ("fold", "return matrix.reshape(shape)", "you only reshaped: the rows belong to mode 1"),
    (
        "fold",
        "rest = [n for m, n in enumerate(shape) if m != mode]\n"
        "return matrix.reshape(shape[mode], *rest).movedim(mode, 0)",
        "mode 0 went to the wrong place",
    ),
    (
        "fold",
        "rest = [n for m, n in enumerate(shape) if m != mode]\n"
        "return matrix.reshape(shape[mode], *rest).transpose(0, mode)",
        "you swapped two modes",
    ),
    ("mode_product", "return torch.tensordot(tensor, matrix, dims=([mode], [1]))", "the new mode stands last"),
    ("mode_product", "return torch.tensordot(matrix, tensor, dims=([1], [mode]))", "the new mode stands first"),
    (
        "mode_product",
        "matrix = matrix.T if len(matrix) == matrix.shape[1] else matrix\n"
        "return torch.tensordot(matrix, tensor, dims=([1], [mode])).movedim(0, mode)",
        "you multiplied by the transposed matrix",
    ),
    ("tucker2", FACTORS + CORE + "return core, *factors", "expected Tucker2(core, out_factor, in_factor), got a tuple"),
    (
        "tucker2",
        FACTORS.replace("[:, :r]", "") + CORE + TUCKER2,
        "expected a core of shape (2, 1, 2, 1), got (3, 2, 2, 1)",
    ),
    ("tucker2", FACTORS + "core = weight[:out_rank, :in_rank]\n" + TUCKER2, "times the TRANSPOSED out_factor"),
    ("tucker2", FACTORS.replace("[:, :r]", "[:, -r:]") + CORE + TUCKER2, "take the LEADING singular vectors"),
    (
        "tucker2",
        FACTORS.replace("[0][:, :r]", "[2][: weight.shape[m], :r]") + CORE + TUCKER2,
        "columns of the LEFT singular vectors",
    ),
    ("tucker_error", "return 1 - (found.core.norm() / weight.norm()).item() ** 2", "the square root is missing"),
    ("tucker_error", "return 1 - (found.core.norm() / weight.norm()).item()", "norms instead of their squares. "[:-2]),
    ("tucker_error", "return (found.core.norm() / weight.norm()).item()", "what is kept, not what is lost"),
    ("tucker_error", "return (1 - (found.core.norm() / weight.norm()) ** 2).sqrt()", "with .item()"),
    (
        "tucker_error",
        "return (1 - (found.core.norm() / weight.norm()) ** 2).sqrt().item()",
        "max(..., 0) before the root",
    ),
    ("tucker_layers", TUCKER.replace(", bias=convolution.bias", ""), "and the bias of expand)"),
    ("tucker_layers", TUCKER.replace(", padding=convolution.padding", ""), "the padding is missing"),
    ("tucker_layers", TUCKER.replace("stride=convolution.stride, ", ""), "the stride is missing"),
    (
        "tucker_layers",
        TUCKER.replace("stride=convolution.stride, ", "").replace(
            "None, None])", "None, None], stride=convolution.stride)", 1
        ),
        "the first layer has the stride",
    ),
    ("khatri_rao", "return (matrices[1][:, None] * matrices[0]).flatten(0, 1)", "the first matrix varies fastest"),
    ("khatri_rao", "return torch.kron(*matrices[:2])", "this is the Kronecker product of whole matrices"),
    ("khatri_rao", "return (matrices[0][:, None] * matrices[1]).flatten(0, 1)", "only the first two matrices"),
    ("als_step", OTHERS + GRAM + SOLVE, "the ridge has no effect"),
    (
        "als_step",
        OTHERS + GRAM + "gram = gram + ridge * torch.eye(len(gram))\n" + SOLVE,
        "add ridge times the diagonal of G",
    ),
    ("als_step", OTHERS + GRAM + "gram = (1 + ridge) * gram\n" + SOLVE, "only the diagonal grows"),
    ("als_step", STEP.replace(".prod(", ".sum("), "the Gram matrices are added up"),
    (
        "als_step",
        OTHERS + "gram = torch.linalg.multi_dot([f.T @ f for f in others])\n" + RIDGE + SOLVE,
        "* is entry by entry",
    ),
    ("als_step", STEP.replace("in others]).prod", "in factors]).prod"), "the mode's own factor is in G"),
    (
        "als_step",
        STEP.replace("khatri_rao(others)", "khatri_rao(others[::-1])"),
        "the other factors in the wrong order",
    ),
    ("als_step", STEP.replace("return ", "factors[mode] = ") + "\nreturn factors[mode]", "got one changed"),
    ("cp_error", SQUARED + "return (squared / tensor.square().sum()).item()", "the square root is missing"),
    ("cp_error", SQUARED + "return squared.sqrt().item()", "you did not divide by the norm"),
    ("cp_error", SQUARED.replace("2 * ", "") + "return (squared.sqrt() / tensor.norm()).item()", "the factor 2"),
    ("cp_error", SQUARED + "return squared.sqrt() / tensor.norm()", "with .item()"),
    (
        "cp_error",
        SQUARED.replace("factors[1:]", "factors[:0:-1]")
        + "return math.sqrt(max(squared.item(), 0)) / tensor.norm().item()",
        "factors in the wrong order",
    ),
    ("cp_error", SQUARED + "return (squared.sqrt() / tensor.norm()).item()", "before the root"),
    ("component_norms", "return sum(factor.norm(dim=0) for factor in factors)", "you added up the norms"),
    ("component_norms", "return math.prod(factor.norm(dim=0) ** 2 for factor in factors)", "squares of the norms"),
    ("component_norms", "return factors[0].norm(dim=0) * factors[1].norm(dim=0)", "the last factor is missing"),
    ("cp_layers", CP.replace(", bias=convolution.bias", ""), "1 x 1, vertical, horizontal, 1 x 1 and its bias"),
    (
        "cp_layers",
        CP.replace("vertical.T", "x.T").replace("horizontal.T", "vertical.T").replace("x.T", "horizontal.T"),
        "the vertical and the horizontal factor are exchanged",
    ),
    ("cp_layers", CP.replace("stride=(down, 1), ", "").replace("stride=(1, right), ", ""), "the stride is missing"),
    (
        "cp_layers",
        CP.replace("padding=(above, 0), ", "").replace("padding=(0, beside), ", ""),
        "the padding is missing",
    ),
    (
        "cp_layers",
        f"(right, down), (beside, above) = convolution.stride, convolution.padding\n{CP}",
        "the first number is the vertical one",
    ),
    (
        "cp_layers",
        CP.replace("stride=(down, 1), ", "").replace("stride=(1, right)", "stride=(down, right)"),
        "pixels are computed that a later layer drops",
    ),
    ("energy_ranks", RANKS.replace(" ** 2", ""), "you added up singular values without squaring"),
    ("energy_ranks", RANKS.replace(" + 1", ""), "the entry that reaches the goal counts too"),
    ("energy_ranks", RANKS.replace("tuple(ranks)", "tuple(ranks[::-1])"), "the two ranks are exchanged"),
    ("energy_ranks", RANKS.replace(".item()", ""), ".item() makes them"),
    ("compress", f"small = network\n{REPLACE}{SMALLER}return small", "make a deep copy, and change the copy"),
    ("compress", f"{COPY}{REPLACE}{SMALLER}", "expected a network, got None"),
    ("compress", f"{COPY}{REPLACE}    small.set_submodule(name, new)\nreturn small", "56 parameters instead of 40"),
    (
        "compress",
        f"{COPY}{REPLACE}    if count(new) >= count(old):\n        break\n{SMALLER}return small",
        "expected layer 1.1 to be replaced",
    ),
    ("compress", f"{COPY}{REPLACE}{SMALLER}return small".replace("<", "<="), "expected layer 2 to stay as it is"),
]


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises(AssertionError) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


def prose(lab, kinds=("text", "written")) -> str:
    """The text of a lab in one line, without the marks of comments."""
    return " ".join(" ".join(cell.text for cell in lab.cells if cell.kind in kinds).replace("\n# ", "\n").split())


def test_counts_in_the_text(lab, solved):
    text = prose(lab)
    tucker, cp = solved["tucker_params"], solved["cp_params"]
    dense = 64 * 64 * 9
    assert f"{dense:,} parameters" in text
    assert f"{tucker(64, 64, (3, 3), 60, 60):,}: the layer *grows*" in text
    assert f"by a factor of {tucker(64, 64, (3, 3), 60, 60) / dense:.2f}" in text
    assert tucker(64, 64, (3, 3), 57, 57) < dense < tucker(64, 64, (3, 3), 58, 58)
    assert f"$R = 57$ ({tucker(64, 64, (3, 3), 57, 57):,})" in text
    assert cp(64, 64, (3, 3), 275) < dense < cp(64, 64, (3, 3), 276)
    assert f"{cp(64, 64, (3, 3), 60):,} with $R = 60$" in text
    assert (
        f"{tucker(32, 32, (3, 3), 28, 28):,} for $R = 28$ and {tucker(32, 32, (3, 3), 29, 29):,} for $R = 29$" in text
    )
    assert tucker(32, 32, (3, 3), 28, 28) < 9216 < tucker(32, 32, (3, 3), 29, 29)
    assert cp(32, 32, (3, 3), 131) < 9216 < cp(32, 32, (3, 3), 132)
    assert "up to $R = 131$" in text


def test_the_layers_have_the_parameters_that_the_text_counts(solved):
    convolution = torch.nn.Conv2d(6, 5, (3, 2), bias=False)
    layers = solved["decomposed"](convolution, (4, 3))
    assert solved["count"](layers) == solved["tucker_params"](5, 6, (3, 2), 4, 3)
    layers = solved["decomposed"](convolution, 7)
    assert solved["count"](layers) == solved["cp_params"](5, 6, (3, 2), 7)
    maps = torch.randn(2, 6, 8, 8)
    torch.testing.assert_close(solved["decomposed"](convolution, (5, 6))(maps), convolution(maps), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(solved["decomposed"](convolution, 30)(maps), convolution(maps), rtol=0.1, atol=0.05)


def test_border_rank_as_the_text_says(lab, solved):
    border, error, norms = solved["border_tensor"](), solved["cp_error"], solved["component_norms"]
    for epsilon in (0.3, 0.1, 0.01):
        pair = solved["border_pair"](epsilon)
        assert math.isclose(error(border, pair), epsilon**2 / math.sqrt(3), rel_tol=1e-3)
    fine = solved["border_pair"](0.01)
    assert error(border, fine) < 1e-4
    after = error(border, [solved["rounded"](factor) for factor in fine])
    assert f"rounding to 8 bits makes it {100 * after:.0f} %" in prose(lab)
    plain, damped = (solved["cp_als"](border, 2, ridge, sweeps=200, seed=1)[-1] for ridge in (0.0, 1e-3))
    assert error(border, plain) < 0.02 < 0.03 < error(border, damped) < 0.045  # "an error of 4 %"
    largest = [norms(factors).max() / border.norm() for factors in (plain, damped)]
    assert largest[1] < 1.4 < 1.6 < largest[0]
