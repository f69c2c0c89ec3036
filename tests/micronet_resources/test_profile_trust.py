"""Profiles that hold what they say: of tensors that change, of arithmetic elsewhere, of profiles inside each other."""

import copy
import gc
import pickle
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from factorkit.models import small_convnet
from micronet_resources.counting import forward
from micronet_resources.profile import UncountedOperatorError, compare, estimate, profile_model, score


class Call(nn.Module):
    """A network that is one function of itself and its input."""

    def __init__(self, function, **held):
        super().__init__()
        self.function = function
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


# --- A profile measures the tensors that it was made of ---------------------------------------------------------------


def halve(model):
    with torch.no_grad():
        model[0].weight[:8] = 0


def train(model):
    model(torch.ones(2, 3, 32, 32)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()


@pytest.mark.parametrize("change", [halve, train, lambda model: model.half()])
def test_a_profile_whose_tensors_changed_says_so(change):
    model = small_convnet((16,))
    profile = profile_model(model, (3, 32, 32), rules="course2025", task="patterns")
    change(model)
    words = r"0\.weight.* changed after this profile of Sequential was made: profile the model again"
    with pytest.raises(ValueError, match=words):
        profile.inventory.tensors[0]
    assert re.search(words, repr(profile))
    assert "Score" not in repr(profile)


def test_the_error_says_how_many_tensors_changed():
    model = nn.Linear(4, 10)
    for changed, words in [(["weight"], "weight changed after"), (["weight", "bias"], "weight and 1 more changed")]:
        profile = profile_model(model, (4,))
        with torch.no_grad():
            for name in changed:
                getattr(model, name).zero_()
        with pytest.raises(ValueError, match=words):
            _ = profile.inventory


def test_a_profile_that_was_measured_before_a_change_keeps_its_figures():
    model = small_convnet((16,))
    before = profile_model(model, (3, 32, 32), rules="course2025", task="patterns")
    nonzero, value = before.inventory.tensors[0].nonzero, float(before.measured_score)
    halve(model)
    after = profile_model(model, (3, 32, 32), rules="course2025", task="patterns")
    assert (nonzero, after.inventory.tensors[0].nonzero) == (432, 216)
    assert before.inventory.tensors[0].nonzero == nonzero
    assert float(after.measured_score) < float(before.measured_score) == value
    assert "0.weight" not in repr(compare(before, after))


def test_pruning_with_a_mask_leaves_the_profile_before_it_as_it_was():
    model = small_convnet((16,))
    before = profile_model(model, (3, 32, 32))
    prune.l1_unstructured(model[0], "weight", amount=216)
    after = profile_model(model, (3, 32, 32))
    assert (before.inventory.tensors[0].nonzero, after.inventory.tensors[0].nonzero) == (432, 216)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_a_profile_measure_the_same(copied):
    model = small_convnet((16,))
    profile = profile_model(model, (3, 32, 32), rules="course2025", task="patterns")
    twin = copied(profile)
    assert twin == profile
    assert twin.inventory == profile.inventory
    late = profile_model(model, (3, 32, 32))
    halve(model)
    with pytest.raises(ValueError, match="profile the model again"):
        copied(late)
    assert copied(profile).inventory == profile.inventory


# --- The output derives from the input through operators that are counted ---------------------------------------------


def by_numpy(net, x):
    return torch.from_numpy(net.last(x).numpy() @ np.ones((10, 10), np.float32))


def by_numpy_beside_the_network(net, x):
    return net.last(x) + torch.from_numpy(x.numpy() @ np.ones((4, 10), np.float32))


def by_lists(net, x):
    return net.last(x) + torch.tensor([[sum(row)] for row in x.tolist()])


def by_single_numbers(net, x):
    return net.last(x) + torch.tensor([float(x[0, 0]) * i for i in range(10)])


def by_single_numbers_through_numpy(net, x):
    return net.last(x) + torch.from_numpy(np.array([x[0, 0].item() * i for i in range(10)], np.float32))


def in_a_thread(net, x):
    with ThreadPoolExecutor() as pool:
        return pool.submit(net.last, x).result()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (by_numpy, "Python on the values of Tensor.numpy"),
        (by_numpy_beside_the_network, "Python on the values of Tensor.numpy"),
        (by_lists, "Python on the values of Tensor.tolist"),
        (by_single_numbers, "Python on the values of Tensor.__float__"),
        (by_single_numbers_through_numpy, "Python on the values of Tensor.item"),
        (in_a_thread, "code in a thread of its own"),
    ],
)
def test_arithmetic_that_cannot_be_seen_is_named_and_has_no_score(function, words):
    model = Call(function, last=nn.Linear(4, 10))
    profile = profile_model(model, (4,))
    assert profile.uncounted == (words,)
    assert words in profile.notes[-1]
    for ask in (score, estimate):
        with pytest.raises(ValueError, match=words):
            ask(profile)
    with pytest.raises(UncountedOperatorError, match=words):
        profile_model(model, (4,), strict=True)


def test_a_number_that_only_chooses_the_way_hides_nothing():
    def choose(net, x):
        y = net.last(x) if float(x.sum()) < 1e9 else x
        return y * torch.ones(10) + net.shift

    profile = profile_model(Call(choose, last=nn.Linear(4, 10), shift=nn.Parameter(torch.ones(10))), (4,))
    assert (profile.macs, profile.uncounted) == (40, ())


@pytest.mark.parametrize("reads", [False, True])
def test_an_output_that_does_not_depend_on_the_input_has_no_score(reads):
    def constant(net, x):
        if reads and float(x.sum()) > 1e9:
            return x
        net.last(x)
        return net.last(torch.ones(1, 4))

    profile = profile_model(Call(constant, last=nn.Linear(4, 10)), (4,))
    assert not profile.depends_on_input
    assert "does not depend on the input" in profile.notes[-1]
    for ask in (score, estimate):
        with pytest.raises(ValueError, match="output of the network does not depend on its input.*no score"):
            ask(profile)


