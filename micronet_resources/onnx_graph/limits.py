"""How large an entry may be: every bound on the work that reading a file can cause."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds on an entry; the defaults are those of a challenge entry on 32 x 32 images.

    Parameters
    ----------
    file_bytes : int
        Size of the file.
    nodes : int
        Nodes of the graph, and apart from them tensors that it stores.
    operators : int
        Nodes that depend on the image. A network can hide ternary weights in the wiring of additions and
        subtractions; the bound keeps what can be hidden far below the size of a network.
    free_numbers : int
        Operators in which a number written in the graph, which is not a parameter, scales a feature map.
    rank : int
        Dimensions of a tensor.
    elements : int
        Elements of one feature map.
    constant_elements : int
        Elements that are read or made in one step while constants are computed.
    activations : int
        Elements of all feature maps of one image.
    folding : int
        Elements read, written or multiplied while constants are computed.
    macs : int
        Multiply-accumulates of one image.

    Examples
    --------
    >>> Limits().file_bytes == 256 * 2**20
    True
    >>> Limits.generous().macs > Limits().macs
    True
    """

    file_bytes: int = 256 * 2**20
    nodes: int = 20_000
    operators: int = 2_000
    free_numbers: int = 256
    rank: int = 8
    elements: int = 2_000_000
    constant_elements: int = 32_000_000
    activations: int = 200_000_000
    folding: int = 200_000_000
    macs: int = 100_000_000_000

    @classmethod
    def generous(cls) -> Limits:
        """Bounds for networks on ImageNet, such as VGG-16 with its 553 MB."""
        return cls(
            file_bytes=1536 * 2**20,
            operators=10_000,
            free_numbers=2_000,
            elements=32_000_000,
            constant_elements=128_000_000,
            activations=2_000_000_000,
            folding=1_000_000_000,
            macs=10_000_000_000_000,
        )
