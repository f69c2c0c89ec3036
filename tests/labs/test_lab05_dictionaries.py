"""What lab 05 says to a student: the visible checks' messages for typical mistakes, and the numbers in its text."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import pytest
import torch

from autograder.authoring.source import LabSource

from .visible_checks import run_check

LAB = "lab05_dictionaries"


COSINES = "c = torch.cos(math.pi * torch.arange(frequencies)[:, None] * (torch.arange(size) + 0.5) / frequencies)\n"
ERROR = "0.5 * (signals - codes @ dictionary).square().sum()"
PENALTY = "penalty * codes.abs().sum()"
NORM = "torch.linalg.matrix_norm(dictionary, ord=2).item()"
GRADIENT = "(codes @ dictionary - signals) @ dictionary.T"
G = "g = cross[k] - gram[k] @ dictionary + gram[k, k] * dictionary[k]\n"
STEP = "step_size(dictionary)"
CODES = "codes = ista(signals, dictionary, penalty, step_size(dictionary), iterations, codes)\n"
ATOMS = "dictionary = update_dictionary(signals, codes, dictionary)\n"
MEANS = "means = patches.mean(dim=1, keepdim=True)\n"
CODED = "ista(patches - means, dictionary, penalty, step_size(dictionary), iterations)"
MOVED = "weight + momentum * (weight - previous) - lr * gradient"
MISTAKES = [
    ("dct_dictionary", f"{COSINES}return torch.kron(c, c)", "the atoms are not divided by their length"),
    ("dct_dictionary", f"{COSINES}return torch.kron(F.normalize(c, dim=1), c)", "only one of the two cosines"),
    ("dct_dictionary", f"{COSINES}return F.normalize(c, dim=1)", "expected the shape (4, 4), got (2, 2)"),
    ("dct_dictionary", f"{COSINES}torch.kron(c, c)", "expected a tensor, got None"),
    (
        "dct_dictionary",
        "c = torch.cos(math.pi * torch.arange(size)[:, None] * (torch.arange(size) + 0.5) / size)\n"
        "return torch.kron(F.normalize(c, dim=1), F.normalize(c, dim=1))",
        "expected 9 atoms of 4 pixels for 3 frequencies and size 2, got the shape (4, 4)",
    ),
    ("shrink", "return values * (values.abs() > threshold)", "they too move towards zero"),
    ("shrink", "return (values - threshold).clamp(min=0)", "negative numbers are lost"),
    ("shrink", "return values - threshold", "negative numbers move away from zero"),
    ("shrink", "return (values.abs() - threshold).clamp(min=0)", "the sign is lost"),
    ("objective", f"return (2 * {ERROR} + {PENALTY}).item()", "half of the squared error is missing"),
    ("objective", f"return {ERROR}.item()", "the penalty on the codes is missing"),
    ("objective", f"return ({ERROR} + codes.abs().sum()).item()", "the codes are not multiplied by the penalty"),
    ("objective", f"return ({ERROR} + penalty * codes.sum()).item()", "take absolute values"),
    (
        "objective",
        f"return ((signals - codes @ dictionary).norm() + {PENALTY}).item()",
        "the length of the error instead of half its square",
    ),
    ("objective", f"return ({ERROR} / 2 + {PENALTY}).item()", "the mean of the squares"),
    ("objective", f"return {ERROR} + {PENALTY}", "with .item()"),
    ("step_size", f"return 1 / {NORM}", "the largest singular value is not squared"),
    ("step_size", f"return {NORM} ** 2", "this is L itself"),
    ("step_size", "return 1 / torch.linalg.matrix_norm(dictionary).item() ** 2", "pass ord=2"),
    ("step_size", "return 1 / torch.linalg.matrix_norm(dictionary, ord=-2).item() ** 2", "the smallest singular value"),
    ("ista", f"codes = shrink(codes - step * {GRADIENT}, penalty)", "it has to be the step times the penalty"),
    ("ista", f"codes = shrink(codes + step * {GRADIENT}, step * penalty)", "With the unit matrix and step 1"),
    ("ista", "codes = shrink(step * signals @ dictionary.T, step * penalty)", "Two rounds from given codes"),
    ("ista", f"start = codes if _ == 0 else start\ncodes = shrink(start - step * {GRADIENT.replace('codes', 'start')}, "
     "step * penalty)", "every round begins with the same codes"),
    ("ista", f"codes -= step * {GRADIENT}\ncodes.copy_(shrink(codes, step * penalty))", "got them changed"),
    ("update_dictionary", f"{G}dictionary[k] = g", "the new atom is not divided by its length"),
    ("update_dictionary", f"{G}if gram[k, k] > 0:\n    dictionary[k] = g / gram[k, k]", "you divided by gram[k, k]"),
    ("update_dictionary", f"{G}dictionary[k] = g / g.norm()", "The last atom is not used: it must stay as it is."),
    (
        "update_dictionary",
        f"{G.replace(' - gram[k] @ dictionary', '')}if g.norm() > 0:\n    dictionary[k] = g / g.norm()",
        "A single atom, used by the first signal only",
    ),
    (
        "update_dictionary",
        "g = cross[k]\nif g.norm() > 0:\n    dictionary[k] = g / g.norm()",
        "gram[k] @ dictionary is missing",
    ),
    ("learn", ATOMS + CODES, "first the codes, then the atoms"),
    ("learn", CODES.replace(", codes)", ")") + ATOMS, "ISTA starts from zeros in every turn"),
    (
        "learn",
        f"step = step if objectives else step_size(dictionary)\n{CODES.replace(STEP, 'step')}{ATOMS}",
        "it changes with the atoms",
    ),
    ("denoise", f"{MEANS}return from_patches({CODED} @ dictionary, image.shape)", "Are the means added again?"),
    (
        "denoise",
        f"means = 0\nreturn from_patches({CODED} @ dictionary, image.shape)",
        "subtract them before the coding, and add them after it",
    ),
    (
        "denoise",
        f"{MEANS}return from_patches({CODED.replace('penalty', '0.0')} @ dictionary + means, image.shape)",
        "the penalty has no effect",
    ),
    ("denoise", f"{MEANS}return {CODED} @ dictionary + means", "expected the shape (3, 3), got (4, 4)"),
    ("kernels_from_codes", "return codes @ atoms", "expected the shape (1, 2, 2, 2), got (1, 2, 4)"),
    ("kernels_from_codes", "return (codes @ atoms).unflatten(2, (2, 2)).mT", "row after row"),
    ("dct_conv", "self.codes = nn.Parameter(start)\nself.atoms = nn.Parameter(atoms)", "The atoms are not trained"),
    ("dct_conv", "self.codes = start\nself.register_buffer('atoms', atoms)", "nn.Parameter(...) makes it a parameter"),
    ("dct_conv", "self.codes = nn.Parameter(start)\nself.atoms = atoms", "is not saved with the layer"),
    (
        "count_weights",
        "return Counts(sum(p.numel() for p in network.parameters()), 12)",
        "frozen parameters were counted too",
    ),
    ("count_weights", "return Counts(16, 16)", "zeros were counted too"),
    ("count_weights", "return 16", "expected Counts(trainable=..., nonzero=...), got 16"),
    ("proximal_step", "return shrink(weight - lr * gradient, lr * penalty)", "momentum has no effect"),
    (
        "proximal_step",
        "return shrink(momentum * (weight - previous) + (1 - momentum) * (weight - lr * gradient), lr * penalty)",
        "the weight goes back to where it came from",
    ),
    ("proximal_step", f"return shrink({MOVED}, penalty)", "you shrank by the penalty: shrink by lr times penalty"),
    ("proximal_step", f"return {MOVED}", "nothing was shrunk"),
    ("proximal_step", f"return shrink({MOVED.replace(' - lr', ' + lr')}, lr * penalty)", "the step goes uphill"),
]  # fmt: skip


@pytest.mark.parametrize(("exercise", "answer", "phrase"), MISTAKES, ids=[f"{m[0]}-{m[2]}" for m in MISTAKES])
def test_visible_check_speaks_to_the_mistake(lab, given, exercise, answer, phrase):
    with pytest.raises(AssertionError) as failure:
        run_check(lab, given, exercise, answer)
    assert phrase in str(failure.value)


def test_counts_in_the_text(lab, solved):
    text = " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n", " ")
    answer = "".join(cell.text for cell in lab.of_kind("written")).replace("\n", " ")
    dense, cosines = (
        solved["count_weights"](solved["small_network"](solved[layer])).trainable
        for layer in ("dense_layer", "dct_layer")
    )
    assert f"the dense network has {dense:,} numbers to train" in text
    assert f"378 numbers, which gives {cosines:,}" in text
    codes = 9 * (1 * 16 + 16 * 32)
    assert f"{codes:,} instead of {25 * (16 + 16 * 32):,}" in text
    assert cosines - codes == 378
    assert 378 > 725 / 2  # "more than half of those are biases and the linear layer"
    stored = 32 * 1_989 + codes
    assert f"{dense / 1_989:.1f} times fewer" in answer
    assert f"32 x 1,989 + {codes:,} = {stored:,} bits" in answer
    assert f"32 x {dense:,} = {32 * dense:,}, a factor of {32 * dense / stored:.1f}" in answer
    coarse = 4 * 1_989 + codes
    assert f"{coarse:,} instead of {4 * dense:,} bits, a factor of only {4 * dense / coarse:.1f}" in answer
    assert f"16 x 9 x 25 = {16 * 9 * 25:,}" in answer and f"instead of {16 * 32 * 25:,}" in answer


def test_the_photograph_loses_its_noise_as_the_text_says(lab, solved):
    text = " ".join(cell.text for cell in lab.cells if not cell.is_code).replace("\n", " ")
    clean, noisy, psnr = solved["clean"], solved["noisy"], solved["psnr"]
    cosines = solved["dct_dictionary"](6, 8)
    before = psnr(noisy, clean)
    after = {penalty: psnr(solved["denoise"](noisy, cosines, penalty), clean) for penalty in (0.05, 0.15, 0.3)}
    assert f"Sparse codes gain {after[0.15] - before:.1f} dB" in text
    assert after[0.15] == max(after.values())
    patches = solved["image_patches"](noisy, 6)
    chosen = patches[torch.randperm(len(patches), generator=torch.Generator().manual_seed(1))[:2000]]
    learned = solved["learn"](chosen - chosen.mean(dim=1, keepdim=True), cosines, 0.15, turns=30)
    first, last = learned.objectives[0], learned.objectives[-1]
    assert f"from {first:.0f} to {last:.0f}" in text
    gain = psnr(solved["denoise"](noisy, learned.dictionary, 0.15), clean) - after[0.15]
    assert 0.05 < gain < 0.25
    assert math.isclose(solved["step_size"](cosines), 1 / 2.397, rel_tol=1e-3)


def test_both_forms_of_the_layer_are_one_function(solved):
    """Filter with every atom, then mix: as the text says, the same as kernels from codes."""
    torch.manual_seed(0)
    layer = solved["dct_layer"](3, 4, 1)
    maps = torch.randn(2, 3, 8, 8)
    filters = layer.atoms.reshape(9, 1, 5, 5).repeat(3, 1, 1, 1)
    filtered = torch.nn.functional.conv2d(maps, filters, padding=2, groups=3)
    mixed = torch.nn.functional.conv2d(filtered, layer.codes.reshape(4, 27, 1, 1), layer.bias)
    torch.testing.assert_close(layer(maps), mixed, rtol=1e-4, atol=1e-4)
