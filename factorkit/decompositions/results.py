"""What the results of all decompositions have in common: what they report, and the layers that they become.

A decomposition replaces one layer by a chain of smaller ones. A result names the chain once, in ``steps()``;
parameters, multiply-accumulates and layers follow from it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import InitVar, dataclass, field

import torch
from torch import nn

from factorkit.decompositions.weights import relative_error, shape_text

__all__ = ["Decomposition", "Step"]

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@dataclass(frozen=True)
class Step:
    """One layer of the chain that replaces a layer.

    Parameters
    ----------
    name : str
        Of the layer in the ``nn.Sequential``.
    weight : Tensor
        As torch stores it: O x I for a linear layer, O x I / groups x k_1 ... x k_n for a convolution.
    groups : int, optional
    """

    name: str
    weight: torch.Tensor
    groups: int = 1


@dataclass(frozen=True, repr=False, eq=False)
class Decomposition(ABC):
    """Base of the results: a frozen dataclass adds its factors, ``rank``, ``steps()`` and ``reconstruct()``.

    A step carries out the stride, the padding and the dilation of an axis if it is the first whose kernel has the
    full size along that axis. So a subclass does not name them, and an axis of size 1 is strided at once.

    Parameters
    ----------
    weight : Tensor
        The weight that was decomposed; it is not kept.

    Attributes
    ----------
    shape : tuple of int
        Of the weight.
    relative_error : float
        Frobenius norm of the change, divided by that of the weight.
    groups : int
        Of the convolution. Subclasses that support groups make it a field.

    Raises
    ------
    ValueError
        If the reconstruction has another shape than the weight.
    """

    weight: InitVar[torch.Tensor]
    shape: tuple[int, ...] = field(init=False)
    relative_error: float = field(init=False)
    groups = 1  # without an annotation it is no field

    def __post_init__(self, weight: torch.Tensor) -> None:
        object.__setattr__(self, "shape", tuple(weight.shape))
        object.__setattr__(self, "relative_error", relative_error(weight.detach(), self.reconstruct()))

    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """The layers that replace the layer, first to last."""

    @abstractmethod
    def reconstruct(self) -> torch.Tensor:
        """The weight that the factors stand for, in the shape of the weight decomposed."""

    @property
    def params(self) -> int:
        """Number of weights in all steps. The bias of the layer, which the last step keeps, is not counted."""
        return sum(step.weight.numel() for step in self.steps())

    def macs(self, output_size: int | tuple[int, ...] = 1, *, input_size: int | tuple[int, ...] | None = None) -> int:
        """Multiply-accumulates of all steps for one example.

        Parameters
        ----------
        output_size : int or tuple of int
            Pixels of the output map along each axis. For a linear layer: how many vectors it is applied to.
        input_size : int or tuple of int, optional
            Of the input map, where the steps before a stride run. Default ``output_size``.

        Raises
        ------
        ValueError
            If a size is not positive or has not one number for each axis.
        """
        axes = max(len(self.shape) - 2, 1)
        after = _sizes("output_size", output_size, axes)
        before = after if input_size is None else _sizes("input_size", input_size, axes)
        total, done = 0, set()
        for step, own in zip(self.steps(), self._axes(), strict=True):
            done |= own
            pixels = math.prod(after[axis] if axis in done else before[axis] for axis in range(axes))
            total += step.weight.numel() * pixels
        return total

    def to_layers(self, layer: nn.Module) -> nn.Sequential:
        """The steps as layers that replace a layer.

        Parameters
        ----------
        layer : nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d
            The layer with the weight that was decomposed. It gives stride, padding, dilation, bias, dtype, device and
            training mode, and is left as it is.

        Returns
        -------
        nn.Sequential
            Its outputs are those of ``layer`` with ``reconstruct()`` as its weight, up to rounding. Only the last step
            has a bias, if the layer has one.

        Raises
        ------
        ValueError
            If the layer is of another kind, or its weight has another shape or other groups.
        """
        self._check(layer)
        steps, bias = self.steps(), self.bias_for(layer)
        made = OrderedDict()
        for step, own in zip(steps, self._axes(), strict=True):
            last = step is steps[-1]
            made[step.name] = _layer(step, layer, own, bias if last else None)
        return nn.Sequential(made).train(layer.training)

    def bias_for(self, layer: nn.Module) -> torch.Tensor | None:
        """Bias of the last step: that of the layer. Methods that fit responses return their own."""
        return layer.bias

    def _axes(self) -> list[set[int]]:
        """For each step, the axes whose stride, padding and dilation it carries out."""
        full, left, found = self.shape[2:], set(range(len(self.shape) - 2)), []
        for step in self.steps():
            own = {axis for axis in left if step.weight.shape[2 + axis] == full[axis]}
            left -= own
            found.append(own)
        return found

    def _check(self, layer: nn.Module) -> None:
        kind = nn.Linear if len(self.shape) == 2 else CONVOLUTIONS.get(len(self.shape) - 2)
        if kind is None or not isinstance(layer, kind):
            wanted = f"an nn.{kind.__name__}" if kind else "no layer of torch"
            raise ValueError(
                f"cannot replace a {type(layer).__name__}: a weight of shape {shape_text(self.shape)} belongs to "
                f"{wanted}."
            )
        if tuple(layer.weight.shape) != self.shape:
            raise ValueError(
                f"the layer's weight has shape {shape_text(layer.weight.shape)} and the decomposed weight "
                f"{shape_text(self.shape)}: give the layer whose weight was decomposed."
            )
        if getattr(layer, "groups", 1) != self.groups:
            raise ValueError(
                f"the layer has groups={layer.groups} and its weight was decomposed for groups={self.groups}: "
                "decompose it with its own groups, if the method takes them, or choose another method."
            )

    def __repr__(self) -> str:
        dense = math.prod(self.shape)
        ratio = dense / self.params
        change = f"{ratio:.3g} times fewer" if ratio >= 1 else f"{1 / ratio:.3g} times more"
        return (
            f"{type(self).__name__}({shape_text(self.shape)}, rank {self.rank}, relative error "
            f"{self.relative_error:.3g}, {self.params:,} parameters instead of {dense:,}: {change})"
        )


def _layer(step: Step, layer: nn.Module, own: set[int], bias: torch.Tensor | None) -> nn.Module:
    """One step as a layer with the settings of the layer that the chain replaces."""
    outputs, inputs, *kernel = step.weight.shape
    if isinstance(layer, nn.Linear):
        made = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
    else:
        padding = layer.padding
        if not isinstance(padding, str):
            padding = tuple(padding[axis] if axis in own else 0 for axis in range(len(kernel)))
        made = nn.utils.skip_init(
            CONVOLUTIONS[len(kernel)],
            inputs * step.groups,
            outputs,
            tuple(kernel),
            stride=tuple(layer.stride[axis] if axis in own else 1 for axis in range(len(kernel))),
            padding=padding,
            dilation=tuple(layer.dilation[axis] if axis in own else 1 for axis in range(len(kernel))),
            groups=step.groups,
            bias=False,
            padding_mode=layer.padding_mode,
        )
    made.weight = _parameter(step.weight, layer.weight)
    if bias is not None:
        made.bias = _parameter(bias, layer.weight if layer.bias is None else layer.bias)
    return made


def _parameter(values: torch.Tensor, like: torch.Tensor) -> nn.Parameter:
    copied = values.detach().to(device=like.device, dtype=like.dtype, copy=True)
    return nn.Parameter(copied.contiguous(), requires_grad=like.requires_grad)


def _sizes(name: str, size: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    sizes = tuple(size) if isinstance(size, tuple | list) else (size,) * axes
    if len(sizes) != axes or not all(type(pixels) is int and pixels >= 1 for pixels in sizes):
        raise ValueError(f"{name}={size!r}: give one integer of at least 1, or one for each of the {axes} axes.")
    return sizes
