"""The trusted copy computes what the model computes and owns what the model reads, whatever the model says."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factorkit.checks import being_graded, hand_over, not_imported, trusted_copy
from factorkit.models import resnet18_cifar, small_convnet


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def with_real_statistics(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return model


@pytest.mark.parametrize("build", [small_convnet, resnet18_cifar])
def test_copy_computes_and_counts_the_same_for_any_batch(build):
    torch.manual_seed(0)
    model = with_real_statistics(build())
    copy = trusted_copy(model, torch.zeros(2, 3, 32, 32))
    assert count(copy) == count(model)
    assert model.training
    images = torch.randn(5, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(copy(images), model.eval()(images))


def test_copy_is_made_of_real_layers():
    copy = trusted_copy(small_convnet(), torch.zeros(2, 3, 32, 32))
    assert sum(isinstance(m, nn.Conv2d) for m in copy.modules()) == 6
    assert sum(isinstance(m, nn.Linear) for m in copy.modules()) == 1


class Liar(nn.Module):
    """Keeps its weights in a buffer and in a plain attribute, and says that it has one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(10, 3))
        self.bias = torch.randn(10)

    def parameters(self, recurse: bool = True):
        yield nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.linear(images.mean((2, 3)), self.weight, self.bias)


class WeightsInStatistics(nn.Module):
    """Hides weights where batch normalization keeps its running mean, and reads them from there."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(images) * self.norm.running_mean[:, None, None]


def test_hidden_weights_are_counted():
    assert count(trusted_copy(Liar(), torch.randn(2, 3, 8, 8))) == 40
    assert count(trusted_copy(WeightsInStatistics(), torch.randn(2, 3, 8, 8))) == 9  # scale, bias and what it hides


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Linear(100, 100)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(self.conv(images), self.conv.weight, padding="same")


def test_tied_weights_count_once_and_unused_weights_not_at_all():
    model = Tied()
    copy = trusted_copy(model, torch.zeros(2, 4, 6, 6))
    assert count(copy) == 4 * 4 * 9 + 4
    images = torch.randn(3, 4, 6, 6)
    torch.testing.assert_close(copy(images), model(images))


class Decides(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum() > 0 else -images


def test_decisions_on_pixels_are_refused():
    with pytest.raises(ValueError, match="Decides cannot be rebuilt for grading"):
        trusted_copy(Decides(), torch.zeros(2, 3, 4, 4))


def test_views_of_a_fixed_batch_work_at_other_batch_sizes():
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.linear(images.view(images.size(0), -1))

    model = Views()
    images = torch.randn(7, 3, 2, 2)
    torch.testing.assert_close(trusted_copy(model, images[:2])(images), model(images))


class OfTheBatch(nn.Module):
    """What it does depends on how many images there are."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        match self.kind:
            case "mean":
                return images.sum(dim=0) / images.shape[0]
            case "rows":
                return images.reshape(images.shape[0], -1)
            case "tuple":
                return images[: images.shape[0] // 2], images.flatten(1)
        return images[: images.shape[0] - 1] + 1


@pytest.mark.parametrize("kind", ["mean", "rows", "tuple", "all but one"])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_what_depends_on_the_batch_is_not_fixed_at_the_examples_size(kind, size):
    model = OfTheBatch(kind)
    copy = trusted_copy(model, torch.randn(size, 3, 4))
    for other in (2, 5, 9):
        images = torch.randn(other, 3, 4)
        torch.testing.assert_close(copy(images), model(images))


def test_random_operations_are_exported():
    class Noisy(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return F.dropout(images, 0.5, training=True)

    assert trusted_copy(Noisy(), torch.ones(4, 3))(torch.ones(7, 3)).shape == (7, 3)


def test_outputs_that_are_no_tensors_and_the_state_of_random_numbers_are_kept():
    class Pair(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, int]:
            return F.dropout(images, 0.0, training=True), 3

    before = torch.random.get_rng_state()
    copy = trusted_copy(Pair(), torch.ones(4, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    images, number = copy(torch.ones(7, 3))
    assert torch.equal(images, torch.ones(7, 3)) and number == 3


def test_a_buffer_that_the_network_changes_is_left_as_it_was():
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.calls.add_(1)
            return images

    model = Counts()
    trusted_copy(model, torch.ones(4, 3))
    assert model.calls == 0


def test_being_graded_follows_the_environment(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    assert not being_graded()
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert being_graded()


def test_not_imported_names_the_module():
    assert "factorkit.checks" in sys.modules
    with pytest.raises(AssertionError, match="factorkit.checks contains: remove the import"):
        not_imported("factorkit.nothing", "factorkit.checks")


def test_hand_over_gives_the_object_itself():
    model = small_convnet()
    assert hand_over(model) is model
