"""Shape rules and torch's operator library are two ways to the same count; and what each kind of operation costs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from micronet_resources.counting import forward
from micronet_resources.profile import profile_model


class Call(nn.Module):
    """A network that is one function of its input and of tensors of ones."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(shape)) for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.weights)


ATTENTION = nn.MultiheadAttention(8, 2, batch_first=True)


class Attention(nn.Module):
    def __init__(self, crossed=False, **options):
        super().__init__()
        self.inner, self.crossed, self.options = nn.MultiheadAttention(8, 2, batch_first=True), crossed, options

    def forward(self, x):
        other = x[:, :3] if self.crossed else x
        return self.inner(x, other, other, **self.options)[0]


# Model, shape of one example, and (multiplications, additions) of each kind.
CASES = {
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2), (4, 9), {"convolution": (288, 264), "bias": (0, 24)}),
    "conv2d": (nn.Conv2d(3, 8, 3, bias=False), (3, 5, 5), {"convolution": (1944, 1872)}),
    "conv2d, grouped": (
        nn.Conv2d(4, 8, (3, 1), groups=2, dilation=2, padding=(2, 0)), (4, 5, 5),
        {"convolution": (1200, 1000), "bias": (0, 200)},
    ),
    "conv2d, padding same": (nn.Conv2d(2, 2, 3, padding="same", bias=False), (2, 4, 4), {"convolution": (576, 544)}),
    "conv2d, padding valid": (nn.Conv2d(2, 2, 3, padding="valid", bias=False), (2, 4, 4), {"convolution": (144, 136)}),
    "conv2d, depthwise, 1 x 1": (nn.Conv2d(4, 4, 1, groups=4, bias=False), (4, 3, 3), {"convolution": (36, 0)}),
    "conv3d": (nn.Conv3d(2, 4, 3, bias=False), (2, 4, 4, 4), {"convolution": (8 * 216, 8 * 212)}),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, bias=False), (4, 5), {"convolution": (360, 318)}),
    "transposed 2d": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, output_padding=1), (4, 5, 5),
        {"convolution": (2700, 1836), "bias": (0, 864)},
    ),
    "transposed 3d": (
        nn.ConvTranspose3d(2, 2, 2, bias=False), (2, 2, 2, 2), {"convolution": (256, 202)},
    ),
    "linear": (nn.Linear(8, 4), (8,), {"linear": (32, 28), "bias": (0, 4)}),
    "linear, 10 to 10": (nn.Linear(10, 10), (10,), {"linear": (100, 90), "bias": (0, 10)}),
    "linear on a sequence": (nn.Linear(8, 4), (7, 8), {"linear": (224, 196), "bias": (0, 28)}),
    "matrix @ weight": (Call(lambda x, w: x @ w, (8, 5)), (7, 8), {"linear": (280, 245)}),
    "weight @ matrix": (Call(lambda x, w: w @ x, (5, 7)), (7, 8), {"linear": (280, 240)}),
    "matrix @ matrix": (Call(lambda x: x @ x.mT), (7, 8), {"matmul": (392, 343)}),
    "bmm": (Call(lambda x: torch.bmm(x, x.transpose(1, 2))), (7, 8), {"matmul": (392, 343)}),
    "batch norm": (nn.BatchNorm2d(3), (3, 4, 4), {"normalization": (48, 48)}),
    "batch norm without statistics": (
        nn.BatchNorm2d(3, track_running_stats=False), (3, 4, 4), {"normalization": (144, 192)},
    ),
    "layer norm": (nn.LayerNorm(8), (7, 8), {"normalization": (168, 224)}),
    "group norm": (nn.GroupNorm(2, 4), (4, 3, 3), {"normalization": (108, 144)}),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), (4, 3, 3), {"normalization": (108, 144)}),
    "max pool": (nn.MaxPool2d(2), (3, 8, 8), {"pooling": (0, 3 * 48)}),
    "max pool, ceil": (nn.MaxPool2d(3, 2, ceil_mode=True), (3, 8, 8), {"pooling": (0, 8 * 48)}),
    "max pool 1d": (nn.MaxPool1d(3, 2, 1), (3, 8), {"pooling": (0, 24)}),
    "max pool 3d": (nn.MaxPool3d(2), (1, 4, 4, 4), {"pooling": (0, 56)}),
    "max pool with indices": (
        Call(lambda x: F.max_pool2d(x, 2, return_indices=True)[0]), (3, 8, 8), {"pooling": (0, 144)},
    ),
    "average pool": (nn.AvgPool2d(2), (3, 8, 8), {"pooling": (48, 144)}),
    "average pool 1d": (nn.AvgPool1d(4), (3, 8), {"pooling": (6, 18)}),
    "average pool 3d": (nn.AvgPool3d(2, padding=1), (1, 4, 4, 4), {"pooling": (27, 27 * 7)}),
    "global average": (nn.AdaptiveAvgPool2d(1), (3, 8, 8), {"pooling": (3, 189)}),
    "adaptive average": (nn.AdaptiveAvgPool2d((2, None)), (3, 8, 8), {"pooling": (48, 144)}),
    "adaptive average 1d": (nn.AdaptiveAvgPool1d(2), (3, 8), {"pooling": (6, 18)}),
    "adaptive maximum": (nn.AdaptiveMaxPool2d(2), (3, 8, 8), {"pooling": (0, 180)}),
    "mean": (Call(lambda x: x.mean((2, 3))), (3, 8, 8), {"pooling": (3, 189)}),
    "sum": (Call(lambda x: x.sum(1)), (3, 8, 8), {"pooling": (0, 128)}),
    "relu": (nn.ReLU(), (3, 4), {"activation": (12, 0)}),
    "relu in place": (nn.Sequential(nn.Conv1d(3, 3, 1, bias=False), nn.ReLU(True)), (3, 4),
                      {"convolution": (36, 24), "activation": (12, 0)}),
    "relu6": (nn.ReLU6(), (3, 4), {"activation": (12, 0)}),
    "clip": (Call(lambda x: x.clip(0, 6)), (3, 4), {"activation": (12, 0)}),
    "leaky relu": (nn.LeakyReLU(), (3, 4), {"activation": (12, 0)}),
    "prelu": (nn.PReLU(3), (3, 4), {"activation": (12, 0)}),
    "sigmoid": (nn.Sigmoid(), (3, 4), {"activation": (24, 12)}),
    "tanh": (nn.Tanh(), (3, 4), {"activation": (24, 12)}),
    "hardsigmoid": (nn.Hardsigmoid(), (3, 4), {"activation": (24, 12)}),
    "softmax": (nn.Softmax(1), (3, 4), {"activation": (24, 12)}),
    "log softmax": (nn.LogSoftmax(1), (3, 4), {"activation": (24, 12)}),
    "elu": (nn.ELU(), (3, 4), {"activation": (24, 12)}),
    "softplus": (nn.Softplus(), (3, 4), {"activation": (24, 12)}),
    "silu": (nn.SiLU(), (3, 4), {"activation": (36, 12)}),
    "hardswish": (nn.Hardswish(), (3, 4), {"activation": (36, 12)}),
    "gelu": (nn.GELU(), (3, 4), {"activation": (36, 12)}),
    "mish": (nn.Mish(), (3, 4), {"activation": (36, 12)}),
    "glu": (nn.GLU(1), (4, 4), {"activation": (16, 8), "product": (8, 0)}),
    "exp": (Call(torch.exp), (3, 4), {"activation": (12, 0)}),
    "residual": (Call(lambda x: x + x.flip(1)), (3, 4), {"residual": (0, 12)}),
    "residual in place": (Call(lambda x: x.clone().add_(x)), (3, 4), {"residual": (0, 12)}),
    "difference": (Call(lambda x: x - x.flip(1)), (3, 4), {"residual": (0, 12)}),
    "bias": (Call(lambda x, b: x + b, (4,)), (3, 4), {"bias": (0, 12)}),
    "sum with a number": (Call(lambda x: 1 - x + 2), (3, 4), {"elementwise": (0, 24)}),
    "product with a number": (Call(lambda x: x * 3 / 2), (3, 4), {"elementwise": (24, 0)}),
    "product with one parameter": (Call(lambda x, w: x * w, (1,)), (3, 4), {"elementwise": (12, 0)}),
    "product of two maps": (Call(lambda x: x * x.flip(1)), (3, 4), {"product": (12, 0)}),
    "product with weights": (Call(lambda x, w: w * x, (3, 1)), (3, 4), {"product": (12, 0)}),
    "outer product": (Call(lambda x, w: x[..., None] * w, (5,)), (3,), {"product": (15, 0)}),
    "comparison": (Call(lambda x: torch.where(x > 0, x, 0.0)), (3, 4), {"elementwise": (0, 24)}),
    "dropout": (nn.Dropout(), (3, 4), {}),
    "dropout of channels": (nn.Dropout2d(), (3, 4, 4), {}),
    "moves": (Call(lambda x: torch.cat([x.permute(0, 2, 1).reshape(1, -1), x.flatten(1)], 1)[:, 2:]), (3, 4), {}),
    "padding": (nn.ZeroPad2d(1), (3, 4, 4), {}),
    "reflection": (nn.ReflectionPad2d(1), (3, 4, 4), {}),
    "nearest": (nn.Upsample(scale_factor=2), (3, 4, 4), {}),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (3, 4, 4), {"elementwise": (4 * 192, 3 * 192)}),
    "pixel shuffle": (nn.PixelShuffle(2), (4, 3, 3), {}),
    "channel shuffle": (nn.ChannelShuffle(2), (4, 3, 3), {}),
    "unfold": (nn.Unfold(2), (3, 4, 4), {}),
    "fused attention": (
        Call(lambda x: F.scaled_dot_product_attention(x, x, x)), (2, 7, 8),
        {"attention": (1568, 1568 - 98 - 112), "activation": (196, 98), "elementwise": (224, 0)},
    ),
    "self attention": (
        Attention(need_weights=False), (7, 8),
        {"linear": (1792, 1568), "bias": (0, 224), "attention": (784, 630), "activation": (196, 98),
         "elementwise": (112, 0)},
    ),
    "self attention with weights": (
        Attention(), (7, 8),
        {"linear": (1792, 1568), "bias": (0, 224), "attention": (784, 630), "activation": (196, 98),
         "elementwise": (56, 0), "pooling": (49, 49)},
    ),
    "cross attention": (
        Attention(crossed=True, need_weights=False), (7, 8),
        {"linear": (1280, 1120), "bias": (0, 160), "attention": (336, 238), "activation": (84, 42),
         "elementwise": (80, 0)},
    ),
}  # fmt: skip


