"""The inventory of a model tells what its tensors hold: widths, zeros and filters that are pruned as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from factorkit.quantization import quantize_weights
from micronet_resources.claims import ClaimError, check_claims
from micronet_resources.encoding import cheapest
from micronet_resources.measuring import measure_tensors
from micronet_resources.operations import Operation
from micronet_resources.profile import profile_model


@dataclass
class Layer:
    name: str
    operations: tuple[Operation, ...]


def conv(name, out, size, weight, kind="convolution", operator="conv2d"):
    """A layer of one operation with ``size`` products at each of its ``out`` outputs."""
    operation = Operation(operator, kind, out, out * size, out * (size - 1), weight=weight)
    return Layer(name, (operation,))


def weights(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def measure_one(weight, layer):
    inventory = measure_tensors([layer], {"weight": weight})
    return inventory.tensors[0], inventory.operations[0]


def test_a_dense_network_is_measured_as_it_is():
    weight = weights(8, 3, 3, 3)
    tensor, operation = measure_one(weight, conv("conv", 8 * 25, 27, "weight"))
    assert (tensor.name, tensor.shape, tensor.role) == ("weight", (8, 3, 3, 3), "weight")
    assert (tensor.live, tensor.nonzero) == (216, 216)
    assert (operation.weight_bits, operation.input_bits, operation.signs_only) == (32, 32, False)
    assert operation.live_macs == operation.nonzero_macs == operation.operation.macs == 8 * 25 * 27
    assert operation.live_outputs == 200


def test_zero_filters_and_channels_of_a_tensor_are_pruned_with_their_products():
    weight = weights(8, 4, 3, 3)
    weight[:2] = 0  # two filters
    weight[:, 3] = 0  # one input channel
    weight[5, 0, 0, 0] = 0  # one weight
    tensor, operation = measure_one(weight, conv("conv", 8 * 25, 36, "weight"))
    assert (tensor.live, tensor.nonzero) == (6 * 3 * 9, 6 * 3 * 9 - 1)
    assert cheapest(tensor.encodings).total_bits() == 32 * 6 * 3 * 9
    assert operation.live_outputs == 6 * 25
    assert operation.live_macs == 25 * 6 * 3 * 9
    assert operation.nonzero_macs == 25 * (6 * 3 * 9 - 1)


def test_the_outputs_of_a_transposed_convolution_lie_along_the_second_axis():
    weight = weights(4, 8, 3, 3)
    weight[:, :2] = 0
    tensor, operation = measure_one(weight, conv("up", 8 * 25, 36, "weight", operator="conv_transpose2d"))
    assert (operation.live_outputs, tensor.live) == (6 * 25, 4 * 6 * 9)


@pytest.mark.parametrize("right", [True, False])
def test_the_outputs_of_a_matrix_lie_along_the_axis_that_is_not_summed(right):
    scales = 0.01 + torch.arange(12) / 1000
    levels = torch.randint(-127, 128, (20, 12), generator=torch.Generator().manual_seed(0)).float()
    weight = levels * scales
    weight[:, :3] = 0
    layer = conv("product", 7 * 12, 20, "weight", kind="matmul", operator="matmul")
    tensor, operation = measure_one(weight if right else weight.T.contiguous(), layer)
    assert (operation.weight_bits, operation.live_outputs, tensor.live) == (8, 7 * 9, 20 * 9)


def test_a_square_matrix_has_no_certain_axis_for_scales():
    levels = torch.randint(-127, 128, (16, 16), generator=torch.Generator().manual_seed(0)).float()
    weight = levels * (0.01 + torch.arange(16) / 1000)
    _, product = measure_one(weight, conv("product", 16, 16, "weight", kind="matmul", operator="matmul"))
    assert product.weight_bits == 32
    _, linear = measure_one(weight.T.contiguous(), conv("fc", 16, 16, "weight", kind="linear", operator="linear"))
    assert linear.weight_bits == 8


def test_binary_weights_are_signs_and_ternary_ones_multiply_at_two_bits():
    signs = weights(8, 4, 3, 3).sign() * 0.1
    _, operation = measure_one(signs, conv("conv", 200, 36, "weight"))
    assert (operation.weight_bits, operation.signs_only) == (1, True)
    signs[:, :2, 1] = 0
    _, operation = measure_one(signs, conv("conv", 200, 36, "weight"))
    assert (operation.weight_bits, operation.signs_only) == (2, True)
    assert operation.nonzero_macs == 200 * (36 - 6)


def test_roles_follow_from_what_is_done_with_a_tensor():
    convolution = Operation("conv2d", "convolution", 8, 72, 64, weight="conv.weight")
    bias = Operation("add", "bias", 8, 0, 8, weight="conv.bias")
    norm = Operation("batch_norm", "normalization", 8, 8, 8, weight="norm.weight")
    layers = [Layer("conv", (convolution, bias)), Layer("norm", (norm,))]
    names = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "scale")
    inventory = measure_tensors(layers, {name: torch.ones(8) for name in names})
    roles = [tensor.role for tensor in inventory.tensors]
    assert roles == ["weight", "bias", "normalization", "normalization", "other"]
    assert [measured.operation for measured in inventory.operations] == [convolution, bias, norm]


def test_a_shared_weight_is_stored_once_and_multiplies_twice():
    layer = Layer("both", conv("a", 10, 4, "w").operations + conv("b", 20, 4, "w").operations)
    inventory = measure_tensors([layer], {"w": weights(2, 4)})
    assert len(inventory.tensors) == 1 and inventory.params == 8
    assert inventory.macs == sum(measured.live_macs for measured in inventory.operations) == 120


def test_half_precision_is_sixteen_bits_on_both_sides():
    for dtype in (torch.float16, torch.bfloat16):
        tensor, operation = measure_one(weights(8, 36).to(dtype), conv("fc", 8, 36, "weight", kind="linear"))
        assert (operation.weight_bits, operation.input_bits) == (16, 16)
        assert min(encoding.bits for encoding in tensor.encodings if encoding.values == "dense") == 16
    _, operation = measure_one(weights(8, 36).half().float(), conv("fc", 8, 36, "weight", kind="linear"))
    assert (operation.weight_bits, operation.input_bits) == (16, 32)


def test_an_operation_without_a_weight_is_left_whole():
    relu = Operation("relu", "activation", 100, 100, 0)
    (operation,) = measure_tensors([Layer("relu", (relu,))], {}).operations
    assert (operation.live_outputs, operation.live_macs, operation.nonzero_macs) == (100, 0, 0)
    attention = Operation("attention", "attention", 10, 400, 390)
    (operation,) = measure_tensors([Layer("a", (attention,))], {}).operations
    assert (operation.live_macs, operation.nonzero_macs) == (400, 400)


def test_nothing_of_a_network_of_zeros_is_left():
    tensor, operation = measure_one(torch.zeros(8, 36), conv("fc", 8, 36, "weight", kind="linear"))
    assert (tensor.live, tensor.nonzero, cheapest(tensor.encodings).total_bits()) == (0, 0, 0)
    assert (operation.live_outputs, operation.live_macs, operation.nonzero_macs) == (0, 0, 0)


def test_tensors_without_values_are_refused():
    with pytest.raises(ValueError, match="fc.weight is on the meta device"):
        measure_tensors([], {"fc.weight": torch.empty(3, 4, device="meta")})


def pruned_network():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    prune.random_unstructured(model[0], "weight", amount=0.5)
    prune.ln_structured(model[2], "weight", amount=2, n=2, dim=0)
    return model


def test_masks_of_prune_are_seen_through_in_a_profile():
    inventory = profile_model(pruned_network(), (3, 8, 8)).inventory
    first, second = (tensor for tensor in inventory.tensors if tensor.role == "weight")
    assert (first.nonzero, first.live, second.live) == (108, 216, 144)
    convolutions = [x for x in inventory.operations if x.operation.kind == "convolution"]
    assert [x.live_macs for x in convolutions] == [216 * 36, 144 * 16]
    assert convolutions[0].nonzero_macs == 108 * 36


def test_what_a_profile_measures_can_be_claimed_and_nothing_better():
    profile = profile_model(pruned_network(), (3, 8, 8))
    total = 216 + 8 + 288 + 4
    check_claims(profile.inventory, weight_bits=32, pruned_structured=144 / total, pruned_unstructured=108 / total)
    with pytest.raises(ClaimError, match="0.279 was found"):
        check_claims(profile.inventory, pruned_structured=0.5)


def test_quantized_weights_are_measured_at_their_bits():
    for bits, per_channel in ((8, True), (4, True), (2, False), (1, True)):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 6, 3), nn.Flatten(), nn.Linear(384, 10))
        quantize_weights(model, bits, per_channel=per_channel)
        operations = profile_model(model, (3, 8, 8)).inventory.operations
        widths = [x.weight_bits for x in operations if x.operation.kind in ("convolution", "linear")]
        assert widths == [bits] * 3
