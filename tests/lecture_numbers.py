"""The numbers of a lecture on low-rank decomposition, each beside what arithmetic gives.

The lecture decomposes a 7 x 5 matrix of ratings, finds eigenpairs of a 2 x 2 matrix by power iteration, and quotes
papers on low-rank convolutions. Matrices are compared as a whole: the record of a printed matrix is the largest error
of its entries, 0 to the last digit printed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import torch

from factorkit.costs import ConvCost, conv2d_cost, spatially_separable_cost

from .slide_number import SlideNumber

__all__ = ["LECTURE_NUMBERS"]


def _matrix(*rows: str) -> torch.Tensor:
    return torch.tensor([[float(entry) for entry in row.split()] for row in rows], dtype=torch.float64)


# Users (rows) and movies (columns), and their decomposition, as the slides print them.
RATINGS = _matrix("1 1 1 0 0", "3 3 3 0 0", "4 4 4 0 0", "5 5 5 0 0", "0 2 0 4 4", "0 0 0 5 5", "0 1 0 2 2")
U = _matrix(
    *(".13 .02 -.01", ".41 .07 -.03", ".55 .09 -.04", ".68 .11 -.05"),
    *(".15 -.59 .65", ".07 -.73 -.67", ".07 -.29 .32"),
)
SIGMA = _matrix("12.4 9.5 1.3")[0]
V_T = _matrix(".56 .59 .56 .09 .09", ".12 -.02 .12 -.69 -.69", ".40 -.80 .40 .09 .09")
U_SIGMA = _matrix(
    *("1.61 .19 -.01", "5.08 .66 -.03", "6.82 .85 -.05", "8.43 1.04 -.06"),
    *("1.86 -5.60 .84", ".86 -6.93 -.87", ".86 -2.75 .41"),
)
B = _matrix(
    *(".92 .95 .92 .01 .01", "2.91 3.01 2.91 -.01 -.01", "3.90 4.04 3.90 .01 .01", "4.82 5.00 4.82 .03 .03"),
    *(".70 .53 .70 4.11 4.11", "-.69 1.34 -.69 4.78 4.78", ".32 .23 .32 2.01 2.01"),
)

# The symmetric matrix of the power iteration, its printed eigenpair and its exact one.
MATRIX = _matrix("1 2", "2 3")
START = torch.ones(2, dtype=torch.float64)
PRINTED_X, PRINTED_VALUE = _matrix(".53 .85")[0], 4.25
VALUE = 2 + math.sqrt(5)


def exact(rank: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first components of the decomposition of the ratings, with the signs of the printed ``U``."""
    left, values, right = torch.linalg.svd(RATINGS, full_matrices=False)
    signs = (left[:, :rank] * U[:, :rank]).sum(0).sign()
    return left[:, :rank] * signs, values[:rank], right[:rank] * signs[:, None]