def test_outputs_in_dictionaries_and_lists_depend_on_the_input_if_one_does():
    model = Call(lambda net, x: {"table": net.last.weight, "scores": [net.last(x)]}, last=nn.Linear(4, 10))
    assert profile_model(model, (4,)).depends_on_input
    assert not profile_model(Call(lambda net, x: [net.last.weight], last=nn.Linear(4, 10)), (4,)).depends_on_input


# --- One profile at a time, and one inside another --------------------------------------------------------------------


def test_profiles_in_several_threads_leave_the_settings_of_the_process_alone():
    first_runs, second_waits = threading.Event(), threading.Event()

    def slow(net, x):
        first_runs.set()
        second_waits.wait(10)
        return net.last(x)

    def second():
        first_runs.wait(10)
        threading.Timer(0.05, second_waits.set).start()  # the lock is asked for before
        return profile_model(nn.Linear(4, 3), (4,)).macs

    filters = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        results = [
            pool.submit(lambda: profile_model(Call(slow, last=nn.Linear(4, 10)), (4,)).macs),
            pool.submit(second),
        ]
        assert [result.result() for result in results] == [40, 12]
    assert torch.backends.mha.get_fastpath_enabled()
    assert gc.isenabled()
    assert warnings.filters == filters


@pytest.mark.parametrize("reads", [False, True])
def test_a_profile_inside_a_forward_pass_is_not_booked_to_the_network(reads):
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GLU(1), nn.Flatten(), nn.Linear(72, 3))
    seen = []

    def nested(net, x):
        if not reads or float(x.sum()) < 1e9:
            seen.append(profile_model(net.inner, (3, 8, 8)))
        return net.inner(x)

    alone = profile_model(inner, (3, 8, 8))
    around = profile_model(Call(nested, inner=inner), (3, 8, 8))
    assert around.macs == alone.macs == seen[-1].macs == 36 * 4 * 27 + 72 * 3
    assert [x for x in around.operations if x.kind != "elementwise"][-2:] == [
        x if x.weight is None else inside(x) for x in alone.operations[-2:]
    ]
    assert seen[-1].multiplications == alone.multiplications


def inside(operation):
    return type(operation)(
        operation.name, operation.kind, operation.outputs, operation.multiplications, operation.additions,
        f"inner.{operation.weight}",
    )  # fmt: skip


# --- What tensors are made of -----------------------------------------------------------------------------------------


def stored(function, **held):
    return profile_model(Call(function, **held), (2,)).tensors


def test_the_same_function_of_other_arguments_is_another_tensor():
    weight = nn.Parameter(torch.tensor([3.0, 5.0]))
    tensors = stored(lambda net, x: x * torch.pow(net.w, 2) + x * torch.pow(2, net.w), w=weight)
    assert [x.tolist() for x in tensors.values()] == [[9, 25], [8, 32]]
    tensors = stored(
        lambda net, x: x * torch.stack([net.w, net.v])[0] + x * torch.stack([net.v, net.w])[0],
        w=weight,
        v=nn.Parameter(torch.tensor([1.0, 2.0])),
    )
    assert len(tensors) == 2


def test_the_same_arithmetic_done_twice_is_stored_once():
    weight = nn.Parameter(torch.tensor([3.0, 5.0]))
    assert len(stored(lambda net, x: x * torch.pow(net.w, 2) + (x + 1) * torch.pow(net.w, 2), w=weight)) == 1


RANDOM = [torch.rand_like, torch.bernoulli, lambda w: F.dropout(w, 0.5, training=True),
          lambda w: F.dropout1d(w[None], 0.5, training=True)[0], lambda w: F.gumbel_softmax(w, dim=0)]  # fmt: skip


@pytest.mark.parametrize("draw", RANDOM)
def test_two_random_masks_are_two_tensors(draw):
    weight = nn.Parameter(torch.full((64, 2), 0.5))
    tensors = stored(lambda net, x: F.linear(x, net.w * draw(net.w)) + F.linear(x, net.w * draw(net.w)), w=weight)
    assert len(tensors) == 2


def test_a_copy_of_a_layer_that_the_forward_pass_makes_adds_no_parameters():
    model = Call(lambda net, x: copy.deepcopy(net.last)(x), last=nn.Linear(2, 4))
    profile = profile_model(model, (2,))
    assert (profile.params, profile.params_used, profile.macs) == (12, 12, 8)
    assert list(profile.tensors) == ["last.weight", "last.bias"]


def test_a_rule_with_an_error_of_its_own_books_nothing(monkeypatch):
    def broken(ledger, input, weight, bias=None):
        ledger.book("linear", "linear", 1, 1000, 1000)
        raise TypeError("of the rule itself")

    monkeypatch.setattr(forward, "SHAPE_RULES", {**forward.SHAPE_RULES, F.linear: broken})
    profile = profile_model(Call(lambda net, x: F.linear(x, net.w), w=nn.Parameter(torch.ones(4, 2))), (2,))
    assert (profile.macs, profile.multiplications) == (8, 8)


def test_an_error_for_want_of_values_is_seen_even_if_the_model_catches_it():
    def careful(net, x):
        try:
            torch.nonzero(x)
        except NotImplementedError:
            return net.last(x)
        return net.last(x) + net.last(x)

    profile = profile_model(Call(careful, last=nn.Linear(2, 4)), (2,))
    assert profile.macs == 16
    assert "for real" in profile.notes[0]
