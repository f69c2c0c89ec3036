"""Zeros followed through networks: what is left is what a network slimmed by hand has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.models import resnet18_cifar, small_convnet
from micronet_resources.onnx_graph.counting import stored_roots
from micronet_resources.onnx_graph.graph import read_graph
from micronet_resources.onnx_graph.pruning import follow_zeros
from micronet_resources.profile import profile_model


def left(model: onnx.ModelProto) -> tuple[int, int]:
    """Live parameters and live MACs."""
    graph = read_graph(model)
    liveness = follow_zeros(graph)
    params = sum(int(liveness.roots[root.root].sum()) for root in stored_roots(graph))
    return params, sum(node.live_macs for node in liveness.nodes.values())


def dense(network: nn.Module, shape: tuple[int, ...] = (3, 32, 32)) -> tuple[int, int]:
    """All parameters and MACs of a network in torch."""
    profile = profile_model(network, shape)
    return profile.params, profile.macs


def live_weights(model: onnx.ModelProto) -> dict[str, int]:
    graph = read_graph(model)
    liveness = follow_zeros(graph)
    return {root.name: int(liveness.roots[root.root].sum()) for root in stored_roots(graph)}


def chain(first: int, second: int) -> nn.Sequential:
    """Two convolutions with normalization and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, first, 3, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(second, 10),
    )


@torch.no_grad()
def zero_filters(layer: nn.Module, norm: nn.Module | None, channels: list[int], beta: float = 0.0) -> None:
    layer.weight[channels] = 0
    if norm is None:
        layer.bias[channels] = beta
    else:
        norm.bias[channels] = beta


