"""The cheapest way to store a tensor exactly, found from its values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Encoding"]


@dataclass(frozen=True)
class Encoding:
    """One way to store a tensor without changing a single value.

    Parameters
    ----------
    values : str
        ``"dense"`` (floating-point numbers as they are), ``"codebook"`` (indices into a table of values), ``"grid"``
        (whole numbers times a scale) or ``"zero"`` (nothing to store).
    bits : int
        Width of one stored value.
    stored : int
        How many values are stored: all, or the non-zero ones.
    overhead : int
        Bits of the table or of the scales.
    masked : int
        Elements of the bit mask that says where the stored values go; 0 if all are stored.
    operand_bits : int
        Width of a value in a multiplication: that of the numbers in the table for a codebook, that of the whole
        numbers for a grid.

    Examples
    --------
    >>> Encoding("grid", bits=4, stored=100, overhead=32, masked=1000, operand_bits=4).total_bits()
    1432
    """

    values: str
    bits: int
    stored: int
    overhead: int
    masked: int
    operand_bits: int

    def total_bits(self, mask_bits: int = 1) -> int:
        """Storage in bits, where the mask costs ``mask_bits`` for each element that it covers."""
        return self.bits * self.stored + self.overhead + mask_bits * self.masked
