"""The shift attention layer: which weight of each slice survives is learned together with the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.layers.settings import Size
from factorkit.layers.shift import ShiftConv2d, SurvivorSettings

__all__ = ["ShiftAttentionConv2d", "shift_layers"]

# Added to the variance, so that a slice whose scores are all equal has a finite attention and gradient.
LEAST_VARIANCE = 1e-10


class ShiftAttentionConv2d(SurvivorSettings):
    r"""A convolution that learns to keep one weight in each slice of its kernel :cite:p:`hacene2019sal`.

    Each slice, the :math:`S = k_h k_w` weights between an input map :math:`c` and an output map :math:`d`, has a score
    :math:`A_{d,c,s}` for each position. Divided by their standard deviation and by a temperature :math:`1/T`, they
    become an attention that multiplies the weights:

    .. math:: P_{d,c} = \mathrm{softmax}\!\left(T \, A_{d,c} / \mathrm{std}(A_{d,c})\right), \qquad
        Y = X * (P \odot W)

    While the network is trained, :class:`factorkit.schedules.TemperatureSchedule` raises the inverse temperature
    :math:`T`, and the attention comes close to a single 1 in each slice. :meth:`harden` makes it exactly one, and
    :meth:`to_shift` gives the layer that does nothing but what is left; that one can be exported as an entry, too.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of input and output feature maps.
    kernel_size : int or (int, int)
    stride, padding, dilation : int or (int, int), optional
        As in ``nn.Conv2d``.
    bias : bool, optional
    weights_per_kernel : int, optional
        Survivors of each slice; 2 is the paper's SAL2. The attention is then the sum of as many softmaxes, each over
        the positions that did not have the largest score before, so that it sums to ``weights_per_kernel``.
    shared : bool, optional
        Whether all outputs share the scores. This is a shift layer :cite:p:`wu2018shift` with learned shifts.

    Attributes
    ----------
    weight : Parameter, shape (O, I, k_h, k_w)
    scores : Parameter, shape (O, I, S), or (1, I, S) if shared
        Drawn uniformly from [0, 1).
    temperature : Tensor, shape ()
        The inverse temperature, 20 in a new layer; infinite in a hardened one.
    is_hard : bool
        Whether :meth:`harden` was called, on this layer or on the one whose state was loaded.

    Raises
    ------
    ValueError
        If a slice cannot have so many survivors.

    Notes
    -----
    Input N x I x H x W, output N x O x H_out x W_out, exactly as ``nn.Conv2d`` with the same arguments. Training takes
    the time of the dense convolution: operations are saved by the converted layer.

    Rounding the attention at the end, as is sometimes done, leaves a slice empty whenever no value exceeds one half.
    Here the largest scores survive, whatever the temperature was; of equal ones, some.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> layer = ShiftAttentionConv2d(16, 32, padding=1)
    >>> layer.attention.shape, bool((layer.attention.sum(-1) - 1).abs().max() < 1e-5)
    (torch.Size([32, 16, 9]), True)
    >>> images = torch.randn(2, 16, 8, 8)
    >>> bool(torch.allclose(layer.harden()(images), layer.to_shift()(images), atol=1e-5))
    True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        *,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
        weights_per_kernel: int = 1,
        shared: bool = False,
    ) -> None:
        sizes = {"stride": stride, "padding": padding, "dilation": dilation}
        super().__init__(
            in_channels, out_channels, kernel_size, weights_per_kernel=weights_per_kernel, shared=shared, **sizes
        )
        # The initial weights are as large as those of a convolution that has only the survivors.
        bound = 1 / math.sqrt(in_channels * weights_per_kernel)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None
        self.scores = nn.Parameter(torch.rand(1 if shared else out_channels, in_channels, math.prod(self.kernel_size)))
        self.register_buffer("temperature", torch.tensor(20.0))
        self.is_hard = False  # known to Python, so that the forward pass need not look at the temperature
        self.register_load_state_dict_post_hook(_look_at_temperature)

    @property
    def attention(self) -> torch.Tensor:
        """What multiplies the weights: O x I x S, or 1 x I x S if shared; each slice sums to ``weights_per_kernel``."""
        if self.is_hard:
            return torch.zeros_like(self.scores).scatter(-1, self.survivors(), 1.0)
        centered = self.scores - self.scores.mean(-1, keepdim=True)
        variance = centered.square().sum(-1, keepdim=True) / max(centered.shape[-1] - 1, 1)
        logits = self.temperature * centered / torch.sqrt(variance + LEAST_VARIANCE)
        attention = logits.softmax(-1)
        for _ in range(self.weights_per_kernel - 1):
            logits = logits.scatter(-1, logits.argmax(-1, keepdim=True), -torch.inf)
            attention = attention + logits.softmax(-1)
        return attention

    def survivors(self) -> torch.Tensor:
        """Positions of the largest scores of each slice in ascending order, O x I x weights_per_kernel (or 1 x ...)."""
        return self.scores.detach().topk(self.weights_per_kernel, dim=-1).indices.sort(-1).values

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.weight * self.attention.unflatten(-1, self.kernel_size)
        return F.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation)

    def harden(self) -> ShiftAttentionConv2d:
        """Let exactly ``weights_per_kernel`` weights of each slice survive, those with the largest scores, for good.

        Returns
        -------
        ShiftAttentionConv2d
            The layer itself; its weights can be trained on, the choice no longer changes.
        """
        self.temperature.fill_(torch.inf)
        self.is_hard = True
        return self

    def to_shift(self) -> ShiftConv2d:
        """Make the layer that stores and computes only what survives.

        Returns
        -------
        ShiftConv2d
            Equal to this layer when hardened, up to the rounding of sums; it shares no memory with it.
        """
        shift = ShiftConv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            bias=self.bias is not None,
            weights_per_kernel=self.weights_per_kernel,
            shared=self.shared,
        ).to(self.weight.device, self.weight.dtype)
        index = self.survivors()
        with torch.no_grad():
            shift.weight.copy_(self.weight.flatten(2).gather(2, index.expand(self.out_channels, -1, -1)))
            shift.index.copy_(index)
            if self.bias is not None:
                shift.bias.copy_(self.bias)
        return shift.train(self.training)


def _look_at_temperature(layer: ShiftAttentionConv2d, _: Any) -> None:
    layer.is_hard = bool(torch.isinf(layer.temperature))


def shift_layers(model: nn.Module) -> nn.Module:
    """Harden every shift attention layer of a model and exchange it for its :class:`ShiftConv2d`, in place.

    Parameters
    ----------
    model : nn.Module
        The layers are exchanged inside it; a model that is itself such a layer is left as it is, but hard.

    Returns
    -------
    nn.Module
        The model, or the ``ShiftConv2d`` that stands for it.

    Raises
    ------
    ValueError
        If there is no such layer.

    Examples
    --------
    >>> model = nn.Sequential(ShiftAttentionConv2d(3, 8, padding=1), nn.ReLU())
    >>> [type(layer).__name__ for layer in shift_layers(model)]
    ['ShiftConv2d', 'ReLU']
    """
    if isinstance(model, ShiftAttentionConv2d):
        return model.harden().to_shift()
    converted: dict[ShiftAttentionConv2d, ShiftConv2d] = {}  # a layer that is used twice stays one layer
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if isinstance(child, ShiftAttentionConv2d):
                if child not in converted:
                    converted[child] = child.harden().to_shift()
                setattr(module, name, converted[child])
    if not converted:
        raise ValueError(
            f"{type(model).__name__} has no ShiftAttentionConv2d to convert: build it with one, for example "
            "small_resnet(conv=ShiftAttentionConv2d)."
        )
    return model