def kinds(profile):
    sums = {}
    for operation in profile.operations:
        multiplications, additions = sums.get(operation.kind, (0, 0))
        sums[operation.kind] = (multiplications + operation.multiplications, additions + operation.additions)
    return sums


@pytest.mark.parametrize("name", CASES)
def test_shape_rules_and_operators_count_the_same(name, monkeypatch):
    model, shape, expected = CASES[name]
    by_rules = profile_model(model, shape)
    monkeypatch.setattr(forward, "SHAPE_RULES", {})
    by_operators = profile_model(model, shape)
    assert kinds(by_rules) == kinds(by_operators) == expected
    assert by_rules.notes == by_operators.notes == ()
    assert by_rules.layers[-1].output_shape == by_operators.layers[-1].output_shape
    assert by_rules.params_used == by_operators.params_used == by_rules.params


def test_the_rules_were_really_taken(monkeypatch):
    def forbidden(*_):
        raise AssertionError("torch's operator library was asked")

    monkeypatch.setattr(forward.OperatorMode, "__torch_dispatch__", forbidden)
    assert profile_model(CASES["self attention"][0], (7, 8)).macs == 1792 + 784
    with pytest.raises(ValueError, match="operator library was asked"):
        profile_model(CASES["glu"][0], (4, 4))


