"""What compressing a network did to it, layer by layer."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import pandas as pd

from factorkit.decompositions.weights import shape_text

__all__ = ["CompressionReport", "LayerCompression"]

Rank = int | tuple[int, ...]
TITLES = {
    "name": "layer",
    "shape": "shape",
    "rank": "rank",
    "relative_error": "relative error",
    "params_before": "params",
    "params_after": "params after",
    "macs_before": "MACs",
    "macs_after": "MACs after",
    "refused": "refused",
    "note": "note",
}


@dataclass(frozen=True)
class LayerCompression:
    """One layer, and what became of it.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of its weight.
    rank : int or tuple of int or None
        Of the decomposition, or the one at which it was refused; None if there is no rank at all.
    relative_error : float
        Frobenius norm of the change, divided by that of the weight; 0 where the layer was refused, NaN where the
        weights are fresh.
    params_before, params_after : int
        Weights without the bias. Equal where the layer was refused.
    macs_before, macs_after : int
        Multiply-accumulates of an example in all calls of the layer.
    refused : str
        Why the layer stayed as it was, or empty.
    note : str
        What is to be known of the rank, such as a fallback of its policy, or empty.
    """

    name: str
    shape: tuple[int, ...]
    rank: Rank | None
    relative_error: float
    params_before: int
    params_after: int
    macs_before: int
    macs_after: int
    refused: str = ""
    note: str = ""


@dataclass(frozen=True)
class CompressionReport:
    """Every layer that was looked at, and the size of the whole network before and after.

    Parameters
    ----------
    method, ranks : str
        As they were asked for.
    layers : tuple of LayerCompression
    params_before, params_after : int
        All parameters of the network: biases, normalization and layers that were skipped too.
    macs_before, macs_after : int
        Multiply-accumulates of the network for an example, in convolutions and products of matrices.
    measured : str
        The latency that was measured to choose the ranks, or empty.

    Examples
    --------
    >>> layer = LayerCompression("0", (64, 32, 3, 3), (16, 12), 0.31, 18432, 3136, 4718592, 802816)
    >>> CompressionReport("tucker2", "vbmf", (layer,), 18496, 3200, 4718592, 802816)
    CompressionReport: tucker2, ranks vbmf, 1 of 1 layer decomposed
    3,200 parameters instead of 18,496 (5.78 times fewer), 802,816 MACs instead of 4,718,592 (5.88 times fewer)
    layer           shape     rank  relative error  params  params after    MACs  MACs after
        0 64 x 32 x 3 x 3 (16, 12)            0.31   18432          3136 4718592      802816
    """

    method: str
    ranks: str
    layers: tuple[LayerCompression, ...]
    params_before: int
    params_after: int
    macs_before: int
    macs_after: int
    measured: str = ""

    @property
    def decomposed(self) -> tuple[LayerCompression, ...]:
        """The layers that were replaced."""
        return tuple(layer for layer in self.layers if not layer.refused)

    @property
    def refused(self) -> tuple[LayerCompression, ...]:
        """The layers that stayed as they were, each with the reason."""
        return tuple(layer for layer in self.layers if layer.refused)

    @property
    def ranks_by_layer(self) -> dict[str, Rank]:
        """The ranks of the layers that were replaced, as :func:`~factorkit.compress.compress` takes them."""
        return {layer.name: layer.rank for layer in self.decomposed}

    @property
    def params_ratio(self) -> float:
        """How many times fewer parameters the network has."""
        return self.params_before / self.params_after

    @property
    def macs_ratio(self) -> float:
        """How many times fewer multiply-accumulates the network takes."""
        return self.macs_before / self.macs_after

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer."""
        frame = pd.DataFrame([asdict(layer) for layer in self.layers], columns=list(TITLES))
        frame["shape"] = [shape_text(layer.shape) for layer in self.layers]
        frame["rank"] = ["" if layer.rank is None else str(layer.rank) for layer in self.layers]
        return frame.rename(columns=TITLES)

    def to_json(self) -> str:
        """The whole report as JSON, ratios included; an error that there is not is null."""
        whole = asdict(self) | {"params_ratio": self.params_ratio, "macs_ratio": self.macs_ratio}
        for layer in whole["layers"]:
            layer["relative_error"] = None if math.isnan(layer["relative_error"]) else layer["relative_error"]
        return json.dumps(whole, indent=2)

    def _summary(self) -> tuple[str, ...]:
        count = len(self.layers)
        params = f"{self.params_after:,} parameters instead of {self.params_before:,}"
        macs = f"{self.macs_after:,} MACs instead of {self.macs_before:,}"
        return (
            f"{self.method}, ranks {self.ranks}, {len(self.decomposed)} of {count} layer{'s' * (count != 1)} "
            "decomposed",
            f"{params} ({self.params_ratio:.3g} times fewer), {macs} ({self.macs_ratio:.3g} times fewer)",
            *([f"measured: {self.measured}"] if self.measured else []),
        )

    def _table(self) -> pd.DataFrame:
        """The frame without columns that say nothing."""
        frame = self.to_frame()
        return frame.drop(columns=[name for name in ("refused", "note") if not frame[name].any()])

    def __repr__(self) -> str:
        table = self._table().to_string(index=False, float_format="{:.3g}".format)
        first, *others = self._summary()
        return "\n".join([f"CompressionReport: {first}", *others, table])

    def _repr_html_(self) -> str:
        table = self._table().to_html(index=False, float_format="{:.3g}".format)
        return f"<p>{'<br>'.join(self._summary())}</p>{table}"