@torch.no_grad()
def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic a value of its own, so that nothing is zero or one by chance."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
            tensor.mul_(torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.abs_()
            module.weight.abs_()
    return model


@pytest.mark.parametrize("factory", [small_convnet, resnet18_cifar])
def test_nothing_is_lost_where_nothing_is_zero(exported, factory):
    network = randomize(factory())
    assert left(exported(network)) == dense(network)


def test_a_pruned_filter_takes_its_normalization_and_the_next_inputs_with_it(exported):
    pruned, slim = randomize(chain(8, 6)), chain(5, 4)
    zero_filters(pruned[0], pruned[1], [0, 3, 7])
    zero_filters(pruned[3], pruned[4], [1, 2])
    for norm in (pruned[1], pruned[4]):
        norm.running_mean.zero_()
    assert left(exported(pruned)) == dense(slim)


def test_a_channel_that_is_negative_dies_at_the_relu(exported):
    pruned, slim = randomize(chain(8, 6)), chain(5, 6)
    zero_filters(pruned[0], pruned[1], [0, 3, 7], beta=-0.5)
    pruned[1].running_mean.zero_()
    assert left(exported(pruned)) == dense(slim)


def test_a_channel_that_is_positive_stays_an_input_and_keeps_its_bias_alone(exported):
    pruned, slim = randomize(chain(8, 6)), chain(5, 6)
    zero_filters(pruned[0], pruned[1], [0, 3, 7], beta=0.5)
    pruned[1].running_mean.zero_()
    params, macs = left(exported(pruned))
    slim_params, slim_macs = dense(slim)
    # Three biases of the first normalization, and the three channels as inputs of the second convolution.
    assert params == slim_params + 3 + 3 * 6 * 9
    assert macs == slim_macs + 3 * 6 * 9 * 28 * 28


def test_the_running_mean_decides_whether_a_zero_filter_lives_on(exported):
    pruned = randomize(chain(8, 6))
    zero_filters(pruned[0], pruned[1], [0, 1], beta=0.0)
    pruned[1].running_mean.copy_(torch.tensor([0.5, -0.5, 1, 1, 1, 1, 1, 1]))  # minus the mean: channel 0 is negative
    weights = live_weights(exported(pruned))
    assert weights["0.weight"] == 6 * 27
    assert weights["1.weight"] == 6
    assert weights["1.bias"] == 7
    assert weights["3.weight"] == 7 * 6 * 9


def test_a_bias_of_its_own_works_like_that_of_a_normalization(exported):
    def network(first):
        return nn.Sequential(nn.Conv2d(3, first, 3), nn.ReLU(), nn.Conv2d(first, 4, 3), nn.ReLU(), nn.Flatten())

    for beta, kept_inputs in ((0.0, 4), (-1.0, 4), (1.0, 6)):
        pruned = randomize(network(6))
        zero_filters(pruned[0], None, [2, 5], beta)
        weights = live_weights(exported(pruned, (3, 8, 8)))
        assert weights == {
            "0.weight": 4 * 27,
            "0.bias": kept_inputs,
            "2.weight": kept_inputs * 4 * 9,
            "2.bias": 4,
        }


def test_a_zero_scale_prunes_only_with_a_zero_bias(exported):
    pruned, slim = randomize(chain(8, 6)), chain(6, 6)
    with torch.no_grad():
        pruned[1].weight[[1, 4]] = 0
        pruned[1].bias[[1, 4]] = 0
    assert left(exported(pruned)) == dense(slim)
    with torch.no_grad():
        pruned[1].bias[[1, 4]] = 0.3
    weights = live_weights(exported(pruned))
    assert (weights["0.weight"], weights["1.weight"], weights["1.bias"]) == (6 * 27, 6, 8)
    assert weights["3.weight"] == 8 * 6 * 9


def test_a_channel_that_nobody_reads_needs_no_filter(exported):
    pruned, slim = randomize(chain(8, 6)), chain(6, 6)
    with torch.no_grad():
        pruned[3].weight[:, [2, 6]] = 0
    assert left(exported(pruned)) == dense(slim)


def test_zeros_inside_live_filters_are_live_elements_but_no_work(exported):
    model = randomize(chain(4, 4))
    with torch.no_grad():
        model[3].weight[0, 0] = 0
        model[3].weight[1, 2, 1, 1] = 0
    graph = read_graph(exported(model))
    liveness = follow_zeros(graph)
    index = [index for index, node in enumerate(graph.nodes) if node.op == "Conv"][1]
    assert liveness.nodes[index].live_macs == 4 * 4 * 9 * 28 * 28
    assert liveness.nodes[index].nonzero_macs == (4 * 4 * 9 - 10) * 28 * 28


def test_a_depthwise_filter_goes_with_its_channel(exported):
    def network(first, second):
        return nn.Sequential(
            nn.Conv2d(3, first, 3, bias=False),
            nn.ReLU6(),
            nn.Conv2d(first, first, 3, groups=first, bias=False),
            nn.ReLU6(),
            nn.Conv2d(first, second, 1, bias=False),
            nn.Flatten(),
            nn.Linear(second * 36, 4),
        )

    pruned, slim = randomize(network(8, 5)), network(4, 3)
    with torch.no_grad():
        pruned[0].weight[[0, 1]] = 0  # forward
        pruned[2].weight[[2]] = 0  # both ways
        pruned[4].weight[:, [3]] = 0  # backward
        pruned[4].weight[[1]] = 0
        pruned[6].weight.view(4, 5, 36)[:, 4] = 0
    shape = (3, 10, 10)
    assert left(exported(pruned, shape)) == dense(slim, shape)


def test_channels_of_groups_are_told_apart(exported):
    pruned = randomize(
        nn.Sequential(nn.Conv2d(8, 8, 1, groups=2, bias=False), nn.Conv2d(8, 6, 1, groups=2, bias=False))
    )
    with torch.no_grad():
        pruned[0].weight[[0, 1]] = 0  # of the first group only
    graph = read_graph(exported(pruned, (8, 4, 4)))
    live = follow_zeros(graph)
    assert [node.live_macs for node in live.nodes.values()] == [(2 * 4 + 4 * 4) * 16, (3 * 2 + 3 * 4) * 16]
    assert [node.live_outputs for node in live.nodes.values()] == [6 * 16, 6 * 16]
    mask = live.roots["1.weight"][..., 0, 0]
    assert mask[:3].tolist() == [[False, False, True, True]] * 3
    assert mask[3:].all()


def test_transposed_convolutions_are_followed(exported):
    def network(first, second):
        return nn.Sequential(
            nn.Conv2d(3, first, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, second, 2, stride=2, bias=False),
            nn.ReLU(),
            nn.Conv2d(second, 2, 1),
        )

    pruned, slim = randomize(network(6, 5)), network(4, 3)
    zero_filters(pruned[0], None, [1, 2])
    with torch.no_grad():
        pruned[2].weight[:, [0, 4]] = 0
    assert left(exported(pruned, (3, 5, 5))) == dense(slim, (3, 5, 5))


class Residual(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.first = nn.Conv2d(width, inner, 3, padding=1, bias=False)
        self.second = nn.Conv2d(inner, width, 3, padding=1, bias=False)
        self.head = nn.Linear(width, 5)

    def forward(self, images):
        maps = F.relu(self.stem(images))
        maps = F.relu(maps + self.second(F.relu(self.first(maps))))
        return self.head(maps.mean((2, 3)))


def test_inner_channels_of_a_residual_block_are_cut_out(exported):
    pruned = randomize(Residual(6, 8))
    with torch.no_grad():
        pruned.first.weight[[0, 4, 5]] = 0
    assert left(exported(pruned)) == dense(Residual(6, 5))


def test_a_residual_channel_goes_when_every_writer_is_pruned(exported):
    pruned = randomize(Residual(6, 8))
    with torch.no_grad():
        pruned.stem.weight[[1, 2]] = 0
        pruned.second.weight[[1, 2]] = 0
    assert left(exported(pruned)) == dense(Residual(4, 8))


def test_one_pruned_writer_of_a_residual_channel_loses_only_its_own_filters(exported):
    pruned = randomize(Residual(6, 8))
    whole = live_weights(exported(pruned))
    with torch.no_grad():
        pruned.second.weight[[1, 2]] = 0
    assert live_weights(exported(pruned)) == whole | {"second.weight": 4 * 8 * 9}


class Joined(nn.Module):
    def __init__(self, left_width: int, right_width: int):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, left_width, 1), nn.Conv2d(3, right_width, 3, padding=1)
        self.after = nn.Conv2d(left_width + right_width, 5, 1)

    def forward(self, images):
        return self.after(F.max_pool2d(F.relu(torch.cat([self.left(images), self.right(images)], 1)), 2))


def test_pruned_channels_are_found_behind_a_concatenation(exported):
    pruned = randomize(Joined(4, 6))
    zero_filters(pruned.left, None, [3])
    zero_filters(pruned.right, None, [0, 1], beta=-1)
    with torch.no_grad():
        pruned.after.weight[:, 2] = 0
    assert left(exported(pruned)) == dense(Joined(2, 4))


class Shuffled(nn.Module):
    def __init__(self, inner: int):
        super().__init__()
        self.first = nn.Conv2d(3, 2 * inner, 1)
        self.second = nn.Conv2d(2 * inner, 4, 1)

    def forward(self, images):
        maps = self.first(images)
        batch, channels, height, width = maps.shape
        maps = maps.reshape(batch, 2, channels // 2, height, width).transpose(1, 2).flatten(1, 2)
        kept, changed = maps.chunk(2, 1)
        return self.second(F.pad(torch.cat([changed.relu(), kept], 1), (1, 1, 1, 1)))


def test_pruned_channels_are_found_behind_a_shuffle_a_split_and_padding(exported):
    pruned = randomize(Shuffled(6))
    zero_filters(pruned.first, None, [1, 2, 7, 8])
    assert left(exported(pruned, (3, 6, 6))) == dense(Shuffled(4), (3, 6, 6))


class Gated(nn.Module):
    """Channels weighed by what they hold, as in squeeze-and-excitation."""

    def __init__(self, width: int, squeezed: int):
        super().__init__()
        self.first = nn.Conv2d(3, width, 1)
        self.down, self.up = nn.Linear(width, squeezed), nn.Linear(squeezed, width)
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, images):
        maps = F.hardswish(self.first(images))
        weights = torch.sigmoid(self.up(F.relu(self.down(maps.mean((2, 3))))))
        return self.last(maps * weights[:, :, None, None])


def test_the_gate_of_a_pruned_channel_is_not_computed(exported):
    pruned = randomize(Gated(6, 4))
    zero_filters(pruned.first, None, [0, 5])
    zero_filters(pruned.down, None, [2], beta=-3)
    assert left(exported(pruned, (3, 6, 6))) == dense(Gated(4, 3), (3, 6, 6))


class Attention(nn.Module):
    def __init__(self, heads: int, size: int = 4, width: int = 12):
        super().__init__()
        self.heads, self.size = heads, size
        self.query, self.key, self.value = (nn.Linear(width, heads * size) for _ in range(3))
        self.out = nn.Linear(heads * size, width)

    def forward(self, words):
        def split(maps):
            return maps.unflatten(-1, (self.heads, self.size)).transpose(1, 2)

        query, key, value = (split(layer(words)) for layer in (self.query, self.key, self.value))
        weights = F.softmax(query @ key.transpose(-1, -2), -1)
        return self.out((weights @ value).transpose(1, 2).flatten(2)).mean(1)


@pytest.mark.parametrize("through", ["value", "out"])
def test_a_pruned_attention_head_takes_its_queries_and_keys_with_it(exported, through):
    pruned = randomize(Attention(3))
    with torch.no_grad():
        if through == "value":
            pruned.value.weight[4:8] = 0
            pruned.value.bias[4:8] = 0
        else:
            pruned.out.weight[:, 4:8] = 0
    assert left(exported(pruned, (7, 12))) == dense(Attention(2), (7, 12))


def test_a_head_of_zeros_needs_no_network_in_front(exported):
    model = randomize(chain(4, 4))
    with torch.no_grad():
        model[8].weight.zero_()
    assert left(exported(model)) == (10, 0)


def test_tied_weights_live_where_any_use_needs_them(exported):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 4) + 1)
            self.read_first = nn.Parameter(torch.tensor([1.0, 1.0, 1.0, 0.0]))

        def forward(self, x):
            used_whole = x @ self.weight.T
            return (F.linear(x, self.weight) * self.read_first).sum(1) + used_whole[:, 1:].sum(1)

    graph = read_graph(exported(Tied(), (4,)))
    liveness = follow_zeros(graph)
    products = [index for index, node in enumerate(graph.nodes) if node.op in ("Gemm", "MatMul")]
    assert [liveness.nodes[index].live_macs for index in products] == [12, 12]
    assert liveness.roots["weight"].all()
    once = {index: liveness.constants[index, 1] for index in products}
    assert all(mask.sum() == 12 for mask in once.values())


