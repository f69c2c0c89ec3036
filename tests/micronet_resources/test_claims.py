"""What is declared about a network is held against its tensors: worse is fine, better is refused."""

from __future__ import annotations

import pytest

from micronet_resources.claims import ClaimError, check_claims
from micronet_resources.encoding import Encoding
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.operations import Operation


def tensor(name, count, *, bits=32, operand=None, live=None, nonzero=None, role="weight"):
    live = count if live is None else live
    nonzero = live if nonzero is None else nonzero
    encoding = Encoding("dense" if bits == 32 else "grid", bits, live, 0, 0, bits if operand is None else operand)
    return StoredTensor(name, (count,), role, live, nonzero, (encoding,))


def product(weight, input_bits=32, weight_bits=32):
    operation = Operation("conv2d", "convolution", 10, 90, 80, weight=weight)
    return MeasuredOperation(operation, weight_bits, input_bits, False, 10, 90, 90)


def inventory(*tensors, input_bits=32):
    weights = [x for x in tensors if x.role == "weight"]
    return Inventory(tuple(tensors), tuple(product(x.name, input_bits) for x in weights))


def test_what_is_found_can_be_claimed_and_so_can_anything_worse():
    found = inventory(tensor("conv", 100, bits=4, live=60, nonzero=30), input_bits=8)
    for bits in (4, 8, 32):
        check_claims(found, weight_bits=bits)
    for bits in (8, 32):
        check_claims(found, activation_bits=bits)
    for structured, unstructured in ((0.4, 0.3), (0.0, 0.7), (0.3, 0.4), (0.1, 0.1), (0.4, None), (None, 0.7)):
        check_claims(found, pruned_structured=structured, pruned_unstructured=unstructured)
    check_claims(found)


def test_weights_that_are_wider_than_claimed_are_named_the_worst_three():
    found = inventory(
        tensor("a", 10, bits=8),
        tensor("b", 10),
        tensor("c", 10, bits=16),
        tensor("d", 10, bits=4),
        tensor("e", 9, bits=9),
    )
    with pytest.raises(ClaimError) as caught:
        check_claims(found, weight_bits=4)
    message = str(caught.value)
    assert "weight_bits=4 was claimed, and 32 bits were found" in message
    assert "b 32 bits, c 16 bits, e 9 bits and 1 more" in message
    assert "quantize_weights" in message


def test_a_claim_is_a_value_error():
    with pytest.raises(ValueError, match="was claimed"):
        check_claims(inventory(tensor("a", 10)), weight_bits=1)


def test_biases_may_be_wider_than_the_weights():
    check_claims(inventory(tensor("w", 10, bits=8), tensor("b", 10, role="bias")), weight_bits=8)


def test_pruned_weights_have_no_width():
    check_claims(inventory(tensor("w", 10, nonzero=0), tensor("v", 10, bits=8)), weight_bits=8)


def test_clustered_weights_are_as_narrow_as_their_indices_only_where_the_feature_maps_are_wide():
    clustered = tensor("w", 1000, bits=4, operand=32)
    check_claims(inventory(clustered), weight_bits=4)
    check_claims(inventory(clustered, input_bits=8), weight_bits=4, activation_bits=32)
    with pytest.raises(ClaimError, match="weight_bits=4 was claimed, and 32 bits were found: w 32 bits"):
        check_claims(inventory(clustered, input_bits=8), weight_bits=4)


def test_activations_that_are_wider_than_claimed_are_refused():
    found = Inventory((tensor("a", 10),), (product("a", 8), product("b", 16), product("c", 32)))
    with pytest.raises(ClaimError, match="activation_bits=8 was claimed, and 32 bits were found in .* c 32 bits, b 16"):
        check_claims(found, activation_bits=8)


def test_only_operations_that_multiply_and_are_left_decide_on_activations():
    gone = MeasuredOperation(Operation("conv2d", "convolution", 10, 90, 80, weight="b"), 32, 32, False, 0, 0, 0)
    relu = MeasuredOperation(Operation("relu", "activation", 10, 10, 0), 32, 32, False, 10, 0, 0)
    check_claims(Inventory((), (product("a", 8), gone, relu)), activation_bits=8)


def test_zeros_do_not_make_a_filter_pruned():
    found = inventory(tensor("conv", 100, live=90, nonzero=20), tensor("fc", 100, nonzero=50))
    with pytest.raises(ClaimError) as caught:
        check_claims(found, pruned_structured=0.5)
    message = str(caught.value)
    assert "pruned_structured=0.5 was claimed, and 0.05 was found" in message
    assert "fc 100, conv 90" in message and "exported" in message


def test_more_zeros_than_there_are_cannot_be_claimed():
    found = inventory(tensor("conv", 100, live=90, nonzero=20), tensor("fc", 100, nonzero=50))
    with pytest.raises(ClaimError, match="and 0.65 was found for both together.*70 are not zero: fc 50, conv 20"):
        check_claims(found, pruned_structured=0.05, pruned_unstructured=0.61)


def test_what_an_error_says_was_found_can_be_claimed():
    found = inventory(tensor("conv", 30_000, nonzero=10_001))
    with pytest.raises(ClaimError, match="0.6666 was found"):
        check_claims(found, pruned_unstructured=0.6667)
    check_claims(found, pruned_unstructured=0.6666)


def test_a_fraction_is_of_all_elements_not_of_the_weights_alone():
    found = inventory(tensor("conv", 90, nonzero=9), tensor("bias", 10, role="bias"))
    with pytest.raises(ClaimError, match="0.81 was found"):
        check_claims(found, pruned_unstructured=0.9)


def test_fractions_that_add_up_with_a_rounding_error_pass():
    found = inventory(tensor("conv", 10, live=9, nonzero=7))
    check_claims(found, pruned_structured=0.1, pruned_unstructured=0.2)  # 0.1 + 0.2 > 0.3
