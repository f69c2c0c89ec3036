"""Depthwise pairs become one layer, and the fastest form of a network is found by measuring."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from factorkit.decompositions.cp import cp
from factorkit.inference import inference_forms, merge_depthwise, optimize_for_inference


def depthwise(kernel, *, bias=False, **settings):
    return nn.Conv2d(6, 6, kernel, groups=6, bias=bias, **settings)


@pytest.mark.parametrize(
    "pair",
    [
        (
            depthwise((3, 1), padding=(1, 0), stride=(2, 1)),
            depthwise((1, 5), padding=(0, 2), dilation=(1, 2), bias=True),
        ),
        (depthwise((1, 3), stride=(1, 3)), depthwise((3, 1), padding=(2, 0), dilation=(2, 1))),
    ],
)
def test_a_vertical_and_a_horizontal_depthwise_convolution_become_one(pair):
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Sequential(*pair), nn.ReLU()).double()
    merged = merge_depthwise(model)
    images = torch.randn(2, 3, 13, 12, dtype=torch.float64)
    torch.testing.assert_close(merged(images), model(images))
    assert isinstance(merged[1][1], nn.Identity)
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.modules()) == 3


@pytest.mark.parametrize(
    "pair",
    [
        (depthwise((3, 1), bias=True), depthwise((1, 3))),  # a border would see the bias
        (depthwise((3, 1)), depthwise((3, 1))),
        (depthwise((3, 3)), depthwise((1, 3))),
        (depthwise((3, 1), padding=(1, 0), padding_mode="reflect"), depthwise((1, 3))),
        (depthwise((3, 1)), nn.Conv2d(6, 6, (1, 3))),
        (depthwise((3, 1), padding=(0, 1)), depthwise((1, 3))),
    ],
)
def test_other_pairs_stay(pair):
    merged = merge_depthwise(nn.Sequential(*pair))
    assert not any(isinstance(layer, nn.Identity) for layer in merged)


def test_of_three_depthwise_convolutions_two_become_one():
    model = nn.Sequential(depthwise((3, 1)), depthwise((1, 3)), depthwise((3, 1)))
    merged = merge_depthwise(model)
    assert [type(layer) for layer in merged] == [nn.Conv2d, nn.Identity, nn.Conv2d]
    images = torch.randn(1, 6, 9, 9)
    torch.testing.assert_close(merged(images), model(images))


def test_the_fastest_form_computes_the_same_and_is_shown_beside_its_operations():
    torch.manual_seed(0)
    original = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3, padding=1))
    small = nn.Sequential(*original[:2], cp(original[2].weight, 8).to_layers(original[2]))
    small[1].running_var.uniform_(0.5, 2)
    images = torch.randn(4, 3, 16, 16)
    found = optimize_for_inference(small, images, original=original, rounds=3)
    forms = ["as given", "folded", "folded, merged", "folded, merged, frozen"]
    assert sorted(t.form for t in found.timings if t.network == "given") == sorted(
        [*forms, *(f"{form}, channels last" for form in ("folded", "folded, merged")), "channels last"]
        + ["folded, merged, channels last, frozen"]
    )
    given = [timing for timing in found.timings if timing.network == "given"]
    dense = [timing for timing in found.timings if timing.network == "original"]
    assert (len(dense), found.reference) == (6, min(dense, key=lambda timing: timing.milliseconds))
    assert found.chosen == min(given, key=lambda timing: timing.milliseconds)
    assert {t.macs for t in dense} == {4 * 256 * (9 * 3 * 32 + 9 * 32 * 32)}
    pixels = 4 * 256
    assert {(t.form.startswith("folded, merged"), t.macs) for t in given} == {
        (False, pixels * (27 * 32 + 8 * (32 + 32 + 6))),
        (True, pixels * (27 * 32 + 8 * (32 + 32 + 9))),
    }
    assert f"{found.operations_ratio:.3g} times fewer operations" in repr(found)
    assert f"{found.speedup:.3g} times as fast as the original" in repr(found)
    expected = small.eval()(images)
    torch.testing.assert_close(found.model(images), expected, atol=1e-5, rtol=1e-4)
    assert not found.model.training
    assert not any(parameter.requires_grad for parameter in found.model.parameters())
    assert all(parameter.requires_grad for parameter in small.parameters())


def test_all_forms_compute_the_same():
    torch.manual_seed(0)
    dense = nn.Conv2d(16, 24, 3, padding=1)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), cp(dense.weight, 6).to_layers(dense))
    images = torch.randn(3, 3, 12, 12)
    expected = model.eval()(images)
    forms = inference_forms(model)
    assert len(forms) == 8
    for form, made in forms.items():
        torch.testing.assert_close(made(images), expected, atol=1e-5, rtol=1e-4, msg=form)


def test_a_network_that_cannot_be_followed_still_gets_its_format():
    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x) if x.sum() < 1 else x

    found = optimize_for_inference(Deciding(), torch.zeros(2, 3, 8, 8), rounds=1)
    plain = {"as given", "channels last"}
    assert {timing.form for timing in found.timings} == {*plain, *(f"{form}, frozen" for form in plain)}
    assert found.reference.form == "as given"
    assert found.operations_ratio == 1


FAULTS = """
import resource, torch
from factorkit.latency import keep_freed_memory
told = keep_freed_memory()
def fill(times):  # 48 MB, which glibc would map and give back each time: 11,700 pages
    for _ in range(times):
        torch.ones(12_000_000)
fill(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill(9)
print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps its own rules")
def test_kept_memory_is_not_asked_for_again():
    told, faults = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == "True"
    assert int(faults) < 9 * 11_700 / 3  # new pages for two or three of nine at most
