"""What the three stages of Deep Compression would take: pruned, shared and Huffman coded."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import nn

from factorkit.clustering.scalar import kmeans_1d
from factorkit.clustering.sharing import MOST_BITS, shareable_layers

__all__ = ["CodedLayer", "StagesReport", "huffman_bits", "prune_share_code"]

WIDEST_GAP = 8  # bits of a distance between survivors


def huffman_bits(labels: torch.Tensor) -> float:
    r"""Storage of symbols in a Huffman code, and of the code itself.

    The code of least length gives each symbol a whole number of bits :cite:p:`huffman1952method`; a decoder rebuilds
    it from the lengths alone, :math:`\lceil \log_2 (l_\max + 1) \rceil` bits for each possible symbol.

    Parameters
    ----------
    labels : Tensor of integers, any shape
        Symbols from 0 to the largest one.

    Returns
    -------
    float
        Bits; a single symbol takes one for each time.

    Raises
    ------
    ValueError
        If there are no labels, or one is no whole number of at least 0.

    Examples
    --------
    >>> huffman_bits(torch.tensor([0, 0, 0, 0, 1, 1, 2, 3]))  # lengths 1, 2, 3, 3 and four times 2 bits for them
    22.0
    """
    if not labels.numel() or labels.is_floating_point() or int(labels.min()) < 0:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)} and type {labels.dtype}: give at least one whole number, none of "
            "them negative."
        )
    counts = torch.bincount(labels.flatten().long()).tolist()
    nodes = [(count, 0) for count in counts if count]  # weight and height of each tree
    heapq.heapify(nodes)
    total, longest = (0, 0) if len(nodes) > 1 else (nodes[0][0], 1)
    while len(nodes) > 1:
        (first, low), (second, high) = heapq.heappop(nodes), heapq.heappop(nodes)
        longest = 1 + max(low, high)
        total += first + second  # every symbol below becomes a bit longer
        heapq.heappush(nodes, (first + second, longest))
    return float(total + len(counts) * longest.bit_length())


@dataclass(frozen=True)
class CodedLayer:
    """Storage of one layer's weights after each stage, in bits.

    Parameters
    ----------
    name : str
    weights, kept : int
        Number of weights, and of those that pruning leaves.
    pruned_bits : int
        32 for each that is kept, and their positions.
    shared_bits : int
        An index for each, the table, and the positions.
    coded_bits : int
        Indices and positions in Huffman codes with their tables, and the table of values.
    relative_error : float
        Frobenius norm of the change, divided by that of the weight before.
    """

    name: str
    weights: int
    kept: int
    pruned_bits: int
    shared_bits: int
    coded_bits: int
    relative_error: float


@dataclass(frozen=True)
class StagesReport:
    """Storage of a network's weights after pruning, sharing and coding.

    Parameters
    ----------
    layers : tuple of CodedLayer

    Examples
    --------
    >>> StagesReport((CodedLayer("0", 1000, 100, 3700, 1400, 1300, 0.5),))
    StagesReport: 1,000 weights, 100 kept; dense 32,000 bits, pruned 3,700 (8.6x), shared 1,400 (22.9x), coded 1,300 (24.6x)
    """  # noqa: E501

    layers: tuple[CodedLayer, ...]

    def bits(self, stage: str) -> int:
        """Storage after a stage, ``"dense"``, ``"pruned"``, ``"shared"`` or ``"coded"``."""
        return sum(32 * layer.weights if stage == "dense" else getattr(layer, f"{stage}_bits") for layer in self.layers)

    def factor(self, stage: str) -> float:
        """How many times less storage than dense numbers of 32 bits."""
        return self.bits("dense") / self.bits(stage)

    def to_frame(self) -> pd.DataFrame:
        """One row for each layer."""
        frame = pd.DataFrame([asdict(layer) for layer in self.layers]).rename(columns={"name": "layer"})
        return frame.rename(columns=lambda name: name.replace("_", " "))

    def __repr__(self) -> str:
        weights, kept = sum(layer.weights for layer in self.layers), sum(layer.kept for layer in self.layers)
        stages = ", ".join(
            f"{stage} {self.bits(stage):,} ({self.factor(stage):.1f}x)" for stage in ("pruned", "shared", "coded")
        )
        return f"StagesReport: {weights:,} weights, {kept:,} kept; dense {self.bits('dense'):,} bits, {stages}"


def prune_share_code(model: nn.Module, sparsity: float, bits: int, *, skip: Sequence[str] = ()) -> StagesReport:
    """Estimate the storage of the three stages of Deep Compression :cite:p:`han2016deep`, layer by layer.

    The smallest weights of each layer are left out, those that remain share values, and indices and positions are
    Huffman coded. A position is the distance to the one before, or a bit mask where that is smaller.

    Parameters
    ----------
    model : nn.Module
        Left as it is: an estimate of the storage, not of the accuracy, which pruning costs without training in between.
    sparsity : float
        Share of each layer's weights to leave out, from 0 up to 1, which is not allowed.
    bits : int
        Width of an index, 1 to 8.
    skip : sequence of str, optional
        Names of layers that are not counted.

    Returns
    -------
    StagesReport

    Raises
    ------
    ValueError
        If the share or the width is out of its range, or a name is no convolution or linear layer.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> report = prune_share_code(nn.Sequential(nn.Linear(200, 200)), 0.9, 4)
    >>> [round(report.factor(stage), 1) for stage in ("pruned", "shared", "coded")]
    [8.6, 34.9, 36.2]
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity={sparsity!r}: give the share of weights to leave out, at least 0 and below 1.")
    if type(bits) is not int or not 1 <= bits <= MOST_BITS:
        raise ValueError(f"bits={bits!r}: give a whole number from 1 to {MOST_BITS}.")
    layers = shareable_layers(model, skip)
    return StagesReport(tuple(_stages(name, layer.weight, sparsity, bits) for name, layer in layers.items()))


def _stages(name: str, weight: torch.Tensor, sparsity: float, bits: int) -> CodedLayer:
    flat = weight.detach().flatten().cpu()
    places = flat.abs().topk(len(flat) - int(sparsity * len(flat))).indices.sort().values
    kept = flat[places]
    codebook = kmeans_1d(kept, 2**bits)
    labels = codebook.assign(kept)
    table = 32 * len(codebook.centroids)
    gaps = torch.diff(places, prepend=places.new_tensor([-1])) - 1
    codes = [_gap_symbols(gaps, width) for width in range(1, WIDEST_GAP + 1)]
    positions = min(len(flat), *(len(symbols) * width for width, symbols in enumerate(codes, start=1)))
    coded_positions = min(len(flat), *(int(huffman_bits(symbols)) for symbols in codes))
    if len(kept) == len(flat):
        positions = coded_positions = 0
    left = torch.zeros_like(flat).index_put((places,), codebook.centroids[labels])
    size = float(flat.double().norm())
    return CodedLayer(
        name=name,
        weights=len(flat),
        kept=len(kept),
        pruned_bits=32 * len(kept) + positions,
        shared_bits=bits * len(kept) + table + positions,
        coded_bits=min(int(huffman_bits(labels)), bits * len(kept)) + table + min(coded_positions, positions),
        relative_error=float((left.double() - flat.double()).norm()) / size if size else 0.0,
    )


def _gap_symbols(gaps: torch.Tensor, width: int) -> torch.Tensor:
    """Distances in symbols of some bits; the largest symbol says that the distance goes on."""
    largest = 2**width - 1
    repeats = gaps // largest + 1
    symbols = torch.full((int(repeats.sum()),), largest)
    symbols[repeats.cumsum(0) - 1] = gaps % largest
    return symbols
