"""Shrinkage and proximal descent against scikit-learn's lasso, torch's SGD and the rules that the report prints."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import nn

from factorkit.data import load
from factorkit.layers import DCTConv2d
from factorkit.models import small_double_sparsity_nin
from factorkit.shrinkage import ProximalSGD, SparsityHistory, shrink, sparsity_of
from factorkit.training import fit, seed_everything


@pytest.fixture(scope="module")
def digits():
    return load("digits").subset(train=300, test=100)


def linear_net():
    seed_everything(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("threshold", [0.0, 0.1, 1.0])
def test_shrinkage_is_the_nearest_point_with_a_price_on_magnitude(threshold):
    weights = torch.linspace(-2, 2, 41, dtype=torch.float64)
    grid = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    costs = 0.5 * (grid - weights[:, None]) ** 2 + threshold * grid.abs()
    torch.testing.assert_close(shrink(weights, threshold), grid[costs.argmin(1)], atol=1e-3, rtol=0)
    inside = weights.abs() < threshold
    assert (shrink(weights, threshold)[inside] == 0).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_proximal_descent_finds_scikit_learns_lasso(momentum):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(80, 20))
    outputs = inputs[:, :4] @ np.array([2.0, -1.5, 1.0, 0.4]) + 0.1 * rng.normal(size=80)
    theirs = Lasso(alpha=0.3, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(inputs, outputs).coef_
    x, y = torch.from_numpy(inputs), torch.from_numpy(outputs)
    weights = torch.zeros(20, dtype=torch.float64, requires_grad=True)
    optimizer = ProximalSGD([weights], lr=0.1, momentum=momentum, l1=0.3)
    for _ in range(1000):
        optimizer.zero_grad()
        (0.5 * (x @ weights - y) ** 2).mean().backward()
        optimizer.step()
    torch.testing.assert_close(weights.detach(), torch.from_numpy(theirs), atol=1e-6, rtol=0)
    assert ((weights == 0).numpy() == (theirs == 0)).all() and 10 < int((weights == 0).sum()) < 20


@pytest.mark.parametrize("momentum, weight_decay", [(0.0, 0.0), (0.9, 0.0), (0.9, 0.01)])
def test_without_penalty_it_is_torchs_sgd(momentum, weight_decay):
    nets = [linear_net(), linear_net()]
    settings = {"lr": 0.05, "momentum": momentum, "weight_decay": weight_decay}
    optimizers = [ProximalSGD(nets[0].parameters(), **settings), torch.optim.SGD(nets[1].parameters(), **settings)]
    images, labels = torch.randn(40, 1, 8, 8), torch.arange(40) % 10
    for net, optimizer in zip(nets, optimizers, strict=True):
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
    for ours, theirs in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def without_gradient(weight, steps, **settings):
    parameter = torch.tensor([weight], requires_grad=True)
    optimizer = ProximalSGD([parameter], **settings)
    for _ in range(steps):
        parameter.grad = torch.zeros(1)
        optimizer.step()
    return parameter.item()


def printed_rule(weight, steps, *, lr, momentum, weight_decay=0.0, l1=0.0, gradient=lambda w: 0.0):
    """The update of the report with momentum, as it is printed."""
    before = weight
    for _ in range(steps):
        penalties = weight_decay * weight + l1 * np.sign(weight)
        inertia = momentum * (weight - before)
        before, weight = weight, inertia + (1 - momentum) * (weight - lr * gradient(weight) + penalties)
    return weight


def test_the_printed_rule_loses_a_weight_that_no_gradient_touches():
    # With nothing to do, (1 - 0.9) w stands where w should; the square root of the momentum is lost at each step.
    assert abs(printed_rule(1.0, 3000, lr=0.1, momentum=0.9)) < 1e-60
    assert without_gradient(1.0, 3000, lr=0.1, momentum=0.9) == 1.0


@pytest.mark.parametrize("penalty", [{"weight_decay": 0.01}, {"l1": 0.01}])
def test_the_penalties_of_the_printed_rule_have_the_wrong_sign(penalty):
    assert printed_rule(1.0, 20, lr=0.1, momentum=0.0, **penalty) > 1.1
    assert without_gradient(1.0, 20, lr=0.1, momentum=0.0, **penalty) == pytest.approx(0.98, abs=2e-4)


def test_the_printed_threshold_lacks_the_learning_rate():
    """For the loss (w - 1)²/2 + 0.05 |w| the minimum is at 0.95, whatever the learning rate."""
    for lr in (0.1, 0.5):
        weights = torch.zeros(1, requires_grad=True)
        optimizer = ProximalSGD([weights], lr=lr, momentum=0.0, l1=0.05)
        printed = torch.zeros(1)
        for _ in range(300):
            weights.grad = weights.detach() - 1
            optimizer.step()
            printed = shrink(printed - lr * (printed - 1), 0.05)
        assert weights.item() == pytest.approx(0.95, abs=1e-5)
        assert printed.item() == pytest.approx(1 - 0.05 / lr, abs=1e-5)


def test_a_zero_stays_until_its_gradient_exceeds_the_penalty():
    weights = torch.zeros(3, requires_grad=True)
    optimizer = ProximalSGD([weights], lr=0.1, momentum=0.0, l1=0.5)
    weights.grad = torch.tensor([0.5, -0.4, 0.7])
    optimizer.step()
    assert weights.tolist() == pytest.approx([0, 0, -0.02])
    assert (weights[:2] == 0).all()


def test_weights_without_a_gradient_and_biases_can_be_spared():
    matrix, vector, untouched = (torch.full(shape, 0.1, requires_grad=True) for shape in [(2, 2), (2,), (2,)])
    optimizer = ProximalSGD([matrix, vector, untouched], lr=1.0, l1=0.2, spare_vectors=True)
    matrix.grad, vector.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    assert (matrix == 0).all() and (vector == 0.1).all() and (untouched == 0.1).all()


def test_groups_have_settings_of_their_own_and_a_closure_is_called():
    first, second = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = ProximalSGD([{"params": [first], "l1": 0.0}, {"params": [second]}], lr=0.5, l1=1.0)

    def closure():
        loss = (0 * first + 0 * second).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 0
    assert (first == 1).all() and (second == 0.5).all()
    with pytest.raises(ValueError, match="l1=-1: give a finite number"):
        optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "l1": -1})


def test_sparsity_counts_trained_weights_only():
    network = small_double_sparsity_nin()
    pointwise = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        network.get_submodule(pointwise[0]).weight[:4] = 0
        network.get_submodule(pointwise[0]).bias.zero_()
    frame = sparsity_of(network)
    assert frame.index.tolist() == pointwise and frame.columns.tolist() == ["weights", "zeros", "sparsity"]
    assert frame.loc[pointwise[0]].tolist() == [16 * 24, 4 * 24, 0.25]
    assert frame["zeros"].sum() == 96
    with pytest.raises(ValueError, match="DCTConv2d has no convolution or linear layer with trained weights"):
        sparsity_of(DCTConv2d(3, 5, 24))


def test_fit_trains_to_exact_zeros_and_records_them(digits):
    results = {}
    for l1 in (0.0, 0.003, 0.01):
        model, history = linear_net(), SparsityHistory(every=2)
        optimizer = partial(ProximalSGD, l1=l1, spare_vectors=True)
        frame = fit(
            *(model, digits),
            **{"epochs": 8, "lr": 0.2, "batch_size": 50, "weight_decay": 0.0, "optimizer": optimizer},
            schedules=[history],
            progress=False,
        )
        assert history.frame.index.tolist() == list(range(0, 49, 2))
        assert history.frame.columns.tolist() == ["1", "3"]
        assert history.frame.iloc[-1].tolist() == sparsity_of(model)["sparsity"].tolist()
        assert history.frame.iloc[0].tolist() == [0, 0]
        assert (model[1].bias != 0).all()
        results[l1] = frame["test_accuracy"].iloc[-1], history.frame.iloc[-1]["1"]
    assert results[0.0][1] == 0 < results[0.003][1] < results[0.01][1] < 1
    assert results[0.003][0] > 0.7


def test_a_proximal_run_cut_short_goes_on_to_the_same_result(digits, tmp_path):
    options = {"epochs": 3, "lr": 0.2, "weight_decay": 1e-4, "progress": False}
    optimizer = partial(ProximalSGD, l1=0.003)
    whole, resumed, path = linear_net(), linear_net(), tmp_path / "checkpoint.pt"
    expected = fit(whole, digits, optimizer=optimizer, **options)

    class PowerCut(Exception):
        pass

    def fail_in_epoch_two(module, _inputs, _output):
        if module.training and path.exists():
            raise PowerCut

    cut = linear_net()
    cut.register_forward_hook(fail_in_epoch_two)
    with pytest.raises(PowerCut):
        fit(cut, digits, optimizer=optimizer, checkpoint=path, **options)
    history = fit(resumed, digits, optimizer=optimizer, checkpoint=path, **options)
    assert history["test_accuracy"].tolist() == expected["test_accuracy"].tolist()
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="other settings .*optimizer=.*'l1': 0.003.*now .*'l1': 0.1"):
        fit(linear_net(), digits, optimizer=partial(ProximalSGD, l1=0.1), checkpoint=path, **options)
    with pytest.raises(ValueError, match="other settings .*ProximalSGD.*now .*AdamW"):
        fit(linear_net(), digits, checkpoint=path, **options)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda w: shrink(w, -0.1), "threshold=-0.1: give a finite number of at least 0"),
        (lambda w: shrink(w, float("nan")), "threshold=nan"),
        (lambda w: ProximalSGD([w], lr=-1), "lr=-1: "),
        (lambda w: ProximalSGD([w], lr=1, weight_decay=-1), "weight_decay=-1: "),
        (lambda w: ProximalSGD([w], lr=1, l1=float("inf")), "l1=inf: "),
        (lambda w: ProximalSGD([w], lr=1, momentum=1), "momentum=1: .* less than 1"),
        (lambda w: SparsityHistory(every=0), "every=0: "),
        (lambda w: SparsityHistory().step(), "before start"),
        (lambda w: sparsity_of(nn.ReLU()), "ReLU has no convolution"),
    ],
)
def test_errors_name_the_value_the_rule_and_the_remedy(build, message):
    with pytest.raises(ValueError, match=message):
        build(torch.ones(1, requires_grad=True))
