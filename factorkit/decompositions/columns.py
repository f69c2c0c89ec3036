"""The layer that reads single columns of a patch beside the maps of a low-rank layer."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from factorkit.decompositions.samples import paddings

__all__ = ["LowRankAndColumns"]


class LowRankAndColumns(nn.Module):
    """The maps of a layer, and behind them single numbers of the patches that it reads.

    A number of a patch is an input map at one place of the kernel, so it is a map that is shifted, not computed.

    Parameters
    ----------
    low_rank : nn.Module
        Layer to R maps with the geometry of ``layer``.
    layer : nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d
        Gives kernel size, stride, padding and dilation.
    columns : Tensor of int64, shape (S,)
        Indices into the I k_1 ... k_n numbers of a patch, sorted by place in the kernel, then by input map.

    Notes
    -----
    Input N x I x input_size, output N x (R + S) x output_size; (..., I) and (..., R + S) for a linear layer.

    Examples
    --------
    >>> layer = nn.Conv2d(3, 8, 3, padding=1)
    >>> both = LowRankAndColumns(nn.Conv2d(3, 2, 3, padding=1), layer, torch.tensor([4, 13]))
    >>> images = torch.randn(1, 3, 5, 5)
    >>> maps = both(images)  # column 4 is the middle of the kernel of map 0, column 13 that of map 1
    >>> maps.shape, torch.equal(maps[:, 2:], images[:, :2])
    (torch.Size([1, 4, 5, 5]), True)
    """

    def __init__(self, low_rank: nn.Module, layer: nn.Module, columns: torch.Tensor) -> None:
        super().__init__()
        self.low_rank = low_rank
        kernel = tuple(layer.weight.shape[2:])
        places = list(itertools.product(*map(range, kernel)))
        self.register_buffer("maps", columns // len(places))
        counts = torch.bincount(columns % len(places), minlength=len(places)).tolist()
        self._counts = [(place, count) for place, count in zip(places, counts, strict=True) if count]
        if kernel:
            self._stride, self._dilation = tuple(layer.stride), tuple(layer.dilation)
            self._paddings = paddings(layer)
            self._mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            self._spans = tuple(step * (size - 1) for step, size in zip(layer.dilation, kernel, strict=True))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if isinstance(self.low_rank, nn.Linear):
            return torch.cat([self.low_rank(images), images.index_select(-1, self.maps)], dim=-1)
        padded = F.pad(images, self._paddings, mode=self._mode) if any(self._paddings) else images
        ends = [size - span for size, span in zip(padded.shape[2:], self._spans, strict=True)]
        found, done = [self.low_rank(images)], 0
        for place, count in self._counts:
            geometry = zip(place, ends, self._dilation, self._stride, strict=True)
            shifted = [slice(at * step, at * step + end, stride) for at, end, step, stride in geometry]
            found.append(padded[(slice(None), slice(None), *shifted)].index_select(1, self.maps[done : done + count]))
            done += count
        return torch.cat(found, dim=1)

    def extra_repr(self) -> str:
        return f"columns={len(self.maps)}"
