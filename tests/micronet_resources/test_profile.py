"""Counts against formulas written by hand, against other counters where they are right, and on awkward networks."""

import copy
import random
import warnings
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from factorkit.models import resnet18_cifar, small_convnet
from micronet_resources.profile import UncountedOperatorError, profile_model


def layer(profile, name):
    return next(x for x in profile.layers if x.name == name)


def test_the_reference_network_of_the_course():
    profile = profile_model(resnet18_cifar(), (3, 32, 32))
    assert (profile.params, profile.macs) == (11_173_962, 555_422_720)
    assert sum(x.params for x in profile.layers) == profile.params
    assert sum(x.macs for x in profile.layers) == profile.macs
    assert profile.buffers == 9_620  # running means and variances, and one counter of batches for each
    assert profile.products == 0
    assert profile.notes == ()


# --- Every operator, against its formula. Shapes are for one example; the profiler adds the batch of one. -------------


class Call(nn.Module):
    """A network that is one function of its input and of tensors of ones."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(shape)) for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.weights)


OPERATORS = {
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2), (4, 9), 4 * 6 * 3 * 4),
    "conv2d": (nn.Conv2d(3, 128, 3), (3, 7, 7), 86_400),
    "conv2d, grouped, dilated": (nn.Conv2d(6, 4, 3, groups=2, dilation=2, padding=2), (6, 5, 5), 25 * 9 * 3 * 4),
    "conv2d, padding same": (nn.Conv2d(3, 8, 4, padding="same"), (3, 5, 5), 25 * 16 * 3 * 8),
    "conv2d, circular": (nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), (3, 5, 5), 25 * 9 * 3 * 8),
    "conv3d": (nn.Conv3d(2, 4, 3), (2, 5, 5, 5), 27 * 27 * 2 * 4),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 5), 25 * 9 * 4 * 3),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3), (4, 5), 5 * 3 * 4 * 6),
    "linear": (nn.Linear(8, 4), (8,), 32),
    "linear on a sequence": (nn.Linear(8, 4), (7, 8), 7 * 32),
    "bilinear": (Call(lambda x, w: F.bilinear(x, x, w), (4, 8, 8)), (8,), 4 * 8 * 8 + 4 * 8),
    "lstm": (nn.LSTM(8, 16, batch_first=True, bidirectional=True), (5, 8), 2 * 5 * 64 * (8 + 16)),
    "gru": (nn.GRU(8, 16, batch_first=True), (5, 8), 5 * 48 * (8 + 16)),
    "rnn cell": (nn.RNNCell(8, 16), (8,), 16 * (8 + 16)),
    "matrix @ matrix": (Call(lambda x, w: x @ w, (8, 5)), (7, 8), 7 * 8 * 5),
    "matrix @ vector": (Call(lambda x, w: x @ w, (8,)), (7, 8), 7 * 8),
    "torch.mv": (Call(lambda x, w: torch.mv(x[0], w), (8,)), (7, 8), 7 * 8),
    "torch.dot": (Call(lambda x, w: torch.dot(x[0], w), (8,)), (8,), 8),
    "torch.addmv": (Call(lambda x, b, w: torch.addmv(b, x[0], w), (7,), (8,)), (7, 8), 7 * 8),
    "torch.addmm": (Call(lambda x, b, w: torch.addmm(b, x[0], w), (7, 5), (8, 5)), (7, 8), 7 * 8 * 5),
    "addmm in place": (Call(lambda x, w: torch.zeros(7, 5).addmm_(x[0], w), (8, 5)), (7, 8), 7 * 8 * 5),
    "torch.addbmm": (Call(lambda x, b, w: torch.addbmm(b, x[0], w), (7, 5), (3, 8, 5)), (3, 7, 8), 3 * 7 * 8 * 5),
    "torch.baddbmm": (Call(lambda x, b, w: torch.baddbmm(b, x[0], w), (3, 7, 5), (3, 8, 5)), (3, 7, 8), 3 * 7 * 8 * 5),
    "einsum": (Call(lambda x, w: torch.einsum("nchw,oc->nohw", x, w), (6, 4)), (4, 3, 3), 9 * 4 * 6),
    "tensordot": (Call(lambda x, w: torch.tensordot(x, w, dims=2), (4, 3, 6)), (4, 3), 4 * 3 * 6),
    "functional conv2d": (Call(lambda x, w: F.conv2d(x, w), (6, 4, 3, 3)), (4, 5, 5), 9 * 9 * 4 * 6),
    "unfold and matmul": (Call(lambda x, w: w @ F.unfold(x, 3), (6, 36)), (4, 5, 5), 9 * 36 * 6),
    "attention": (
        Call(lambda x: F.scaled_dot_product_attention(x, x, x)),
        (2, 7, 8),
        2 * 2 * 7 * 7 * 8,
    ),
    "attention with fewer keys": (
        Call(lambda x, k: F.scaled_dot_product_attention(x, k, k[..., :5]), (1, 2, 3, 8)),
        (2, 7, 8),
        2 * 7 * 3 * (8 + 5),
    ),
    "distances": (Call(lambda x, w: torch.cdist(x, w), (1, 40, 8)), (30, 8), 30 * 40 * 8),
    "distances, small": (Call(lambda x, w: torch.cdist(x, w), (1, 4, 8)), (3, 8), 3 * 4 * 8),
    "batch norm, pooling": (nn.Sequential(nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Softmax(1)), (3, 8, 8), 0),
    "upsampling": (nn.Upsample(scale_factor=2, mode="bilinear"), (3, 8, 8), 0),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_macs_of_an_operator(name):
    model, shape, macs = OPERATORS[name]
    profile = profile_model(model, shape)
    assert profile.macs == macs
    assert profile.notes == ()


class OnValues(nn.Module):
    """Makes any network need values, so that it is counted on the CPU."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) if float(x.sum()) < 1e9 else x