def test_prune_masks_are_seen_through(exported):
    from torch.nn.utils import prune

    pruned, slim = randomize(chain(8, 6)), chain(5, 6)
    prune.custom_from_mask(pruned[0], "weight", (torch.arange(8) > 2)[:, None, None, None].expand(8, 3, 3, 3))
    with torch.no_grad():
        pruned[1].bias[:3] = -1
        pruned[1].running_mean.zero_()
    assert left(exported(pruned)) == dense(slim)


def test_quantized_activations_pass_zeros_on(exported):
    from factorkit.quantization import ActivationQuantizer

    def network(width):
        quantizers = [ActivationQuantizer(4), ActivationQuantizer(4, signed=True)]
        return nn.Sequential(nn.Conv2d(3, width, 1), nn.ReLU(), *quantizers, nn.Conv2d(width, 3, 1))

    pruned = randomize(network(6))
    zero_filters(pruned[0], None, [1, 2], beta=-1)
    with torch.no_grad():
        pruned[4].weight[:, 0] = 0
    assert left(exported(pruned, (3, 4, 4))) == dense(network(3), (3, 4, 4))


@pytest.mark.parametrize("function", [torch.sin, lambda maps: maps.cos(), F.softplus, lambda maps: maps.exp()])
def test_a_function_that_moves_zero_keeps_the_channel_alive(exported, function: Callable):
    class Moved(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 2, 1, bias=False)

        def forward(self, images):
            return self.second(function(self.first(images)))

    model = randomize(Moved())
    with torch.no_grad():
        model.first.weight[[0, 1, 2]] = 0
    weights = live_weights(exported(model, (3, 4, 4)))
    assert weights == {"first.weight": 3, "second.weight": 2 if function is torch.sin else 8}


