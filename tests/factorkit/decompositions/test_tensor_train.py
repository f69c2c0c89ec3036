"""Tensor trains against TensorLy, the theory of their errors, and the dense layers that they stand for."""

import math

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import tensor_train as tensorlys_train
from torch import nn
from torch.nn import functional as F

from factorkit.decompositions.tensor_train import tensor_train, tensor_train_ranks
from factorkit.decompositions.trains import tt_svd, tt_to_tensor

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def error(tensor, cores):
    return float((tensor - tt_to_tensor(cores)).norm() / tensor.norm())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(1, 30), st.integers(0, 99))
def test_a_train_is_as_tensorly_multiplies_it_and_never_worse_than_tensorlys(shape, rank, seed):
    tensor = randn(*shape, seed=seed)
    cores = tt_svd(tensor, rank)
    theirs = tensorlys_train(tensor.numpy(), [1, *[rank] * (len(shape) - 1), 1])
    whole = tensorly.tt_to_tensor([core.numpy() for core in cores])
    torch.testing.assert_close(tt_to_tensor(cores), torch.from_numpy(whole))
    assert error(tensor, cores) <= error(tensor, [torch.from_numpy(core.copy()) for core in theirs]) + 1e-7
    sizes = [core.shape for core in cores]
    assert [size[1] for size in sizes] == shape
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        assert before[2] == after[0] <= min(rank, before[0] * before[1], after[1] * after[2])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 99), st.booleans())
def test_the_full_train_is_exact_and_its_cores_have_one_norm(shape, seed, double):
    tensor = randn(*shape, seed=seed, dtype=torch.float64 if double else torch.float32)
    cores = tt_svd(tensor, 10**6)
    torch.testing.assert_close(tt_to_tensor(cores), tensor, atol=1e-5, rtol=1e-5)
    norms = torch.stack([core.norm() for core in cores])
    torch.testing.assert_close(norms, norms.mean().expand(len(norms)))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.lists(st.integers(1, 12), min_size=3, max_size=3))
def test_the_error_lies_between_the_best_of_one_unfolding_and_the_sum_of_all(seed, wanted):
    tensor = randn(4, 3, 3, 5, seed=seed)
    largest = (4, 12, 5)
    ranks = [min(r, most) for r, most in zip(wanted, largest, strict=True)]
    tails = []
    for bond, rank in enumerate(ranks, 1):
        values = torch.linalg.svdvals(tensor.reshape(math.prod(tensor.shape[:bond]), -1))
        tails.append(float(values[rank:].square().sum()))
    squared = (error(tensor, tt_svd(tensor, ranks)) * float(tensor.norm())) ** 2
    assert max(tails) - 1e-9 <= squared <= sum(tails) + 1e-9


@pytest.mark.parametrize("bond", [0, 1, 2])
def test_with_one_bond_cut_the_error_is_the_best_and_falls_with_its_rank(bond):
    tensor, full = randn(4, 3, 3, 5), [4, 12, 5]
    values = torch.linalg.svdvals(tensor.reshape(math.prod(tensor.shape[: bond + 1]), -1))
    errors = []
    for rank in range(1, full[bond] + 1):
        ranks = full.copy()
        ranks[bond] = rank
        errors.append(error(tensor, tt_svd(tensor, ranks)))
        best = float(values[rank:].norm() / tensor.norm())
        assert errors[-1] == pytest.approx(best, abs=1e-7)
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-7 < errors[0]


def test_more_sweeps_never_hurt_and_the_first_ones_help():
    tensor = randn(24, 3, 3, 24)
    plain = tensorlys_train(tensor.numpy(), [1, 8, 8, 8, 1])
    errors = [error(tensor, [torch.from_numpy(core.copy()) for core in plain])]
    errors += [error(tensor, tt_svd(tensor, 8, sweeps=sweeps)) for sweeps in (1, 2, 4, 8)]
    assert all(later <= earlier for earlier, later in zip(errors[:-1], errors[1:], strict=True))
    assert errors[2] < 0.997 * errors[0]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_layers_answer_as_the_reconstruction_does(data):
    draw, axes = data.draw, data.draw(st.integers(1, 3))
    size = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(axes))  # noqa: E731
    kernel, stride, dilation = size(1, 3), size(1, 2), size(1, 2)
    same = draw(st.booleans())
    layer = CONVOLUTIONS[axes](
        draw(st.integers(1, 6)),
        draw(st.integers(1, 6)),
        kernel,
        stride=1 if same else stride,
        padding="same" if same else size(0, 2),
        dilation=dilation,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "replicate"])),
    )
    train = tensor_train(layer.weight, draw(st.integers(1, 8)))
    replacement = train.to_layers(layer.eval())
    images = randn(2, layer.in_channels, *(7 for _ in range(axes)), dtype=torch.float32)
    with torch.no_grad():
        dense = layer(images)
        layer.weight.copy_(train.reconstruct())
        torch.testing.assert_close(replacement(images), layer(images), atol=1e-4, rtol=1e-4)
        assert replacement(images).shape == dense.shape and not replacement.training
    assert sum(p.numel() for p in replacement.parameters()) == train.params + (layer.bias is not None) * len(
        layer.weight
    )


def test_ranks_for_a_fraction_keep_it_and_grow_with_it():
    weight = randn(12, 10, 3, 3)
    weight = weight * torch.arange(1, 13)[:, None, None, None] ** -1.0
    found = []
    for fraction in (0.5, 0.9, 0.99, 1.0):
        ranks = tensor_train_ranks(weight, fraction)
        assert tensor_train(weight, ranks).relative_error <= math.sqrt(1 - fraction) + 1e-7
        found.append(ranks)
    assert all(
        a <= b for less, more in zip(found[:-1], found[1:], strict=True) for a, b in zip(less, more, strict=True)
    )
    assert found[0] < found[-1] == (10, 30, 12)


def test_axes_of_size_one_have_no_core():
    assert tensor_train(randn(6, 5, 1, 1), 3).rank == (3,)
    assert tensor_train(randn(6, 5, 1, 3), (3, 4)).rank == (3, 4)
    train = tensor_train(randn(6, 5, 1, 3), 2)
    assert [step.name for step in train.steps()] == ["inputs", "horizontal", "outputs"]


def test_a_weight_of_zeros_stays_zero():
    train = tensor_train(torch.zeros(4, 3, 3, 3), 2)
    assert train.relative_error == 0 and not train.reconstruct().any()


@pytest.mark.parametrize(
    "ranks, message",
    [
        (0, "ranks=0: give an integer of at least 1"),
        ((2, 2), "has 3 bonds; give a rank for each"),
        ((2, 2, 99), r"ranks\[2\]=99: .* has rank at most 8"),
        ((2, 0, 2), r"ranks\[1\]=0"),
    ],
)
def test_wrong_ranks_are_refused(ranks, message):
    with pytest.raises(ValueError, match=message):
        tensor_train(randn(8, 8, 3, 3), ranks)


def test_other_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="weight has shape"):
        tensor_train(randn(8, 8), 2)
    with pytest.raises(ValueError, match="sweeps=0"):
        tensor_train(randn(8, 8, 3, 3), 2, sweeps=0)
    with pytest.raises(ValueError, match="fraction=0"):
        tensor_train_ranks(randn(8, 8, 3, 3), 0)
    with pytest.raises(ValueError, match="groups=2"):
        tensor_train(randn(8, 4, 3, 3), 2).to_layers(nn.Conv2d(8, 8, 3, groups=2))
