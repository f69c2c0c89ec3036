"""Low rank plus sparse: its closed-form steps, planted parts that are found again, and the layers that come of it."""

import copy

import pytest
import torch
from torch import nn

from factorkit.decompositions.admm import shrink_columns, shrink_singular_values
from factorkit.decompositions.low_rank_sparse import low_rank_sparse
from factorkit.decompositions.refitting import refit

ROWS, COLUMNS = 12, 20


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0, 100.0])
@pytest.mark.parametrize(
    "prox, norm",
    [
        (shrink_columns, lambda matrix: matrix.norm(dim=0).sum()),
        (shrink_singular_values, lambda matrix: torch.linalg.svdvals(matrix).sum()),
    ],
)
def test_the_steps_are_minima(prox, norm, threshold):
    matrix = randn(5, 7)

    def cost(point):
        return float(threshold * norm(point) + 0.5 * (point - matrix).square().sum())

    found = prox(matrix, threshold)
    least = cost(found) - 1e-9
    for seed in range(200):
        for length in (1e-4, 1e-2, 1.0):
            assert cost(found + length * randn(5, 7, seed=seed)) >= least
    assert cost(torch.zeros(5, 7)) >= least and cost(matrix) >= least


def test_the_steps_make_exact_zeros():
    columns = shrink_columns(randn(5, 7), 2.0)
    lengths = randn(5, 7).norm(dim=0)
    assert torch.equal((columns == 0).all(0), lengths <= 2.0) and 0 < int((lengths <= 2.0).sum()) < 7
    values = torch.linalg.svdvals(randn(5, 7))
    rank = int(torch.linalg.matrix_rank(shrink_singular_values(randn(5, 7), 2.0)))
    assert rank == int((values > 2.0).sum()) and 0 < rank < 5
    for prox in (shrink_columns, shrink_singular_values):
        with pytest.raises(ValueError, match="threshold=-1"):
            prox(randn(5, 7), -1)


def planted(*, seed=0, bias=True):
    """A linear layer of rank 2 and three more columns."""
    layer = nn.Linear(COLUMNS, ROWS, bias=bias).double()
    columns = [2, 7, 15]
    with torch.no_grad():
        layer.weight.copy_(randn(ROWS, 2, seed=seed) @ randn(2, COLUMNS, seed=seed + 1) / 2)
        layer.weight[:, columns] += 2 * randn(ROWS, 3, seed=seed + 2)
    return layer, columns


@pytest.mark.parametrize("relu", [False, True])
def test_planted_parts_are_found(relu):
    layer, columns = planted()
    found = low_rank_sparse(layer, randn(400, COLUMNS, seed=5), sparse=0.1, low_rank=0.1, rank=2, columns=3, relu=relu)
    assert found.rank == 2 and found.columns.tolist() == columns
    assert found.response_error < (0.01 if relu else 1e-6)
    sparse, low_rank = found.parts()
    assert torch.linalg.matrix_rank(low_rank) == 2
    assert (sparse != 0).any(0).nonzero().flatten().tolist() == columns
    torch.testing.assert_close(sparse + low_rank, found.reconstruct())
    assert found.params == 2 * COLUMNS + ROWS * (2 + 3) and found.macs() == found.params


def test_larger_penalties_leave_fewer_columns_and_a_lower_rank():
    layer, inputs = nn.Linear(COLUMNS, ROWS).double(), randn(400, COLUMNS)
    with torch.no_grad():
        layer.weight.copy_(randn(ROWS, COLUMNS, seed=3))
    few = low_rank_sparse(layer, inputs, sparse=1.0, low_rank=0.1)
    flat = low_rank_sparse(layer, inputs, sparse=0.1, low_rank=1.0)
    assert len(few.columns) < len(flat.columns) and few.rank > flat.rank


def test_the_relu_is_worth_taking_into_account():
    torch.manual_seed(0)
    layer, inputs = nn.Linear(COLUMNS, ROWS).double(), randn(500, COLUMNS, seed=4)
    with torch.no_grad():
        layer.bias -= 0.5
        wanted = layer(inputs).relu()
    errors = {}
    for relu in (False, True):
        made = low_rank_sparse(layer, inputs, rank=4, columns=4, relu=relu).to_layers(layer)
        with torch.no_grad():
            errors[relu] = float((made(inputs).relu() - wanted).norm() / wanted.norm())
    assert errors[True] < 0.95 * errors[False]


