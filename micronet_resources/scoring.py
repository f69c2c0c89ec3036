"""The MicroNet score of a network: what it stores and what it computes, both relative to a reference network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from micronet_resources.inventory import Inventory
from micronet_resources.rulebook.assumptions import Assumptions, check_declaration
from micronet_resources.rulebook.charges import Charge, Work, charge_storage, charge_work, find_narrow, work_left
from micronet_resources.rulebook.scores import Score, Term
from micronet_resources.rules import RuleSet, Task, rule_set

__all__ = ["Score", "Term", "contributions", "estimate", "score"]


def score(
    subject: Any,
    rules: str = "course2025",
    task: str | None = None,
    *,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    pruned_structured: float | None = None,
    pruned_unstructured: float | None = None,
) -> Score:
    """Score a network as it is: bits, zeros and pruned filters are measured on its tensors, not declared.

    Parameters
    ----------
    subject : ModelProfile, EntryProfile or Inventory
        Or anything with an ``inventory``.
    rules : str, optional
        Name of a rule set.
    task : str, optional
        Data set whose references are used; by default that of the subject, if it names one, or else that of the rules.
    weight_bits, activation_bits : int, optional
        What you believe the widths to be. They never change the score: they are only checked.
    pruned_structured, pruned_unstructured : float, optional
        What you believe the pruned fractions of all weights to be, likewise.

    Returns
    -------
    Score

    Raises
    ------
    ClaimError
        If the tensors do not bear out a declared value. It is a ``ValueError`` too.
    ValueError
        If a name is unknown, a declared value is out of its range, an operator could not be counted, the network does
        not fit the task, or there is nothing to measure.

    Examples
    --------
    >>> from micronet_resources.encoding import Encoding
    >>> from micronet_resources.inventory import Inventory, MeasuredOperation, StoredTensor
    >>> from micronet_resources.operations import Operation
    >>> grid = Encoding("grid", bits=4, stored=27_000, overhead=32, masked=0, operand_bits=4)
    >>> weight = StoredTensor("weight", (30, 100, 3, 3), "weight", live=27_000, nonzero=27_000, encodings=(grid,))
    >>> conv = Operation("conv2d", "convolution", 30_720, 27_648_000, 27_617_280, weight="weight")
    >>> quantized = MeasuredOperation(conv, 4, 8, False, 30_720, 27_648_000, 27_648_000)
    >>> score(Inventory((weight,), (quantized,)), "course2025", "cifar10")
    Score 0.0253 under course2025 on cifar10 (measured; lower is better)
      storage       0.0006 = (27,000 x 4/32 + 32/32 for tables and scales) / 5,600,000
      operations    0.0247 = (27,648,000 x 8/32) / 280,000,000
      Stored elements: 27,000, of which 0 in pruned filters (p_s = 0) and 0 single zeros (p_u = 0).
    """
    declared = {
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "pruned_structured": pruned_structured,
        "pruned_unstructured": pruned_unstructured,
    }
    check_declaration(**{name: value for name, value in declared.items() if value is not None})
    chosen = rule_set(rules)
    target = chosen.task(task or getattr(subject, "task", None))
    _refuse_uncounted(subject)
    _refuse_constant(subject)
    _refuse_misfit(subject, target)
    inventory = subject if isinstance(subject, Inventory) else getattr(subject, "inventory", None)
    if not isinstance(inventory, Inventory):
        raise ValueError(
            f"score() measures the tensors of a profile or an entry, and a {type(subject).__name__} has none: pass "
            "what profile_model() or entry.measure() returns, or ask estimate() what declared values would give."
        )
    if any(value is not None for value in declared.values()):
        from micronet_resources.claims import check_claims

        check_claims(inventory, **declared)
    free, note = _free_width(inventory, chosen)
    storage = _sum(charge_storage(tensor, chosen, free=free) for tensor in inventory.tensors)
    works = [work_left(measured, chosen) for measured in inventory.operations]
    notes = [_remaining(inventory), *_folded(inventory, chosen), *([note] if note else [])]
    return Score(chosen, target, _terms(chosen, target, storage, works, free=free), tuple(notes))


def estimate(
    costs: Any,
    rules: str = "course2025",
    task: str | None = None,
    *,
    weight_bits: int = 32,
    activation_bits: int = 32,
    pruned_structured: float = 0.0,
    pruned_unstructured: float = 0.0,
) -> Score:
    r"""Estimate what the score would be if the declared values were true.

    Under ``course2025`` it is :math:`[1 - (p_s + p_u)] \frac{q_w}{32} \frac{w}{w_0} + (1 - p_s)
    \frac{\max(q_w, q_a)}{32} \frac{f}{f_0}` for :math:`w` parameters and :math:`f` multiply-accumulates; the other
    rules apply the same widths and fractions to their own terms. Tables, scales and the folding of batch
    normalization are left out, for they are known only when a network is measured.

    Parameters
    ----------
    costs : ModelProfile
        Under ``course2025`` anything with ``params`` and ``macs``.
    rules : str, optional
        Name of a rule set.
    task : str, optional
        Data set whose references are used; by default that of ``costs``, if it names one, or else that of the rules.
    weight_bits, activation_bits : int, optional
        :math:`q_w` and :math:`q_a`, from 1 to 32.
    pruned_structured, pruned_unstructured : float, optional
        :math:`p_s` and :math:`p_u`, fractions of *all* weights that are removed in whole filters and one by one.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If a name is unknown, a width is not an integer from 1 to 32, a fraction is not in [0, 1], more than all weights
        are pruned, an operator could not be counted, or ``costs`` does not know what the rules need.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> estimate(SimpleNamespace(params=11_173_962, macs=555_422_720), weight_bits=16, activation_bits=16)
    Score 1.9895 under course2025 on cifar10 (estimate, nothing measured; lower is better)
      storage       0.9977 = (11,173,962 x 16/32) / 5,600,000
      operations    0.9918 = (555,422,720 x 16/32) / 280,000,000
      Assumed: weights of 16 bits, activations of 16 bits, p_s = 0, p_u = 0.
    """
    assumptions = Assumptions(weight_bits, activation_bits, pruned_structured, pruned_unstructured)
    chosen = rule_set(rules)
    target = chosen.task(task or getattr(costs, "task", None))
    _refuse_uncounted(costs)
    _refuse_constant(costs)
    if not hasattr(costs, "params"):
        raise ValueError(
            f"estimate() needs the counts of a network, and a {type(costs).__name__} has none: pass what "
            "profile_model() returns."
        )
    storage = assumptions.storage(costs, chosen)
    works = assumptions.works(costs, chosen)
    free = assumptions.is_free(chosen)
    notes = [str(assumptions), *([_granted(chosen)] if free else [])]
    return Score(chosen, target, _terms(chosen, target, storage, works, free=free), tuple(notes), is_estimate=True)


def contributions(inventory: Inventory, rules: RuleSet, task: Task) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What each stored tensor and each operation adds to the measured score; all together are the score.

    Returns
    -------
    tensors, operations : tuple of float
        In the order of the inventory.
    """
    free, _ = _free_width(inventory, rules)
    tensors = tuple(
        charge_storage(tensor, rules, free=free).full / task.reference_params for tensor in inventory.tensors
    )
    works = (work_left(measured, rules) for measured in inventory.operations)
    operations = tuple(
        sum(charge.full for charge in charge_work(work, rules, free=free).values()) / task.reference_ops
        for work in works
    )
    return tensors, operations


