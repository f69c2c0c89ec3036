"""Mistakes that scores of the course have contained: each gets the true figure or a refusal, never that number."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from factorkit.models import resnet18_cifar, small_convnet
from micronet_resources import entry
from micronet_resources.claims import ClaimError
from micronet_resources.profile import profile_model
from micronet_resources.rules import rule_set
from micronet_resources.scoring import estimate, score

IMAGE = (3, 32, 32)


def network(widths=(8, 16), **options):
    torch.manual_seed(0)
    return small_convnet(widths, **options)


def convolutions(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def pruned(model, amount, *, remove=True):
    """The same network with the smallest weights of each convolution set to zero."""
    model = copy.deepcopy(model)
    for module in convolutions(model):
        prune.l1_unstructured(module, "weight", amount=amount)
        if remove:
            prune.remove(module, "weight")
    return model


def without_filters(model, share):
    """The same network with the last filters of each convolution set to zero."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for module in convolutions(model):
            module.weight[round(len(module.weight) * (1 - share)) :] = 0
    return model


def measured(model, rules="course2025", task="patterns", **claims):
    return score(profile_model(model, IMAGE), rules, task, **claims)


def count_zeros(model):
    return sum(int((module.weight == 0).sum()) for module in convolutions(model))


# --- Declared, not measured -------------------------------------------------------------------------------------------


def test_a_sparsity_written_into_the_code_is_refused_if_the_weights_are_dense():
    with pytest.raises(ClaimError, match=r"pruned_unstructured.*0\.83"):
        measured(network(), pruned_unstructured=0.83)


def test_a_sparsity_parsed_from_the_name_of_a_file_is_compared_with_the_tensors():
    """The name says 80 %, the checkpoint was pruned to 60 %, and the costs were those of the unpruned network."""
    with pytest.raises(ClaimError, match=r"pruned_unstructured.*0\.8"):
        measured(pruned(network(), 0.6), pruned_unstructured=0.8)


def test_half_precision_that_was_commented_out_is_refused():
    with pytest.raises(ClaimError, match="weight_bits.*16"):
        measured(network(), weight_bits=16)


def test_an_accuracy_just_below_the_threshold_is_below():
    task = rule_set("course2025").task("cifar10")
    assert task.needed(10_000) > 8_977
    assert task.needed(10_000) > 8_999


def test_binary_weights_are_declared_and_the_checkpoint_holds_others():
    with pytest.raises(ClaimError, match="weight_bits.*1"):
        measured(pruned(network(), 0.2), weight_bits=1)


def test_structured_and_unstructured_fractions_typed_by_hand_are_refused():
    with pytest.raises(ClaimError, match="pruned_structured|pruned_unstructured|weight_bits"):
        measured(network(), weight_bits=8, pruned_structured=0.15, pruned_unstructured=0.8)


def test_pruning_one_layer_is_not_pruning_the_network():
    model = network((8, 64))
    prune.l1_unstructured(model[0], "weight", amount=0.9)
    prune.remove(model[0], "weight")
    with pytest.raises(ClaimError, match=r"pruned_unstructured.*0\.9"):
        measured(model, pruned_unstructured=0.9)
    saved = measured(network((8, 64))).parameter_term - measured(model).parameter_term
    assert saved == pytest.approx(count_zeros(model) / 36_477)


def test_a_score_belongs_to_the_tensors_that_were_profiled():
    """A fresh network, pruned on the spot, says nothing about the trained one that was evaluated."""
    trained = network()
    fresh = pruned(small_convnet((8, 16)), 0.85)
    assert float(measured(fresh)) < float(measured(trained))
    assert float(measured(trained)) == float(measured(copy.deepcopy(trained)))


def test_accuracy_and_score_are_those_of_one_file(tmp_path):
    """Weights that were never loaded, or those of another epoch, do not get the accuracy of the best ones."""
    trained, fresh = network(), small_convnet((8, 16))
    images = 3 * torch.randn(40, 3, 1, 1).expand(40, *IMAGE)  # colors, so that answers differ
    with torch.no_grad():
        labels = trained.eval()(images).argmax(1)
    assert len(labels.unique()) > 1
    right, wrong = (entry.export(model, tmp_path / f"{name}.onnx") for name, model in [("a", trained), ("b", fresh)])
    assert entry.evaluate(right, images, labels).correct == 40
    assert entry.evaluate(wrong, images, labels).correct < 40
    assert float(score(entry.measure(right))) == float(measured(trained))


# --- Counted twice, or not at all -------------------------------------------------------------------------------------


def test_masks_that_were_not_removed_count_by_value():
    """weight_orig is full of numbers that the network never uses."""
    masked, removed = pruned(network(), 0.9, remove=False), pruned(network(), 0.9)
    assert all(module.weight_orig.count_nonzero() == module.weight_orig.numel() for module in convolutions(masked))
    for rules in ("course2025", "course2023", "neurips2019"):
        assert float(measured(masked, rules)) == float(measured(removed, rules))


def test_zeros_are_taken_off_once():
    """Not by counting what is not zero and again by a declared fraction."""
    model = network()
    saved = measured(model).parameter_term - measured(pruned(model, 0.5)).parameter_term
    assert saved == pytest.approx(count_zeros(pruned(model, 0.5)) / 36_477)
    share = count_zeros(pruned(model, 0.5)) / profile_model(model, IMAGE).params
    claimed = measured(pruned(model, 0.5), pruned_unstructured=round(share, 3))
    assert float(claimed) == float(measured(pruned(model, 0.5)))


