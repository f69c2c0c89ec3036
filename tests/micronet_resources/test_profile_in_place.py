"""What is written in place: into constants, into the model's own tensors, and into what a module keeps for itself."""

from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from micronet_resources.profile import profile_model


class Call(nn.Module):
    """A network that is one function of itself and its input."""

    def __init__(self, function, **held):
        super().__init__()
        self.function = function
        for name, value in held.items():
            if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


class OnValues(nn.Module):
    """Makes any network need values, so that it runs for real on a copy."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) if float(x.sum()) < 1e9 else x


def written(function):
    """A network that writes a map into a constant and gives that to a linear layer of 8 x 4."""
    return lambda net, x: net.last(function(net, x))


def in_a_list(net, x):
    sums = [torch.zeros(1, 8), torch.zeros(1, 8)]
    torch._foreach_add_(sums, [x, x])
    return sums[1]


def in_a_part(net, x):
    out = torch.zeros(1, 8)
    out[:, :4] += x[:, :4]
    return out


def both_results(net, x):
    values, places = torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.long)
    torch.max(x, 1, keepdim=True, out=(values, places))
    return values.expand(1, 8)


def on_the_buffer(net, x):
    net.state += x
    return net.state


WRITES = {
    "+=": lambda net, x: torch.zeros(1, 8).__iadd__(x),
    "*=": lambda net, x: torch.ones(1, 8).__imul__(x),
    "add_": lambda net, x: torch.zeros_like(x).add_(x),
    "sub_": lambda net, x: torch.zeros(1, 8).sub_(x),
    "mul_, then add_": lambda net, x: torch.zeros(1, 8).mul_(0.5).add_(x),
    "copy_": lambda net, x: torch.empty(1, 8).copy_(x),
    "out=": lambda net, x: torch.add(x, 1, out=torch.empty(1, 8)),
    "out= of two results": both_results,
    "a part +=": in_a_part,
    "a buffer +=": on_the_buffer,
    "several at once": in_a_list,
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("wrap", [lambda m: m, OnValues])
def test_what_follows_a_write_into_a_constant_is_paid_for(name, wrap):
    model = Call(written(WRITES[name]), last=nn.Linear(8, 4), state=torch.zeros(1, 8))
    assert profile_model(wrap(model), (8,)).macs == 32
    assert torch.equal(model.state, torch.zeros(1, 8))


def test_a_sum_in_place_costs_what_a_sum_costs():
    model = Call(lambda net, x: torch.zeros(1, 8).__iadd__(x))
    (operation,) = profile_model(model, (8,)).operations
    assert (operation.multiplications, operation.additions, operation.outputs) == (0, 8, 8)


# --- The model's own tensors are left as they were --------------------------------------------------------------------


def relu_in_place(net, x):
    return x + F.relu(net.held, inplace=True)


def scaled_in_a_list(net, x):
    torch._foreach_mul_([net.held], 2.0)
    return x + net.held


def statistics(net, x):
    F.batch_norm(torch.randn(4, 8), net.held, net.other, training=True)
    return x + net.held


def two_results(net, x):
    torch.max(torch.ones(8, 8), 1, out=(net.held, net.places))
    return x + net.held


def through_numpy(net, x):
    net.held.numpy()[0] = 7
    return x + net.held


def through_data(net, x):
    net.held.data.mul_(3)
    return x + net.held


ALTERATIONS = [relu_in_place, scaled_in_a_list, statistics, two_results, through_numpy, through_data]


@pytest.mark.parametrize("function", ALTERATIONS)
def test_writes_to_the_models_own_tensors_are_taken_back(function):
    model = Call(function, held=-torch.ones(8), other=torch.ones(8), places=torch.full((8,), 5))
    versions = {name: tensor._version for name, tensor in model.named_buffers()}
    profile = profile_model(model, (8,))
    assert (profile.additions, profile.uncounted) == (8, ())
    assert torch.equal(model.held, -torch.ones(8))
    assert torch.equal(model.other, torch.ones(8))
    assert torch.equal(model.places, torch.full((8,), 5))
    assert {name: tensor._version for name, tensor in model.named_buffers()} == versions


@pytest.mark.parametrize("wrap", [lambda m: m, OnValues])
def test_an_embedding_with_a_largest_norm_keeps_its_table(wrap):
    table = nn.Embedding(8, 4, max_norm=0.1)
    before = table.weight.detach().clone()
    assert float(before.norm(dim=1).min()) > 0.1
    model = Call(lambda net, x: x + net.table(torch.arange(8)), table=table)
    profile = profile_model(wrap(model), (8, 4))
    assert (profile.additions, profile.params_used) == (32 + (wrap is OnValues) * 31, 32)
    assert torch.equal(table.weight, before)


def test_an_embedding_with_a_largest_norm_is_read_where_the_input_says():
    model = nn.Sequential(nn.Embedding(20, 8, max_norm=0.1), nn.Linear(8, 3))
    profile = profile_model(model, torch.zeros(5, dtype=torch.long))
    assert (profile.macs, profile.params_used) == (5 * 24, 160 + 27)
    assert [layer.output_shape for layer in profile.layers] == [(5, 8), (5, 3)]


# --- What a module keeps for itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda m: m, OnValues])
def test_queues_and_arrays_of_a_module_are_put_back(wrap):
    def remember(net, x):
        net.queue.append(x)
        net.array[0] += 1
        net.nested["last"].append(x)
        return net.last(x)

    queue, array, nested = deque([1, 2], maxlen=2), np.zeros(3), {"last": []}
    model = Call(remember, last=nn.Linear(8, 4), queue=queue, array=array, nested=nested)
    assert profile_model(wrap(model), (8,)).macs == 32
    assert model.queue is queue
    assert (list(queue), queue.maxlen) == ([1, 2], 2)
    assert model.array is array
    assert array.tolist() == [0, 0, 0]
    assert nested == {"last": []}


def test_a_list_that_a_hook_fills_in_a_layer_of_torch_is_emptied_again():
    layer = nn.Linear(8, 4)
    layer.seen = []
    layer.register_forward_hook(lambda module, args, out: module.seen.append(out))
    profile_model(nn.Sequential(layer), (8,))
    assert layer.seen == []


def test_parameters_in_a_list_of_a_layer_of_torch_are_found_at_every_profile():
    layer = nn.Linear(8, 8)
    layer.extra = []
    assert profile_model(nn.Sequential(layer), (8,)).params == 72
    layer.extra = [nn.Parameter(torch.ones(8))]
    assert profile_model(nn.Sequential(layer), (8,)).params == 80


def test_lists_that_layers_of_torch_have_themselves_are_no_lists_of_parameters():
    for layer, shape in [(nn.LSTM(4, 4), (3, 4)), (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (3, 8, 8))]:
        profile = profile_model(nn.Sequential(layer), shape)
        assert profile.params == sum(p.numel() for p in layer.parameters())
        assert profile.notes == ()


@pytest.mark.parametrize("kind", ["parameter", "buffer", "attribute"])
def test_a_bias_counts_whatever_it_is(kind):
    for layer, additions in [(nn.Linear(8, 4), 28 + 4), (nn.Conv2d(2, 3, 1), 48 + 48), (nn.BatchNorm2d(2), 32)]:
        bias = layer.bias.detach().clone()
        if kind != "parameter":
            del layer.bias
        if kind == "buffer":
            layer.register_buffer("bias", bias)
        elif kind == "attribute":
            layer.bias = bias
        profile = profile_model(nn.Sequential(layer), (8,) if isinstance(layer, nn.Linear) else (2, 4, 4))
        assert profile.additions == additions
        assert list(profile.tensors) == ["0.weight", "0.bias"]


def test_a_weight_that_is_a_buffer_counts_too():
    layer = nn.Linear(8, 4, bias=False)
    weight = layer.weight.detach().clone()
    del layer.weight
    layer.register_buffer("weight", weight)
    profile = profile_model(nn.Sequential(layer), (8,))
    assert (profile.macs, profile.params, list(profile.tensors)) == (32, 0, ["0.weight"])