def _terms(rules: RuleSet, task: Task, storage: Charge, works: Sequence[Work], *, free: bool) -> tuple[Term, ...]:
    charges = {"storage": storage} | {name: Charge() for name in rules.operation_terms}
    for work in works:
        for name, charge in charge_work(work, rules, free=free).items():
            charges[name] += charge
    terms = []
    for name, charge in charges.items():
        reference = task.reference_params if name == "storage" else task.reference_ops
        terms.append(Term(name, charge.full / reference, f"({charge!r}) / {reference:,}"))
    return tuple(terms)


def _sum(charges: Iterable[Charge]) -> Charge:
    return sum(charges, Charge())


def _free_width(inventory: Inventory, rules: RuleSet) -> tuple[bool, str | None]:
    """Whether the width is granted below which nothing is, and a sentence on why."""
    if rules.free_bits is None:
        return False, None
    narrow = find_narrow(inventory, rules)
    if narrow is None:
        return True, _granted(rules)
    return False, f"Everything counts at its own width, because {narrow}, below {rules.free_bits}."


def _granted(rules: RuleSet) -> str:
    bits = rules.free_bits
    return f"Nothing is narrower than {bits} bits, so storage and multiplications count at {bits} bits."


def _remaining(inventory: Inventory) -> str:
    live = sum(tensor.live for tensor in inventory.tensors)
    nonzero = sum(tensor.nonzero for tensor in inventory.tensors)
    params = inventory.params
    p_s, p_u = ((params - live) / max(params, 1), (live - nonzero) / max(params, 1))
    return (
        f"Stored elements: {params:,}, of which {params - live:,} in pruned filters (p_s = {p_s:.4g}) and "
        f"{live - nonzero:,} single zeros (p_u = {p_u:.4g})."
    )


def _folded(inventory: Inventory, rules: RuleSet) -> list[str]:
    gone = sum(tensor.live for tensor in inventory.tensors if tensor.folded) if rules.folds_normalization else 0
    return [f"{gone:,} elements disappear when batch normalization is folded into the layer in front."] if gone else []


def _refuse_uncounted(subject: Any) -> None:
    uncounted = tuple(getattr(subject, "uncounted", ()))
    if uncounted:
        raise ValueError(
            f"{', '.join(uncounted)}: no rule says what this costs, so there is no score. Write the network with "
            "operators that are counted; profile_model(..., strict=True) shows where it is used."
        )


def _refuse_constant(subject: Any) -> None:
    if not getattr(subject, "depends_on_input", True):
        raise ValueError(
            "the output of the network does not depend on its input, so there is no score. Compute it from the input "
            "with torch's operators; what Python or NumPy computes in between cannot be counted."
        )


def _refuse_misfit(subject: Any, task: Task) -> None:
    """Refuse a network that cannot be one for the task: its reference would be the wrong one."""
    output = getattr(subject, "output_shape", None)
    if output is not None and tuple(output) != (task.num_classes,):
        raise ValueError(
            f"the network gives outputs of shape {tuple(output)} and {task.data} has {task.num_classes} classes: "
            "choose the task that the network was made for."
        )
    shape = getattr(subject, "input_shape", None)
    if shape is not None and not task.sizes_vary and tuple(shape) != task.input_shape:
        raise ValueError(
            f"the network was profiled on inputs of shape {tuple(shape)} and images of {task.data} have "
            f"{task.input_shape}: profile it on these, or choose another task."
        )