def test_a_count_of_non_zeros_needs_no_structured_fraction():
    with pytest.raises(ClaimError, match=r"pruned_structured.*0\.6"):
        measured(pruned(network(), 0.6), pruned_structured=0.6)


def test_filters_that_are_physically_gone_are_not_pruned_once_more():
    slim = network((4, 8))
    with pytest.raises(ClaimError, match=r"pruned_structured.*0\.5"):
        measured(slim, pruned_structured=0.5)


def test_zero_weights_are_found_whatever_their_shape():
    """Not by comparing the number of elements with zero, which never is."""
    model = network()
    with torch.no_grad():
        model[0].weight[:, 0] = 0
        model[-1].weight[3] = 0
    zeros = int((model[0].weight == 0).sum() + (model[-1].weight == 0).sum())
    saved = measured(network()).parameter_term - measured(model).parameter_term
    assert saved == pytest.approx(zeros / 36_477)


def test_nested_modules_count_once():
    """Not once for each module around them."""
    flat = network()
    nested = nn.Sequential(nn.Sequential(nn.Sequential(*flat[:3])), nn.Sequential(*flat[3:]))
    assert float(measured(nested)) == float(measured(flat))


def test_convolutions_inside_modules_are_not_missed():
    """Not only the direct children of the network."""
    model = nn.Sequential(network())
    assert profile_model(model, IMAGE).macs == profile_model(network(), IMAGE).macs > 0


def test_profiling_twice_gives_the_same_as_once():
    model = network()
    assert float(measured(model)) == float(measured(model))


# --- Wrong references and units ---------------------------------------------------------------------------------------


def test_a_network_for_100_classes_is_not_scored_against_the_reference_for_10():
    model = network(num_classes=100)
    with pytest.raises(ValueError, match=r"\(100,\) and cifar10 has 10 classes"):
        measured(model, task="cifar10")
    assert measured(model, task="cifar100").task.reference == "WRN-28-10"


def test_a_batch_is_not_an_image():
    with pytest.raises(ValueError, match=r"\(16, 3, 32, 32\)"):
        profile_model(network(), (16, *IMAGE))


def test_a_smaller_image_is_not_that_of_the_task():
    with pytest.raises(ValueError, match=r"\(3, 16, 16\) and images of cifar10 have \(3, 32, 32\)"):
        score(profile_model(network(), (3, 16, 16)), "course2025", "cifar10")


def test_one_bit_costs_a_thirty_second_and_no_table_says_otherwise():
    costs = profile_model(network(), IMAGE)
    full, single = (estimate(costs, weight_bits=bits, activation_bits=bits) for bits in (32, 1))
    assert float(single) == pytest.approx(float(full) / 32)


def test_a_ratio_is_not_a_number_of_bits():
    costs = profile_model(network(), IMAGE)
    for compute in (estimate, score):
        with pytest.raises(ValueError, match=r"weight_bits=0\.5.*0\.5 of 32 bits is 16"):
            compute(costs, weight_bits=0.5)


def test_a_convolution_multiplies_all_its_kernel():
    """Not input times output channels at each pixel, nine times too few."""
    convolution = nn.Conv2d(3, 10, 3, padding=1, bias=False)
    assert profile_model(convolution, IMAGE).macs == 9 * 3 * 10 * 32 * 32


def test_macs_are_not_halved_into_what_they_are_already():
    """Half of what a common counter gives for a ResNet-18 happens to be the reference, and hides the mistake."""
    profile = profile_model(resnet18_cifar(), IMAGE)
    assert profile.macs == 555_422_720
    assert estimate(profile).operation_term == pytest.approx(1.9837, abs=5e-5)


@pytest.mark.parametrize("rules", ["course2025", "course2023"])
def test_single_zeros_do_not_touch_the_operations(rules):
    sparse = pruned(network(), 0.5)
    assert count_zeros(sparse) > 2_000
    assert measured(sparse, rules).operation_term == measured(network(), rules).operation_term


def test_a_fraction_of_filters_is_not_a_fraction_of_weights():
    """Half of the filters of the first convolution are many filters and few weights."""
    model = network((32, 4))
    with torch.no_grad():
        model[0].weight[16:] = 0
    share = 16 / sum(len(module.weight) for module in convolutions(model))
    with pytest.raises(ClaimError, match=rf"pruned_structured={share:g}.*not of filters"):
        measured(model, pruned_structured=share)


def test_more_than_everything_cannot_be_pruned():
    for compute in (estimate, score):
        with pytest.raises(ValueError, match="more than all weights"):
            compute(profile_model(network(), IMAGE), pruned_structured=0.7, pruned_unstructured=0.5)


def test_pruned_filters_save_in_both_terms():
    full, half = measured(network()), measured(without_filters(network(), 0.5))
    assert half.parameter_term < full.parameter_term
    assert half.operation_term < full.operation_term


# --- What must not be missed ------------------------------------------------------------------------------------------


class Functional(nn.Module):
    """Like the module-style network, with functions and raw parameters."""

    def __init__(self, model):
        super().__init__()
        self.weight, self.norm, self.head = nn.Parameter(model[0].weight.detach()), model[1], model[-1]

    def forward(self, x):
        x = torch.relu(self.norm(nn.functional.conv2d(x, self.weight, padding=1)))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("rules", ["course2025", "course2023", "neurips2019"])
def test_functional_style_costs_what_module_style_costs(rules):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 10))
    assert float(measured(Functional(model), rules)) == pytest.approx(float(measured(model, rules)), abs=1e-12)
