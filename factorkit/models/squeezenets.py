"""SqueezeNet."""

from __future__ import annotations

from torch import nn

from factorkit.arguments import one_of, positive_integers
from factorkit.models.heads import FORMS, stem

__all__ = ["small_squeezenet", "squeezenet"]


def squeezenet(num_classes: int = 1000, *, form: str = "imagenet") -> nn.Sequential:
    """SqueezeNet 1.0 (Iandola et al., 2016): eight Fire modules, no linear layer.

    Its 1,248,424 parameters with 1000 classes are a 49th of AlexNet's 60,965,224.

    Parameters
    ----------
    num_classes : int, optional
    form : {"imagenet", "cifar"}, optional
        The second begins with a 3 x 3 convolution without a stride, so that 32 x 32 pixels end in 4 x 4.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x H x W images to N x num_classes scores.

    Raises
    ------
    ValueError
        If the number of classes is not positive, or there is no such form.

    Examples
    --------
    >>> sum(p.numel() for p in squeezenet().parameters())
    1248424
    """
    from factorkit.layers import Fire

    positive_integers(num_classes=num_classes)
    one_of("form", form, FORMS)
    first = nn.Conv2d(3, 96, 7, stride=2) if form == "imagenet" else nn.Conv2d(3, 96, 3, padding=1)
    classifier = nn.Conv2d(512, num_classes, 1)
    network = nn.Sequential(
        *(first, nn.ReLU(), _halve()),
        *(Fire(96, 16, 64, 64), Fire(128, 16, 64, 64), Fire(128, 32, 128, 128), _halve()),
        *(Fire(256, 32, 128, 128), Fire(256, 48, 192, 192), Fire(384, 48, 192, 192), Fire(384, 64, 256, 256), _halve()),
        *(Fire(512, 64, 256, 256), nn.Dropout(0.5)),
        *(classifier, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.normal_(classifier.weight, std=0.01)
    return network


def small_squeezenet(num_classes: int = 10, *, width: int = 32) -> nn.Sequential:
    """A SqueezeNet with batch normalization that trains on ``patterns`` in less than two minutes on two cores.

    Parameters
    ----------
    num_classes : int, optional
    width : int, optional
        Maps of the first convolution, and half of those of the first modules.

    Returns
    -------
    nn.Sequential
        Maps N x 3 x 32 x 32 images to N x num_classes scores.

    Examples
    --------
    >>> [sum(p.numel() for p in small_squeezenet(width=width).parameters()) for width in (16, 32)]
    [17226, 65546]
    """
    from factorkit.layers import Fire

    positive_integers(num_classes=num_classes, width=width)
    half, more = max(width // 2, 1), max(3 * width // 2, 1)
    less = max(more // 2, 1)
    return nn.Sequential(
        *(*stem(width), _halve()),
        *(Fire(width, half, width, width, batch_norm=True), Fire(2 * width, half, width, width, batch_norm=True)),
        *(_halve(), Fire(2 * width, less, more, more, batch_norm=True)),
        *(Fire(2 * more, less, more, more, batch_norm=True), _halve()),
        *(Fire(2 * more, width, 2 * width, 2 * width, batch_norm=True), nn.Conv2d(4 * width, num_classes, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def _halve() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
