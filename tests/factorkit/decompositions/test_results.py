"""What every result does: chains of layers with the settings of the layer they replace, costs, checks."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from factorkit.costs import conv2d_cost, conv2d_output_size
from factorkit.decompositions import Decomposition, Step, relative_error
from factorkit.decompositions.weights import checked_rank, checked_weight


@dataclass(frozen=True, repr=False, eq=False)
class Vertical(Decomposition):
    """A kernel of rank one along its last axis: vertical, then horizontal."""

    vertical: torch.Tensor
    horizontal: torch.Tensor

    @property
    def rank(self) -> int:
        return len(self.vertical)

    def steps(self) -> tuple[Step, ...]:
        return Step("vertical", self.vertical), Step("horizontal", self.horizontal)

    def reconstruct(self) -> torch.Tensor:
        return torch.einsum("riyz,orzx->oiyx", self.vertical, self.horizontal)


def chain(height: int, width: int, dtype: torch.dtype = torch.float64) -> Vertical:
    generator = torch.Generator().manual_seed(0)
    vertical = torch.randn(5, 3, height, 1, generator=generator, dtype=dtype)
    horizontal = torch.randn(4, 5, 1, width, generator=generator, dtype=dtype)
    weight = torch.einsum("riyz,orzx->oiyx", vertical, horizontal)
    return Vertical(weight, vertical, horizontal)


def layer_like(result: Decomposition, **options) -> nn.Conv2d:
    outputs, inputs, *kernel = result.shape
    layer = nn.Conv2d(inputs, outputs, tuple(kernel), **options).double()
    with torch.no_grad():
        layer.weight.copy_(result.reconstruct())
    return layer


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    kernel=PAIRS,
    stride=PAIRS,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=PAIRS,
    bias=st.booleans(),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
)
def test_a_chain_equals_the_layer_for_every_setting(kernel, stride, padding, dilation, bias, mode):
    result = chain(*kernel)
    layer = layer_like(result, stride=stride, padding=padding, dilation=dilation, bias=bias, padding_mode=mode)
    images = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    torch.testing.assert_close(result.to_layers(layer)(images), layer(images))


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5), (1, 1)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(kernel, padding):
    result = chain(*kernel)
    layer = layer_like(result, padding=padding, dilation=2)
    images = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(result.to_layers(layer)(images), layer(images))


def test_layers_take_type_training_mode_and_bias_and_leave_the_layer_alone():
    layer = layer_like(chain(3, 3)).float().eval().requires_grad_(False)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    made = chain(3, 3).to_layers(layer)
    assert not made.training and not made.vertical.training
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in made.parameters())
    assert made.vertical.bias is None and torch.equal(made.horizontal.bias, layer.bias)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    assert all(torch.equal(layer.state_dict()[name], value) for name, value in before.items())


def test_layers_are_made_where_the_layer_is():
    layer = layer_like(chain(3, 3)).to("meta")
    assert {parameter.device.type for parameter in chain(3, 3).to_layers(layer).parameters()} == {"meta"}


def test_costs_are_those_of_the_layers():
    result = chain(3, 5)
    options = {"stride": (2, 3), "padding": (1, 2)}
    made = result.to_layers(layer_like(result, bias=False, **options))
    assert result.params == sum(parameter.numel() for parameter in made.parameters())
    out = conv2d_output_size((17, 20), (3, 5), **options)
    vertical = conv2d_cost((17, 20), (3, 1), 3, 5, stride=(2, 1), padding=(1, 0))
    horizontal = conv2d_cost((out[0], 20), (1, 5), 5, 4, stride=(1, 3), padding=(0, 2))
    assert result.macs(out, input_size=(17, 20)) == vertical.macs + horizontal.macs
    assert result.macs(7) == result.params * 49


def test_relative_error():
    weight = torch.tensor([[3.0, 4.0]])
    assert relative_error(weight, weight) == 0
    assert relative_error(weight, torch.zeros_like(weight)) == 1
    assert relative_error(weight * 1e-30, weight * 0) == pytest.approx(1)
    assert relative_error(weight * 0, weight * 0) == 0
    assert relative_error(weight * 0, weight) == float("inf")
    with pytest.raises(ValueError, match=r"\(2,\).*\(1, 2\)"):
        relative_error(weight, torch.zeros(2))


def test_a_result_reports_the_error_against_the_weight_given():
    exact = chain(3, 3)
    noisy = exact.reconstruct() + 1
    result = Vertical(noisy, exact.vertical, exact.horizontal)
    assert exact.relative_error < 1e-12
    assert result.relative_error == pytest.approx(float((noisy - exact.reconstruct()).norm() / noisy.norm()))
    assert "relative error" in repr(result) and "4 x 3 x 3 x 3" in repr(result) and "rank 5" in repr(result)


def test_results_cannot_be_changed():
    with pytest.raises(AttributeError):
        chain(3, 3).vertical = torch.zeros(1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.ReLU(), "cannot replace a ReLU.*nn.Conv2d"),
        (nn.ConvTranspose2d(4, 3, 3), "cannot replace a ConvTranspose2d"),
        (nn.Conv2d(3, 4, 5), "4 x 3 x 5 x 5.*4 x 3 x 3 x 3"),
        (nn.Conv2d(6, 4, 3, groups=2), "groups=2.*groups=1"),
    ],
)
def test_a_layer_that_does_not_fit_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        chain(3, 3).to_layers(layer)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, (3,), (3, 3, 3)])
def test_sizes_are_checked(size):
    with pytest.raises(ValueError, match="output_size"):
        chain(3, 3).macs(size)
    with pytest.raises(ValueError, match="input_size"):
        chain(3, 3).macs(3, input_size=size)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([[1.0]], "is a list"),
        (torch.ones(3), r"\(3,\).*2 or 4 dimensions"),
        (torch.ones(3, 3).half(), "float16.*weight.float"),
        (torch.ones(3, 3).long(), "int64"),
        (torch.ones(0, 3), "is empty"),
        (torch.tensor([[float("nan")]]), "NaN or infinity"),
        (torch.tensor([[-float("inf")]]), "NaN or infinity"),
    ],
)
def test_weights_that_cannot_be_decomposed_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        checked_weight(weight, (2, 4))


def test_groups_divide_the_outputs():
    with pytest.raises(ValueError, match="groups=3 does not divide the 4"):
        checked_weight(torch.ones(4, 2, 3, 3), (4,), groups=3)
    assert checked_weight(nn.Parameter(torch.ones(4, 2)), (2,), groups=2).requires_grad is False


@pytest.mark.parametrize("rank", [0, -2, 1.0, True, 5])
def test_ranks_are_checked(rank):
    with pytest.raises(ValueError, match=f"rank={rank}"):
        checked_rank("rank", rank, 4, "a 4 x 9 matrix")
