"""What one operator costs: the record that every counter writes and every rule set reads."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KINDS", "MAC_KINDS", "Operation"]

# Operators whose multiplications each come with an addition: these are the multiply-accumulates (MACs).
MAC_KINDS = ("convolution", "linear", "matmul", "attention", "recurrent")
KINDS = (*MAC_KINDS, "bias", "normalization", "activation", "pooling", "residual", "product", "elementwise")


@dataclass(frozen=True, slots=True)
class Operation:
    """Arithmetic of one operator call, per example.

    Parameters
    ----------
    name : str
        Name of the operator in torch, such as ``"conv2d"``, ``"relu"`` or ``"add"``.
    kind : str
        One of :data:`KINDS`. ``"bias"`` adds a parameter to each output; ``"residual"`` adds two feature maps and
        ``"product"`` multiplies two; ``"elementwise"`` is the rest that works element by element.
    outputs : int
        Elements of the result.
    multiplications, additions : int
        A dot product of length v has v multiplications and v - 1 additions; a comparison counts as an addition, a
        division, root or transcendental function as a multiplication.
    weight : str or None
        Name of the parameter that multiplies, if one does.

    Examples
    --------
    >>> conv = Operation("conv2d", "convolution", outputs=3200, multiplications=86_400, additions=83_200)
    >>> conv.macs
    86400
    """

    name: str
    kind: str
    outputs: int
    multiplications: int
    additions: int
    weight: str | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the multiplications of convolutions, linear maps, matrix products and attention."""
        return self.multiplications if self.kind in MAC_KINDS else 0
