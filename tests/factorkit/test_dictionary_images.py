"""What dictionaries are used for: patches of photographs, noise, holes, and the kernels of a network."""

import copy

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn.utils import prune

from factorkit.dictionary import (
    compress_convolutions,
    dct_dictionary,
    denoise,
    from_patches,
    image_patches,
    inpaint,
    learn_dictionary,
    photograph,
    psnr,
)
from factorkit.models import small_resnet, small_vgg

CLEAN = photograph("china", 96)
NOISY = CLEAN + 0.1 * torch.randn(96, 96, generator=torch.Generator().manual_seed(0))
KNOWN = torch.rand(96, 96, generator=torch.Generator().manual_seed(1)) < 0.5


class TestPatches:
    @pytest.mark.parametrize("shape", [(8, 8), (20, 31), (33, 9)])
    @pytest.mark.parametrize(("size", "stride"), [(8, 1), (8, 3), (5, 5), (1, 1)])
    def test_cutting_and_averaging_gives_the_image_back(self, shape, size, stride):
        image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        patches = image_patches(image, size, stride)
        assert patches.shape[1] == size**2
        assert torch.allclose(from_patches(patches, shape, stride), image, atol=1e-6)

    def test_the_last_patches_end_at_the_border(self):
        image = torch.arange(70.0).reshape(7, 10)
        patches = image_patches(image, 4, stride=4)
        assert len(patches) == 2 * 3
        assert torch.equal(patches[-1].reshape(4, 4), image[-4:, -4:])

    def test_overlapping_pixels_are_averaged(self):
        patches = torch.tensor([[0.0, 0, 0, 0], [3.0, 3, 3, 3]])
        assert from_patches(patches, (2, 3)).tolist() == [[0, 1.5, 3], [0, 1.5, 3]]

    @pytest.mark.parametrize(("shape", "size", "stride"), [((8, 8, 3), 4, 1), ((3, 8), 4, 1), ((8, 8), 4, 5)])
    def test_impossible_patches(self, shape, size, stride):
        with pytest.raises(ValueError, match="patches of"):
            image_patches(torch.zeros(shape), size, stride)

    def test_patches_of_another_image(self):
        with pytest.raises(ValueError, match="5 x 5 patches"):
            from_patches(torch.zeros(24, 16), (8, 8))
        with pytest.raises(ValueError, match="size x size"):
            from_patches(torch.zeros(25, 15), (8, 8))

    def test_photographs_are_gray_parts_of_one_another(self):
        whole = photograph("flower", 427)
        assert whole.shape == (427, 427) and 0 <= whole.min() < 0.1 and 0.8 < whole.max() <= 1
        assert torch.equal(photograph("flower", 27), whole[200:227, 200:227])
        assert not torch.equal(photograph("china", 27), photograph("flower", 27))

    def test_photographs_that_are_not_there(self):
        with pytest.raises(ValueError, match="'china' or 'flower'"):
            photograph("camera")
        with pytest.raises(ValueError, match="at most 427"):
            photograph("china", 428)

    def test_psnr(self):
        assert psnr(CLEAN, CLEAN) == float("inf")
        assert psnr(NOISY, CLEAN) == pytest.approx(20, abs=0.2)
        with pytest.raises(ValueError, match="one shape"):
            psnr(CLEAN, CLEAN[0])


class TestRestoration:
    def test_denoising_beats_every_gaussian_filter(self):
        blurred = [torch.from_numpy(gaussian_filter(NOISY.numpy(), width)) for width in (0.5, 0.7, 1.0, 1.4)]
        assert psnr(denoise(NOISY, 0.1), CLEAN) > max(psnr(image, CLEAN) for image in blurred) + 1.5

    def test_atoms_learned_from_the_noisy_image_itself_do_it_too(self):
        patches = image_patches(NOISY, 8, stride=2)
        learned = learn_dictionary(patches - patches.mean(dim=1, keepdim=True), 64, 1)
        assert psnr(denoise(NOISY, 0.1, dictionary=learned.dictionary), CLEAN) > psnr(NOISY, CLEAN) + 4.5

    def test_all_is_noise_if_the_noise_is_said_to_be_large(self):
        means = image_patches(NOISY, 8).mean(dim=1, keepdim=True).expand(-1, 64)
        assert torch.allclose(denoise(NOISY, 10), from_patches(means, (96, 96)), atol=1e-6)

    def test_little_noise_changes_little(self):
        assert psnr(denoise(CLEAN, 0.002, stride=2), CLEAN) > 40

    @pytest.mark.parametrize("noise_std", [0, -1, float("nan")])
    def test_a_standard_deviation_is_positive(self, noise_std):
        with pytest.raises(ValueError, match="noise_std"):
            denoise(NOISY, noise_std)

    def test_holes_are_filled_better_than_by_the_mean_of_what_is_around(self):
        filled = inpaint(CLEAN * KNOWN, KNOWN)
        weight = gaussian_filter(KNOWN.float().numpy(), 1)
        around = torch.from_numpy(gaussian_filter((CLEAN * KNOWN).numpy(), 1) / weight)
        assert psnr(filled, CLEAN) > psnr(torch.where(KNOWN, CLEAN, around), CLEAN) + 1

    def test_what_is_known_stays_and_what_is_not_has_no_influence(self):
        filled = inpaint(CLEAN * KNOWN, KNOWN, stride=4)
        assert torch.equal(filled[KNOWN], CLEAN[KNOWN])
        assert torch.equal(filled, inpaint(torch.where(KNOWN, CLEAN, 7.0), KNOWN, stride=4))
        assert torch.equal(filled, inpaint(torch.where(KNOWN, CLEAN, torch.nan), KNOWN, stride=4))

    def test_a_hole_of_a_whole_patch(self):
        known = torch.ones(32, 32, dtype=torch.bool)
        known[4:24, 4:24] = False
        with pytest.raises(ValueError, match="no known pixel"):
            inpaint(CLEAN[:32, :32], known)

    def test_masks_and_atoms_that_do_not_fit(self):
        with pytest.raises(ValueError, match="one bool for each pixel"):
            inpaint(CLEAN, KNOWN.float())
        with pytest.raises(ValueError, match="10 entries"):
            denoise(NOISY, 0.1, dictionary=torch.eye(10))