# --- What a counter of modules gets wrong -----------------------------------------------------------------------------


def test_a_function_costs_what_its_module_costs():
    conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    pairs = [
        (nn.ReLU(), F.relu),
        (nn.Hardswish(), F.hardswish),
        (nn.SiLU(), F.silu),
        (nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2)),
    ]
    for module, function in [*pairs, (nn.AdaptiveAvgPool2d(1), lambda x: F.adaptive_avg_pool2d(x, 1))]:
        as_module = kinds(profile_model(nn.Sequential(conv, module), (3, 32, 32)))
        as_function = kinds(
            profile_model(Call(lambda x, w, f=function: f(F.conv2d(x, w, padding=1)), (8, 3, 3, 3)), (3, 32, 32))
        )
        assert as_module == as_function
        assert as_module["convolution"] == (221_184, 212_992)
        assert len(as_module) == 2


@pytest.mark.parametrize("groups", [1, 2, 4, 64])
def test_each_output_of_a_group_saves_one_addition(groups):
    profile = profile_model(nn.Conv2d(64, 64, 3, padding=1, groups=groups, bias=False), (64, 16, 16))
    products = 576 // groups
    assert kinds(profile) == {"convolution": (16_384 * products, 16_384 * (products - 1))}


@pytest.mark.parametrize("rules", [forward.SHAPE_RULES, {}])
def test_a_batch_of_four_examples_costs_four_times_as_much_as_one(rules, monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    monkeypatch.setattr(forward, "SHAPE_RULES", rules)
    one = kinds(profile_model(model, (3, 8, 8)))
    make_input = forward._Run._input
    monkeypatch.setattr(forward._Run, "_input", lambda *given: make_input(*given).expand(4, -1, -1, -1).clone())
    four = kinds(profile_model(model, (3, 8, 8)))
    assert four == {kind: (4 * multiplications, 4 * additions) for kind, (multiplications, additions) in one.items()}
    assert one["bias"] == (0, 288 + 10)


def test_half_precision_costs_the_same_arithmetic():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    assert kinds(profile_model(model.half(), (3, 8, 8))) == kinds(profile_model(model.float(), (3, 8, 8)))


def test_shortcuts_are_taken_only_by_modules_as_torch_made_them():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) + super().forward(x)

    hooked = nn.Linear(4, 4, bias=False)
    hooked.register_forward_hook(lambda module, args, out: out * 3)
    replaced = nn.Linear(4, 4, bias=False)
    replaced.forward = lambda x: x
    assert kinds(profile_model(Doubled(4, 4, bias=False), (4,))) == {"linear": (32, 24), "residual": (0, 4)}
    assert kinds(profile_model(hooked, (4,))) == {"linear": (16, 12), "elementwise": (4, 0)}
    assert kinds(profile_model(replaced, (4,))) == {}
