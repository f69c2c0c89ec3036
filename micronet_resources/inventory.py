"""What was measured on a network: every tensor that it stores and every operator that it runs.

The profile of a model and the measurement of an entry both give an :class:`Inventory`; the rule sets score it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from micronet_resources.encoding import Encoding
from micronet_resources.operations import Operation

__all__ = ["Inventory", "MeasuredOperation", "StoredTensor"]


@dataclass(frozen=True)
class StoredTensor:
    """One tensor that the network needs for inference.

    Parameters
    ----------
    name : str
    shape : tuple of int
    role : str
        ``"weight"`` if it multiplies in a convolution, linear map or matrix product, ``"bias"``, ``"normalization"``
        (scales and biases of normalization) or ``"other"``.
    live : int
        Elements that can influence the output: those of filters and channels that are not pruned as a whole.
    nonzero : int
        Live elements that are not zero.
    encodings : tuple of Encoding
        The exact encodings of the live elements, as :func:`~micronet_resources.encoding.find_encodings` returns them;
        the rules choose the cheapest.
    folded : bool, optional
        Whether the tensor disappears when a batch normalization is folded into the convolution or linear layer whose
        output it reads directly and alone: its scale, and the bias of that layer, which merges with its own.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    live: int
    nonzero: int
    encodings: tuple[Encoding, ...]
    folded: bool = False


@dataclass(frozen=True)
class MeasuredOperation:
    """One operator with what the values of its tensors tell.

    Parameters
    ----------
    operation : Operation
        Its dense cost.
    weight_bits, input_bits : int
        Width of the weight, 32 if no parameter multiplies, and of the widest feature map that enters. Where
        ``operation.weight`` is None, only feature maps multiply and only their width counts; convolutions, linear and
        recurrent layers and normalization always have a weight.
    signs_only : bool
        Whether every weight that is not zero is +1 or -1 times one scale, or times one scale of its output channel.
    live_outputs, live_macs : int
        Outputs and MACs that are left without pruned filters and channels.
    nonzero_macs : int
        Those of the live MACs whose weight is not zero.
    folded : bool, optional
        Whether folding a batch normalization into the layer in front changes this operation: of the normalization only
        the additions remain, of the bias of that layer nothing.
    """

    operation: Operation
    weight_bits: int
    input_bits: int
    signs_only: bool
    live_outputs: int
    live_macs: int
    nonzero_macs: int
    folded: bool = False


@dataclass(frozen=True)
class Inventory:
    """Everything that a rule set needs to know about a network."""

    tensors: tuple[StoredTensor, ...]
    operations: tuple[MeasuredOperation, ...]

    @property
    def params(self) -> int:
        """Elements of all stored tensors, live or not."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates."""
        return sum(measured.operation.macs for measured in self.operations)