@pytest.mark.parametrize("name", OPERATORS)
def test_the_count_on_the_cpu_is_the_same(name):
    model, shape, macs = OPERATORS[name]
    profile = profile_model(OnValues(model), shape)
    assert profile.macs == macs
    assert "for real" in profile.notes[0]


@pytest.mark.parametrize("wrap", [lambda m: m, OnValues])
def test_multi_head_attention_has_no_blind_fast_path(wrap):
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    model = wrap(Call(lambda x: attention(x, x, x)[0]))
    model.attention = attention
    assert profile_model(model, (7, 8)).macs == 7 * 8 * 32 + 2 * 7 * 7 * 8
    encoder = wrap(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval())
    assert profile_model(encoder, (7, 8)).macs == 7 * 8 * 32 + 2 * 7 * 7 * 8 + 2 * 7 * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled()


UNCOUNTED = {
    "fft": lambda x: torch.fft.fft2(x).real,
    "inverse": lambda x: torch.linalg.inv(x),
    "matrix exponential": lambda x: torch.matrix_exp(x),
    "complex matmul": lambda x: (x.to(torch.complex64) @ x.to(torch.complex64)).real,
    "sparse matmul": lambda x: torch.sparse.mm(x[0].to_sparse(), x[0]),
    "conv_tbc": lambda x: torch.conv_tbc(x, torch.ones(1, 4, 4), torch.ones(4)),
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_an_operator_without_a_rule_is_named(name):
    model = Call(UNCOUNTED[name])
    profile = profile_model(model, (4, 4))
    assert profile.uncounted
    assert all(operator.startswith("aten.") for operator in profile.uncounted)
    assert "no rule" in profile.notes[-1]
    with pytest.raises(UncountedOperatorError, match=r"runs aten\.\w+.*no rule"):
        profile_model(model, (4, 4), strict=True)


def test_an_operator_of_another_library_is_named():
    library = torch.library.Library("micronet_test", "DEF")
    library.define("scale(Tensor x) -> Tensor")
    library.impl("scale", lambda x: 2 * x, "CompositeExplicitAutograd")
    model = Call(torch.ops.micronet_test.scale)
    assert profile_model(model, (3, 4, 4)).uncounted == ("micronet_test.scale",)
    with pytest.raises(UncountedOperatorError, match=r"micronet_test\.scale"):
        profile_model(model, (3, 4, 4), strict=True)


def test_code_that_torch_runs_by_itself_is_counted_too():
    def function(x, w):
        return torch.relu(torch.mm(x, w))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # such functions are still around
        scripted = torch.jit.script(function)
    profile = profile_model(Call(lambda x, w: scripted(x[0], w), (4, 5)), (3, 4))
    assert (profile.macs, profile.notes) == (3 * 4 * 5, ())


def test_vectorized_functions_are_counted_for_every_element():
    model = Call(lambda x, w: torch.vmap(lambda row: F.relu(w @ row))(x[0]), (5, 4))
    profile = profile_model(model, (3, 4))
    assert profile.macs == 3 * 5 * 4
    assert sum(x.outputs for x in profile.operations if x.kind == "activation") == 15


def test_products_of_two_maps_are_reported_apart():
    profile = profile_model(Call(lambda x, w: (x * w) / (x + 1) * 3, (4, 1, 1)), (4, 5, 5))
    assert (profile.macs, profile.products) == (0, 2 * 100)


# --- Random networks --------------------------------------------------------------------------------------------------


CONVOLUTIONS = {
    (1, False): (nn.Conv1d, F.conv1d),
    (2, False): (nn.Conv2d, F.conv2d),
    (3, False): (nn.Conv3d, F.conv3d),
    (1, True): (nn.ConvTranspose1d, F.conv_transpose1d),
    (2, True): (nn.ConvTranspose2d, F.conv_transpose2d),
    (3, True): (nn.ConvTranspose3d, F.conv_transpose3d),
}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {1: (nn.MaxPool1d, nn.AvgPool1d), 2: (nn.MaxPool2d, nn.AvgPool2d), 3: (nn.MaxPool3d, nn.AvgPool3d)}


class AsFunction(nn.Module):
    """The same convolution with raw parameters and torch's function."""

    def __init__(self, layer, function):
        super().__init__()
        self.kernel, self.shift, self.function = layer.weight, layer.bias, function
        self.options = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}

    def forward(self, x):
        return self.function(x, self.kernel, self.shift, **self.options)


