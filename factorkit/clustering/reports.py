"""What weight sharing did to a network, layer by layer."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import pandas as pd

__all__ = ["SharedLayer", "SharingReport"]


@dataclass(frozen=True)
class SharedLayer:
    """One layer whose weights are shared.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of the weight.
    bits : int
        Width of an index.
    values : int
        How many different values the weight has.
    relative_error : float
        Frobenius norm of the change, divided by that of the weight before.
    stored_bits : int
        Indices, and the layer's own table of 32-bit values; no table if the network has one.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    values: int
    relative_error: float
    stored_bits: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SharingReport:
    """Every layer whose weights are shared, and the storage of all. Biases and normalization are not in it.

    Parameters
    ----------
    layers : tuple of SharedLayer
    scope : {"layer", "network"}
    table_bits : int
        The table of the network, in scope ``"network"``.

    Examples
    --------
    >>> SharingReport((SharedLayer("0", (16, 3, 3, 3), 4, 16, 0.08, 2240),), "layer")
    SharingReport: 1 layer, 432 weights in 2,240 bits instead of 13,824 (6.17 times less), relative error 0.08
    layer          shape  bits  values  relative error  stored bits
        0 16 x 3 x 3 x 3     4      16            0.08         2240
    """

    layers: tuple[SharedLayer, ...]
    scope: str = "layer"
    table_bits: int = 0

    @property
    def weights(self) -> int:
        """Number of weights in all layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def dense_bits(self) -> int:
        """Storage of the weights as numbers of 32 bits."""
        return 32 * self.weights

    @property
    def stored_bits(self) -> int:
        """Storage of indices and tables."""
        return sum(layer.stored_bits for layer in self.layers) + self.table_bits

    @property
    def compression_factor(self) -> float:
        """How many times less storage the weights take."""
        return self.dense_bits / self.stored_bits

    @property
    def mean_bits(self) -> float:
        """Storage of a weight, its share of the tables included."""
        return self.stored_bits / self.weights

    @property
    def relative_error(self) -> float:
        """Root of the mean squared relative error of the layers."""
        return math.sqrt(sum(layer.relative_error**2 for layer in self.layers) / len(self.layers))

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer."""
        frame = pd.DataFrame([asdict(layer) for layer in self.layers]).rename(columns={"name": "layer"})
        frame["shape"] = [" x ".join(map(str, layer.shape)) for layer in self.layers]
        return frame.rename(columns=lambda name: name.replace("_", " "))

    def _summary(self) -> str:
        count = len(self.layers)
        return (
            f"{count} layer{'s' * (count != 1)}, {self.weights:,} weights in {self.stored_bits:,} bits instead of "
            f"{self.dense_bits:,} ({self.compression_factor:.2f} times less), relative error {self.relative_error:.3g}"
        )

    def __repr__(self) -> str:
        table = self.to_frame().to_string(index=False, float_format="{:.3g}".format)
        return f"SharingReport: {self._summary()}\n{table}"

    def _repr_html_(self) -> str:
        return f"<p>{self._summary()}</p>" + self.to_frame().to_html(index=False, float_format="{:.3g}".format)
