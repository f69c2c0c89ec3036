"""Linear layers as tensor trains against TensorLy, their dense weight and the counter of operations."""

import copy
import math

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.tt_matrix import tt_matrix_to_matrix
from torch import nn

from factorkit.decompositions.tensor_train_linear import TTLinear
from factorkit.decompositions.tensor_train_matrix import TTMatrix, balanced_shape, tensor_train_matrix, tt_linear
from micronet_resources.profile import profile_model

SHAPES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=4)


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_the_layer_answers_as_the_reconstruction_and_as_tensorlys(pairs, ranks, seed, bias):
    torch.manual_seed(seed)
    in_shape, out_shape = zip(*pairs, strict=True)
    linear = nn.Linear(math.prod(in_shape), math.prod(out_shape), bias=bias).double().eval()
    found = tensor_train_matrix(linear.weight, in_shape, out_shape, ranks)
    theirs = tt_matrix_to_matrix(tensorly.tt_matrix.TTMatrix([core.numpy() for core in found.cores]))
    torch.testing.assert_close(found.reconstruct(), torch.from_numpy(theirs))
    features = torch.randn(2, 3, linear.in_features, dtype=torch.float64)
    layers = found.to_layers(linear)
    wanted = nn.functional.linear(features, found.reconstruct(), linear.bias)
    torch.testing.assert_close(layers(features), wanted)
    for way in (layers[0]._from_left, layers[0]._from_right):  # whichever is cheaper, both are right
        outputs = way(features).reshape(wanted.shape)
        torch.testing.assert_close(outputs if linear.bias is None else outputs + linear.bias, wanted)
    assert not layers.training and layers[0].cores[0].dtype == torch.float64
    assert tensor_train_matrix(linear.weight, in_shape, out_shape, 10**6).relative_error < 1e-7


@pytest.mark.parametrize("in_shape, out_shape", [((2, 7, 8), (4, 4, 4)), ((4, 4, 4), (2, 7, 8)), ((16, 4), (4, 16))])
def test_the_operations_are_those_that_are_counted_and_the_fewer_of_both_ways(in_shape, out_shape):
    linear = nn.Linear(math.prod(in_shape), math.prod(out_shape))
    found = tensor_train_matrix(linear.weight, in_shape, out_shape, 3)
    layer = found.to_layers(linear)
    profile = profile_model(layer, (linear.in_features,))
    assert profile.macs == found.macs() and found.macs(5) == 5 * found.macs()
    assert profile.params == found.params + linear.out_features
    assert isinstance(found, TTMatrix) and "rank (3" in repr(found)


def test_gradients_are_those_of_the_dense_weight():
    torch.manual_seed(0)
    layer = TTLinear((3, 2, 4), (2, 5, 2), (3, 2)).double()
    features = torch.randn(6, 24, dtype=torch.float64)
    other = copy.deepcopy(layer)
    layer(features).square().sum().backward()
    nn.functional.linear(features, other.weight, other.bias).square().sum().backward()
    for ours, theirs in zip(layer.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_new_layer_starts_with_the_variance_of_a_dense_one():
    torch.manual_seed(0)
    layer = TTLinear((8, 8, 8), (8, 8, 8), 8)
    assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(1 / (3 * 512)), rel=0.2)


def test_tt_linear_keeps_what_the_layer_was_and_leaves_it_alone():
    linear = nn.Linear(12, 10).requires_grad_(False)
    before = linear.weight.clone()
    made = tt_linear(linear, (3, 4), (5, 2), 2)
    assert torch.equal(made.bias, linear.bias) and made.bias is not linear.bias and torch.equal(before, linear.weight)
    assert not any(p.requires_grad for p in made.parameters())
    assert made.extra_repr() == "in_shape=(3, 4), out_shape=(5, 2), ranks=(2,), bias=True"


@given(st.integers(1, 5000), st.integers(1, 6))
def test_balanced_shapes_multiply_to_the_number(features, digits):
    shape = balanced_shape(features, digits)
    assert math.prod(shape) == features and len(shape) == digits and list(shape) == sorted(shape, reverse=True)


def test_wrong_arguments_are_refused():
    linear = nn.Linear(12, 10)
    with pytest.raises(ValueError, match="do not make 10 x 12 weights"):
        tt_linear(linear, (3, 5), (5, 2), 2)
    with pytest.raises(ValueError, match="as many factors of inputs as of outputs"):
        tt_linear(linear, (3, 2, 2), (5, 2), 2)
    with pytest.raises(ValueError, match="do not make"):
        tt_linear(linear, (12,), (10,), 2)
    with pytest.raises(ValueError, match=r"ranks\[0\]=99"):
        tt_linear(linear, (3, 4), (5, 2), (99,))
    with pytest.raises(ValueError, match="one for each"):
        TTLinear((3, 4), (5, 2), (2, 2))
    with pytest.raises(ValueError, match=r"in_shape\[1\]=0"):
        TTLinear((3, 0), (5, 2), 2)
    with pytest.raises(ValueError, match=r"the layer reads \(..., 12\)"):
        TTLinear((3, 4), (5, 2), 2)(torch.zeros(2, 11))
    with pytest.raises(ValueError, match="belongs to an nn.Linear"):
        tensor_train_matrix(linear.weight, (3, 4), (5, 2), 2).to_layers(nn.Conv2d(12, 10, 1))