DIMS, EITHER = st.integers(1, 3), st.booleans()


@st.composite
def networks(draw, dims=DIMS, transposed=EITHER, as_function=EITHER):
    """Convolutions, pools and norms, and a linear layer, with the parameters and the arithmetic by the formulas."""
    dims, channels = draw(dims), draw(st.integers(1, 4))
    sizes = [draw(st.integers(5, 9 if dims < 3 else 6)) for _ in range(dims)]
    shape, layers, params, macs, arithmetic = (channels, *sizes), [], 0, 0, [0, 0]

    def per_axis(values):
        return tuple(draw(values) for _ in range(dims))

    for _ in range(draw(st.integers(1, 3))):
        is_transposed, groups = draw(transposed), draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
        out, bias = groups * draw(st.integers(1, 3)), draw(st.booleans())
        kernel, stride, padding = per_axis(st.integers(1, 3)), per_axis(st.integers(1, 2)), per_axis(st.integers(0, 1))
        dilation = per_axis(st.integers(1, 2))
        if is_transposed:
            after = [
                (n - 1) * s - 2 * p + d * (k - 1) + 1
                for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
            ]
        else:
            after = [
                (n + 2 * p - d * (k - 1) - 1) // s + 1
                for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
            ]
        if min(after) < 1 or max(after) > 20:
            continue
        make, function = CONVOLUTIONS[dims, is_transposed]
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
        layer = make(channels, out, kernel, **options)
        layers.append(AsFunction(layer, function) if draw(as_function) else layer)
        weights, outputs = out * channels // groups * prod(kernel), out * prod(after)
        own = weights * (prod(sizes) if is_transposed else prod(after))
        params, macs = params + weights + bias * out, macs + own
        arithmetic[0] += own
        arithmetic[1] += max(own - outputs, 0) + bias * outputs
        channels, sizes = out, after
        kind = draw(st.sampled_from(["nothing", "relu", "norm", "max", "average"]))
        if kind == "relu":
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()])))
            arithmetic[0] += outputs
        elif kind == "norm":
            layers.append(NORMS[dims](channels))
            params += 2 * channels
            arithmetic = [arithmetic[0] + outputs, arithmetic[1] + outputs]
        elif kind in ("max", "average") and min(sizes) > 1:
            layers.append(POOLS[dims][kind == "average"](2))
            sizes = [size // 2 for size in sizes]
            pooled = channels * prod(sizes)
            arithmetic = [arithmetic[0] + (kind == "average") * pooled, arithmetic[1] + (2**dims - 1) * pooled]
    inputs, classes = channels * prod(sizes), draw(st.integers(1, 5))
    layers += [nn.Flatten(), nn.Linear(inputs, classes)]
    arithmetic = (arithmetic[0] + inputs * classes, arithmetic[1] + inputs * classes)
    return nn.Sequential(*layers), shape, params + (inputs + 1) * classes, macs + inputs * classes, arithmetic


@settings(max_examples=200, deadline=None)
@given(networks())
def test_random_networks_cost_what_the_formulas_say(case):
    model, shape, params, macs, arithmetic = case
    profile = profile_model(model, shape)
    assert (profile.params, profile.params_used, profile.macs) == (params, params, macs)
    assert (profile.multiplications, profile.additions) == arithmetic
    assert profile.layers[-1].output_shape == tuple(model(torch.zeros(2, *shape)).shape[1:])
    assert (profile.notes, profile.uncounted) == ((), ())


@settings(max_examples=15, deadline=None)
@given(networks(dims=st.just(2), transposed=st.just(False), as_function=st.just(False)))
def test_thop_agrees_where_it_counts_no_more_than_macs(case):
    model, shape = case[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from thop import profile as thop_profile

        # thop books elementwise layers as MACs too; without them both count the same.
        bare = nn.Sequential(*(x for x in model if isinstance(x, (nn.Conv2d, nn.MaxPool2d, nn.Flatten, nn.Linear))))
        bare[-1] = nn.LazyLinear(3)
        bare(torch.zeros(1, *shape))
        thop_macs, thop_params = thop_profile(copy.deepcopy(bare), inputs=(torch.zeros(1, *shape),), verbose=False)
    profile = profile_model(bare, shape)
    assert (profile.macs, profile.params) == (thop_macs, thop_params)


# --- Awkward networks -------------------------------------------------------------------------------------------------


class Functional(nn.Module):
    """Raw parameters and functional code only; the convolution's weight is used twice."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.mix = nn.Parameter(torch.randn(4, 4))
        self.head = nn.ModuleDict({"classes": nn.Linear(4, 10, bias=False)})

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.kernel, padding=1))
        x = F.conv2d(x, self.kernel, padding=1)
        x = torch.einsum("oc,nchw->nohw", self.mix, x)
        return self.head["classes"](x.mean((2, 3)))


def test_functional_code_and_raw_parameters_are_booked_to_the_module_that_runs_them():
    profile = profile_model(Functional(), (4, 8, 8))
    assert profile.macs == 2 * 64 * 16 * 9 + 64 * 16 + 40
    assert profile.params == 144 + 16 + 40
    own = layer(profile, "(model)")
    assert (own.kind, own.params, own.macs) == ("Functional", 160, profile.macs - 40)
    assert layer(profile, "head.classes").macs == 40


def test_relu_costs_the_same_as_a_function_and_as_a_module():
    conv = nn.Conv2d(3, 8, 3)
    as_function = profile_model(Call(lambda x, w: F.relu(F.conv2d(x, w)), (8, 3, 3, 3)), (3, 8, 8))
    assert as_function.macs == profile_model(nn.Sequential(conv, nn.ReLU()), (3, 8, 8)).macs


def test_tied_weights_count_once():
    embed, head = nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)
    head.weight = embed.weight
    profile = profile_model(nn.Sequential(embed, head), (10,))
    assert (profile.params, profile.macs) == (100, 200)
    assert [x.params for x in profile.layers] == [100, 0]


def test_a_layer_that_is_called_twice():
    shared = nn.Conv2d(4, 4, 3, padding=1)
    profile = profile_model(nn.Sequential(shared, nn.ReLU(), shared), (4, 8, 8))
    assert (profile.params, profile.macs) == (148, 2 * 64 * 144)
    assert [x.kind for x in profile.layers] == ["Conv2d", "ReLU"]


def test_a_convolution_with_a_child_is_still_a_convolution():
    class WithActivation(nn.Conv2d):
        def __init__(self, *args):
            super().__init__(*args)
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(super().forward(x))

    profile = profile_model(WithActivation(3, 8, 3), (3, 5, 5))
    assert (profile.params, profile.macs) == (224, 9 * 8 * 27)


def test_groups_divide_macs_and_weights_exactly():
    dense = profile_model(nn.Conv2d(64, 64, 3, padding=1, bias=False), (64, 16, 16))
    for groups in (2, 4, 64):
        grouped = profile_model(nn.Conv2d(64, 64, 3, padding=1, groups=groups, bias=False), (64, 16, 16))
        assert (grouped.params * groups, grouped.macs * groups) == (dense.params, dense.macs)


def test_parameters_that_never_run_are_parameters_still():
    model = nn.Module()
    model.used, model.unused = nn.Linear(4, 4), nn.Linear(4, 3)
    model.forward = lambda x: model.used(x)
    profile = profile_model(model, (4,))
    assert (profile.params, profile.macs) == (20 + 15, 16)
    assert layer(profile, "unused").output_shape is None
    assert "did not run" in repr(profile)


def test_layers_in_a_plain_list_are_counted_and_named():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)]
            self.teacher = [nn.Linear(1000, 1000)]

        def forward(self, x):
            return self.layers[1](self.layers[0](x))

    profile = profile_model(Forgetful(), (4,))
    assert (profile.params, profile.macs) == (32, 32)
    assert [x.name for x in profile.layers] == ["layers[0]", "layers[1]"]
    assert profile.notes == (
        "32 of the parameters stand in plain lists or attributes, where model.parameters() and an optimizer do not "
        "see them: use nn.ModuleList or nn.ParameterList",
    )


def test_a_layer_inside_a_lambda():
    inner = nn.Conv2d(3, 8, 3)
    model = nn.Module()
    model.inner, model.block = inner, lambda x: inner(x)
    model.forward = lambda x: model.block(x)
    assert profile_model(model, (3, 5, 5)).macs == 9 * 27 * 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("wrap", [lambda m: m, OnValues])
def test_half_and_double_models(dtype, wrap):
    model = wrap(small_convnet((4, 8))).to(dtype)
    assert profile_model(model, (3, 16, 16)).macs == profile_model(small_convnet((4, 8)), (3, 16, 16)).macs


def test_a_model_on_meta_costs_no_memory():
    with torch.device("meta"):
        model = nn.Linear(200_000, 200_000, bias=False)
    assert profile_model(model, (200_000,)).macs == 40_000_000_000


def test_pruned_models():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU())
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    weight = model[0].weight
    profile = profile_model(model, (3, 5, 5))
    assert (profile.params, profile.params_used, profile.macs, profile.buffers) == (216, 216, 9 * 216, 216)
    assert (profile.multiplications, profile.products) == (9 * 216 + 72, 0)
    assert model[0].weight is weight
    (masked,) = profile.tensors.values()
    assert torch.count_nonzero(masked) == 108
    prune.remove(model[0], "weight")
    removed = profile_model(model, (3, 5, 5))
    assert (removed.params, removed.macs, removed.buffers) == (216, 9 * 216, 0)
    torch.testing.assert_close(removed.tensors["0.weight"], masked)


def test_what_is_computed_from_weights_alone_costs_nothing():
    class LowRank(nn.Module):
        def forward(self, left, right):
            return left @ right

        def right_inverse(self, weight):
            return weight[:, :2].clone(), torch.ones(2, weight.shape[1])

    linear = nn.Linear(8, 6, bias=False)
    nn.utils.parametrize.register_parametrization(linear, "weight", LowRank())
    profile = profile_model(linear, (8,))
    assert (profile.params, profile.params_used, profile.macs) == (6 * 2 + 2 * 8, 6 * 2 + 2 * 8, 6 * 8)
    assert {name: tuple(x.shape) for name, x in profile.tensors.items()} == {
        "parametrizations.weight.original0": (6, 8)
    }
    torch.testing.assert_close(profile.tensors["parametrizations.weight.original0"], linear.weight.detach())
    for normed in (
        parametrizations.weight_norm(nn.Linear(8, 6, bias=False)),
        parametrizations.spectral_norm(nn.Linear(8, 6, bias=False)),
    ):
        profile = profile_model(normed, (8,))
        assert (profile.multiplications, profile.additions, profile.uncounted) == (48, 42, ())
    orthogonal = parametrizations.orthogonal(nn.Linear(8, 8), orthogonal_map="matrix_exp")
    assert profile_model(orthogonal, (8,), strict=True).macs == 64


def test_modules_made_while_running_are_booked_to_their_maker():
    class Maker(nn.Module):
        def forward(self, x):
            return nn.Linear(x.shape[-1], 3)(x)

    profile = profile_model(Maker(), (5,))
    assert profile.macs == 15
    assert layer(profile, "(model)").macs == 15


def test_factory_functions_inside_forward_make_constants():
    for device in (None, "cpu"):
        model = Call(lambda x, w, device=device: (x + torch.arange(8.0, device=device) + torch.zeros(8)) @ w, (8, 2))
        profile = profile_model(model, (8,))
        assert (profile.macs, profile.notes) == (16, ())
    model = Call(lambda x, w: (x + torch.zeros_like(x) * 2 + x.new_ones(8, device=x.device)) @ w, (8, 2))
    profile = profile_model(model, (8,))
    assert (profile.macs, profile.multiplications, profile.notes) == (16, 16, ())


def test_what_is_written_into_a_constant_depends_on_the_input_from_then_on():
    def gather(x, w):
        out = torch.zeros(1, 2, 8)
        early = out[0]
        out[:, 0] = x
        out[:, 1] += 1
        return early @ w + out.sum()

    for wrap in (lambda m: m, OnValues):
        profile = profile_model(wrap(Call(gather, (8, 3))), (8,))
        assert profile.macs == 2 * 8 * 3


def test_an_error_that_the_model_catches_does_not_lose_the_place():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right = nn.Linear(3, 3), nn.Linear(4, 3)

        def forward(self, x):
            try:
                return self.wrong(x)
            except RuntimeError:
                return self.right(x)

    profile = profile_model(Careful(), (4,))
    assert profile.macs == layer(profile, "right").macs == 12


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.linear = nn.Embedding(20, 8), nn.Linear(8, 8, bias=False)

    def forward(self, image, words):
        return self.linear(image) + self.embed(words).mean(1)


@pytest.mark.parametrize("wrap", [lambda m: m, OnValues])
def test_several_inputs(wrap):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = TwoInputs()

        def forward(self, image, words):
            return wrap(lambda x: self.inner(x, words))(image)

    profile = profile_model(TwoInputs(), [(8,), torch.zeros(5, dtype=torch.long)])
    assert (profile.params, profile.macs, profile.input_shape) == (160 + 64, 64, ((8,), (5,)))
    assert [x.input_shape for x in profile.layers] == [((8,), (5,)), (8,), (5,)]
    with pytest.raises(ValueError, match=r"of shape \(8,\) and \(7,\)"):
        profile_model(TwoInputs(), [(8,), (7,)])
    with pytest.raises(ValueError, match=r"input_shape=.*for several inputs"):
        profile_model(TwoInputs(), [(8,), (0,)])


def test_tokens_are_the_only_input():
    model = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 3))
    profile = profile_model(model, torch.zeros(5, dtype=torch.long))
    assert (profile.macs, profile.params, profile.input_shape) == (5 * 24, 160 + 27, (5,))


def test_weights_that_nobody_owns_are_stored_all_the_same():
    kernel, constant = nn.Parameter(torch.randn(4, 3, 3, 3)), torch.randn(4, 5, 1, 1)
    model = Call(lambda x: F.conv_transpose2d(F.conv2d(x, kernel), constant) + torch.ones(5, 1, 1))
    profile = profile_model(model, (3, 5, 5))
    assert (profile.params, profile.params_used, profile.macs) == (108, 108, 9 * 108 + 9 * 20)
    assert [tuple(x.shape) for x in profile.tensors.values()] == [(4, 3, 3, 3), (4, 5, 1, 1)]
    assert "32 of" not in profile.notes[0]


def test_tensors_that_the_network_stores_have_the_names_of_their_parameters():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.register_buffer("mix", torch.randn(2, 4))
            self.scale, self.unused = nn.Parameter(torch.ones(1)), nn.Linear(9, 9)

        def forward(self, x):
            return F.linear(self.norm(self.conv(x)).mean((2, 3)), self.mix) * self.scale

    profile = profile_model(Mixed(), (3, 5, 5))
    assert list(profile.tensors) == ["conv.weight", "conv.bias", "norm.weight", "norm.bias", "mix", "scale"]
    assert {x.weight for x in profile.operations if x.weight} == {
        "conv.weight",
        "conv.bias",
        "norm.weight",
        "mix",
        "scale",
    }
    assert (profile.params_used, profile.params) == (108 + 4 + 8 + 1, 108 + 4 + 8 + 1 + 90)


# --- The model is left as it was found --------------------------------------------------------------------------------


class Messy(nn.Module):
    """Does in its forward pass all that a forward pass should not do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.seen, self.last, self.count = [], None, 0
        self.constant = torch.ones(4, 1, 1)
        self.drop = nn.Dropout()

    def forward(self, x):
        self.calls += 1
        self.count += 1
        self.last = self.norm(self.conv(x)) * self.constant
        self.seen.append(self.last)
        self.extra = nn.Linear(2, 2)
        torch.rand(3), random.random(), np.random.rand()
        return self.drop(self.last) + torch.randn_like(self.last)


def contents_of(module):
    """What lists, sets and dictionaries of a module hold."""
    return {key: list(value) for key, value in vars(module).items() if isinstance(value, (list, set, dict))}


@pytest.mark.parametrize("needs_values", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_exactly_as_found(needs_values, training):
    messy = Messy()
    model = OnValues(messy) if needs_values else messy
    model.train(training)
    messy.drop.eval()
    messy.conv.weight.requires_grad_(False)
    messy.conv(torch.randn(1, 3, 8, 8)).sum().backward()
    calls = []
    handle = messy.conv.register_forward_hook(lambda *_: calls.append(1))
    tensors = {k: v for k, v in messy.state_dict(keep_vars=True).items()}
    values = {k: v.detach().clone() for k, v in tensors.items()}
    versions = {k: v._version for k, v in tensors.items()}
    gradient = messy.conv.bias.grad.clone()
    attributes = {module: dict(vars(module)) for module in model.modules()}
    contents = {module: contents_of(module) for module in attributes}
    torch.manual_seed(3), random.seed(3), np.random.seed(3)

    profile_model(model, (3, 8, 8))

    drawn = (torch.rand(1).item(), random.random(), np.random.rand())
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    assert drawn == (torch.rand(1).item(), random.random(), np.random.rand())
    for module, before in attributes.items():
        assert vars(module).keys() == before.keys()
        assert all(vars(module)[key] is value for key, value in before.items())
        assert {key: list(vars(module)[key]) for key in contents[module]} == contents[module]
        assert len(module._forward_hooks) == (1 if module is messy.conv else 0)
        assert not module._forward_pre_hooks
    assert (messy.seen, messy.last, messy.count, messy.calls.item()) == ([], None, 0, 0)
    assert [m.training for m in (model, messy, messy.norm, messy.drop)] == [training, training, training, False]
    after = messy.state_dict(keep_vars=True)
    assert after.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert after[key] is tensor
        assert tensor._version == versions[key]
        torch.testing.assert_close(tensor.detach(), values[key], rtol=0, atol=0)
    assert not messy.conv.weight.requires_grad
    torch.testing.assert_close(messy.conv.bias.grad, gradient, rtol=0, atol=0)
    assert torch.is_grad_enabled()
    handle.remove()
    assert not messy.conv._forward_hooks
    model.train()
    model(torch.randn(2, 3, 8, 8)).sum().backward()


def test_a_failing_profile_leaves_the_model_as_found_too():
    class Late(nn.Module):
        """Fails when it has already written to its buffer and its weight, and to a list."""

        def __init__(self):
            super().__init__()
            self.inner, self.seen = small_convnet((4,)), []
            self.register_buffer("calls", torch.zeros(2))

        def forward(self, x):
            self.calls += 1
            self.inner[0].weight.mul_(2)
            self.seen.append(x)
            return self.inner(x)

    model = Late().train()
    attributes = {module: dict(vars(module)) for module in model.modules()}
    contents = {module: contents_of(module) for module in attributes}
    values = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    versions = {key: tensor._version for key, tensor in model.state_dict(keep_vars=True).items()}
    with pytest.raises(ValueError, match="does not run"):
        profile_model(model, (4, 8, 8))
    assert all(vars(module) == before for module, before in attributes.items())
    assert {module: contents_of(module) for module in attributes} == contents
    for key, tensor in model.state_dict(keep_vars=True).items():
        assert torch.equal(tensor, values[key])
        assert tensor._version == versions[key]


def test_profiling_twice_gives_the_same():
    model = small_convnet((4, 8))
    assert profile_model(model, (3, 16, 16)) == profile_model(model, (3, 16, 16))


def test_a_compiled_model_is_looked_into():
    model = torch.compile(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), backend="eager")
    inner = nn.Sequential(nn.Linear(4, 4))
    inner.compile(backend="eager")
    for compiled in (model, inner):
        assert profile_model(compiled, (4,)).macs == 16


# --- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3, 0, 32), (3, 32.0, 32), (3, "32"), (True, 3), 32, "3x32x32", None, (-1, 3)])
def test_a_shape_that_is_none(shape):
    with pytest.raises(ValueError, match="input_shape=.*positive integers"):
        profile_model(nn.Identity(), shape)


def test_wrong_shapes_are_named_with_what_the_layer_expects():
    with pytest.raises(ValueError, match=r"\(4, 32, 32\).*weight has shape \(16, 3, 3, 3\).*expected.*3 channels"):
        profile_model(small_convnet(), (4, 32, 32))
    with pytest.raises(ValueError, match=r"shape \(128, 3, 32, 32\).*without the batch"):
        profile_model(small_convnet(), (128, 3, 32, 32))
    with pytest.raises(ValueError, match=r"in 1 \(Linear, whose weight has shape \(2, 8\)\), which was given \(1, 9\)"):
        profile_model(nn.Sequential(nn.Flatten(), nn.Linear(8, 2)), (3, 3))


def test_things_that_are_no_model():
    with pytest.raises(ValueError, match="give an nn.Module"):
        profile_model(SimpleNamespace(), (3, 4, 4))
    with pytest.raises(ValueError, match="0 .LazyLinear. is lazy"):
        profile_model(nn.Sequential(nn.LazyLinear(3)), (4,))


# --- Display ----------------------------------------------------------------------------------------------------------


def test_names_are_escaped_in_html():
    model = nn.Sequential()
    model.add_module("<script>", nn.Linear(2, 2))
    page = profile_model(model, (2,))._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