def product(left: torch.Tensor, values: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return (left * values) @ right


def printed_factors(rank: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The first components as they are printed."""
    return U[:, :rank], SIGMA[:rank], V_T[:rank]


def printed_product(rank: int = 3) -> torch.Tensor:
    """What the first printed components multiply to."""
    return product(*printed_factors(rank))


def largest(difference: torch.Tensor) -> float:
    return float(difference.abs().max())


def sign_choices() -> list[tuple[float, ...]]:
    """The signs that the three pairs of vectors can have, because the product is still the ratings."""
    left, values, right = exact()
    return [
        signs
        for signs in itertools.product((1.0, -1.0), repeat=3)
        if torch.allclose(product(left * (turn := left.new_tensor(signs)), values, turn[:, None] * right), RATINGS)
    ]


def power_step(vector: torch.Tensor) -> torch.Tensor:
    following = MATRIX @ vector
    return following / following.norm()


def deflated(value: float, vector: torch.Tensor) -> torch.Tensor:
    return MATRIX - value * torch.outer(vector, vector)


def exact_deflated() -> torch.Tensor:
    """What is left of the matrix without its first eigenpair: the second one."""
    values, vectors = torch.linalg.eigh(MATRIX)
    return values[0] * torch.outer(vectors[:, 0], vectors[:, 0])


def sum_of_distances(angle: float) -> float:
    """Of three times the point (1, 0) and once (0, 2) from the line through 0 with this angle."""
    return 3 * abs(math.sin(angle)) + 2 * abs(math.cos(angle))


def separable_break_even(kernel_size: int, inputs: int, outputs: int) -> Fraction:
    """Maps in the middle with which a separable convolution costs what the dense one costs."""
    dense = conv2d_cost(32, kernel_size, inputs, outputs, padding=kernel_size // 2)
    one = spatially_separable_cost(32, kernel_size, inputs, outputs, mid_channels=1, padding=kernel_size // 2)
    return Fraction(dense.macs, one.macs)


def tucker2_cost(size: int, stride: int, channels: int, input_rank: int, output_rank: int) -> ConvCost:
    """Of the three convolutions of Tucker-2 for a 3 x 3 kernel, from maps of ``size`` pixels."""
    after = (size - 1) // stride + 1
    core = conv2d_cost(size, 3, input_rank, output_rank, stride=stride, padding=1)
    return conv2d_cost(size, 1, channels, input_rank) + core + conv2d_cost(after, 1, output_rank, channels)


def tucker2_formula(size: int, stride: int, channels: int, input_rank: int, output_rank: int) -> Fraction:
    """The speed-up ratio E of the slide."""
    before, after = size**2, ((size - 1) // stride + 1) ** 2
    cost = channels * input_rank * before + (9 * input_rank * output_rank + channels * output_rank) * after
    return Fraction(9 * channels**2 * after, cost)


# Layers 2 to 7 of a network with ten layers: kernel size, input maps, output maps, pixels of the output map.
LAYERS = [(5, 96, 256, 35), (3, 256, 512, 18), *4 * [(3, 512, 512, 18)]]
RANKS = {  # the five speed-ups, without and with rank selection: ranks of the layers 2 to 7, increase of the error
    ("2", "no"): ((110, 199, 219, 219, 219, 219), 1.18),
    ("2", "yes"): ((83, 182, 211, 239, 237, 253), 0.93),
    ("2.4", "no"): ((96, 174, 191, 191, 191, 191), 1.77),
    ("2.4", "yes"): ((74, 162, 187, 207, 205, 219), 1.35),
    ("3", "no"): ((77, 139, 153, 153, 153, 153), 2.56),
    ("3", "yes"): ((62, 138, 149, 166, 162, 167), 2.34),
    ("4", "no"): ((57, 104, 115, 115, 115, 115), 4.32),
    ("4", "yes"): ((50, 112, 114, 122, 117, 119), 4.20),
    ("5", "no"): ((46, 83, 92, 92, 92, 92), 6.53),
    ("5", "yes"): ((41, 94, 93, 98, 92, 90), 6.47),
}


def response_speed_up(ranks: tuple[int, ...]) -> Fraction:
    """Multiply-accumulates of the layers over those of two layers each: k x k to ``rank`` maps, then 1 x 1."""
    dense = sum(size**2 * inputs * outputs * pixels**2 for size, inputs, outputs, pixels in LAYERS)
    pairs = zip(LAYERS, ranks, strict=True)
    return Fraction(dense, sum(r * (size**2 * i + o) * pixels**2 for (size, i, o, pixels), r in pairs))


def _speed_up(ranks: tuple[int, ...]) -> Callable[[], Fraction]:
    return lambda: response_speed_up(ranks)


USERS = "SVD, users to movies"
RANK_2 = "SVD, rank 2"
ENERGY = "SVD, energy"
PROPERTIES = "SVD, properties"
POWER = "Power iteration"
TAI = "Low-rank regularization"
KIM = "Tucker-2, complexity"
CP = "CP decomposition"
ZHANG = "Low-rank responses"
TRAINS = "Tensor trains"
UNIFIED = "Low rank plus sparse"

CUT_OFF = "further digits are cut off"
FROM_PRINTED = "of the numbers as printed"
SIZES = (
    "assumed: 5 x 5 kernels, 96 to 256 maps of 35 x 35 pixels; 3 x 3 kernels to 512 maps of 18 x 18 pixels, five times"
)

LECTURE_NUMBERS: list[SlideNumber] = [
    SlideNumber(USERS, "σ₁", "12.4", 12.4, 0.1, lambda: float(exact()[1][0]), "truncated", "12.48"),
    SlideNumber(USERS, "σ₂", "9.5", 9.5, 0.1, lambda: float(exact()[1][1]), "right", "9.51"),
    SlideNumber(USERS, "σ₃", "1.3", 1.3, 0.1, lambda: float(exact()[1][2]), "right", "1.35"),
    SlideNumber(
        USERS, "U, largest error", "two digits", 0, 0.01, lambda: largest(U - exact()[0]), "truncated", CUT_OFF
    ),
    SlideNumber(
        USERS,
        "V, columns 1 and 2, largest error",
        "two digits",
        0,
        0.01,
        lambda: largest(V_T[:2] - exact()[2][:2]),
        "truncated",
        CUT_OFF,
    ),
    SlideNumber(
        USERS,
        "v₃, entry of the second movie, beside the printed u₃",
        "−0.80",
        -0.80,
        0.01,
        lambda: float(exact()[2][2, 1]),
        "erratum",
        "All five signs of v₃ are reversed: with the printed u₃ they must be −0.41, 0.80, −0.41, −0.09, −0.09. Only u₃ "
        "and v₃ together may change their signs.",
    ),
    SlideNumber(
        USERS,
        "rating of the first movie by the fifth user, as the product of the printed factors",
        "0",
        0,
        0.1,
        lambda: float(printed_product()[4, 0]),
        "erratum",
        "The printed factors give 0.71 here and miss another rating by 1.47; with the signs of v₃ reversed they come "
        "within 0.2 everywhere.",
    ),
    SlideNumber(
        USERS,
        "U Σ, largest error against the printed factors",
        "two digits",
        0,
        0.01,
        lambda: largest(U_SIGMA - U * SIGMA),
        "truncated",
        CUT_OFF,
    ),
    SlideNumber(
        USERS,
        "U Σ, largest error",
        "two digits",
        0,
        0.01,
        lambda: largest(U_SIGMA - exact()[0] * exact()[1]),
        "erratum",
        "Off by up to 0.16, because factors with digits cut off are multiplied. The first column is 1.72, 5.15, 6.87, "
        "8.59, 1.91, 0.90, 0.95.",
    ),
    SlideNumber(
        RANK_2,
        "B, largest error",
        "two digits",
        0,
        0.01,
        lambda: largest(B - product(*exact(2))),
        "erratum",
        "Off by up to 0.76. The ratings of the fifth user, for example, become 0.36, 1.29, 0.36, 4.08, 4.08.",
        "eckart1936approximation",
    ),
    SlideNumber(
        RANK_2,
        "rank of B",
        "2",
        2,
        1,
        lambda: int((torch.linalg.svdvals(B) > 0.1).sum()),
        "erratum",
        "The printed matrix has singular values 12.22, 9.36 and 1.26, rounding has no part in the third. It is the "
        "product of all three printed components, one of them with the wrong sign.",
        "eckart1936approximation",
    ),
    SlideNumber(
        RANK_2,
        "B, largest error against the product of all three printed components",
        "two digits",
        0,
        0.01,
        lambda: largest(B - printed_product()),
        "truncated",
        "so this is what the slide computes",
    ),
    SlideNumber(
        RANK_2,
        "least error ‖A − B‖ of rank 2",
        "that of the printed B",
        float((RATINGS - B).norm()),
        0.01,
        lambda: float(exact()[1][2]),
        "erratum",
        "The best matrix of rank 2 misses by σ₃ = 1.35; the printed one by 2.63, nearly twice as much, for it lies on "
        "the other side.",
        "eckart1936approximation",
    ),
    SlideNumber(
        ENERGY, f"total, {FROM_PRINTED}", "245.7", 245.7, 0.1, lambda: float(SIGMA.square().sum()), "right", "245.70"
    ),
    SlideNumber(
        ENERGY,
        "total",
        "245.7",
        245.7,
        0.1,
        lambda: float(RATINGS.square().sum()),
        "erratum",
        "The energy of a matrix is the sum of its squared entries, 248 exactly. The slide squares singular values with "
        "digits cut off.",
    ),
    SlideNumber(
        ENERGY, f"of σ₃, {FROM_PRINTED}", "1.7", 1.7, 0.1, lambda: Fraction("1.3") ** 2, "right", "1.69; of A 1.81"
    ),
    SlideNumber(
        ENERGY,
        f"kept by rank 2, {FROM_PRINTED}",
        "244",
        244,
        1,
        lambda: float(SIGMA[:2].square().sum()),
        "right",
        "244.01",
    ),
    SlideNumber(
        ENERGY,
        "kept by rank 2",
        "244",
        244,
        1,
        lambda: float(exact(2)[1].square().sum()),
        "erratum",
        "246.2 of 248. The share, 99.3 %, is over 99 % as the slide says.",
    ),
    SlideNumber(
        ENERGY,
        "share kept by rank 2",
        "over 99 %",
        0.99,
        0.01,
        lambda: float(exact(2)[1].square().sum() / RATINGS.square().sum()),
        "right",
        "99.27 %, far above the 90 % of the rule; rank 1 keeps 62.8 %",
    ),
    SlideNumber(
        PROPERTIES,
        "decompositions of the ratings with three components",
        "unique",
        1,
        1,
        lambda: len(sign_choices()),
        "erratum",
        "Only Σ is unique. Each pair of vectors may change its sign, which makes eight decompositions here, and the "
        "vectors of equal singular values may be turned.",
    ),
    SlideNumber(
        PROPERTIES,
        "least sum of errors of the points (1, 0), three times, and (0, 2) on one axis",
        "that of v₁",
        sum_of_distances(math.pi / 2),
        1,
        lambda: min(sum_of_distances(math.pi * step / 1000) for step in range(1001)),
        "erratum",
        "SVD makes the sum of squared errors least: 3 along the second axis. The sum of errors is 3 there and 2 along "
        "the first.",
        "eckart1936approximation",
    ),
    *(
        SlideNumber(POWER, quantity, printed, float(printed), 0.01, derive, "right", note)
        for quantity, printed, derive, note in (
            ("x₁, first entry", "0.51", lambda: float(power_step(START)[0]), "3 / √34"),
            ("x₁, second entry", "0.86", lambda: float(power_step(START)[1]), "5 / √34"),
            ("M x₁, first entry", "2.23", lambda: float((MATRIX @ power_step(START))[0]), "13 / √34"),
            ("M x₁, second entry", "3.60", lambda: float((MATRIX @ power_step(START))[1]), "21 / √34"),
            ("‖M x₁‖², from the printed entries", "17.93", lambda: 2.23**2 + 3.60**2, "17.933"),
            ("x₂, first entry", "0.53", lambda: float(power_step(power_step(START))[0]), "13 / √610"),
            ("x₂, second entry", "0.85", lambda: float(power_step(power_step(START))[1]), "21 / √610"),
            ("λ, from the printed x", "4.25", lambda: float(PRINTED_X @ MATRIX @ PRINTED_X), "xᵀMx, with xᵀx = 1.0034"),
        )
    ),
    SlideNumber(
        POWER,
        "‖M x₁‖²",
        "17.93",
        17.93,
        0.01,
        lambda: Fraction(13**2 + 21**2, 34),
        "erratum",
        "610 / 34 = 17.94. The slide squares entries that are already rounded.",
    ),
    SlideNumber(
        POWER,
        "λ",
        "4.25",
        PRINTED_VALUE,
        0.01,
        lambda: VALUE,
        "erratum",
        "2 + √5 = 4.24. The printed x is 0.17 % too long, so λ = xᵀMx is 0.33 % too large; xᵀMx / xᵀx = 4.236 is right "
        "even for this x.",
    ),
    *(
        SlideNumber(
            POWER,
            f"M*, {where}, {FROM_PRINTED}",
            printed.replace("-", "−"),
            float(printed),
            0.01,
            lambda row=row, column=column: float(deflated(PRINTED_VALUE, PRINTED_X)[row, column]),
            "right",
            note,
        )
        for where, printed, row, column, note in (
            ("upper left", "-0.19", 0, 0, "−0.194"),
            ("off the diagonal", "0.09", 0, 1, "0.085"),
        )
    ),
    SlideNumber(
        POWER,
        f"M*, lower right, {FROM_PRINTED}",
        "0.07",
        0.07,
        0.01,
        lambda: float(deflated(PRINTED_VALUE, PRINTED_X)[1, 1]),
        "erratum",
        "−0.071: the sign is lost. A matrix that keeps one eigenpair, of the negative 2 − √5, has nothing positive on "
        "its diagonal.",
    ),
    SlideNumber(
        POWER,
        "M*, largest error",
        "two digits",
        0,
        0.01,
        lambda: largest(exact_deflated() - _matrix("-.19 .09", ".09 .07")),
        "erratum",
        "With x normalized and λ = 2 + √5 it is −0.17, 0.11, 0.11, −0.07, of rank 1; the printed one has rank 2.",
    ),
    *(
        SlideNumber(
            TAI,
            f"K at which nothing is saved, {size} x {size} kernels, {inputs} to {outputs} maps",
            f"{size} · {outputs} · {inputs} / ({outputs} + {inputs})",
            size * outputs * inputs / (outputs + inputs),
            1e-9,
            lambda size=size, inputs=inputs, outputs=outputs: separable_break_even(size, inputs, outputs),
            "right",
            "for stride 1, where both steps run on maps of the same size",
            "tai2016convolutional",
        )
        for size, inputs, outputs in ((3, 64, 64), (5, 96, 192), (3, 512, 512))
    ),
    *(
        SlideNumber(
            KIM,
            f"speed-up E of 3 x 3 kernels, 512 to 512 maps, ranks 100 and 120, stride {stride}",
            "D² S T H' W' / (S R₃ H W + D² R₃ R₄ H' W' + T R₄ H' W')",
            float(tucker2_formula(28, stride, 512, 100, 120)),
            1e-9,
            lambda stride=stride: Fraction(
                conv2d_cost(28, 3, 512, 512, stride=stride, padding=1).macs,
                tucker2_cost(28, stride, 512, 100, 120).macs,
            ),
            "right",
            note,
            "kim2016compression",
        )
        for stride, note in ((1, "10.69, equal to the compression M"), (2, "6.82, less than M = 10.69"))
    ),
    SlideNumber(
        CP,
        "numbers stored for 3 x 3 kernels, 64 to 64 maps, with 20 components",
        "(n₁ + … + n_d) R",
        (3 + 3 + 64 + 64) * 20,
        1,
        lambda: (
            (
                conv2d_cost(1, 1, 64, 20)
                + conv2d_cost(3, (3, 1), 20, 20, groups=20)
                + conv2d_cost(3, (1, 3), 20, 20, groups=20)
                + conv2d_cost(1, 1, 20, 64)
            ).params
        ),
        "right",
        "2,680 instead of 36,864",
        "lebedev2015speeding",
    ),
    *(
        SlideNumber(
            ZHANG,
            f"speed-up of layers 2 to 7 with ranks {', '.join(map(str, ranks))}",
            f"{printed} times",
            float(printed),
            0.1 if "." in printed else 1,
            _speed_up(ranks),
            "right",
            f"{float(response_speed_up(ranks)):.2f}; {SIZES}",
            "zhang2015efficient",
        )
        for (printed, _), (ranks, _) in RANKS.items()
    ),
    *(
        SlideNumber(
            ZHANG,
            f"increase of the error at {times} times, {'with' if selected == 'yes' else 'without'} rank selection",
            f"{error} %",
            error,
            0.01,
            None,
            "measured",
            "top-5 error on ImageNet, by the paper",
            "zhang2015efficient",
        )
        for (times, selected), (_, error) in RANKS.items()
    ),
    *(
        SlideNumber(TRAINS, f"{layer}, {images}", f"{time} ms", time, 0.1, None, "measured", "by the paper", source)
        for source in ("novikov2015tensorizing",)
        for layer, times in (
            ("fully connected layer on a processor", (16.1, 97.2)),
            ("tensor train on a processor", (1.2, 94.7)),
            ("fully connected layer on a GPU", (2.7, 33)),
            ("tensor train on a GPU", (1.9, 12.9)),
        )
        for images, time in zip(("1 image", "100 images"), times, strict=True)
    ),
    *(
        SlideNumber(
            UNIFIED, f"{network}, {what}", printed, value, 0.01, None, "measured", "by the paper", "ma2019unified"
        )
        for network, *values in (
            ("VGG-16", 0.40, 4.44, 2.20),
            ("NIN", 0.41, 2.77, 1.70),
            ("AlexNet", 1.27, 5.56, 1.10),
            ("GoogLeNet", 0.00, 2.87, 1.35),
        )
        for what, value, printed in zip(
            ("loss of accuracy", "compression", "speed-up"),
            values,
            (f"{values[0]:.2f} %", f"{values[1]:.2f} times", f"{values[2]:.2f} times"),
            strict=True,
        )
    ),
]