def test_sums_that_nearly_cancel_are_not_taken_for_zero(build):
    """0.1 + 0.2 - 0.3 is not zero in every arithmetic: the channel counts as varying."""
    third = np.float32(0.1) + np.float32(0.2)
    nodes = [
        ("Conv", "x w b", "c"),
        ("Add", "c minus", "d"),
        ("Relu", "d", "r"),
        ("Conv", "r v", "y"),
    ]
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[1] = 1
    tensors = {
        "w": weight,
        "b": np.array([third, 1], np.float32),
        "v": np.ones((1, 2, 1, 1), np.float32),
        "minus": np.array([-0.3, 1], np.float32)[:, None, None],
    }
    liveness = follow_zeros(read_graph(build(nodes, tensors)))
    assert liveness.roots["v"].all()
    tensors["minus"] = np.array([-0.6, 1], np.float32)[:, None, None]
    assert follow_zeros(read_graph(build(nodes, tensors))).roots["v"].ravel().tolist() == [False, True]


def test_the_result_says_what_is_left(exported):
    pruned = randomize(chain(8, 6))
    pruned[1].running_mean.zero_()
    zero_filters(pruned[0], pruned[1], [0])
    liveness = follow_zeros(read_graph(exported(pruned)))
    params, macs = dense(chain(7, 6))
    total = sum(parameter.numel() for parameter in pruned.parameters())
    assert repr(liveness) == f"Liveness({params:,} of {total:,} elements, {macs:,} MACs)"