def test_the_refit_of_one_column_and_rank_one_beats_random_ones():
    inputs, targets = randn(60, 5), randn(60, 4, seed=1)
    best = refit(inputs, targets, targets, torch.tensor([2]), 1, relu=False)
    sparse = torch.zeros(4, 5, dtype=torch.float64).index_copy(1, torch.tensor([2]), best.sparse)
    predicted = inputs @ (best.outer @ best.inner + sparse).T + best.bias
    assert float((predicted - targets).norm() / targets.norm()) == pytest.approx(best.error)
    for seed in range(100):
        noise = [1e-2 * randn(*part.shape, seed=seed) for part in (best.outer, best.inner, sparse, best.bias)]
        noise[2][:, [0, 1, 3, 4]] = 0
        weight = (best.outer + noise[0]) @ (best.inner + noise[1]) + sparse + noise[2]
        other = inputs @ weight.T + best.bias + noise[3]
        assert float((other - targets).norm() / targets.norm()) > best.error


CONVOLUTIONS = [
    nn.Conv1d(5, 6, 3, padding=2, stride=2),
    nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
    nn.Conv2d(4, 6, 3, padding="same", padding_mode="reflect"),
    nn.Conv2d(4, 6, 1, stride=2, padding=1),
    nn.Conv3d(2, 6, (1, 2, 3), padding=(0, 1, 1)),
    nn.Linear(12, 6),
]


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=repr)
@pytest.mark.parametrize("columns", [None, 3])
def test_layers_answer_as_the_reconstruction_does(layer, columns):
    layer = layer.double().eval()
    axes = layer.weight.dim() - 2
    images = randn(40, 12) if not axes else randn(4, layer.in_channels, *(9 - axes + k for k in range(axes)))
    found = low_rank_sparse(layer, images, sparse=0.02, low_rank=0.1, columns=columns, iterations=20)
    made = found.to_layers(layer)
    assert 0 < len(found.columns) <= (columns or layer.weight[0].numel()) and not made.training
    dense = copy.deepcopy(layer)
    dense.weight, dense.bias = nn.Parameter(found.reconstruct()), nn.Parameter(found.bias)
    outputs = made(images)
    torch.testing.assert_close(outputs, dense(images))
    assert sum(p.numel() for p in made.parameters()) == found.params + len(layer.weight)
    assert found.macs(tuple(outputs.shape[2:]) or 1) == found.params * (outputs[0, 0].numel() if axes else 1)


@pytest.mark.parametrize("samples", [1, 5, 19])
def test_fewer_samples_than_columns_are_fitted_exactly(samples):
    layer, _ = planted()
    found = low_rank_sparse(layer, randn(samples, COLUMNS), sparse=0.01, low_rank=0.01, relu=False)
    assert found.response_error < 1e-4 and torch.isfinite(found.reconstruct()).all()


def test_float32_and_the_generator():
    layer = nn.Conv2d(3, 5, 3, padding=1)
    images = randn(4, 3, 10, 10).float()
    twice = [
        low_rank_sparse(layer, images, samples=100, generator=torch.Generator().manual_seed(seed), iterations=10)
        for seed in (1, 1, 2)
    ]
    assert twice[0].reconstruct().dtype == twice[0].bias.dtype == torch.float32
    assert torch.equal(twice[0].reconstruct(), twice[1].reconstruct())
    assert not torch.equal(twice[0].reconstruct(), twice[2].reconstruct())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sparse": 0}, "sparse=0"),
        ({"low_rank": float("inf")}, "low_rank=inf"),
        ({"rank": 13}, "rank=13: a 12 x 20 matrix has rank at most 12"),
        ({"columns": 0}, "columns=0"),
        ({"iterations": 0}, "iterations=0"),
    ],
)
def test_wrong_options_are_refused(options, message):
    layer, _ = planted()
    with pytest.raises(ValueError, match=message):
        low_rank_sparse(layer, randn(50, COLUMNS), **options)


def test_layers_that_it_cannot_fit_are_refused():
    with pytest.raises(ValueError, match="groups=2"):
        low_rank_sparse(nn.Conv2d(4, 4, 3, groups=2), torch.randn(2, 4, 5, 5))
    silent = nn.Linear(4, 3, bias=False)
    nn.init.zeros_(silent.weight)
    with pytest.raises(ValueError, match="zero"):
        low_rank_sparse(silent, torch.randn(20, 4))
