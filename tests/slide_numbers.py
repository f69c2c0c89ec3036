"""The numbers of the course's slides on compact architectures, each beside what arithmetic gives.

Plain data and small functions, so that a page can print the table: ``for number in SLIDE_NUMBERS: number.row()``.
All counts are formulas of :mod:`factorkit.costs`; the tests hold them against the networks of ``factorkit.models``.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from torch import nn

from factorkit import models
from factorkit.costs import (
    ConvCost,
    conv2d_cost,
    conv2d_output_size,
    depthwise_separable_cost,
    grouped_cost,
    spatially_separable_cost,
)
from factorkit.layers import DCTConv2d, ShiftAttentionConv2d
from factorkit.torchvision_import import import_torchvision
from micronet_resources.profile import profile_model

from .lecture_numbers import LECTURE_NUMBERS
from .slide_number import SlideNumber
from .tensor_study_numbers import TENSOR_STUDY_NUMBERS

__all__ = ["LECTURES", "SLIDE_NUMBERS", "SlideNumber", "alexnet", "mobilenet_v1", "squeezenet"]

MILLION = 10**6


def linear(inputs: int, outputs: int, *, bias: bool = True) -> ConvCost:
    """A linear layer is a 1 x 1 convolution of one pixel."""
    return conv2d_cost(1, 1, inputs, outputs, bias=bias)


def mobilenet_v1(width: Fraction | float = 1, resolution: int = 224, classes: int = 1000) -> ConvCost:
    """MobileNet v1 without the parameters of its batch normalizations, as its paper counts."""
    widths = [int(width * maps) for maps in (32, 64, 128, 128, 256, 256, *6 * (512,), 1024, 1024)]
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    cost = conv2d_cost(resolution, 3, 3, widths[0], stride=2, padding=1)
    size = conv2d_output_size(resolution, 3, stride=2, padding=1)
    for inputs, outputs, stride in zip(widths[:-1], widths[1:], strides, strict=True):
        cost += depthwise_separable_cost(size, 3, inputs, outputs, stride=stride, padding=1)
        size = conv2d_output_size(size, 3, stride=stride, padding=1)
    return cost + linear(widths[-1], classes)


def fire(size: int, inputs: int, squeeze: int, expand1x1: int, expand3x3: int) -> ConvCost:
    """A Fire module with its biases."""
    cost = conv2d_cost(size, 1, inputs, squeeze, bias=True) + conv2d_cost(size, 1, squeeze, expand1x1, bias=True)
    return cost + conv2d_cost(size, 3, squeeze, expand3x3, padding=1, bias=True)


def squeezenet(classes: int = 1000) -> ConvCost:
    """SqueezeNet 1.0 with the map sizes of table 1 of its paper: 111, 55, 27 and 13 pixels."""
    # Images of 224 pixels and three columns and rows of padding, one on one side and two on the other, make 227.
    cost = conv2d_cost(227, 7, 3, 96, stride=2, bias=True)
    modules = [(55, 96, 16, 64), (55, 128, 16, 64), (55, 128, 32, 128), (27, 256, 32, 128), (27, 256, 48, 192)]
    modules += [(27, 384, 48, 192), (27, 384, 64, 256), (13, 512, 64, 256)]
    for size, inputs, squeeze, expand in modules:
        cost += fire(size, inputs, squeeze, expand, expand)
    return cost + conv2d_cost(13, 1, 512, classes, bias=True)


def alexnet(classes: int = 1000, groups: int = 2) -> ConvCost:
    """AlexNet with its biases, for images of 227 x 227 pixels (the paper's 224 do not fit its first layer)."""
    cost = conv2d_cost(227, 11, 3, 96, stride=4, bias=True)
    cost += grouped_cost(27, 5, 96, 256, groups, padding=2, bias=True)
    cost += conv2d_cost(13, 3, 256, 384, padding=1, bias=True)
    cost += grouped_cost(13, 3, 384, 384, groups, padding=1, bias=True)
    cost += grouped_cost(13, 3, 384, 256, groups, padding=1, bias=True)
    return cost + linear(6 * 6 * 256, 4096) + linear(4096, 4096) + linear(4096, classes)


def inception_v3(what: str, classes: int) -> int:
    """A count of torchvision's Inception V3 without its second classifier, for images of 299 x 299 pixels."""
    network = import_torchvision().models.inception_v3(
        weights=None, num_classes=classes, aux_logits=False, init_weights=False
    )
    return getattr(profile_model(network, (3, 299, 299)), what)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def resnet_block(size: int = 14) -> ConvCost:
    """The bottleneck 256-64-64-256 of ResNet."""
    three = conv2d_cost(size, 3, 64, 64, padding=1)
    return conv2d_cost(size, 1, 256, 64) + three + conv2d_cost(size, 1, 64, 256)


def resnext_block(size: int = 14) -> ConvCost:
    """The ResNeXt block with 32 paths of 4 maps, in its grouped form."""
    three = grouped_cost(size, 3, 128, 128, groups=32, padding=1)
    return conv2d_cost(size, 1, 256, 128) + three + conv2d_cost(size, 1, 128, 256)


def survivors(weights_per_kernel: int) -> float:
    """Weights that are left in each slice of a shift attention layer, on average over its slices."""
    layer = ShiftAttentionConv2d(16, 16, weights_per_kernel=weights_per_kernel).harden()
    return float((layer.attention > 0).sum(-1).float().mean())


DENSE = conv2d_cost(7, 3, in_channels=3, out_channels=128)
DEPTHWISE = conv2d_cost(7, 3, in_channels=3, out_channels=3, groups=3)
POINTWISE = conv2d_cost(5, 1, in_channels=3, out_channels=128)
PAIR = {"kernel_size": 3, "in_channels": 64, "out_channels": 64, "padding": 1}
HALF, THREE_QUARTERS = Fraction(1, 2), Fraction(3, 4)

SEPARATION = "Spatially separable convolutions"
SQUEEZE = "SqueezeNet"
DEPTH = "Depthwise separable convolutions"
TABLE_9 = "MobileNet, table 9"
TABLE_10 = "MobileNet, table 10"
GROUPS = "Grouped convolutions"
RESNEXT = "ResNeXt block"
SHIFT = "Shift Attention Layer"
COUNTS = "Double sparsity, parameters"
ATOMS = "Double sparsity, dictionary"
DATASETS = "Double sparsity, data sets"
ACCURACY = "Double sparsity, accuracy"
ZEROS = "Double sparsity, zero coefficients"
CENTROIDS = "Clustering using the L2 norm"
QUANTIZING = "Quantizing MNIST"
DICTIONARIES = "Sparse Dictionary Learning"

CLUSTERS = (CENTROIDS, QUANTIZING, DICTIONARIES)
DOUBLE_SPARSITY = (COUNTS, ATOMS, DATASETS, ACCURACY, ZEROS)

FIVE_PIXELS = "a 5 x 5 output, so 7 x 7 input pixels without padding"
PAPER_COUNT = "weights and the bias of the classifier, without batch normalization"
OTHER_HEAD = "The two columns of the table belong to networks with different classifiers: "


def _mobilenet(width: Fraction | int, resolution: int, what: str, classes: int) -> Callable[[], int]:
    return lambda: getattr(mobilenet_v1(width, resolution, classes), what)


def _table_10(width: Fraction | int, resolution: int, macs: int, params: str, right_params: str) -> list[SlideNumber]:
    """The verdicts on one MobileNet of table 10: each number with the classifier that gives it."""
    name = f"{float(width):.4g} MobileNet-{resolution}"
    count = float(params) * MILLION
    return [
        SlideNumber(
            TABLE_10,
            f"{name}, mult-adds with 1,000 classes",
            f"{macs} M",
            macs * MILLION,
            MILLION,
            _mobilenet(width, resolution, "macs", 1000),
            "right",
            "the classifier of ImageNet, not of Stanford Dogs",
            "howard2017mobilenets",
        ),
        SlideNumber(
            TABLE_10,
            f"{name}, parameters with 120 classes",
            f"{params} M",
            count,
            MILLION / 10,
            _mobilenet(width, resolution, "params", 120),
            "right",
            f"the classifier of Stanford Dogs; {PAPER_COUNT}",
            "howard2017mobilenets",
        ),
        SlideNumber(
            TABLE_10,
            f"{name}, parameters of the network with 1,000 classes whose mult-adds stand beside them",
            f"{params} M",
            count,
            MILLION / 10,
            _mobilenet(width, resolution, "params", 1000),
            "erratum",
            f"{OTHER_HEAD}the mult-adds to 1,000 classes, where {right_params} M parameters would be right.",
            "howard2017mobilenets",
        ),
    ]


def network_in_network(*, trained_kernels: bool = True) -> int:
    """Trained parameters of network in network for CIFAR-10; without kernels of more than one pixel, of their bias."""
    layers = [(5, 3, 192), (1, 192, 160), (1, 160, 96), (5, 96, 192), *2 * [(1, 192, 192)]]
    layers += [(3, 192, 192), (1, 192, 192), (1, 192, 10)]
    return sum(
        conv2d_cost(8, size, inputs, outputs, padding=size // 2, bias=True).params
        if trained_kernels or size == 1
        else outputs
        for size, inputs, outputs in layers
    )


COMPACT_NUMBERS: list[SlideNumber] = [
    SlideNumber(
        SEPARATION,
        "weights of the Sobel kernel as a column times a row",
        "6",
        6,
        1,
        lambda: spatially_separable_cost(3, 3, 1, 1).params,
        "right",
        "instead of 9",
    ),
    SlideNumber(
        SEPARATION,
        "operations (h + w) D² of a layer, for 3 x 3 kernels, 64 maps and 32 x 32 pixels",
        "24,576",
        (3 + 3) * 64**2,
        1,
        lambda: spatially_separable_cost(32, **PAIR).macs,
        "erratum",
        "The formula is the cost of one output pixel, for as many maps in between as on both sides. It lacks the "
        "factor H_out W_out, here 1,024, that the cost of the dense layer on the slide before has.",
    ),
    SlideNumber(
        SQUEEZE,
        "parameters of AlexNet over those of SqueezeNet",
        "50",
        50,
        10,
        lambda: Fraction(alexnet().params, squeezenet().params),
        "right",
        "48.8, printed to one digit: 60,965,224 over 1,248,424",
        "iandola2016squeezenet",
    ),
    SlideNumber(
        SQUEEZE,
        "convolutions with groups in SqueezeNet (at least one by the note on MobileNet's and SqueezeNet's groups)",
        "1",
        1,
        1,
        lambda: sum(layer.groups > 1 for layer in convolutions(models.squeezenet())),
        "erratum",
        "SqueezeNet 1.0 has none: its 26 convolutions are dense, 1 x 1 and 3 x 3 and one 7 x 7. It saves with few maps "
        "in between, not with groups.",
        "iandola2016squeezenet",
    ),
    SlideNumber(
        DEPTH, "multiplications, dense", "86,400", 86_400, 1, lambda: DENSE.macs, "right", f"for {FIVE_PIXELS}"
    ),
    SlideNumber(
        DEPTH,
        "multiplications, depthwise separable",
        "10,275",
        10_275,
        1,
        lambda: (DEPTHWISE + POINTWISE).macs,
        "right",
        "675 filter, 9,600 mix",
    ),
    SlideNumber(
        DEPTH,
        "(1/D_out + 1/h²) times the dense multiplications",
        "10,275",
        10_275,
        1,
        lambda: (Fraction(1, 128) + Fraction(1, 9)) * DENSE.macs,
        "right",
        "exactly, not only to the nearest integer",
    ),
    SlideNumber(
        DEPTH,
        "year in which depthwise separable convolutions were introduced",
        "2017",
        2017,
        1,
        lambda: 2014,
        "erratum",
        "Sifre's thesis of 2014 has them, and Xception was built of them before MobileNet, which cites the thesis.",
        "sifre2014rigid",
    ),
    SlideNumber(
        TABLE_9,
        "0.50 MobileNet-160, mult-adds",
        "76 M",
        76 * MILLION,
        MILLION,
        _mobilenet(HALF, 160, "macs", 1000),
        "truncated",
        "76.5 million",
        "howard2017mobilenets",
    ),
    SlideNumber(
        TABLE_9,
        "0.50 MobileNet-160, parameters",
        "1.32 M",
        1_320_000,
        10_000,
        _mobilenet(HALF, 160, "params", 1000),
        "right",
        f"{PAPER_COUNT}; with it 1.33 million",
        "howard2017mobilenets",
    ),
    SlideNumber(
        TABLE_9,
        "SqueezeNet, mult-adds",
        "1700 M",
        1700 * MILLION,
        100 * MILLION,
        lambda: squeezenet().macs,
        "erratum",
        "833 million multiply-adds (819 in torchvision, whose first layer has no padding). The printed number is that "
        "of operations, two to a multiply-add, in a column of multiply-adds.",
        "howard2017mobilenets",
    ),
    SlideNumber(
        TABLE_9,
        "SqueezeNet, operations (two to a multiply-add)",
        "1700 M",
        1700 * MILLION,
        100 * MILLION,
        lambda: 2 * squeezenet().macs,
        "right",
        "what the printed number counts",
        "iandola2016squeezenet",
    ),
    SlideNumber(
        TABLE_9,
        "SqueezeNet, parameters",
        "1.25 M",
        1_250_000,
        10_000,
        lambda: squeezenet().params,
        "right",
        "1,248,424 with biases",
        "iandola2016squeezenet",
    ),
    SlideNumber(
        TABLE_9,
        "AlexNet, mult-adds",
        "720 M",
        720 * MILLION,
        10 * MILLION,
        lambda: alexnet().macs,
        "right",
        "with its two groups; 1,135 million without",
        "krizhevsky2012imagenet",
    ),
    SlideNumber(
        TABLE_9,
        "AlexNet, parameters",
        "60 M",
        60 * MILLION,
        MILLION,
        lambda: alexnet().params,
        "truncated",
        "60,965,224 with its two groups and biases",
        "krizhevsky2012imagenet",
    ),
    *_table_10(1, 224, 569, "3.3", "4.2"),
    *_table_10(THREE_QUARTERS, 224, 325, "1.9", "2.6"),
    *_table_10(1, 192, 418, "3.3", "4.2"),
    *_table_10(THREE_QUARTERS, 192, 239, "1.9", "2.6"),
    *(
        SlideNumber(
            TABLE_10,
            f"1 MobileNet-{resolution}, mult-adds of the network with 120 classes whose parameters stand beside them",
            f"{printed} M",
            printed * MILLION,
            MILLION,
            _mobilenet(1, resolution, "macs", 120),
            "erratum",
            f"{OTHER_HEAD}the parameters to 120 classes, where {printed - 1} M mult-adds would be right.",
            "howard2017mobilenets",
        )
        for resolution, printed in ((224, 569), (192, 418))
    ),
    SlideNumber(
        TABLE_10,
        "Inception V3, mult-adds",
        "5000 M",
        5000 * MILLION,
        1000 * MILLION,
        lambda: inception_v3("macs", 120),
        "truncated",
        "5,711 million for images of 299 x 299 pixels",
        "szegedy2016rethinking",
    ),
    SlideNumber(
        TABLE_10,
        "Inception V3, parameters",
        "23.2 M",
        23_200_000,
        100_000,
        lambda: inception_v3("params", 120),
        "open",
        "torchvision's network has 22.0 million with 120 classes, 24.7 with the second classifier that only training "
        "needs, and 23.8 with 1,000 classes.",
        "szegedy2016rethinking",
    ),
    SlideNumber(
        GROUPS,
        "multiplications with 2 groups over the dense ones",
        "1/2",
        0.5,
        0,
        lambda: Fraction(grouped_cost(27, 5, 96, 256, 2, padding=2).macs, conv2d_cost(27, 5, 96, 256, padding=2).macs),
        "right",
        "for AlexNet's second layer, and for every other one",
        "krizhevsky2012imagenet",
    ),
    SlideNumber(
        RESNEXT,
        "parameters of the ResNeXt block over those of the ResNet block (roughly the same)",
        "1",
        1,
        0.1,
        lambda: Fraction(resnext_block().params, resnet_block().params),
        "right",
        "70,144 over 69,632, 0.7 % more",
        "xie2017aggregated",
    ),
    SlideNumber(
        SHIFT,
        "connections that remain for each slice",
        "1",
        1,
        0,
        lambda: survivors(1),
        "right",
        "where the largest score survives; rounding the attention can leave none",
        "hacene2019sal",
    ),
    SlideNumber(
        SHIFT,
        "weights kept in each kernel by SAL2",
        "2",
        2,
        0,
        lambda: survivors(2),
        "right",
        "the two with the largest scores",
        "hacene2019sal",
    ),
    SlideNumber(
        SHIFT,
        "size of the kernels after the shift",
        "1",
        1,
        0,
        lambda: ShiftAttentionConv2d(16, 16).to_shift().weight.shape[-1],
        "right",
        "one weight for each pair of maps, so a ninth of the multiply-adds of a 3 x 3 layer",
        "hacene2019sal",
    ),
    *(
        SlideNumber(slide, f"{network}, accuracy", f"{accuracy} %", accuracy, 0.1, None, "measured", note, paper)
        for slide, network, accuracy, note, paper in (
            (TABLE_9, "0.50 MobileNet-160", 60.2, "on ImageNet, by the paper", "howard2017mobilenets"),
            (TABLE_9, "SqueezeNet", 57.5, "on ImageNet, by the paper", "iandola2016squeezenet"),
            (TABLE_9, "AlexNet", 57.2, "on ImageNet, by the paper", "howard2017mobilenets"),
            (TABLE_10, "Inception V3", 84, "on Stanford Dogs, by the paper", "howard2017mobilenets"),
            (TABLE_10, "1 MobileNet-224", 83.3, "on Stanford Dogs, by the paper", "howard2017mobilenets"),
            (TABLE_10, "0.75 MobileNet-224", 81.9, "on Stanford Dogs, by the paper", "howard2017mobilenets"),
            (TABLE_10, "1 MobileNet-192", 81.9, "on Stanford Dogs, by the paper", "howard2017mobilenets"),
            (TABLE_10, "0.75 MobileNet-192", 80.5, "on Stanford Dogs, by the paper", "howard2017mobilenets"),
        )
    ),
    SlideNumber(
        COUNTS,
        "original network in network",
        "966986",
        966_986,
        1,
        network_in_network,
        "right",
        "with biases, for CIFAR-10",
        "lin2014network",
    ),
    SlideNumber(
        COUNTS,
        "double-sparsity network",
        "160010",
        160_010,
        1,
        lambda: network_in_network(trained_kernels=False),
        "right",
        "trained: 158,592 weights of 1 x 1 kernels and 1,418 biases; 806,976 fixed coefficients are applied too",
        "hoffer2015sparse",
    ),
    SlideNumber(
        COUNTS,
        "ratio of both",
        "0.165",
        0.165,
        0.001,
        lambda: Fraction(network_in_network(trained_kernels=False), network_in_network()),
        "right",
        "0.1655",
        "hoffer2015sparse",
    ),
    SlideNumber(
        COUNTS,
        "original network over double-sparsity network (about 1/7th of the original)",
        "7",
        7,
        1,
        lambda: Fraction(network_in_network(), network_in_network(trained_kernels=False)),
        "erratum",
        "The trained parameters are one sixth of the original ones (6.04), as the ratio in the table beside it says.",
        "hoffer2015sparse",
    ),
    SlideNumber(
        ATOMS,
        "5 x 5 kernels in the dictionary of the first layer, F_l F_c (section 3.4)",
        "3 · 192",
        3 * 192,
        1,
        lambda: DCTConv2d(3, 5, 192).weight[..., 0, 0].numel(),
        "right",
        "one kernel for each color and each of the 192 maps",
        "hoffer2015sparse",
    ),
    SlideNumber(
        ATOMS,
        "5 x 5 kernels in the dictionary of the first layer, F_l F_l (section 5.1)",
        "3 · 3",
        3 * 3,
        1,
        lambda: DCTConv2d(3, 5, 192).weight[..., 0, 0].numel(),
        "erratum",
        "The dictionary leads from F_l = 3 colors to F_c = 192 maps, as section 3.4 has it: 576 kernels, not 9.",
        "hoffer2015sparse",
    ),
    SlideNumber(
        ATOMS,
        "coefficients W of the first layer, F_l F_(l+1) (section 5.1)",
        "3 · 160",
        3 * 160,
        1,
        lambda: conv2d_cost(32, 1, 192, 160).params,
        "erratum",
        "The coefficients combine F_c = 192 maps of atoms, not F_l = 3 colors: section 3.4 has F_c F_(l+1) = 30,720.",
        "hoffer2015sparse",
    ),
    SlideNumber(
        DATASETS,
        "images of CIFAR-10",
        "60000",
        60_000,
        1,
        lambda: 50_000 + 10_000,
        "right",
        "50,000 for training and 10,000 for testing",
        "hoffer2015sparse",
    ),
    SlideNumber(
        DATASETS,
        "images of SVHN",
        "600000",
        600_000,
        100_000,
        lambda: 73_257 + 26_032 + 531_131,
        "right",
        "630,420 for training, testing and extra, printed to one digit",
        "hoffer2015sparse",
    ),
    SlideNumber(
        ACCURACY,
        "loss on CIFAR-10, from 87.6 % to 74.2 %",
        "14 %",
        14,
        1,
        lambda: Fraction("87.6") - Fraction("74.2"),
        "erratum",
        "The two accuracies of its table are 13.4 points apart, which rounds to 13; relative to the first it is 15.3 %",
        "hoffer2015sparse",
    ),
    SlideNumber(
        ACCURACY,
        "loss on SVHN, from 97.65 % to 95.47 %",
        "2 %",
        2,
        1,
        lambda: Fraction("97.65") - Fraction("95.47"),
        "right",
        "2.18 points",
        "hoffer2015sparse",
    ),
    *(
        SlideNumber(slide, quantity, f"{percent} %", percent, 0.01, None, "measured", note, "hoffer2015sparse")
        for slide, quantity, percent, note in (
            (ACCURACY, "network in network on CIFAR-10", 87.6, "by the report, without data augmentation"),
            (ACCURACY, "double sparsity on CIFAR-10", 74.2, "by the report, without data augmentation"),
            (ACCURACY, "network in network on SVHN", 97.65, "by the report, without data augmentation"),
            (ACCURACY, "double sparsity on SVHN", 95.47, "by the report, without data augmentation"),
            *((ZEROS, f"layer {i} on CIFAR-10", z, "by the report") for i, z in enumerate((25.47, 10.43, 44.5), 1)),
            *((ZEROS, f"layer {i} on SVHN", z, "by the report") for i, z in enumerate((84.63, 44.62, 34.28), 1)),
        )
    ),
    SlideNumber(
        CENTROIDS,
        "least E(q) of the numbers 0, 0 and 3 with one centroid, at their mean",
        "Σ ‖x − Ω‖",
        sum(abs(x - 1) for x in (0, 0, 3)),
        1,
        lambda: min(sum(abs(x - centroid) for x in (0, 0, 3)) for centroid in range(4)),
        "erratum",
        "A sum of distances is least at the median, here 3 at the centroid 0. The mean, which k-means takes, makes the "
        "sum of squared distances least.",
        "lloyd1982least",
    ),
    SlideNumber(
        QUANTIZING,
        "compression factor of 60,000 images of 784 bytes with K = 256",
        "1 − K/N",
        float(1 - Fraction(256, 60_000)),
        1e-4,
        lambda: 1 - Fraction(256 * 784 * 8 + 60_000 * 8, 60_000 * 784 * 8),
        "erratum",
        "The formula leaves out the index that each image keeps, 8 bits here: 0.9945 instead of 0.9957.",
    ),
    SlideNumber(
        DICTIONARIES,
        "code of the number 3 with one atom that makes E(U, V) least, for α = 1/2",
        "‖X − UV‖ + α ‖U‖",
        min(range(4), key=lambda code: abs(3 - code) + Fraction(1, 2) * code),
        0.1,
        lambda: 3 - Fraction(1, 2),
        "erratum",
        "Without a square the code is all of the number for every α below 1 and nothing above. Half the squared error "
        "makes α what the slide says, a control: it shrinks the code by α.",
        "daubechies2004ista",
    ),
]
LECTURES: dict[str, list[SlideNumber]] = {
    "Compact architectures": [n for n in COMPACT_NUMBERS if n.slide not in (*CLUSTERS, *DOUBLE_SPARSITY)],
    "Clustering and dictionaries": [n for n in COMPACT_NUMBERS if n.slide in CLUSTERS],
    "The double-sparsity network": [n for n in COMPACT_NUMBERS if n.slide in DOUBLE_SPARSITY],
    "Low-rank decomposition": LECTURE_NUMBERS,
    "CP and Tucker decompositions of VGG-16": TENSOR_STUDY_NUMBERS,
}
SLIDE_NUMBERS: list[SlideNumber] = [number for numbers in LECTURES.values() for number in numbers]
