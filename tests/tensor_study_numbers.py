"""The numbers of the study of CP and Tucker on VGG-16, each beside what arithmetic gives."""

from __future__ import annotations

from fractions import Fraction

from factorkit.costs import ConvCost, conv2d_cost

from .slide_number import SlideNumber

__all__ = ["TENSOR_STUDY_NUMBERS", "cp_params", "tucker2_params", "vgg16_params"]

CP_STUDY = "CP-decomposition of VGG-16"
TUCKER_STUDY = "Tucker decomposition of VGG-16"
NETWORK = "Convolution layers of VGG-16"
LAYERS = {2: 64, 9: 512}  # input and output channels of the layer, all with 3 x 3 kernels
WITH_BIAS = "parameters with the bias of the layer, which both have"
WITHOUT_BIAS = "weights only; the same deck counts the bias for CP"


def cp_params(channels: int, rank: int) -> int:
    """Weights of the four steps of a CP decomposition: R (2 d + S + T)."""
    return rank * (2 * 3 + 2 * channels)


def tucker2_params(channels: int, rank: int) -> int:
    """Weights of the three steps of a Tucker-2 decomposition with one rank: S R + d^2 R^2 + T R."""
    return 2 * channels * rank + 9 * rank**2


def vgg16_params(classes: int) -> int:
    """VGG-16 with biases, for images of 224 x 224 pixels."""
    widths = (3, 64, 64, 128, 128, *3 * (256,), *6 * (512,))
    cost = ConvCost(0, 0)
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        cost += conv2d_cost(1, 3, inputs, outputs, padding=1, bias=True)
    for inputs, outputs in ((7 * 7 * 512, 4096), (4096, 4096), (4096, classes)):
        cost += conv2d_cost(1, 1, inputs, outputs, bias=True)
    return cost.params


def _dense(layer: int) -> int:
    return 9 * LAYERS[layer] ** 2


def _cp_ratio(layer: int, rank: int) -> Fraction:
    channels = LAYERS[layer]
    return Fraction(_dense(layer) + channels, cp_params(channels, rank) + channels)


def _tucker_ratio(layer: int, rank: int) -> Fraction:
    return Fraction(_dense(layer), tucker2_params(LAYERS[layer], rank))


TENSOR_STUDY_NUMBERS: list[SlideNumber] = [
    *(
        SlideNumber(
            CP_STUDY,
            f"times fewer parameters in layer {layer} with R = {rank}",
            printed,
            float(printed),
            digit,
            lambda layer=layer, rank=rank: _cp_ratio(layer, rank),
            verdict,
            WITH_BIAS,
        )
        for layer, rank, printed, digit, verdict in (
            (2, 20, "13.45", 0.01, "truncated"),
            (2, 200, "1.37", 0.01, "right"),
            (9, 100, "22.79", 0.01, "truncated"),
            (9, 500, "4.6", 0.1, "right"),
        )
    ),
    *(
        SlideNumber(
            TUCKER_STUDY,
            f"times fewer parameters in layer {layer} with R = {rank}",
            printed,
            float(printed),
            0.1,
            lambda layer=layer, rank=rank: _tucker_ratio(layer, rank),
            verdict,
            note,
        )
        for layer, rank, printed, verdict, note in (
            (2, 10, "16.9", "right", WITHOUT_BIAS),
            (
                2,
                60,
                "1.1",
                "erratum",
                "The layer grows, to 40,080 weights from 36,864: 0.92 times fewer. The printed ratio is the inverse, "
                "1.09 times more; Tucker-2 with one rank saves weights in this layer up to R = 57.",
            ),
            (9, 10, "211.8", "right", WITHOUT_BIAS),
            (9, 350, "1.6", "right", WITHOUT_BIAS),
        )
    ),
    SlideNumber(
        NETWORK,
        "parameters of VGG-16 with 10 classes, for images of 224 x 224 pixels",
        "138 million",
        138_000_000,
        1_000_000,
        lambda: vgg16_params(10),
        "erratum",
        "138.4 million belong to the network with 1000 classes; the last layer for 10 classes has 4.1 million fewer.",
    ),
]
