"""Convolution kernels as sums of a few atoms that the whole network shares, and what that saves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd
import torch
from torch import nn

from factorkit.arguments import positive_integers
from factorkit.dictionary.learning import learn_dictionary

__all__ = ["CompressedConvolution", "DictionaryReport", "compress_convolutions"]

VALUE_BITS = 32


@dataclass(frozen=True)
class CompressedConvolution:
    """One convolution whose kernels are sums of atoms.

    Attributes
    ----------
    name : str
        Of the layer in the network.
    shape : tuple of int
        Of its weight, O x I x k x k.
    relative_error : float
        Frobenius norm of the change of the weight, divided by that of the weight.
    codes : Tensor, shape (O * I, atoms)
        ``codes @ dictionary`` is the weight, a kernel a row.
    macs_ratio : float
        Multiply-accumulates if each input map is filtered by all atoms first and the outputs are sparse sums of these
        maps, divided by those of the dense convolution: :math:`M / O + s / k^2` with M atoms of which a kernel uses s.
    """

    name: str
    shape: tuple[int, ...]
    relative_error: float
    codes: torch.Tensor = field(repr=False)
    macs_ratio: float


@dataclass(frozen=True)
class DictionaryReport:
    """What a shared dictionary makes of the convolutions of a network.

    Attributes
    ----------
    dictionary : Tensor, shape (atoms, k * k)
    nonzeros : int
        Atoms of a kernel.
    layers : tuple of CompressedConvolution
    """

    dictionary: torch.Tensor = field(repr=False)
    nonzeros: int
    layers: tuple[CompressedConvolution, ...] = field(repr=False)

    @property
    def dense_bits(self) -> int:
        """Bits of the compressed weights before, at 32 each."""
        return VALUE_BITS * sum(math.prod(layer.shape) for layer in self.layers)

    @property
    def stored_bits(self) -> int:
        """Bits of the atoms, and of a value and the index of an atom for each nonzero of the codes."""
        kernels = sum(layer.shape[0] * layer.shape[1] for layer in self.layers)
        index_bits = math.ceil(math.log2(len(self.dictionary)))
        return VALUE_BITS * self.dictionary.numel() + kernels * self.nonzeros * (VALUE_BITS + index_bits)

    @property
    def compression_factor(self) -> float:
        """How many times fewer bits, indices and atoms counted."""
        return self.dense_bits / self.stored_bits

    def table(self) -> pd.DataFrame:
        """A row for each layer."""
        return pd.DataFrame(
            [
                {
                    "layer": layer.name,
                    "weight": " x ".join(map(str, layer.shape)),
                    "relative error": layer.relative_error,
                    "MACs of dense": layer.macs_ratio,
                }
                for layer in self.layers
            ]
        ).set_index("layer")

    def __repr__(self) -> str:
        return (
            f"DictionaryReport({self.nonzeros} of {len(self.dictionary)} atoms a kernel in {len(self.layers)} layers, "
            f"{self.compression_factor:.2f} times fewer bits)\n{self.table().round(3).to_string()}"
        )

    def _repr_html_(self) -> str:
        heading = repr(self).split("\n")[0]
        return f"<p>{heading}</p>{self.table().round(3).to_html()}"


def compress_convolutions(
    model: nn.Module,
    atoms: int,
    nonzeros: int,
    *,
    kernel_size: int = 3,
    skip: tuple[str, ...] = (),
    iterations: int = 15,
    seed: int = 0,
) -> DictionaryReport:
    r"""Replace the kernels of a network, in place, by sums of a few atoms of one dictionary.

    A kernel of output :math:`o` and input :math:`i` is :math:`w_{oi} \approx \sum_m u_{oim} v_m` with at most
    ``nonzeros`` atoms, s. It is stored as their indices and values. As convolution is linear, the layer can also be
    computed that way: filter each of the I input maps by the M atoms, then sum for each output the s maps that each
    input gives, :math:`I M k^2 + O I s` multiply-accumulates a pixel where the dense layer has :math:`O I k^2`. That
    pays only if there are many more outputs than atoms and s is much smaller than :math:`k^2`; the report says so layer
    by layer. The model keeps its ``nn.Conv2d`` layers and computes as before.

    Every layer's kernels are scaled to the same mean square while the dictionary is learned, or the layers with large
    weights would have it for themselves; the codes carry the scale.

    Parameters
    ----------
    model : nn.Module
    atoms, nonzeros : int
        Size of the dictionary, and most atoms of a kernel.
    kernel_size : int, optional
        Only square kernels of this size are replaced.
    skip : tuple of str, optional
        Names of layers that stay as they are.
    iterations, seed : int, optional
        As for :func:`learn_dictionary`.

    Returns
    -------
    DictionaryReport

    Raises
    ------
    ValueError
        If a name of ``skip`` is no convolution of that size, none is left, a weight is computed at each call, or a
        count is not possible.

    Examples
    --------
    >>> from factorkit.models import small_vgg
    >>> report = compress_convolutions(small_vgg(), atoms=16, nonzeros=2, iterations=3)
    >>> round(report.compression_factor, 1)
    4.0
    """
    positive_integers(kernel_size=kernel_size)
    found = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (kernel_size, kernel_size)
    }
    unknown = [name for name in skip if name not in found]
    if unknown:
        raise ValueError(
            f"skip={unknown}: no {kernel_size} x {kernel_size} convolution has this name; there are {list(found)}."
        )
    chosen = {name: layer for name, layer in found.items() if name not in skip}
    if not chosen:
        raise ValueError(f"no {kernel_size} x {kernel_size} convolution is left to compress in {type(model).__name__}.")
    for name, layer in chosen.items():
        if not isinstance(layer.weight, nn.Parameter):
            raise ValueError(
                f"{name}.weight is computed at each call: make it a parameter first, with torch.nn.utils.prune.remove "
                "or torch.nn.utils.parametrize.remove_parametrizations."
            )
    kernels = [layer.weight.detach().flatten(2).flatten(0, 1).float() for layer in chosen.values()]
    scales = [rows.square().mean().sqrt().clamp_min(torch.finfo(rows.dtype).tiny) for rows in kernels]
    signals = torch.cat([rows / scale for rows, scale in zip(kernels, scales, strict=True)])
    learned = learn_dictionary(signals, atoms, nonzeros, iterations=iterations, seed=seed)
    layers = []
    with torch.no_grad():
        parts = learned.codes.split([len(rows) for rows in kernels])
        for (name, layer), rows, scale, part in zip(chosen.items(), kernels, scales, parts, strict=True):
            codes = part * scale
            approximation = codes @ learned.dictionary
            error = (torch.linalg.norm(rows - approximation) / torch.linalg.norm(rows).clamp_min(1e-12)).item()
            layer.weight.copy_(approximation.reshape(layer.weight.shape))
            ratio = atoms * layer.groups / layer.out_channels + nonzeros / kernel_size**2
            layers.append(CompressedConvolution(name, tuple(layer.weight.shape), error, codes, ratio))
    return DictionaryReport(learned.dictionary, nonzeros, tuple(layers))
