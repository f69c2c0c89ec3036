"""Networks are described the quick way as torch.export describes them, and by it wherever that is not sure."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from factorkit import exported, models
from factorkit.exported import describe
from factorkit.trusted import trusted_copy

BUILDERS = sorted(name for name in models.__all__ if name.startswith("small_"))


class Keeps(nn.Module):
    """Keeps what it has seen."""

    def __init__(self):
        super().__init__()
        self.conv, self.seen = nn.Conv2d(3, 2, 1), None

    def forward(self, images):
        self.seen = self.conv(images)
        return self.seen + 1


class KeepsInside(nn.Module):
    """Keeps what it has made in a dictionary and a list."""

    def __init__(self):
        super().__init__()
        self.grids, self.seen = {}, []

    def forward(self, images):
        height = images.shape[2]
        if height not in self.grids:
            self.grids[height] = torch.linspace(0, 1, height)
        self.seen.append(images)
        return images + self.grids[height][:, None]


class TwoNames(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.layers = nn.Sequential(self.conv, nn.ReLU(), self.conv)

    def forward(self, images):
        return self.layers(images)


class Remembers(nn.Module):
    """Puts another tensor in the place of a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images):
        self.mean = 0.5 * self.mean + images.mean()
        return images - self.mean


class Lies(nn.Module):
    """Names tensors that it does not have."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def named_parameters(self, *args, **keywords):
        yield "conv.weight", torch.zeros(2, 3, 1, 1)

    def forward(self, images):
        return self.conv(images)


class Computed(nn.Module):
    """Several outputs in a dictionary, tied weights, a buffer, a result that nothing uses."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.rand(4), persistent=False)
        self.register_buffer("unused", torch.rand(4))

    def forward(self, rows):
        torch.relu(rows)
        mean, (low, high) = rows.mean(), rows.aminmax(dim=1)
        return {"b": self.second(self.first(rows)) * self.scale, "a": [mean, low], "c": high}


class Constant(nn.Module):
    """A tensor that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.weight = torch.rand(3, 1, 1)

    def forward(self, images):
        return images * self.weight


class Counts(nn.Module):
    """Changes a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, images):
        self.count += 1
        return images * 2


ORDINARY = {name: (getattr(models, name), (2, 3, 32, 32)) for name in BUILDERS} | {"computed": (Computed, (2, 4))}
OTHERS = {
    "keeps": (Keeps, (2, 3, 4, 4)),
    "keeps inside": (KeepsInside, (2, 3, 4, 4)),
    "two names": (TwoNames, (2, 3, 4, 4)),
    "constant": (Constant, (2, 3, 4, 4)),
    "counts": (Counts, (2, 3, 4, 4)),
    "in place": (lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True)), (2, 3, 4, 4)),
}


def same(first, second):
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


def by_export(network, example, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(exported, "_traced", lambda *_: None)
        return describe(network, example)


def in_order(description):
    """What is done with which tensors, whatever numbers stand for them."""
    own = {number: description["tensors"][place] for number, place in description["reads"].items()}
    numbers = [*description["inputs"], *(number for _, number, *_ in description["steps"])]

    def change(value):
        if isinstance(value, dict) and set(value) == {exported.REFERENCE}:
            number = value[exported.REFERENCE]
            return own[number] if number in own else ("result", numbers.index(number))
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        return type(value)(map(change, value)) if isinstance(value, list | tuple) else value

    steps = [(name, change(args), change(keywords)) for name, _, args, keywords in description["steps"]]
    return steps, change(description["output"]), len(description["tensors"])


@pytest.mark.parametrize("name", ORDINARY)
def test_the_quick_way_finds_what_torch_export_finds(name, monkeypatch):
    build, size = ORDINARY[name]
    network, example = build().eval(), torch.rand(size)
    with torch.no_grad():
        assert exported._traced(network, [example]) is not None
    assert same(in_order(describe(network, example)), in_order(by_export(network, example, monkeypatch)))


@pytest.mark.filterwarnings("ignore:The tensor attribute")
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_out_of_the_ordinary_is_left_to_torch_export(name, monkeypatch):
    build, size = OTHERS[name]
    network, example = build().eval(), torch.rand(size)
    before = {key: value for module in network.modules() for key, value in vars(module).items()}
    with torch.no_grad():
        assert exported._traced(network, [example]) is None
    after = {key: value for module in network.modules() for key, value in vars(module).items()}
    assert all(after[key] is before[key] for key in before)
    other = deepcopy(network)
    assert same(in_order(describe(network, example)), in_order(by_export(other, example, monkeypatch)))
    outputs = network(example)
    assert type(outputs) is torch.Tensor and outputs.isfinite().all()


@pytest.mark.filterwarnings("ignore:The tensor attribute")
@pytest.mark.parametrize("count", [1, 4])
def test_nothing_that_only_tracing_has_seen_stays_in_a_network(count):
    for build in (KeepsInside, TwoNames, Remembers):
        network, example = build().eval(), torch.rand(count, 3, 4, 4)
        copy = trusted_copy(network, example)
        expected = network(example)
        assert type(expected) is torch.Tensor
        torch.testing.assert_close(copy(example), expected)


def test_names_that_are_not_true_are_not_believed():
    with torch.no_grad():
        assert exported._traced(Lies().eval(), [torch.rand(1, 3, 4, 4)]) is None