class TestKernels:
    def test_every_kernel_becomes_a_sum_of_a_few_shared_atoms(self):
        model, report = compressed(small_vgg(), 12, 3)
        for layer in report.layers:
            weight = model.get_submodule(layer.name).weight
            kernels = weight.detach().flatten(2).flatten(0, 1)
            assert torch.allclose(layer.codes @ report.dictionary, kernels, atol=1e-6)
            assert layer.codes.count_nonzero(dim=1).max() <= 3
            assert 0 < layer.relative_error < 0.8

    def test_the_bits_are_atoms_values_and_indices(self):
        _, report = compressed(small_vgg(), 12, 3)
        kernels = sum(layer.shape[0] * layer.shape[1] for layer in report.layers)
        assert report.dense_bits == 32 * 9 * kernels
        assert report.stored_bits == 32 * 12 * 9 + kernels * 3 * (32 + 4)
        assert report.compression_factor == pytest.approx(report.dense_bits / report.stored_bits)

    def test_the_operations_of_the_other_order_of_computation(self):
        model, report = compressed(nn.Sequential(nn.Conv2d(6, 20, 3, bias=False)), 5, 2)
        images = torch.randn(2, 6, 9, 9)
        (layer,) = report.layers
        atoms = report.dictionary.reshape(5, 1, 3, 3).repeat(6, 1, 1, 1)
        maps = nn.functional.conv2d(images, atoms, groups=6)
        mixed = nn.functional.conv2d(maps, layer.codes.reshape(20, 30, 1, 1))
        assert torch.allclose(mixed, model(images), atol=1e-4)
        macs = atoms.numel() + 20 * 6 * 2
        assert layer.macs_ratio == pytest.approx(macs / (20 * 6 * 9))

    def test_grouped_convolutions_filter_each_input_once(self):
        _, report = compressed(nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1)), 4, 1)
        (layer,) = report.layers
        assert layer.shape == (8, 1, 3, 3)
        assert layer.macs_ratio == pytest.approx((8 * 4 * 9 + 8) / (8 * 9))

    def test_a_layer_of_large_weights_has_the_dictionary_not_for_itself(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
        scaled = copy.deepcopy(model)
        scaled[0].weight.data *= 1000
        (_, plain), (_, large) = compressed(model, 8, 2), compressed(scaled, 8, 2)
        for a, b in zip(plain.layers, large.layers, strict=True):
            assert a.relative_error == pytest.approx(b.relative_error, abs=0.02)

    def test_more_nonzeros_lower_the_error_and_nine_are_exact(self):
        errors = [compressed(small_vgg(), 16, nonzeros)[1].layers[2].relative_error for nonzeros in (1, 3, 9)]
        assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-3

    def test_skipped_layers_stay(self):
        model = small_resnet()
        names = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        before = copy.deepcopy(model.state_dict())
        report = compress_convolutions(model, 8, 2, skip=(names[0],), iterations=2)
        assert [layer.name for layer in report.layers] == names[1:]
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert changed == {f"{name}.weight" for name in names[1:]}

    def test_the_report_is_readable(self):
        _, report = compressed(small_vgg(), 12, 3)
        assert "3 of 12 atoms a kernel" in repr(report) and report.layers[0].name in repr(report)
        assert list(report.table().columns) == ["weight", "relative error", "MACs of dense"]
        assert "<table" in report._repr_html_()

    def test_what_it_refuses(self):
        with pytest.raises(ValueError, match="nowhere"):
            compress_convolutions(small_vgg(), 8, 2, skip=("nowhere",))
        with pytest.raises(ValueError, match="no 5 x 5 convolution is left"):
            compress_convolutions(small_vgg(), 8, 2, kernel_size=5)

    def test_weights_of_16_bits_are_compressed_in_their_type(self):
        model = nn.Sequential(nn.Conv2d(4, 16, 3)).to(torch.bfloat16)
        before = model[0].weight.detach().clone()
        report = compress_convolutions(model, 9, 4, iterations=3)
        assert model[0].weight.dtype == torch.bfloat16 and not torch.equal(model[0].weight, before)
        assert report.layers[0].relative_error < 0.5

    def test_weights_that_are_computed_are_refused(self):
        model = nn.Sequential(nn.Conv2d(4, 16, 3))
        prune.l1_unstructured(model[0], "weight", 0.5)
        with pytest.raises(ValueError, match=r"0\.weight is computed.*prune\.remove"):
            compress_convolutions(model, 9, 2)


def compressed(model: nn.Module, atoms: int, nonzeros: int):
    return model, compress_convolutions(model, atoms, nonzeros, iterations=4)


def test_a_complete_dct_is_a_dictionary_too():
    atoms = dct_dictionary(8, 8)
    assert psnr(denoise(NOISY, 0.1, dictionary=atoms), CLEAN) > psnr(NOISY, CLEAN) + 3
