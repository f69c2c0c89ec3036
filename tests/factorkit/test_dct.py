"""DCT layers are held against scipy's transform, against dense convolutions and against the report's shapes."""

import math

import pytest
import scipy.fft
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.dictionary.dct import dct_dictionary
from factorkit.layers import DCTConv2d, effective_kernels, overcomplete_dct
from micronet_resources.profile import profile_model

# The three DCT layers of the report's network: input maps, kernel size, output maps.
REPORT = [(3, 5, 192), (96, 5, 192), (192, 3, 192)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_as_many_atoms_as_samples_are_the_orthonormal_dct(size):
    theirs = scipy.fft.dct(torch.eye(size, dtype=torch.float64).numpy(), norm="ortho", axis=0)
    torch.testing.assert_close(overcomplete_dct(size, size), torch.from_numpy(theirs).float())


@pytest.mark.parametrize("size, atoms", [(3, 5), (5, 8), (8, 11), (4, 9)])
def test_overcomplete_atoms_have_norm_one_and_only_the_first_a_mean(size, atoms):
    basis = overcomplete_dct(size, atoms)
    assert basis.shape == (atoms, size)
    torch.testing.assert_close(basis.norm(dim=1), torch.ones(atoms))
    torch.testing.assert_close(basis[0], torch.full((size,), size**-0.5))
    assert basis[1:].sum(1).abs().max() < 1e-6
    assert torch.linalg.matrix_rank(basis) == size
    torch.testing.assert_close(torch.kron(basis, basis), dct_dictionary(size, atoms))


@pytest.mark.parametrize("maps, size, atoms", REPORT)
def test_the_dictionary_of_the_report_has_its_shape_and_can_be_anything(maps, size, atoms):
    layer = DCTConv2d(maps, size, atoms)
    assert layer.weight.shape == (atoms, maps, size, size)
    assert layer.weight.numel() == maps * atoms * size**2
    flat = layer.weight.flatten(1)
    torch.testing.assert_close(flat.norm(dim=1), torch.ones(atoms))
    singular_values = torch.linalg.svdvals(flat)
    rank = min(atoms, maps * size**2)
    assert singular_values[rank - 1] > 0.5 and singular_values[0] < 3  # far from dependent
    assert len({tuple(row) for row in (flat * 1000).round().tolist()}) == atoms


def test_every_kernel_is_a_two_dimensional_dct_atom_times_a_factor():
    layer = DCTConv2d(6, 5, 40)
    kernels = layer.weight.reshape(-1, 25)
    kernels = kernels[kernels.norm(dim=1) > 1e-6]
    likeness = (F.normalize(kernels, dim=1) @ dct_dictionary(5, 8).T).abs().amax(1)
    torch.testing.assert_close(likeness, torch.ones(len(kernels)))


def test_three_colors_see_brightness_and_two_differences_and_every_pixel_frequency():
    layer = DCTConv2d(3, 5, 192)
    over_maps, over_rows, over_columns = layer._factors()
    assert over_maps[0].tolist() == pytest.approx([3**-0.5] * 3)
    assert over_maps[1].tolist() == pytest.approx([0.5**0.5, 0, -(0.5**0.5)], abs=1e-6)
    assert over_maps[2].tolist() == pytest.approx([6**-0.5, -2 * 6**-0.5, 6**-0.5], abs=1e-6)
    pairs = {(tuple(over_rows[c].tolist()), tuple(over_columns[c].tolist())) for c in range(192)}
    assert len(pairs) == 64


@pytest.mark.parametrize("maps, size, atoms", [(96, 5, 192), (192, 3, 192), (16, 5, 32), (4, 3, 100), (8, 5, 500)])
def test_frequencies_are_used_as_often_as_each_other(maps, size, atoms):
    for factor in DCTConv2d(maps, size, atoms)._factors()[:1]:
        counts = torch.unique(factor, dim=0, return_counts=True)[1]
        assert len(counts) == min(maps, atoms) and counts.max() - counts.min() <= 1
    spatial = torch.cat(DCTConv2d(maps, size, atoms)._factors()[1:], 1)
    counts = torch.unique(spatial, dim=0, return_counts=True)[1]
    assert len(counts) == min(math.ceil(1.5 * size) ** 2, atoms) and counts.max() - counts.min() <= 1


def test_all_combinations_of_frequencies_can_be_asked_for_and_none_comes_twice():
    layer = DCTConv2d(4, 3, 100)
    assert len({tuple(row) for row in (layer.weight.flatten(1) * 1000).round().tolist()}) == 100
    assert torch.linalg.matrix_rank(layer.weight.flatten(1)) == 36
    with pytest.raises(ValueError, match=r"atoms=101: 4 input maps and 3 x 3 pixels have 4 \* 5 \* 5 = 100"):
        DCTConv2d(4, 3, 101)


@pytest.mark.parametrize(
    "kernel_size, stride, padding", [(3, 1, 1), (5, 2, 2), ((5, 3), (1, 2), (2, 0)), ((1, 7), 1, 0)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_and_its_two_passes_are_the_dense_convolution(kernel_size, stride, padding, bias):
    torch.manual_seed(0)
    layer = DCTConv2d(4, kernel_size, 20, stride=stride, padding=padding, bias=bias)
    if bias:
        nn.init.normal_(layer.bias)
    images = torch.randn(2, 4, 12, 11)
    expected = F.conv2d(images, layer.weight, layer.bias, stride, padding)
    torch.testing.assert_close(layer(images), expected)
    separable = layer.separable()
    torch.testing.assert_close(separable(images), expected, atol=1e-5, rtol=1e-4)
    assert [name for name, p in separable.named_parameters() if p.requires_grad] == ["horizontal.bias"] * bias
    assert not bias or separable.horizontal.bias is not layer.bias


@pytest.mark.parametrize("maps, size, atoms", REPORT)
def test_two_passes_cost_what_the_formula_says(maps, size, atoms):
    layer, shape = DCTConv2d(maps, size, atoms, padding=size // 2), (maps, 8, 8)
    assert profile_model(layer, shape).macs == 64 * atoms * maps * size**2
    assert profile_model(layer.separable(), shape).macs == 64 * (atoms * maps * size + atoms * size)


def test_only_the_bias_is_trained_and_saved():
    layer = DCTConv2d(3, 5, 24, padding=2)
    assert [name for name, _ in layer.named_parameters()] == list(layer.state_dict()) == ["bias"]
    assert not list(DCTConv2d(3, 5, 24, bias=False).parameters())
    layer(torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert layer.bias.grad.abs().min() > 0 and layer.weight.grad is None
    assert layer.double()(torch.zeros(1, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64
    assert layer.separable()(torch.zeros(1, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64
    with torch.device("meta"):
        assert DCTConv2d(3, 5, 24)(torch.zeros(1, 3, 8, 8)).shape == (1, 24, 4, 4)


def test_atoms_and_coefficients_are_one_convolution_until_a_relu_stands_between():
    """The report writes D = Phi W for a network that has a ReLU there."""
    torch.manual_seed(0)
    dct, pointwise = DCTConv2d(3, 5, 48), nn.Conv2d(48, 16, 1, bias=False)
    images = torch.randn(2, 3, 9, 9)
    kernels = effective_kernels(dct, pointwise)
    assert kernels.shape == (16, 3, 5, 5)
    torch.testing.assert_close(F.conv2d(images, kernels), pointwise(dct(images)), atol=1e-5, rtol=1e-4)
    rectified = pointwise(dct(images).relu())
    assert (F.conv2d(images, kernels) - rectified).norm() > 0.5 * rectified.norm()
    # No other convolution does it either: what is linear changes its sign with its input.
    assert not torch.allclose(pointwise(dct(-images).relu()), -rectified, atol=0.1)


def test_a_normalization_between_them_belongs_to_the_coefficients():
    torch.manual_seed(0)
    dct, normalization, pointwise = DCTConv2d(3, 5, 24), nn.BatchNorm2d(24), nn.Conv2d(24, 8, 1)
    nn.init.uniform_(normalization.weight, 0.5, 2)
    images = torch.randn(4, 3, 9, 9)
    normalization(dct(images))
    normalization.eval()
    kernels = effective_kernels(dct, pointwise, normalization=normalization)
    constant = pointwise(normalization(dct(torch.zeros(1, 3, 5, 5)))).flatten()
    expected = pointwise(normalization(dct(images)))
    torch.testing.assert_close(F.conv2d(images, kernels, constant), expected, atol=1e-5, rtol=1e-4)
    assert not kernels.requires_grad


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: overcomplete_dct(5, 4), "atoms=4: .* size=5 has at least 5"),
        (lambda: overcomplete_dct(1, 2), "atoms=2: .* size=1 has exactly 1"),
        (lambda: overcomplete_dct(0, 2), "size=0: give an integer"),
        (lambda: DCTConv2d(3, 5, 193), r"atoms=193: .* 3 \* 8 \* 8 = 192"),
        (lambda: DCTConv2d(0, 5, 8), "in_channels=0"),
        (lambda: DCTConv2d(3, 0, 8), "kernel_size=0"),
        (lambda: DCTConv2d(3, 5, 8, padding=-1), "padding=-1"),
        (lambda: effective_kernels(DCTConv2d(3, 5, 8), nn.Conv2d(9, 4, 1)), r"8 atoms has a weight of \(4, 9, 1, 1\)"),
        (lambda: effective_kernels(DCTConv2d(3, 5, 8), nn.Conv2d(8, 4, 3)), r"1 x 1 convolution .* \(4, 8, 1, 1\)"),
        (
            lambda: effective_kernels(DCTConv2d(3, 5, 8), nn.Conv2d(8, 4, 1), normalization=nn.BatchNorm2d(4)),
            "normalization of 4 maps behind 8 atoms",
        ),
    ],
)
def test_errors_name_the_value_the_rule_and_the_remedy(build, message):
    with pytest.raises(ValueError, match=message):
        build()
