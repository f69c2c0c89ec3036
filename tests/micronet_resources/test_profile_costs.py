"""What rarer operators cost, against numbers worked out by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from micronet_resources.profile import profile_model


class Call(nn.Module):
    """A network that is one function of its input and of tensors of ones."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(shape)) for shape in shapes)

    def forward(self, x):
        return self.function(x, *self.weights)


def zeros(*shape):
    return torch.zeros(shape)


def places(*shape):
    return torch.zeros(shape, dtype=torch.long)


def as_complex(x):
    return torch.view_as_complex(x)


def real(x):
    return torch.view_as_real(x)


# Function, shape of one example, shapes of weights, and (multiplications, additions) of each kind.
COSTS = {
    # Every element that is added to another, or compared, costs one addition, wherever it lands.
    "scatter_add": (lambda x: zeros(1, 2).scatter_add(1, places(1, 6), x), (6,), {"elementwise": (0, 6)}),
    "index_add": (lambda x: zeros(1, 2).index_add(1, places(6), x), (6,), {"elementwise": (0, 6)}),
    "scatter_reduce, sum": (
        lambda x: zeros(1, 2).scatter_reduce(1, places(1, 6), x, "sum"), (6,), {"elementwise": (0, 6)},
    ),
    "scatter_reduce, product": (
        lambda x: zeros(1, 2).scatter_reduce(1, places(1, 6), x, "prod"), (6,), {"elementwise": (6, 0)},
    ),
    "scatter_reduce, mean": (
        lambda x: zeros(1, 2).scatter_reduce(1, places(1, 6), x, "mean"), (6,), {"elementwise": (2, 6)},
    ),
    "index_reduce, maximum": (
        lambda x: zeros(1, 2).index_reduce(1, places(6), x, "amax"), (6,), {"elementwise": (0, 6)},
    ),
    "scatter": (lambda x: zeros(1, 2).scatter(1, places(1, 6), x), (6,), {}),
    "scatter and add": (
        lambda x: zeros(1, 2).scatter(1, places(1, 6), x, reduce="add"), (6,), {"elementwise": (0, 6)},
    ),
    "scatter and multiply": (
        lambda x: zeros(1, 2).scatter(1, places(1, 6), x, reduce="multiply"), (6,), {"elementwise": (6, 0)},
    ),
    "index_put": (lambda x: zeros(1, 2).index_put((places(1), places(6)), x), (6,), {}),
    "index_put and add": (
        lambda x: zeros(1, 2).index_put((places(1), places(6)), x, accumulate=True), (6,), {"elementwise": (0, 6)},
    ),
    "index_put of one value in many places": (
        lambda x: zeros(4, 5).index_put((places(6),), x, accumulate=True), (1,), {"elementwise": (0, 6 * 5)},
    ),
    "put and add": (lambda x: zeros(1, 2).put(places(6), x[0], accumulate=True), (6,), {"elementwise": (0, 6)}),
    # 4 x 4 patches of 3 x 3 with 2 channels.
    "fold": (lambda x: F.fold(x, (6, 6), 3), (18, 16), {"elementwise": (0, 18 * 16)}),
    # The best of n takes n - 1 comparisons, each further place log2(n), rounded up.
    "sort": (lambda x: x.sort(1)[0], (8,), {"pooling": (0, 7 + 7 * 3)}),
    "sort, of two rows": (lambda x: x.sort(2)[0], (2, 8), {"pooling": (0, 2 * (7 + 7 * 3))}),
    "argsort": (lambda x: x.argsort(1), (10,), {"pooling": (0, 9 + 9 * 4)}),
    "the largest": (lambda x: x.topk(1)[0], (8,), {"pooling": (0, 7)}),
    "the three largest": (lambda x: x.topk(3)[0], (8,), {"pooling": (0, 7 + 2 * 3)}),
    "topk of all": (lambda x: x.topk(8)[0], (8,), {"pooling": (0, 7 + 7 * 3)}),
    "kthvalue": (lambda x: x.kthvalue(3, 1)[0], (8,), {"pooling": (0, 7 + 2 * 3)}),
    "median": (lambda x: x.median(1)[0], (8,), {"pooling": (0, 7 + 4 * 3)}),
    "median of all": (lambda x: x.median(), (2, 4), {"pooling": (0, 7 + 4 * 3)}),
    # A difference, a product and a sum for each coordinate, and a root for each pair.
    "distances": (
        lambda x: torch.cdist(x, torch.rand(1, 7, 5)), (6, 5),
        {"elementwise": (0, 210), "matmul": (210, 210 - 42), "activation": (42, 0)},
    ),
    "distances to several sets": (
        lambda x: torch.cdist(x, torch.rand(3, 7, 5)), (6, 5),
        {"elementwise": (0, 630), "matmul": (630, 630 - 126), "activation": (126, 0)},
    ),
    # (a + bi)(c + di) has four products and two sums.
    "complex product": (lambda x: real(as_complex(x) * as_complex(x)), (4, 2), {"product": (16, 8)}),
    "complex times real": (lambda x: real(as_complex(x) * x[..., 0]), (4, 2), {"product": (8, 0)}),
    "complex times a number": (lambda x: real(as_complex(x) * 2), (4, 2), {"elementwise": (8, 0)}),
    "complex times i": (lambda x: real(as_complex(x) * 2j), (4, 2), {"elementwise": (16, 8)}),
    "complex sum": (lambda x: real(as_complex(x) + as_complex(x).flip(1)), (4, 2), {"residual": (0, 8)}),
    "complex plus one": (lambda x: real(as_complex(x) + 1), (4, 2), {"elementwise": (0, 4)}),
    "a part of complex numbers": (lambda x: real(as_complex(x)[:, 1:].reshape(1, 3)), (4, 2), {}),
    # A factor that can be multiplied into a weight once and for all costs nothing.
    "sum with a factor": (
        lambda x: torch.add(x, x.flip(1), alpha=3), (5,), {"elementwise": (5, 0), "residual": (0, 5)},
    ),
    "difference in place with a factor": (
        lambda x: x.clone().sub_(x, alpha=3), (5,), {"elementwise": (5, 0), "residual": (0, 5)},
    ),
    "constant with a factor": (lambda x: torch.add(x, torch.ones(5), alpha=3), (5,), {"elementwise": (0, 5)}),
    "addcmul with a factor": (
        lambda x: torch.addcmul(x, x, x, value=3), (5,), {"product": (5, 0), "elementwise": (5, 0), "residual": (0, 5)},
    ),
    "addmm with factors": (
        lambda x: torch.addmm(x[0], x[0], x[0], beta=2, alpha=3), (5, 5),
        {"matmul": (125, 100), "elementwise": (50, 0), "residual": (0, 25)},
    ),
    "addmm without what is added": (
        lambda x: torch.addmm(x[0], x[0], x[0], beta=0), (5, 5), {"matmul": (125, 100)},
    ),
    # start + weight * (end - start)
    "lerp of two maps by a map": (
        lambda x: torch.lerp(x, x.flip(1), x), (5,), {"residual": (0, 10), "product": (5, 0)},
    ),
    "lerp of two maps by a number": (
        lambda x: torch.lerp(x, x.flip(1), 0.5), (5,), {"residual": (0, 10), "elementwise": (5, 0)},
    ),
    "lerp of two constants by a map": (
        lambda x: torch.lerp(torch.ones(5), torch.arange(5.0), x), (5,), {"product": (5, 0), "elementwise": (0, 5)},
    ),
    "glu": (lambda x: F.glu(x, 1), (10,), {"activation": (10, 5), "product": (5, 0)}),
    "mean of no dimensions is that of all": (lambda x: x.mean(dim=()), (4, 5), {"pooling": (1, 19)}),
    "mean of all": (lambda x: x.mean(), (4, 5), {"pooling": (1, 19)}),
    # Squares of the differences from the mean, two sums, and two divisions; one root more for the deviation.
    "variance": (lambda x: x.var(1), (10,), {"pooling": (12, 19)}),
    "deviation": (lambda x: x.std(1), (10,), {"pooling": (13, 19)}),
    "layer norm without scale and shift": (lambda x: F.layer_norm(x, (8,)), (8,), {"normalization": (24, 32)}),
    "bags of words": (
        lambda x: F.embedding_bag(places(2, 3), x[0]), (9, 4), {"pooling": (8, 2 * 3 * 4 - 8)},
    ),
    "bags of words, summed": (
        lambda x: F.embedding_bag(places(2, 3), x[0], mode="sum"), (9, 4), {"pooling": (0, 2 * 3 * 4 - 8)},
    ),
}  # fmt: skip


