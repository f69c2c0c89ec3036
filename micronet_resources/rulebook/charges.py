"""What each tensor and each operation of a network is charged under a rule set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from micronet_resources.encoding import Encoding, cheapest
from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
from micronet_resources.operations import MAC_KINDS, Operation
from micronet_resources.rulebook.records import RuleSet

__all__ = ["Charge", "Work", "charge_storage", "charge_work", "find_narrow", "work_left"]

FULL = 32  # bits of the numbers that storage and arithmetic are measured in
CHOICE_BITS = 1  # least price of an element that says what is chosen
WITH_WEIGHT = ("convolution", "linear", "recurrent", "normalization")


@dataclass(frozen=True)
class Charge:
    """Numbers or operations counted by their width, and bits that are stored besides.

    Parameters
    ----------
    counts : mapping of int to float
        How many there are of each width in bits.
    tables, masks : float, optional
        Bits of tables and scales, and of masks.

    Examples
    --------
    >>> charge = Charge({16: 200}) + Charge({32: 10}, masks=64)
    >>> charge
    10 x 32/32 + 200 x 16/32 + 64/32 for masks
    >>> charge.full
    112.0
    """

    counts: Mapping[int, float] = field(default_factory=dict)
    tables: float = 0
    masks: float = 0

    @property
    def full(self) -> float:
        """The same in numbers or operations of 32 bits."""
        return (sum(bits * count for bits, count in self.counts.items()) + self.tables + self.masks) / FULL

    def __add__(self, other: Charge) -> Charge:
        counts = dict(self.counts)
        for bits, count in other.counts.items():
            counts[bits] = counts.get(bits, 0) + count
        return Charge(counts, self.tables + other.tables, self.masks + other.masks)

    def __repr__(self) -> str:
        parts = [f"{_count(self.counts[bits])} x {bits}/{FULL}" for bits in sorted(self.counts, reverse=True)]
        besides = (("tables and scales", self.tables), ("masks", self.masks))
        parts += [f"{_count(bits)}/{FULL} for {name}" for name, bits in besides if bits]
        return " + ".join(parts) or "0"


@dataclass(frozen=True)
class Work:
    """Arithmetic of one operation that is left of it after pruning.

    Parameters
    ----------
    kind : str
    outputs, multiplications, additions : float
    bits : int
        Width of its widest factor.
    signs_only : bool
        Whether every weight is +1 or -1 times one scale.
    folded : bool
        As in :class:`~micronet_resources.inventory.MeasuredOperation`.
    """

    kind: str
    outputs: float
    multiplications: float
    additions: float
    bits: int
    signs_only: bool = False
    folded: bool = False


def work_left(measured: MeasuredOperation, rules: RuleSet) -> Work:
    """Return what is left of an operation without its pruned filters, and without its zero weights if rules say so."""
    operation = measured.operation
    macs = measured.nonzero_macs if rules.skips_zeros else measured.live_macs
    multiplications, additions = arithmetic_left(operation, measured.live_outputs, macs)
    bits = max(measured.weight_bits, measured.input_bits) if has_weight(operation) else measured.input_bits
    folded = measured.folded and rules.folds_normalization
    return Work(
        operation.kind, measured.live_outputs, multiplications, additions, bits, measured.signs_only, folded=folded
    )


def has_weight(operation: Operation) -> bool:
    """Whether a stored tensor is among the factors of an operation."""
    return operation.weight is not None or operation.kind in WITH_WEIGHT


def arithmetic_left(operation: Operation, outputs: float, macs: float) -> tuple[float, float]:
    """Multiplications and additions of an operation of which so many outputs and MACs are left."""
    if operation.kind in MAC_KINDS:
        gone = (operation.macs - macs) - (operation.outputs - outputs)
        # A row without any weight has no addition to lose: never below zero.
        return macs, max(operation.additions - gone, 0)
    if not operation.outputs:
        return 0, 0
    multiplications, additions = operation.multiplications * outputs, operation.additions * outputs
    if isinstance(outputs, int):
        return -(-multiplications // operation.outputs), -(-additions // operation.outputs)
    return multiplications / operation.outputs, additions / operation.outputs


def charge_storage(tensor: StoredTensor, rules: RuleSet, *, free: bool) -> Charge:
    """Charge a tensor its cheapest encoding; at the free width, if that is granted, the cheapest without tables.

    A mask is free at most where zeros leave out work: of a tensor that only chooses or moves elements, and of truth
    values, which say as much by where they are, it costs a bit for each element under all rules.
    """
    if not tensor.nonzero or (tensor.folded and rules.folds_normalization):
        return Charge()
    mask_bits = max(rules.mask_bits, CHOICE_BITS) if tensor.role == "other" else rules.mask_bits
    if free:
        plain = [replace(encoding, bits=rules.free_bits) for encoding in tensor.encodings if encoding.values == "dense"]
        if tensor.role == "other":  # indices and truth values are as narrow as they are
            plain += [encoding for encoding in tensor.encodings if encoding.values == "grid" and not encoding.overhead]
        best = cheapest(plain, mask_bits)
    else:
        best = cheapest([encoding for encoding in tensor.encodings if _is_allowed(encoding, rules)], mask_bits)
    stored = best.stored if rules.counts_tables or tensor.role == "other" else tensor.nonzero
    return Charge({best.bits: stored}, best.overhead if rules.counts_tables else 0, mask_bits * best.masked)


def _is_allowed(encoding: Encoding, rules: RuleSet) -> bool:
    """Whether a table is no longer than rules allow: a free one could hold the tensor itself."""
    if encoding.values != "codebook" or rules.values_per_entry is None:
        return True
    return rules.values_per_entry * (encoding.overhead // encoding.operand_bits) <= encoding.stored


def charge_work(work: Work, rules: RuleSet, *, free: bool) -> dict[str, Charge]:
    """Charge the arithmetic of one operation: to each term of the score its part."""
    charges = {}
    if work.kind == "normalization" and rules.per_normalized is not None:
        charges["normalization"] = Charge({FULL: rules.per_normalized * work.outputs})
        return charges
    if work.kind in rules.multiplied and not work.folded:
        bits = min(work.bits, rules.free_bits) if free else work.bits
        bits = rules.signs_bits if work.signs_only and rules.signs_bits is not None else bits
        charges["multiplications" if rules.added else "operations"] = Charge({bits: work.multiplications})
    if work.kind in rules.added and not (work.folded and work.kind == "bias"):
        charges["additions"] = Charge({FULL: work.additions})
    return {term: charge for term, charge in charges.items() if any(charge.counts.values())}


def find_narrow(inventory: Inventory, rules: RuleSet) -> str | None:
    """Say what is narrower than the free width, so that the rules do not grant it; None if nothing is.

    Weights that multiply and feature maps decide. Other tensors may happen to hold few different values, as biases
    that are all zero do, without anybody having quantized them.
    """
    for tensor in inventory.tensors:
        if tensor.role == "weight" and tensor.nonzero:
            best = cheapest(tensor.encodings, rules.mask_bits)
            if best.bits < rules.free_bits:
                return f"{tensor.name} is stored in {_bits(best.bits)}"
    for measured in inventory.operations:
        if measured.input_bits < rules.free_bits and measured.live_outputs:
            return f"{measured.operation.name} reads a feature map of {_bits(measured.input_bits)}"
    return None


def _bits(bits: int) -> str:
    return f"{bits} bit{'s' if bits > 1 else ''}"


def _count(count: float) -> str:
    """Whole numbers in full; what is left of an estimate may be a fraction of one."""
    return f"{count:,}" if isinstance(count, int) else f"{count:,.2f}".rstrip("0").rstrip(".")