def kinds(profile):
    sums = {}
    for operation in profile.operations:
        multiplications, additions = sums.get(operation.kind, (0, 0))
        sums[operation.kind] = (multiplications + operation.multiplications, additions + operation.additions)
    return sums


@pytest.mark.parametrize("name", COSTS)
def test_what_an_operator_costs(name):
    function, shape, expected = COSTS[name]
    profile = profile_model(Call(function), shape)
    assert kinds(profile) == expected
    assert (profile.uncounted, profile.notes) == ((), ())


def test_finding_different_values_costs_what_sorting_costs():
    profile = profile_model(Call(lambda x: torch.unique(x)), (8,))
    assert kinds(profile) == {"pooling": (0, 7 + 7 * 3)}
    assert "for real" in profile.notes[0]


def test_a_bilinear_layer_multiplies_twice():
    # Each of 2 outputs has a matrix of 3 x 5: 15 products with the left vector, then 5 with the right one.
    profile = profile_model(nn.Bilinear(3, 5, 2), [(3,), (5,)])
    assert kinds(profile) == {"linear": (2 * (15 + 5), 2 * (15 - 5 + 5 - 1)), "bias": (0, 2)}


def test_an_lstm_pays_for_its_gates():
    # 7 steps, 4 gates of 5 cells: three sigmoids, one tanh of the gates and one of the cell, three products, and sums
    # of both products of each gate and of the cell.
    profile = profile_model(nn.LSTM(3, 5), (7, 3))
    assert kinds(profile) == {
        "recurrent": (7 * 20 * (3 + 5), 7 * 20 * (3 + 5 - 2)),
        "bias": (0, 7 * 2 * 20),
        "activation": (7 * 5 * 5 * 2, 7 * 5 * 5),
        "product": (7 * 3 * 5, 0),
        "residual": (0, 7 * (20 + 5)),
    }


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (lambda x: real(as_complex(x) / as_complex(x)), "aten.div on complex numbers"),
        (lambda x: as_complex(x).abs(), "aten.abs on complex numbers"),
        (lambda x: real(torch.exp(as_complex(x))), "aten.exp on complex numbers"),
    ],
)
def test_complex_arithmetic_that_nobody_has_written_down_is_named(function, operator):
    assert profile_model(Call(function), (4, 2)).uncounted == (operator,)


def test_matrices_are_no_batches_of_matrices():
    with pytest.raises(ValueError, match="must be a 3D tensor"):
        profile_model(Call(lambda x: torch.bmm(x, torch.ones(4, 4))), (4,))
    with pytest.raises(ValueError, match="must be a matrix"):
        profile_model(Call(lambda x: torch.mm(x, torch.ones(1, 4, 4))), (4,))


def test_rules_of_shapes_take_the_options_that_torch_takes():
    plain = profile_model(Call(lambda x, w: F.conv2d(x, w, None, 1, 1), (4, 3, 3, 3)), (3, 8, 8))
    lists = profile_model(Call(lambda x, w: F.conv2d(x, w, None, [1, 1], [1, 1]), (4, 3, 3, 3)), (3, 8, 8))
    assert kinds(plain) == kinds(lists) == {"convolution": (6912, 6656)}
